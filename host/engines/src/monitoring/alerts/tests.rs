use super::*;
use quarterdeck_model::Severity;
use quarterdeck_model::plugin::Digest;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + seconds * 1000)
}

/// A rule, its alerts, and a virtual clock.
struct Trial {
    spec: RuleSpec,
    alerts: Alerts,
    plugin: PluginRef,
    /// Instances and services that are configured.
    configured: Vec<&'static str>,
    /// What was expected, and is there or not expected any more.
    settled: Vec<Labels>,
    /// What could not be judged.
    unheard: Vec<Labels>,
}

impl Trial {
    fn new(rule: serde_json::Value) -> Self {
        let mut whole = json!({"detector": "threshold/default", "select": {"metric": "cpu"}});
        whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let plugin = PluginRef { name: "t".into(), version: "1".into(), digest: Digest("sha256:0".into()) };
        let spec = serde_json::from_value(whole).unwrap();
        Trial { spec, alerts: Alerts::new(), plugin, configured: Vec::new(), settled: Vec::new(), unheard: Vec::new() }
    }

    /// `series`: name of the instance, and whether it is abnormal; those that are not named have no data.
    fn evaluate(&mut self, now: Timestamp, series: &[(&str, bool)]) -> Vec<&'static str> {
        let (result, _) = self.try_evaluate(now, series);
        result.unwrap()
    }

    fn try_evaluate(
        &mut self,
        now: Timestamp,
        series: &[(&str, bool)],
    ) -> (Result<Vec<&'static str>, Failure>, Vec<Change>) {
        let data: Vec<_> = series
            .iter()
            .map(|(name, _)| SeriesData {
                name: "cpu".into(),
                labels: Labels::new().with("instance", *name),
                at: vec![now],
                values: vec![1.0],
            })
            .collect();
        let abnormal = series.iter().enumerate().filter(|(_, (_, abnormal))| *abnormal);
        let signals: Vec<_> = abnormal.map(|(index, _)| signal(index, Severity::High)).collect();
        self.try_signals(now, &data, &signals)
    }

    fn try_signals(
        &mut self,
        now: Timestamp,
        series: &[SeriesData],
        signals: &[Signal],
    ) -> (Result<Vec<&'static str>, Failure>, Vec<Change>) {
        let configured = |target: &Target| match target {
            Target::Instance(name) => self.configured.contains(&name.as_str()),
            Target::Service(name) => self.configured.contains(&name.as_str()),
            Target::Scraped(_) => true,
        };
        let (spec, plugin, settled) = (&self.spec, &self.plugin, self.settled.as_slice());
        let unheard = self.unheard.as_slice();
        let seen = Seen { rule: "hot", spec, series, signals, settled, unheard, plugin, configured: &configured, now };
        match evaluate(&self.alerts, &seen) {
            Ok(evaluated) => {
                self.alerts = evaluated.alerts;
                let names = evaluated.changes.iter().map(name).collect();
                (Ok(names), evaluated.changes)
            }
            Err(failure) => (Err(failure), Vec::new()),
        }
    }

    fn only(&self) -> &Alert {
        assert_eq!(self.alerts.len(), 1);
        self.alerts.values().next().unwrap()
    }
}

fn signal(series: usize, severity: Severity) -> Signal {
    Signal { series, severity, value: 97.5, expected: None, reason: "97.5 > 90".into() }
}

fn name(change: &Change) -> &'static str {
    match change {
        Change::Kept(_) => "kept",
        Change::Fired(_) => "fired",
        Change::Updated(_) => "updated",
        Change::Resolved(_) => "resolved",
        Change::Dropped(_) => "dropped",
    }
}

#[test]
fn an_alert_is_pending_for_its_time_and_then_fires_once() {
    let mut trial = Trial::new(json!({"for": "1m"}));
    assert_eq!(trial.evaluate(at(0), &[("a", true)]), ["kept"]);
    assert_eq!(trial.evaluate(at(59), &[("a", true)]), [""; 0]);
    assert_eq!(trial.only().state, AlertState::Pending);
    assert_eq!(trial.evaluate(at(60), &[("a", true)]), ["fired"]);
    assert_eq!(trial.evaluate(at(75), &[("a", true)]), [""; 0]);
    let alert = trial.only();
    assert_eq!((alert.active_at, alert.fired_at, alert.last_evaluated), (at(0), Some(at(60)), at(75)));
}

#[test]
fn without_a_time_to_hold_an_alert_fires_at_once_and_resolves_at_once() {
    let mut trial = Trial::new(json!({}));
    assert_eq!(trial.evaluate(at(0), &[("a", true)]), ["fired"]);
    assert_eq!(trial.evaluate(at(15), &[("a", false)]), ["resolved"]);
    assert_eq!(trial.only().resolved_at, Some(at(15)));
}

#[test]
fn a_pending_alert_that_vanishes_is_dropped_and_starts_anew() {
    let mut trial = Trial::new(json!({"for": "1m"}));
    trial.evaluate(at(0), &[("a", true)]);
    assert_eq!(trial.evaluate(at(30), &[("a", false)]), ["dropped"]);
    assert!(trial.alerts.is_empty());
    trial.evaluate(at(45), &[("a", true)]);
    assert_eq!(trial.evaluate(at(90), &[("a", true)]), [""; 0]);
    assert_eq!(trial.evaluate(at(105), &[("a", true)]), ["fired"]);
}

#[test]
fn it_keeps_firing_from_the_first_evaluation_without_a_signal() {
    let mut trial = Trial::new(json!({"keep-firing-for": "30s"}));
    trial.evaluate(at(0), &[("a", true)]);
    assert_eq!(trial.evaluate(at(15), &[("a", false)]), ["kept"]);
    assert_eq!(trial.evaluate(at(30), &[("a", false)]), [""; 0]);
    // Abnormal again: the count starts anew.
    assert_eq!(trial.evaluate(at(40), &[("a", true)]), ["kept"]);
    assert_eq!(trial.evaluate(at(50), &[("a", false)]), ["kept"]);
    assert_eq!(trial.evaluate(at(79), &[("a", false)]), [""; 0]);
    assert_eq!(trial.evaluate(at(80), &[("a", false)]), ["resolved"]);
}

#[test]
fn missing_data_never_resolves_a_firing_alert() {
    let mut trial = Trial::new(json!({}));
    trial.evaluate(at(0), &[("a", true)]);
    assert_eq!(trial.evaluate(at(15), &[]), ["kept"]);
    for n in 2..10_000 {
        assert_eq!(trial.evaluate(at(n * 15), &[]), [""; 0]);
    }
    assert_eq!((trial.only().state, trial.only().no_data), (AlertState::Firing, true));
    assert_eq!(trial.evaluate(at(150_000), &[("a", true)]), ["kept"]);
    assert!(!trial.only().no_data);
    assert_eq!(trial.evaluate(at(150_015), &[("a", false)]), ["resolved"]);
}

#[test]
fn missing_data_resolves_where_the_rule_says_so() {
    let mut trial = Trial::new(json!({"no-data": "normal"}));
    trial.evaluate(at(0), &[("a", true)]);
    assert_eq!(trial.evaluate(at(15), &[]), ["resolved"]);
    assert_eq!(trial.only().reason, "no samples any more");
}

#[test]
fn the_alert_of_a_series_that_could_not_be_judged_stays_as_it_is_whatever_the_rule_says_of_missing_ones() {
    for (policy, hold, state) in [
        ("normal", "0s", AlertState::Firing),
        ("keep-last", "0s", AlertState::Firing),
        ("normal", "1m", AlertState::Pending),
    ] {
        let mut trial = Trial::new(json!({"no-data": policy, "for": hold}));
        trial.evaluate(at(0), &[("a", true)]);
        let before = trial.only().clone();
        assert_eq!(before.state, state);
        trial.unheard = vec![Labels::new().with("instance", "a")];
        assert_eq!(trial.evaluate(at(15), &[("b", false)]), [""; 0]);
        assert_eq!(*trial.only(), before);
        trial.unheard.clear();
        assert_eq!(trial.evaluate(at(30), &[("a", false)]).len(), 1);
    }
}

#[test]
fn a_resolved_alert_is_kept_for_a_while_and_may_become_active_anew() {
    let mut trial = Trial::new(json!({"for": "15s"}));
    trial.evaluate(at(0), &[("a", true)]);
    trial.evaluate(at(15), &[("a", true)]);
    trial.evaluate(at(30), &[("a", false)]);
    assert_eq!(trial.evaluate(at(45), &[("a", false)]), [""; 0]);
    assert_eq!(trial.evaluate(at(60), &[("a", true)]), ["kept"]);
    assert_eq!((trial.only().state, trial.only().active_at), (AlertState::Pending, at(60)));
    trial.evaluate(at(75), &[("a", true)]);
    trial.evaluate(at(90), &[("a", false)]);
    assert_eq!(trial.evaluate(at(90 + 899), &[("a", false)]), [""; 0]);
    assert_eq!(trial.evaluate(at(90 + 900), &[("a", false)]), ["dropped"]);
    assert!(trial.alerts.is_empty());
}

#[test]
fn two_signals_with_the_same_final_labels_fail_the_evaluation_and_change_nothing() {
    let mut trial = Trial::new(json!({"labels": {"instance": "all"}}));
    let (result, _) = trial.try_evaluate(at(0), &[("a", true), ("b", true)]);
    assert!(result.unwrap_err().to_string().contains("{alertname=\"hot\",instance=\"all\"}"));
    assert!(trial.alerts.is_empty());
    assert_eq!(trial.evaluate(at(0), &[("a", true), ("b", false)]), ["fired"]);
}

#[test]
fn a_signal_about_a_series_that_is_not_there_fails_the_evaluation() {
    let mut trial = Trial::new(json!({}));
    let (result, _) = trial.try_signals(at(0), &[], &[signal(3, Severity::Low)]);
    assert_eq!(result, Err(Failure::NoSuchSeries { index: 3, count: 0 }));
}

#[test]
fn a_change_of_severity_is_told_while_it_fires() {
    let mut trial = Trial::new(json!({}));
    let series = [SeriesData { name: "cpu".into(), labels: Labels::new(), at: vec![at(0)], values: vec![1.0] }];
    trial.try_signals(at(0), &series, &[signal(0, Severity::Medium)]).0.unwrap();
    let (names, _) = trial.try_signals(at(15), &series, &[signal(0, Severity::Critical)]);
    assert_eq!(names.unwrap(), ["updated"]);
}

#[test]
fn a_rule_that_selects_something_else_now_leaves_nothing_firing_behind() {
    let mut trial = Trial::new(json!({"labels": {"team": "a"}}));
    trial.evaluate(at(0), &[("a", true)]);
    trial.spec.labels = Labels::new().with("team", "b");
    let names = trial.evaluate(at(15), &[("a", true)]);
    assert_eq!(names, ["fired", "resolved"]);
}

#[test]
fn a_rule_that_selects_another_metric_now_leaves_nothing_firing_behind() {
    let mut trial = Trial::new(json!({}));
    trial.evaluate(at(0), &[("a", true), ("b", true)]);
    trial.spec.select.metric = "memory".into();
    // One has no data of the new metric, the other one is abnormal in that one too.
    assert_eq!(trial.evaluate(at(15), &[("b", true)]), ["resolved", "resolved"]);
    assert!(trial.alerts.values().all(|alert| alert.reason == "the rule does not cover it any more"));
    assert_eq!(trial.evaluate(at(30), &[("b", true)]), ["fired"]);
    // What an older version has written is taken for the rule's.
    trial.alerts.values_mut().for_each(|alert| alert.metric = None);
    assert_eq!(trial.evaluate(at(45), &[]), ["kept"]);
}

#[test]
fn what_leaves_the_configuration_takes_its_alerts_along() {
    let mut trial = Trial::new(json!({"keep-firing-for": "10m"}));
    trial.configured = vec!["a"];
    trial.evaluate(at(0), &[("a", true), ("pushed", true)]);
    trial.evaluate(at(15), &[]);
    assert!(trial.alerts.values().all(|alert| alert.state == AlertState::Firing && alert.no_data), "missing data");
    trial.configured.clear();
    // Its last samples are still in the window.
    assert_eq!(trial.evaluate(at(30), &[("a", true)]), ["kept"]);
    assert_eq!(trial.evaluate(at(45), &[]), ["resolved"]);
    let reasons: Vec<_> = trial.alerts.values().map(|alert| (alert.state, alert.reason.as_str())).collect();
    assert!(reasons.contains(&(AlertState::Resolved, "instance `a` is not configured any more")), "{reasons:?}");
    assert!(reasons.contains(&(AlertState::Firing, "97.5 > 90")), "what others send never was: {reasons:?}");
}

#[test]
fn an_acknowledgement_stays_as_long_as_the_alert_fires() {
    let mut trial = Trial::new(json!({}));
    trial.evaluate(at(0), &[("a", true)]);
    trial.alerts.values_mut().next().unwrap().acknowledged_by = Some("ann".into());
    trial.evaluate(at(15), &[("a", true)]);
    assert_eq!(trial.only().acknowledged_by.as_deref(), Some("ann"));
    trial.evaluate(at(30), &[("a", false)]);
    trial.evaluate(at(45), &[("a", true)]);
    assert_eq!(trial.only().acknowledged_by, None);
}

#[test]
fn after_a_long_absence_what_was_pending_starts_anew_and_what_fired_goes_on() {
    let mut trial = Trial::new(json!({"for": "1m"}));
    trial.evaluate(at(0), &[("a", true)]);
    trial.evaluate(at(60), &[("a", true), ("b", true)]);
    let hold = Span::from_secs(60);
    let (short, changes) = resume(trial.alerts.clone(), hold, at(60), at(3660));
    assert_eq!((short.len(), changes.len()), (2, 1), "what is pending begins anew");
    let (long, changes) = resume(trial.alerts, hold, at(60), at(3661));
    assert_eq!((long.len(), changes.len()), (1, 1));
    assert!(matches!(changes.first(), Some(Change::Dropped(_))));
}

#[test]
fn a_host_that_went_before_its_first_sign_of_life_was_last_up_when_the_alert_began() {
    let mut trial = Trial::new(json!({"for": "1m"}));
    assert_eq!(last_up(&trial.alerts, None), None);
    trial.evaluate(at(10), &[("a", true)]);
    assert_eq!(last_up(&trial.alerts, None), Some(at(10)));
    assert_eq!(last_up(&trial.alerts, Some(at(5))), Some(at(10)));
    assert_eq!(last_up(&trial.alerts, Some(at(15))), Some(at(15)));
    // So the time in which nobody looked does not count.
    let (alerts, _) = resume(trial.alerts.clone(), trial.spec.hold, at(10), at(80));
    trial.alerts = alerts;
    trial.evaluate(at(80), &[("a", true)]);
    assert_eq!((trial.only().state, trial.only().active_at), (AlertState::Pending, at(80)));
}

/// The four cases of Prometheus's `RestoreForState`.
#[test]
fn after_an_absence_what_is_left_of_the_time_is_waited_for_and_at_least_the_grace() {
    let minutes = |minutes: i64| at(minutes * 60);
    let check = |hold: &str, down: i64, up: i64, fires_at: i64| {
        let mut trial = Trial::new(json!({"for": hold}));
        trial.evaluate(at(0), &[("a", true)]);
        let (alerts, changes) = resume(trial.alerts.clone(), trial.spec.hold, minutes(down), minutes(up));
        let moved = alerts.values().next().unwrap().active_at != at(0);
        assert_eq!(changes.len(), usize::from(moved), "what moves is written");
        trial.alerts = alerts;
        if fires_at > up {
            trial.evaluate(minutes(fires_at).minus(Span::from_secs(1)), &[("a", true)]);
            assert_eq!(trial.only().state, AlertState::Pending, "{hold}, away from {down} to {up}");
        }
        trial.evaluate(minutes(fires_at), &[("a", true)]);
        assert_eq!(trial.only().state, AlertState::Firing, "{hold}, away from {down} to {up}");
    };
    // Shorter than the grace: anew.
    check("9m", 5, 6, 15);
    // Over before: at once, also with a short one.
    check("9m", 9, 12, 12);
    check("20m", 20, 30, 30);
    // Less than the grace is left: the grace.
    check("20m", 15, 30, 40);
    // More is left: after that.
    check("30m", 5, 45, 70);
    check("20m", 10, 10, 20);
}

#[test]
fn a_rule_that_is_removed_resolves_what_fires() {
    let mut trial = Trial::new(json!({"for": "1m"}));
    trial.evaluate(at(0), &[("a", true)]);
    trial.evaluate(at(60), &[("a", true), ("b", true)]);
    let mut names: Vec<_> = retire(&trial.alerts, at(61)).iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(names, ["dropped", "resolved"]);
}

#[test]
fn a_summary_is_filled_in() {
    let labels = Labels::new().with("instance", "web-1");
    let check = |template: &str, expected: &str| assert_eq!(fill(template, &labels, 97.5), expected);
    check("{{label.instance}} is at {{ value }} %", "web-1 is at 97.5 %");
    check("{{label.none}}|{{other}}|{{", "|{{other}}|{{");
    check("plain", "plain");
    assert_eq!([number(3.0), number(0.12345), number(-0.0)], ["3", "0.123", "-0"].map(String::from));
}

/// Months of evaluations of random data, against what must hold whatever the data.
#[test]
fn alternation_holds_over_months_of_random_data() {
    let mut random = StdRng::seed_from_u64(42);
    for _ in 0..20 {
        let hold = random.random_range(0..5) * 15;
        let keep = random.random_range(0..5) * 15;
        let policy = if random.random() { "normal" } else { "keep-last" };
        let mut trial =
            Trial::new(json!({"for": format!("{hold}s"), "keep-firing-for": format!("{keep}s"), "no-data": policy}));
        let mut firing: BTreeSet<String> = BTreeSet::new();
        for n in 0..20_000 {
            let mut series = Vec::new();
            for name in ["a", "b", "c"] {
                if random.random_bool(0.9) {
                    series.push((name, random.random_bool(0.4)));
                }
            }
            let (result, changes) = trial.try_evaluate(at(n * 15), &series);
            result.unwrap();
            for change in changes {
                let alert = change.alert();
                match change {
                    Change::Fired(_) => {
                        assert!(firing.insert(alert.fingerprint.clone()), "fired twice");
                        let held = alert.fired_at.unwrap().since(alert.active_at);
                        assert!(held >= trial.spec.hold && held <= Span::from_secs(hold + 15));
                    }
                    Change::Resolved(_) => assert!(firing.remove(&alert.fingerprint), "resolved without firing"),
                    Change::Dropped(_) => assert!(!firing.contains(&alert.fingerprint)),
                    Change::Kept(_) | Change::Updated(_) => {}
                }
            }
            let now_firing: BTreeSet<_> = trial
                .alerts
                .values()
                .filter(|a| a.state == AlertState::Firing)
                .map(|a| a.fingerprint.clone())
                .collect();
            assert_eq!(now_firing, firing);
        }
    }
}

#[test]
fn what_was_missed_of_an_expectation_is_over_once_a_series_meets_it_and_not_before() {
    let mut trial = Trial::new(json!({}));
    let expected = Labels::new().with("instance", "shop");
    let absent = SeriesData { name: "cpu".into(), labels: expected.clone(), ..SeriesData::default() };
    let missed = [signal(0, Severity::High)];
    assert_eq!(trial.try_signals(at(0), std::slice::from_ref(&absent), &missed).0.unwrap(), ["fired"]);
    // Nobody says anything of it, and nobody has seen it: that resolves nothing.
    assert_eq!(trial.try_signals(at(15), std::slice::from_ref(&absent), &[]).0.unwrap(), ["kept"]);
    assert_eq!(trial.only().state, AlertState::Firing);
    trial.settled = vec![expected];
    assert_eq!(trial.try_signals(at(30), &[], &[]).0.unwrap(), ["resolved"]);
    assert_eq!(trial.only().reason, "back to normal");
}
