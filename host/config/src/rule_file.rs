//! Rule files in Prometheus's format: `groups`, each with its name and its rules.
//!
//! Prometheus takes any single value for text: `severity: 1` and `expr: 1` are fine. So these files are read with every value as the
//! text that it is written as, and only `limit` is made a number. Whether queries, templates and durations can be read is known
//! where rules are evaluated.

use crate::layers::check_groups_only;
use crate::place::{Place, push};
use crate::problem::{Problem, Problems};
use crate::read;
use crate::tree::{Kind, Node, Places};
use quarterdeck_model::brief;
use quarterdeck_model::domain::rule_group::RuleGroup;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const SECTION: &str = "rule-groups";

/// A rule file that is well-formed.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// By their names in a configuration, in the order of the file.
    pub groups: Vec<(String, RuleGroup)>,
    places: Places,
}

impl RuleFile {
    /// A mistake that only the evaluation of rules can see, with its place. `pointer`: below the group.
    pub fn problem(&self, group: &str, pointer: &str, message: impl Into<String>) -> Problem {
        let pointer = format!("{}{pointer}", push(&push("", SECTION), group));
        Problem::at(&self.places.0.around(&pointer).place, &pointer, message)
    }
}

/// Reads the text of a rule file. Its groups are called after the file, as they are in a configuration.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn rule_file(path: &Path, text: &str) -> Result<RuleFile, Problems> {
    let (file, problems) = rule_file_in_part(path, text);
    match file {
        Some(file) if problems.0.is_empty() => Ok(file),
        _ => Err(problems),
    }
}

/// The same, with what can be read beside the mistakes: a wrong key must not hide a wrong query.
pub fn rule_file_in_part(path: &Path, text: &str) -> (Option<RuleFile>, Problems) {
    let mut problems = Vec::new();
    let shared = path.into();
    let root = read::texts(&shared, text, &mut problems);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let start = Place::File { path: shared, line: 1, column: 1 };
    let Some(root) = root else { return (None, Problems::sorted(problems)) };
    if !is_one(&root) {
        let problem = Problem::at(&start, "", "expected `groups`");
        problems.push(problem.hint("a rule file holds `groups:`, a list of groups with `name` and `rules`"));
        return (None, Problems::sorted(problems));
    }
    let found = groups(&stem, root, &mut problems);
    let order: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let mut root = Node::table(start.clone());
    let section = Node { key: start.clone(), place: start, kind: Kind::Table(found.into_iter().collect()) };
    root.kind = Kind::of(SECTION.to_owned(), section);
    let mut wrong = check_groups_only(&root);
    // What is in the way of reading the rest is left out.
    wrong.iter().filter(|problem| problem.message.starts_with("unknown key")).for_each(|problem| {
        root.forget(&problem.pointer);
    });
    let decoded = decode(&root);
    if let (Err(message), true) = (&decoded, wrong.is_empty()) {
        wrong.push(Problem { place: None, pointer: String::new(), message: message.clone(), hint: None });
    }
    problems.extend(wrong);
    let file = decoded.ok().map(|mut by_name| {
        let groups = order.into_iter().filter_map(|name| by_name.remove_entry(&name)).collect();
        RuleFile { groups, places: Places(root) }
    });
    (file, Problems::sorted(problems))
}

/// Whether a file of the folder `rules` is Prometheus's.
pub(crate) fn is_one(root: &Node) -> bool {
    root.get("groups").is_some()
}

/// The groups of a file that was read as texts, by name, in the order of the file.
pub(crate) fn groups(stem: &str, root: Node, problems: &mut Vec<Problem>) -> Vec<(String, Node)> {
    let Kind::Table(mut entries) = root.kind else { return Vec::new() };
    let list = entries.remove("groups");
    for (other, node) in entries {
        let problem = Problem::at(&node.key, &push("", &other), "unknown key");
        problems.push(problem.hint("a rule file holds `groups` only"));
    }
    let list = match list.map(|list| (list.place, list.kind)) {
        Some((_, Kind::List(list))) => list,
        Some((_, Kind::Scalar(Value::Null))) | None => Vec::new(),
        Some((place, _)) => {
            problems.push(Problem::at(&place, "/groups", "expected a list of groups"));
            Vec::new()
        }
    };
    let mut groups: Vec<(String, Node)> = Vec::new();
    for (index, node) in list.into_iter().enumerate() {
        let pointer = format!("/groups/{index}");
        if !matches!(node.kind, Kind::Table(_)) {
            problems.push(Problem::at(&node.place, &pointer, "expected a group with `name` and `rules`"));
            continue;
        }
        let Some((name, place)) = node.get("name").and_then(named) else {
            problems.push(Problem::at(&node.place, &push(&pointer, "name"), "missing; expected the group's name"));
            continue;
        };
        let key = format!("{stem}/{name}");
        if let Some((_, first)) = groups.iter().find(|(other, _)| *other == key) {
            let problem = Problem::at(&place, &push(&pointer, "name"), format!("another group is called `{name}`"));
            problems.push(problem.hint(format!("the first one is at {}", first.key)));
            continue;
        }
        let mut node = group(node);
        node.key = place;
        groups.push((key, node));
    }
    groups
}

fn named(node: &Node) -> Option<(String, Place)> {
    node.text().filter(|name| !name.is_empty()).map(|name| (name.to_owned(), node.place.clone()))
}

/// What Prometheus takes for nothing is left out, and `limit` is a number.
fn group(mut node: Node) -> Node {
    without_nulls(&mut node);
    if let Kind::Table(entries) = &mut node.kind
        && let Some(limit) = entries.get_mut("limit")
        && let Some(number) = limit.text().and_then(|text| text.parse::<u64>().ok())
    {
        limit.kind = Kind::Scalar(Value::from(number));
    }
    node
}

fn without_nulls(node: &mut Node) {
    match &mut node.kind {
        Kind::Table(entries) => {
            entries.retain(|_, inner| inner.kind != Kind::Scalar(Value::Null));
            entries.iter_mut().for_each(|(_, inner)| without_nulls(inner));
        }
        Kind::List(items) => items.iter_mut().for_each(without_nulls),
        Kind::Scalar(_) => {}
    }
}

/// Groups by name, decoded.
pub(crate) fn decode(root: &Node) -> Result<BTreeMap<String, RuleGroup>, String> {
    let section = root.get(SECTION).map(Node::to_value).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(section).map_err(|error| brief(&error.to_string()))
}
