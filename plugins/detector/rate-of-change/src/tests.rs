use super::*;
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::detector::Series;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

/// A series with a sample a minute, the last one now, in a window of an hour.
fn window(values: &[f64]) -> Window {
    let now_ms = 100 * 3_600_000;
    let first = now_ms - 60_000 * (values.len() as i64 - 1);
    let at_ms = (0..values.len() as i64).map(|minute| first + minute * 60_000).collect();
    let series = Series { labels: Labels::new().with("host", "a"), at_ms, value: values.to_vec() };
    Window { now_ms, from_ms: now_ms - 3_600_000, series: vec![series] }
}

fn judged(json: &str, values: &[f64]) -> Verdict {
    RateOfChange::evaluate(&config(json), &window(values), None).unwrap()
}

fn reason(json: &str, values: &[f64]) -> Option<String> {
    judged(json, values).signals.first().map(|signal| signal.reason.clone())
}

#[test]
fn a_gauge_is_compared_with_what_it_was() {
    let flat_then_double = [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 21.0];
    let said = reason(r#"{"relative": 1.0}"#, &flat_then_double);
    assert_eq!(said.as_deref(), Some("went from 10 to 21 in 5 min, by 110 %"));
    assert_eq!(reason(r#"{"relative": 1.1}"#, &flat_then_double), None, "not more than the level");
    assert!(reason(r#"{"absolute": 10}"#, &flat_then_double).is_some());
    assert_eq!(reason(r#"{"absolute": 10, "relative": 2}"#, &flat_then_double), None, "both must be exceeded");
    let verdict = judged(r#"{"relative": 1.0}"#, &flat_then_double);
    let derived: Vec<(&str, f64)> = verdict.derived.iter().map(|of| (of.metric.as_str(), of.value)).collect();
    assert_eq!(derived, [("change_absolute", 11.0), ("change_relative", 1.1)]);
}

#[test]
fn the_direction_counts() {
    let halved = [10.0, 10.0, 10.0, 10.0, 10.0, 4.0];
    assert_eq!(reason(r#"{"relative": 0.5, "direction": "up"}"#, &halved), None);
    assert!(reason(r#"{"relative": 0.5, "direction": "down"}"#, &halved).is_some());
    assert!(reason(r#"{"relative": 0.5}"#, &halved).is_some());
}

#[test]
fn a_counter_that_begins_anew_has_lost_nothing() {
    // A gain of 10 a minute; the process is restarted twice.
    let counter = [100.0, 110.0, 120.0, 5.0, 15.0, 2.0, 12.0];
    let verdict = judged(r#"{"kind": "counter", "absolute": 42, "direction": "up"}"#, &counter);
    assert_eq!(verdict.derived[0].value, 10.0 + 5.0 + 10.0 + 2.0 + 10.0, "the gain of the last five minutes");
    assert!(verdict.signals.is_empty());
    assert!(reason(r#"{"kind": "counter", "absolute": 36}"#, &counter).is_some());
}

#[test]
fn the_gain_of_a_counter_is_compared_with_the_gain_before() {
    let mut counter: Vec<f64> = (0..6).map(|minute| 10.0 * f64::from(minute)).collect();
    counter.extend((1..=5).map(|minute| 50.0 + 30.0 * f64::from(minute)));
    let said = reason(r#"{"kind": "counter", "relative": 1.5}"#, &counter);
    assert_eq!(said.as_deref(), Some("gained 150 in 5 min, 200 % against 50 before"));
    let stopped: Vec<f64> = (0..11).map(|minute| 10.0 * f64::from(minute.min(6))).collect();
    assert!(reason(r#"{"kind": "counter", "relative": 0.5, "direction": "down"}"#, &stopped).is_some());
}

#[test]
fn a_flagged_series_clears_below_a_share_of_the_level() {
    let config = config(r#"{"absolute": 10, "clear": 0.5}"#);
    let mut state = None;
    let flagged: Vec<bool> = [11.0, 6.0, 4.0, 6.0]
        .iter()
        .map(|rise| {
            let window = window(&[0.0, 0.0, 0.0, 0.0, 0.0, *rise]);
            let verdict = RateOfChange::evaluate(&config, &window, state.as_deref()).unwrap();
            state = verdict.state;
            !verdict.signals.is_empty()
        })
        .collect();
    assert_eq!(flagged, [true, true, false, false]);
}

#[test]
fn a_short_history_is_not_judged_and_a_flagged_series_stays_so_meanwhile() {
    assert_eq!(judged(r#"{"absolute": 1}"#, &[0.0, 100.0]), Verdict::default());
    let first = judged(r#"{"absolute": 1}"#, &[0.0, 0.0, 0.0, 0.0, 0.0, 100.0]);
    let again =
        RateOfChange::evaluate(&config(r#"{"absolute": 1}"#), &window(&[100.0]), first.state.as_deref()).unwrap();
    assert_eq!(again.signals.len(), 1);
}

#[test]
fn from_nothing_to_something_exceeds_every_share() {
    let said = reason(r#"{"relative": 100}"#, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.1]);
    assert_eq!(said.as_deref(), Some("went from 0 to 0.1 in 5 min"));
    assert_eq!(reason(r#"{"relative": 100}"#, &[0.0; 6]), None);
}

#[test]
fn what_is_no_number_empty_doubled_or_out_of_order_is_no_panic() {
    let mut window = window(&[f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 1.0, f64::NAN, f64::MAX]);
    window.series[0].at_ms[4] = window.series[0].at_ms[3];
    window.series[0].at_ms.swap(0, 6);
    window.series.push(Series::default());
    for kind in ["gauge", "counter"] {
        let config = config(&format!(r#"{{"kind": "{kind}", "absolute": 1, "relative": 0.1}}"#));
        let verdict = RateOfChange::evaluate(&config, &window, Some(b"\x01rubbish")).unwrap();
        assert!(verdict.derived.iter().all(|derived| derived.value.is_finite()), "{verdict:?}");
    }
}

#[test]
fn without_a_level_or_with_a_window_too_short_the_call_is_rejected_with_a_hint() {
    let refused = |json: &str| RateOfChange::evaluate(&config(json), &window(&[1.0]), None).unwrap_err();
    assert!(refused("{}").message().contains("hint: give the rule a level"));
    assert!(refused(r#"{"absolute": 1, "over-seconds": 7200}"#).message().contains("`window` longer"));
    assert!(refused(r#"{"relative": 1, "kind": "counter", "over-seconds": 2400}"#).message().contains("80 min"));
    assert!(refused(r#"{"relative": -1}"#).message().contains("expected 0 or more"));
    assert!(RateOfChange::validate(&config("{}")).is_empty());
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<RateOfChange>(r#"{"relative": 0.5, "absolute": 1}"#);
    quarterdeck_sdk::testing::bears_odd_windows::<RateOfChange>(r#"{"kind": "counter", "relative": 0.5}"#);
}
