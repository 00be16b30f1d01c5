use super::*;
use quarterdeck_sdk::Labels;

fn config(json: &str) -> Config {
    quarterdeck_sdk::serde_json::from_str(json).unwrap()
}

fn window(now_ms: i64, series: &[(&str, &[f64])]) -> Window {
    let series = series
        .iter()
        .map(|(host, values)| Series {
            labels: Labels::new().with("host", *host),
            at_ms: (0..values.len()).map(|index| index as i64).collect(),
            value: values.to_vec(),
        })
        .collect();
    Window { now_ms, from_ms: 0, series }
}

/// Feeds one figure after the other and says at which of them the series was flagged.
fn flags(config: &Config, values: &[f64]) -> Vec<bool> {
    let mut state = None;
    let mut flags = Vec::new();
    for (minute, value) in values.iter().enumerate() {
        let now_ms = minute as i64 * 60_000;
        let verdict = Threshold::evaluate(config, &window(now_ms, &[("a", &[*value])]), state.as_deref()).unwrap();
        flags.push(!verdict.signals.is_empty());
        state = verdict.state;
    }
    flags
}

#[test]
fn a_series_stays_raised_until_the_clear_level_is_crossed() {
    let config = config(r#"{"raise": 90, "clear": 80}"#);
    assert_eq!(
        flags(&config, &[85.0, 90.0, 91.0, 85.0, 80.5, 80.0, 85.0, 91.0]),
        [false, false, true, true, true, false, false, true]
    );
}

#[test]
fn below_works_the_other_way_round() {
    let config = config(r#"{"raise": 1, "direction": "below"}"#);
    assert_eq!(flags(&config, &[1.0, 0.0, 1.0]), [false, true, false]);
}

#[test]
fn a_series_without_a_number_stays_as_it_was() {
    let config = config(r#"{"raise": 90}"#);
    assert_eq!(flags(&config, &[f64::NAN, 95.0, f64::NAN, 50.0]), [false, true, true, false]);
}

#[test]
fn the_figure_is_the_aggregate_of_the_window() {
    let check = |aggregate: &str, expected: Option<f64>| {
        let config = config(&format!(r#"{{"raise": 3, "aggregate": "{aggregate}"}}"#));
        let verdict = Threshold::evaluate(&config, &window(0, &[("a", &[9.0, 1.0, 2.0])]), None).unwrap();
        assert_eq!(verdict.signals.first().map(|signal| signal.value), expected);
    };
    check("last", None);
    check("avg", Some(4.0));
    check("min", None);
    check("max", Some(9.0));
}

#[test]
fn each_series_is_judged_by_itself_and_named_by_its_index() {
    let config = config(r#"{"raise": 90, "severity": "critical"}"#);
    let verdict = Threshold::evaluate(&config, &window(0, &[("a", &[10.0]), ("b", &[f64::INFINITY])]), None).unwrap();
    assert_eq!(verdict.signals.len(), 1);
    assert_eq!(verdict.signals[0].series, 1);
    assert_eq!(verdict.signals[0].severity, Severity::Critical);
    assert!(verdict.signals[0].value.is_finite());
}

#[test]
fn the_reason_says_what_was_measured_and_against_what() {
    let verdict = Threshold::evaluate(&config(r#"{"raise": 90}"#), &window(0, &[("a", &[97.123_456])]), None).unwrap();
    assert_eq!(verdict.signals[0].reason, "is 97.123, above 90");
}

#[test]
fn the_order_of_labels_does_not_matter_and_a_strange_state_is_no_state() {
    let one = Labels::new().with("a", "1").with("b", "2");
    let other = Labels::new().with("b", "2").with("a", "1");
    assert_eq!(state::key(&one), state::key(&other));
    for strange in [&b""[..], b"\x02rubbish", b"\x01short"] {
        assert_eq!(State::read(Some(strange), 0), State::default());
    }
}

#[test]
fn the_state_is_bounded_and_forgets_what_has_not_been_seen_for_a_month() {
    let mut state = State::default();
    for key in 0..5_000 {
        state.set(key, Raised { seen_ms: 0, value: 1.0 });
    }
    let bytes = state.write().unwrap();
    assert!(bytes.len() <= 64 * 1024);
    assert_eq!(State::read(Some(&bytes), 2_592_000_001), State::default());
    assert!(State::read(Some(&bytes), 2_592_000_000).get(7).is_some());
}

#[test]
fn a_series_that_was_away_for_hours_is_still_raised_between_the_levels() {
    let config = config(r#"{"raise": 90, "clear": 80}"#);
    let day = 24 * 3_600_000;
    let evaluate = |now_ms: i64, series: &[(&str, &[f64])], state: Option<Vec<u8>>| {
        Threshold::evaluate(&config, &window(now_ms, series), state.as_deref()).unwrap()
    };
    let verdict = evaluate(0, &[("a", &[95.0])], None);
    let verdict = evaluate(day, &[("b", &[95.0])], verdict.state);
    let verdict = evaluate(7 * day, &[("a", &[85.0]), ("c", &[85.0])], verdict.state);
    assert_eq!(verdict.signals.iter().map(|signal| signal.series).collect::<Vec<_>>(), [0]);
}

#[test]
fn without_a_level_or_with_one_that_never_clears_the_call_is_rejected() {
    let evaluate = |json: &str| Threshold::evaluate(&config(json), &window(0, &[]), None).unwrap_err();
    assert!(evaluate("{}").message().starts_with("`raise` is missing"));
    assert!(evaluate(r#"{"raise": 90, "clear": 95}"#).message().contains("expected at most 90"));
    assert!(Threshold::validate(&config("{}")).is_empty());
}
