//! Inputs that make a plugin misbehave again and again.

use crate::testing::Bench;
use crate::testing::guests::punctual;
use quarterdeck_model::kind::scanner_rule::{Reported, ScannerRule, Subject};
use quarterdeck_model::plugin::{CallError, CallFailed, CallResult, InstanceName, InstanceState, Registry};
use quarterdeck_model::store::{Document, Page, Store};
use quarterdeck_model::{Span, Timestamp};
use std::time::Duration;

/// The rule traps at any other time.
const WELL: Timestamp = Timestamp::from_millis(7_000);
const BADLY: Timestamp = Timestamp::from_millis(1_000);

fn name() -> InstanceName {
    InstanceName::from("punctual/one")
}

fn file(path: &str, content: &str) -> Subject {
    Subject::File { path: path.to_owned(), content: content.as_bytes().to_vec() }
}

async fn scan(bench: &Bench, subjects: &[Subject], at: Timestamp) -> CallResult<Vec<Reported>> {
    bench.scan(&name(), subjects, at).await
}

async fn letters(bench: &Bench, count: usize) -> Vec<Document> {
    crate::testing::eventually("the dead letters", || {
        Some(bench.store.list("dead-letters", &Page::all()).unwrap()).filter(|letters| letters.len() == count)
    })
    .await
}

fn refused(result: CallResult<Vec<Reported>>) -> String {
    match result {
        Err(CallFailed { error: CallError::Unavailable { message }, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_traps_a_rule_again_and_again_goes_to_the_dead_letters_and_the_others_are_scanned() {
    let bench = Bench::with(vec![punctual()]).await;
    bench.use_plugin(&["punctual/one"], "punctual").await;
    let (bad, good) = ([file("bad.txt", "x")], [file("good.txt", "x")]);
    for _ in 0..5 {
        assert!(matches!(scan(&bench, &bad, BADLY).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })));
        scan(&bench, &good, WELL).await.unwrap();
    }
    let why = refused(scan(&bench, &bad, BADLY).await);
    assert!(why.starts_with("`bad.txt` is quarantined until"), "{why}");
    assert_eq!(bench.event("instance.class-quarantined").await.event.data["class"], "bad.txt");
    assert_eq!(bench.instance(&name()).unwrap().state, InstanceState::Active);
    scan(&bench, &good, WELL).await.unwrap();
    // A call about several is no trial; whoever asks asks about parts.
    let both = [bad[0].clone(), good[0].clone()];
    assert!(refused(scan(&bench, &both, WELL).await).starts_with("part of the input is not offered: `bad.txt`"));

    for wait in [5, 10] {
        bench.clock.advance(Span::from_secs(wait));
        assert!(matches!(scan(&bench, &bad, BADLY).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })));
    }
    let letter = letters(&bench, 1).await.remove(0);
    assert_eq!((letter.value["kind"].as_str(), letter.value["class"].as_str()), (Some("input"), Some("bad.txt")));
    assert_eq!(letter.value["input"]["subjects"][0]["path"], "bad.txt");
    assert!(letter.value["reason"].as_str().unwrap().contains("trapped"), "{:#}", letter.value);
    assert_eq!(bench.event("dead-letter.added").await.event.subject, letter.id);

    // That content is not offered any more, whatever the time; another one is.
    bench.clock.advance(Span::from_secs(86_400));
    let why = refused(scan(&bench, &bad, WELL).await);
    assert!(why.starts_with("`bad.txt` is poison:"), "{why}");
    scan(&bench, &[file("bad.txt", "mended")], WELL).await.unwrap();
    refused(scan(&bench, &both, WELL).await);

    // Also not after a restart.
    bench.shutdown(Duration::from_secs(5)).await;
    let store = bench.store.clone();
    let again = Bench::start(tempfile::tempdir().unwrap(), vec![punctual()], |options| options.store = store).await;
    again.use_plugin(&["punctual/one"], "punctual").await;
    refused(scan(&again, &bad, WELL).await);
    again.release(&name(), "bad.txt", letter.value["digest"].as_str().unwrap());
    scan(&again, &bad, WELL).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_traps_on_every_file_is_left_alone_as_a_whole() {
    let bench = Bench::with(vec![punctual()]).await;
    bench.use_plugin(&["punctual/one"], "punctual").await;
    for number in 0..5 {
        let subject = [file(&format!("{number}.txt"), "x")];
        assert!(matches!(
            scan(&bench, &subject, BADLY).await,
            Err(CallFailed { error: CallError::Trapped { .. }, .. })
        ));
    }
    assert_eq!(bench.instance(&name()).unwrap().state, InstanceState::Quarantined);
    refused(scan(&bench, &[file("new.txt", "x")], WELL).await);
    bench.clock.advance(Span::from_secs(5));
    scan(&bench, &[file("new.txt", "x")], WELL).await.unwrap();
    assert_eq!(bench.instance(&name()).unwrap().state, InstanceState::Active);
}

#[tokio::test]
async fn a_question_that_fails_names_the_version_that_was_asked() {
    let bench = Bench::with(vec![punctual()]).await;
    bench.use_plugin(&["punctual/one"], "punctual").await;
    let plugin = bench.instance(&name()).unwrap().plugin;
    assert!(plugin.is_some());
    let subject = [file("bad.txt", "x")];
    assert_eq!(scan(&bench, &subject, BADLY).await.unwrap_err().plugin, plugin);
    bench.use_plugin(&[], "punctual").await;
    assert_eq!(scan(&bench, &subject, WELL).await.unwrap_err().plugin, None, "nobody was asked");
}
