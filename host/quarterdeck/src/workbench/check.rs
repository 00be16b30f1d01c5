//! Judges a component before it is trusted: what it says about itself, what it asks for, and how it bears what the host may hand in.

#[cfg(test)]
use super::call;
use super::call::Function;
use super::{Unusable, Workbench, limits, samples, with};
use anyhow::Result;
use quarterdeck_config::Settings;
use quarterdeck_model::Span;
use quarterdeck_model::plugin::{CallError, Capability, Grants, InstanceSpec, Kind, Limits, PluginStatus};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Larger components are compiled for seconds, at a start with an empty cache.
const LARGE_BYTES: u64 = 5_000_000;

/// What each call of the check may use.
fn call_limits() -> Limits {
    Limits { deadline: Span::from_secs(5), ..Limits::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    /// Works, and could be better.
    Warning,
    Failed,
    /// Could not be looked at; the detail says what that would need.
    Skipped,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) plugin: Option<PluginStatus>,
    /// What it asks for, in words.
    pub(crate) asks_for: Vec<String>,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn is_passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }

    fn add(&mut self, check: impl Into<String>, verdict: Verdict, detail: impl Into<String>) {
        self.findings.push(Finding { check: check.into(), verdict, detail: detail.into() });
    }
}

/// `config` and `grants`: what the conformance calls are given. Unless given: the simplest configuration that the schema allows, and
/// grants that reach nothing.
///
/// # Errors
/// It could not be judged: the file can't be read, there is no room to work in, or the host fails in another way. What is wrong with the
/// component is in the report.
pub(crate) fn check(
    settings: &Settings,
    file: &Path,
    config: Option<Map<String, Value>>,
    grants: Option<Grants>,
) -> Result<Report> {
    std::fs::metadata(file).map_err(|error| anyhow::anyhow!("failed to read {}: {error}", file.display()))?;
    let judged = with(settings, file, async |bench| {
        let mut report = Report {
            plugin: Some(bench.plugin.clone()),
            asks_for: asked(&bench.plugin.capabilities),
            findings: Vec::new(),
        };
        report.add("loads", Verdict::Passed, format!("{}, {} bytes", bench.plugin.digest, bench.plugin.bytes));
        says_of_itself(&bench.plugin, &mut report);
        conforms(bench, config, grants, &mut report).await?;
        Ok(report)
    });
    judged.or_else(|error| {
        let Unusable(reason) = error.downcast::<Unusable>()?;
        let mut report = Report { plugin: None, asks_for: Vec::new(), findings: Vec::new() };
        report.add("loads", Verdict::Failed, reason);
        Ok(report)
    })
}

/// What is asked for, as an operator reads it.
pub(crate) fn asked(capabilities: &[Capability]) -> Vec<String> {
    capabilities.iter().map(Capability::words).collect()
}

fn says_of_itself(plugin: &PluginStatus, report: &mut Report) {
    if let Some(publisher) = &plugin.publisher {
        let trusted = if publisher.trusted { "trusted" } else { "not trusted" };
        report.add("signature", Verdict::Passed, format!("of {}, {trusted} here", publisher.key));
    }
    match plugin.bytes {
        bytes if bytes > LARGE_BYTES => report.add(
            "size",
            Verdict::Warning,
            format!(
                "{bytes} bytes take seconds to compile, once; hint: build Rust with opt-level = \"s\", lto, strip and panic = \"abort\"; \
                 a plugin that brings an interpreter along (Python, JavaScript) is this large"
            ),
        ),
        bytes => report.add("size", Verdict::Passed, format!("{bytes} bytes")),
    }
    let parts: Vec<&str> = plugin.version.split(['.', '-', '+']).collect();
    let is_semantic = parts.len() >= 3 && parts.iter().take(3).all(|part| part.parse::<u64>().is_ok());
    if is_semantic {
        report.add("version", Verdict::Passed, plugin.version.clone());
    } else {
        report.add("version", Verdict::Failed, format!("`{}` is no semantic version; hint: 0.1.0", plugin.version));
    }
    let kinds: Vec<&str> = plugin.kinds.iter().map(|kind| kind.as_str()).collect();
    if kinds.is_empty() {
        report.add("kinds", Verdict::Failed, "it exports no kind of this host; hint: name one in export!");
    } else {
        report.add("kinds", Verdict::Passed, kinds.join(", "));
    }
    if plugin.summary.trim().is_empty() {
        report.add("summary", Verdict::Warning, "it does not say what it is for");
    }
    schema(&plugin.config_schema, report);
    const KNOWN: [&str; 12] =
        ["http", "kv", "metrics", "events", "system", "exec", "tcp", "process", "secret", "reveal", "files", "append"];
    for capability in &plugin.capabilities {
        if !KNOWN.contains(&capability.name.as_str()) {
            report.add("capabilities", Verdict::Failed, format!("this host has no capability `{}`", capability.name));
        } else if capability.reason.trim().is_empty() {
            report.add(
                "capabilities",
                Verdict::Warning,
                format!("`{}` is asked for without a reason", capability.name),
            );
        }
    }
    if !plugin.capabilities.is_empty() && plugin.kinds.iter().all(|kind| kind.is_pure()) {
        report.add(
            "capabilities",
            Verdict::Warning,
            "kinds that decide get no capability: what it asks for is of no use",
        );
    }
}

fn schema(schema: &Value, report: &mut Report) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mute: Vec<&str> = properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property.get("description").is_none() && property.get("$ref").is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        report.add(
            "schema",
            Verdict::Warning,
            "a misspelt key of the configuration is no error; hint: additionalProperties: false",
        );
    } else if !mute.is_empty() {
        report.add("schema", Verdict::Warning, format!("no description: {}", mute.join(", ")));
    } else {
        report.add("schema", Verdict::Passed, format!("{} keys, all described", properties.map_or(0, Map::len)));
    }
}

async fn conforms(
    bench: &Workbench,
    config: Option<Map<String, Value>>,
    grants: Option<Grants>,
    report: &mut Report,
) -> Result<()> {
    let is_given = config.is_some();
    let spec = |config: Map<String, Value>| InstanceSpec {
        plugin: bench.plugin.name.clone(),
        config,
        grants: grants.clone().unwrap_or_else(samples::grants_for_nothing),
        limits: call_limits(),
        granted_to: bench.itself(),
        every: None,
        journal: None,
        check: None,
        delivery: None,
        enabled: true,
    };
    let wrong = Map::from_iter([("quarterdeck-check-no-such-key".to_owned(), json!(1))]);
    if bench.plugin.config_schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        match bench.instance(spec(wrong)).await {
            Ok(_) => {
                report.add("wrong configuration", Verdict::Failed, "an unknown key is taken, against its own schema")
            }
            Err(status) => {
                report.add(
                    "wrong configuration",
                    Verdict::Passed,
                    status.reason.unwrap_or_else(|| "refused".to_owned()),
                );
            }
        }
    }
    let config = config.unwrap_or_else(|| samples::config(&bench.plugin.config_schema));
    let shown = Value::Object(config.clone()).to_string();
    if let Err(status) = bench.instance(spec(config)).await {
        let reason = status.reason.unwrap_or_else(|| "it can't be used".to_owned());
        let verdict = if is_given { Verdict::Failed } else { Verdict::Skipped };
        let detail = format!("{shown} is not taken: {reason}; hint: give one that is, with --config");
        report.add("configuration", verdict, detail);
        return Ok(());
    }
    report.add("configuration", Verdict::Passed, format!("{shown} is taken"));
    let mut slowest = Duration::ZERO;
    for kind in &bench.plugin.kinds {
        bears(bench, *kind, &mut slowest, report).await?;
    }
    if let Some(status) = bench.status() {
        let (peak, limit) = (status.usage.memory_high_water_bytes, status.spec.limits.memory_bytes);
        let detail = format!(
            "at most {peak} of {limit} bytes of memory, at most {:.1} ms for a call",
            slowest.as_secs_f64() * 1e3
        );
        let verdict = if peak * 2 > limit { Verdict::Warning } else { Verdict::Passed };
        report.add("limits", verdict, detail);
    }
    match limits::hold(bench, &call_limits()).await? {
        Ok(how) => report.add("limits hold", Verdict::Passed, how),
        Err(problem) => report.add("limits hold", Verdict::Failed, problem),
    }
    Ok(())
}

/// Every sample of a kind is answered or refused; of kinds that decide twice the same way.
async fn bears(bench: &Workbench, kind: Kind, slowest: &mut Duration, report: &mut Report) -> Result<()> {
    let (mut calls, mut refused, mut failures) = (0, 0, Vec::new());
    for sample in samples::of(kind) {
        let function = Function { kind, name: sample.function };
        let begin = Instant::now();
        let first = bench.call(function, sample.input.clone()).await?;
        *slowest = begin.elapsed().max(*slowest);
        calls += 1;
        match &first {
            Err(error) if misbehaves(error) => {
                failures.push(format!("{} of {}: {error}", sample.function, sample.what));
                continue;
            }
            Err(_) => refused += 1,
            Ok(_) => {}
        }
        if kind.is_pure() && bench.call(function, sample.input).await? != first {
            failures.push(format!("{} of {} has two answers", sample.function, sample.what));
        }
    }
    let twice = if kind.is_pure() { ", the same way twice" } else { "" };
    let name = format!("{kind} calls");
    if failures.is_empty() && kind.is_pure() && refused == calls {
        report.add(name, Verdict::Warning, only_refused(calls));
    } else if failures.is_empty() {
        report.add(
            name,
            Verdict::Passed,
            format!("{calls} inputs borne{twice}, {refused} of them refused in its own words"),
        );
    } else {
        report.add(name, Verdict::Failed, failures.join("; "));
    }
    Ok(())
}

/// The same refusal twice says nothing about how it decides.
fn only_refused(calls: usize) -> String {
    format!(
        "{calls} inputs borne, and every one of them refused in its own words: that the same input gives the same answer is shown of \
         refusals only; hint: give a configuration with which it decides, with --config"
    )
}

/// A failure in the plugin's own words is an answer.
fn misbehaves(error: &CallError) -> bool {
    error.is_misbehaviour() || matches!(error, CallError::Unavailable { .. } | CallError::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_samples_for_functions_that_it_has() {
        for kind in Kind::ALL {
            let samples = samples::of(kind);
            assert!(!samples.is_empty(), "{kind}");
            for sample in samples {
                assert!(call::is_function(kind, sample.function), "{kind} {}", sample.function);
            }
        }
    }
}
