//! Rules that can't be evaluated.

use super::*;
use quarterdeck_model::domain::failure::Failure;
use quarterdeck_model::plugin::CallError;

fn rejecting(fake: &Fake) {
    let message = || "give `raise` a level".into();
    fake.with(|fake| fake.detect = Some(Box::new(move |_, _| Err(CallError::Rejected { message: message() }))));
}

fn told(bench: &Bench) -> Vec<String> {
    bench.events(&["rule."]).into_iter().map(|event| event.event_type).collect()
}

#[tokio::test]
async fn a_rule_that_fails_is_told_once_and_once_more_when_it_is_evaluated_again_also_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let rule = || catalog(json!({"every": "1h"}));
    let (first, tasks, handle) = bench(folder.path(), &fake, rule(), START).await;
    handle.evaluate("hot").await.unwrap();
    assert!(told(&first).is_empty(), "a rule that is well says nothing");
    rejecting(&fake);
    let since = first.now();
    for _ in 0..8 {
        assert!(handle.evaluate("hot").await.is_err());
        first.advance(Span::from_secs(15));
    }
    assert_eq!(told(&first), [Failure::RULE_FAILED]);
    let failed = first.events(&["rule."]).remove(0);
    assert_eq!((failed.subject.as_str(), failed.plugin), ("hot", Some(crate::testing::plugin())));
    let said = |key: &str| failed.data[key].clone();
    assert_eq!((said("rule"), said("instance"), said("since")), (json!("hot"), json!("threshold/x"), json!(since)));
    assert_eq!((said("error"), said("code")), (json!("give `raise` a level"), json!("rejected")));
    let now = first.now();
    drop((tasks, handle));
    first.kill().await;

    let (second, _tasks, handle) = bench(folder.path(), &fake, rule(), now).await;
    assert!(handle.evaluate("hot").await.is_err());
    assert_eq!(told(&second), [Failure::RULE_FAILED], "it goes on failing");
    fake.with(|fake| fake.detect = Some(Box::new(|_, _| Ok(Verdict::default()))));
    for _ in 0..3 {
        handle.evaluate("hot").await.unwrap();
    }
    assert_eq!(told(&second), [Failure::RULE_FAILED, Failure::RULE_RECOVERED]);
    let recovered = second.events(&[Failure::RULE_RECOVERED]).remove(0);
    assert_eq!((&recovered.data["since"], recovered.plugin), (&json!(since), Some(crate::testing::plugin())));
    assert_eq!(second.context.read::<Failure>(Failure::RULES, "hot").unwrap(), None);
}

#[tokio::test]
async fn a_verdict_that_can_not_be_used_is_a_failure_of_the_version_that_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| {
        fake.detect = Some(Box::new(|_, _| {
            let severity = Severity::High;
            let signal = Signal { series: 7, severity, value: 1.0, expected: None, reason: String::new() };
            Ok(Verdict { signals: vec![signal], ..Verdict::default() })
        }));
    });
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    assert!(handle.evaluate("hot").await.is_err());
    let failed = bench.event(Failure::RULE_FAILED, Some("hot"), Offset(0)).await;
    assert_eq!(failed.event.plugin, Some(crate::testing::plugin()));
}

#[tokio::test]
async fn a_rule_whose_detector_is_not_there_yet_has_not_failed_unless_that_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &Fake::default(), catalog(json!({"every": "1h"})), START).await;
    for _ in 0..4 {
        assert!(handle.evaluate("hot").await.is_err());
        bench.advance(Span::from_secs(15));
    }
    assert!(told(&bench).is_empty());
    assert!(handle.evaluate("hot").await.is_err());
    let failed = bench.event(Failure::RULE_FAILED, Some("hot"), Offset(0)).await.event;
    assert_eq!((&failed.plugin, &failed.data["code"]), (&None, &json!("unavailable")));
}

#[tokio::test]
async fn a_rule_that_is_taken_out_fails_no_more_also_while_the_host_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    rejecting(&fake);
    let (first, tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    assert!(handle.evaluate("hot").await.is_err());
    let now = first.now();
    drop((tasks, handle));
    first.kill().await;
    let (second, _tasks, _handle) = bench(folder.path(), &fake, Catalog::default(), now).await;
    let recovered = second.event(Failure::RULE_RECOVERED, Some("hot"), Offset(0)).await.event;
    assert_eq!((&recovered.data["reason"], &recovered.plugin), (&json!("the rule was removed"), &None));
}

#[tokio::test]
async fn a_full_disk_says_nothing_about_a_rule_and_what_could_not_be_told_is_told_later() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    until("the first run's end", || bench.context.scheduler.get("rule/hot").is_some_and(|job| job.running == 0)).await;
    bench.advance(Span::from_secs(1));
    sample(&bench, &handle, 1.0).await;
    bench.faults.set_free_bytes(1);
    assert!(matches!(handle.evaluate("hot").await, Err(Error::Store(_))));
    rejecting(&fake);
    assert!(matches!(handle.evaluate("hot").await, Err(Error::Call(_))));
    bench.faults.set_free_bytes(1 << 40);
    assert!(told(&bench).is_empty());
    assert!(handle.evaluate("hot").await.is_err());
    assert_eq!(told(&bench), [Failure::RULE_FAILED]);
}
