//! Versions: what was in force, what is different, the way back, and out.

use super::super::text;
use super::Session;
use crate::output::print_line;
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
    let first = items.first().map(|item| quarterdeck_config::key_path(text(item, "/pointer")));
    match (items.len(), first) {
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
    print_line(&format!("from {} to {}", text(&answer, "/from"), text(&answer, "/to")));
    let items = answer.get("items").and_then(Value::as_array);
    print_differences(items.map(Vec::as_slice).unwrap_or_default(), "no difference");
    Ok(())
}

fn print_differences(items: &[Value], none: &str) {
    for item in items {
        let path = quarterdeck_config::key_path(text(item, "/pointer"));
        let shown = |name: &str| item.get(name).map(Value::to_string).unwrap_or_default();
        print_line(&match text(item, "/change") {
            "added" => format!("+ {path}: {}", shown("after")),
            "removed" => format!("- {path}: {}", shown("before")),
            _ => format!("~ {path}: {} -> {}", shown("before"), shown("after")),
        });
    }
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
        let item = |pointer: &str| json!({"pointer": pointer, "change": "added"});
        assert_eq!(in_short(&[]), "none");
        assert_eq!(in_short(&[item("/rules/cpu-high/window")]), "rules.cpu-high.window");
        assert_eq!(in_short(&[item("/log"), item("/rules"), item("/routes")]), "log and 2 more");
    }
}
