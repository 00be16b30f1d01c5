//! Who is signed in to the console.

use super::Session;
use crate::arguments::SignedIn;
use crate::client::escape;
use anyhow::Result;
use serde_json::Value;
use std::process::ExitCode;

pub(super) async fn signed_in(session: &Session, command: &SignedIn) -> Result<ExitCode> {
    match command {
        SignedIn::List(limit) => {
            let listed = session.client.first("/api/v1/sessions", &[], limit.limit).await?;
            let columns = [
                ("SESSION", "/id"),
                ("SIGNED IN", "/created_at"),
                ("LAST USED", "/used_at"),
                ("FROM", "/from"),
                ("BROWSER", "/agent"),
            ];
            session.output.listed(&columns, &listed, "nobody is signed in");
        }
        SignedIn::End { id: Some(id), .. } => {
            let ended = session.client.delete(&format!("/api/v1/sessions/{}", escape(id))).await?;
            session.output.say(&format!("session {id} is over"), &ended);
        }
        SignedIn::End { id: None, except, .. } => {
            let query = except.as_ref().map(|id| format!("?except={}", escape(id))).unwrap_or_default();
            let ended = session.client.delete(&format!("/api/v1/sessions{query}")).await?;
            let said = match ended.get("ended").and_then(Value::as_u64).unwrap_or(0) {
                1 => "1 session is over".to_owned(),
                count => format!("{count} sessions are over"),
            };
            session.output.say(&said, &ended);
        }
    }
    Ok(ExitCode::SUCCESS)
}
