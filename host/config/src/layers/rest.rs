//! What is left of a configuration without the parts that are wrong: so that whoever checks it is told of everything at once, also of what
//! only plugins, or those who read queries, can see.

use super::{Base, Loaded, Word};
use crate::place::{push, steps};
use crate::tree::Node;
use crate::{meaning, rule_file, schema, shape};
use serde_json::json;
use std::collections::BTreeSet;

/// Objects that are wrong go, then those that name them, then those that name these.
const PASSES: usize = 8;

impl Base {
    /// The configuration without its objects, and keys of other sections, in which [`Base::with`] finds a mistake, and without those that
    /// would miss them. Its warnings are of no use: they are about what is not there any more. `None`: nothing can be told of it.
    pub fn rest(&self, words: &[Word]) -> Option<Loaded> {
        let (mut root, _) = self.lay(words, &mut Vec::new());
        let strict = schema::strict();
        for _ in 0..PASSES {
            let mut problems = Vec::new();
            shape::check(&root, &strict, &mut problems);
            meaning::check(&root, &mut problems);
            if problems.is_empty() {
                return self.loaded(root, Vec::new()).ok();
            }
            for part in problems.iter().map(|problem| Part::of(&problem.pointer)).collect::<BTreeSet<Part>>() {
                part.leave_out(&mut root);
            }
        }
        None
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A rule of a group, by its place in the list: the others keep theirs.
    Rule { group: String, index: String },
    /// An object of a section, or a key of one.
    Whole(String),
}

impl Part {
    fn of(pointer: &str) -> Self {
        let steps: Vec<String> = steps(pointer).collect();
        let path = |steps: &[String]| steps.iter().fold(String::new(), |path, step| push(&path, step));
        match steps.as_slice() {
            [section, _, rules, index, ..] if section == rule_file::SECTION && rules == "rules" => {
                Part::Rule { group: path(steps.get(..3).unwrap_or_default()), index: index.clone() }
            }
            _ => Part::Whole(path(steps.get(..2).unwrap_or(&steps))),
        }
    }

    fn leave_out(&self, root: &mut Node) {
        match self {
            Part::Whole(pointer) => root.forget(pointer),
            Part::Rule { group, index } => {
                let harmless = json!({"record": format!("left:out:{index}"), "expr": "0"});
                match root.at_mut(&push(group, index)) {
                    Some(rule) => *rule = Node::from_value(&rule.place, harmless),
                    None => root.forget(group),
                }
            }
        }
    }
}
