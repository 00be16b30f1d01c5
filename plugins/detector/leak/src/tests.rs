use super::*;
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::detector::Series;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

/// A day with a figure every five minutes; the figure of an hour.
fn window(figure: impl Fn(f64) -> f64) -> Window {
    let at_ms: Vec<i64> = (0..=288).map(|step| step * 300_000).collect();
    let value = at_ms.iter().map(|at| figure(*at as f64 / 3_600_000.0)).collect();
    let series = vec![Series { labels: Labels::new().with("process", "shop"), at_ms, value }];
    Window { now_ms: 24 * 3_600_000, from_ms: 0, series }
}

fn judged(figure: impl Fn(f64) -> f64) -> Verdict {
    Leak::evaluate(&config("{}"), &window(figure), None).unwrap()
}

fn reason(figure: impl Fn(f64) -> f64) -> Option<String> {
    judged(figure).signals.first().map(|signal| signal.reason.clone())
}

/// The same on every machine, between -1 and 1.
fn noise(hour: f64) -> f64 {
    let mixed = ((hour * 60.0).round() as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
}

#[test]
fn memory_that_keeps_growing_is_a_leak_in_spite_of_noise_and_says_how_fast() {
    let verdict = judged(|hour| 500.0 + 10.0 * hour + 30.0 * noise(hour));
    let said = &verdict.signals[0].reason;
    assert!(said.contains("an hour") && said.contains("at 99 %) for 23.8 h"), "{said}");
    let of = |metric: &str| verdict.derived.iter().find(|derived| derived.metric == metric).unwrap().value;
    assert_eq!(of("leak_bit"), 1.0);
    assert!((9.0..11.0).contains(&of("leak_growth_per_hour")), "{verdict:?}");
    assert!(of("leak_growth_per_hour_lower") > 7.0 && of("leak_confidence") > 0.9999, "{verdict:?}");
}

#[test]
fn restarts_do_not_hide_it() {
    let said = reason(|hour| 200.0 + 60.0 * (hour % 8.0) + 5.0 * noise(hour)).unwrap();
    assert!(said.ends_with("in spite of 2 restarts"), "{said}");
    assert!(reason(|hour| 200.0 + 60.0 * (hour % 13.0)).unwrap().ends_with("in spite of a restart"));
}

#[test]
fn what_does_not_keep_growing_is_no_leak() {
    type Figure = fn(f64) -> f64;
    let cases: [(&str, Figure); 8] = [
        ("constant", |_| 500.0),
        ("noise", |hour| 500.0 + 100.0 * noise(hour)),
        ("falling", |hour| 500.0 - 10.0 * hour),
        ("a collector's saw-tooth", |hour| 500.0 + 100.0 * (hour * 2.0).fract()),
        ("a wave of a day", |hour| 500.0 + 100.0 * (hour / 24.0 * std::f64::consts::TAU).sin()),
        ("a cache that has filled", |hour| 500.0 + 30.0 * hour.min(10.0)),
        ("a step", |hour| if hour < 12.0 { 500.0 } else { 600.0 }),
        ("growth too slow to matter", |hour| 500.0 + 0.5 * hour),
    ];
    for (what, figure) in cases {
        let verdict = judged(figure);
        assert!(verdict.signals.is_empty(), "{what}: {verdict:?}");
        assert_eq!(verdict.derived[0].value, 0.0, "{what}");
    }
}

#[test]
fn how_slow_is_still_a_leak_can_be_said() {
    let strict = Leak::evaluate(&config(r#"{"min-growth": 0.01}"#), &window(|hour| 500.0 + 0.5 * hour), None).unwrap();
    assert_eq!(strict.signals.len(), 1);
}

#[test]
fn too_few_samples_leave_what_was_flagged_as_it_is() {
    let leaking = window(|hour| 500.0 + 10.0 * hour);
    let first = Leak::evaluate(&config("{}"), &leaking, None).unwrap();
    let mut short = leaking;
    short.series[0].at_ms.drain(..285);
    short.series[0].value.drain(..285);
    assert_eq!(Leak::evaluate(&config("{}"), &short, None).unwrap(), Verdict::default());
    let after = Leak::evaluate(&config("{}"), &short, first.state.as_deref()).unwrap();
    assert_eq!(after.signals[0].reason, "was leaking, and has too few samples now");
}

#[test]
fn what_is_no_number_and_odd_windows_are_no_panic() {
    let mut odd = window(|hour| if hour < 5.0 { f64::NAN } else { f64::MAX * (hour - 12.0).signum() });
    odd.series[0].at_ms[99] = odd.series[0].at_ms[98];
    odd.series[0].at_ms.swap(20, 200);
    odd.series.push(Series::default());
    odd.series.push(Series { at_ms: vec![7; 50], value: vec![f64::INFINITY; 50], ..Series::default() });
    let verdict = Leak::evaluate(&config("{}"), &odd, Some(b"\x01rubbish")).unwrap();
    assert!(verdict.derived.iter().all(|derived| derived.value.is_finite()), "{verdict:?}");
}

#[test]
fn a_short_window_and_figures_out_of_range_are_refused_with_what_was_expected() {
    let mut short = window(|_| 1.0);
    short.from_ms = short.now_ms - 60_000;
    let refused = Leak::evaluate(&config("{}"), &short, None).unwrap_err();
    assert!(refused.message().contains("hint: make the rule's `window` longer"), "{refused}");
    let wrong = config(r#"{"confidence": 1, "min-growth": -1, "min-fit": 2, "min-history-seconds": 0}"#);
    assert_eq!(Leak::validate(&wrong).len(), 4);
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<Leak>(r#"{}"#);
}
