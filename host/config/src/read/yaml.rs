//! YAML 1.2, the part of it that has a meaning in JSON. Aliases are followed, within bounds; keys are text.

use crate::place::{Place, push};
use crate::problem::Problem;
use crate::tree::{Kind, Node, Table};
use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const DEEPEST: usize = 64;

/// Values in one file, aliases counted as often as they are used.
const MOST: usize = 100_000;

/// In a file of texts: rules by the ten thousand are made by programs.
const MOST_TEXTS: usize = 2_000_000;

struct Reader<'a, 'p> {
    path: &'a Arc<Path>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    values: usize,
    /// Every single value is the text that it is written as, and numbers are not looked for.
    texts: bool,
    problems: &'p mut Vec<Problem>,
}

pub(super) fn read(path: &Arc<Path>, text: &str, texts: bool, problems: &mut Vec<Problem>) -> Option<Node> {
    let parser = Parser::new_from_str(text);
    let mut reader = Reader { path, parser, anchors: HashMap::new(), values: 0, texts, problems };
    match reader.file() {
        Ok(node) => Some(node),
        Err(problem) => {
            reader.problems.push(problem);
            None
        }
    }
}

impl<'a> Reader<'a, '_> {
    fn file(&mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Problem::at(&self.place(span.start), "", "expected one document, found a second one"));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => root = Some(self.node(event, span, "", 0)?),
            }
        }
        let start = Place::File { path: self.path.clone(), line: 1, column: 1 };
        Ok(match root {
            Some(Node { kind: Kind::Scalar(Value::Null), .. }) | None => Node::table(start),
            Some(node) => node,
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span, pointer: &str, depth: usize) -> Result<Node, Problem> {
        let place = self.place(span.start);
        if depth > DEEPEST {
            return Err(Problem::at(&place, pointer, format!("nested deeper than {DEEPEST} levels")));
        }
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let scalar = Scalar::parse_from_cow_and_metadata(text.clone(), style, tag.as_ref());
                let value = match scalar {
                    Some(Scalar::Null) => Some(Value::Null),
                    _ if self.texts && plain => Some(Value::String(text.to_string())),
                    Some(Scalar::Boolean(value)) => Some(Value::Bool(value)),
                    Some(Scalar::Integer(number)) => Some(Value::from(number)),
                    Some(Scalar::FloatingPoint(number)) => super::number(number.into_inner()).map(Value::Number),
                    Some(Scalar::String(text)) => Some(Value::String(text.into_owned())),
                    None => None,
                };
                if value.is_none() {
                    let message = format!("expected text, a finite number, true, false or null, found {text}");
                    self.problems.push(Problem::at(&place, pointer, message));
                }
                (Kind::Scalar(value.unwrap_or_default()), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(pointer, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.table(pointer, depth)?, anchor),
            Event::Alias(id) => {
                let aliased = self.anchors.get(&id).cloned();
                let node = aliased.ok_or_else(|| Problem::at(&place, pointer, "an alias of something around it"))?;
                self.count(size(&node), &place)?;
                return Ok(Node { key: place.clone(), place, kind: node.kind });
            }
            _ => return Err(Problem::at(&place, pointer, "expected a value")),
        };
        self.count(1, &place)?;
        let node = Node { key: place.clone(), place, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, pointer: &str, depth: usize) -> Result<Kind, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::SequenceEnd {
                return Ok(Kind::List(items));
            }
            let pointer = push(pointer, &items.len().to_string());
            items.push(self.node(event, span, &pointer, depth + 1)?);
        }
    }

    fn table(&mut self, pointer: &str, depth: usize) -> Result<Kind, Problem> {
        let mut entries = Table::new();
        loop {
            let (event, span) = self.event()?;
            let place = self.place(span.start);
            let key = match event {
                Event::MappingEnd => return Ok(Kind::Table(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Problem::at(&place, pointer, "expected a key that is text")),
            };
            let (event, span) = self.event()?;
            let mut node = self.node(event, span, &push(pointer, &key), depth + 1)?;
            node.key = place.clone();
            match entries.get(&key) {
                Some(first) => {
                    let hint = format!("the first one is at {}", first.key);
                    self.problems.push(Problem::at(&place, pointer, format!("`{key}` is there twice")).hint(hint));
                }
                None => {
                    entries.insert(key, node);
                }
            }
        }
    }

    fn event(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next() {
            Some(event) => event.map_err(|error| self.broken(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn broken(&self, error: &ScanError) -> Problem {
        Problem::at(&self.place(*error.marker()), "", format!("not YAML: {}", error.info()))
    }

    fn count(&mut self, values: usize, place: &Place) -> Result<(), Problem> {
        self.values += values;
        let most = if self.texts { MOST_TEXTS } else { MOST };
        if self.values > most {
            return Err(Problem::at(place, "", format!("more than {most} values in one file")));
        }
        Ok(())
    }

    fn place(&self, marker: Marker) -> Place {
        Place::File { path: self.path.clone(), line: marker.line(), column: marker.col() + 1 }
    }
}

fn size(node: &Node) -> usize {
    1 + node.entries().map(|(_, inner)| size(inner)).sum::<usize>() + node.items().map(size).sum::<usize>()
}
