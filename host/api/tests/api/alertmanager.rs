//! Alertmanager's API: answers and errors in its form. What its own programs make of it is tested over the binary.

use crate::support::{Deck, START, deck, deck_with, request};
use axum::body::Body;
use http::Method;
use http::header::CONTENT_TYPE;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};

const PREFIX: &str = "/alertmanager/api/v2";

async fn told() -> Deck {
    let alerting = json!({"route": {"receiver": "ops", "group-by": ["alertname"], "routes": [
            {"matchers": ["team=db"], "receiver": "db"}]},
        "receivers": {"ops": {}, "db": {}},
        "inhibit-rules": [{"source-matchers": ["alertname=Cluster"], "target-matchers": ["alertname!=Cluster"], "equal": ["zone"]}]});
    let catalog = Catalog { alerting: serde_json::from_value(alerting).unwrap(), ..Catalog::default() };
    deck_with(catalog, |_| {}).await
}

fn path(rest: &str) -> String {
    format!("{PREFIX}/{rest}")
}

async fn get(deck: &Deck, rest: &str) -> Value {
    let answer = deck.get(&path(rest)).await;
    assert_eq!(answer.status, 200, "{rest}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

async fn post(deck: &Deck, rest: &str, body: Value) -> (u16, Value) {
    let answer = deck.post(&path(rest), &body).await;
    let value = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status.as_u16(), value)
}

fn later(seconds: u64) -> String {
    START.plus(Span::from_secs(seconds)).to_string()
}

/// Every operation once, for the contract.
pub(crate) async fn ask_all(deck: &Deck) {
    let sent = json!([{"labels": {"alertname": "Down", "job": "api"}}]);
    assert_eq!(post(deck, "alerts", sent).await, (200, Value::Null));
    let silence = json!({"matchers": [{"name": "job", "value": "api", "isRegex": false}], "startsAt": later(0),
        "endsAt": later(60), "createdBy": "ann", "comment": "work"});
    let (status, made) = post(deck, "silences", silence).await;
    assert_eq!(status, 200);
    let id = made["silenceID"].as_str().unwrap();
    for rest in ["status", "receivers", "alerts", "alerts/groups", "silences", &format!("silence/{id}")] {
        get(deck, rest).await;
    }
    let ended = deck.ask(Method::DELETE, &path(&format!("silence/{id}")), None, &[]).await;
    assert_eq!(ended.status, 200);
}

#[tokio::test]
async fn an_alert_that_was_sent_is_shown_as_alertmanager_shows_it_and_is_an_alert_of_this_host() {
    let deck = told().await;
    let sent = json!([{"labels": {"alertname": "Down", "job": "api", "empty": ""}, "annotations": {"summary": "it is down"},
        "startsAt": later(0), "endsAt": later(240), "generatorURL": "http://prometheus/graph?g0.expr=up"}]);
    assert_eq!(post(&deck, "alerts", sent).await, (200, Value::Null));
    let shown = json!([{"annotations": {"summary": "it is down"}, "endsAt": later(240), "fingerprint": "c89fba827b26e2d5",
        "receivers": [{"name": "ops"}], "startsAt": later(0),
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"}, "updatedAt": later(0),
        "generatorURL": "http://prometheus/graph?g0.expr=up", "labels": {"alertname": "Down", "job": "api"}}]);
    assert_eq!(get(&deck, "alerts").await, shown);
    let groups = get(&deck, "alerts/groups").await;
    assert_eq!(groups, json!([{"alerts": shown, "labels": {"alertname": "Down"}, "receiver": {"name": "ops"}}]));
    let own = deck.get("/api/v1/alerts/c89fba827b26e2d5").await.json();
    assert_eq!(
        (&own["rule"], &own["state"], &own["summary"]),
        (&json!("Down"), &json!("firing"), &json!("it is down"))
    );
    let why = deck.get("/api/v1/alerts/c89fba827b26e2d5/explanation").await.json();
    assert_eq!(why["groups"][0]["receiver"], "ops");
    assert!(why["summary"].as_str().unwrap().starts_with("not told yet"), "{why}");
}

#[tokio::test]
async fn alerts_are_filtered_by_labels_receivers_and_state() {
    let deck = told().await;
    let labels =
        |name: &str, team: &str, zone: &str| json!({"labels": {"alertname": name, "team": team, "zone": zone}});
    let sent =
        json!([labels("Cluster", "web", "1"), labels("A", "web", "1"), labels("B", "db", "2"), labels("C", "db", "3")]);
    post(&deck, "alerts", sent).await;
    let silence = json!({"matchers": [{"name": "alertname", "value": "C|D", "isRegex": true, "isEqual": true}],
        "startsAt": later(0), "endsAt": later(60), "createdBy": "ann", "comment": ""});
    assert_eq!(post(&deck, "silences", silence).await.0, 200);
    let names = async |rest: &str| {
        let mut names: Vec<String> = get(&deck, rest)
            .await
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.concat()
    };
    for (query, expected) in [
        ("", "ABCCluster"),
        ("?filter=team%3D%22db%22", "BC"),
        ("?filter=team%3Ddb&filter=zone!~%223.*%22", "B"),
        ("?receiver=d.", "BC"),
        ("?receiver=d", ""),
        ("?silenced=false", "ABCluster"),
        ("?inhibited=false", "BCCluster"),
        ("?active=false", "AC"),
        ("?unprocessed=false&something=else", "ABCCluster"),
    ] {
        assert_eq!(names(&format!("alerts{query}")).await, expected, "{query}");
    }
    let all = get(&deck, "alerts").await;
    let of =
        |name: &str| all.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == name).unwrap().clone();
    assert_eq!(of("A")["status"]["inhibitedBy"], json!([of("Cluster")["fingerprint"]]));
    assert_eq!(of("C")["status"]["state"], "suppressed");
    assert_eq!(get(&deck, "alerts/groups?receiver=db&silenced=false").await.as_array().unwrap().len(), 1);
    assert_eq!(get(&deck, "receivers").await, json!([{"name": "db"}, {"name": "ops"}]));
}

#[tokio::test]
async fn what_is_wrong_is_said_in_alertmanagers_form_and_words() {
    let deck = told().await;
    let sent = json!([{"labels": {"a": "b"}, "startsAt": later(9), "endsAt": later(5)}, {"labels": {}}, {"labels": {"good": "one"}}]);
    let words = "start time must be before end time; at least one label pair required";
    assert_eq!(post(&deck, "alerts", sent).await, (400, json!(words)));
    assert_eq!(get(&deck, "alerts").await.as_array().unwrap().len(), 1, "the valid one is taken");
    for (rest, words) in [
        ("alerts?filter=%3D", "bad matcher format: ="),
        ("alerts?receiver=(", "failed to parse receiver param"),
        ("alerts?active=maybe", "active in query must be of type boolean"),
        ("silences?filter=x", "bad matcher format: x"),
    ] {
        let answer = deck.get(&path(rest)).await;
        assert_eq!(answer.status, 400, "{rest}");
        assert!(answer.json().as_str().unwrap().contains(words), "{rest}: {}", answer.json());
    }
    let silence = |name: &str, value: &str, to: u64| {
        json!({"matchers": [{"name": name, "value": value, "isRegex": false}], "startsAt": later(0), "endsAt": later(to),
            "createdBy": "ann", "comment": "work"})
    };
    for (body, words) in [
        (silence("a", "b", 0), "Failed to create silence: start time must be before end time"),
        (silence("a", "", 9), "silence invalid: at least one matcher must not match the empty string"),
    ] {
        assert_eq!(post(&deck, "silences", body).await, (400, json!(words)));
    }
    let mut changed = silence("a", "b", 9);
    changed["id"] = json!("018f0000-0000-7000-8000-000000000000");
    assert_eq!(post(&deck, "silences", changed).await, (404, json!("silence not found")));
    assert_eq!(deck.get(&path("silence/018f0000-0000-7000-8000-000000000000")).await.status, 404);
    assert_eq!(post(&deck, "alerts", json!({})).await.0, 400);
    let free = request(Method::POST, &path("alerts")).header(CONTENT_TYPE, "application/json");
    let refused = deck.send(free.body(Body::from("[]")).unwrap()).await;
    assert!(refused.status == 401 && refused.json().is_string(), "what changes anything needs the token");
}

/// A body of many alerts: 400 bytes each.
fn storm(count: usize) -> Value {
    let alert = |number: usize| {
        let mut alert = json!({"labels": {"alertname": "Down", "instance": format!("10.0.0.{number}:9100"), "job": "node"},
            "annotations": {"summary": "it is down", "description": ""}, "generatorURL": "http://prometheus/graph"});
        let left = 400_usize.saturating_sub(alert.to_string().len());
        alert["annotations"]["description"] = json!("x".repeat(left));
        alert
    };
    Value::Array((0..count).map(alert).collect())
}

#[tokio::test]
async fn many_alerts_in_one_body_are_taken_in_and_those_that_are_wrong_are_said() {
    let deck = told().await;
    let mut sent = storm(3_000);
    assert!(sent.to_string().len() > quarterdeck_api::BODY_LIMIT);
    sent.as_array_mut().unwrap().push(json!({"labels": {}}));
    assert_eq!(post(&deck, "alerts", sent).await, (400, json!("at least one label pair required")));
    let shown = get(&deck, "alerts").await;
    assert_eq!(shown.as_array().unwrap().len(), 3_000, "those that are right are taken");
    // Nothing else may be as large, and this may not be larger.
    let large = json!({"matchers": [], "startsAt": later(0), "endsAt": later(9), "createdBy": "x".repeat(2 << 20), "comment": ""});
    assert_eq!(post(&deck, "silences", large).await.0, 413);
    let (status, why) = post(&deck, "alerts", json!([{"labels": {"a": "x".repeat(16 << 20)}}])).await;
    assert_eq!((status, why), (413, json!("the body is larger than 16777216 bytes")));
}

#[tokio::test]
async fn many_bodies_of_many_alerts_leave_as_much_room_as_there_was() {
    let deck = told().await;
    let bodies = (0..6).map(|_| post(&deck, "alerts", storm(2_700)));
    for (status, _) in futures::future::join_all(bodies).await {
        assert_eq!(status, 200);
    }
    assert_eq!(get(&deck, "alerts").await.as_array().unwrap().len(), 2_700);
}

#[tokio::test]
async fn an_alert_of_this_hosts_own_rules_says_where_it_was_made() {
    let deck = crate::world::world().await;
    let shown = get(&deck, "alerts").await;
    let urls: Vec<&str> =
        shown.as_array().unwrap().iter().map(|alert| alert["generatorURL"].as_str().unwrap()).collect();
    assert!(!urls.is_empty());
    for url in urls {
        assert!(url.starts_with("http://127.0.0.1:7700/api/v1/alerts/"), "{url}");
    }
}

#[tokio::test]
async fn a_silence_is_made_changed_shown_and_ended() {
    let deck = told().await;
    let body = |id: &str, to: u64| {
        json!({"id": id, "matchers": [{"name": "job", "value": "a.*", "isRegex": true, "isEqual": true}],
            "startsAt": later(0), "endsAt": later(to), "createdBy": "ann", "comment": "work"})
    };
    let (_, made) = post(&deck, "silences", body("", 60)).await;
    let id = made["silenceID"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36);
    let (_, changed) = post(&deck, "silences", body(&id, 120)).await;
    assert_eq!(changed["silenceID"], id.as_str());
    let shown = get(&deck, &format!("silence/{id}")).await;
    assert_eq!(
        shown,
        json!({"id": id, "status": {"state": "active"}, "updatedAt": later(0), "comment": "work", "createdBy": "ann",
            "endsAt": later(120), "startsAt": later(0),
            "matchers": [{"name": "job", "value": "a.*", "isRegex": true, "isEqual": true}]})
    );
    assert_eq!(get(&deck, "silences").await, json!([shown]));
    assert_eq!(get(&deck, "silences?filter=job%3Dother").await, json!([]));
    for _ in 0..2 {
        assert_eq!(deck.ask(Method::DELETE, &path(&format!("silence/{id}")), None, &[]).await.status, 200);
    }
    assert_eq!(get(&deck, &format!("silence/{id}")).await["status"]["state"], "expired");
    let unknown = deck.ask(Method::DELETE, &path("silence/nothing"), None, &[]).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()), (404, json!("silence not found")));
}

#[tokio::test]
async fn the_status_holds_a_configuration_that_alertmanagers_programs_read() {
    let status = get(&told().await, "status").await;
    assert_eq!(
        (&status["versionInfo"]["version"], &status["cluster"]["status"]),
        (&json!("0.25.0"), &json!("disabled"))
    );
    let original: Value = serde_json::from_str(status["config"]["original"].as_str().unwrap()).unwrap();
    assert_eq!(original["route"]["routes"][0], json!({"matchers": ["team=\"db\""], "receiver": "db"}));
    let without = get(&deck().await, "status").await;
    assert!(without["config"]["original"].as_str().unwrap().contains("nobody"));
}
