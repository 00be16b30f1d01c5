//! Environment variables and flags as layers.
//!
//! `QUARTERDECK_STORAGE__KEEP_EVENTS=3d`: two underscores separate levels, one stands for whatever a name has there
//! (`keep-events`, `http-probe/self`). A value is read as the setting's type wants it; a list is separated by
//! commas, or written as in TOML. What a container is told about services of a like name is passed over.

use crate::place::{Place, push, steps};
use crate::problem::{Problem, nearest};
use crate::schema;
use crate::tree::{Kind, Node};
use serde_json::Value;

const PREFIX: &str = "QUARTERDECK_";

/// Read by the command line.
const COMMAND_LINE: [&str; 5] = ["CACHE_DIR", "CONFIG_DIR", "ENVIRONMENT", "TOKEN_FILE", "URL"];
/// Read by the build, by plugins' processes, or by the tests.
const OTHERS: [&str; 4] = ["NO_RUSTUP", "PLUGIN_VERSION", "PROCESS", "SKIP_PLUGINS"];
/// No setting is nested deeper than a plugin's own configuration may sensibly be.
const MOST_LEVELS: usize = 32;

/// Lays the variable on the tree. Names that are not settings of ours are passed over; unknown settings become unknown keys.
/// Returns a warning about one that looks like a setting and isn't.
pub(crate) fn variable(
    root: &mut Node,
    strict: &Value,
    name: &str,
    value: &str,
    problems: &mut Vec<Problem>,
) -> Option<Problem> {
    let path = name.strip_prefix(PREFIX)?;
    if COMMAND_LINE.contains(&path) || OTHERS.contains(&path) || path.starts_with("TESTS_") {
        return None;
    }
    let settings = schema::known_keys(strict, strict);
    let is_setting = settings.iter().any(|known| same(known, path));
    let levels = path.split("__").count();
    if levels > MOST_LEVELS {
        let start: String = name.chars().take(40).collect();
        let message = format!("it has {levels} levels, and a setting has {MOST_LEVELS} at most");
        let place = Place::Variable(format!("{start}...").into());
        problems.push(Problem::at(&place, "", message).hint("two underscores separate levels"));
        return None;
    }
    if let Some(meant) = other_variable(path).filter(|_| !is_setting && nearest(path, settings).is_none()) {
        let problem = Problem::at(&Place::Variable(name.into()), "", "there is no such setting, and no such variable");
        problems.push(problem.hint(format!("did you mean `{PREFIX}{meant}`?")));
        return None;
    }
    if is_service_link(path, value) && !is_setting {
        let message = "passed over: it looks like a service link of Kubernetes or Docker, not like a setting";
        let hint = "`enableServiceLinks: false` in the pod's specification keeps such variables away";
        return Some(Problem::at(&Place::Variable(name.into()), "", message).hint(hint));
    }
    let mut pointer = String::new();
    for segment in path.split("__") {
        let known = schema::at(strict, &pointer).map(|here| schema::known_keys(strict, here)).unwrap_or_default();
        let existing = root.at(&pointer).into_iter().flat_map(Node::entries).map(|(key, _)| key);
        let key = known.into_iter().chain(existing).find(|key| same(key, segment)).map(str::to_owned);
        let key = key.unwrap_or_else(|| segment.to_lowercase().replace('_', "-"));
        pointer = push(&pointer, &key);
    }
    set(root, strict, &pointer, value, &Place::Variable(name.into()));
    None
}

/// The variable of the command line that was probably meant: `CONFIG` is short for `CONFIG_DIR`.
fn other_variable(path: &str) -> Option<&'static str> {
    let longer = |known: &&&str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('_'));
    COMMAND_LINE.iter().find(longer).copied().or_else(|| nearest(path, COMMAND_LINE))
}

/// Whether it is one of the variables by which Kubernetes (and Docker's links) tell containers of a service named `quarterdeck`
/// or `quarterdeck-<more>`: `SERVICE_HOST`, `SERVICE_PORT`, `SERVICE_PORT_HTTP`, `PORT=tcp://...`, `PORT_7700_TCP`,
/// `PORT_7700_TCP_ADDR`.
fn is_service_link(path: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    if path.contains("__") {
        return false;
    }
    let words: Vec<&str> = path.split('_').collect();
    let is_number = |word: &&str| word.parse::<u16>().is_ok();
    let is_address = |text: &str| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_uppercase());
        scheme.is_some_and(|scheme| PROTOCOLS.contains(&scheme.as_str()))
    };
    let is_tail = |tail: &[&str]| match tail {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => value.parse::<u16>().is_ok(),
        ["PORT"] => is_address(value),
        ["PORT", number, protocol] => is_number(number) && PROTOCOLS.contains(protocol) && is_address(value),
        ["PORT", number, protocol, "PROTO" | "PORT" | "ADDR"] => is_number(number) && PROTOCOLS.contains(protocol),
        _ => false,
    };
    (0..words.len()).any(|start| words.get(start..).is_some_and(is_tail))
}

/// Lays a flag on the tree; `path` is dotted.
pub(crate) fn flag(root: &mut Node, strict: &Value, path: &str, value: &str, name: &str) {
    let pointer = path.split('.').fold(String::new(), |pointer, key| push(&pointer, key));
    set(root, strict, &pointer, value, &Place::Flag(name.into()));
}

fn same(key: &str, segment: &str) -> bool {
    let simple = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    key.chars().map(simple).eq(segment.chars().map(|c| c.to_ascii_uppercase()))
}

fn set(root: &mut Node, strict: &Value, pointer: &str, text: &str, place: &Place) {
    let value = read(strict, schema::at(strict, pointer), text);
    let mut node = Node::from_value(place, value);
    let path: Vec<String> = steps(pointer).collect();
    for key in path.into_iter().rev() {
        let mut table = Node::table(place.clone());
        table.kind = Kind::of(key, node);
        node = table;
    }
    // Tables on the way keep the places that they have.
    overlay(root, node);
}

fn overlay(below: &mut Node, over: Node) {
    match (&mut below.kind, over.kind) {
        (Kind::Table(mine), Kind::Table(theirs)) => {
            for (key, node) in theirs {
                match mine.get_mut(&key) {
                    Some(inner) => overlay(inner, node),
                    None => {
                        mine.insert(key, node);
                    }
                }
            }
        }
        (mine, theirs) => {
            *mine = theirs;
            below.key = over.key;
            below.place = over.place;
        }
    }
}

fn read(strict: &Value, schema: Option<&Value>, text: &str) -> Value {
    let is = |name| schema.is_some_and(|schema| schema::has_type(strict, schema, name));
    if is("string") {
        return Value::String(text.to_owned());
    }
    let trimmed = text.trim();
    if is("array") && !trimmed.starts_with('[') {
        let items = trimmed.split(',').map(str::trim).filter(|item| !item.is_empty());
        return items.map(|item| Value::String(item.to_owned())).collect();
    }
    crate::read::toml_value(trimmed).unwrap_or_else(|| Value::String(text.to_owned()))
}
