use super::*;
use quarterdeck_sdk::Labels;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60;
/// A Monday.
const BEGIN: i64 = 4 * DAY;

fn config(json: &str) -> Config {
    quarterdeck_sdk::json::from_str(json).unwrap()
}

fn window(minute: i64, series: &[(String, f64)]) -> Window {
    let now_ms = minute * MINUTE;
    let series = series.iter().map(|(host, value)| Series {
        labels: Labels::new().with("host", host),
        at_ms: vec![now_ms],
        value: vec![*value],
    });
    Window { now_ms, from_ms: now_ms - 5 * MINUTE, series: series.collect() }
}

fn derived(verdict: &Verdict, metric: &str) -> Option<f64> {
    verdict.derived.iter().find(|derived| derived.metric == metric).map(|derived| derived.value)
}

/// A rule that is evaluated every five minutes.
struct Rule {
    config: Config,
    minute: i64,
    state: Option<Vec<u8>>,
    last: Verdict,
}

impl Rule {
    fn new(json: &str) -> Self {
        Rule { config: config(json), minute: BEGIN, state: None, last: Verdict::default() }
    }

    fn step(&mut self, value: f64) -> bool {
        let window = window(self.minute, &[("a".to_owned(), value)]);
        let verdict = AdaptiveThreshold::evaluate(&self.config, &window, self.state.as_deref()).unwrap();
        self.minute += 5;
        self.state.clone_from(&verdict.state);
        self.last = verdict;
        !self.last.signals.is_empty()
    }

    /// How many evaluations of so many minutes flagged it.
    fn run(&mut self, minutes: i64, figure: impl Fn(i64) -> f64) -> usize {
        let end = self.minute + minutes;
        let mut flagged = 0;
        while self.minute < end {
            let value = figure(self.minute - BEGIN);
            flagged += usize::from(self.step(value));
        }
        flagged
    }
}

/// Busy on working days, quiet at night and at week-ends, with some noise.
fn traffic(minute: i64) -> f64 {
    let (day, hour) = (minute / DAY % 7, minute % DAY / 60);
    let busy = if day < 5 && (8..18).contains(&hour) { 1000.0 } else { 100.0 };
    busy * (1.0 + 0.05 * ((minute as f64 * 0.7919).sin() * 43_758.545).fract())
}

#[test]
fn what_is_usual_on_a_monday_morning_is_abnormal_on_a_sunday() {
    let mut rule = Rule::new("{}");
    assert_eq!(rule.run(14 * DAY, traffic), 0, "it learns");
    assert_eq!(rule.run(6 * DAY + 10 * 60, traffic), 0, "a week as the others");
    assert_eq!(derived(&rule.last, "adaptive_threshold_learning"), Some(0.0));
    // Sunday, ten o'clock.
    assert!(rule.step(1000.0));
    let said = &rule.last.signals[0];
    assert!((90.0..110.0).contains(&said.expected.unwrap()), "{said:?}");
    assert!(said.reason.contains("that is usual at this hour"), "{said:?}");
    let bounds =
        ["lower", "expected", "upper"].map(|end| derived(&rule.last, &format!("adaptive_threshold_{end}")).unwrap());
    assert!(bounds[0] < bounds[1] && bounds[1] < bounds[2] && bounds[2] < 300.0, "{bounds:?}");
    // The next Monday, ten o'clock: that is usual, and its absence is not.
    rule.run(DAY - 5, traffic);
    assert!(!rule.step(1000.0));
    assert!(rule.step(100.0));
}

#[test]
fn while_it_learns_it_says_so_and_judges_nothing() {
    let mut rule = Rule::new("{}");
    assert_eq!(rule.run(7 * DAY, |minute| (minute % 997) as f64), 0);
    assert_eq!(derived(&rule.last, "adaptive_threshold_learning"), Some(1.0));
    assert_eq!(derived(&rule.last, "adaptive_threshold_upper"), None);
}

#[test]
fn an_outage_does_not_become_usual() {
    let mut rule = Rule::new(r#"{"season": "day"}"#);
    rule.run(3 * DAY + 3 * 60, traffic);
    let usual = derived(&rule.last, "adaptive_threshold_expected").unwrap();
    assert_eq!(rule.run(3 * 60, |_| 0.0), 36, "every evaluation of three hours");
    assert_eq!(rule.run(21 * 60, traffic), 0, "the rest of the day, and the same time on the next one");
    let after = derived(&rule.last, "adaptive_threshold_expected").unwrap();
    assert!((after - usual).abs() < 10.0, "{usual} {after}");
}

#[test]
fn a_new_level_is_learned_after_a_day_of_it() {
    let mut rule = Rule::new(r#"{"season": "day", "direction": "above"}"#);
    rule.run(5 * DAY, |minute| 50.0 + traffic(minute % DAY) / 1000.0);
    let flagged = rule.run(3 * DAY, |minute| 80.0 + traffic(minute % DAY) / 1000.0);
    assert!((280..=312).contains(&flagged), "a day, and an hour at most: {flagged}");
    assert!(!rule.step(80.5));
}

#[test]
fn it_stays_raised_until_it_is_well_within_the_bounds() {
    let mut rule = Rule::new(r#"{"season": "none", "spreads": 4, "clear-spreads": 1, "min-spread": 10}"#);
    rule.run(3 * 60, |_| 100.0);
    let flags: Vec<bool> = [139.0, 141.0, 115.0, 109.0, 115.0].map(|value| rule.step(value)).into();
    assert_eq!(flags, [false, true, true, false, false]);
}

#[test]
fn the_direction_counts() {
    for (direction, above, below) in [("above", true, false), ("below", false, true), ("both", true, true)] {
        for (value, expected) in [(200.0, above), (0.0, below)] {
            let mut rule = Rule::new(&format!(r#"{{"season": "none", "direction": "{direction}"}}"#));
            rule.run(3 * 60, |minute| 100.0 + (minute % 7) as f64);
            assert_eq!(rule.step(value), expected, "{direction} {value}");
        }
    }
}

#[test]
fn one_sample_is_learned_from_once_however_often_it_is_seen() {
    let config = config(r#"{"season": "none"}"#);
    let mut at_first = window(0, &[("a".to_owned(), 5.0)]);
    let first = AdaptiveThreshold::evaluate(&config, &at_first, None).unwrap();
    at_first.now_ms += 15_000;
    let again = AdaptiveThreshold::evaluate(&config, &at_first, first.state.as_deref()).unwrap();
    assert_eq!(first.state.as_ref().map(|state| state[15..].to_vec()), again.state.map(|state| state[15..].to_vec()));
}

#[test]
fn more_series_than_there_is_room_for_leave_the_known_ones_known_and_say_so() {
    let config = config("{}");
    let series = |count: usize| (0..count).map(|index| (format!("host-{index}"), 1.0)).collect::<Vec<_>>();
    let first = AdaptiveThreshold::evaluate(&config, &window(BEGIN, &series(104)), None).unwrap();
    assert_eq!(derived(&first, "adaptive_threshold_forgotten"), None, "104 fit");
    let second =
        AdaptiveThreshold::evaluate(&config, &window(BEGIN + 5, &series(205)), first.state.as_deref()).unwrap();
    assert!(second.state.unwrap().len() <= 64 * 1024);
    let forgotten: Vec<usize> = second.derived.iter().filter(|d| d.metric == FORGOTTEN).map(|d| d.series).collect();
    assert_eq!(forgotten, (104..205).collect::<Vec<_>>());
}

#[test]
fn as_many_as_are_documented_fit_and_stay_however_much_is_learned_of_them() {
    for (season, most) in [("week", 104), ("day", 300), ("none", 520)] {
        let config = config(&format!(r#"{{"season": "{season}"}}"#));
        let series: Vec<_> = (0..most + 1).map(|index| (format!("host-{index:03}"), index as f64)).collect();
        let mut state = None;
        // Twenty figures of an hour, and one of the next one.
        for minute in (BEGIN..BEGIN + 63).step_by(3) {
            let verdict = AdaptiveThreshold::evaluate(&config, &window(minute, &series), state.as_deref()).unwrap();
            let forgotten = verdict.derived.iter().filter(|derived| derived.metric == FORGOTTEN).count();
            assert_eq!(forgotten, 1, "{season}, {most} series and one more, after {} minutes", minute - BEGIN);
            state = verdict.state;
        }
    }
}

#[test]
fn series_without_room_are_in_the_log_once_an_hour() {
    let config = config("{}");
    let series: Vec<_> = (0..150).map(|index| (format!("host-{index}"), 1.0)).collect();
    let ((), host) = quarterdeck_sdk::testing::FakeHost::default().run(|| {
        let mut state = None;
        for minute in (BEGIN..BEGIN + 120).step_by(15) {
            state = AdaptiveThreshold::evaluate(&config, &window(minute, &series), state.as_deref()).unwrap().state;
        }
    });
    let lines: Vec<&str> = host.log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("46 of 150 series find no room") && line.contains("hint: divide"))
    );
}

#[test]
fn a_flagged_series_whose_samples_are_no_numbers_stays_flagged() {
    let mut rule = Rule::new(r#"{"season": "none"}"#);
    rule.run(3 * 60, |_| 100.0);
    assert!(rule.step(500.0));
    assert!(rule.step(f64::NAN));
    assert_eq!((rule.last.signals[0].value, rule.last.signals[0].expected), (500.0, None));
    assert!(!rule.step(100.0));
}

#[test]
fn the_aggregate_is_what_is_judged() {
    let at_ms = vec![0, 1000, 2000];
    let series = Series { at_ms, value: vec![1.0, 9.0, 2.0], ..Series::default() };
    assert_eq!(figure(&series, 5000, Aggregate::Last), Some((2000, 2.0)));
    assert_eq!(figure(&series, 5000, Aggregate::Avg), Some((2000, 4.0)));
    assert_eq!(figure(&series, 5000, Aggregate::Median), Some((2000, 2.0)));
    assert_eq!(figure(&series, 1500, Aggregate::Last), Some((1000, 9.0)), "nothing of the future");
}

#[test]
fn what_is_no_number_and_odd_windows_are_no_panic() {
    for season in ["week", "day", "none"] {
        let mut rule = Rule::new(&format!(r#"{{"season": "{season}", "min-cycles": 1}}"#));
        rule.state = Some(b"\x01rubbish".to_vec());
        for value in [f64::NAN, f64::MAX, f64::MIN, f64::INFINITY, 0.0, -0.0] {
            rule.run(DAY, |_| value);
            assert!(rule.last.derived.iter().all(|derived| derived.value.is_finite()));
        }
    }
    let odd = Series { at_ms: vec![i64::MAX, 0, 0, i64::MIN], value: vec![1.0, 2.0, 3.0, 4.0], ..Series::default() };
    let window = Window { now_ms: 5, from_ms: 0, series: vec![odd, Series::default()] };
    AdaptiveThreshold::evaluate(&config("{}"), &window, None).unwrap();
}

#[test]
fn figures_out_of_range_are_refused_with_what_was_expected() {
    let wrong = r#"{"spreads": 0, "clear-spreads": 5, "min-cycles": 0, "min-spread": -1, "relearn-after-hours": 0}"#;
    assert_eq!(AdaptiveThreshold::validate(&config(wrong)).len(), 5);
    let weeks = AdaptiveThreshold::validate(&config(r#"{"min-cycles": 16}"#));
    assert!(weeks[0].message.contains("at most 15"), "{weeks:?}");
    assert!(AdaptiveThreshold::validate(&config(r#"{"min-cycles": 16, "season": "day"}"#)).is_empty());
    let refused = AdaptiveThreshold::evaluate(&config(wrong), &window(0, &[]), None).unwrap_err();
    assert!(refused.message().starts_with("/spreads"), "{refused}");
}

#[test]
fn no_window_however_odd_is_too_much() {
    quarterdeck_sdk::testing::bears_odd_windows::<AdaptiveThreshold>(r#"{"season": "none", "min-cycles": 1}"#);
    quarterdeck_sdk::testing::bears_odd_windows::<AdaptiveThreshold>(r#"{"min-cycles": 1}"#);
}
