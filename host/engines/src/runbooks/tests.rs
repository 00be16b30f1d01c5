//! The shell over the real store, bus and outbox; actions are plain functions.

use super::*;
use crate::outbox;
use crate::testing::{Bench, Fake, START, until};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::runbook::{RunState, StepState};
use quarterdeck_model::event::{Event, Offset};
use quarterdeck_model::plugin::{CallError, Kind, Outcome};
use serde_json::{Value, json};
use std::path::Path;

fn catalog(runbook: Value) -> Catalog {
    serde_json::from_value(json!({"runbooks": {"book": runbook}})).unwrap()
}

fn two_steps() -> Value {
    json!({"title": "two", "inputs": {"x": 1}, "steps": [
        {"name": "a", "action": "command/a", "with": {"x": "{{inputs.x}}"}},
        {"name": "b", "action": "command/b", "with": {"y": "{{steps.a.out}}"}}]})
}

struct Host {
    bench: Bench,
    handle: Handle,
    /// Ends its tasks when it is dropped.
    _tasks: Tasks,
}

async fn host(folder: &Path, fake: &Fake, catalog: Catalog, with_outbox: bool) -> Host {
    for name in ["command/a", "command/b"] {
        fake.add_instance(name, Kind::RunbookAction);
    }
    let mut bench = Bench::open(folder, fake, catalog, START);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    if with_outbox {
        let inlet = bench.inlet.take().unwrap();
        outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    }
    Host { bench, handle, _tasks: tasks }
}

impl Host {
    async fn finished(&self, id: &str) -> Run {
        self.bench.event(Run::FINISHED, Some(id), Offset(0)).await;
        self.bench.context.read(Run::COLLECTION, id).unwrap().unwrap()
    }
}

fn ann() -> StartRun {
    StartRun { principal: "ann".to_owned(), ..StartRun::default() }
}

#[tokio::test]
async fn a_run_is_carried_out_to_its_end() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.with(|fake| fake.act = Some(Box::new(|_| Ok(Outcome::Done(json!({"out": 7}))))));
    let host = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let run = host.handle.start("book", ann()).await.unwrap();
    let run = host.finished(run.id.as_str()).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    assert_eq!(run.steps[1].inputs, json!({"y": 7}));
    assert_eq!(run.steps[1].plugin, Some(crate::testing::plugin()));
    let called: Vec<_> = fake.calls().into_iter().map(|(instance, _)| instance).collect();
    assert_eq!(called, ["command/a", "command/b"]);
    assert!(matches!(host.handle.start("other", ann()).await, Err(Error::NotFound { .. })));
    assert!(matches!(host.handle.cancel("run_0", "ann").await, Err(Error::NotFound { .. })));
    assert!(matches!(host.handle.cancel(run.id.as_str(), "ann").await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn a_dry_run_asks_and_does_nothing() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let host = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let run = host.handle.start("book", StartRun { dry_run: true, ..ann() }).await.unwrap();
    assert_eq!(run.state, RunState::Planned);
    assert_eq!(run.steps[0].outputs, json!({"plan": "unknown"}));
    assert!(fake.calls().is_empty());
    assert_eq!(host.finished(run.id.as_str()).await, run);
}

#[tokio::test]
async fn a_step_that_a_kill_interrupts_ends_as_unknown_and_is_not_done_again() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.with(|fake| fake.hang = true);
    let first = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let run = first.handle.start("book", ann()).await.unwrap();
    until("the step's beginning", || fake.calls().len() == 1).await;
    let Host { bench, handle, _tasks } = first;
    drop((_tasks, handle));
    bench.kill().await;
    fake.with(|fake| fake.hang = false);
    let second = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let run = second.finished(run.id.as_str()).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.steps[0].state, StepState::Unknown);
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_run_that_nobody_carries_on_ends_at_its_time() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let host = host(folder.path(), &fake, catalog(two_steps()), false).await;
    let run = host.handle.start("book", ann()).await.unwrap();
    host.bench.advance(Span::from_secs(66));
    let run = host.finished(run.id.as_str()).await;
    assert_eq!((run.state, run.steps[0].state), (RunState::Failed, StepState::Unknown));
}

#[tokio::test]
async fn a_cancelled_run_takes_back_what_has_not_begun() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let host = host(folder.path(), &fake, catalog(two_steps()), false).await;
    let run = host.handle.start("book", ann()).await.unwrap();
    assert_eq!(host.bench.context.store.list(OUTBOX, &Page::all()).unwrap().len(), 1);
    let run = host.handle.cancel(run.id.as_str(), "ben").await.unwrap();
    assert_eq!((run.state, run.steps[0].state), (RunState::Cancelled, StepState::Cancelled));
    assert!(host.bench.context.store.list(OUTBOX, &Page::all()).unwrap().is_empty());
}

#[tokio::test]
async fn a_cancelled_run_tells_what_goes_on_to_stop() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let pending = || Ok(Outcome::Pending { token: "job-7".to_owned(), after: Span::from_secs(3600) });
    fake.with(|fake| fake.act = Some(Box::new(move |_| pending())));
    let host = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let run = host.handle.start("book", ann()).await.unwrap();
    let token = || {
        let effects: Vec<Pending> = host.bench.context.read_all(OUTBOX, &Page::all()).unwrap();
        effects.first().and_then(|pending| pending.token.clone())
    };
    until("the token", || token().is_some()).await;
    let run = host.handle.cancel(run.id.as_str(), "ben").await.unwrap();
    assert_eq!(run.state, RunState::Cancelled);
    let told = host.bench.event("effect.done", Some(run.id.as_str()), Offset(0)).await;
    assert_eq!(told.event.data["purpose"], json!("cancel a"));
}

#[tokio::test]
async fn an_event_starts_its_runbook_once_even_if_it_is_read_twice() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let mut book = two_steps();
    book["on"] = json!(["alert.firing"]);
    book["steps"][1]["with"] = json!({"cause": "{{run.cause}}"});
    let first = host(folder.path(), &fake, catalog(book.clone()), true).await;
    let context = &first.bench.context;
    let fired = |subject: &str| Event::new(&context.ids, START, "alert.firing", subject);
    context.bus.publish("test", vec![fired("a1"), fired("a2")]).await.unwrap();
    until("two runs", || context.store.list(Run::COLLECTION, &Page::all()).unwrap().len() == 2).await;
    let runs: Vec<Run> = context.read_all(Run::COLLECTION, &Page::all()).unwrap();
    for run in &runs {
        let run = first.finished(run.id.as_str()).await;
        assert_eq!(run.steps[1].inputs, json!({"cause": run.cause}));
    }
    assert_eq!(fake.calls().len(), 4);
    let started = first.bench.events(&[Run::STARTED]);
    assert!(started.iter().all(|event| event.causation.is_some()));
    // Its place is acknowledged. Moved back by hand, another start reads both events again.
    until("the place", || context.store.cursor(triggers::CONSUMER).unwrap() >= Offset(2)).await;
    let Host { bench, handle, _tasks } = first;
    drop((_tasks, handle));
    bench.context.store.commit(Transition::new().ack(triggers::CONSUMER, Offset(0))).await.unwrap();
    bench.kill().await;
    let second = host(folder.path(), &fake, catalog(book), true).await;
    let context = &second.bench.context;
    let fired = Event::new(&context.ids, START.plus(Span::from_secs(1)), "alert.firing", "a3");
    context.bus.publish("test", vec![fired]).await.unwrap();
    until("the third run", || context.store.list(Run::COLLECTION, &Page::all()).unwrap().len() == 3).await;
    until("its steps", || fake.calls().len() == 6).await;
    assert_eq!(second.bench.events(&[Run::STARTED]).len(), 3);
}

#[tokio::test]
async fn events_that_led_to_nothing_are_acknowledged_in_time_and_start_nothing_later() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let first = host(folder.path(), &fake, catalog(two_steps()), true).await;
    let context = first.bench.context.clone();
    let fired = |subject: &str| Event::new(&context.ids, START, "alert.firing", subject);
    context.bus.publish("test", vec![fired("a1")]).await.unwrap();
    until("an acknowledgement", || context.store.cursor(triggers::CONSUMER).unwrap() >= Offset(1)).await;
    let Host { bench, handle, _tasks } = first;
    drop((_tasks, handle, context));
    bench.kill().await;
    let mut book = two_steps();
    book["on"] = json!(["alert.firing"]);
    let second = host(folder.path(), &fake, catalog(book), true).await;
    let context = &second.bench.context;
    let fired = Event::new(&context.ids, START, "alert.firing", "a3");
    context.bus.publish("test", vec![fired]).await.unwrap();
    until("a run", || !context.store.list(Run::COLLECTION, &Page::all()).unwrap().is_empty()).await;
    let runs: Vec<Run> = context.read_all(Run::COLLECTION, &Page::all()).unwrap();
    assert_eq!(runs.iter().map(|run| run.cause.as_deref()).collect::<Vec<_>>(), [Some("a3")]);
}

#[tokio::test]
async fn an_event_that_cannot_start_its_runbook_is_put_aside() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let mut book = two_steps();
    book["on"] = json!(["alert.firing"]);
    book["inputs"] = json!({"x": null});
    let host = host(folder.path(), &fake, catalog(book), true).await;
    let context = &host.bench.context;
    let fired = Event::new(&context.ids, START, "alert.firing", "a1");
    context.bus.publish("test", vec![fired]).await.unwrap();
    let put_aside = host.bench.event("dead-letter.added", None, Offset(0)).await;
    let reason = put_aside.event.data["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("runbook `book`: runbook `book` needs the input `x`"), "{reason}");
}

#[tokio::test]
async fn a_failure_is_tried_again_when_its_time_has_come() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let mut times = 0;
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            times += 1;
            if times == 1 {
                Err(CallError::Other { message: "no".to_owned() })
            } else {
                Ok(Outcome::Done(json!({"out": 1})))
            }
        }));
    });
    let mut book = two_steps();
    book["steps"][0]["attempts"] = json!(2);
    let host = host(folder.path(), &fake, catalog(book), true).await;
    let run = host.handle.start("book", ann()).await.unwrap();
    let waits = || {
        let run: Run = host.bench.context.read(Run::COLLECTION, run.id.as_str()).unwrap().unwrap();
        run.steps[0].state == StepState::Waiting
    };
    until("the failure", waits).await;
    host.bench.advance(Span::from_secs(1));
    assert_eq!(host.finished(run.id.as_str()).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn a_step_is_given_the_time_that_it_may_take_and_a_cancelled_run_ends_its_call() {
    for idempotent in [false, true] {
        let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
        fake.with(|fake| fake.hang = true);
        let mut book = two_steps();
        book["steps"][0]["timeout"] = json!("5m");
        book["steps"][0]["idempotent"] = json!(idempotent);
        let host = host(folder.path(), &fake, catalog(book), true).await;
        let run = host.handle.start("book", ann()).await.unwrap();
        until("the step's beginning", || fake.calls().len() == 1).await;
        assert_eq!(fake.with(|fake| fake.withins.clone()), [Span::from_secs(300)]);
        let run = host.handle.cancel(run.id.as_str(), "ben").await.unwrap();
        assert_eq!((run.state, run.steps[0].state), (RunState::Cancelled, StepState::Cancelled));
        until("the end of the call", || fake.with(|fake| fake.dropped) == 1).await;
        let outbox = || host.bench.context.store.list(OUTBOX, &Page::all()).unwrap();
        until("an empty outbox", || outbox().is_empty()).await;
        // What may have been done is not said to be undone; and nothing is done again.
        assert_eq!(host.bench.events(&["effect.unknown"]).len(), usize::from(!idempotent));
        assert_eq!(fake.calls().len(), 1);
    }
}

#[tokio::test]
async fn runbooks_that_would_start_each_other_for_ever_are_told_to_end() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let step = json!([{"name": "only", "action": "command/a"}]);
    let catalog: Catalog = serde_json::from_value(json!({"runbooks": {
        "ping": {"title": "ping", "steps": step, "on": ["custom.go", "run."]},
        "pong": {"title": "pong", "steps": step, "on": ["run.finished"]},
    }}))
    .unwrap();
    let host = host(folder.path(), &fake, catalog, true).await;
    let context = &host.bench.context;
    let go = Event::new(&context.ids, START, "custom.go", "s");
    context.bus.publish("test", vec![go]).await.unwrap();
    // Of the second one: its beginning, its step's beginning and end, and its end.
    until("the refusals", || host.bench.events(&[Run::REFUSED]).len() == 4).await;
    let refused = host.bench.events(&[Run::REFUSED]).remove(0);
    assert_eq!(refused.subject, "ping");
    assert_eq!(refused.data["reason"], json!("its own run led to this one: ping -> pong -> ping"));
    let runs: Vec<Run> = context.read_all(Run::COLLECTION, &Page::all()).unwrap();
    let mut chains: Vec<_> = runs.iter().map(|run| (run.runbook.as_str(), run.ancestors.join(" "))).collect();
    chains.sort_unstable();
    assert_eq!(chains, [("ping", String::new()), ("pong", "ping".to_owned())]);
    let finished = host.bench.events(&[Run::FINISHED]);
    assert!(finished.iter().any(|event| event.data["ancestors"] == json!(["ping"])));
    assert!(host.bench.events(&["run."]).iter().all(|event| event.data.get("cause").is_some()));
}

#[tokio::test]
async fn what_a_step_publishes_does_not_start_its_own_runbook_again_and_one_that_fails_is_no_dead_letter() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let catalog: Catalog = serde_json::from_value(json!({"runbooks": {
        "echo": {"title": "echo", "on": ["custom."], "steps": [{"name": "only", "action": "command/a"}]},
        "mend": {"title": "mend", "on": ["custom.go", "dead-letter."],
            "steps": [{"name": "only", "action": "command/gone", "idempotent": true, "timeout": "1s"}]},
    }}))
    .unwrap();
    let ids = quarterdeck_model::id::IdSource::seeded(9);
    fake.with(|fake| {
        fake.publish = Some(Box::new(move || vec![Event::new(&ids, START, "custom.said", "s")]));
    });
    let host = host(folder.path(), &fake, catalog, true).await;
    let context = &host.bench.context;
    context.bus.publish("test", vec![Event::new(&context.ids, START, "custom.go", "s")]).await.unwrap();
    // There is no `command/gone`: the effect is given up on at its time, before the run stops waiting for it.
    until("both runs", || host.bench.events(&[Run::STARTED]).len() == 2).await;
    host.bench.advance(Span::from_secs(2));
    until("the ends", || host.bench.events(&[Run::FINISHED]).len() == 2).await;
    until("the refusal", || host.bench.events(&[Run::REFUSED]).len() == 1).await;
    let reasons: Vec<_> = host.bench.events(&[Run::REFUSED]).iter().map(|e| e.data["reason"].clone()).collect();
    assert_eq!(reasons, [json!("its own run led to this one: echo -> echo")]);
    assert!(host.bench.events(&["dead-letter.added"]).is_empty(), "its run tells that it failed");
    let runs: Vec<Run> = context.read_all(Run::COLLECTION, &Page::all()).unwrap();
    assert_eq!(runs.len(), 2);
    let said = host.bench.events(&["custom.said"]).remove(0);
    let run = runs.iter().find(|run| run.runbook == "echo").unwrap();
    assert_eq!(said.run.as_ref(), Some(&run.id), "the host says of which run");
    let begun = host.bench.events(&[Run::STEP]).into_iter().find(|event| Some(&event.id) == said.causation.as_ref());
    assert_eq!(begun.unwrap().subject, run.id.as_str());
}
