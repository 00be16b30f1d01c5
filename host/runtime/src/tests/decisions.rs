//! Journals, replays, shadows, and what becomes of a candidate.

use crate::Compiler;
use crate::cache::digest;
use crate::imports::testing::MemoryStore;
use crate::testing::guests::{Does, Judge, collector};
use crate::testing::{Bench, MemoryJournals, eventually, spec};
use quarterdeck_model::decisions::{
    Answer, Comparison, Decisions, Refused, Replay, ReplayOptions, Shadow, ShadowState,
};
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::kind::collector::Collector;
use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::plugin::{CallResult, InstanceName, InstanceState, JournalSpec, Registry};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::store::Store;
use quarterdeck_model::{Labels, Span, Timestamp};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const ALL: ReplayOptions = ReplayOptions { since: None, limit: u64::MAX, samples: 3 };

fn kept() -> InstanceName {
    InstanceName::from("judge/kept")
}

/// Two instances of a judge, of which one has a journal.
async fn bench(judge: Judge, journals: &Arc<MemoryJournals>) -> Bench {
    over(tempfile::tempdir().unwrap(), judge, journals).await
}

async fn over(folder: tempfile::TempDir, judge: Judge, journals: &Arc<MemoryJournals>) -> Bench {
    let bench = Bench::start(folder, vec![judge.build()], |options| options.journals = Some(journals.clone())).await;
    configure(&bench).await;
    bench
}

async fn configure(bench: &Bench) {
    let mut with = spec("judge");
    with.journal = Some(JournalSpec::default());
    bench.configure([(kept(), with), (InstanceName::from("judge/other"), spec("judge"))].into()).await;
}

async fn ask(bench: &Bench, instance: &InstanceName, at: i64) -> CallResult<Verdict> {
    let now = Timestamp::from_millis(at);
    let series = SeriesData {
        name: "load".to_owned(),
        labels: Labels::new().with("host", "a"),
        at: vec![now],
        values: vec![f64::from(u32::try_from(at).unwrap())],
    };
    let window = Window { now, from: now, series: vec![series] };
    let config = json!({"above": 5}).as_object().cloned().unwrap();
    bench.evaluate(instance, &config, &window, Some(&[7])).await
}

async fn ask_all(bench: &Bench, instance: &InstanceName, times: std::ops::Range<i64>) {
    for at in times {
        drop(ask(bench, instance, at).await);
    }
}

async fn replay(bench: &Bench, judge: Judge) -> Replay {
    bench.replay("judge", judge.build(), ALL).await.unwrap()
}

#[tokio::test]
async fn only_decisions_of_an_instance_that_asks_for_it_are_kept() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge { signals_from: 3, traps_from: 4, ..Judge::default() }, &journals).await;
    ask_all(&bench, &kept(), 0..5).await;
    ask_all(&bench, &InstanceName::from("judge/other"), 0..5).await;
    let statuses = bench.journals(None).await.unwrap();
    let [status] = statuses.as_slice() else { panic!("{statuses:?}") };
    assert_eq!((status.instance.as_str(), status.decisions, status.left_out), ("judge/kept", 5, 0));
    assert_eq!(status.spec, Some(JournalSpec::default()));
    assert!(journals.entries("judge/other").is_empty());
    assert!(bench.journals(Some("threshold")).await.unwrap().is_empty());

    // Switched off while it runs, nothing more is kept; what is there can still be asked again.
    bench.use_plugin(&["judge/kept"], "judge").await;
    ask_all(&bench, &kept(), 0..5).await;
    assert_eq!(bench.journals(None).await.unwrap()[0].decisions, 5);
    assert_eq!(replay(&bench, Judge { signals_from: 3, traps_from: 4, ..Judge::default() }).await.comparison.same, 5);
}

#[tokio::test]
async fn a_stop_writes_what_waits() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    ask_all(&bench, &kept(), 0..7).await;
    bench.shutdown(Duration::from_secs(5)).await;
    assert_eq!(journals.entries("judge/kept").len(), 7);
}

#[tokio::test]
async fn what_the_store_has_no_room_for_is_counted_and_calls_go_on() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    journals.is_full.store(true, Ordering::SeqCst);
    for at in 0..6 {
        ask(&bench, &kept(), at).await.unwrap();
    }
    let status = bench.journals(Some("judge")).await.unwrap().remove(0);
    assert_eq!((status.decisions, status.left_out), (0, 6));
    journals.is_full.store(false, Ordering::SeqCst);
    ask(&bench, &kept(), 6).await.unwrap();
    let status = bench.journals(Some("judge")).await.unwrap().remove(0);
    assert_eq!((status.decisions, status.left_out), (1, 6));
}

#[tokio::test]
async fn a_replay_tells_what_would_have_been_decided_otherwise() {
    let journals = Arc::new(MemoryJournals::default());
    let judge = Judge { signals_from: 60, traps_from: 99, ..Judge::default() };
    let bench = bench(judge, &journals).await;
    ask_all(&bench, &kept(), 0..100).await;

    let same = replay(&bench, Judge { version: "2.0.0", ..judge }).await;
    let expected = Comparison { decisions: 100, same: 100, misbehaved: 1, ..Comparison::default() };
    assert_eq!((same.comparison, same.samples.len(), same.stopped), (expected, 0, None));
    assert_eq!((same.candidate.version.as_str(), same.instances), ("2.0.0", vec![kept()]));
    assert_eq!((same.from, same.to), (Some(Timestamp::from_millis(0)), Some(Timestamp::from_millis(99))));
    assert!(same.then.mean_micros > 0 && same.now.mean_micros > 0, "{:?} {:?}", same.then, same.now);

    let state = replay(&bench, Judge { state: 2, ..judge }).await.comparison;
    assert_eq!((state.same, state.other_state, state.differ), (100, 99, 0), "what only it can read is told apart");

    let eager = replay(&bench, Judge { signals_from: 50, traps_from: i64::MAX, ..judge }).await;
    let expected = Comparison { decisions: 100, same: 89, differ: 11, answered_now: 1, ..Comparison::default() };
    assert_eq!((eager.comparison, eager.samples.len()), (expected, 3));
    let first = &eager.samples[0];
    assert_eq!((first.at, first.function.as_str(), &first.instance), (Timestamp::from_millis(50), "evaluate", &kept()));
    assert_eq!(first.plugin.version, "1.0.0");
    assert_eq!(first.config, json!({"above": 5}));
    assert_eq!(first.input["series"][0]["labels"], json!({"host": "a"}));
    assert_eq!(first.then, Answer::Decision(json!([])));
    let Answer::Decision(now) = &first.now else { panic!("{first:?}") };
    assert_eq!(now[0]["reason"], "busy");

    let part = ReplayOptions { limit: 10, ..ALL };
    assert_eq!(bench.replay("judge/kept", judge.build(), part).await.unwrap().comparison.decisions, 10);
    let later = ReplayOptions { since: Some(Timestamp::MAX), ..ALL };
    assert_eq!(bench.replay("judge", judge.build(), later).await.unwrap().comparison.decisions, 0);
}

#[tokio::test]
async fn a_decision_is_that_of_the_plugin_that_made_it_whatever_its_instance_runs_on_by_now() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge { signals_from: 3, ..Judge::default() }, &journals).await;
    ask_all(&bench, &kept(), 0..5).await;
    // The instance is given another plugin, and another instance the one that it had.
    bench.drop_in("other.wasm", &Judge { name: "other", ..Judge::default() }.build());
    bench.reload().await;
    let journalled = |plugin: &str| {
        let mut with = spec(plugin);
        with.journal = Some(JournalSpec::default());
        with
    };
    let new = InstanceName::from("judge/new");
    bench.configure([(kept(), journalled("other")), (new.clone(), journalled("judge"))].into()).await;
    ask_all(&bench, &kept(), 0..7).await;
    ask_all(&bench, &new, 0..2).await;
    let ask = async |name: &str, judge: Judge| bench.replay(name, judge.build(), ALL).await.unwrap();
    let of_judge = Judge { version: "2.0.0", signals_from: 3, ..Judge::default() };
    let of_other = Judge { version: "2.0.0", name: "other", ..Judge::default() };
    let judged = ask("judge", of_judge).await;
    assert_eq!((judged.comparison.decisions, judged.comparison.same), (7, 7), "{judged:?}");
    assert_eq!(judged.instances, [kept(), new]);
    let other = ask("other", of_other).await;
    assert_eq!((other.comparison.decisions, other.comparison.same), (7, 7), "{other:?}");
    assert_eq!(other.instances, [kept()]);
    // Of an instance those of the candidate's plugin are meant.
    assert_eq!(ask("judge/kept", of_judge).await.comparison.decisions, 5);
    assert_eq!(ask("judge/kept", of_other).await.comparison.decisions, 7);
    let none = bench.replay("third", of_judge.build(), ALL).await.unwrap_err();
    assert!(matches!(&none, Refused::Missing(why) if why.contains("no decision of `third` is kept")), "{none}");
    let none = bench.replay("judge/new", of_other.build(), ALL).await.unwrap_err();
    assert!(matches!(&none, Refused::Missing(_)), "{none}");
    // The limit counts what is asked, and not what is passed over.
    let part = ReplayOptions { limit: 2, ..ALL };
    assert_eq!(bench.replay("other", of_other.build(), part).await.unwrap().comparison.decisions, 2);
}

#[tokio::test]
async fn a_candidate_that_traps_or_loops_all_the_time_is_given_up_on() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    let mut with = spec("judge");
    with.journal = Some(JournalSpec::default());
    with.limits.deadline = Span::from_millis(20);
    bench.configure([(kept(), with)].into()).await;
    ask_all(&bench, &kept(), 0..200).await;
    for bad in [Judge { traps_from: 0, ..Judge::default() }, Judge { loops_from: 0, ..Judge::default() }] {
        let replay = replay(&bench, bad).await;
        let why = replay.stopped.unwrap();
        assert!(why.contains("the candidate misbehaved 25 times in a row"), "{why}");
        let Comparison { decisions, new_failures, misbehaved, .. } = replay.comparison;
        assert!((25..100).contains(&decisions) && new_failures == decisions && misbehaved == decisions, "{decisions}");
    }
    // The instance and its plugin know nothing of it.
    assert_eq!(bench.instance(&kept()).unwrap().state, InstanceState::Active);
    ask(&bench, &kept(), 1).await.unwrap();
}

#[tokio::test]
async fn what_can_t_be_replayed_is_refused_with_the_reason() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    ask_all(&bench, &kept(), 0..1).await;
    let refused = async |name: &str, component: Vec<u8>| bench.replay(name, component, ALL).await.unwrap_err();
    let error = refused("judge/other", Judge::default().build()).await;
    assert!(matches!(&error, Refused::Missing(why) if why.contains("hint: give its instance a journal")), "{error}");
    let error = refused("judge", b"oops".to_vec()).await;
    assert!(matches!(&error, Refused::Unusable(why) if why.contains("is not a WebAssembly component")), "{error}");
    let error = refused("judge", collector("judge", "1.0.0", Does::Well)).await;
    assert!(matches!(&error, Refused::Unusable(why) if why.contains("no kind that decides")), "{error}");
}

fn asked(bench: &Bench) -> Option<Shadow> {
    bench.shadows().pop().filter(|shadow| shadow.state == ShadowState::Asked)
}

async fn counted(bench: &Bench, decisions: u64) -> Shadow {
    let enough = || {
        let shadow = bench.shadows().pop()?;
        (shadow.comparison.decisions + shadow.skipped >= decisions).then_some(shadow)
    };
    eventually("the candidate's answers", enough).await
}

#[tokio::test]
async fn a_candidate_is_asked_beside_the_version_in_use_and_its_disagreements_are_told() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge { signals_from: 60, ..Judge::default() }, &journals).await;
    let candidate = Judge { version: "2.0.0", signals_from: 58, ..Judge::default() };
    let begun = bench.shadow("judge", candidate.build()).await.unwrap();
    assert_eq!((begun.candidate.version.as_str(), begun.active.unwrap().version.as_str()), ("2.0.0", "1.0.0"));
    // All instances of the plugin, whether they have a journal or not.
    let other = InstanceName::from("judge/other");
    for at in 0..100 {
        let verdict = ask(&bench, &other, at).await.unwrap();
        assert_eq!((verdict.plugin.version.as_str(), verdict.value.signals.len()), ("1.0.0", usize::from(at >= 60)));
        counted(&bench, u64::try_from(at + 1).unwrap()).await;
    }
    let shadow = counted(&bench, 100).await;
    let expected = Comparison { decisions: 100, same: 98, differ: 2, ..Comparison::default() };
    assert_eq!((shadow.comparison, shadow.skipped, shadow.samples.len()), (expected, 0, 2));
    assert_eq!((shadow.samples[0].at, &shadow.samples[0].instance), (Timestamp::from_millis(59), &other));
    let told = bench.event("plugin.shadow-differs").await.event;
    assert_eq!((told.subject.as_str(), told.plugin.unwrap().version.as_str()), ("judge", "2.0.0"));

    let last = bench.end_shadow("judge").await.unwrap();
    assert_eq!(last.comparison, expected);
    assert!(bench.shadows().is_empty());
    assert_eq!(bench.event("plugin.shadow-ended").await.event.data["comparison"]["differ"], 2);
    assert!(matches!(bench.end_shadow("judge").await, Err(Refused::Missing(_))));
}

#[tokio::test]
async fn what_a_candidate_does_reaches_nobody_but_itself() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    for bad in [
        Judge { version: "2.0.0", traps_from: 0, ..Judge::default() },
        Judge { version: "3.0.0", loops_from: 0, ..Judge::default() },
    ] {
        bench.shadow("judge", bad.build()).await.unwrap();
        for at in 0..2_000 {
            let verdict = ask(&bench, &kept(), at).await.unwrap();
            assert_eq!(verdict.plugin.version, "1.0.0");
        }
        let left_alone = || bench.shadows().pop().filter(|shadow| shadow.comparison.misbehaved >= 5);
        let shadow = eventually("five misbehaviours", left_alone).await;
        // The clock stands still: it is left alone after those, and everything behind them is skipped.
        assert_eq!((shadow.comparison.misbehaved, shadow.comparison.decisions), (5, 5));
        let shadow = counted(&bench, 2_000).await;
        assert_eq!((shadow.comparison.new_failures, shadow.skipped), (5, 1_995));
        assert_eq!(shadow.state, ShadowState::LeftAlone);
        let reason = shadow.reason.unwrap();
        assert!(reason.contains("misbehaved 5 times in a row") && reason.contains("tried again after"), "{reason}");
    }
    let status = bench.instance(&kept()).unwrap();
    assert_eq!((status.state, status.usage.calls), (InstanceState::Active, 4_000));
    assert!(status.usage.failures.is_empty(), "{:?}", status.usage.failures);
    assert_eq!(bench.journals(None).await.unwrap()[0].decisions, 4_000);
}

#[tokio::test]
async fn a_candidate_survives_a_restart_and_is_promoted_into_the_plugins_folder() {
    let journals = Arc::new(MemoryJournals::default());
    let first = bench(Judge { signals_from: 60, ..Judge::default() }, &journals).await;
    let candidate = Judge { version: "2.0.0", signals_from: 50, ..Judge::default() };
    first.shadow("judge", candidate.build()).await.unwrap();
    first.shutdown(Duration::from_secs(5)).await;

    let (folder, store) = (tempfile::tempdir().unwrap(), first.store.clone());
    std::fs::rename(first.folder.path().join("cache"), folder.path().join("cache")).unwrap();
    let judge = Judge { signals_from: 60, ..Judge::default() };
    let again = Bench::start(folder, vec![judge.build()], |options| {
        options.journals = Some(journals.clone());
        options.store = store;
    })
    .await;
    configure(&again).await;
    let back = eventually("the candidate", || asked(&again)).await;
    assert_eq!((back.candidate.version.as_str(), back.comparison.decisions), ("2.0.0", 0));
    ask(&again, &kept(), 55).await.unwrap();
    assert_eq!(counted(&again, 1).await.comparison.differ, 1);

    assert!(matches!(again.promote("judge", Some("sha256:00"), "ann").await, Err(Refused::Changed)));
    let promoted = again.promote("judge", None, "ann").await.unwrap();
    assert_eq!(promoted.file, "judge.wasm");
    assert_eq!((promoted.plugin.version.as_str(), promoted.before.unwrap().version.as_str()), ("2.0.0", "1.0.0"));
    assert!(again.shadows().is_empty());
    assert_eq!(std::fs::read(again.plugins_dir().join("judge.wasm")).unwrap(), candidate.build());
    let files: Vec<_> = std::fs::read_dir(again.plugins_dir()).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing is left of the way there: {files:?}");
    let verdict = ask(&again, &kept(), 55).await.unwrap();
    assert_eq!((verdict.plugin.version.as_str(), verdict.value.signals.len()), ("2.0.0", 1));

    // The next one takes the place of that file.
    let next = Judge { version: "3.0.0", ..Judge::default() };
    again.shadow("judge", next.build()).await.unwrap();
    assert_eq!(again.promote("judge", None, "ann").await.unwrap().file, "judge.wasm");
    assert_eq!(ask(&again, &kept(), 55).await.unwrap().plugin.version, "3.0.0");
    assert!(matches!(again.promote("judge", None, "ann").await, Err(Refused::Missing(_))));
}

#[tokio::test]
async fn a_candidate_that_another_one_replaces_ends_and_that_is_told() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    for version in ["2.0.0", "3.0.0"] {
        bench.shadow("judge", Judge { version, ..Judge::default() }.build()).await.unwrap();
    }
    let ended = bench.event("plugin.shadow-ended").await.event;
    assert_eq!((ended.subject.as_str(), &ended.data["candidate"]["version"]), ("judge", &json!("2.0.0")));
    assert_eq!(ended.data["replaced_by"]["version"], "3.0.0", "{}", ended.data);
    let shadows = bench.shadows();
    assert_eq!((shadows.len(), shadows[0].candidate.version.as_str()), (1, "3.0.0"));
    bench.end_shadow("judge").await.unwrap();
    let last = eventually("the other end", || bench.events("plugin.shadow-ended").into_iter().nth(1)).await.event;
    assert_eq!((&last.data["candidate"]["version"], &last.data["replaced_by"]), (&json!("3.0.0"), &json!(null)));
}

/// A host that has stopped and had a candidate: its folder and its store.
async fn stopped_with(candidate: &[u8], journals: &Arc<MemoryJournals>) -> (tempfile::TempDir, Arc<MemoryStore>) {
    let first = bench(Judge::default(), journals).await;
    first.shadow("judge", candidate.to_vec()).await.unwrap();
    first.shutdown(Duration::from_secs(5)).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(first.folder.path().join("cache"), folder.path().join("cache")).unwrap();
    (folder, first.store.clone())
}

#[tokio::test]
async fn a_candidate_whose_component_is_gone_ends_at_the_next_start_and_that_is_told() {
    let journals = Arc::new(MemoryJournals::default());
    let candidate = Judge { version: "2.0.0", ..Judge::default() }.build();
    let (folder, store) = stopped_with(&candidate, &journals).await;
    std::fs::remove_dir_all(folder.path().join("cache/components")).unwrap();
    let over = store.clone();
    let _again = Bench::start(folder, vec![Judge::default().build()], |options| options.store = over).await;
    let ended = eventually("the end", || {
        let events = store.events(Offset(0), &EventFilter::types(["plugin.shadow-ended"]), usize::MAX).unwrap().events;
        events.into_iter().next()
    })
    .await
    .event;
    assert_eq!(ended.data["candidate"], json!({"name": "judge", "digest": digest(&candidate)}), "{}", ended.data);
    assert!(ended.data["reason"].as_str().unwrap().contains("does not hold it any more"), "{}", ended.data);
    assert!(store.get("shadows", "judge").unwrap().is_none());
}

/// A host that is started again where the candidate is not compiled any more, and no compiler can be started. What is given back mends that.
async fn without_a_compiler(
    candidate: &[u8],
    journals: &Arc<MemoryJournals>,
) -> (Bench, Arc<MemoryStore>, impl FnOnce()) {
    let (folder, store) = stopped_with(candidate, journals).await;
    let (aot, aside) = (folder.path().join("cache/aot"), folder.path().join("aside"));
    std::fs::create_dir(&aside).unwrap();
    let hex = digest(candidate).0.replace("sha256:", "");
    let moved = move |from: &std::path::Path, to: &std::path::Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with(&hex) {
                std::fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    moved(&aot, &aside);
    let compiler = Compiler::Child {
        program: folder.path().join("no-compiler"),
        arguments: Vec::new(),
        memory_bytes: 1 << 30,
        timeout: Duration::from_secs(10),
    };
    let over = store.clone();
    let again = Bench::start(folder, vec![Judge::default().build()], |options| {
        options.store = over;
        options.compiler = compiler;
    })
    .await;
    (again, store, move || moved(&aside, &aot))
}

#[tokio::test]
async fn a_candidate_that_can_t_be_loaded_at_a_start_is_tried_again() {
    let journals = Arc::new(MemoryJournals::default());
    let candidate = Judge { version: "2.0.0", ..Judge::default() }.build();
    let (again, store, mend) = without_a_compiler(&candidate, &journals).await;
    let is_refused = || again.shadows().pop().filter(|shadow| shadow.state == ShadowState::Waiting);
    let waits = eventually("a refusal", is_refused).await;
    assert_eq!((waits.candidate.version.as_str(), waits.active.unwrap().version.as_str()), ("2.0.0", "1.0.0"));
    let reason = waits.reason.unwrap();
    assert!(reason.contains("compiler") && reason.contains("tried again at"), "{reason}");
    let refused = again.promote("judge", None, "ann").await.unwrap_err();
    assert!(matches!(&refused, Refused::Conflict(why) if why.contains("can't be used now")), "{refused}");
    mend();
    let back = eventually("the candidate", || asked(&again)).await;
    assert_eq!((back.candidate.version.as_str(), back.reason), ("2.0.0", None));
    assert_eq!(again.shadows().len(), 1);
    assert!(store.get("shadows", "judge").unwrap().is_some());
}

#[tokio::test]
async fn a_candidate_that_is_tried_again_can_be_ended_meanwhile() {
    let journals = Arc::new(MemoryJournals::default());
    let candidate = Judge { version: "2.0.0", ..Judge::default() }.build();
    let (again, store, _mend) = without_a_compiler(&candidate, &journals).await;
    assert_ne!(again.shadows().pop().unwrap().state, ShadowState::Asked);
    let last = again.end_shadow("judge").await.unwrap();
    assert!(again.shadows().is_empty());
    assert_eq!((last.candidate.version.as_str(), last.candidate.digest), ("2.0.0", digest(&candidate)));
    let ended = || {
        let filter = EventFilter::types(["plugin.shadow-ended"]);
        store.events(Offset(0), &filter, usize::MAX).unwrap().events.into_iter().next()
    };
    assert_eq!(eventually("its end", ended).await.event.data["candidate"]["version"], "2.0.0");
    assert!(store.get("shadows", "judge").unwrap().is_none());
    assert!(matches!(again.end_shadow("judge").await, Err(Refused::Missing(_))));
}

#[tokio::test]
async fn another_candidate_takes_the_place_of_one_that_is_tried_again() {
    let journals = Arc::new(MemoryJournals::default());
    let candidate = Judge { version: "2.0.0", ..Judge::default() }.build();
    let (again, store, mend) = without_a_compiler(&candidate, &journals).await;
    mend();
    let begun = again.shadow("judge", candidate).await.unwrap();
    assert_eq!((begun.state, again.shadows().len()), (ShadowState::Asked, 1));
    let filter = EventFilter::types(["plugin.shadow-ended"]);
    let ended = || store.events(Offset(0), &filter, usize::MAX).unwrap().events.into_iter().next();
    assert_eq!(eventually("the first one's end", ended).await.event.data["replaced_by"]["version"], "2.0.0");
}

#[tokio::test]
async fn what_can_t_be_compared_is_no_candidate() {
    let journals = Arc::new(MemoryJournals::default());
    let bench = bench(Judge::default(), &journals).await;
    let refused = async |name: &str, component: Vec<u8>| bench.shadow(name, component).await.unwrap_err().to_string();
    let other = Judge { version: "2.0.0", ..Judge::default() };
    assert!(refused("threshold", other.build()).await.contains("names itself `judge`"));
    assert!(refused("judge", Judge::default().build()).await.contains("runs on that very component"));
    assert!(refused("guest", collector("guest", "1.0.0", Does::Well)).await.contains("no kind that decides"));
    assert!(refused("judge", b"oops".to_vec()).await.contains("not a WebAssembly component"));
    bench.store.is_full.store(true, Ordering::SeqCst);
    let third = Judge { version: "3.0.0", ..Judge::default() };
    let full = bench.shadow("judge", third.build()).await;
    assert!(matches!(full, Err(Refused::Store(_))), "its copy has to be kept: {full:?}");
    bench.store.is_full.store(false, Ordering::SeqCst);
    assert!(bench.shadows().is_empty());
    // A collector may ask for a journal; it has nothing to keep.
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    let mut with = spec("guest");
    with.journal = Some(JournalSpec::default());
    bench.configure([(InstanceName::from("guest/one"), with)].into()).await;
    bench.collect(&InstanceName::from("guest/one"), Timestamp::MIN).await.unwrap();
    assert!(bench.journals(None).await.unwrap().is_empty());
}
