use super::evaluate::{Health, State, World, evaluate};
use super::unit::Virtual;
use super::*;
use quarterdeck_model::domain::alert::{Alert, AlertState, Blind, Blindness};
use quarterdeck_model::domain::rule_group::{AlertPolicy, Policy};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Matcher, is_stale};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::notation::{Item, parse_series};
use quarterdeck_promql::parse_selector;
use serde_json::{Value, json};
use std::sync::Arc;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// A group over series in memory, which have a sample each minute.
struct Trial {
    group: Group,
    state: State,
    world: Virtual,
    options: Options,
}

impl Trial {
    fn new(group: Value, series: &[&str]) -> Self {
        let spec: RuleGroup = serde_json::from_value(group).unwrap();
        let group = Group::read("file/group", &spec).unwrap();
        let world = Virtual::default();
        for line in series {
            let (labels, items) = parse_series(line).unwrap();
            for (index, item) in items.iter().enumerate() {
                let Item::Value(value) = item else { continue };
                world.0.push(&labels, at(60 * i64::try_from(index).unwrap()), *value);
            }
        }
        let recordings = Arc::new(super::sight::recordings([&group]));
        let options = Options { recordings, ..Options::default() };
        Trial { group, state: State::default(), world, options }
    }

    fn alert(rule: Value, series: &[&str]) -> Self {
        let mut whole = json!({"alert": "A", "expr": "x > 0"});
        whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        Trial::new(json!({"rules": [whole]}), series)
    }

    /// Names of the changes, in order.
    fn evaluate(&mut self, seconds: i64) -> Vec<&'static str> {
        let evaluation = evaluate(&self.group, &self.state, at(seconds), &self.world, &self.options);
        self.state = evaluation.state;
        let name = |change: &crate::monitoring::alerts::Change| match change {
            crate::monitoring::alerts::Change::Kept(_) => "kept",
            crate::monitoring::alerts::Change::Fired(_) => "fired",
            crate::monitoring::alerts::Change::Updated(_) => "updated",
            crate::monitoring::alerts::Change::Resolved(_) => "resolved",
            crate::monitoring::alerts::Change::Dropped(_) => "dropped",
        };
        evaluation.changes.iter().map(name).collect()
    }

    fn alerts(&self) -> Vec<&Alert> {
        self.state.rules.values().flat_map(|rule| rule.alerts.values()).collect()
    }

    fn health(&self, rule: usize) -> &Health {
        &self.state.rules[&self.group.rules[rule].id].health
    }

    /// Values of the one series that a selector finds, staleness markers as `None`, with their seconds.
    fn stored(&self, selector: &str) -> Vec<(i64, Option<f64>)> {
        let matchers: Vec<Matcher> = parse_selector(selector).unwrap();
        let budget = self.world.budget();
        let found = self.world.querier().select(&matchers, at(-1), Timestamp::MAX, &budget).unwrap();
        assert!(found.len() < 2, "{selector} is {} series", found.len());
        let columns = found.first().into_iter().flat_map(|columns| columns.at.iter().zip(&columns.values));
        columns.map(|(at, value)| (at / 1_000, Some(*value).filter(|value| !is_stale(*value)))).collect()
    }
}

fn mistakes(group: Value) -> Vec<(String, String)> {
    let spec: RuleGroup = serde_json::from_value(group).unwrap();
    check("file/group", &spec).into_iter().map(|mistake| (mistake.pointer, mistake.message)).collect()
}

#[test]
fn everything_that_is_wrong_with_a_group_is_said_at_once() {
    let found = mistakes(json!({"interval": "1x", "labels": {"__name__": "x"}, "rules": [
        {"record": "a b", "expr": "sum(", "for": "1m"},
        {"alert": "A", "expr": "up[5m]", "for": "soon", "labels": {"b-c": "x", "alertname": "y"}},
        {"alert": "B", "expr": "up", "annotations": {"summary": "{{ $valu }}"}},
        {"alert": "B", "expr": "up", "labels": {"a": "{{ nope }}"}},
        {"record": "r", "expr": "up"}, {"record": "r", "expr": "down"},
        {"alert": "D", "expr": "1"}, {"alert": "D", "expr": "2"}, {"alert": "D", "expr": "1"},
    ]}));
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    let wanted = [
        "/interval",
        "/labels/__name__",
        "/rules/0/expr",
        "/rules/0/record",
        "/rules/0/for",
        "/rules/1/expr",
        "/rules/1/labels/alertname",
        "/rules/1/labels/b-c",
        "/rules/1/for",
        "/rules/2/annotations/summary",
        "/rules/3/labels/a",
        "/rules/5",
        "/rules/8",
    ];
    assert_eq!(pointers, wanted, "{found:#?}");
    assert!(found[11].1.contains("records the same series as rule 5"), "{found:#?}");
    assert!(found[2].1.starts_with("invalid query"), "{found:#?}");
}

#[test]
fn an_alert_is_pending_for_its_time_fires_once_and_resolves() {
    let mut trial = Trial::alert(json!({"for": "2m", "labels": {"severity": "page"}}), &["x 1 1 1 1 0 0x30"]);
    assert_eq!(trial.evaluate(0), ["kept"]);
    assert_eq!((trial.evaluate(60), trial.alerts()[0].state), (vec![], AlertState::Pending));
    assert_eq!(trial.evaluate(120), ["fired"]);
    assert_eq!(trial.evaluate(180), [""; 0]);
    let alert = trial.alerts()[0].clone();
    assert_eq!(
        (alert.active_at, alert.fired_at, alert.severity),
        (at(0), Some(at(120)), quarterdeck_model::Severity::Critical)
    );
    assert_eq!((alert.rule.as_str(), alert.group.as_deref()), ("A", Some("file/group")));
    assert_eq!(trial.evaluate(240), ["resolved"]);
    // It is kept for 15 minutes, and then forgotten.
    assert_eq!((trial.evaluate(240 + 900), trial.alerts().len()), (vec![], 1));
    assert_eq!((trial.evaluate(240 + 901), trial.alerts().len()), (vec!["dropped"], 0));
    assert_eq!(trial.stored("ALERTS{alertstate='pending'}"), [(0, Some(1.0)), (60, Some(1.0)), (120, None)]);
    assert_eq!(trial.stored("ALERTS{alertstate='firing'}"), [(120, Some(1.0)), (180, Some(1.0)), (240, None)]);
    assert_eq!(trial.stored("ALERTS_FOR_STATE").last(), Some(&(240, None)));
}

#[test]
fn a_pending_alert_that_vanishes_is_dropped_and_one_that_comes_back_starts_anew() {
    let mut trial = Trial::alert(json!({"for": "1m"}), &["x 1 0 1 1"]);
    assert_eq!(
        (trial.evaluate(0), trial.evaluate(60), trial.evaluate(120), trial.evaluate(180)),
        (vec!["kept"], vec!["dropped"], vec!["kept"], vec!["fired"])
    );
}

#[test]
fn an_alert_keeps_firing_from_the_first_evaluation_without_it() {
    let mut trial = Trial::alert(json!({"keep_firing_for": "2m"}), &["x 1 0 0 1 0 0 0"]);
    let changes: Vec<_> = (0..7).map(|minute| trial.evaluate(minute * 60)).collect();
    assert_eq!(changes, [vec!["fired"], vec!["kept"], vec![], vec!["kept"], vec!["kept"], vec![], vec!["resolved"]]);
}

#[test]
fn two_series_that_become_one_alert_fail_the_evaluation_and_change_nothing() {
    let mut trial = Trial::alert(json!({"labels": {"a": "same"}}), &["x{a=\"1\"} 1 1", "x{a=\"2\"} 0 1"]);
    assert_eq!(trial.evaluate(0), ["fired"]);
    assert_eq!(trial.evaluate(60), [""; 0]);
    assert!(
        matches!(trial.health(0), Health::Bad(reason) if reason.contains("same labelset after applying alert labels"))
    );
    assert_eq!(trial.alerts()[0].state, AlertState::Firing);
}

#[test]
fn more_alerts_than_the_limit_end_all_of_them() {
    let mut group = json!({"limit": 1, "rules": [{"alert": "A", "expr": "x > 0"}]});
    let series = ["x{a=\"1\"} 1 1 1", "x{a=\"2\"} 0 1 0"];
    let mut trial = Trial::new(group.clone(), &series);
    assert_eq!(
        (trial.evaluate(0), trial.evaluate(60), trial.evaluate(120)),
        (vec!["fired"], vec!["resolved"], vec!["fired"])
    );
    group["rules"][0] = json!({"record": "r", "expr": "x"});
    let mut trial = Trial::new(group, &series);
    trial.evaluate(0);
    assert_eq!(*trial.health(0), Health::Bad("exceeded limit of 1 with 2 series".into()));
}

#[test]
fn a_firing_alert_stays_when_nothing_is_there_any_more_of_what_it_reads() {
    let series = ["x{a=\"1\"} 1 1 stale", "other 1x100"];
    let mut trial = Trial::alert(json!({"for": "1m"}), &series);
    assert_eq!(
        (trial.evaluate(0), trial.evaluate(60), trial.evaluate(120)),
        (vec!["kept"], vec!["fired"], vec!["kept"])
    );
    for minute in 3..60 {
        assert_eq!(trial.evaluate(minute * 60), [""; 0]);
    }
    let alert = trial.alerts()[0];
    assert!(alert.no_data && alert.state == AlertState::Firing && alert.reason.contains("no data"), "{alert:?}");
    assert_eq!(trial.stored("ALERTS{alertstate='firing'}").last(), Some(&(59 * 60, Some(1.0))));
    // Only what fires is kept.
    let mut trial = Trial::alert(json!({"for": "1h"}), &series);
    assert_eq!((trial.evaluate(0), trial.evaluate(120)), (vec!["kept"], vec!["dropped"]));
    // The policy says otherwise.
    let mut trial = Trial::alert(json!({}), &series);
    trial.options.policies.no_data = Policy::Normal;
    assert_eq!((trial.evaluate(0), trial.evaluate(120)), (vec!["fired"], vec!["resolved"]));
}

#[test]
fn a_firing_alert_stays_when_its_own_series_are_missing_and_others_of_the_metric_are_there() {
    let series = ["x{a=\"1\"} 1 1 stale _x97 0", "x{a=\"2\"} 0x200"];
    let mut trial = Trial::alert(json!({}), &series);
    assert_eq!((trial.evaluate(0), trial.evaluate(120)), (vec!["fired"], vec!["kept"]));
    for minute in 3..100 {
        assert_eq!(trial.evaluate(minute * 60), [""; 0]);
    }
    let alert = trial.alerts()[0];
    assert_eq!(alert.blind, Some(Blind { why: Blindness::MissingSeries, since: at(120) }));
    assert!(alert.no_data && alert.state == AlertState::Firing, "{alert:?}");
    assert_eq!(alert.reason, "its series are missing");
    // It is back, and well.
    assert_eq!(trial.evaluate(100 * 60), ["resolved"]);
    assert_eq!((trial.alerts()[0].reason.as_str(), trial.alerts()[0].blind), ("not found any more", None));
    // Without a marker, as after an absence of the host: a sample is now for five minutes.
    let mut trial = Trial::alert(json!({}), &["x{a=\"1\"} 1", "x{a=\"2\"} 0x100"]);
    assert_eq!((trial.evaluate(0), trial.evaluate(299), trial.evaluate(300)), (vec!["fired"], vec![], vec!["kept"]));
}

#[test]
fn what_becomes_of_missing_series_is_a_policy_of_its_own() {
    let run = |rule: Value, policies: RulePolicies| {
        let mut trial = Trial::alert(rule, &["x{a=\"1\"} 1 1 stale", "x{a=\"2\"} 0x100"]);
        trial.options.policies = policies;
        let changes: Vec<_> = [0, 120, 300, 720, 721].map(|seconds| trial.evaluate(seconds)).into();
        (changes, trial.alerts().first().map(|alert| alert.reason.clone()))
    };
    let none = || vec![""; 0];
    let normal = RulePolicies { missing_series: Some(Policy::Normal), ..RulePolicies::default() };
    let (changes, reason) = run(json!({}), normal);
    assert_eq!(changes[..2], [vec!["fired"], vec!["resolved"]]);
    assert_eq!(reason.as_deref(), Some("not found any more"));
    // As for all data, unless it is said.
    let (changes, _) = run(json!({}), RulePolicies::prometheus());
    assert_eq!(changes[..2], [vec!["fired"], vec!["resolved"]]);
    let limited = RulePolicies { end_missing_after: Some(Span::from_secs(600)), ..RulePolicies::default() };
    let (changes, reason) = run(json!({}), limited);
    assert_eq!(changes, [vec!["fired"], vec!["kept"], none(), vec!["resolved"], none()]);
    assert_eq!(reason.as_deref(), Some("its series are missing, for 10m"));
    // What is pending is dropped where it is kept, and goes on where it is alerting.
    let (changes, _) = run(json!({"for": "5m"}), RulePolicies::default());
    assert_eq!(changes[..2], [vec!["kept"], vec!["dropped"]]);
    let own = AlertPolicy { missing_series: Some(Policy::Alerting), ..AlertPolicy::default() };
    let alerting = RulePolicies { alerts: [("A".to_owned(), own)].into(), ..RulePolicies::prometheus() };
    let (changes, reason) = run(json!({"for": "5m"}), alerting);
    assert_eq!(changes[..3], [vec!["kept"], vec!["kept"], vec!["fired"]]);
    assert_eq!(reason.as_deref(), Some("its series are missing"));
}

#[test]
fn an_alert_misses_its_series_by_their_labels_whatever_its_own_are() {
    let missed = |rule: Value, series: &[&str]| {
        let mut trial = Trial::alert(rule, series);
        assert_eq!(trial.evaluate(0), ["fired"]);
        let changes = trial.evaluate(120);
        assert!(matches!(changes[..], ["kept"] | ["resolved"]), "{changes:?}");
        let alert = trial.alerts()[0].clone();
        (alert.state == AlertState::Firing, alert.source)
    };
    let gone = ["x{a=\"1\",b=\"x\"} 1 1 stale", "x{a=\"2\",b=\"x\"} 0x9", "x{a=\"1!\",b=\"x\"} 0x9"];
    let well = ["x{a=\"1\",b=\"x\"} 1 0 0", "x{a=\"2\",b=\"x\"} 0x9"];
    for (rule, source) in [
        (json!({"labels": {"a": "{{ $labels.a }}!", "c": "d"}}), Labels::new().with("a", "1")),
        (json!({"labels": {"a": "{{ \"\" }}"}}), Labels::new().with("a", "1")),
        (json!({"expr": "sum by (a) (x) > 0"}), Labels::new()),
        (json!({"expr": "{__name__=~\"x|y\"} > 0"}), Labels::new().with("__name__", "x")),
    ] {
        assert_eq!(missed(rule.clone(), &gone), (true, source.clone()), "{rule}");
        assert_eq!(missed(rule.clone(), &well), (false, source), "{rule}");
    }
    // An aggregation leaves `a` out: there are others, and the condition is not met any more.
    assert_eq!(missed(json!({"expr": "sum by (b) (x) > 0"}), &gone), (false, Labels::new()));
    // Of two metrics, the one that it is of.
    let both = ["x{a=\"1\"} 1 1 stale", "y{a=\"1\"} 0x9"];
    let named = Labels::new().with("__name__", "x");
    assert_eq!(missed(json!({"expr": "x > 0 or y > 0"}), &both), (true, named));
}

#[test]
fn an_alert_over_what_another_rule_makes_ends_with_the_condition_of_that_rule() {
    let group = json!({"rules": [
        {"record": "high", "expr": "x > 5", "labels": {"level": "1"}},
        {"alert": "A", "expr": "high"},
        {"alert": "B", "expr": "ALERTS{alertname=\"A\"}"},
    ]});
    let well = ["x{a=\"1\"} 9 9 0x9", "x{a=\"2\"} 9x20"];
    let mut trial = Trial::new(group.clone(), &well);
    assert_eq!((trial.evaluate(0), trial.evaluate(60)), (vec!["fired"; 4], vec![]));
    assert_eq!(trial.evaluate(120), ["resolved", "resolved"]);
    let gone = ["x{a=\"1\"} 9 9 stale", "x{a=\"2\"} 9x20"];
    let mut trial = Trial::new(group, &gone);
    assert_eq!((trial.evaluate(0), trial.evaluate(60), trial.evaluate(120)), (vec!["fired"; 4], vec![], vec!["kept"]));
}

#[test]
fn a_window_that_runs_dry_is_no_condition_that_is_not_met() {
    // Two samples of the last two minutes make a rate, one makes none.
    let mut trial =
        Trial::alert(json!({"expr": "rate(x[150s]) > 0"}), &["x{a=\"1\"} 0 60 120 180", "x{a=\"2\"} 0x100"]);
    assert_eq!(trial.evaluate(180), ["fired"]);
    assert_eq!((trial.evaluate(240), trial.evaluate(300)), (vec![], vec!["kept"]));
    for minute in 6..20 {
        assert_eq!(trial.evaluate(minute * 60), [""; 0]);
    }
}

#[test]
fn no_data_fires_where_the_policy_of_the_alert_says_so() {
    let mut trial = Trial::alert(json!({"for": "1m", "labels": {"team": "x", "from": "{{ $labels.a }}"}}), &["y 1"]);
    let own = AlertPolicy { no_data: Some(Policy::Alerting), ..AlertPolicy::default() };
    trial.options.policies.alerts.insert("A".to_owned(), own);
    assert_eq!((trial.evaluate(0), trial.evaluate(60)), (vec!["kept"], vec!["fired"]));
    let alert = trial.alerts()[0];
    assert_eq!(alert.labels, Labels::new().with("alertname", "A").with("team", "x"));
    assert!(alert.no_data && alert.value.is_nan());
    let kept = serde_json::to_value(alert).unwrap();
    assert!(serde_json::from_value::<Alert>(kept).unwrap().value.is_nan(), "it survives a restart");
}

#[test]
fn a_query_that_fails_does_what_its_policy_says() {
    // Two series on one side that match the same one.
    let fails = json!({"expr": "x * on() y > 0", "for": "1m"});
    let series = ["x 1x10", "y{a=\"1\"} 1x10", "y{a=\"2\"} _ 1 1 1 1 1"];
    let run = |policy| {
        let mut trial = Trial::alert(fails.clone(), &series);
        trial.options.policies.on_error = policy;
        let changes = [trial.evaluate(0), trial.evaluate(60)];
        assert!(matches!(trial.health(0), Health::Bad(_)), "{:?}", trial.health(0));
        changes
    };
    assert_eq!(run(Policy::Keep), [vec!["kept"], vec![]], "what is pending goes on");
    assert_eq!(run(Policy::Normal), [vec!["kept"], vec!["dropped"]]);
    assert_eq!(run(Policy::Alerting), [vec!["kept"], vec!["fired"]]);
}

#[test]
fn rules_are_evaluated_in_their_order_and_see_what_was_recorded_before_them() {
    let group = json!({"labels": {"team": "a", "env": "x"}, "rules": [
        {"record": "job:x:sum", "expr": "sum by (job) (x)", "labels": {"team": "b", "env": ""}},
        {"record": "twice", "expr": "job:x:sum * 2"},
        {"record": "one", "expr": "1"},
        {"alert": "Sum", "expr": "twice > 5", "annotations": {"summary": "{{ $labels.job }}: {{ $value }} of {{ query \"count(x)\" | first | value }}"}},
    ]});
    let mut trial = Trial::new(group, &["x{job=\"j\",i=\"1\"} 1 2", "x{job=\"j\",i=\"2\"} 1 2"]);
    assert_eq!((trial.evaluate(0), trial.evaluate(60)), (vec![], vec!["fired"]));
    assert_eq!(trial.stored("job:x:sum{job='j', team='b', env=''}"), [(0, Some(2.0)), (60, Some(4.0))]);
    assert_eq!(trial.stored("twice{team='a', env='x'}"), [(0, Some(4.0)), (60, Some(8.0))]);
    assert_eq!(trial.stored("one"), [(0, Some(1.0)), (60, Some(1.0))]);
    let alert = trial.alerts()[0];
    assert_eq!((alert.summary.as_str(), alert.labels.get("team")), ("j: 8 of 2", Some("a")));
}

#[test]
fn a_recorded_series_that_vanishes_is_ended_and_a_failed_evaluation_ends_none() {
    let group = json!({"query_offset": "1m", "rules": [{"record": "r", "expr": "x > 0"}]});
    let mut trial = Trial::new(group, &["x{a=\"1\"} 1 1 0 1"]);
    for minute in 1..4 {
        trial.evaluate(minute * 60);
    }
    assert_eq!(
        trial.stored("r"),
        [(0, Some(1.0)), (60, Some(1.0)), (120, None)],
        "asked and kept as of a minute before"
    );
    let group = json!({"rules": [{"record": "r", "expr": "x", "labels": {"a": "same"}}]});
    let mut trial = Trial::new(group, &["x{a=\"1\"} 1 1", "x{a=\"2\"} _ 1"]);
    trial.evaluate(0);
    trial.evaluate(60);
    assert!(matches!(trial.health(0), Health::Bad(reason) if reason.contains("after applying rule labels")));
    assert_eq!(trial.stored("r"), [(0, Some(1.0))]);
}

#[test]
fn a_template_that_can_t_be_filled_in_says_so_in_its_place() {
    let mut trial = Trial::alert(json!({"annotations": {"summary": "{{ query \"none\" | first | value }}"}}), &["x 1"]);
    assert_eq!(trial.evaluate(0), ["fired"]);
    let summary = &trial.alerts()[0].summary;
    assert!(summary.starts_with("<error expanding template: "), "{summary}");
}

#[test]
fn a_changed_group_keeps_what_its_rules_know_and_ends_the_rest() {
    let group = json!({"rules": [{"alert": "A", "expr": "x > 0", "for": "2m"}, {"record": "r", "expr": "x"}]});
    let mut trial = Trial::new(group, &["x 1x10"]);
    trial.evaluate(0);
    let changed = json!({"rules": [{"record": "s", "expr": "x"}, {"alert": "A", "expr": "x >= 1", "for": "1m"}]});
    trial.group = Group::read("file/group", &serde_json::from_value(changed).unwrap()).unwrap();
    let (state, gone) = super::evaluate::carry_over(std::mem::take(&mut trial.state), &trial.group);
    trial.state = state;
    assert_eq!(gone.len(), 1);
    assert_eq!(trial.evaluate(60), ["fired"], "it was pending since the beginning");
    assert_eq!(trial.stored("r"), [(0, Some(1.0)), (60, None)]);
}

#[test]
fn severities_are_understood_as_people_write_them() {
    use quarterdeck_model::Severity::{Critical, High, Info, Low, Medium};
    for (text, severity) in [
        ("page", Critical),
        ("CRITICAL", Critical),
        ("error", High),
        ("warning", Medium),
        ("", Medium),
        ("minor", Low),
        ("none", Info),
    ] {
        assert_eq!(Rule::severity(&Labels::new().with("severity", text)), severity, "{text}");
    }
}

#[test]
fn a_backtest_says_when_a_rule_would_have_fired_and_for_how_long() {
    let spec: RuleGroup = serde_json::from_value(json!({"interval": "1m", "rules": [
        {"record": "r", "expr": "x"},
        {"alert": "A", "expr": "x > 0", "for": "2m", "labels": {"level": "{{ $labels.a }}!"}}
    ]}))
    .unwrap();
    let trial = Trial::new(serde_json::to_value(&spec).unwrap(), &["x{a=\"1\"} 0 1 0 1 1 1 1 0 0 1 1 1 1 1 1"]);
    let budget = || Arc::new(quarterdeck_model::series::query::Budget::of_samples(100_000));
    let run = |alert, to, step| {
        let range = (at(0), at(to));
        backtest::backtest(
            ("file/group", &spec),
            alert,
            range,
            step,
            trial.world.querier(),
            &budget,
            &Options::default(),
        )
    };
    let found = run("A", 14 * 60, None).unwrap();
    assert_eq!((found.evaluations, found.only_pending, found.failed), (15, 1, 0));
    let times: Vec<_> = found
        .firings
        .iter()
        .map(|firing| (firing.active_at, firing.fired_at, firing.resolved_at, firing.lasted))
        .collect();
    let minutes = |minutes: u64| quarterdeck_model::Span::from_secs(minutes * 60);
    assert_eq!(times, [(at(180), at(300), Some(at(420)), minutes(2)), (at(540), at(660), None, minutes(3))]);
    assert_eq!(found.firings[0].labels.get("level"), Some("1!"));
    assert!(matches!(run("r", 60, None), Err(backtest::Failure::NoSuchRule(_))));
    let tiny = Some(quarterdeck_model::Span::from_millis(1));
    assert!(matches!(run("A", 86_400, tiny), Err(backtest::Failure::TooLong(_))));
}
