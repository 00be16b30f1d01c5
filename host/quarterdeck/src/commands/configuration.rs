//! The configuration: writing one, checking it, what the daemon works with.

use super::Session;
use crate::arguments::{Config, Global};
use crate::output::{Output, print_line};
use anyhow::{Context, Result, bail};
use quarterdeck_config::{Place, Problem};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Writes the annotated default, and never over a file that is there.
pub(super) fn init(folder: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(folder.join("plugins")).with_context(|| format!("failed to make {}", folder.display()))?;
    let path = folder.join("quarterdeck.toml");
    if path.exists() {
        bail!("{} is there already; hint: name another folder", path.display());
    }
    std::fs::write(&path, quarterdeck_config::default_text())
        .with_context(|| format!("failed to write {}", path.display()))?;
    print_line(&format!("wrote {}", path.display()));
    print_line(&format!("start with: quarterdeck run --config-dir {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(global: &Global) -> Result<ExitCode> {
    let output = Output { json: global.json };
    match crate::daemon::load_configuration(global) {
        Ok(loaded) => {
            let sentence = format!("the configuration is valid ({} files)", loaded.files.len());
            output.say(&sentence, &json!({"valid": true, "files": loaded.files.len(), "problems": []}));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) if global.json => {
            let problems: Vec<_> = problems.0.iter().map(describe).collect();
            output.say("", &json!({"valid": false, "problems": problems}));
            Ok(ExitCode::from(1))
        }
        Err(problems) => {
            eprintln!("{problems}");
            Ok(ExitCode::from(1))
        }
    }
}

/// A mistake as tools take it.
fn describe(problem: &Problem) -> Value {
    let place = match &problem.place {
        Some(Place::File { path, line, column }) => json!({"file": path, "line": line, "column": column}),
        Some(Place::Variable(name)) => json!({"variable": **name}),
        Some(Place::Flag(name)) => json!({"flag": **name}),
        Some(Place::Api) => json!({"api": true}),
        Some(Place::Default) | None => Value::Null,
    };
    json!({"place": place, "pointer": problem.pointer, "message": problem.message, "hint": problem.hint})
}

pub(super) fn schema() -> Result<ExitCode> {
    print_line(&serde_json::to_string_pretty(&quarterdeck_config::json_schema())?);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remote(session: &Session, command: &Config) -> Result<ExitCode> {
    match command {
        Config::Show => {
            let effective = session.client.get("/api/v1/configuration", &[]).await?;
            Output { json: true }.one(&effective);
        }
        Config::Reload => {
            let answer = session.client.post("/api/v1/configuration/reload", &json!({})).await?;
            session.output.say("the configuration is in force", &answer);
        }
        // Handled without a daemon.
        Config::Check | Config::Schema => {}
    }
    Ok(ExitCode::SUCCESS)
}
