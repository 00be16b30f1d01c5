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
            session.output.say(text(&silence, "/id"), &silence);
        }
        Silence::Preview { matchers } => {
            let preview = preview(session, matchers).await?;
            if session.output.json {
                session.output.one(&preview);
                return Ok(ExitCode::SUCCESS);
            }
            let none = Vec::new();
            let alerts = preview.pointer("/alerts").and_then(Value::as_array).unwrap_or(&none);
            let columns = [("FINGERPRINT", "/fingerprint"), ("SINCE", "/since"), ("SUMMARY", "/summary")];
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
    fn matchers_are_shown_in_one_line() {
        let mut silence = json!({"matchers": ["a=\"b\"", "c=~\"d\""]});
        in_one_line(&mut silence);
        assert_eq!(silence["matchers"], "a=\"b\", c=~\"d\"");
    }
}
