//! The configuration in Alertmanager's own form, which `amtool config` reads: JSON, which is YAML.

use quarterdeck_model::Span;
use quarterdeck_model::domain::alerting::{AlertRoute, AlertingSpec, Matcher, TimeInterval};
use serde_json::{Map, Value, json};

pub(super) fn original(spec: &AlertingSpec) -> String {
    // Alertmanager has a route always.
    let (tree, mut receivers) = match &spec.route {
        Some(root) => (route(root), spec.receivers.keys().map(|name| json!({"name": name})).collect::<Vec<_>>()),
        None => (json!({"receiver": NOBODY}), vec![json!({"name": NOBODY})]),
    };
    if receivers.is_empty() {
        receivers.push(json!({"name": NOBODY}));
    }
    let rules: Vec<Value> = spec
        .inhibit_rules
        .iter()
        .map(|rule| {
            json!({"source_matchers": texts(&rule.source_matchers), "target_matchers": texts(&rule.target_matchers),
                "equal": rule.equal})
        })
        .collect();
    let intervals: Vec<Value> = spec
        .time_intervals
        .iter()
        .map(|(name, parts)| json!({"name": name, "time_intervals": parts.iter().map(interval).collect::<Vec<_>>()}))
        .collect();
    let whole = json!({"global": {"resolve_timeout": duration(spec.resolve_timeout)}, "route": tree,
        "receivers": receivers, "inhibit_rules": rules, "time_intervals": intervals});
    serde_json::to_string_pretty(&whole).unwrap_or_default()
}

const NOBODY: &str = "nobody";

fn texts(matchers: &[Matcher]) -> Vec<String> {
    matchers.iter().map(ToString::to_string).collect()
}

fn route(spec: &AlertRoute) -> Value {
    let mut route = Map::new();
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            route.insert(key.to_owned(), value);
        }
    };
    let list = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts));
    add("receiver", spec.receiver.as_ref().map(|name| json!(name)));
    add("group_by", spec.group_by.as_deref().and_then(list));
    add("group_wait", spec.group_wait.map(|span| json!(duration(span))));
    add("group_interval", spec.group_interval.map(|span| json!(duration(span))));
    add("repeat_interval", spec.repeat_interval.map(|span| json!(duration(span))));
    add("matchers", list(&texts(&spec.matchers)));
    add("continue", spec.goes_on.then_some(json!(true)));
    add("mute_time_intervals", list(&spec.mute_time_intervals));
    add("active_time_intervals", list(&spec.active_time_intervals));
    let below: Vec<Value> = spec.routes.iter().map(self::route).collect();
    add("routes", (!below.is_empty()).then_some(Value::Array(below)));
    Value::Object(route)
}

fn interval(part: &TimeInterval) -> Value {
    let mut value = Map::new();
    let times: Vec<Value> =
        part.times.iter().map(|time| json!({"start_time": time.start_time, "end_time": time.end_time})).collect();
    if !times.is_empty() {
        value.insert("times".to_owned(), Value::Array(times));
    }
    for (key, texts) in [
        ("weekdays", &part.weekdays),
        ("days_of_month", &part.days_of_month),
        ("months", &part.months),
        ("years", &part.years),
    ] {
        if !texts.is_empty() {
            value.insert(key.to_owned(), json!(texts));
        }
    }
    if let Some(zone) = &part.location {
        value.insert("location".to_owned(), json!(zone));
    }
    Value::Object(value)
}

/// As Prometheus writes it: `1h30m`, without days and spaces.
fn duration(span: Span) -> String {
    let mut rest = span.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_shown_in_alertmanagers_names() {
        let spec: AlertingSpec = serde_json::from_value(json!({
            "route": {"receiver": "a", "group-by": ["..."], "group-wait": "1h 30m", "routes": [
                {"matchers": ["x=~\"y|z\""], "continue": true, "mute-time-intervals": ["w"], "repeat-interval": "2days"}]},
            "receivers": {"a": {}},
            "inhibit-rules": [{"source-matchers": ["a=b"], "target-matchers": ["c=d"], "equal": ["e"]}],
            "time-intervals": {"w": [{"weekdays": ["monday"], "times": [{"start-time": "09:00", "end-time": "10:00"}]}]}}))
        .unwrap();
        let shown: Value = serde_json::from_str(&original(&spec)).unwrap();
        assert_eq!(
            shown,
            json!({
                "global": {"resolve_timeout": "5m"},
                "route": {"receiver": "a", "group_by": ["..."], "group_wait": "1h30m", "routes": [
                    {"matchers": ["x=~\"y|z\""], "continue": true, "mute_time_intervals": ["w"], "repeat_interval": "48h"}]},
                "receivers": [{"name": "a"}],
                "inhibit_rules": [{"source_matchers": ["a=\"b\""], "target_matchers": ["c=\"d\""], "equal": ["e"]}],
                "time_intervals": [{"name": "w", "time_intervals": [
                    {"weekdays": ["monday"], "times": [{"start_time": "09:00", "end_time": "10:00"}]}]}],
            })
        );
        assert_eq!(duration(Span::ZERO), "0s");
        assert!(original(&AlertingSpec::default()).contains("nobody"), "Alertmanager has a route always");
    }
}
