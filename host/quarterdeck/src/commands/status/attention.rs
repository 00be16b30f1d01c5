//! What a person should look at, a line each, the worst first.

use super::super::text;
use serde_json::Value;

/// What is looked through.
#[derive(Default)]
pub(super) struct Lists {
    /// Those that may need somebody.
    pub(super) instances: Vec<Value>,
    pub(super) plugins: Vec<Value>,
    pub(super) jobs: Vec<Value>,
    /// Firing ones.
    pub(super) alerts: Vec<Value>,
    /// Not resolved.
    pub(super) incidents: Vec<Value>,
    /// Breached.
    pub(super) slos: Vec<Value>,
    /// Pending.
    pub(super) notifications: Vec<Value>,
}

pub(super) fn needed(status: &Value, lists: &Lists) -> Vec<String> {
    let mut found = Vec::new();
    let because = |value: &Value, pointer: &str| match text(value, pointer) {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    for check in status.pointer("/checks").and_then(Value::as_array).into_iter().flatten() {
        if check.get("ok").and_then(Value::as_bool) == Some(false) {
            found.push(format!("check {} fails{}", text(check, "/name"), because(check, "/reason")));
        }
    }
    if let Some(count) = status.pointer("/configuration/refused").and_then(Value::as_u64).filter(|count| *count > 0) {
        let more = if count == 1 { String::new() } else { format!(" ({count} mistakes)") };
        let first = because(status, "/configuration/reason");
        found.push(format!("the configuration on the disk is refused, the one before it is in force{more}{first}"));
    }
    if let Some(lost) = status.pointer("/audit/lost").and_then(Value::as_u64).filter(|lost| *lost > 0) {
        found.push(format!("{lost} audit records of what plugins did are lost since the start"));
    }
    for one in status.pointer("/unreadable").and_then(Value::as_array).into_iter().flatten() {
        found.push(format!("the document {} is left out{}", text(one, "/key"), because(one, "/detail")));
    }
    for incident in &lists.incidents {
        let (id, severity, state) = (text(incident, "/id"), text(incident, "/severity"), text(incident, "/state"));
        found.push(format!("incident {id} ({severity}, {state}){}", because(incident, "/title")));
    }
    for alert in &lists.alerts {
        let (rule, severity) = (text(alert, "/rule"), text(alert, "/severity"));
        let summary = if text(alert, "/summary").is_empty() { "/reason" } else { "/summary" };
        let by = match text(alert, "/acknowledged_by") {
            "" => String::new(),
            by => format!(", acknowledged by {by}"),
        };
        let data = if alert.get("no_data").and_then(Value::as_bool) == Some(true) { ", no data any more" } else { "" };
        found.push(format!("alert {rule} fires ({severity}{by}{data}){}", because(alert, summary)));
    }
    for slo in &lists.slos {
        found.push(format!("objective {} is breached{}", text(slo, "/name"), because(slo, "/error")));
    }
    for instance in &lists.instances {
        let (name, state) = (text(instance, "/name"), text(instance, "/state"));
        if !is_well(state) {
            found.push(format!("instance {name} is {state}{}", because(instance, "/reason")));
        } else if matches!(text(instance, "/health/state"), "degraded" | "failed") {
            let health = text(instance, "/health/state");
            found.push(format!("the target of {name} is {health}{}", because(instance, "/health/message")));
        }
    }
    for plugin in lists.plugins.iter().filter(|plugin| text(plugin, "/state") == "refused" || refused_beside(plugin)) {
        let source = text(plugin, "/source");
        found.push(format!("plugin {} ({source}) is refused{}", text(plugin, "/name"), because(plugin, "/reason")));
    }
    for job in lists.jobs.iter().filter(|job| !text(job, "/last_error").is_empty()) {
        found.push(format!("job {} failed{}", text(job, "/name"), because(job, "/last_error")));
    }
    for told in lists.notifications.iter().filter(|told| !text(told, "/error").is_empty()) {
        let attempts = told.get("attempts").and_then(Value::as_u64).unwrap_or(0);
        let to = text(told, "/instance");
        found.push(format!("a message has not reached {to} in {attempts} attempts{}", because(told, "/error")));
    }
    found
}

/// Whether an instance in this state needs nobody.
pub(super) fn is_well(state: &str) -> bool {
    matches!(state, "active" | "disabled")
}

/// A new file was refused while the version before goes on.
fn refused_beside(plugin: &Value) -> bool {
    text(plugin, "/state") == "active" && !text(plugin, "/reason").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_well_needs_nobody_and_each_trouble_is_named_with_its_reason() {
        let well = json!({"checks": [{"name": "store", "ok": true}]});
        let mut lists = Lists {
            instances: vec![
                json!({"name": "system/local", "state": "active", "health": {"state": "ok", "message": "fine"}}),
                json!({"name": "log/off", "state": "disabled"}),
            ],
            plugins: vec![json!({"name": "log", "state": "active", "source": "bundled"})],
            jobs: vec![json!({"name": "collect/system/local", "last_error": null})],
            notifications: vec![json!({"instance": "webhook/ops", "error": null, "attempts": 0})],
            ..Lists::default()
        };
        assert_eq!(needed(&well, &lists), Vec::<String>::new());
        let ill = json!({
            "checks": [{"name": "store", "ok": false, "reason": "the disk is full"}],
            "configuration": {"refused": 2, "reason": "quarterdeck.toml:1:1: no"},
            "audit": {"lost": 3},
        });
        lists.incidents.push(json!({"id": "inc_1", "severity": "high", "state": "open", "title": "shop is down"}));
        lists.alerts.push(json!({"rule": "probe", "severity": "high", "summary": "", "reason": "0 < 1"}));
        lists.alerts.push(json!({"rule": "disk", "severity": "high", "acknowledged_by": "ann", "no_data": true}));
        lists.slos.push(json!({"name": "uptime"}));
        lists.instances.push(json!({"name": "a/b", "state": "misconfigured", "reason": "no url"}));
        let probed = json!({"state": "failed", "message": "connection refused"});
        lists.instances.push(json!({"name": "http-probe/shop", "state": "active", "health": probed}));
        lists.plugins.push(json!({"name": "x", "state": "refused", "source": "x.wasm", "reason": "no component"}));
        lists
            .plugins
            .push(json!({"name": "y", "state": "active", "source": "y.wasm", "reason": "newer one: too large"}));
        lists.jobs.push(json!({"name": "scan/default", "last_error": "no such folder"}));
        lists.notifications.push(json!({"instance": "webhook/ops", "error": "no secret", "attempts": 9}));
        let expected = [
            "check store fails: the disk is full",
            "the configuration on the disk is refused, the one before it is in force (2 mistakes): quarterdeck.toml:1:1: no",
            "3 audit records of what plugins did are lost since the start",
            "incident inc_1 (high, open): shop is down",
            "alert probe fires (high): 0 < 1",
            "alert disk fires (high, acknowledged by ann, no data any more)",
            "objective uptime is breached",
            "instance a/b is misconfigured: no url",
            "the target of http-probe/shop is failed: connection refused",
            "plugin x (x.wasm) is refused: no component",
            "plugin y (y.wasm) is refused: newer one: too large",
            "job scan/default failed: no such folder",
            "a message has not reached webhook/ops in 9 attempts: no secret",
        ];
        assert_eq!(needed(&ill, &lists), expected);
    }
}
