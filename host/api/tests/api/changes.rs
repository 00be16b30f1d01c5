//! What changes something: once per key, and only what the client saw.

use crate::support::{START, deck, request};
use crate::world::{letter, like, world};
use axum::body::Body;
use http::Method;
use quarterdeck_model::Span;
use quarterdeck_model::event::EventFilter;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};

fn custom(subject: &str) -> Value {
    json!({"type": "custom.test", "subject": subject, "data": {"n": 1}})
}

#[tokio::test]
async fn an_event_is_published_and_found() {
    let deck = deck().await;
    let published = deck.post("/api/v1/events", &custom("a")).await.json();
    assert_eq!((published["type"].as_str(), published["principal"].as_str()), (Some("custom.test"), Some("operator")));
    deck.publish("incident.opened", 0..3).await;
    let found = deck.get("/api/v1/events?type=custom&subject=a").await.json();
    assert_eq!(found["items"], json!([published]));
    assert!(found["next_cursor"].is_null());
    assert_eq!(deck.get(&format!("/api/v1/events?after={}", found["next"])).await.json()["items"], json!([]));
}

#[tokio::test]
async fn events_are_walked_forwards_and_backwards() {
    let deck = deck().await;
    deck.publish("custom.a", 0..1200).await;
    deck.publish("custom.b", 0..7).await;
    for (path, expected) in [
        ("/api/v1/events?type=custom.b&limit=3", (0..7).collect::<Vec<_>>()),
        ("/api/v1/events?type=custom.b&limit=3&newest=true", (0..7).rev().collect()),
        ("/api/v1/events?type=custom.a&limit=500", (0..1200).collect()),
        ("/api/v1/events?type=custom.a&limit=500&newest=true", (0..1200).rev().collect()),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = deck.get(&format!("{path}{cursor}")).await.json();
            let subjects = page["items"].as_array().unwrap().iter();
            seen.extend(subjects.map(|event| event["subject"].as_str().unwrap().parse::<u32>().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{path}");
    }
}

#[tokio::test]
async fn the_same_key_and_request_do_something_once() {
    let deck = deck().await;
    let key = [("Idempotency-Key", "k1")];
    let first = deck.post_with("/api/v1/events", &custom("a"), &key).await;
    let second = deck.post_with("/api/v1/events", &custom("a"), &key).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let other = deck.post_with("/api/v1/events", &custom("b"), &key).await;
    assert_eq!(
        (other.status.as_u16(), other.json()["type"].as_str()),
        (422, Some("urn:quarterdeck:problem:idempotency-key-reused"))
    );
    let found = deck.store.events(Default::default(), &EventFilter::types(["custom"]), 10).unwrap();
    assert_eq!(found.events.len(), 1);
    // A day later the key may be used again.
    deck.clock.advance(Span::from_secs(86_400));
    assert_eq!(deck.post_with("/api/v1/events", &custom("b"), &key).await.status, 201);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let deck = deck().await;
    let key = [("Idempotency-Key", "k1")];
    let wrong = json!({"type": "incident.opened", "subject": "a"});
    assert_eq!(deck.post_with("/api/v1/events", &wrong, &key).await.status, 422);
    assert_eq!(deck.post_with("/api/v1/events", &custom("a"), &key).await.status, 201);
}

#[tokio::test]
async fn a_key_whose_request_was_interrupted_says_so() {
    let deck = deck().await;
    let key = [("Idempotency-Key", "k1")];
    deck.post_with("/api/v1/events", &custom("a"), &key).await;
    let mut record = deck.store.get("idempotency", "operator/k1").unwrap().unwrap().value;
    record["answer"] = Value::Null;
    deck.put("idempotency", "operator/k1", &record).await;
    let answer = deck.post_with("/api/v1/events", &custom("a"), &key).await;
    assert_eq!(answer.status, 409);
    assert!(answer.json()["detail"].as_str().unwrap().contains("isn't known"));
}

#[tokio::test]
async fn requests_of_one_key_at_once_do_something_once() {
    let deck = deck().await;
    let key = [("Idempotency-Key", "k1")];
    let event = custom("a");
    let answers = futures::future::join_all((0..8).map(|_| deck.post_with("/api/v1/events", &event, &key))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 409)));
    assert!(answers.iter().any(|answer| answer.status == 201));
    let found = deck.store.events(Default::default(), &EventFilter::types(["custom"]), 10).unwrap();
    assert_eq!(found.events.len(), 1);
}

fn alert() -> Value {
    json!({
        "fingerprint": "one", "rule": "cpu", "state": "firing", "severity": "high", "labels": {}, "summary": "", "reason": "",
        "value": 1.0, "active_at": START.to_string(), "fired_at": null, "resolved_at": null, "missing_since": null,
        "no_data": false, "last_evaluated": START.to_string(), "plugin": null
    })
}

#[tokio::test]
async fn a_document_is_known_by_its_revision() {
    let deck = deck().await;
    deck.put("alerts", "one", &alert()).await;
    let first = deck.get("/api/v1/alerts/one").await;
    assert_eq!(first.header("etag"), "\"1\"");
    let again =
        request(Method::GET, "/api/v1/alerts/one").header("If-None-Match", "\"1\"").body(Body::empty()).unwrap();
    let again = deck.send(again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    deck.put("alerts", "one", &alert()).await;
    assert_eq!(deck.get("/api/v1/alerts/one").await.header("etag"), "\"2\"");
}

/// Every command on a document: the revision that the client saw goes with it. That it is one step with the commit is shown beside
/// the engines' loop.
#[tokio::test]
async fn a_command_for_what_was_seen_is_refused_once_the_document_has_changed() {
    let deck = world().await;
    for (id, state) in [("dep_paused", "paused"), ("dep_going", "progressing")] {
        let changes = json!({"state": state, "finished_at": null, "in_flight": []});
        deck.put("deployments", id, &like("deployments", id, &changes)).await;
    }
    deck.put("runs", "run_going", &like("runs", "run_going", &json!({"state": "running", "finished_at": null}))).await;
    for (document, command) in [
        ("alerts/one", "acknowledge"),
        ("alerts/one", "resolve"),
        ("incidents/one", "acknowledge"),
        ("incidents/one", "resolve"),
        ("deployments/dep_paused", "promote"),
        ("deployments/dep_going", "abort"),
        ("runs/run_going", "cancel"),
    ] {
        let path = format!("/api/v1/{document}");
        let tag = deck.get(&path).await.header("etag").to_owned();
        for stale in ["\"77\"", &format!("W/{tag}"), "\"x\""] {
            let answer = deck.post_with(&format!("{path}/{command}"), &json!({}), &[("If-Match", stale)]).await;
            assert_eq!(answer.status, 412, "{path} {stale}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("hint: read it again"));
        }
        assert_eq!(deck.get(&path).await.header("etag"), tag, "{path}: nothing was done");
        let seen = format!("\"77\", {tag}");
        let answer = deck.post_with(&format!("{path}/{command}"), &json!({}), &[("If-Match", &seen)]).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        assert_ne!(answer.header("etag"), tag);
    }
}

#[tokio::test]
async fn a_dead_letter_that_was_seen_is_taken_up_again_once_and_no_other() {
    let deck = world().await;
    deck.put("dead-letters", "eff_1", &letter()).await;
    let path = "/api/v1/dead-letters/eff_1";
    let tag = deck.get(path).await.header("etag").to_owned();
    let retry = format!("{path}/retry");
    let stale = deck.post_with(&retry, &json!({}), &[("If-Match", "\"77\"")]).await;
    assert_eq!(stale.status, 412);
    let again = [("If-Match", tag.as_str()), ("Idempotency-Key", "k7")];
    let taken = deck.post_with(&retry, &json!({}), &again).await;
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    assert_eq!((&taken.json()["id"], &taken.json()["instance"]), (&json!("eff_1"), &json!("webhook/gone")));
    assert_eq!(deck.get(path).await.status, 404);
    let replayed = deck.post_with(&retry, &json!({}), &again).await;
    assert_eq!((replayed.status.as_u16(), replayed.header("idempotency-replayed")), (202, "true"));
    assert_eq!(deck.post(&retry, &json!({})).await.status, 404);
    assert_eq!(deck.post("/api/v1/dead-letters/one/retry", &json!({"force": true})).await.status, 409);
}

#[tokio::test]
async fn a_kept_answer_that_is_not_on_the_disk_is_not_given_again() {
    let deck = deck().await;
    let key = [("Idempotency-Key", "k1")];
    let first = deck.post_with("/api/v1/events", &custom("a"), &key).await;
    let mut record = deck.store.get("idempotency", "operator/k1").unwrap().unwrap();
    record.value["answer"]["headers"]["content-type"] = json!("application/json; charset=utf-8");
    let held = deck.faults.hold_syncs();
    let kept = record.value.clone();
    let rewrite = Transition::new().put("idempotency", "operator/k1", Expected::Any, record.value);
    let mut rewritten = Box::pin(deck.store.commit(rewrite));
    assert!(futures::poll!(&mut rewritten).is_pending());
    while deck.store.get("idempotency", "operator/k1").unwrap().unwrap().revision == record.revision {
        tokio::task::yield_now().await;
    }
    let event = custom("a");
    let mut second = Box::pin(deck.post_with("/api/v1/events", &event, &key));
    for _ in 0..1_000 {
        assert!(futures::poll!(&mut second).is_pending(), "a power cut would take it back");
        tokio::task::yield_now().await;
    }
    drop(held);
    let second = second.await;
    assert_eq!((second.status.as_u16(), &second.body), (201, &first.body));
    assert_eq!(second.header("idempotency-replayed"), "true");
    rewritten.await.unwrap();
    // And if it never gets there, nobody is told of it.
    let held = deck.faults.hold_syncs();
    let again = Transition::new().put("idempotency", "operator/k1", Expected::Any, kept);
    let mut lost = Box::pin(deck.store.commit(again));
    assert!(futures::poll!(&mut lost).is_pending());
    deck.faults.fail_next_sync();
    drop(held);
    assert!(lost.await.is_err());
    assert_eq!(deck.post_with("/api/v1/events", &event, &key).await.status, 503);
}

#[tokio::test]
async fn pushed_samples_are_found() {
    let deck = deck().await;
    let at = |seconds| START.minus(Span::from_secs(seconds)).to_string();
    let samples = json!([
        {"name": "up", "labels": {"job": "a"}, "value": 1.0, "at": at(60)},
        {"name": "up", "labels": {"job": "a"}, "value": 2.0, "at": at(30)},
        {"name": "up", "labels": {"job": "b"}, "value": 3.0}
    ]);
    assert_eq!(deck.post("/api/v1/metrics", &samples).await.json(), json!({"accepted": 3, "refused": 0}));
    assert_eq!(deck.get("/api/v1/metrics").await.json()["items"], json!([{"name": "up"}]));
    let latest = deck.get("/api/v1/metrics/latest?metric=up&label=job%3Da").await.json();
    assert_eq!(latest["items"], json!([{"name": "up", "labels": {"job": "a"}, "at": at(30), "value": 2.0}]));
    let page = deck.get("/api/v1/metrics/latest?metric=up&limit=1").await.json();
    let next = page["next_cursor"].as_str().unwrap();
    let page = deck.get(&format!("/api/v1/metrics/latest?metric=up&limit=1&cursor={next}")).await.json();
    assert_eq!(page["items"][0]["labels"]["job"], "b");
    let range = deck.get("/api/v1/metrics/range?metric=up&label=job%3Da").await.json();
    assert_eq!(range["items"][0]["values"], json!([1.0, 2.0]));
    let thinned = deck.get("/api/v1/metrics/range?metric=up&label=job%3Da&step=5m").await.json();
    assert_eq!(thinned["items"][0]["values"], json!([2.0]));
    let wrong = json!([{"name": "up", "value": 1.0, "at": "2999-01-01T00:00:00Z"}]);
    assert_eq!(deck.post("/api/v1/metrics", &wrong).await.json()["errors"][0]["path"], "[0].at");
    assert_eq!(deck.post("/api/v1/metrics", &json!([{"name": "5xx", "value": 1.0}])).await.status, 422);
    let long = json!([
        {"name": "good", "value": 1.0},
        {"name": "n".repeat(257), "value": 1.0},
        {"name": "labels", "labels": {"text": "x".repeat(3_600)}, "value": 1.0}
    ]);
    let refused = deck.post("/api/v1/metrics", &long).await;
    assert_eq!(refused.status, 422);
    let mistakes = refused.json()["errors"].clone();
    assert_eq!((mistakes[0]["path"].as_str(), mistakes[1]["path"].as_str()), (Some("[1]"), Some("[2]")), "{mistakes}");
    assert!(mistakes[0]["detail"].as_str().unwrap().contains("hint: 256"), "{mistakes}");
    assert_eq!(deck.get("/api/v1/metrics").await.json()["items"], json!([{"name": "up"}]), "nothing was kept");
    let longest = json!([{"name": "n".repeat(256), "labels": {"text": "x".repeat(3_542)}, "value": 1.0}]);
    assert_eq!(deck.post("/api/v1/metrics", &longest).await.json()["accepted"], 1);
    assert_eq!(deck.store.refused_samples(), 0);
}

/// More of them than one record could hold the deletions of.
#[tokio::test]
async fn old_keys_go_in_steps_and_young_ones_stay() {
    let deck = deck().await;
    let record = |at: quarterdeck_model::Timestamp| json!({"at": at.to_string(), "hash": "", "answer": null});
    let day = START.plus(Span::from_secs(86_400));
    for thousand in 0..18 {
        let mut transition = Transition::new();
        for n in 0..1_000 {
            let id = format!("operator/{thousand:03}{n:03}{}", "x".repeat(490));
            transition = transition.put("idempotency", &id, Expected::Any, record(START));
        }
        deck.store.commit(transition).await.unwrap();
    }
    deck.put("idempotency", "operator/young", &record(day)).await;
    deck.clock.advance(Span::from_secs(86_401));
    let key = [("Idempotency-Key", "now")];
    assert_eq!(deck.post_with("/api/v1/events", &custom("a"), &key).await.status, 201);
    let left = async {
        loop {
            let page = quarterdeck_model::store::Page { limit: 3, ..quarterdeck_model::store::Page::all() };
            let left = deck.store.list("idempotency", &page).unwrap();
            if left.len() == 2 {
                return left.into_iter().map(|document| document.id).collect::<Vec<_>>();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let left = tokio::time::timeout(std::time::Duration::from_secs(120), left).await.expect("all old keys go");
    assert_eq!(left, ["operator/now", "operator/young"]);
}
