//! The way into the console.

use super::{Session, text};
use crate::output::print_line;
use anyhow::{Result, bail};
use serde_json::json;
use std::process::ExitCode;

/// Prints a new link. It is kept out of browsers that are started from here: who is signed in would be decided by whose browser that is.
pub(super) async fn link(session: &Session) -> Result<ExitCode> {
    let made = session.client.post("/api/v1/console/links", &json!({})).await?;
    let path = text(&made, "/path");
    if path.is_empty() {
        bail!("what answers there has no console");
    }
    let url = format!("{}{path}", session.client.base());
    if session.output.json {
        session.output.one(&json!({"url": url, "expires_at": made.get("expires_at")}));
    } else {
        print_line(&url);
        session.output.progress("it signs in once, within ten minutes");
    }
    Ok(ExitCode::SUCCESS)
}
