//! Shows that the limits under which a component is checked are installed: a probe that uses more than it may is stopped at each.

use super::Workbench;
use anyhow::{Context, Result, bail};
use quarterdeck_model::plugin::{
    CallError, Digest, GrantedTo, InstanceName, InstanceSpec, Limits, PluginState, PluginStatus, Registry,
};
use quarterdeck_model::{Span, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The probe's file in the workbench's plugins folder.
const FILE: &str = "limits-probe.wasm";
const PROBE: &str = "limits-probe";
/// Instead of the deadline of the other calls, which would have to be waited for.
const DEADLINE: Span = Span::from_millis(200);
/// What compiling it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Beyond the deadline, on a machine that has other things to do.
const LATE: Span = Span::from_millis(500);
/// How long a call of the probe takes that only takes a place.
const NAP: Span = Span::from_millis(300);

/// How the probe was stopped, for each limit; or the first that does not hold.
///
/// # Errors
/// There is no probe to hold them against.
pub(super) async fn hold(bench: &Workbench, limits: &Limits) -> Result<Result<String, String>> {
    let probe = loaded(bench).await?;
    Ok(stopped(bench, &probe.digest, limits).await)
}

async fn stopped(bench: &Workbench, probe: &Digest, limits: &Limits) -> Result<String, String> {
    let mut stopped = Vec::new();
    let runtime = &bench.host.runtime;
    for uses in ["time", "memory", "stack", "result-bytes", "host-calls", "kv-bytes"] {
        // The others have the time of a call: a busy machine is no reason to be ended by the wrong limit.
        let deadline = if uses == "time" { DEADLINE } else { limits.deadline };
        let limits = Limits { deadline, ..limits.clone() };
        let name = configured(bench, probe, uses, &limits).await?;
        let begin = Instant::now();
        let Err(failed) = runtime.plugins().collector.collect(&name, Timestamp::from_millis(0)).await else {
            return Err(format!("a probe that uses {uses} without end came to one"));
        };
        let took = Span::from_millis(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
        stopped.push(judged(uses, &failed.error, took, &limits)?);
        // What it floods the host with are lines. They don't end the call: those over the limit are dropped.
        if uses == "host-calls" {
            stopped.push(kept(Registry::log(&**runtime, &name).len(), &limits)?);
        }
    }
    stopped.push(at_once(bench, probe, limits).await?);
    Ok(format!("a probe was stopped: {}", stopped.join("; ")))
}

/// An instance of the probe under these limits, which are those that are shown.
async fn configured(bench: &Workbench, probe: &Digest, uses: &str, limits: &Limits) -> Result<InstanceName, String> {
    let name = InstanceName(format!("{PROBE}/{uses}"));
    let wanted = json!({"plugin": PROBE, "config": {"uses": uses}, "grants": {"kv": true}});
    let mut spec: InstanceSpec =
        serde_json::from_value(wanted).map_err(|error| format!("the probe can't be configured: {error}"))?;
    spec.limits = limits.clone();
    spec.granted_to = vec![GrantedTo::Digest(probe.clone())];
    let runtime = &bench.host.runtime;
    runtime.configure(BTreeMap::from([(name.clone(), spec.into())])).await;
    let installed = Registry::instance(&**runtime, &name).map(|status| status.spec.limits.clone());
    if installed.as_ref() == Some(limits) {
        return Ok(name);
    }
    Err(format!("the limits that are shown are not those that were set: {installed:?}"))
}

/// One call more than there are places: one of them has to wait for the end of another.
async fn at_once(bench: &Workbench, probe: &Digest, limits: &Limits) -> Result<String, String> {
    let name = configured(bench, probe, "concurrency", limits).await?;
    let calls = limits.concurrency.saturating_add(1);
    let begin = Instant::now();
    let mut made = JoinSet::new();
    for _ in 0..calls {
        let (collector, name) = (bench.host.runtime.plugins().collector, name.clone());
        made.spawn(async move { collector.collect(&name, Timestamp::from_millis(0)).await.map(drop) });
    }
    for ended in made.join_all().await {
        ended.map_err(|failed| format!("of {calls} calls at once one failed: {}", failed.error))?;
    }
    let took = Span::from_millis(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
    waited(calls, took, limits)
}

/// Puts the probe beside the component.
async fn loaded(bench: &Workbench) -> Result<PluginStatus> {
    let file = bench.folder.path().join("plugins").join(FILE);
    std::fs::write(&file, quarterdeck_bundle::LIMITS_PROBE)
        .with_context(|| format!("failed to write {}", file.display()))?;
    let patience = Instant::now() + PATIENCE;
    loop {
        let statuses = Registry::reload(&*bench.host.runtime).await;
        let known = statuses.into_iter().find(|plugin| plugin.name == PROBE && plugin.state != PluginState::Loading);
        match known {
            Some(probe) => return Ok(probe),
            None if Instant::now() < patience => {}
            None => bail!("the probe is not loaded; hint: was this binary built without its plugins?"),
        }
    }
}

/// How it was stopped by the limit that is there for it.
fn judged(uses: &str, error: &CallError, took: Span, limits: &Limits) -> Result<String, String> {
    match (uses, error) {
        ("time", CallError::Deadline { .. }) if took <= Span::from_millis(DEADLINE.as_millis() + LATE.as_millis()) => {
            Ok(format!("a loop after {took} of {DEADLINE}"))
        }
        ("memory", CallError::OutOfMemory { limit_bytes }) if *limit_bytes == limits.memory_bytes => {
            Ok(format!("an allocation at {limit_bytes} bytes"))
        }
        ("stack", CallError::Trapped { reason }) if reason.contains("stack") => {
            Ok("a recursion by its stack".to_owned())
        }
        ("result-bytes", CallError::Limited { message })
            if message.contains(&format!("more than {} bytes", limits.result_bytes)) =>
        {
            Ok(format!("a text of more than {} bytes", limits.result_bytes))
        }
        ("host-calls", CallError::Trapped { reason }) if reason.contains("host calls") => {
            Ok(format!("a flood after {} host calls", limits.host_calls))
        }
        ("kv-bytes", CallError::Other { message }) if message.contains(&format!("of at most {};", limits.kv_bytes)) => {
            Ok(format!("its values at {} bytes of them", limits.kv_bytes))
        }
        _ => Err(format!("a probe that uses {uses} without end was ended by something else, after {took}: {error}")),
    }
}

/// Of a flood of lines.
fn kept(lines: usize, limits: &Limits) -> Result<String, String> {
    match u32::try_from(lines) {
        Ok(lines) if lines == limits.log_lines => Ok(format!("its lines after {lines} of them")),
        _ => Err(format!("of a flood of lines {lines} were kept, and not {}", limits.log_lines)),
    }
}

/// However slow the machine, calls that were all made at once need no time for two of them.
fn waited(calls: u32, took: Span, limits: &Limits) -> Result<String, String> {
    if took.as_millis() < 2 * NAP.as_millis() {
        return Err(format!("{calls} calls that take {NAP} each took {took}: all of them at once"));
    }
    Ok(format!("the last of {calls} calls by the {} before it", limits.concurrency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_ended_by_another_limit_is_no_proof() {
        let limits = Limits::default();
        let took = Span::from_millis(210);
        let deadline = CallError::Deadline { budget: DEADLINE };
        assert!(judged("time", &deadline, took, &limits).is_ok());
        assert!(judged("time", &deadline, Span::from_secs(5), &limits).is_err());
        assert!(judged("memory", &deadline, took, &limits).is_err());
        let memory = |limit_bytes| CallError::OutOfMemory { limit_bytes };
        assert!(judged("memory", &memory(limits.memory_bytes), took, &limits).is_ok());
        assert!(judged("memory", &memory(1), took, &limits).is_err());
        let trapped = |reason: &str| CallError::Trapped { reason: reason.to_owned() };
        assert!(judged("stack", &trapped("unreachable"), took, &limits).is_err());
        assert!(judged("host-calls", &trapped("more than 10000 host calls in one call"), took, &limits).is_ok());
        let limited =
            |bytes: u64| CallError::Limited { message: format!("the call handed over more than {bytes} bytes") };
        assert!(judged("result-bytes", &limited(limits.result_bytes), took, &limits).is_ok());
        assert!(judged("result-bytes", &limited(1), took, &limits).is_err());
        let full = |bytes: u64| CallError::Other {
            message: format!("the key-value space would hold 9999999 bytes of at most {bytes}; hint: raise it"),
        };
        assert!(judged("kv-bytes", &full(limits.kv_bytes), took, &limits).is_ok());
        assert!(judged("kv-bytes", &full(1), took, &limits).is_err());
        assert!(waited(9, Span::from_millis(610), &limits).is_ok());
        assert!(waited(9, Span::from_millis(310), &limits).is_err());
        assert!(kept(100, &limits).is_ok() && kept(99, &limits).is_err() && kept(1000, &limits).is_err());
    }
}
