//! Versions: what was in force, what is different, the way back, and out.

use super::super::text;
use super::Session;
use crate::output::{print_line, printable};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::Path;

const PATH: &str = "/api/v1/configuration/versions";

pub(super) async fn list(session: &Session, limit: usize) -> Result<()> {
    let columns = [("VERSION", "/id"), ("APPLIED", "/applied_at"), ("BY", "/principal"), ("CHANGE", "/change")];
    // One more, for the oldest that is shown to be compared with.
    let mut versions = session.client.list(PATH, &[], limit.saturating_add(1)).await?;
    if !session.output.json {
        for index in 0..versions.len().min(limit) {
            let change = change(session, versions.get(index), versions.get(index + 1)).await?;
            if let Some(version) = versions.get_mut(index).and_then(Value::as_object_mut) {
                version.insert("change".to_owned(), Value::String(change));
            }
        }
    }
    versions.truncate(limit);
    session.output.list(&columns, &versions, "no versions");
    Ok(())
}

/// What a version changed of the one before.
async fn change(session: &Session, version: Option<&Value>, before: Option<&Value>) -> Result<String> {
    let (Some(version), Some(before)) = (version, before) else { return Ok("the oldest that is kept".to_owned()) };
    let path = format!("{PATH}/{}/differences", crate::client::escape(text(before, "/id")));
    // Retention may take it away meanwhile.
    let Ok(answer) = session.client.get(&path, &[("to", text(version, "/id").to_owned())]).await else {
        return Ok(String::new());
    };
    let items = answer.get("items").and_then(Value::as_array);
    Ok(in_short(items.map(Vec::as_slice).unwrap_or_default()))
}

fn in_short(items: &[Value]) -> String {
    let what = |item: &Value| {
        let path = quarterdeck_config::key_path(text(item, "/pointer"));
        match text(item, "/change") {
            "added" => format!("{path} set"),
            "removed" => format!("{path} taken away"),
            "changed" => format!("{path} changed"),
            _ => path,
        }
    };
    match (items.len(), items.first().map(what)) {
        (1, Some(first)) => first,
        (count, Some(first)) => format!("{first} and {} more", count.saturating_sub(1)),
        (_, None) => "none".to_owned(),
    }
}

pub(super) async fn diff(session: &Session, from: Option<&str>, to: Option<&str>) -> Result<()> {
    let from = match from {
        Some(from) => from.to_owned(),
        None => {
            let newest = session.client.list(PATH, &[], 2).await?;
            match newest.last() {
                Some(before) => text(before, "/id").to_owned(),
                None => bail!("there are no versions yet"),
            }
        }
    };
    let query: Vec<(&str, String)> = to.map(|to| ("to", to.to_owned())).into_iter().collect();
    let answer = session.client.get(&format!("{PATH}/{}/differences", crate::client::escape(&from)), &query).await?;
    if session.output.json {
        session.output.one(&answer);
        return Ok(());
    }
    print_line(&format!("from {}", named(session, text(&answer, "/from")).await));
    print_line(&format!("  to {}", named(session, text(&answer, "/to")).await));
    let items = answer.get("items").and_then(Value::as_array);
    print_differences(items.map(Vec::as_slice).unwrap_or_default(), "no difference");
    Ok(())
}

/// A version, with when it came into force and by whom.
async fn named(session: &Session, id: &str) -> String {
    let version = session.client.get(&format!("{PATH}/{}", crate::client::escape(id)), &[]).await.unwrap_or_default();
    match (text(&version, "/applied_at"), text(&version, "/principal")) {
        ("", _) => id.to_owned(),
        (at, by) => format!("{id}  in force since {at}, by {by}"),
    }
}

/// A line for each key, however deep it stands.
fn difference(item: &Value) -> Vec<String> {
    let path = quarterdeck_config::key_path(text(item, "/pointer"));
    let each = |sign: &str, name: &str| {
        let mut keys = Vec::new();
        flat(&path, item.get(name).unwrap_or(&Value::Null), &mut keys);
        keys.into_iter().map(|(key, value)| format!("{sign} {key}: {value}")).collect::<Vec<_>>()
    };
    let shown = |name: &str| item.get(name).map(cell_of).unwrap_or_default();
    match text(item, "/change") {
        "added" => each("+", "after"),
        "removed" => each("-", "before"),
        _ => vec![format!("~ {path}: {} -> {}", shown("before"), shown("after"))],
    }
}

/// What is empty, false or off is mostly a default that nobody wrote.
fn flat(path: &str, value: &Value, keys: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            let before = keys.len();
            for (name, value) in fields {
                let is_empty = match value {
                    Value::Null | Value::Bool(false) => true,
                    Value::String(text) => text.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    Value::Object(fields) => fields.is_empty(),
                    _ => false,
                };
                let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
                let name = if is_bare { name.clone() } else { format!("\"{name}\"") };
                if !is_empty {
                    flat(&format!("{path}.{name}"), value, keys);
                }
            }
            if keys.len() == before {
                keys.push((path.to_owned(), "{}".to_owned()));
            }
        }
        value => keys.push((path.to_owned(), cell_of(value))),
    }
}

fn cell_of(value: &Value) -> String {
    printable(&value.to_string())
}

fn print_differences(items: &[Value], none: &str) {
    items.iter().flat_map(difference).for_each(|line| print_line(&line));
    if items.is_empty() {
        print_line(none);
    }
}

pub(super) async fn restore(session: &Session, version: &str) -> Result<()> {
    let path = format!("{PATH}/{}/restore", crate::client::escape(version));
    let answer = session.client.post(&path, &json!({})).await?;
    session.output.say(&format!("the objects are those of {version}"), &answer);
    let left = answer.get("not_restored").and_then(Value::as_array).cloned().unwrap_or_default();
    if !session.output.json && !left.is_empty() {
        print_line("what stands in files, variables and flags stays as it is now:");
        print_differences(&left, "");
    }
    Ok(())
}

pub(super) async fn export(session: &Session, folder: Option<&Path>) -> Result<()> {
    let answer = session.client.get("/api/v1/configuration/export", &[]).await?;
    let files = answer.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(folder) = folder else {
        if session.output.json {
            session.output.one(&answer);
            return Ok(());
        }
        let [only] = files.as_slice() else {
            let names: Vec<&str> = files.iter().map(|file| text(file, "/path")).collect();
            bail!("these are several files ({}); hint: name a folder, or use --json", names.join(", "));
        };
        print_line(text(only, "/text").trim_end());
        return Ok(());
    };
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; hint: name another folder", folder.display());
    }
    for file in &files {
        let path = folder.join(text(file, "/path"));
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            std::fs::write(&path, text(file, "/text"))
        };
        write().with_context(|| format!("failed to write {}", path.display()))?;
    }
    session.output.say(&format!("wrote {} files into {}", files.len(), folder.display()), &answer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_changed_is_told_by_the_first_change_and_the_number_of_the_others() {
        let item = |pointer: &str, change: &str| json!({"pointer": pointer, "change": change});
        assert_eq!(in_short(&[]), "none");
        assert_eq!(in_short(&[item("/rules/cpu-high/window", "added")]), "rules.cpu-high.window set");
        assert_eq!(in_short(&[item("/rules/cpu-high", "removed")]), "rules.cpu-high taken away");
        let three = [item("/log", "changed"), item("/rules", "added"), item("/routes", "added")];
        assert_eq!(in_short(&three), "log changed and 2 more");
    }

    #[test]
    fn a_difference_is_told_key_by_key_without_what_is_empty() {
        let added = json!({"pointer": "/routes/team", "change": "added",
            "after": {"events": ["alert"], "labels": {}, "digest": null, "enabled": true, "notify": ["webhook/a"]}});
        let expected = [
            "+ routes.team.enabled: true",
            "+ routes.team.events: [\"alert\"]",
            "+ routes.team.notify: [\"webhook/a\"]",
        ];
        assert_eq!(difference(&added), expected);
        let changed = json!({"pointer": "/rules/a/for", "change": "changed", "before": "2m", "after": "3m"});
        assert_eq!(difference(&changed), ["~ rules.a.for: \"2m\" -> \"3m\""]);
        let removed = json!({"pointer": "/log/filter", "change": "removed", "before": "info"});
        assert_eq!(difference(&removed), ["- log.filter: \"info\""]);
    }
}
