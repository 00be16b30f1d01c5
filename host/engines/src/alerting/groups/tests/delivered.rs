//! What recipients could not be told, and what is told to them again.

use super::*;

/// What was told of the one group was sent under these ids.
fn sent(case: &mut Case, ids: &[(&str, &str)]) {
    let id = case.machine.groups().next().unwrap().0;
    let sent = ids.iter().map(|(instance, id)| (InstanceName::from(*instance), vec![(*id).to_owned()])).collect();
    case.machine.notified(id, &sent);
}

fn failed(id: &str) -> Delivered {
    Delivered::Failed(id.to_owned())
}

#[test]
fn what_a_recipient_could_not_be_told_is_told_to_it_again_at_the_next_look_and_to_nobody_else() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    case.check(1_100, &[(1_030, "ops", 1, 0)]);
    sent(&mut case, &[("log/ops", "one"), ("log/other", "two")]);
    case.machine.delivered(&[failed("two"), failed("unknown")]);
    assert_eq!((case.machine.changes.groups.len(), case.machine.changes.told.len()), (1, 1));
    // Also over a restart.
    let spec = case.machine.spec.clone();
    case.machine = Machine::new(spec, kept(&case.machine), at(1_100));
    case.machine.advance(at(1_330), 100);
    let tells = case.machine.take_changes().tells;
    assert_eq!(tells.len(), 1);
    assert_eq!((tells[0].reason, tells[0].only.clone()), (Reason::Undelivered, Some(["log/other".into()].into())));
    // It is no other message that counts now, and the repeat interval goes on from the first one.
    sent(&mut case, &[("log/other", "three")]);
    case.machine.delivered(&[failed("two")]);
    case.now = 1_330;
    case.check(4_700, &[]);
    case.check(5_000, &[(4_930, "ops", 1, 0)]);
}

#[test]
fn a_message_that_took_the_place_of_another_may_fail_in_its_place() {
    for by in ["digest", "fallback"] {
        let mut case = Case::new(plain());
        case.fire("a", &[]);
        case.check(1_100, &[(1_030, "ops", 1, 0)]);
        sent(&mut case, &[("log/ops", "one")]);
        case.machine.delivered(&[Delivered::Replaced { id: "one".into(), by: by.into() }]);
        case.check(1_400, &[]);
        case.machine.delivered(&[failed(by)]);
        case.check(1_700, &[(1_630, "ops", 1, 0)]);
        case.check(2_000, &[]);
    }
}

/// A group of two, of which one was told to be over by the messages `one` and `two`.
fn with_an_end(spec: Value) -> (Case, Alert, Alert) {
    let mut case = Case::new(spec);
    let first = case.fire("a", &[("n", "1")]);
    let second = case.fire("a", &[("n", "2")]);
    case.check(1_100, &[(1_030, "ops", 2, 0)]);
    sent(&mut case, &[("log/ops", "begin"), ("log/other", "begin too")]);
    case.resolve(&first);
    case.check(1_400, &[(1_330, "ops", 1, 1)]);
    sent(&mut case, &[("log/ops", "one"), ("log/other", "two")]);
    (case, first, second)
}

/// As after a restart.
fn restart(case: &mut Case) {
    let spec = case.machine.spec.clone();
    case.machine = Machine::new(spec, kept(&case.machine), at(case.now));
}

/// What is told at that second.
fn tells(case: &mut Case, second: i64) -> Vec<Tell> {
    case.now = second;
    case.machine.advance(at(second), 100);
    case.machine.take_changes().tells.into()
}

#[test]
fn the_end_of_one_alert_that_somebody_could_not_be_told_goes_with_the_groups_next_message_to_that_one() {
    let (mut case, first, _) = with_an_end(plain());
    restart(&mut case);
    case.machine.delivered(&[failed("two")]);
    assert_eq!((case.machine.changes.groups.len(), case.machine.changes.told.len()), (1, 1));
    restart(&mut case);
    let told = tells(&mut case, 1_630).remove(0);
    assert_eq!((told.reason, &told.only), (Reason::Undelivered, &Some(["log/other".into()].into())));
    assert_eq!(told.again, std::slice::from_ref(&first.fingerprint));
    let states: Vec<AlertState> = told.alerts.iter().map(|alert| alert.state).collect();
    assert_eq!(states, [AlertState::Firing, AlertState::Resolved]);
    // Once: whatever else is told, and whoever says again that the first message failed.
    sent(&mut case, &[("log/other", "three")]);
    case.machine.delivered(&[failed("two")]);
    case.check(5_200, &[]);
    case.check(5_500, &[(5_230, "ops", 1, 0)]);
}

#[test]
fn an_end_is_told_again_as_often_as_its_delivery_is_given_up_on() {
    let (mut case, ..) = with_an_end(plain());
    let mut message = "two".to_owned();
    for (look, by) in [(1_630, "three"), (1_930, "four"), (2_230, "five")] {
        case.machine.delivered(&[failed(&message)]);
        restart(&mut case);
        let told = tells(&mut case, look);
        assert_eq!((told.len(), told[0].alerts.len()), (1, 2), "{look}");
        sent(&mut case, &[("log/other", by)]);
        message = by.to_owned();
    }
    case.check(4_900, &[]);
}

#[test]
fn the_end_of_one_alert_goes_with_the_end_of_its_group_if_it_could_not_be_told_before() {
    let (mut case, _, second) = with_an_end(plain());
    case.machine.delivered(&[failed("one")]);
    case.resolve(&second);
    // All are told that it is over, whoever heard of the beginning.
    case.check(2_400, &[(1_630, "ops", 0, 2)]);
}

#[test]
fn a_message_may_be_given_up_on_after_the_next_one_was_made() {
    let (mut case, first, _) = with_an_end(plain());
    case.fire("a", &[("n", "3")]);
    case.check(1_700, &[(1_630, "ops", 2, 0)]);
    sent(&mut case, &[("log/ops", "three"), ("log/other", "four")]);
    restart(&mut case);
    case.machine.delivered(&[Delivered::Replaced { id: "one".into(), by: "digest".into() }]);
    case.machine.delivered(&[failed("digest")]);
    let told = tells(&mut case, 1_930).remove(0);
    assert_eq!((told.reason, &told.only), (Reason::Undelivered, &Some(["log/ops".into()].into())));
    assert_eq!((told.alerts.len(), told.again), (3, vec![first.fingerprint]));
    case.check(5_200, &[]);
}

#[test]
fn an_end_is_not_told_again_of_what_fires_again_or_was_silenced_or_where_ends_are_not_wanted() {
    let (mut case, first, _) = with_an_end(plain());
    case.machine.delivered(&[failed("one")]);
    case.machine.take(Arc::new(Alert { last_evaluated: at(1_400), ..first }), at(1_400));
    case.check(1_700, &[(1_630, "ops", 2, 0)]);
    let (mut case, ..) = with_an_end(plain());
    case.machine.delivered(&[failed("one")]);
    silence_matching(&mut case, "n=1", 1_400, 9_000);
    case.check(1_700, &[(1_630, "ops", 1, 0)]);
    let (mut case, ..) = with_an_end(plain());
    case.machine.delivered(&[failed("one")]);
    let mut spec = plain();
    spec["receivers"]["ops"]["send-resolved"] = json!(false);
    case.machine.configure(Arc::new(serde_json::from_value(spec).unwrap()), at(1_400));
    case.check(1_700, &[(1_630, "ops", 1, 0)]);
}

#[test]
fn an_end_is_told_again_though_what_fires_may_not_be_told_now_and_that_is_told_later() {
    let (mut case, ..) = with_an_end(plain());
    case.machine.delivered(&[failed("one")]);
    silence_matching(&mut case, "n=2", 1_400, 2_000);
    case.check(1_990, &[(1_630, "ops", 0, 1)]);
    case.check(4_000, &[(2_230, "ops", 1, 0)]);
}

#[test]
fn what_could_not_be_told_is_told_though_planned_work_was_told_of_meanwhile() {
    let mut case = Case::new(maintained("consolidate"));
    let first = case.fire("a", &[("n", "1")]);
    case.fire("a", &[("n", "2")]);
    case.check(1_040, &[(1_030, "ops", 2, 0)]);
    case.fire("a", &[("team", "db")]);
    case.resolve(&first);
    case.check(1_990, &[(1_330, "ops", 1, 1)]);
    sent(&mut case, &[("log/ops", "one")]);
    case.check(2_399, &[]);
    case.machine.delivered(&[failed("one")]);
    case.check(2_400, &[(2_400, "ops", 1, 0)]);
    sent(&mut case, &[("log/ops", "two")]);
    case.check(3_000, &[(2_530, "ops", 2, 1)]);
}

#[test]
fn the_ends_that_are_remembered_of_a_group_are_bounded() {
    let mut case = Case::new(plain());
    case.fire("a", &[]);
    case.check(1_030, &[(1_030, "ops", 1, 0)]);
    let long = "x".repeat(1_000);
    let mut second = 1_030;
    for round in 0..40 {
        let n = |n: usize| format!("{round}/{n}");
        let alerts: Vec<Alert> = (0..10).map(|at| case.fire("a", &[("n", &n(at)), ("long", &long)])).collect();
        second += 300;
        case.until(second);
        alerts.iter().for_each(|alert| case.resolve(alert));
        second += 300;
        assert_eq!(case.until(second), [(second, "ops".to_owned(), 1, 10)], "{round}");
        sent(&mut case, &[("log/ops", &format!("ends of {round}"))]);
        let (_, group) = case.machine.groups().next().unwrap();
        let record = ToldRecord::from(group.told.as_deref().unwrap());
        let bytes = serde_json::to_string(&record.ends).unwrap().len();
        assert!(bytes < 72 << 10 && record.ends.len() <= 16, "{bytes}");
    }
    case.machine.delivered(&[failed("ends of 0"), failed("ends of 39"), failed("ends of 38")]);
    case.check(second + 300, &[(second + 300, "ops", 1, 20)]);
}
