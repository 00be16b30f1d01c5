//! What is in force: all of it, a section, or an object.

use super::Session;
use crate::output::print_line;
use anyhow::{Context, Result, anyhow};
use quarterdeck_model::nearest;
use serde_json::{Map, Value};

pub(super) async fn show(session: &Session, section: Option<&str>, name: Option<&str>) -> Result<()> {
    let answer = session.client.get("/api/v1/configuration", &[]).await?;
    if session.output.json && section.is_none() {
        session.output.one(&answer);
        return Ok(());
    }
    let effective = answer.get("value").unwrap_or(&answer);
    let part = part(effective, section, name)?;
    if session.output.json {
        session.output.one(&part);
    } else {
        print_line(toml(&under(part, section, name))?.trim_end());
    }
    Ok(())
}

/// What is meant, with what is there where it is not.
fn part(effective: &Value, section: Option<&str>, name: Option<&str>) -> Result<Value> {
    [section, name].into_iter().flatten().try_fold(effective.clone(), |at, wanted| {
        let known = at.as_object().cloned().unwrap_or_default();
        known.get(wanted).cloned().ok_or_else(|| {
            let hint = match nearest(wanted, known.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.len() > 20 => "`quarterdeck config objects` lists them".to_owned(),
                None => format!("there are {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
            };
            anyhow!("there is no `{wanted}` in the configuration; hint: {hint}")
        })
    })
}

/// Below its own name again, so that it can be pasted into a file.
fn under(part: Value, section: Option<&str>, name: Option<&str>) -> Value {
    let below = |part: Value, name: &str| Value::Object(Map::from_iter([(name.to_owned(), part)]));
    [name, section].into_iter().flatten().fold(part, below)
}

/// TOML has no nothing.
fn toml(value: &Value) -> Result<String> {
    let mut value = value.clone();
    without_nulls(&mut value);
    toml::to_string(&value).context("failed to write it as TOML; hint: --json")
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_shown_as_it_is_written_into_a_file_and_what_is_not_there_is_told_with_what_is_near() {
        let effective =
            json!({"rules": {"cpu-high": {"for": "2m", "runbook": null, "config": {"raise": 95.0}}}, "log": {}});
        let shown = |section, name| {
            let part = part(&effective, section, name).unwrap();
            toml(&under(part, section, name)).unwrap()
        };
        let rule = shown(Some("rules"), Some("cpu-high"));
        assert!(
            rule.contains("[rules.cpu-high]") && rule.contains("for = \"2m\"") && !rule.contains("runbook"),
            "{rule}"
        );
        assert!(rule.contains("[rules.cpu-high.config]"), "{rule}");
        assert_eq!(shown(Some("log"), None).trim(), "[log]");
        let error = part(&effective, Some("rule"), None).unwrap_err().to_string();
        assert_eq!(error, "there is no `rule` in the configuration; hint: did you mean `rules`?");
    }
}
