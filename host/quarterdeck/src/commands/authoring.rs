//! What the author of a plugin does: make one, build and test it, judge it, call it. Without a daemon.

use super::exit_code;
use crate::arguments::{Given, Global, Plugin, PluginLanguage};
use crate::daemon::scratch::{self, Folder};
use crate::output::{Column, Output, print_line};
use crate::workbench::call::{self, Call};
use crate::workbench::check::{self, Report};
use crate::workbench::language::{self, Language};
use crate::workbench::scaffold;
use anyhow::{Context, Result, anyhow};
use quarterdeck_config::Settings;
use quarterdeck_model::brief;
use quarterdeck_model::plugin::{Grants, Kind, Limits};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

/// The exit code of a check that came to no verdict.
const NOT_CHECKED: u8 = 2;

/// `None`: it is a question to the daemon.
pub(super) fn local(global: &Global, command: &Plugin) -> Option<Result<ExitCode>> {
    let output = Output { json: global.json };
    match command {
        Plugin::New { name, kind, language, folder } => {
            let default = Path::new(name);
            Some(new(output, name, *kind, (*language).into(), folder.as_deref().unwrap_or(default)))
        }
        Plugin::Key(command) => Some(super::signing::key(output, command)),
        Plugin::Sign(command) => Some(super::signing::sign(output, command)),
        Plugin::Build { folder } => Some(build(output, folder)),
        Plugin::Test { folder, given } => Some(test(global, output, folder, given)),
        Plugin::Check { file, given } => Some(judge(&settings(global), output, file, given)),
        Plugin::Run { file, function, input, limits, given } => {
            Some(run(global, file, function.as_deref(), input, limits, given))
        }
        _ => None,
    }
}

fn new(output: Output, name: &str, kind: Kind, language: Language, folder: &Path) -> Result<ExitCode> {
    scaffold::new(name, kind, language, folder)?;
    let sentence = format!(
        "made {0}, a {kind}; next: quarterdeck plugin test {0}, then look at {0}/{1}",
        folder.display(),
        language.source()
    );
    let value = json!({"name": name, "kind": kind, "language": language.to_string(), "folder": folder});
    output.say(&sentence, &value);
    Ok(ExitCode::SUCCESS)
}

fn build(output: Output, folder: &Path) -> Result<ExitCode> {
    let component = language::build(folder)?;
    output.say(&component.display().to_string(), &json!({"component": component}));
    Ok(ExitCode::SUCCESS)
}

/// What the tests have built is not built again, and what they had compiled is not compiled again: an interpreter takes seconds each time.
fn test(global: &Global, output: Output, folder: &Path, given: &Given) -> Result<ExitCode> {
    let (begin, mut settings) = (SystemTime::now(), settings(global));
    let own = Folder::make()?;
    let cache = match scratch::shared_cache(&settings) {
        Some(cache) => cache,
        None => {
            own.path().clone_into(&mut settings.data_dir);
            let cache = own.path().join("cache");
            std::fs::create_dir(&cache).with_context(|| format!("failed to make {}", cache.display()))?;
            cache
        }
    };
    language::test(folder, &cache)?;
    let component = match language::built_since(begin, folder) {
        Some(component) => component,
        None => language::build(folder)?,
    };
    judge(&settings, output, &component, given)
}

/// What could not be checked has not failed the check: whoever decides by the exit code is told so.
fn judge(settings: &Settings, output: Output, file: &Path, given: &Given) -> Result<ExitCode> {
    let judged = || {
        let config = given.config.as_deref().map(|text| parsed("--config", text)).transpose()?;
        let grants = given.grants.as_deref().map(|text| parsed("--grants", text)).transpose()?;
        check::check(settings, file, config, grants)
    };
    match judged() {
        Ok(report) => {
            print(output, &report)?;
            Ok(exit_code(report.is_passed()))
        }
        Err(error) => {
            output.error(&error.context("the component was not checked, which says nothing about it"));
            Ok(ExitCode::from(NOT_CHECKED))
        }
    }
}

const FINDINGS: [Column; 3] = [("CHECK", "/check"), ("VERDICT", "/verdict"), ("DETAIL", "/detail")];

fn print(output: Output, report: &Report) -> Result<()> {
    let value = serde_json::to_value(report)?;
    if output.json {
        output.one(&value);
        return Ok(());
    }
    if let Some(plugin) = &report.plugin {
        print_line(&format!("{} {}: {}", plugin.name, plugin.version, plugin.summary));
    }
    for asked in &report.asks_for {
        print_line(&format!("  asks for {asked}"));
    }
    let findings = value.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    output.list(&FINDINGS, &findings, "nothing was looked at");
    let sentence = if report.is_passed() { "passed" } else { "failed: this component should not be trusted as it is" };
    print_line(sentence);
    Ok(())
}

fn run(
    global: &Global,
    file: &Path,
    function: Option<&str>,
    input: &str,
    limits: &str,
    given: &Given,
) -> Result<ExitCode> {
    show_log_lines();
    let config: Map<String, Value> = given.config.as_deref().map_or(Ok(Map::new()), |text| parsed("--config", text))?;
    let grants: Grants = given.grants.as_deref().map_or(Ok(Grants::default()), |text| parsed("--grants", text))?;
    let limits: Limits = parsed("--limits", limits)?;
    let call = Call { file, function, config, input: parsed("--input", input)?, grants, limits };
    let answer = call::run(&settings(global), call)?;
    Output { json: true }.one(&answer);
    Ok(ExitCode::SUCCESS)
}

/// What the plugin logs, on standard error.
fn show_log_lines() {
    let filter = tracing_subscriber::EnvFilter::new("error,plugin=trace");
    let written = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).without_time();
    // There is one already: then the lines go there.
    let _ = written.try_init();
}

/// The daemon's settings, for its cache and its limits; what is wrong with a configuration is no concern of a plugin's author.
fn settings(global: &Global) -> Settings {
    let mut settings =
        crate::daemon::load_configuration(global).map_or_else(|_| Settings::default(), |loaded| loaded.settings);
    if let Some(data_dir) = &global.data_dir {
        settings.data_dir.clone_from(data_dir);
    }
    settings
}

/// JSON from a flag: as it stands, `@FILE`, or `-` for standard input.
pub(super) fn parsed<T: DeserializeOwned>(flag: &str, text: &str) -> Result<T> {
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{flag}: failed to read {path}"))?,
        None if text == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .with_context(|| format!("{flag}: failed to read standard input"))?;
            text
        }
        None => text.to_owned(),
    };
    let wrong =
        |error: serde_json::Error| anyhow!("{flag}: {}; hint: JSON is expected, or @FILE", brief(&error.to_string()));
    serde_json::from_str(&text).map_err(wrong)
}

impl From<PluginLanguage> for Language {
    fn from(language: PluginLanguage) -> Self {
        match language {
            PluginLanguage::Rust => Language::Rust,
            PluginLanguage::Python => Language::Python,
            PluginLanguage::Javascript => Language::Javascript,
        }
    }
}
