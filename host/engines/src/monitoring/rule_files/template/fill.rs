//! The tree to text.

use super::read::{Assignment, Node, Pipeline, Root, Term};
use super::{Scene, functions};
use crate::monitoring::rule_files::template::Value;

/// What one template may become: a text for people, not a dump of the store.
const LONGEST: usize = 256 << 10;
/// Actions that one template may carry out, those in a `range` counted each time.
const STEPS: usize = 100_000;

pub(super) fn template(nodes: &[Node], scene: &Scene<'_>) -> Result<String, String> {
    if let [Node::Text(text)] = nodes {
        return Ok(text.clone());
    }
    let mut filler = Filler { scene, variables: Vec::new(), text: String::new(), steps: 0 };
    filler.declare("labels", Value::Labels(scene.labels.clone()));
    filler.declare("externalLabels", Value::Labels(scene.external_labels.clone()));
    filler.declare("externalURL", Value::Text(scene.external_url.to_owned()));
    filler.declare("value", Value::Number(scene.value));
    filler.declare("", Value::Scene);
    filler.nodes(nodes, &Value::Scene)?;
    Ok(filler.text)
}

struct Filler<'a> {
    scene: &'a Scene<'a>,
    /// The innermost last.
    variables: Vec<(String, Value)>,
    text: String,
    steps: usize,
}

impl Filler<'_> {
    fn declare(&mut self, name: &str, value: Value) {
        self.variables.push((name.to_owned(), value));
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > LONGEST {
            return Err(format!("it would have more than {LONGEST} bytes"));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            self.steps += 1;
            if self.steps > STEPS {
                return Err(format!("it takes more than {STEPS} steps"));
            }
            self.node(node, dot)?;
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), String> {
        let before = self.variables.len();
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                // A variable that is declared here is there until the body ends.
                return if pipeline.variable.is_none() { self.write(&value.print()) } else { Ok(()) };
            }
            Node::If { arms, otherwise } => {
                let mut chosen = otherwise;
                for (pipeline, body) in arms {
                    if self.pipeline(pipeline, dot)?.is_true() {
                        chosen = body;
                        break;
                    }
                }
                self.nodes(chosen, dot)?;
            }
            Node::With { pipeline, body, otherwise } => {
                let value = self.pipeline(pipeline, dot)?;
                if value.is_true() { self.nodes(body, &value)? } else { self.nodes(otherwise, dot)? }
            }
            Node::Range { variables, pipeline, body, otherwise } => {
                let items = items(self.pipeline(pipeline, dot)?)?;
                if items.is_empty() {
                    self.nodes(otherwise, dot)?;
                }
                for (key, value) in items {
                    let inside = self.variables.len();
                    match variables.as_slice() {
                        [] => {}
                        [only] => self.declare(only, value.clone()),
                        [first, second, ..] => {
                            self.declare(first, key);
                            self.declare(second, value.clone());
                        }
                    }
                    self.nodes(body, &value)?;
                    self.variables.truncate(inside);
                }
            }
        }
        self.variables.truncate(before);
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        let value = last.unwrap_or(Value::Missing);
        match &pipeline.variable {
            Some(Assignment { name, declares: true }) => self.declare(name, value.clone()),
            Some(Assignment { name, declares: false }) => {
                if let Some((_, known)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                    *known = value.clone();
                }
            }
            None => {}
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Term], last: Option<Value>, dot: &Value) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Missing) };
        let Root::Function(name) = &first.root else { return self.term(first, dot) };
        // These look at no more than they need.
        if name == "and" || name == "or" {
            let mut value = Value::Missing;
            for term in rest {
                value = self.term(term, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut arguments = rest.iter().map(|term| self.term(term, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last);
        let value = functions::call(name, &arguments, self.scene);
        value.map_err(|error| format!("error calling {name}: {error}"))
    }

    fn term(&mut self, term: &Term, dot: &Value) -> Result<Value, String> {
        let value = match &term.root {
            Root::Dot => dot.clone(),
            Root::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable \"${name}\""))?
            }
            Root::Function(name) => {
                functions::call(name, &[], self.scene).map_err(|error| format!("error calling {name}: {error}"))?
            }
            Root::Text(text) => Value::Text(text.clone()),
            Root::Whole(value) => Value::Whole(*value),
            Root::Number(value) => Value::Number(*value),
            Root::Bool(value) => Value::Bool(*value),
            Root::Nil => Value::Missing,
            Root::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        term.fields.iter().try_fold(value, |value, name| self.field(value, name))
    }

    fn field(&self, value: Value, name: &str) -> Result<Value, String> {
        match (&value, name) {
            (Value::Labels(labels), name) => Ok(Value::Text(labels.get(name).unwrap_or_default().to_owned())),
            (Value::Map(map), name) => Ok(map.get(name).cloned().unwrap_or(Value::Missing)),
            (Value::Sample { labels, .. }, "Labels") => Ok(Value::Labels(labels.clone())),
            (Value::Sample { value, .. }, "Value") => Ok(Value::Number(*value)),
            (Value::Scene, "Labels") => Ok(Value::Labels(self.scene.labels.clone())),
            (Value::Scene, "ExternalLabels") => Ok(Value::Labels(self.scene.external_labels.clone())),
            (Value::Scene, "ExternalURL") => Ok(Value::Text(self.scene.external_url.to_owned())),
            (Value::Scene, "Value") => Ok(Value::Number(self.scene.value)),
            (value, name) => Err(format!("can't evaluate field {name} in type {}", value.kind())),
        }
    }
}

/// What `range` goes over, with keys.
fn items(value: Value) -> Result<Vec<(Value, Value)>, String> {
    let numbered = |items: Vec<Value>| {
        let key = |index| Value::Whole(i64::try_from(index).unwrap_or(i64::MAX));
        items.into_iter().enumerate().map(|(index, item)| (key(index), item)).collect()
    };
    match value {
        Value::List(items) => Ok(numbered(items)),
        Value::Labels(labels) => {
            let text = |text: &str| Value::Text(text.to_owned());
            Ok(labels.iter().map(|(name, value)| (text(name), text(value))).collect())
        }
        Value::Map(map) => Ok(map.into_iter().map(|(name, value)| (Value::Text(name), value)).collect()),
        Value::Missing => Ok(Vec::new()),
        other => Err(format!("range can't iterate over {}", other.print())),
    }
}
