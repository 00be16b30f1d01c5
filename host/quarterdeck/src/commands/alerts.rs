//! Alerts and objectives.

mod figures;

use super::{Session, text};
use crate::arguments::{Alert, Slo};
use crate::client::escape;
use crate::output::{print_line, printable};
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn alert(session: &Session, command: &Alert) -> Result<ExitCode> {
    match command {
        Alert::List { all, limit } => {
            let states = if *all { [].as_slice() } else { &["pending", "firing"] };
            let mut listed = session.client.first("/api/v1/alerts", &super::states(states), limit.limit).await?;
            if !session.output.json {
                listed.items.iter_mut().for_each(in_words);
            }
            let columns = [
                ("FINGERPRINT", "/fingerprint"),
                ("SEVERITY", "/severity"),
                ("STATE", "/state"),
                ("RULE", "/rule"),
                ("VALUE", "/value"),
                ("SINCE", "/active_at"),
                ("ACKNOWLEDGED BY", "/acknowledged_by"),
                ("DATA", "/data"),
                ("SUMMARY", "/summary"),
            ];
            session.output.listed(&columns, &listed, "no alerts");
        }
        Alert::Show { fingerprint } => {
            let mut alert = session.client.get(&format!("/api/v1/alerts/{}", escape(fingerprint)), &[]).await?;
            if let Some(health) = health(session, &alert).await
                && let Some(alert) = alert.as_object_mut()
            {
                alert.insert("health".to_owned(), health);
            }
            session.output.one(&alert);
        }
        Alert::Ack { fingerprint, span } => {
            let body = span.as_ref().map_or_else(|| json!({}), |span| json!({"for": span}));
            let path = format!("/api/v1/alerts/{}/acknowledge", escape(fingerprint));
            let answer = session.client.post(&path, &body).await?;
            session.output.say(&format!("{} is acknowledged", named(&answer, fingerprint)), &answer);
        }
        Alert::Why { fingerprint } => {
            let path = format!("/api/v1/alerts/{}/explanation", escape(fingerprint));
            why(session, &session.client.get(&path, &[]).await?);
        }
        Alert::Resolve { fingerprint } => {
            let answer =
                session.client.post(&format!("/api/v1/alerts/{}/resolve", escape(fingerprint)), &json!({})).await?;
            session.output.say(&format!("{} is resolved", named(&answer, fingerprint)), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// For people: a value that nothing has come after is told from one that is fresh.
fn in_words(alert: &mut Value) {
    if alert.get("no_data").and_then(Value::as_bool) == Some(true)
        && let Some(alert) = alert.as_object_mut()
    {
        alert.insert("data".to_owned(), Value::from("none any more"));
    }
}

/// What it is called, where the answer says so.
fn named(alert: &Value, fingerprint: &str) -> String {
    match (text(alert, "/rule"), text(alert, "/labels/instance")) {
        ("", _) => format!("the alert {fingerprint}"),
        (rule, "") => format!("{rule} ({fingerprint})"),
        (rule, instance) => format!("{rule} of {instance} ({fingerprint})"),
    }
}

/// The answer first, then how it came about.
fn why(session: &Session, explanation: &Value) {
    if session.output.json {
        session.output.one(explanation);
        return;
    }
    print_line(&printable(text(explanation, "/summary")));
    for step in explanation.pointer("/steps").and_then(Value::as_array).into_iter().flatten() {
        print_line(&format!("  {}", printable(step.as_str().unwrap_or_default())));
    }
}

/// What the collector says about its target, where the alert is about one: a figure says that something is wrong, and not what.
async fn health(session: &Session, alert: &Value) -> Option<Value> {
    let (plugin, name) = text(alert, "/labels/instance").split_once('/')?;
    let path = format!("/api/v1/instances/{}/{}", escape(plugin), escape(name));
    // The instance may be gone, or the label somebody else's: the alert is shown all the same.
    let instance = session.client.get(&path, &[]).await.ok()?;
    instance.get("health").filter(|health| !health.is_null()).cloned()
}

pub(super) async fn slo(session: &Session, command: &Slo) -> Result<ExitCode> {
    if let Slo::Show { name } = command {
        let mut objective = session.client.get(&format!("/api/v1/slos/{}", escape(name)), &[]).await?;
        if session.output.json {
            session.output.one(&objective);
        } else {
            figures::in_words(&mut objective);
            figures::lines(&objective).iter().for_each(|line| print_line(line));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut items = session.client.list("/api/v1/slos", &[], usize::MAX).await?;
    if !session.output.json {
        items.iter_mut().for_each(figures::in_words);
    }
    let columns = [
        ("OBJECTIVE", "/name"),
        ("STATE", "/state"),
        ("ATTAINED", "/attainment/adjusted/attained"),
        ("TARGET", "/target"),
        ("GOOD", "/attainment/adjusted/good"),
        ("TOTAL", "/attainment/adjusted/total"),
        ("BUDGET LEFT", "/attainment/budget_left"),
        ("WINDOW", "/spec/window"),
        ("ERROR", "/error"),
    ];
    session.output.list(&columns, &items, "no objectives calculated yet");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_without_data_says_so_and_one_that_is_changed_is_named() {
        let mut alert = json!({"rule": "cpu-high", "no_data": true, "labels": {"instance": "system/local"}});
        in_words(&mut alert);
        assert_eq!(alert["data"], "none any more");
        assert_eq!(named(&alert, "ab"), "cpu-high of system/local (ab)");
        assert_eq!(named(&json!({"rule": "x"}), "ab"), "x (ab)");
        assert_eq!(named(&json!({}), "ab"), "the alert ab");
        let mut fresh = json!({"no_data": false});
        in_words(&mut fresh);
        assert_eq!(fresh, json!({"no_data": false}));
    }
}
