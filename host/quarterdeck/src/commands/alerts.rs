//! Alerts and objectives.

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
            let listed = session.client.first("/api/v1/alerts", &super::states(states), limit.limit).await?;
            let columns = [
                ("FINGERPRINT", "/fingerprint"),
                ("SEVERITY", "/severity"),
                ("STATE", "/state"),
                ("RULE", "/rule"),
                ("VALUE", "/value"),
                ("SINCE", "/active_at"),
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
            session.output.say("acknowledged", &session.client.post(&path, &body).await?);
        }
        Alert::Why { fingerprint } => {
            let path = format!("/api/v1/alerts/{}/explanation", escape(fingerprint));
            why(session, &session.client.get(&path, &[]).await?);
        }
        Alert::Resolve { fingerprint } => {
            let answer =
                session.client.post(&format!("/api/v1/alerts/{}/resolve", escape(fingerprint)), &json!({})).await?;
            session.output.say("resolved", &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
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
        session.output.one(&session.client.get(&format!("/api/v1/slos/{}", escape(name)), &[]).await?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut items = session.client.list("/api/v1/slos", &[], usize::MAX).await?;
    if !session.output.json {
        items.iter_mut().for_each(in_percent);
    }
    let columns = [
        ("OBJECTIVE", "/name"),
        ("STATE", "/state"),
        ("ATTAINED", "/attainment/adjusted/attained"),
        ("GOOD", "/attainment/adjusted/good"),
        ("TOTAL", "/attainment/adjusted/total"),
        ("BUDGET LEFT", "/attainment/budget_left"),
        ("WINDOW", "/spec/window"),
        ("ERROR", "/error"),
    ];
    session.output.list(&columns, &items, "no objectives calculated yet");
    Ok(ExitCode::SUCCESS)
}

/// For people: what is left of the budget.
fn in_percent(objective: &mut Value) {
    if let Some(left) = objective.pointer_mut("/attainment/budget_left")
        && let Some(share) = left.as_f64()
    {
        *left = Value::String(format!("{:.2} %", share * 100.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_budget_is_told_in_percent() {
        for (left, expected) in
            [(json!(0.99666), json!("99.67 %")), (json!(-1.5), json!("-150.00 %")), (Value::Null, Value::Null)]
        {
            let mut objective = json!({"attainment": {"budget_left": left}});
            in_percent(&mut objective);
            assert_eq!(objective["attainment"]["budget_left"], expected);
        }
    }
}
