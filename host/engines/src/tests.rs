//! All flows together: they meet on the bus alone.

use crate::Engines;
use crate::testing::{DEADLINE, Fake, START, options, until};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::kind::correlator::Placement;
use quarterdeck_model::kind::detector::{Signal, Verdict};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::Kind;
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::Store;
use quarterdeck_model::{Severity, Span};
use quarterdeck_storage::Faults;
use serde_json::json;

fn catalog() -> Catalog {
    serde_json::from_value(json!({
        "rules": {"hot": {"detector": "threshold/x", "select": {"metric": "cpu"}, "every": "1h"}},
        "routes": {"people": {"events": ["alert", "incident"], "notify": ["webhook/a"], "minimum-severity": "medium"}},
    }))
    .unwrap()
}

fn fake() -> Fake {
    let fake = Fake::default();
    fake.add_instance("webhook/a", Kind::Notifier);
    fake.with(|fake| {
        fake.detect = Some(Box::new(|window, _| {
            let hot = window.series.first().and_then(|series| series.values.last()).is_some_and(|value| *value > 90.0);
            let signal =
                Signal { series: 0, severity: Severity::High, value: 95.0, expected: None, reason: "> 90".into() };
            Ok(Verdict { signals: if hot { vec![signal] } else { Vec::new() }, ..Verdict::default() })
        }));
        fake.correlate = Some(Box::new(|alert, _| {
            Ok(Placement::Open { key: "k".into(), title: alert.name.clone(), severity: alert.severity })
        }));
    });
    fake
}

#[tokio::test]
async fn a_sample_becomes_an_alert_an_incident_and_messages_and_ends_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (options, database, clock) = options(folder.path(), &fake, catalog(), START, &Faults::default());
    let engines = Engines::start(options).await.unwrap();
    for value in [95.0, 10.0] {
        clock.advance(Span::from_secs(15));
        let sample = Sample { name: "cpu".into(), labels: Labels::new(), at: START.plus(Span::from_secs(15)), value };
        let at = quarterdeck_model::clock::Clock::now(clock.as_ref());
        engines.monitoring.push(vec![Sample { at, ..sample }]).await.unwrap();
        engines.monitoring.evaluate("hot").await.unwrap();
        until("the open incidents", || engines.incidents.open().unwrap().len() == usize::from(value > 90.0)).await;
    }
    let titles = || {
        let mut titles: Vec<_> = fake.with(|fake| fake.messages.iter().map(|message| message.title.clone()).collect());
        titles.sort();
        titles
    };
    let expected = [
        "[FIRING HIGH] hot: > 90",
        "[INCIDENT OPENED] hot (high)",
        "[INCIDENT RESOLVED] hot (high)",
        "[RESOLVED] hot: > 90",
    ];
    until("the messages", || titles() == expected).await;
    until("their notifications", || {
        let filter = EventFilter::types(["notification.delivered"]);
        database.events(Offset(0), &filter, 100).unwrap().events.len() == 4
    })
    .await;
    tokio::time::timeout(DEADLINE, engines.stop()).await.unwrap();
    engines.stop().await;
}

#[tokio::test]
async fn a_catalog_is_swapped_while_the_flows_run() {
    let folder = tempfile::tempdir().unwrap();
    let (options, _database, _clock) = options(folder.path(), &fake(), Catalog::default(), START, &Faults::default());
    let scheduler = options.scheduler.clone();
    let engines = Engines::start(options).await.unwrap();
    assert!(scheduler.get("rule/hot").is_none());
    engines.apply(catalog());
    until("the rule's job", || scheduler.get("rule/hot").is_some()).await;
    assert_eq!(engines.catalog().rules.len(), 1);
    engines.apply(Catalog::default());
    until("the job's end", || scheduler.get("rule/hot").is_none()).await;
    let ended = tokio::time::timeout(std::time::Duration::from_millis(10), engines.failed()).await;
    assert!(ended.is_err(), "{ended:?}");
    engines.stop().await;
}
