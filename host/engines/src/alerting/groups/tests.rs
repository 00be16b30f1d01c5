//! A case per sentence of the specification, under virtual time.

mod delivered;

use super::*;
use crate::alerting::posted::testing;
use crate::alerting::silence::Draft;
use quarterdeck_model::Span;
use serde_json::{Value, json};

/// Seconds.
const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// Half a minute, five minutes, an hour; by name.
fn plain() -> Value {
    json!({"route": {"receiver": "ops", "group-by": ["alertname"], "repeat-interval": "1h"},
        "receivers": {"ops": {"notify": ["log/ops"]}}})
}

struct Case {
    machine: Machine,
    now: i64,
}

impl Case {
    fn new(spec: Value) -> Self {
        let machine = Machine::new(Arc::new(serde_json::from_value(spec).unwrap()), Kept::default(), at(1_000));
        Case { machine, now: 1_000 }
    }

    fn alert(&self, name: &str, more: &[(&str, &str)]) -> Alert {
        let labels: Vec<(&str, &str)> = [("alertname", name)].into_iter().chain(more.iter().copied()).collect();
        testing::alert(&labels, self.now * 1_000)
    }

    fn fire(&mut self, name: &str, more: &[(&str, &str)]) -> Alert {
        let alert = self.alert(name, more);
        self.machine.take(Arc::new(alert.clone()), at(self.now));
        alert
    }

    fn resolve(&mut self, alert: &Alert) {
        let now = at(self.now);
        let over = Alert { state: AlertState::Resolved, resolved_at: Some(now), last_evaluated: now, ..alert.clone() };
        self.machine.take(Arc::new(over), now);
    }

    /// Goes on to that second, moment by moment; what was told meanwhile: when, to whom, and how many fire and were resolved.
    fn until(&mut self, second: i64) -> Vec<(i64, String, usize, usize)> {
        let mut told = Vec::new();
        while let Some(next) = self.machine.next_at().filter(|next| *next <= at(second)) {
            self.now = self.now.max(next.as_millis() / 1_000);
            self.machine.advance(at(self.now), 100);
            for tell in self.machine.take_changes().tells {
                let firing = tell.alerts.iter().filter(|alert| alert.state == AlertState::Firing).count();
                told.push((self.now, tell.receiver, firing, tell.alerts.len() - firing));
            }
        }
        self.now = second;
        told
    }

    fn check(&mut self, second: i64, expected: &[(i64, &str, usize, usize)]) {
        let expected =
            expected.iter().map(|(at, receiver, firing, resolved)| (*at, (*receiver).to_owned(), *firing, *resolved));
        assert_eq!(self.until(second), expected.collect::<Vec<_>>(), "until {second}");
    }
}

#[test]
fn a_new_group_waits_for_more_alerts() {
    let mut case = Case::new(plain());
    case.fire("a", &[("n", "1")]);
    case.check(1_020, &[]);
    case.fire("a", &[("n", "2")]);
    case.check(1_100, &[(1_030, "ops", 2, 0)]);
}

#[test]
fn an_alert_that_has_been_firing_for_long_is_told_at_once() {
    let mut case = Case::new(plain());
    let old = testing::alert(&[("alertname", "a")], 900_000);
    case.machine.take(Arc::new(old), at(1_000));
    case.check(1_100, &[(1_000, "ops", 1, 0)]);
}

#[test]
fn an_alert_that_joins_a_known_group_waits_for_its_interval() {
    let mut case = Case::new(plain());
    case.fire("a", &[("n", "1")]);
    case.check(1_060, &[(1_030, "ops", 1, 0)]);
    case.fire("a", &[("n", "2")]);
    case.check(1_400, &[(1_330, "ops", 2, 0)]);
}

#[test]
fn alerts_of_other_labels_make_groups_of_their_own() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    case.fire("b", &[]);
    let mut told = case.until(1_100);
    told.sort();
    assert_eq!(told, [(1_030, "ops".to_owned(), 1, 0), (1_030, "ops".to_owned(), 1, 0)]);
}

#[test]
fn the_same_is_told_again_at_the_first_look_after_the_repeat_interval() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    // Looks are at 1030 and each 300 s after that; the hour is over at 4630, which is a look, and not before it.
    case.check(4_700, &[(1_030, "ops", 1, 0)]);
    case.check(5_000, &[(4_930, "ops", 1, 0)]);
}

#[test]
fn an_acknowledged_alert_is_not_told_again_until_its_acknowledgement_ends() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    case.machine.take(Arc::new(Alert { acknowledged_by: Some("ann".into()), ..alert.clone() }), at(1_100));
    case.machine.acknowledge(&alert.fingerprint, Some(at(10_000)));
    case.check(9_999, &[]);
    case.check(10_100, &[(10_030, "ops", 1, 0)]);
}

#[test]
fn an_acknowledged_alert_does_not_keep_another_one_from_being_told() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[("n", "1")]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    case.machine.take(Arc::new(Alert { acknowledged_by: Some("ann".into()), ..alert.clone() }), at(1_100));
    case.check(9_000, &[]);
    case.fire("a", &[("n", "2")]);
    case.check(9_200, &[(9_130, "ops", 2, 0)]);
    // Nor from being told again.
    case.check(13_200, &[(13_030, "ops", 2, 0)]);
    case.resolve(&alert);
    case.check(13_400, &[(13_330, "ops", 1, 1)]);
}

#[test]
fn the_end_of_all_is_told_at_the_next_look_and_the_group_ends() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    case.resolve(&alert);
    case.check(1_400, &[(1_330, "ops", 0, 1)]);
    assert_eq!((case.machine.groups().count(), case.machine.members().count()), (0, 0));
    // It begins anew, as a new group.
    case.fire("a", &[]);
    case.check(1_500, &[(1_430, "ops", 1, 0)]);
}

#[test]
fn a_group_of_resolved_alerts_is_told_only_if_it_was_told_that_they_fired() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_010, &[]);
    case.resolve(&alert);
    case.check(2_000, &[]);
    assert_eq!(case.machine.members().count(), 0);
}

#[test]
fn an_alert_that_was_resolved_among_others_is_told_once_and_leaves() {
    let mut case = Case::new(plain());
    case.fire("a", &[("n", "1")]);
    let second = case.fire("a", &[("n", "2")]);
    case.check(1_100, &[(1_030, "ops", 2, 0)]);
    case.resolve(&second);
    case.check(2_000, &[(1_330, "ops", 1, 1)]);
    assert_eq!(case.machine.members().count(), 1);
}

#[test]
fn an_alert_that_fires_again_before_its_end_was_told_changes_nothing() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    case.resolve(&alert);
    case.check(1_200, &[]);
    case.fire("a", &[]);
    case.check(2_000, &[]);
}

#[test]
fn a_receiver_that_wants_no_ends_is_told_none_and_hears_of_what_fires_next() {
    let mut spec = plain();
    spec["receivers"]["ops"]["send-resolved"] = json!(false);
    let mut case = Case::new(spec);
    let first = case.fire("a", &[("n", "1")]);
    let second = case.fire("a", &[("n", "2")]);
    case.check(1_100, &[(1_030, "ops", 2, 0)]);
    case.resolve(&second);
    case.check(1_400, &[]);
    case.resolve(&first);
    case.check(1_700, &[]);
    case.fire("a", &[("n", "1")]);
    case.check(1_800, &[(1_730, "ops", 1, 0)]);
}

#[test]
fn a_silenced_alert_is_left_out_and_told_when_the_silence_ends() {
    let mut case = Case::new(plain());
    let draft = Draft {
        id: None,
        matchers: vec!["n=\"2\"".parse().unwrap()],
        starts_at: at(1_000),
        ends_at: at(1_500),
        created_by: "ann".into(),
        comment: String::new(),
    };
    let set = case.machine.silences.draft(draft, at(1_000), || "s".into()).unwrap();
    case.machine.silences.put(set.silence);
    case.fire("a", &[("n", "1")]);
    case.fire("a", &[("n", "2")]);
    case.check(1_400, &[(1_030, "ops", 1, 0)]);
    case.check(1_700, &[(1_630, "ops", 2, 0)]);
}

#[test]
fn an_alert_that_ends_while_it_is_silenced_leaves_without_a_word() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    let draft = Draft {
        id: None,
        matchers: vec!["alertname=a".parse().unwrap()],
        starts_at: at(1_100),
        ends_at: at(9_000),
        created_by: "ann".into(),
        comment: String::new(),
    };
    let set = case.machine.silences.draft(draft, at(1_100), || "s".into()).unwrap();
    case.machine.silences.put(set.silence);
    case.resolve(&alert);
    case.check(2_000, &[]);
    assert_eq!(case.machine.members().count(), 0);
}

/// Silences all alerts of that name.
fn silence(case: &mut Case, name: &str, from: i64, until: i64) {
    silence_matching(case, &format!("alertname={name}"), from, until);
}

fn silence_matching(case: &mut Case, matcher: &str, from: i64, until: i64) {
    let draft = Draft {
        id: None,
        matchers: vec![matcher.parse().unwrap()],
        starts_at: at(from),
        ends_at: at(until),
        created_by: "ann".into(),
        comment: String::new(),
    };
    let set = case.machine.silences.draft(draft, at(from), || format!("s{from}")).unwrap();
    case.machine.silences.put(set.silence);
}

#[test]
fn an_alert_that_ends_while_it_is_silenced_is_no_news_when_it_fires_again() {
    for restarted in [false, true] {
        let mut case = Case::new(plain());
        let alert = case.fire("a", &[("n", "1")]);
        case.check(1_100, &[(1_030, "ops", 1, 0)]);
        silence(&mut case, "a", 1_100, 2_000);
        case.resolve(&alert);
        case.check(2_100, &[]);
        assert_eq!(case.machine.groups().count(), 0);
        if restarted {
            let spec = case.machine.spec.clone();
            case.machine = Machine::new(spec, kept(&case.machine), at(2_100));
        }
        // Whoever was told believes that it fires: after the repeat interval, as if it had gone on.
        case.fire("a", &[("n", "1")]);
        case.check(4_800, &[]);
        case.check(4_900, &[(4_830, "ops", 1, 0)]);
        // Another one of the group is news, after the group's wait or interval.
        case.fire("a", &[("n", "2")]);
        case.check(5_200, &[(5_130, "ops", 2, 0)]);
    }
}

#[test]
fn what_ended_in_silence_is_news_after_the_repeat_interval_and_after_an_end_that_was_told() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    silence(&mut case, "a", 1_100, 2_000);
    case.resolve(&alert);
    case.check(6_000, &[]);
    let alert = case.fire("a", &[]);
    case.check(6_100, &[(6_030, "ops", 1, 0)]);
    case.resolve(&alert);
    case.check(6_400, &[(6_330, "ops", 0, 1)]);
    case.fire("a", &[]);
    case.check(6_500, &[(6_430, "ops", 1, 0)]);
}

#[test]
fn an_inhibited_alert_is_left_out_until_the_one_that_inhibits_it_is_over() {
    let mut spec = plain();
    spec["inhibit-rules"] = json!([{"source-matchers": ["alertname=cluster"], "target-matchers": ["alertname!=cluster"],
        "equal": ["zone"]}]);
    let mut case = Case::new(spec);
    let cluster = case.fire("cluster", &[("zone", "1")]);
    case.fire("a", &[("zone", "1")]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    case.resolve(&cluster);
    let mut told = case.until(1_400);
    told.sort();
    assert_eq!(told, [(1_330, "ops".to_owned(), 0, 1), (1_330, "ops".to_owned(), 1, 0)]);
}

#[test]
fn a_route_is_mute_in_its_intervals_and_outside_of_its_active_ones() {
    for key in ["mute-time-intervals", "active-time-intervals"] {
        let mut spec = plain();
        // The first hour of 1970 is 00:00 to 01:00.
        spec["time-intervals"] = json!({"early": [{"times": [{"start-time": "00:00", "end-time": "01:00"}]}]});
        spec["route"]["routes"] = json!([{"matchers": ["alertname=a"], key: ["early"]}]);
        let mut case = Case::new(spec);
        case.fire("a", &[]);
        let first = if key == "mute-time-intervals" { (3_730, "ops", 1, 0) } else { (1_030, "ops", 1, 0) };
        case.check(3_800, &[first]);
        case.fire("a", &[("n", "2")]);
        let second = if key == "mute-time-intervals" { vec![(4_030, "ops", 2, 0)] } else { vec![] };
        case.check(4_100, &second);
    }
}

#[test]
fn an_alert_that_goes_on_to_another_route_is_told_to_both_receivers() {
    let spec = json!({"route": {"receiver": "ops", "routes": [
            {"matchers": ["alertname=a"], "receiver": "db", "continue": true, "group-wait": "0s"},
            {"matchers": ["alertname=~\"a|b\""], "receiver": "audit", "group-wait": "10s"}]},
        "receivers": {"ops": {}, "db": {}, "audit": {}}});
    let mut case = Case::new(spec);
    case.fire("a", &[]);
    case.check(1_200, &[(1_000, "db", 1, 0), (1_010, "audit", 1, 0)]);
}

#[test]
fn all_that_comes_at_once_is_in_the_first_message_of_a_group_that_does_not_wait() {
    let mut spec = plain();
    spec["route"]["group-wait"] = json!("0s");
    let mut case = Case::new(spec);
    for n in ["1", "2", "3"] {
        case.fire("a", &[("n", n)]);
    }
    case.check(1_100, &[(1_000, "ops", 3, 0)]);
}

#[test]
fn nothing_is_told_without_a_route() {
    let mut case = Case::new(json!({}));
    let alert = case.fire("a", &[]);
    case.check(9_000, &[]);
    assert_eq!(case.machine.members().count(), 1, "it is shown all the same");
    case.resolve(&alert);
    assert_eq!(case.machine.members().count(), 0);
}

#[test]
fn another_configuration_keeps_the_groups_that_are_in_it_too() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    let mut spec = plain();
    spec["route"]["routes"] = json!([{"matchers": ["alertname=b"]}]);
    case.machine.configure(Arc::new(serde_json::from_value(spec).unwrap()), at(case.now));
    case.check(2_000, &[]);
    // In a route of its own it is a group that nobody was told of, of an alert that has been firing for long.
    let mut spec = plain();
    spec["route"]["routes"] = json!([{"matchers": ["alertname=a"]}]);
    case.machine.configure(Arc::new(serde_json::from_value(spec).unwrap()), at(case.now));
    case.check(2_100, &[(2_000, "ops", 1, 0)]);
}

#[test]
fn news_that_is_older_than_what_is_known_counts_for_nothing() {
    let mut case = Case::new(plain());
    let old = case.fire("a", &[]);
    case.now = 1_010;
    case.fire("a", &[]);
    let over = Alert { state: AlertState::Resolved, resolved_at: Some(at(1_005)), ..old };
    case.machine.take(Arc::new(Alert { last_evaluated: at(1_005), ..over }), at(1_010));
    assert!(case.machine.members().all(Member::fires));
}

fn maintained(mode: &str) -> Value {
    let mut spec = plain();
    // From 00:20 to 00:40: 1200 to 2400.
    spec["maintenance"] =
        json!({"work": {"matchers": ["team=db"], "cron": "20 0 * * *", "duration": "20m", "mode": mode}});
    spec["receivers"]["db"] = json!({});
    spec["route"]["routes"] = json!([{"matchers": ["tier=2"], "receiver": "db"}]);
    spec
}

#[test]
fn planned_work_that_suppresses_keeps_its_alerts_back_and_what_still_fires_at_the_end_is_told() {
    let mut case = Case::new(maintained("suppress"));
    case.check(1_210, &[]);
    case.fire("a", &[("team", "db")]);
    let short = case.fire("b", &[("team", "db")]);
    case.fire("c", &[("team", "web")]);
    case.check(1_300, &[(1_240, "ops", 1, 0)]);
    case.resolve(&short);
    // Its group is looked at at 1240 and each 300 s after that.
    case.check(2_500, &[(2_440, "ops", 1, 0)]);
}

#[test]
fn planned_work_that_consolidates_is_told_of_once_at_its_end() {
    let mut case = Case::new(maintained("consolidate"));
    let before = case.fire("a", &[("team", "db"), ("n", "0")]);
    case.check(1_210, &[(1_030, "ops", 1, 0)]);
    case.fire("a", &[("team", "db"), ("n", "1")]);
    let short = case.fire("b", &[("team", "db")]);
    case.fire("c", &[("team", "db"), ("tier", "2")]);
    case.check(1_300, &[]);
    case.resolve(&short);
    case.check(2_399, &[]);
    // To each receiver: what began and goes on, and what was resolved meanwhile; not what was told before and goes on.
    case.check(2_400, &[(2_400, "db", 1, 0), (2_400, "ops", 1, 1)]);
    // And nothing of it again.
    case.check(4_000, &[]);
    case.resolve(&before);
    case.check(4_400, &[(4_030, "ops", 1, 1)]);
}

#[test]
fn planned_work_that_left_the_configuration_is_over() {
    let mut case = Case::new(maintained("suppress"));
    case.check(1_210, &[]);
    case.fire("a", &[("team", "db")]);
    case.check(1_300, &[]);
    case.machine.configure(Arc::new(serde_json::from_value(plain()).unwrap()), at(case.now));
    case.check(1_600, &[(1_540, "ops", 1, 0)]);
}

/// What was kept, as documents would hold it.
fn kept(machine: &Machine) -> Kept {
    let json = |record: &GroupRecord| serde_json::from_value(serde_json::to_value(record).unwrap()).unwrap();
    Kept {
        alerts: machine.members().filter(|member| member.fires()).map(|member| member.alert.clone()).collect(),
        ended: machine.members().filter(|member| !member.fires()).map(|member| member.alert.clone()).collect(),
        groups: machine
            .groups()
            .map(|(id, group)| {
                let record: GroupRecord = json(&machine.record(id).unwrap());
                let apart = record.told.is_none().then(|| group.told.as_deref().map(ToldRecord::from)).flatten();
                (id, record, apart)
            })
            .collect(),
        open: machine.open.clone(),
        silent: machine.silent.iter().map(|(id, told)| (*id, ToldRecord::from(&**told))).collect(),
        ..Kept::default()
    }
}

#[test]
fn a_restart_at_any_second_changes_nothing_of_what_is_told() {
    let run = |restart_at: i64| {
        let mut case = Case::new(plain());
        let mut told = Vec::new();
        let mut first = None;
        for second in 1_000..1_800 {
            case.now = second;
            match second {
                1_005 => first = Some(case.fire("a", &[("n", "1")])),
                1_200 => drop(case.fire("a", &[("n", "2")])),
                1_400 => case.resolve(first.as_ref().unwrap()),
                _ => {}
            }
            told.extend(case.until(second));
            if second == restart_at {
                let spec = case.machine.spec.clone();
                case.machine = Machine::new(spec, kept(&case.machine), at(second));
            }
        }
        told
    };
    let expected = [(1_035, "ops".to_owned(), 1, 0), (1_335, "ops".to_owned(), 2, 0), (1_635, "ops".to_owned(), 1, 1)];
    for restart_at in [0, 1_006, 1_034, 1_035, 1_036, 1_201, 1_334, 1_335, 1_401, 1_634, 1_635, 1_700] {
        assert_eq!(run(restart_at), expected, "restart at {restart_at}");
    }
}

#[test]
fn what_came_due_while_the_host_was_down_is_told_at_its_start() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    let kept = kept(&case.machine);
    let spec = case.machine.spec.clone();
    let mut case = Case { machine: Machine::new(spec, kept, at(5_000)), now: 5_000 };
    case.check(5_100, &[(5_000, "ops", 1, 0)]);
}

#[test]
fn groups_that_are_as_their_documents_say_are_not_written_again() {
    let mut case = Case::new(plain());
    for n in 0..50 {
        case.fire(&format!("a{n}"), &[]);
    }
    case.until(1_100);
    let kept = kept(&case.machine);
    let spec = case.machine.spec.clone();
    let mut case = Case { machine: Machine::new(spec, kept, at(1_100)), now: 1_100 };
    assert!(case.machine.changes.is_empty(), "{:?}", case.machine.changes);
    // An alert that joins a group whose moment is another one than its document's keeps that moment.
    case.check(1_400, &[]);
    case.fire("a1", &[("n", "2")]);
    let changed = case.machine.take_changes().groups;
    assert_eq!(changed.len(), 1);
    let record = case.machine.record(changed.into_iter().next().unwrap()).unwrap();
    assert_eq!(record.next, at(1_630));
}

#[test]
fn an_end_that_nobody_was_told_of_before_the_host_was_killed_is_told() {
    let mut case = Case::new(plain());
    let (told, untold) = (case.fire("a", &[]), case.alert("b", &[]));
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    let mut kept = kept(&case.machine);
    let over = |alert: &Alert| {
        let (state, now) = (AlertState::Resolved, at(1_100));
        Arc::new(Alert { state, resolved_at: Some(now), last_evaluated: now, ..alert.clone() })
    };
    // Their documents say so, and the events about it were not read yet.
    kept.alerts.clear();
    kept.resolved = vec![over(&told), over(&untold)];
    let spec = case.machine.spec.clone();
    let mut case = Case { machine: Machine::new(spec, kept, at(1_100)), now: 1_100 };
    assert_eq!(case.machine.changes.ended, [told.fingerprint].into());
    case.check(1_400, &[(1_330, "ops", 0, 1)]);
    assert_eq!(case.machine.members().count(), 0);
}

#[test]
fn an_end_counts_though_the_clock_was_set_back() {
    let mut case = Case::new(plain());
    let alert = case.fire("a", &[]);
    let before = Alert { state: AlertState::Resolved, resolved_at: Some(at(400)), last_evaluated: at(400), ..alert };
    case.machine.follow(Arc::new(before), at(400));
    assert!(!case.machine.members().any(Member::fires));
}

#[test]
fn a_clock_that_is_set_back_delays_no_look_at_a_group() {
    let mut case = Case::new(plain());
    case.now = 20_000;
    case.fire("a", &[("n", "1")]);
    case.check(20_100, &[(20_030, "ops", 1, 0)]);
    case.fire("b", &[]);
    // Back by some hours: a group that was looked at, and one that was not yet.
    assert!(!case.machine.look_at_clock(at(20_100)));
    assert!(case.machine.look_at_clock(at(2_000)));
    case.now = 2_000;
    let mut younger = case.alert("a", &[("n", "2")]);
    younger.last_evaluated = at(2_000);
    case.machine.follow(Arc::new(younger), at(2_000));
    case.check(2_299, &[(2_030, "ops", 1, 0)]);
    case.check(2_300, &[(2_300, "ops", 2, 0)]);
    // It is told again an hour after that, and not when it is as late as it was before.
    case.check(6_300, &[(5_930, "ops", 1, 0), (6_200, "ops", 2, 0)]);
}

#[test]
fn a_clock_that_was_set_back_while_the_host_was_down_delays_no_look_either() {
    let mut case = Case::new(plain());
    case.now = 20_000;
    case.fire("a", &[]);
    case.check(20_100, &[(20_030, "ops", 1, 0)]);
    let kept = kept(&case.machine);
    let spec = case.machine.spec.clone();
    let mut case = Case { machine: Machine::new(spec, kept, at(2_000)), now: 2_000 };
    case.check(6_000, &[(5_900, "ops", 1, 0)]);
}

#[test]
fn a_clock_that_is_disciplined_changes_no_moment() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    assert!(!case.machine.look_at_clock(at(1_000)));
    assert!(!case.machine.look_at_clock(Timestamp::from_millis(999_500)));
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
}

/// An alert of the host's own rules.
fn own(case: &mut Case, name: &str, more: &[(&str, &str)]) -> Alert {
    let alert = Alert { posted: None, ..case.alert(name, more) };
    case.machine.take(Arc::new(alert.clone()), at(case.now));
    alert
}

#[test]
fn alerts_of_own_rules_have_the_labels_of_the_host_for_whoever_is_told() {
    let mut spec = plain();
    spec["external-labels"] = json!({"region": "eu", "host": "one"});
    spec["route"]["group-by"] = json!(["region"]);
    let mut case = Case::new(spec.clone());
    let alert = own(&mut case, "a", &[("host", "other")]);
    case.fire("b", &[]);
    let told = |case: &mut Case, until: i64| {
        let mut told = BTreeSet::new();
        while let Some(next) = case.machine.next_at().filter(|next| *next <= at(until)) {
            case.now = next.as_millis() / 1_000;
            case.machine.advance(next, 100);
            let tells = case.machine.take_changes().tells.into_iter();
            told.extend(tells.flat_map(|tell| tell.alerts).map(|alert| alert.labels.to_string()));
        }
        told.into_iter().collect::<Vec<_>>()
    };
    // What it says of itself goes before; whoever sends alerts has labels of its own.
    assert_eq!(told(&mut case, 1_100), ["{alertname=\"a\",host=\"other\",region=\"eu\"}", "{alertname=\"b\"}"]);
    // Its end, too, under other labels by then.
    spec["external-labels"] = json!({"region": "us"});
    case.now = 1_100;
    case.machine.configure(Arc::new(serde_json::from_value(spec).unwrap()), at(1_100));
    assert_eq!(case.machine.member(&alert.fingerprint).unwrap().alert.labels.get("region"), Some("us"));
    case.resolve(&alert);
    assert_eq!(case.machine.member(&alert.fingerprint).unwrap().alert.labels.get("region"), Some("us"));
}

#[test]
fn planned_work_that_consolidates_is_not_told_to_a_route_that_is_muted_then() {
    let mut spec = maintained("consolidate");
    // Muted until 00:50: 3000.
    spec["time-intervals"] = json!({"early": [{"times": [{"start-time": "00:00", "end-time": "00:50"}]}]});
    spec["route"]["routes"] = json!([{"matchers": ["tier=2"], "receiver": "db", "mute-time-intervals": ["early"]}]);
    let mut case = Case::new(spec);
    case.check(1_210, &[]);
    case.fire("a", &[("team", "db")]);
    case.fire("c", &[("team", "db"), ("tier", "2")]);
    case.check(2_400, &[(2_400, "ops", 1, 0)]);
    // Its group is looked at at 1240 and each 300 s after that.
    case.check(3_100, &[(3_040, "db", 1, 0)]);
}

#[test]
fn planned_work_over_very_many_groups_is_told_of_in_several_messages() {
    let mut spec = maintained("consolidate");
    spec["route"]["group-by"] = json!(["..."]);
    let mut case = Case::new(spec);
    case.check(1_210, &[]);
    for n in 0..1_500 {
        case.fire("a", &[("team", "db"), ("n", &n.to_string())]);
    }
    while let Some(next) = case.machine.next_at().filter(|next| *next < at(2_400)) {
        case.machine.advance(next, 10_000);
        assert!(case.machine.take_changes().tells.is_empty());
    }
    case.machine.advance(at(2_400), 0);
    let tells = case.machine.take_changes().tells;
    assert_eq!(tells.iter().map(|tell| tell.alerts.len()).sum::<usize>(), 1_500);
    let keys: Vec<(&str, usize)> = tells.iter().map(|tell| (tell.group_key.as_str(), tell.of.len())).collect();
    assert_eq!(keys, [("maintenance/work:{}", 984), ("maintenance/work:{part=\"2\"}", 516)]);
}

/// What is remembered of the alerts that left their groups: until when, whether they were told as firing, and of their ends.
fn remembered(case: &mut Case, second: i64) -> Vec<(i64, bool, String)> {
    let mut left = Vec::new();
    while let Some(next) = case.machine.next_at().filter(|next| *next <= at(second)) {
        case.now = next.as_millis() / 1_000;
        case.machine.advance(next, 100);
        left.extend(case.machine.take_changes().left);
    }
    case.now = second;
    let overs = left.into_iter().flat_map(|(_, left)| left.alerts);
    overs.map(|over| (over.until.as_millis() / 1_000, over.told_firing, over.end)).collect()
}

#[test]
fn what_became_of_alerts_that_are_over_is_remembered_with_the_reason() {
    let mut spec = plain();
    spec["receivers"]["quiet"] = json!({"send-resolved": false});
    spec["route"]["routes"] = json!([{"matchers": ["alertname=q"], "receiver": "quiet"}]);
    let mut case = Case::new(spec);
    let mut check = |name: &str, (fires, ends): (i64, i64), silence: bool, expected: (bool, &str)| {
        case.now = fires;
        let alert = case.fire(name, &[]);
        assert_eq!(remembered(&mut case, ends), []);
        if silence {
            let draft = Draft {
                id: None,
                matchers: vec![format!("alertname={name}").parse().unwrap()],
                starts_at: at(ends),
                ends_at: at(ends + 1_000),
                created_by: "ann".into(),
                comment: String::new(),
            };
            let set = case.machine.silences.draft(draft, at(ends), || "s".into()).unwrap();
            case.machine.silences.put(set.silence);
        }
        case.resolve(&alert);
        let (told_firing, end) = expected;
        assert_eq!(remembered(&mut case, ends + 400), [(ends, told_firing, end.to_owned())], "{name}");
    };
    check("a", (1_000, 1_100), false, (true, "told that it is over"));
    check("b", (2_000, 2_010), false, (false, "not told: it was over before its group was told of it"));
    check("c", (3_000, 3_100), true, (true, "not told that it is over: silenced by s"));
    check("q", (4_000, 4_100), false, (true, "not told that it is over: the receiver does not want to know"));
}

#[test]
fn worth_telling_is_alertmanagers_rule() {
    let keys = |names: &[&str]| names.iter().map(|name| Key::of(name)).collect::<BTreeSet<_>>();
    let told = |firing: &[&str], resolved: &[&str]| Told {
        at: at(1_000),
        firing: keys(firing),
        resolved: keys(resolved),
        reason: Reason::NewAlerts,
        sent: BTreeMap::new(),
        failed: BTreeSet::new(),
        put_aside: None,
        ends: Vec::new(),
    };
    let hour = Some(Span::from_secs(3_600));
    let check = |told: Option<Told>, firing: &[&str], resolved: &[&str], ends: bool, now: i64, expected| {
        let found = worth_telling(told.as_ref(), &keys(firing), &keys(resolved), ends, hour, at(now));
        assert_eq!(found, expected, "{told:?} {firing:?} {resolved:?}");
    };
    check(None, &["a"], &[], true, 2_000, Some(Reason::NewAlerts));
    check(None, &[], &["a"], true, 2_000, None);
    check(Some(told(&["a"], &[])), &["a", "b"], &[], true, 2_000, Some(Reason::NewAlerts));
    check(Some(told(&["a", "b"], &[])), &["a"], &[], true, 2_000, None);
    check(Some(told(&["a", "b"], &[])), &["a"], &["b"], true, 2_000, Some(Reason::Resolved));
    check(Some(told(&["a", "b"], &[])), &["a"], &["b"], false, 2_000, None);
    check(Some(told(&["a"], &["b"])), &["a"], &["b"], true, 2_000, None);
    check(Some(told(&["a"], &[])), &[], &["a"], true, 2_000, Some(Reason::AllResolved));
    check(Some(told(&["a"], &[])), &[], &["a"], false, 2_000, Some(Reason::AllResolved));
    check(Some(told(&[], &["a"])), &[], &["b"], true, 2_000, None);
    check(Some(told(&["a"], &[])), &["a"], &[], true, 4_600, None);
    check(Some(told(&["a"], &[])), &["a"], &[], true, 4_601, Some(Reason::Repeat));
}
