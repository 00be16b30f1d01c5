//! Silences, and planned work.

use super::{Session, text};
use crate::arguments::Silence;
use crate::client::escape;
use crate::output::remark;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn silence(session: &Session, command: &Silence) -> Result<ExitCode> {
    match command {
        Silence::List { all, limit } => {
            let states = if *all { [].as_slice() } else { &["active", "pending"] };
            let mut listed = session.client.first("/api/v1/silences", &super::states(states), limit.limit).await?;
            if !session.output.json {
                listed.items.iter_mut().for_each(in_one_line);
            }
            let columns = [
                ("SILENCE", "/id"),
                ("MATCHERS", "/matchers"),
                ("FROM", "/starts_at"),
                ("TO", "/ends_at"),
                ("BY", "/created_by"),
                ("COMMENT", "/comment"),
            ];
            session.output.listed(&columns, &listed, "no silences");
        }
        Silence::Add { matchers, span, comment, author, broad } => {
            let preview = preview(session, matchers).await?;
            let warnings = warnings(&preview);
            if !warnings.is_empty() && !broad {
                bail!("{}\nhint: say --broad if that is meant", warnings.join("; "));
            }
            let mut body = json!({"matchers": matchers, "for": span, "comment": comment});
            if let (Some(author), Some(body)) = (author, body.as_object_mut()) {
                body.insert("created_by".to_owned(), json!(author));
            }
            let silence = session.client.post("/api/v1/silences", &body).await?;
            let matched = preview.get("matched").and_then(Value::as_u64).unwrap_or(0);
            session.output.say(&added(&silence, matched), &silence);
        }
        Silence::Preview { matchers } => {
            let preview = preview(session, matchers).await?;
            if session.output.json {
                session.output.one(&preview);
                return Ok(ExitCode::SUCCESS);
            }
            let none = Vec::new();
            let alerts = preview.pointer("/alerts").and_then(Value::as_array).unwrap_or(&none);
            let columns = [
                ("FINGERPRINT", "/fingerprint"),
                ("SEVERITY", "/severity"),
                ("RULE", "/rule"),
                ("INSTANCE", "/labels/instance"),
                ("SINCE", "/since"),
                ("SUMMARY", "/summary"),
            ];
            session.output.list(&columns, alerts, "it matches no alert that fires now");
            warnings(&preview).iter().for_each(|warning| remark(&format!("warning: {warning}")));
        }
        Silence::Expire { id } => {
            let silence = session.client.delete(&format!("/api/v1/silences/{}", escape(id))).await?;
            session.output.say("expired", &silence);
        }
        Silence::Windows => {
            // They stand in the configuration: there are never so many that they come in parts.
            let listed = session.client.get("/api/v1/maintenance-windows", &[]).await?;
            let windows = listed.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let columns = [
                ("WINDOW", "/name"),
                ("ACTIVE", "/active"),
                ("SINCE", "/since"),
                ("UNTIL", "/until"),
                ("MODE", "/spec/mode"),
                ("ALERTS", "/matched"),
            ];
            session.output.list(&columns, &windows, "no planned work");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, and what it is about.
fn added(silence: &Value, matched: u64) -> String {
    let now =
        if matched == 1 { "1 alert that fires now".to_owned() } else { format!("{matched} alerts that fire now") };
    format!("silence {} until {}: it matches {now}", text(silence, "/id"), text(silence, "/ends_at"))
}

async fn preview(session: &Session, matchers: &[String]) -> Result<Value> {
    session.client.post("/api/v1/silences/preview", &json!({"matchers": matchers})).await
}

fn warnings(preview: &Value) -> Vec<String> {
    let warnings = preview.pointer("/warnings").and_then(Value::as_array).into_iter().flatten();
    warnings.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// For people: all matchers together.
fn in_one_line(silence: &mut Value) {
    if let Some(matchers) = silence.get_mut("matchers") {
        let texts: Vec<&str> = matchers.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        *matchers = Value::String(texts.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_that_is_made_says_until_when_and_what_it_matches() {
        let silence = json!({"id": "5e", "ends_at": "2026-01-01T00:00:00.000Z"});
        assert_eq!(added(&silence, 1), "silence 5e until 2026-01-01T00:00:00.000Z: it matches 1 alert that fires now");
        assert!(added(&silence, 0).ends_with("it matches 0 alerts that fire now"));
    }

    #[test]
    fn matchers_are_shown_in_one_line() {
        let mut silence = json!({"matchers": ["a=\"b\"", "c=~\"d\""]});
        in_one_line(&mut silence);
        assert_eq!(silence["matchers"], "a=\"b\", c=~\"d\"");
    }
}
