use super::*;
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::detector::Series;

const HOUR_MS: i64 = 3_600_000;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

/// Six hours with a figure a minute.
fn window(figure: impl Fn(f64) -> f64) -> Window {
    let at_ms: Vec<i64> = (0..=360).map(|minute| minute * 60_000).collect();
    let value = at_ms.iter().map(|at| figure(*at as f64 / HOUR_MS as f64)).collect();
    let series = vec![Series { labels: Labels::new().with("mount", "/"), at_ms, value }];
    Window { now_ms: 6 * HOUR_MS, from_ms: 0, series }
}

fn judged(json: &str, figure: impl Fn(f64) -> f64) -> Verdict {
    Capacity::evaluate(&config(json), &window(figure), None).unwrap()
}

fn reason(json: &str, figure: impl Fn(f64) -> f64) -> Option<String> {
    judged(json, figure).signals.first().map(|signal| signal.reason.clone())
}

fn derived(verdict: &Verdict, metric: &str) -> Option<f64> {
    verdict.derived.iter().find(|derived| derived.metric == metric).map(|derived| derived.value)
}

/// The same on every machine, between -1 and 1.
fn noise(hour: f64) -> f64 {
    let mixed = ((hour * 60.0).round() as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
}

#[test]
fn a_disk_that_fills_within_the_day_is_flagged_and_says_when() {
    let verdict = judged(r#"{"limit": 100}"#, |hour| 40.0 + 2.5 * hour);
    assert_eq!(
        verdict.signals[0].reason,
        "is 55, and will be 100 in 18 h (18 h to 18 h at 90 %), changing by 2.5 an hour"
    );
    for metric in ["forecast_seconds_until", "forecast_seconds_until_lower", "forecast_seconds_until_upper"] {
        let seconds = derived(&verdict, metric).unwrap();
        assert!((seconds - 64_800.0).abs() < 1.0, "{metric}: {seconds}");
    }
    assert!((derived(&verdict, "forecast_slope").unwrap() - 2.5 / 3600.0).abs() < 1e-9);
    assert_eq!(reason(r#"{"limit": 100, "within-seconds": 60000}"#, |hour| 40.0 + 2.5 * hour), None);
}

#[test]
fn noise_widens_the_band_and_which_end_decides_is_a_choice() {
    let figure = |hour: f64| 40.0 + 2.5 * hour + 4.0 * noise(hour);
    let verdict = judged(r#"{"limit": 100}"#, figure);
    let [lower, line, upper] =
        ["_lower", "", "_upper"].map(|end| derived(&verdict, &format!("forecast_seconds_until{end}")).unwrap());
    assert!(lower < line - 600.0 && line + 600.0 < upper, "{lower} {line} {upper}");
    assert!((57_000.0..72_000.0).contains(&line), "about 18 hours: {line}");
    let by = |bound: &str| {
        let within = f64::midpoint(lower, line);
        reason(&format!(r#"{{"limit": 100, "within-seconds": {within}, "decide-by": "{bound}"}}"#), figure).is_some()
    };
    assert_eq!([by("lower"), by("line"), by("upper")], [true, false, false]);
}

#[test]
fn flat_falling_and_shapeless_figures_are_never_flagged() {
    for (what, verdict) in [
        ("flat", judged(r#"{"limit": 100}"#, |_| 99.9)),
        ("falling", judged(r#"{"limit": 100}"#, |hour| 99.0 - hour)),
        ("noise", judged(r#"{"limit": 100}"#, |hour| 95.0 + 4.0 * noise(hour))),
        ("a wave", judged(r#"{"limit": 100}"#, |hour| 90.0 + 5.0 * (hour * 2.0).sin())),
    ] {
        assert!(verdict.signals.is_empty(), "{what}: {verdict:?}");
    }
    let flat = judged(r#"{"limit": 100}"#, |_| 99.9);
    assert_eq!(derived(&flat, "forecast_seconds_until"), None, "never is no sample");
}

#[test]
fn what_is_left_fills_downwards() {
    let said = reason(r#"{"limit": 0, "direction": "down"}"#, |hour| 30.0 - 2.0 * hour);
    assert_eq!(said.as_deref(), Some("is 18, and will be 0 in 9 h (9 h to 9 h at 90 %), changing by -2 an hour"));
    assert_eq!(reason(r#"{"limit": 0, "direction": "down"}"#, |hour| 1.0 + hour), None);
}

#[test]
fn a_clean_up_in_between_changes_where_the_line_stands_and_not_how_steep_it_is() {
    // Fills by 10 an hour; at the third hour 25 are freed.
    let verdict = judged(r#"{"limit": 100}"#, |hour| 10.0 + 10.0 * hour - if hour >= 3.0 { 25.0 } else { 0.0 });
    let seconds = derived(&verdict, "forecast_seconds_until").unwrap();
    assert!((seconds / 3600.0 - 5.5).abs() < 0.1, "from 45 to 100: {}", seconds / 3600.0);
}

#[test]
fn outliers_do_not_turn_the_line() {
    let burst = |hour: f64| 40.0 + 2.5 * hour + if (2.0..2.3).contains(&hour) { 50.0 } else { 0.0 };
    let seconds = derived(&judged(r#"{"limit": 100}"#, burst), "forecast_seconds_until").unwrap();
    assert!((seconds / 3600.0 - 18.0).abs() < 0.5, "{}", seconds / 3600.0);
}

#[test]
fn what_is_full_is_flagged_even_if_it_grows_no_more() {
    let said = reason(r#"{"limit": 100}"#, |_| 100.0);
    assert_eq!(said.as_deref(), Some("is 100, and 100 is full"));
}

#[test]
fn too_little_history_says_nothing_and_leaves_what_was_flagged_as_it_is() {
    let config = config(r#"{"limit": 100}"#);
    let mut short = window(|hour| 40.0 + 2.5 * hour);
    let full = Capacity::evaluate(&config, &short, None).unwrap();
    short.series[0].at_ms.drain(..330);
    short.series[0].value.drain(..330);
    assert_eq!(Capacity::evaluate(&config, &short, None).unwrap(), Verdict::default());
    let after = Capacity::evaluate(&config, &short, full.state.as_deref()).unwrap();
    assert_eq!(after.signals[0].reason, "was filling up, and has samples over 28.5 min only");
}

#[test]
fn what_is_no_number_and_odd_windows_are_no_panic() {
    let config = config(r#"{"limit": 100, "min-history-seconds": 1}"#);
    let mut odd = window(|hour| if hour < 1.0 { f64::NAN } else { f64::MAX * (hour - 3.0).signum() });
    odd.series[0].at_ms[9] = odd.series[0].at_ms[8];
    odd.series[0].at_ms.swap(20, 300);
    odd.series.push(Series::default());
    odd.series.push(Series { at_ms: vec![5; 50], value: vec![1.0; 50], ..Series::default() });
    let verdict = Capacity::evaluate(&config, &odd, Some(b"\x01rubbish")).unwrap();
    assert!(verdict.derived.iter().all(|derived| derived.value.is_finite()), "{verdict:?}");
    let backwards = Window { now_ms: i64::MIN, from_ms: i64::MAX, series: odd.series };
    assert!(Capacity::evaluate(&config, &backwards, None).is_err(), "no window at all");
}

#[test]
fn without_a_limit_or_with_a_window_too_short_the_call_is_rejected_with_a_hint() {
    let refused = |json: &str| Capacity::evaluate(&config(json), &window(|_| 1.0), None).unwrap_err();
    assert!(refused("{}").message().contains("hint: give the rule the level"));
    assert!(refused(r#"{"limit": 1, "min-history-seconds": 90000}"#).message().contains("shorter than the 25 h"));
    assert!(refused(r#"{"limit": 1, "confidence": 1}"#).message().contains("0.9999"));
    assert!(Capacity::validate(&config("{}")).is_empty());
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<Capacity>(r#"{"limit": 100}"#);
}
