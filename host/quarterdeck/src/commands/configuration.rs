//! The configuration: writing one, checking it, what the daemon works with.

mod objects;
mod shown;
mod versions;

use super::Session;
use crate::arguments::{Config, Global};
use crate::daemon::Asked;
use crate::output::{Output, print_line, remark};
use anyhow::{Context, Result, bail};
use quarterdeck_config::{Place, Problem, Problems};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The keys and values that a file holds.
pub(super) fn read_object(file: &Path) -> Result<Value> {
    objects::read(None, Some(file))
}

/// Writes the annotated default with the overlays beside it, and never over a file that is there. A folder for plugins is not made:
/// the daemon would look there, and no more into the one of its data folder.
pub(super) fn init(global: &Global, folder: Option<&Path>) -> Result<ExitCode> {
    let usual = || crate::daemon::own_config_dir(global);
    let folder = &folder.map(Path::to_owned).or_else(usual).context("there is no home folder; hint: name a folder")?;
    let path = folder.join("quarterdeck.toml");
    if path.exists() {
        bail!("{} is there already; hint: name another folder", path.display());
    }
    let output = Output { json: global.json };
    let mut written = Vec::new();
    for (name, text) in quarterdeck_config::default_files() {
        let path = folder.join(name);
        if let Some(around) = path.parent() {
            std::fs::create_dir_all(around).with_context(|| format!("failed to make {}", around.display()))?;
        }
        if !path.exists() {
            std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
            written.push(path);
        }
    }
    // A flag of this call is no flag of the next one.
    let named = std::env::var_os("QUARTERDECK_CONFIG_DIR").map(PathBuf::from);
    let reads = crate::daemon::config_dir(&Global { config_dir: named, ..global.clone() });
    let is_read = reads.is_some_and(|reads| crate::daemon::same_folder(&reads, folder));
    let how = if is_read { String::new() } else { format!(" --config-dir {}", folder.display()) };
    let start = format!("quarterdeck run{how}");
    let warnings = crate::client::default_data_dir(global).map_or_else(
        |_| Vec::new(),
        |data| {
            let beside = folder.join("plugins");
            let plugins = if beside.is_dir() { beside } else { data.join("plugins") };
            crate::daemon::unread(global, folder, &plugins, &data)
        },
    );
    if output.json {
        let warnings: Vec<Value> = warnings.iter().map(|warning| json!({"detail": warning.to_string()})).collect();
        output.one(&json!({"folder": folder, "written": written, "start": start, "warnings": warnings}));
        return Ok(ExitCode::SUCCESS);
    }
    written.iter().for_each(|path| print_line(&format!("wrote {}", path.display())));
    print_line(&format!("start with: {start}"));
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(ExitCode::SUCCESS)
}

/// The files, and what plugins have against them.
pub(super) fn check(global: &Global) -> Result<ExitCode> {
    let output = Output { json: global.json };
    let loaded = match crate::daemon::load_configuration(global) {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(invalid(output, &and_further(global, problems).0, &[])),
    };
    let Asked { unfit, doubts } = crate::daemon::ask_offline(global, &loaded);
    let unasked = match unfit {
        Ok(problems) if !problems.is_empty() => return Ok(invalid(output, &problems, &doubts)),
        Ok(_) => None,
        Err(error) => Some(format!("plugins could not be asked what they think of it: {error:#}")),
    };
    if let Some(unasked) = unasked.as_ref().filter(|_| !output.json) {
        eprintln!("warning: {unasked}");
    }
    warn(output, &doubts);
    let files = if loaded.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", loaded.files.len()) };
    let sentence = format!("the configuration is valid ({files})");
    let mut warnings: Vec<_> = doubts.iter().map(describe).collect();
    warnings.extend(unasked.map(|message| json!({"place": null, "pointer": "", "message": message, "hint": null})));
    let answer = json!({"valid": true, "files": loaded.files.len(), "problems": [], "warnings": warnings});
    output.say(&sentence, &answer);
    Ok(ExitCode::SUCCESS)
}

/// With what is wrong in those parts that have the right shape: plugins, and who reads queries, see more than a schema does.
fn and_further(global: &Global, problems: Problems) -> Problems {
    let Some(rest) = crate::daemon::load_rest(global) else { return problems };
    let further = crate::daemon::ask_offline(global, &rest).unfit.unwrap_or_default();
    Problems::sorted(problems.0.into_iter().chain(further).collect())
}

fn warn(output: Output, doubts: &[Problem]) {
    if !output.json {
        doubts.iter().for_each(|doubt| remark(&format!("warning: {doubt}")));
    }
}

fn invalid(output: Output, problems: &[Problem], doubts: &[Problem]) -> ExitCode {
    if output.json {
        let described = |list: &[Problem]| list.iter().map(describe).collect::<Vec<_>>();
        let answer = json!({"valid": false, "problems": described(problems), "warnings": described(doubts)});
        output.say("", &answer);
    } else {
        problems.iter().for_each(|problem| remark(&format!("error: {problem}")));
        warn(output, doubts);
    }
    ExitCode::from(1)
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
    let client = &session.client;
    match command {
        Config::Show { section, name } => shown::show(session, section.as_deref(), name.as_deref()).await?,
        Config::Reload => {
            let answer = client.post("/api/v1/configuration/reload", &json!({})).await?;
            session.output.say("the configuration is in force", &answer);
            session.output.warn(&answer);
        }
        Config::Objects { section, api } => objects::list(session, section.as_deref(), *api).await?,
        Config::Set { section, name, value, file } => {
            let value = objects::read(value.as_deref(), file.as_deref())?;
            let answer = client.put(&objects::path(section, name), &value).await?;
            session.output.say(&format!("{section} {name} is in force"), &answer);
            session.output.warn(&answer);
        }
        Config::Unset { section, name } => {
            let answer = client.delete(&objects::path(section, name)).await?;
            session.output.say(&format!("{section} {name} is gone"), &answer);
        }
        Config::Reset { section, name } => {
            let answer = client.post(&format!("{}/reset", objects::path(section, name)), &json!({})).await?;
            let origin = answer.get("origin").and_then(Value::as_str);
            let sentence = match origin {
                Some(origin) => format!("{section} {name} is again as {origin} has it"),
                None => format!("{section} {name} is gone: nothing but the API declared it"),
            };
            session.output.say(&sentence, &answer);
            session.output.warn(&answer);
        }
        Config::Versions { limit } => versions::list(session, *limit).await?,
        Config::Diff { from, to } => versions::diff(session, from.as_deref(), to.as_deref()).await?,
        Config::Restore { version } => versions::restore(session, version).await?,
        Config::Export { folder } => versions::export(session, folder.as_deref()).await?,
        // Handled without a daemon.
        Config::Check | Config::Schema => {}
    }
    Ok(ExitCode::SUCCESS)
}
