//! A configuration of Alertmanager, laid under what `[alerting]` says: its tree of routes, the names of its receivers, inhibition rules
//! and time intervals.
//!
//! How a receiver reaches people is not taken from there: here, instances of notifiers do that (`receivers`). Keys that are not known are
//! mistakes, with their places in that file.

mod receivers;

pub(crate) use receivers::{Receiver, complete};

use crate::place::Place;
use crate::problem::Problem;
use crate::read;
use crate::tree::{Kind, Node, Table};
use quarterdeck_model::domain::alerting::Matcher;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reads the file that is named, if one is. Gives its receivers, for [`complete`].
pub(crate) fn read(written: &mut Node, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) -> Vec<Receiver> {
    let named = written.at("/alerting/file").and_then(Node::text).map(PathBuf::from);
    named.map(|path| read_file(&path, written, files, problems)).unwrap_or_default()
}

fn read_file(path: &Path, written: &mut Node, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) -> Vec<Receiver> {
    files.push(path.to_owned());
    if !read::is_yaml(path) {
        let place = written.at("/alerting/file").map_or(Place::Default, |node| node.place.clone());
        problems.push(Problem::at(&place, "/alerting/file", "expected a file that ends in `.yml` or `.yaml`"));
        return Vec::new();
    }
    let Some(root) = read::file(path, problems) else { return Vec::new() };
    let start = Place::File { path: path.into(), line: 1, column: 1 };
    let receivers = receivers::read(root.get("receivers"));
    let mut below = converted(root, &start);
    let Kind::Table(sections) = &mut written.kind else { return Vec::new() };
    if let Some(over) = sections.get("alerting").cloned() {
        below.merge(over);
    }
    sections.insert("alerting".to_owned(), below);
    receivers
}

fn entries(node: Node) -> Table {
    match node.kind {
        Kind::Table(entries) => entries,
        _ => Table::new(),
    }
}

fn is_null(node: &Node) -> bool {
    node.kind == Kind::Scalar(Value::Null)
}

fn table(like: &Node, entries: Table) -> Node {
    Node { key: like.key.clone(), place: like.place.clone(), kind: Kind::Table(entries) }
}

fn text(like: &Node, text: String) -> Node {
    Node { key: like.key.clone(), place: like.place.clone(), kind: Kind::Scalar(Value::String(text)) }
}

fn list(like: &Node, items: Vec<Node>) -> Node {
    Node { key: like.key.clone(), place: like.place.clone(), kind: Kind::List(items) }
}

/// A single value as a text.
fn plain(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(Value::String(text)) => text.clone(),
        Kind::Scalar(value) => value.to_string(),
        _ => String::new(),
    }
}

fn converted(root: Node, start: &Place) -> Node {
    let mut alerting = Table::new();
    for (key, node) in entries(root) {
        match key.as_str() {
            "route" => {
                alerting.insert("route".to_owned(), route(node));
            }
            "receivers" => {
                alerting.insert("receivers".to_owned(), receivers::declared(&node));
            }
            "inhibit_rules" => {
                let rules = node.items().map(inhibit_rule).collect();
                alerting.insert("inhibit-rules".to_owned(), list(&node, rules));
            }
            "time_intervals" | "mute_time_intervals" => {
                let named = intervals(&node);
                match alerting.get_mut("time-intervals") {
                    Some(known) => known.merge(named),
                    None => {
                        alerting.insert("time-intervals".to_owned(), named);
                    }
                }
            }
            "global" => {
                if let Some(timeout) = node.get("resolve_timeout") {
                    alerting.insert("resolve-timeout".to_owned(), timeout.clone());
                }
            }
            // How messages look is said by the notifiers' own templates.
            "templates" => {}
            other => {
                alerting.insert(other.to_owned(), node);
            }
        }
    }
    Node { key: start.clone(), place: start.clone(), kind: Kind::Table(alerting) }
}

fn route(node: Node) -> Node {
    let like = table(&node, Table::new());
    let mut found = Table::new();
    let mut matchers: Option<Node> = None;
    for (key, inner) in entries(node) {
        if is_null(&inner) {
            continue;
        }
        match key.as_str() {
            "match" | "match_re" | "matchers" => add(&mut matchers, &key, &inner),
            "routes" => {
                let below = inner.items().cloned().map(route).collect();
                found.insert("routes".to_owned(), list(&inner, below));
            }
            other => {
                found.insert(other.replace('_', "-"), inner);
            }
        }
    }
    if let Some(matchers) = matchers {
        found.insert("matchers".to_owned(), matchers);
    }
    table(&like, found)
}

/// Matchers in one of Alertmanager's three ways to write them.
fn add(matchers: &mut Option<Node>, key: &str, node: &Node) {
    let mut items = Vec::new();
    if key.ends_with("matchers") {
        for item in node.items() {
            match item.text().map(Matcher::list) {
                Some(Ok(list)) => items.extend(list.iter().map(|matcher| text(item, matcher.to_string()))),
                // Said with its place when it is looked at as a matcher.
                _ => items.push(item.clone()),
            }
        }
    } else {
        let comparison = if key.ends_with("_re") { "=~" } else { "=" };
        for (name, value) in node.entries() {
            let quoted = plain(value).replace('\\', "\\\\").replace('"', "\\\"");
            items.push(text(value, format!("{name}{comparison}\"{quoted}\"")));
        }
    }
    match matchers {
        Some(Node { kind: Kind::List(known), .. }) => known.extend(items),
        _ => *matchers = Some(list(node, items)),
    }
}

fn inhibit_rule(rule: &Node) -> Node {
    let mut found = Table::new();
    for (key, inner) in rule.entries().filter(|(_, inner)| !is_null(inner)) {
        let side = ["source", "target"].into_iter().find(|side| key.starts_with(&format!("{side}_match")));
        match side {
            Some(side) => {
                let name = format!("{side}-matchers");
                let mut matchers = found.remove(&name);
                add(&mut matchers, key, inner);
                if let Some(matchers) = matchers {
                    found.insert(name, matchers);
                }
            }
            None => {
                found.insert(key.replace('_', "-"), inner.clone());
            }
        }
    }
    table(rule, found)
}

fn intervals(node: &Node) -> Node {
    let mut found = Table::new();
    for named in node.items() {
        let Some(name) = named.get("name").map(plain) else { continue };
        let parts = named.get("time_intervals").into_iter().flat_map(Node::items).map(interval).collect();
        found.insert(name, list(named, parts));
    }
    table(node, found)
}

fn interval(part: &Node) -> Node {
    let mut found = Table::new();
    for (key, inner) in part.entries().filter(|(_, inner)| !is_null(inner)) {
        let items = inner.items().map(|item| match &item.kind {
            Kind::Table(_) => {
                let times = item.entries().map(|(key, time)| (key.replace('_', "-"), text(time, clock(time))));
                table(item, times.collect())
            }
            _ => text(item, plain(item)),
        });
        let value = if matches!(inner.kind, Kind::List(_)) { list(inner, items.collect()) } else { inner.clone() };
        found.insert(key.replace('_', "-"), value);
    }
    table(part, found)
}

/// Some readers of YAML take `09:00` for a number of minutes.
fn clock(time: &Node) -> String {
    match time.to_value().as_i64() {
        Some(minutes) => format!("{:02}:{:02}", minutes / 60, minutes % 60),
        None => plain(time),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Source, load};
    use serde_json::json;

    const FILE: &str = r#"
global: {resolve_timeout: 10m, smtp_smarthost: "mail:25"}
templates: ["*.tmpl"]
route:
  receiver: team-x
  group_by: ['...']
  group_wait: 30s
  routes:
  - match: {service: db}
    match_re: {severity: critical|page}
    receiver: team-y
    continue: true
    mute_time_intervals: [weekends]
  - matchers: ['team="x"', '{zone=~"a,b|c",env!="test"}']
receivers:
- name: team-x
  webhook_configs: [{url: "http://x/", send_resolved: true}]
- name: team-y
  email_configs: [{to: y@x, send_resolved: false}]
inhibit_rules:
- source_match: {severity: critical}
  target_matchers: ['severity="warning"']
  equal: [cluster]
time_intervals:
- name: weekends
  time_intervals:
  - weekdays: [saturday, sunday]
    years: [2026]
    times: [{start_time: 09:00, end_time: 17:00}]
"#;

    fn source(toml: &str, yaml: &str) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quarterdeck.toml"), toml).unwrap();
        std::fs::write(folder.path().join("alertmanager.yml"), yaml).unwrap();
        let source = Source { dir: Some(folder.path().to_owned()), ..Source::default() };
        (folder, source)
    }

    #[test]
    fn a_file_of_alertmanager_is_laid_under_what_is_written_here() {
        let toml = "[alerting]\nfile = \"alertmanager.yml\"\n[alerting.receivers.team-y]\nnotify = [\"log/default\"]\n\
            [alerting.route]\ngroup-wait = \"5s\"\n[instances.\"webhook/team-x\"]\nplugin = \"webhook\"\n";
        let (folder, source) = source(toml, FILE);
        let loaded = load(source).unwrap();
        let alerting = serde_json::to_value(&loaded.settings.alerting).unwrap();
        let expected = json!({
            "route": {"receiver": "team-x", "group-by": ["..."], "group-wait": "5s", "routes": [
                {"matchers": ["service=\"db\"", "severity=~\"critical|page\""], "receiver": "team-y", "continue": true,
                    "mute-time-intervals": ["weekends"]},
                {"matchers": ["team=\"x\"", "zone=~\"a,b|c\"", "env!=\"test\""]}]},
            "receivers": {"team-x": {"notify": ["webhook/team-x"], "send-resolved": true},
                "team-y": {"notify": ["log/default"], "send-resolved": false}},
            "inhibit-rules": [{"source-matchers": ["severity=\"critical\""], "target-matchers": ["severity=\"warning\""],
                "equal": ["cluster"]}],
            "time-intervals": {"weekends": [{"weekdays": ["saturday", "sunday"], "years": ["2026"],
                "times": [{"start-time": "09:00", "end-time": "17:00"}]}]},
            "resolve-timeout": "10m",
            "file": folder.path().join("alertmanager.yml"),
        });
        assert_eq!(alerting, expected);
        assert!(loaded.files.contains(&folder.path().join("alertmanager.yml")), "it is watched");
    }

    #[test]
    fn a_mistake_in_it_is_told_with_its_place_there() {
        let yaml = "route:\n  receiver: nobody\n  group_wiat: 30s\nreceivers:\n- name: ops\n";
        let (_folder, source) = source("[alerting]\nfile = \"alertmanager.yml\"\n", yaml);
        let problems = load(source).unwrap_err().to_string();
        assert!(
            problems.contains("alertmanager.yml:2:13: alerting.route.receiver: there is no receiver `nobody`"),
            "{problems}"
        );
        assert!(problems.contains("alertmanager.yml:3:3"), "{problems}");
        assert!(problems.contains("group-wait"), "{problems}");
    }

    #[test]
    fn a_file_that_is_not_there_is_said() {
        let (_folder, source) = source("[alerting]\nfile = \"other.yml\"\n", "");
        assert!(load(source).unwrap_err().to_string().contains("other.yml"));
    }
}
