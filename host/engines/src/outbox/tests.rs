use super::*;
use crate::testing::{Bench, DEADLINE, Fake, START, until};
use quarterdeck_model::effect::{Action, Backoff, DEAD_LETTERS, DeliveryClass, EffectResult};
use quarterdeck_model::event::Offset;
use quarterdeck_model::plugin::{CallError, InstanceState, Kind, Outcome};
use quarterdeck_model::transition::Transition;
use quarterdeck_model::{Span, Timestamp};
use serde_json::json;
use std::path::Path;

async fn bench(folder: &Path, fake: &Fake, now: Timestamp) -> (Bench, Tasks, Handle) {
    let mut bench = Bench::open(folder, fake, Default::default(), now);
    let mut tasks = Tasks::default();
    let options = Options { compare_every: Duration::from_millis(100), ..Options::default() };
    let inlet = bench.inlet.take().unwrap();
    let handle = start(&bench.context, inlet, options, &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

fn fake() -> Fake {
    let fake = Fake::default();
    fake.add_instance("command/x", Kind::RunbookAction);
    fake
}

fn effect(bench: &Bench, owner: &str, class: DeliveryClass) -> Effect {
    let action = Action::RunStep { inputs: json!({}) };
    let mut effect = Effect::new(&bench.context.ids, bench.now(), owner, "command/x".into(), action);
    effect.class = class;
    effect.purpose = "step".into();
    effect
}

async fn commit(bench: &Bench, effects: &[&Effect]) {
    let transition = effects.iter().fold(Transition::new(), |transition, effect| transition.effect((*effect).clone()));
    bench.context.commit(transition).await.unwrap();
}

fn result(stored: &quarterdeck_model::event::StoredEvent) -> EffectResult {
    serde_json::from_value(stored.event.data.clone()).unwrap()
}

#[tokio::test]
async fn what_is_done_comes_back_to_its_owner_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| fake.act = Some(Box::new(|_| Ok(Outcome::Done(json!({"n": 1}))))));
    let wanted = effect(&bench, "run_1", DeliveryClass::AtMostOnce);
    commit(&bench, &[&wanted]).await;
    let done = bench.event("effect.done", Some("run_1"), Offset(0)).await;
    assert_eq!(done.event.plugin, Some(crate::testing::plugin()));
    let result = result(&done);
    assert_eq!((result.attempts, result.outputs, result.purpose), (1, json!({"n": 1}), "step".into()));
    assert_eq!(bench.context.store.get(OUTBOX, wanted.id.as_str()).unwrap(), None);
    until("an empty outbox", || handle.depth() == 0 && handle.in_flight() == 0).await;
}

#[tokio::test]
async fn an_answer_that_can_not_be_kept_ends_the_effect_instead_of_being_asked_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    let token = "x".repeat(2 << 20);
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(move |_| Ok(Outcome::Pending { token: token.clone(), after: Span::from_secs(1) })));
    });
    commit(&bench, &[&effect(&bench, "run_1", DeliveryClass::AtLeastOnce)]).await;
    let failed = bench.event("effect.failed", Some("run_1"), Offset(0)).await;
    assert!(result(&failed).error.unwrap().contains("can't be kept"));
    assert_eq!(bench.fake.calls().len(), 1);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    let mut failures = 3;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            failures -= 1;
            if failures < 0 {
                return Ok(Outcome::Done(json!({})));
            }
            Err(CallError::Retry { message: "busy".into(), after: None })
        }));
    });
    let wanted = effect(&bench, "run_1", DeliveryClass::AtLeastOnce);
    commit(&bench, &[&wanted]).await;
    for attempts in 1..=3 {
        until("an attempt", || {
            bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().unwrap().attempts == attempts
        })
        .await;
        bench.advance(Span::from_secs(1 << (attempts - 1)));
    }
    let done = bench.event("effect.done", Some("run_1"), Offset(0)).await;
    assert_eq!(result(&done).attempts, 4);
    let keys: Vec<_> = bench.fake.calls().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, vec![wanted.id.0.clone(); 4]);
}

#[tokio::test]
async fn what_must_not_run_twice_is_unknown_after_a_kill_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| fake.hang = true);
    let (first, tasks, _) = bench(folder.path(), &fake, START).await;
    let wanted = effect(&first, "run_1", DeliveryClass::AtMostOnce);
    commit(&first, &[&wanted]).await;
    until("the call", || fake.calls().len() == 1).await;
    drop(tasks);
    first.kill().await;
    fake.with(|fake| fake.hang = false);
    let (second, _tasks, _) = bench(folder.path(), &fake, START.plus(Span::from_secs(5))).await;
    let unknown = second.event("effect.unknown", Some("run_1"), Offset(0)).await;
    assert_eq!(result(&unknown).effect, wanted.id);
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(second.events(&["effect."]).len(), 1);
}

#[tokio::test]
async fn what_may_run_twice_runs_again_after_a_kill_and_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| fake.hang = true);
    let (first, tasks, _) = bench(folder.path(), &fake, START).await;
    let wanted: Vec<_> = (0..20).map(|n| effect(&first, &format!("run_{n}"), DeliveryClass::AtLeastOnce)).collect();
    commit(&first, &wanted.iter().collect::<Vec<_>>()).await;
    until("calls", || fake.calls().len() == 8).await;
    drop(tasks);
    first.kill().await;
    fake.with(|fake| fake.hang = false);
    let (second, _tasks, handle) = bench(folder.path(), &fake, START).await;
    until("an empty outbox", || handle.depth() == 0).await;
    let ended = second.events(&["effect."]);
    assert_eq!(ended.len(), 20);
    assert!(ended.iter().all(|event| event.event_type == "effect.done"));
    assert_eq!(fake.calls().len(), 28);
}

#[tokio::test]
async fn effects_of_one_key_wait_for_the_one_before_and_keep_their_order_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| fake.hang = true);
    let (first, tasks, _) = bench(folder.path(), &fake, START).await;
    let wanted: Vec<_> = (0..10).map(|_| effect(&first, "run_1", DeliveryClass::AtLeastOnce)).collect();
    commit(&first, &wanted.iter().collect::<Vec<_>>()).await;
    until("a call", || fake.calls().len() == 1).await;
    drop(tasks);
    first.kill().await;
    fake.with(|fake| {
        fake.hang = false;
        fake.calls.clear();
    });
    let (_second, _tasks, handle) = bench(folder.path(), &fake, START).await;
    until("an empty outbox", || handle.depth() == 0).await;
    let keys: Vec<_> = fake.calls().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, wanted.iter().map(|effect| effect.id.0.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_instance_that_lost_its_grant_is_not_called_until_it_has_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.set_state("command/x", InstanceState::AwaitingGrant);
    let (bench, _tasks, handle) = bench(folder.path(), &fake, START).await;
    commit(&bench, &[&effect(&bench, "run_1", DeliveryClass::AtMostOnce)]).await;
    until("the effect", || handle.depth() == 1 && handle.in_flight() == 0).await;
    let looks = fake.with(|fake| fake.looks);
    bench.advance(Span::from_secs(60));
    until("a second look", || fake.with(|fake| fake.looks) > looks && handle.in_flight() == 0).await;
    assert_eq!(fake.calls().len(), 0);
    fake.set_state("command/x", InstanceState::Active);
    bench.advance(Span::from_secs(60));
    let done = bench.event("effect.done", Some("run_1"), Offset(0)).await;
    assert_eq!((result(&done).attempts, fake.calls().len()), (1, 1));
}

#[tokio::test]
async fn what_is_given_up_lies_among_the_dead_letters_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(|_| Err(CallError::Retry { message: "no route".into(), after: None })));
    });
    let mut wanted = effect(&bench, "evt_1", DeliveryClass::AtLeastOnce);
    wanted.backoff = Backoff { first: Span::from_millis(1), cap: Span::from_millis(1), attempts: 2 };
    let mut of_a_run = effect(&bench, "run_1", DeliveryClass::AtLeastOnce);
    of_a_run.backoff = wanted.backoff;
    commit(&bench, &[&wanted, &of_a_run]).await;
    until("the first attempts", || bench.fake.calls().len() == 2).await;
    bench.advance(Span::from_secs(1));
    bench.event("effect.failed", Some("run_1"), Offset(0)).await;
    bench.event("effect.failed", Some("evt_1"), Offset(0)).await;
    let told_by_its_run = bench.context.store.get(DEAD_LETTERS, of_a_run.id.as_str()).unwrap();
    assert!(told_by_its_run.is_none(), "a step that failed is told by its run");
    let letter = bench.context.store.get(DEAD_LETTERS, wanted.id.as_str()).unwrap().unwrap().value;
    assert_eq!(letter["reason"], "gave up after 2 attempts, the last: no route");
    assert_eq!(letter["effect"]["id"], wanted.id.0);
    assert_eq!(bench.events(&["dead-letter.added"]).len(), 1);
}

#[tokio::test]
async fn an_effect_that_goes_on_is_polled_with_its_token_and_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| {
        fake.act = Some(Box::new(|_| Ok(Outcome::Pending { token: "t1".into(), after: Span::from_secs(1) })));
        let mut polls = 0;
        fake.poll = Some(Box::new(move |token| {
            assert_eq!(token, "t1");
            polls += 1;
            match polls {
                1 => Ok(Outcome::Pending { token: "t1".into(), after: Span::from_secs(1) }),
                _ => Ok(Outcome::Done(json!({"polls": polls}))),
            }
        }));
    });
    let (first, tasks, _) = bench(folder.path(), &fake, START).await;
    let wanted = effect(&first, "run_1", DeliveryClass::AtMostOnce);
    commit(&first, &[&wanted]).await;
    let token =
        |bench: &Bench| bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().and_then(|p| p.token);
    until("the token", || token(&first).is_some()).await;
    // A restart in between changes nothing.
    drop(tasks);
    first.kill().await;
    let (second, _tasks, _) = bench(folder.path(), &fake, START.plus(Span::from_secs(10))).await;
    let asking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            second.advance(Span::from_secs(1));
        }
    };
    let done = tokio::select! {
        done = second.event("effect.done", Some("run_1"), Offset(0)) => done,
        () = asking => unreachable!(),
    };
    assert_eq!((result(&done).outputs, fake.calls().len()), (json!({"polls": 2}), 1));
}

#[tokio::test]
async fn an_effect_that_nobody_told_of_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    let wanted = effect(&bench, "run_1", DeliveryClass::AtLeastOnce);
    bench.context.store.commit(Transition::new().effect(wanted)).await.unwrap();
    bench.event("effect.done", Some("run_1"), Offset(0)).await;
}

#[tokio::test]
async fn a_stop_waits_for_calls_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (release, mut released) = tokio::sync::watch::channel(false);
    released.mark_unchanged();
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            let until = std::time::Instant::now() + Duration::from_millis(200);
            while std::time::Instant::now() < until && !*released.borrow() {
                std::thread::yield_now();
            }
            Ok(Outcome::Done(json!({})))
        }));
    });
    let (bench, tasks, _) = bench(folder.path(), &fake, START).await;
    commit(&bench, &[&effect(&bench, "run_1", DeliveryClass::AtMostOnce)]).await;
    until("the call", || fake.calls().len() == 1).await;
    bench.context.shutdown.cancel();
    release.send_replace(true);
    tasks.join(DEADLINE).await;
    assert_eq!(bench.events(&["effect.done"]).len(), 1);
}

#[tokio::test]
async fn an_attempt_counts_however_much_its_plugin_has_to_say_and_each_names_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(|_| Err(CallError::Retry { message: "\u{e4}".repeat(1 << 20), after: None })));
    });
    let mut wanted = effect(&bench, "evt_1", DeliveryClass::AtLeastOnce);
    wanted.backoff = Backoff { first: Span::from_secs(1), cap: Span::from_secs(1), attempts: 3 };
    commit(&bench, &[&wanted]).await;
    for attempts in 1..=2 {
        let pending = || bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().unwrap();
        until("an attempt", || pending().attempts == attempts).await;
        assert_eq!(pending().plugin, Some(crate::testing::plugin()));
        assert!(pending().last_error.unwrap().ends_with("... (2097152 bytes)"));
        bench.advance(Span::from_secs(1));
    }
    let failed = bench.event("effect.failed", Some("evt_1"), Offset(0)).await;
    assert_eq!(failed.event.plugin, Some(crate::testing::plugin()));
    assert!(result(&failed).error.unwrap().starts_with("gave up after 3 attempts, the last: \u{e4}"));
    let letter = bench.context.store.get(DEAD_LETTERS, wanted.id.as_str()).unwrap().unwrap().value;
    assert_eq!(letter["plugin"]["digest"], "sha256:00");
    assert_eq!(bench.fake.calls().len(), 3);
}

#[tokio::test]
async fn an_effect_that_expires_names_the_version_of_its_last_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(|_| Err(CallError::Retry { message: "busy".into(), after: None })));
    });
    let wanted = effect(&bench, "run_1", DeliveryClass::AtLeastOnce);
    commit(&bench, &[&wanted]).await;
    let pending = || bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().unwrap();
    until("an attempt", || pending().attempts == 1).await;
    bench.advance(Span::from_secs(3600));
    let failed = bench.event("effect.failed", Some("run_1"), Offset(0)).await;
    assert_eq!(failed.event.plugin, Some(crate::testing::plugin()));
}

#[tokio::test]
async fn an_effect_that_fills_its_document_counts_its_attempts_and_ends_in_a_letter_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(|_| Err(CallError::Retry { message: "y".repeat(4_000), after: None })));
    });
    let mut wanted = effect(&bench, "evt_1", DeliveryClass::AtLeastOnce);
    wanted.backoff = Backoff { first: Span::from_secs(1), cap: Span::from_secs(1), attempts: 2 };
    // Room for the document as it is, with the version that tried it, and for no message.
    wanted.action = Action::RunStep { inputs: json!({"text": "x".repeat((1 << 20) - 1_500)}) };
    commit(&bench, &[&wanted]).await;
    let pending = || bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().unwrap();
    until("an attempt", || pending().attempts == 1).await;
    assert_eq!(pending().last_error, None);
    bench.advance(Span::from_secs(1));
    bench.event("effect.failed", Some("evt_1"), Offset(0)).await;
    let letter = bench.context.store.get(DEAD_LETTERS, wanted.id.as_str()).unwrap().unwrap().value;
    assert!(letter["effect"]["action-begins"].as_str().unwrap().contains("xxx"), "{}", letter["effect"]);
    assert_eq!(letter["effect"]["id"], wanted.id.0);
}

#[tokio::test]
async fn an_instance_is_called_again_while_the_answers_of_its_calls_are_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), START).await;
    // From the first call on, nothing gets onto the disk.
    let (faults, held) = (bench.faults.clone(), Arc::new(std::sync::Mutex::new(None)));
    let hold = held.clone();
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            hold.lock().unwrap().get_or_insert_with(|| faults.hold_syncs());
            Ok(Outcome::Done(json!({})))
        }));
    });
    let wanted: Vec<_> = (0..30).map(|n| effect(&bench, &format!("run_{n}"), DeliveryClass::AtLeastOnce)).collect();
    let behind = effect(&bench, "run_0", DeliveryClass::AtLeastOnce);
    commit(&bench, &wanted.iter().chain([&behind]).collect::<Vec<_>>()).await;
    until("more calls than the share of one instance", || bench.fake.calls().len() == 30 && handle.in_flight() == 30)
        .await;
    assert_eq!(bench.events(&["effect."]), []);
    assert!(!bench.fake.calls().iter().any(|(_, key)| *key == behind.id.0), "it waits for the one before it");
    bench.fake.with(|fake| fake.act = None);
    held.lock().unwrap().take();
    until("an empty outbox", || handle.depth() == 0).await;
    assert_eq!((bench.fake.calls().len(), bench.events(&["effect.done"]).len()), (31, 31));
}

#[tokio::test]
async fn nothing_is_carried_out_any_more_once_the_store_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), START).await;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(|_| Err(CallError::Retry { message: "busy".into(), after: None })));
    });
    let wanted = effect(&bench, "run_1", DeliveryClass::AtLeastOnce);
    commit(&bench, &[&wanted]).await;
    let pending = || bench.context.read::<Pending>(OUTBOX, wanted.id.as_str()).unwrap().unwrap();
    until("an attempt", || pending().attempts == 1 && handle.in_flight() == 0).await;
    bench.faults.fail_next_sync();
    let other = effect(&bench, "run_2", DeliveryClass::AtLeastOnce);
    bench.context.commit(Transition::new().effect(other)).await.unwrap_err();
    assert!(bench.context.store.failure().is_some());
    assert_eq!(carry::carry(bench.context.clone(), Entry::from(&wanted), Calling::default()).await, Verdict::Over);
    bench.advance(Span::from_secs(60));
    until("the end", || handle.is_over()).await;
    assert_eq!(bench.fake.calls().len(), 1);
}
