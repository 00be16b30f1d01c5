use super::*;
use quarterdeck_sdk::Labels;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

fn window(now_s: i64, samples: &[(i64, f64)]) -> Window {
    let (at_ms, value) = samples.iter().map(|(at, value)| (at * 1000, *value)).unzip();
    let series = vec![Series { labels: Labels::new().with("host", "a"), at_ms, value }];
    Window { now_ms: now_s * 1000, from_ms: (now_s - 300) * 1000, series }
}

/// A rule with a sample at each evaluation, every 15 seconds.
struct Rule {
    config: Config,
    at_s: i64,
    state: Option<Vec<u8>>,
    last: Verdict,
}

impl Rule {
    fn new(json: &str) -> Self {
        Rule { config: config(json), at_s: 0, state: None, last: Verdict::default() }
    }

    /// The anomaly bit.
    fn step(&mut self, value: f64) -> Option<f64> {
        self.at_s += 15;
        let window = window(self.at_s, &[(self.at_s, value)]);
        self.last = Anomaly::evaluate(&self.config, &window, self.state.as_deref()).unwrap();
        self.state.clone_from(&self.last.state);
        self.derived("anomaly_bit")
    }

    fn derived(&self, metric: &str) -> Option<f64> {
        self.last.derived.iter().find(|derived| derived.metric == metric).map(|derived| derived.value)
    }

    /// How many of the steps were anomalies.
    fn run(&mut self, steps: i64, figure: impl Fn(i64) -> f64) -> i64 {
        (0..steps).map(|step| self.step(figure(step)).unwrap_or_default() as i64).sum()
    }
}

/// Between -1 and 1, the same on every machine.
fn noise(step: i64) -> f64 {
    let mixed = (step as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
}

#[test]
fn a_spike_is_an_anomaly_and_the_noise_around_it_is_none() {
    let mut rule = Rule::new("{}");
    assert_eq!(rule.run(2000, |step| 50.0 + 5.0 * noise(step)), 0);
    assert_eq!(rule.step(80.0), Some(1.0));
    assert!(rule.derived("anomaly_score").unwrap() > 2.0);
    let said = &rule.last.signals[0];
    assert_eq!(said.value, 80.0);
    assert!(said.reason.starts_with("was 80, outside of its range from 45"), "{}", said.reason);
    assert_eq!(rule.run(100, |step| 50.0 + 5.0 * noise(step)), 0);
}

#[test]
fn a_jump_inside_of_the_range_is_an_anomaly_too() {
    let mut rule = Rule::new("{}");
    rule.run(2000, |step| 50.0 + 40.0 * (step as f64 / 200.0).sin());
    // In a trough of the slow wave, a figure that is usual at its crest.
    let trough = (2000..).find(|step| (*step as f64 / 200.0).sin() < -0.999).unwrap();
    assert_eq!(rule.run(trough - 2000, |step| 50.0 + 40.0 * ((step + 2000) as f64 / 200.0).sin()), 0);
    assert_eq!(rule.step(85.0), Some(1.0));
    assert!(rule.last.signals[0].reason.contains("unlike the figures around it"), "{:?}", rule.last.signals);
}

#[test]
fn nothing_is_judged_until_enough_samples_were_seen() {
    let mut rule = Rule::new(r#"{"min-samples": 10}"#);
    let bits: Vec<Option<f64>> = (0..12).map(|step| rule.step(if step == 5 { 100.0 } else { 1.0 })).collect();
    assert!(bits[..10].iter().all(Option::is_none) && bits[10..].iter().all(|bit| *bit == Some(0.0)), "{bits:?}");
}

#[test]
fn a_signal_is_held_for_a_while_after_the_newest_anomaly() {
    let mut rule = Rule::new(r#"{"hold-seconds": 60}"#);
    rule.run(200, noise);
    rule.step(10.0);
    let held: Vec<bool> = (0..6)
        .map(|step| {
            rule.step(noise(step));
            !rule.last.signals.is_empty()
        })
        .collect();
    assert_eq!(held, [true, true, true, true, false, false], "60 seconds are four steps");
}

#[test]
fn what_stays_is_soon_no_anomaly_and_what_was_long_ago_is_one_again() {
    let mut rule = Rule::new(r#"{"half-life-samples": 200}"#);
    rule.run(500, noise);
    assert!(rule.run(100, |step| 20.0 + noise(step)) >= 1);
    assert_eq!(rule.run(300, |step| 20.0 + noise(step)), 0);
    rule.run(3000, noise);
    assert_eq!(rule.step(20.0), Some(1.0));
}

#[test]
fn a_counter_is_judged_by_what_it_gains() {
    let mut total = 0.0;
    let mut rule = Rule::new(r#"{"kind": "counter"}"#);
    let mut anomalies = 0.0;
    for step in 0..1000 {
        // It begins anew once in between.
        total = if step == 500 { 150.0 } else { total + 150.0 + 15.0 * noise(step) };
        anomalies += rule.step(total).unwrap_or_default();
    }
    assert_eq!(anomalies, 0.0);
    assert_eq!(rule.step(total + 900.0), Some(1.0));
    assert!(rule.last.signals[0].reason.starts_with("was 60 a second"), "{:?}", rule.last.signals);
}

#[test]
fn every_sample_is_judged_once_however_many_an_evaluation_brings() {
    let config = config(r#"{"min-samples": 3}"#);
    let steady: Vec<(i64, f64)> = (0..20).map(|step| (step, (step % 2) as f64)).collect();
    let first = Anomaly::evaluate(&config, &window(20, &steady), None).unwrap();
    let mut more = steady;
    more.extend([(21, 9.0), (22, 1.0)]);
    let second = Anomaly::evaluate(&config, &window(22, &more), first.state.as_deref()).unwrap();
    assert_eq!(second.derived[0].value, 1.0, "one of two");
    let third = Anomaly::evaluate(&config, &window(23, &more), second.state.as_deref()).unwrap();
    assert!(third.derived.is_empty(), "nothing is new");
    assert_eq!(third.signals[0].reason, "was 9 2 s ago, outside of its range from 0.0001386 to 0.9999");
}

#[test]
fn what_never_changed_has_changed_and_small_changes_can_be_left_out() {
    let mut rule = Rule::new("{}");
    rule.run(200, |_| 3.0);
    assert_eq!(rule.step(4.0), Some(1.0));
    let mut rule = Rule::new(r#"{"min-change": 2}"#);
    rule.run(200, |_| 3.0);
    assert_eq!((rule.step(4.0), rule.step(8.0)), (Some(0.0), Some(1.0)));
}

#[test]
fn more_series_than_there_is_room_for_leave_the_known_ones_known_and_say_so() {
    let series = |count: usize| {
        let series = (0..count).map(|index| Series {
            labels: Labels::new().with("host", index.to_string()),
            at_ms: vec![1000],
            value: vec![1.0],
        });
        Window { now_ms: 1000, from_ms: 0, series: series.collect() }
    };
    let first = Anomaly::evaluate(&config("{}"), &series(600), None).unwrap();
    assert!(first.derived.is_empty());
    let second = Anomaly::evaluate(&config("{}"), &series(1000), first.state.as_deref()).unwrap();
    assert!(second.state.unwrap().len() <= 64 * 1024);
    assert!(second.derived.len() > 250 && second.derived.iter().all(|derived| derived.series >= 600));
    assert!(second.derived.iter().all(|derived| derived.metric == "anomaly_forgotten"));
}

#[test]
fn what_is_no_number_and_odd_windows_are_no_panic() {
    let mut rule = Rule::new(r#"{"min-samples": 1, "half-life-samples": 1}"#);
    rule.state = Some(b"\x01rubbish".to_vec());
    for value in [f64::NAN, f64::MAX, f64::MIN, f64::INFINITY, 0.0, -0.0, f64::MAX] {
        rule.run(3, |_| value);
        assert!(rule.last.derived.iter().all(|derived| derived.value.is_finite()), "{:?}", rule.last);
    }
    let odd = window(5, &[(5, 1.0), (5, 2.0), (1, 3.0), (900, 4.0)]);
    let verdict = Anomaly::evaluate(&config("{}"), &odd, None).unwrap();
    assert!(verdict.signals.is_empty());
    let empty = Window { series: vec![Series::default()], ..Window::default() };
    Anomaly::evaluate(&config("{}"), &empty, None).unwrap();
}

#[test]
fn figures_out_of_range_are_refused_with_what_was_expected() {
    let wrong = config(r#"{"outside": 0, "min-change": -1, "half-life-samples": 0, "hold-seconds": -1}"#);
    assert_eq!(Anomaly::validate(&wrong).len(), 4);
    let refused = Anomaly::evaluate(&wrong, &window(0, &[]), None).unwrap_err();
    assert!(refused.message().contains("expected more than 0"), "{refused}");
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<Anomaly>(r#"{"min-samples": 10}"#);
    quarterdeck_sdk::testing::bears_odd_windows::<Anomaly>(r#"{"kind": "counter", "min-samples": 1}"#);
}
