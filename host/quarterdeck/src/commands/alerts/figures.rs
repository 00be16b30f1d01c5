//! The figures of an objective, as people say them: a share in percent, a percentile in the unit of its metric.

use super::super::text;
use crate::output::{cell, printable};
use quarterdeck_model::domain::slo::Figures;
use serde_json::Value;

/// Writes what is attained, what is to be, and what is left of the budget in words.
pub(super) fn in_words(objective: &mut Value) {
    let metric = text(objective, "/spec/select/metric").to_owned();
    let setting = |name: &str| objective.pointer(&format!("/spec/config/{name}")).filter(|value| !value.is_null());
    let figures = Figures::new(&metric, setting("percentile"), setting("target"));
    let attained = objective.pointer("/attainment/adjusted/attained").and_then(Value::as_f64);
    let attained_in_words = attained.map(|value| figures.attained(value));
    let target_in_words = figures.target();
    if let (Some(words), Some(place)) = (attained_in_words, objective.pointer_mut("/attainment/adjusted/attained")) {
        *place = Value::String(words);
    }
    if let (Some(words), Some(fields)) = (target_in_words, objective.as_object_mut()) {
        fields.insert("target".to_owned(), Value::String(words));
    }
    if let Some(left) = objective.pointer_mut("/attainment/budget_left")
        && let Some(share) = left.as_f64()
    {
        *left = Value::String(format!("{:.2} %", share * 100.0));
    }
}

/// An objective for a person, after [`in_words`].
pub(super) fn lines(objective: &Value) -> Vec<String> {
    let field = |pointer: &str| objective.pointer(pointer).map(cell).unwrap_or_default();
    let mut lines = vec![format!("{}  {}", field("/name"), field("/state"))];
    for (name, said) in [
        ("says", field("/spec/description")),
        ("attained", field("/attainment/adjusted/attained")),
        ("target", field("/target")),
        ("budget left", field("/attainment/budget_left")),
        ("good", format!("{} of {}", field("/attainment/adjusted/good"), field("/attainment/adjusted/total"))),
        ("window", format!("{}, from {} to {}", field("/spec/window"), field("/from"), field("/to"))),
        ("complete since", field("/complete_since")),
        ("of", field("/spec/select")),
        ("calculator", field("/spec/calculator")),
        ("settings", field("/spec/config")),
        ("severity", field("/spec/severity")),
        ("error", field("/error")),
    ] {
        if !said.is_empty() {
            lines.push(printable(&format!("  {name:<15} {said}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(objective: &Value, attained: &str, target: &str) {
        let mut objective = objective.clone();
        in_words(&mut objective);
        let said = (text(&objective, "/attainment/adjusted/attained"), text(&objective, "/target"));
        assert_eq!(said, (attained, target), "{objective}");
    }

    #[test]
    fn what_is_attained_can_be_told_from_its_target() {
        let share = |attained: f64, target: f64| {
            json!({"spec": {"select": {"metric": "up"}, "config": {"target": target}},
                "attainment": {"adjusted": {"attained": attained}}})
        };
        check(&share(0.99666, 0.999), "99.67 %", "99.9 %");
        check(&share(0.998_999, 0.999), "99.8999 %", "99.9 %");
        check(&share(0.999_999, 0.95), "99.9999 %", "95 %");
        check(&share(1.0, 0.999), "100.00 %", "99.9 %");
        check(&share(0.999, 0.999), "99.90 %", "99.9 %");
    }

    #[test]
    fn a_percentile_has_the_unit_of_its_metric() {
        let percentile = |metric: &str, attained: f64, target: f64| {
            json!({"spec": {"select": {"metric": metric}, "config": {"percentile": 95, "target": target}},
                "attainment": {"adjusted": {"attained": attained}}})
        };
        check(&percentile("probe_duration_seconds", 0.0023, 0.05), "2.3 ms", "50 ms");
        check(&percentile("probe_duration_seconds", 1.25, 2.0), "1.25 s", "2 s");
        check(&percentile("response_bytes", 2_500_000.0, 3e9), "2.5 MB", "3 GB");
        check(&percentile("queue_length", 12.0, 100.0), "12", "100");
    }

    #[test]
    fn what_is_left_of_a_budget_is_told_in_percent() {
        for (left, expected) in
            [(json!(0.99666), json!("99.67 %")), (json!(-1.5), json!("-150.00 %")), (Value::Null, Value::Null)]
        {
            let mut objective = json!({"attainment": {"budget_left": left}});
            in_words(&mut objective);
            assert_eq!(objective["attainment"]["budget_left"], expected);
        }
    }

    #[test]
    fn an_objective_is_shown_without_what_is_empty() {
        let mut objective =
            json!({"name": "uptime", "state": "met", "error": null, "spec": {"config": {"target": 0.999}}});
        in_words(&mut objective);
        let lines = lines(&objective);
        assert!(lines[0] == "uptime  met" && lines.iter().any(|line| line.ends_with("99.9 %")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("error")), "{lines:?}");
    }
}
