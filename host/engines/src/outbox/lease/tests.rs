use super::*;
use quarterdeck_model::effect::{Backoff, Effect};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::InstanceName;
use serde_json::json;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn pending(class: DeliveryClass) -> Pending {
    let action = Action::RunStep { inputs: json!({}) };
    let mut effect = Effect::new(&IdSource::seeded(1), NOW, "run_1", InstanceName::from("command/x"), action);
    effect.class = class;
    effect.backoff = Backoff { first: Span::from_secs(1), cap: Span::from_secs(4), attempts: 5 };
    Pending { effect: Arc::new(effect), attempts: 0, due: NOW, token: None, last_error: None, plugin: None }
}

fn retry(after: Option<Span>) -> CallError {
    CallError::Retry { message: "busy".to_owned(), after }
}

#[test]
fn an_at_most_once_attempt_is_written_before_it_begins_and_unknown_when_found_again() {
    let fresh = pending(DeliveryClass::AtMostOnce);
    let Next::WriteThenCall(written) = next(&fresh, NOW) else { panic!("must be written first") };
    assert_eq!(written.attempts, 1);
    assert!(matches!(next(&written, NOW), Next::End(Ending::Unknown(_))));
}

#[test]
fn an_at_most_once_effect_that_answered_pending_is_polled_after_a_crash() {
    let Next::WriteThenCall(written) = next(&pending(DeliveryClass::AtMostOnce), NOW) else { panic!() };
    let outcome = Outcome::Pending { token: "t".to_owned(), after: Span::from_secs(1) };
    let After::Keep(kept) = called(&written, Ok(outcome), 0, NOW) else { panic!() };
    let later = NOW.plus(Span::from_secs(1));
    assert_eq!(next(&kept, NOW), Next::Wait(later));
    assert_eq!(next(&kept, later), Next::Poll("t".to_owned()));
    assert!(matches!(next(&kept, kept.effect.expires), Next::End(Ending::Unknown(_))));
}

#[test]
fn an_at_most_once_effect_is_never_called_twice_whatever_the_answer() {
    let Next::WriteThenCall(attempt) = next(&pending(DeliveryClass::AtMostOnce), NOW) else { panic!() };
    let budget = Span::from_secs(1);
    let answers = [
        (retry(None), true),
        (CallError::Rejected { message: String::new() }, false),
        (CallError::Other { message: String::new() }, false),
        (CallError::Trapped { reason: String::new() }, true),
        (CallError::Deadline { budget }, true),
        (CallError::Cancelled, true),
    ];
    for (answer, unknown) in answers {
        match called(&attempt, Err(answer.clone()), 0, NOW) {
            After::End(Ending::Unknown(_)) => assert!(unknown, "{answer}"),
            After::End(Ending::Failed(_)) => assert!(!unknown, "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
}

#[test]
fn an_at_most_once_effect_with_nothing_to_call_has_not_begun() {
    let Next::WriteThenCall(attempt) = next(&pending(DeliveryClass::AtMostOnce), NOW) else { panic!() };
    let absent = CallError::Unavailable { message: "no such instance".to_owned() };
    let After::Keep(kept) = called(&attempt, Err(absent), 0, NOW) else { panic!() };
    assert_eq!(kept.attempts, 0);
    assert!(matches!(next(&kept, kept.due), Next::WriteThenCall(_)));
}

#[test]
fn a_retryable_failure_is_tried_again_with_back_off_until_the_attempts_are_used_up() {
    let mut pending = pending(DeliveryClass::AtLeastOnce);
    let mut waits = Vec::new();
    let mut now = NOW;
    loop {
        let Next::Call(attempt) = next(&pending, now) else { panic!("not due") };
        match called(&attempt, Err(retry(None)), 0, now) {
            After::Keep(kept) => {
                waits.push(kept.due.since(now).as_millis() / 1000);
                now = kept.due;
                pending = *kept;
            }
            After::End(Ending::Failed(reason)) => {
                assert!(reason.starts_with("gave up after 5 attempts"), "{reason}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [1, 2, 4, 4]);
}

#[test]
fn the_plugin_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() {
    let Next::Call(attempt) = next(&pending(DeliveryClass::AtLeastOnce), NOW) else { panic!() };
    for (asked, waited) in [(60, 60), (0, 1)] {
        let answer = Err(retry(Some(Span::from_secs(asked))));
        let After::Keep(kept) = called(&attempt, answer, 0, NOW) else { panic!() };
        assert_eq!(kept.due.since(NOW), Span::from_secs(waited));
    }
    let too_late = Err(retry(Some(Span::from_secs(7200))));
    assert!(matches!(called(&attempt, too_late, 0, NOW), After::End(Ending::Failed(_))));
}

#[test]
fn an_instance_that_is_away_uses_no_attempt_and_is_waited_for_until_expiry() {
    let pending = pending(DeliveryClass::AtLeastOnce);
    let (mut now, mut absences) = (NOW, 0);
    while now < pending.effect.expires {
        let Next::Call(attempt) = next(&pending, now) else { panic!() };
        let absent = CallError::Unavailable { message: String::new() };
        let After::Later(due) = called(&attempt, Err(absent), absences, now) else { panic!() };
        now = due;
        absences += 1;
    }
    assert!(matches!(next(&pending, now), Next::End(Ending::Failed(_))));
}

#[test]
fn a_step_of_a_deployment_target_that_is_pending_is_applied_again() {
    let mut pending = pending(DeliveryClass::AtLeastOnce);
    let step = quarterdeck_model::kind::deployment_target::Step::Stop { replica: "a".to_owned() };
    Arc::make_mut(&mut pending.effect).action = Action::ApplyStep { service: "s".to_owned(), step };
    pending.token = Some("t".to_owned());
    assert!(matches!(next(&pending, NOW), Next::Call(_)));
}

#[test]
fn a_poll_that_fails_for_now_is_asked_again_and_one_that_is_refused_ends_the_effect() {
    let mut pending = pending(DeliveryClass::AtMostOnce);
    pending.attempts = 1;
    pending.token = Some("t".to_owned());
    assert_eq!(polled(&pending, Err(retry(None)), NOW), After::Later(NOW.plus(POLL_AGAIN)));
    let refused = CallError::Rejected { message: "gone".to_owned() };
    let unknown = Ending::Unknown("it is not known whether it was done: gone".to_owned());
    assert_eq!(polled(&pending, Err(refused.clone()), NOW), After::End(unknown), "it had begun");
    let failed = CallError::Other { message: "no room".to_owned() };
    assert_eq!(polled(&pending, Err(failed), NOW), After::End(Ending::Failed("no room".to_owned())));
    assert_eq!(polled(&pending, Ok(Outcome::Done(json!(1))), NOW), After::End(Ending::Done(json!(1))));
    Arc::make_mut(&mut pending.effect).class = DeliveryClass::AtLeastOnce;
    assert_eq!(polled(&pending, Err(refused), NOW), After::End(Ending::Failed("gone".to_owned())));
}
