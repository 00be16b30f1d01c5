//! Alerts and objectives.

use super::Session;
use crate::arguments::{Alert, Slo};
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

pub(super) async fn alert(session: &Session, command: &Alert) -> Result<ExitCode> {
    match command {
        Alert::List { all } => {
            let items = session.client.list("/api/v1/alerts", &[], usize::MAX).await?;
            let items: Vec<_> =
                items.into_iter().filter(|alert| *all || super::text(alert, "/state") != "resolved").collect();
            let columns = [
                ("FINGERPRINT", "/fingerprint"),
                ("SEVERITY", "/severity"),
                ("STATE", "/state"),
                ("RULE", "/rule"),
                ("VALUE", "/value"),
                ("SINCE", "/active_at"),
                ("SUMMARY", "/summary"),
            ];
            session.output.list(&columns, &items, "no alerts");
        }
        Alert::Ack { fingerprint } => {
            let answer = session.client.post(&format!("/api/v1/alerts/{fingerprint}/acknowledge"), &json!({})).await?;
            session.output.say("acknowledged", &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn slo(session: &Session, command: &Slo) -> Result<ExitCode> {
    let Slo::List = command;
    let items = session.client.list("/api/v1/slos", &[], usize::MAX).await?;
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
