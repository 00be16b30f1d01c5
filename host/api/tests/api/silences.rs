//! Silences, acknowledgements and planned work.

use crate::support::{Deck, START, deck, deck_with};
use http::Method;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};

async fn items(deck: &Deck, path: &str) -> Vec<Value> {
    let answer = deck.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()["items"].as_array().unwrap().clone()
}

async fn send(deck: &Deck, names: &[&str]) {
    let sent: Vec<Value> = names.iter().map(|name| json!({"labels": {"alertname": name, "team": "db"}})).collect();
    assert_eq!(deck.post("/alertmanager/api/v2/alerts", &json!(sent)).await.status, 200);
}

#[tokio::test]
async fn a_preview_says_what_a_silence_would_match_and_warns_of_too_much() {
    let deck = deck().await;
    send(&deck, &["A", "B"]).await;
    let preview =
        async |matcher: &str| deck.post("/api/v1/silences/preview", &json!({"matchers": [matcher]})).await.json();
    let one = preview("alertname=\"A\"").await;
    assert_eq!((&one["firing"], &one["matched"], &one["warnings"]), (&json!(2), &json!(1), &json!([])));
    assert_eq!(one["alerts"][0]["labels"]["alertname"], "A");
    let all = preview("alertname=~\".+\"").await;
    assert_eq!(all["warnings"].as_array().unwrap().len(), 2, "{all}");
    let refused = deck.post("/api/v1/silences/preview", &json!({"matchers": ["a=~\"(\""]})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["path"]), (422, &json!("matchers[0]")));
}

#[tokio::test]
async fn a_silence_is_made_listed_by_its_state_and_ended() {
    let deck = deck().await;
    let body = json!({"matchers": ["team=\"db\""], "for": "1h", "comment": "work", "created_by": "ann"});
    let made = deck.post("/api/v1/silences", &body).await;
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["ends_at"], START.plus(Span::from_secs(3600)).to_string());
    assert_eq!(items(&deck, "/api/v1/silences?state=active").await.len(), 1);
    assert_eq!(items(&deck, "/api/v1/silences?state=expired").await.len(), 0);
    let ended = deck.ask(Method::DELETE, &format!("/api/v1/silences/{id}"), None, &[]).await;
    assert_eq!(ended.json()["ends_at"], START.to_string());
    assert_eq!(items(&deck, "/api/v1/silences?state=expired").await.len(), 1);
    assert_eq!(deck.ask(Method::DELETE, "/api/v1/silences/nothing", None, &[]).await.status, 404);
    for wrong in [
        json!({"matchers": ["a=b"], "comment": "no end"}),
        json!({"matchers": ["a=b"], "comment": "", "for": "1h", "ends_at": START.to_string()}),
        json!({"matchers": [], "comment": "", "for": "1h"}),
        json!({"matchers": ["a=\"\""], "comment": "", "for": "1h"}),
    ] {
        assert_eq!(deck.post("/api/v1/silences", &wrong).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn an_acknowledgement_can_end_before_its_alert() {
    let deck = deck().await;
    send(&deck, &["A"]).await;
    let id = items(&deck, "/api/v1/alerts").await[0]["fingerprint"].as_str().unwrap().to_owned();
    let answer = deck.post(&format!("/api/v1/alerts/{id}/acknowledge"), &json!({"for": "4h"})).await;
    assert_eq!(answer.json()["acknowledged_by"], "operator");
    let why = deck.get(&format!("/api/v1/alerts/{id}/explanation")).await.json();
    assert_eq!(why["acknowledged_until"], START.plus(Span::from_secs(4 * 3600)).to_string());
    assert!(
        why["steps"].as_array().unwrap().iter().any(|step| step.as_str().unwrap().contains("acknowledged by operator"))
    );
    let resolved = deck.post(&format!("/api/v1/alerts/{id}/resolve"), &json!({})).await;
    assert_eq!(resolved.json()["state"], "resolved");
    assert_eq!(deck.post(&format!("/api/v1/alerts/{id}/acknowledge"), &json!({})).await.status, 409);
}

#[tokio::test]
async fn planned_work_is_listed_with_whether_it_goes_on() {
    let alerting = json!({"time-intervals": {"always": [{}], "past": [{"years": ["1999"]}]}, "maintenance": {
        "now": {"time-intervals": ["always"], "matchers": ["team=db"]}, "then": {"time-intervals": ["past"]}}});
    let catalog = Catalog { alerting: serde_json::from_value(alerting).unwrap(), ..Catalog::default() };
    let deck = deck_with(catalog, |_| {}).await;
    send(&deck, &["A"]).await;
    let all = items(&deck, "/api/v1/maintenance-windows").await;
    assert_eq!((&all[0]["active"], &all[0]["matched"], &all[1]["active"]), (&json!(true), &json!(1), &json!(false)));
    assert_eq!(items(&deck, "/api/v1/maintenance-windows?active=true").await.len(), 1);
    let shown = deck.get("/alertmanager/api/v2/alerts").await.json();
    assert_eq!(shown[0]["status"]["silencedBy"], json!(["maintenance/now"]));
}
