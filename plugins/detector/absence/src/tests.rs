use super::*;
use quarterdeck_sdk::Labels;

const MINUTE: i64 = 60_000;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

/// What a rule with a window of an hour sees at a minute of series that have samples at some minutes.
fn window(now: i64, series: &[(&str, &[i64])]) -> Window {
    let from_ms = (now - 60) * MINUTE;
    let series = series.iter().filter_map(|(host, minutes)| {
        let at_ms: Vec<i64> =
            minutes.iter().map(|minute| minute * MINUTE).filter(|at| (from_ms..=now * MINUTE).contains(at)).collect();
        let value = vec![1.0; at_ms.len()];
        (!at_ms.is_empty()).then(|| Series { labels: Labels::new().with("host", *host), at_ms, value })
    });
    Window { now_ms: now * MINUTE, from_ms, series: series.collect() }
}

fn judge(window: &Window, state: &mut Option<Vec<u8>>) -> Vec<String> {
    let verdict = Absence::evaluate(&config("{}"), window, state.as_deref()).unwrap();
    *state = verdict.state;
    verdict.signals.iter().map(|signal| format!("{} {}", window.series[signal.series].labels, signal.reason)).collect()
}

#[test]
fn a_series_that_stopped_is_missed_after_the_grace_and_each_by_itself() {
    let all: Vec<i64> = (0..120).collect();
    let mut state = None;
    let said = |now: i64, state: &mut Option<Vec<u8>>| judge(&window(now, &[("a", &all[..11]), ("b", &all)]), state);
    assert!(said(10, &mut state).is_empty());
    assert!(said(15, &mut state).is_empty(), "five minutes are not more than five");
    assert_eq!(said(16, &mut state), ["{host=\"a\"} has no sample for 6 min"]);
    assert_eq!(said(69, &mut state), ["{host=\"a\"} has no sample for 59 min"]);
    assert!(said(71, &mut state).is_empty(), "it has left the window; what becomes of its alert is the rule's policy");
}

#[test]
fn a_series_that_comes_back_is_missed_no_more_and_again_when_it_stops() {
    let minutes: Vec<i64> = (0..10).chain(20..22).collect();
    let mut state = None;
    let said = |now: i64, state: &mut Option<Vec<u8>>| judge(&window(now, &[("a", &minutes)]), state).len();
    assert_eq!(said(9, &mut state), 0);
    assert_eq!(said(18, &mut state), 1);
    assert_eq!(said(21, &mut state), 0);
    assert_eq!(said(28, &mut state), 1);
}

/// The same window, with a series that the rule expects and the host has not found.
fn expecting(mut window: Window, host: &str) -> Window {
    window.series.push(Series { labels: Labels::new().with("host", host), ..Series::default() });
    window
}

#[test]
fn a_series_that_is_expected_is_missed_though_it_never_was_there_once_the_grace_is_over() {
    let mut state = None;
    assert!(judge(&expecting(window(0, &[]), "never"), &mut state).is_empty());
    assert!(judge(&expecting(window(5, &[]), "never"), &mut state).is_empty(), "five minutes are not more than five");
    let said = "{host=\"never\"} is expected, and not there for 6 min";
    assert_eq!(judge(&expecting(window(6, &[]), "never"), &mut state), [said]);
    let verdict = Absence::evaluate(&config("{}"), &expecting(window(6, &[]), "never"), state.as_deref()).unwrap();
    assert!(verdict.derived.is_empty(), "there is no newest sample whose age could be told");
    // It comes, stays for a moment only, and goes: it was expected all the while.
    assert!(judge(&window(7, &[("never", &[7])]), &mut state).is_empty());
    assert_eq!(judge(&window(13, &[("never", &[7])]), &mut state), ["{host=\"never\"} has no sample for 6 min"]);
}

#[test]
fn a_series_that_is_expected_stays_missed_when_it_has_left_the_window() {
    let minutes: Vec<i64> = (0..=10).collect();
    let mut state = None;
    judge(&window(10, &[("a", &minutes)]), &mut state);
    let said = judge(&expecting(window(90, &[]), "a"), &mut state);
    assert_eq!(said, ["{host=\"a\"} is expected, and not there for 80 min"], "counted from its last sample");
}

#[test]
fn what_was_there_for_a_moment_only_is_not_missed() {
    let mut state = None;
    assert!(judge(&window(10, &[("once", &[1]), ("twice", &[1, 2])]), &mut state)[0].contains("twice"));
    let slow = config(r#"{"present-for-seconds": 600}"#);
    let window = window(30, &[("a", &[1, 5, 9])]);
    assert!(Absence::evaluate(&slow, &window, None).unwrap().signals.is_empty());
}

#[test]
fn that_it_was_there_is_remembered_when_the_window_shows_but_its_end() {
    let mut state = None;
    let minutes: Vec<i64> = (0..=10).collect();
    judge(&window(10, &[("a", &minutes)]), &mut state);
    assert_eq!(judge(&window(69, &[("a", &[10])]), &mut state).len(), 1);
}

#[test]
fn the_age_of_the_newest_sample_is_a_metric() {
    let window = window(12, &[("a", &[10])]);
    let verdict = Absence::evaluate(&config("{}"), &window, None).unwrap();
    assert_eq!(verdict.derived[0], Derived { series: 0, metric: "seconds_since_sample".to_owned(), value: 120.0 });
}

#[test]
fn samples_that_are_no_numbers_count_as_none_and_empty_or_odd_windows_are_no_panic() {
    let mut window = window(20, &[("a", &[1, 2, 3, 19])]);
    window.series[0].value[3] = f64::NAN;
    window.series[0].at_ms.swap(0, 2);
    window.series[0].at_ms[1] = window.series[0].at_ms[0];
    window.series.push(Series::default());
    window.series.push(Series { at_ms: vec![i64::MAX, i64::MIN], value: vec![1.0, 1.0], ..Series::default() });
    let verdict = Absence::evaluate(&config("{}"), &window, Some(b"\x01rubbish")).unwrap();
    assert_eq!(verdict.signals[0].reason, "has no sample for 17 min", "the mark at minute 19 is the series' end");
}

#[test]
fn a_window_that_is_no_longer_than_the_grace_is_refused_with_a_hint() {
    let refused = Absence::evaluate(&config(r#"{"grace-seconds": 3600}"#), &window(0, &[]), None).unwrap_err();
    assert!(refused.message().contains("hint: make the rule's `window` longer"), "{refused}");
    assert_eq!(Absence::validate(&config(r#"{"grace-seconds": 0, "present-for-seconds": -1}"#)).len(), 2);
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<Absence>(r#"{}"#);
}

#[test]
fn it_asks_to_be_shown_series_that_have_ended() {
    let schema: quarterdeck_sdk::serde_json::Value =
        quarterdeck_sdk::serde_json::from_str(&quarterdeck_sdk::config_schema::<Absence>()).unwrap();
    assert_eq!(schema["properties"]["grace-seconds"]["x-sees-ended"], true);
}
