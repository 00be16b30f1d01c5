use super::*;
use quarterdeck_model::plugin::CallError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn spec(value: Value) -> RunbookSpec {
    serde_json::from_value(value).unwrap()
}

fn three_steps() -> RunbookSpec {
    spec(json!({
        "title": "three", "timeout": "10m",
        "inputs": {"host": "web-1", "count": null},
        "steps": [
            {"name": "look", "action": "command/df", "with": {"host": "{{inputs.host}}", "count": "{{ inputs.count }}"}},
            {"name": "act", "action": "http/api", "with": {"text": "saw {{steps.look.free}} on {{inputs.host}}"}},
            {"name": "tell", "action": "http/api"}
        ]
    }))
}

/// A run under way, and what it asked for.
struct Story {
    run: Run,
    ids: IdSource,
    now: Timestamp,
    effects: Vec<Effect>,
    events: Vec<Event>,
}

impl Story {
    fn begin(spec: &RunbookSpec, inputs: Value) -> Self {
        let ids = IdSource::seeded(1);
        let request = StartRun {
            inputs: serde_json::from_value(inputs).unwrap(),
            principal: "ann".to_owned(),
            ..StartRun::default()
        };
        let run = prepare(RunId::new(&ids, at(0)), "book", spec, request, at(0)).unwrap();
        let change = begin(run, at(0), &ids);
        let mut story = Story { run: change.run.clone(), ids, now: at(0), effects: Vec::new(), events: Vec::new() };
        story.take(change);
        story
    }

    /// Keeps the run as the store would: nothing but its document is left.
    fn take(&mut self, change: Change) {
        self.run = serde_json::from_str(&serde_json::to_string(&change.run).unwrap()).unwrap();
        assert_eq!(self.run, change.run, "the document holds all of it");
        self.effects.extend(change.effects);
        self.events.extend(change.events);
    }

    fn end(&mut self, ending: Ending) {
        let effect = in_flight(&self.run).expect("an effect is waited for").clone();
        let change = ended(self.run.clone(), &effect, ending, None, self.now, &self.ids).unwrap();
        self.take(change);
    }

    fn done(&mut self, outputs: Value) {
        self.end(Ending::Done(outputs));
    }

    fn failed(&mut self) {
        self.end(Ending::Failed("no luck".to_owned()));
    }

    /// Lets time pass up to the moment that the run waits for.
    fn wake(&mut self) {
        self.now = wake_at(&self.run).expect("it waits for a moment").max(self.now);
        let change = tick(self.run.clone(), None, self.now, &self.ids).expect("there is something to do");
        self.take(change);
    }

    fn states(&self) -> Vec<StepState> {
        self.run.steps.iter().map(|step| step.state).collect()
    }

    fn inputs(&self) -> &Value {
        match &self.effects.last().unwrap().action {
            Action::RunStep { inputs } => inputs,
            other => panic!("not a step: {other:?}"),
        }
    }
}

use StepState::{Cancelled, Failed, Running, Skipped, Succeeded, Unknown, Waiting};

#[test]
fn a_run_takes_its_steps_in_order_and_hands_outputs_on() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    assert_eq!(story.inputs(), &json!({"host": "web-1", "count": 3}), "a whole reference keeps its type");
    assert_eq!(story.effects[0].class, DeliveryClass::AtMostOnce);
    assert_eq!(story.effects[0].expires, at(60));
    assert_eq!(story.states(), [Running, Waiting, Waiting]);
    story.done(json!({"free": 12}));
    assert_eq!(story.inputs(), &json!({"text": "saw 12 on web-1"}));
    story.done(json!({}));
    story.done(json!({}));
    assert_eq!(story.run.state, RunState::Succeeded);
    assert_eq!(story.run.finished_at, Some(at(0)));
    let types: Vec<_> = story.events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types.first(), Some(&"run.started"));
    assert_eq!(types.last(), Some(&"run.finished"));
    assert_eq!(types.iter().filter(|kind| **kind == "run.step").count(), 6, "begun and ended, each");
    assert_eq!(wake_at(&story.run), None);
}

#[test]
fn inputs_are_checked_against_the_runbook() {
    let refused = |inputs: Value| {
        let request = StartRun { inputs: serde_json::from_value(inputs).unwrap(), ..StartRun::default() };
        prepare(RunId::from("run_1"), "book", &three_steps(), request, at(0)).unwrap_err().to_string()
    };
    assert_eq!(
        refused(json!({})),
        "runbook `book` needs the input `count`; hint: it has no default, so it must be given"
    );
    assert_eq!(
        refused(json!({"count": 1, "hots": "x"})),
        "runbook `book` has no input `hots`; hint: it takes count, host"
    );
}

#[test]
fn a_runbook_that_cannot_run_is_refused() {
    let refused = |value| check("book", &spec(value)).unwrap_err().to_string();
    assert_eq!(refused(json!({"title": "t", "steps": []})), "runbook `book` has no steps");
    assert_eq!(
        refused(json!({"title": "t", "steps": [{"name": "a", "action": "x/y"}, {"name": "a", "action": "x/y"}]})),
        "runbook `book` has two steps of the name `a`"
    );
    assert_eq!(
        refused(json!({"title": "t", "steps": [{"name": "a", "action": "x/y", "on-failure": {"goto": "b"}}]})),
        "step `a` of runbook `book` goes to `b` on failure, which is none of its steps"
    );
}

#[test]
fn a_failed_step_aborts_the_run() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    story.failed();
    assert_eq!(story.run.state, RunState::Failed);
    assert_eq!(story.states(), [Failed, Skipped, Skipped]);
    assert_eq!(story.run.error.as_deref(), Some("step `look` failed: no luck"));
}

#[test]
fn a_step_whose_inputs_cannot_be_filled_fails_without_being_done() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    story.done(json!({"used": 1}));
    assert_eq!(story.states(), [Succeeded, Failed, Skipped]);
    assert_eq!(story.effects.len(), 1);
    let error = story.run.error.as_deref().unwrap();
    assert!(error.contains("`{{steps.look.free}}` has no value; hint: "), "{error}");
}

#[test]
fn a_reported_failure_is_tried_again_later_as_often_as_the_step_says() {
    let mut book = three_steps();
    book.steps[0].attempts = 3;
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.failed();
    assert_eq!(story.states()[0], Waiting);
    assert_eq!(story.effects.len(), 1, "not at once");
    story.wake();
    assert_eq!(story.now, at(1));
    story.failed();
    story.wake();
    assert_eq!(story.now, at(3));
    assert_eq!(story.effects.len(), 3, "an effect each");
    story.failed();
    assert_eq!(story.run.state, RunState::Failed);
    assert_eq!(story.run.steps[0].attempts, 3);
}

#[test]
fn all_attempts_at_a_step_have_one_key_and_no_other_step_visit_or_run_has_it() {
    let mut book = three_steps();
    book.steps[1].on_failure = OnFailure::Goto("look".to_owned());
    for step in &mut book.steps {
        (step.attempts, step.idempotent) = (2, true);
    }
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.end(Ending::Unknown("interrupted".to_owned()));
    story.wake();
    story.done(json!({"free": 1}));
    story.failed();
    story.wake();
    story.failed();
    // Back to the first step, which has all of its attempts behind it.
    story.wake();
    story.done(json!({"free": 1}));
    let keys: Vec<_> = story.effects.iter().map(|effect| effect.key().to_owned()).collect();
    let run = story.run.id.clone();
    let expected = ["1.1", "1.1", "2.1", "2.1", "1.2"].map(|rest| format!("{run}.{rest}"));
    assert_eq!(keys, expected);
    let ids: BTreeSet<_> = story.effects.iter().map(|effect| &effect.id).collect();
    assert_eq!(ids.len(), keys.len(), "each attempt is an effect of its own");
    story.wake();
    assert_eq!(story.effects.last().unwrap().key(), format!("{run}.2.2"));
}

#[test]
fn what_may_have_been_done_is_not_done_again_unless_that_does_no_harm() {
    let mut book = three_steps();
    book.steps[0].attempts = 3;
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.end(Ending::Unknown("interrupted".to_owned()));
    assert_eq!(story.states()[0], Unknown);
    assert_eq!(story.run.state, RunState::Failed);

    book.steps[0].idempotent = true;
    let mut story = Story::begin(&book, json!({"count": 3}));
    assert_eq!(story.effects[0].class, DeliveryClass::AtLeastOnce);
    story.end(Ending::Unknown("interrupted".to_owned()));
    assert_eq!(story.states()[0], Waiting);
    story.wake();
    story.done(json!({"free": 1}));
    assert_eq!(story.states()[..2], [Succeeded, Running]);
}

#[test]
fn a_run_goes_on_after_a_failure_that_it_may_go_on_after_and_has_failed_nevertheless() {
    let mut book = three_steps();
    book.steps[0].on_failure = OnFailure::Continue;
    book.steps[1].with.clear();
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.failed();
    story.done(json!({}));
    story.done(json!({}));
    assert_eq!(story.states(), [Failed, Succeeded, Succeeded]);
    assert_eq!(story.run.state, RunState::Failed);
    assert_eq!(story.run.error.as_deref(), Some("step `look` failed: no luck"));
}

#[test]
fn a_failure_leads_on_to_the_step_that_handles_it() {
    let mut book = three_steps();
    book.steps[0].on_failure = OnFailure::Goto("tell".to_owned());
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.failed();
    assert_eq!(story.states(), [Failed, Skipped, Running]);
    story.done(json!({}));
    assert_eq!(story.run.state, RunState::Failed);
}

#[test]
fn a_failure_leads_back_to_a_step_which_is_paced_then() {
    let mut book = three_steps();
    book.steps[1].on_failure = OnFailure::Goto("look".to_owned());
    let mut story = Story::begin(&book, json!({"count": 3}));
    story.done(json!({"free": 1}));
    story.failed();
    assert_eq!(story.states(), [Waiting, Waiting, Waiting]);
    story.wake();
    assert_eq!(story.states(), [Running, Waiting, Waiting]);
    story.done(json!({"free": 2}));
    story.wake();
    assert_eq!(story.inputs(), &json!({"text": "saw 2 on web-1"}));
    story.done(json!({}));
    story.done(json!({}));
    assert_eq!(story.run.state, RunState::Succeeded);
}

#[test]
fn a_step_that_leads_back_to_itself_ends_with_the_run() {
    let book = spec(json!({"title": "t", "timeout": "30m", "steps": [
        {"name": "a", "action": "x/y", "with": {"never": "{{steps.a.filled}}"}, "on-failure": {"goto": "a"}}]}));
    let mut story = Story::begin(&book, json!({}));
    let mut wakes = 0;
    while story.run.state == RunState::Running {
        story.wake();
        wakes += 1;
    }
    assert_eq!(story.run.state, RunState::TimedOut);
    assert!((30..=40).contains(&wakes), "{wakes}: paced up to a minute");
}

#[test]
fn a_step_that_says_nothing_ends_after_its_timeout() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    story.wake();
    assert_eq!(story.now, at(65));
    assert_eq!(story.states()[0], Unknown);
    assert_eq!(story.run.steps[0].error.as_deref(), Some("took longer than 1m; whether it was done is not known"));
    assert_eq!(story.run.state, RunState::Failed);
}

#[test]
fn the_run_ends_at_its_own_timeout_and_stops_what_goes_on() {
    let mut book = three_steps();
    book.timeout = Span::from_secs(20);
    let story = Story::begin(&book, json!({"count": 3}));
    assert_eq!(story.effects[0].expires, at(20));
    assert!(tick(story.run.clone(), None, at(19), &story.ids).is_none());
    let change = tick(story.run.clone(), Some("job-7".to_owned()), at(20), &story.ids).unwrap();
    assert_eq!(change.run.state, RunState::TimedOut);
    assert_eq!(change.run.steps[0].state, Cancelled);
    assert_eq!(change.run.error.as_deref(), Some("not done within 20s"));
    let [effect] = change.effects.as_slice() else { panic!("one effect") };
    assert_eq!(effect.action, Action::CancelStep { token: "job-7".to_owned() });
    assert_ne!(effect.ordering_key, story.effects[0].ordering_key, "it does not wait behind the step");
}

#[test]
fn a_cancelled_run_ends_at_once_and_what_comes_later_changes_nothing() {
    let story = Story::begin(&three_steps(), json!({"count": 3}));
    let change = cancel(story.run.clone(), Some("job-7".to_owned()), "ben", at(5), &story.ids).unwrap();
    assert_eq!(change.run.state, RunState::Cancelled);
    assert_eq!(change.run.error.as_deref(), Some("cancelled by ben"));
    assert_eq!(change.effects.len(), 1);
    let effect = story.effects[0].id.clone();
    let late = ended(change.run.clone(), &effect, Ending::Done(json!({})), None, at(6), &story.ids);
    assert!(late.is_none());
    assert!(matches!(cancel(change.run, None, "ben", at(7), &story.ids), Err(Error::Conflict { .. })));
}

#[test]
fn a_result_that_comes_twice_counts_once() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    let first = story.effects[0].id.clone();
    story.done(json!({"free": 1}));
    assert!(ended(story.run.clone(), &first, Ending::Failed("late".to_owned()), None, at(1), &story.ids).is_none());
}

#[test]
fn a_dry_run_says_what_each_step_would_do_and_does_nothing() {
    let ids = IdSource::seeded(1);
    let request = StartRun { inputs: [("count".to_owned(), json!(3))].into(), dry_run: true, ..StartRun::default() };
    let run = prepare(RunId::from("run_1"), "book", &three_steps(), request, at(0)).unwrap();
    assert_eq!(dry_inputs(&run, 1), Ok(json!({"text": "saw {{steps.look.free}} on web-1"})), "not known yet");
    let plugin =
        PluginRef { name: "p".into(), version: "1".into(), digest: quarterdeck_model::plugin::Digest("d".into()) };
    let plans = |last: Plan| {
        vec![
            (json!({}), Ok((Some("would run df".to_owned()), plugin.clone()))),
            (json!({}), Ok((None, plugin.clone()))),
            (json!({}), last),
        ]
    };
    let change = planned(run.clone(), plans(Ok((None, plugin.clone()))), at(1), &ids);
    assert_eq!(change.run.state, RunState::Planned);
    assert!(change.effects.is_empty());
    let said: Vec<_> = change.run.steps.iter().map(|step| step.outputs["plan"].as_str().unwrap()).collect();
    assert_eq!(said, ["would run df", "unknown", "unknown"]);

    let gone = CallError::Unavailable { message: "no such instance".to_owned() };
    let change = planned(run.clone(), plans(Err(gone.into())), at(1), &ids);
    assert_eq!(change.run.state, RunState::Failed);
    assert_eq!(change.run.error.as_deref(), Some("step `tell` can't be planned: no such instance"));
    assert_eq!(change.run.steps[2].plugin, None, "nobody was asked");
    let bad = CallFailed { error: CallError::Rejected { message: "no".to_owned() }, plugin: Some(plugin.clone()) };
    assert_eq!(planned(run, plans(Err(bad)), at(1), &ids).run.steps[2].plugin, Some(plugin.clone()));
}

#[test]
fn outputs_beyond_measure_are_not_kept() {
    let mut story = Story::begin(&three_steps(), json!({"count": 3}));
    story.done(json!({"free": "x".repeat(100_000)}));
    assert!(story.run.steps[0].outputs["truncated"].as_str().unwrap().contains("65536"));
}

/// Any runbook, any results, at any time: the run ends, within its timeout, in a definite state, and asks for one effect at a time.
#[test]
fn every_run_ends_whatever_happens() {
    for seed in 0..3_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let count: usize = random.random_range(1..6);
        let steps: Vec<_> = (0..count)
            .map(|index| {
                let on_failure = match random.random_range(0..3) {
                    0 => json!("abort"),
                    1 => json!("continue"),
                    _ => json!({"goto": format!("s{}", random.random_range(0..count))}),
                };
                let with = match random.random_range(0..4) {
                    0 => json!({"x": format!("{{{{steps.s{}.out}}}}", random.random_range(0..count))}),
                    _ => json!({}),
                };
                json!({"name": format!("s{index}"), "action": "x/y", "with": with, "on-failure": on_failure,
                    "attempts": random.random_range(1..4), "idempotent": random.random::<bool>()})
            })
            .collect();
        let mut story = Story::begin(&spec(json!({"title": "t", "timeout": "20m", "steps": steps})), json!({}));
        let mut turns = 0;
        while story.run.state == RunState::Running {
            turns += 1;
            assert!(turns < 2_000, "seed {seed}: goes on for ever");
            let running = story.states().iter().filter(|state| **state == Running).count();
            assert!(running <= 1, "seed {seed}");
            assert_eq!(running == 1, in_flight(&story.run).is_some(), "seed {seed}");
            match (running, random.random_range(0..10)) {
                (1, 0..5) => story.done(json!({"out": 1})),
                (1, 5..8) => story.failed(),
                (1, 8) => story.end(Ending::Unknown("crash".to_owned())),
                _ => story.wake(),
            }
        }
        assert!(story.now <= at(20 * 60), "seed {seed}");
        assert!(story.run.finished_at.is_some());
        assert!(!story.states().iter().any(|state| matches!(state, Running | Waiting)), "seed {seed}");
        let failed = story.states().iter().any(|state| matches!(state, Failed | Unknown));
        if story.run.state == RunState::Succeeded {
            assert!(!failed, "seed {seed}");
        }
        let begun: std::collections::HashSet<_> = story.effects.iter().map(|effect| &effect.id).collect();
        assert_eq!(begun.len(), story.effects.len());
    }
}
