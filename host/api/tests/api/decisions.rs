//! Journals, replays and candidates, as the API shows them. What they find out is the runtime's: here stands somebody who knows the answers.

use crate::plugins::{Listed, PRINCIPALS};
use crate::support::{Answer, Deck, START, deck, request};
use async_trait::async_trait;
use axum::body::Body;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use quarterdeck_model::decisions::{
    self, Comparison, Decisions, Difference, Durations, JournalStatus, Promoted, Refused, Replay, ReplayOptions,
    Shadow, ShadowState,
};
use quarterdeck_model::plugin::{Digest, InstanceName, JournalSpec, PluginRef};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};

const COMPARED: Comparison =
    Comparison { decisions: 10, same: 8, other_state: 1, differ: 2, new_failures: 1, answered_now: 0, misbehaved: 1 };

fn version(version: &str) -> PluginRef {
    PluginRef { name: "judge".to_owned(), version: version.to_owned(), digest: Digest("sha256:00".to_owned()) }
}

fn difference() -> Difference {
    Difference {
        instance: InstanceName::from("judge/a"),
        at: START,
        function: "evaluate".to_owned(),
        input: json!({"now": START}),
        config: json!({}),
        plugin: version("1.0.0"),
        then: decisions::Answer::Decision(json!([])),
        now: decisions::Answer::Failure("it panicked".to_owned()),
    }
}

fn shadow() -> Shadow {
    Shadow {
        plugin: "judge".to_owned(),
        candidate: version("2.0.0"),
        active: Some(version("1.0.0")),
        since: START,
        state: ShadowState::LeftAlone,
        reason: Some("misbehaved 5 times in a row".to_owned()),
        comparison: COMPARED,
        skipped: 3,
        then: Durations::default(),
        now: Durations::default(),
        samples: vec![difference()],
    }
}

fn known(plugin: &str) -> Result<(), Refused> {
    match plugin {
        "judge" => Ok(()),
        "full" => Err(Refused::Store(StoreError::DiskFull { free_bytes: 0, floor_bytes: 1 })),
        other => Err(Refused::Missing(format!("no decision of `{other}` is kept"))),
    }
}

fn sound(component: &[u8]) -> Result<(), Refused> {
    let is_sound = component.starts_with(b"\0asm");
    is_sound.then_some(()).ok_or_else(|| Refused::Unusable("it is not a WebAssembly component".to_owned()))
}

#[async_trait]
impl Decisions for Listed {
    async fn journals(&self, plugin: Option<&str>) -> Result<Vec<JournalStatus>, Refused> {
        let journal = JournalStatus {
            instance: InstanceName::from("judge/a"),
            spec: Some(JournalSpec::default()),
            decisions: 10,
            bytes: 1000,
            left_out: 4,
        };
        Ok(Some(journal).filter(|_| plugin.is_none_or(|plugin| plugin == "judge")).into_iter().collect())
    }

    async fn replay(&self, name: &str, component: Vec<u8>, options: ReplayOptions) -> Result<Replay, Refused> {
        known(name.split('/').next().unwrap())?;
        sound(&component)?;
        Ok(Replay {
            candidate: version("2.0.0"),
            instances: vec![InstanceName::from("judge/a")],
            from: options.since,
            to: Some(START),
            comparison: Comparison { decisions: options.limit.min(10), ..COMPARED },
            then: Durations::default(),
            now: Durations::default(),
            unreadable: 0,
            stopped: None,
            took: Span::from_millis(5),
            samples: vec![difference(); options.samples],
        })
    }

    fn shadows(&self) -> Vec<Shadow> {
        vec![shadow()]
    }

    async fn shadow(&self, plugin: &str, component: Vec<u8>) -> Result<Shadow, Refused> {
        known(plugin)?;
        sound(&component).map(|()| shadow())
    }

    async fn end_shadow(&self, plugin: &str) -> Result<Shadow, Refused> {
        known(plugin).map(|()| shadow())
    }

    async fn promote(&self, plugin: &str, seen: Option<&str>, principal: &str) -> Result<Promoted, Refused> {
        assert!(PRINCIPALS.contains(&principal));
        known(plugin)?;
        if seen.is_some_and(|seen| seen != shadow().candidate.digest.0) {
            return Err(Refused::Changed);
        }
        Ok(Promoted { plugin: version("2.0.0"), before: Some(version("1.0.0")), file: "judge.wasm".to_owned() })
    }
}

async fn replay(deck: &Deck, path: &str, component: &[u8]) -> Answer {
    let builder = request(Method::POST, &format!("/api/v1/plugins/{path}"))
        .header(AUTHORIZATION, format!("Bearer {}", crate::support::TOKEN))
        .header(CONTENT_TYPE, "application/wasm");
    deck.send(builder.body(Body::from(component.to_vec())).unwrap()).await
}

/// Every operation here that changes anything.
pub(crate) async fn ask_all(deck: &Deck) {
    assert_eq!(replay(deck, "judge/replay", b"\0asm").await.status, 200);
    assert_eq!(deck.upload("/api/v1/shadows/judge", b"\0asm", &[]).await.status, 200);
    assert_eq!(deck.post("/api/v1/shadows/judge/promote", &json!({})).await.status, 200);
    assert_eq!(deck.ask(Method::DELETE, "/api/v1/shadows/judge", None, &[]).await.status, 200);
}

#[tokio::test]
async fn a_replay_is_told_with_its_differences() {
    let deck = deck().await;
    let since = START.minus(Span::from_secs(60));
    let asked = format!("judge%2Fa/replay?since={since}&limit=7&samples=2");
    let report = replay(&deck, &asked, b"\0asm").await.json();
    assert_eq!((&report["decisions"], &report["differ"]), (&json!(7), &json!(2)));
    assert_eq!(report["from"].as_str().and_then(Timestamp::parse), Some(since));
    let samples = report["samples"].as_array().unwrap();
    assert_eq!((samples.len(), &samples[0]["now"]), (2, &json!({"failure": "it panicked"})));
    for (path, component, status) in [
        ("judge/replay", b"oops".as_slice(), 422),
        ("judge/replay", b"", 400),
        ("other/replay", b"\0asm", 404),
        ("judge/replay?since=yesterday", b"\0asm", 400),
        ("judge/replay?samples=few", b"\0asm", 400),
    ] {
        assert_eq!(replay(&deck, path, component).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn candidates_and_journals_are_listed_and_counted() {
    let deck = deck().await;
    let items = async |path: &str| deck.get(path).await.json()["items"].clone();
    assert_eq!(items("/api/v1/journals").await[0]["left_out"], 4);
    assert_eq!(items("/api/v1/journals?plugin=other").await, Value::Array(Vec::new()));
    let shadow = items("/api/v1/shadows").await[0].clone();
    assert_eq!((&shadow["differ"], &shadow["state"]), (&json!(2), &json!("left-alone")));
    assert_eq!(shadow["reason"], "misbehaved 5 times in a row");
    assert_eq!(deck.get("/api/v1/shadows/other").await.status, 404);
    for (plugin, component, status) in
        [("judge", b"oops".as_slice(), 422), ("other", b"\0asm", 404), ("full", b"\0asm", 507)]
    {
        let answer = deck.upload(&format!("/api/v1/shadows/{plugin}"), component, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{plugin}");
    }
    let page = String::from_utf8(deck.get("/metrics").await.body).unwrap();
    for line in [
        "quarterdeck_journal_left_out_total{instance=\"judge/a\"} 4",
        "quarterdeck_shadow_decisions_total{plugin=\"judge\",outcome=\"differ\"} 2",
        "quarterdeck_shadow_misbehaved_total{plugin=\"judge\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}
