//! One document that can't be read hides nothing but itself, and is named wherever it would stand.

use crate::console::page;
use crate::support::Deck;
use crate::world::{like, world};
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::deployment::{Deployment, ServiceRecord};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::domain::scan::{Finding, Scan};
use quarterdeck_model::domain::slo::SloStatus;
use serde_json::{Value, json};

/// What a list of the API has, and what of it a page of the console shows.
const LISTS: [(&str, &str); 7] = [
    (Alert::COLLECTION, "alerts?state=all"),
    (Incident::COLLECTION, "incidents?state=open"),
    (Deployment::COLLECTION, "deployments"),
    (Run::COLLECTION, "runs"),
    (Scan::COLLECTION, "scans"),
    (SloStatus::COLLECTION, "slos"),
    (Finding::COLLECTION, "findings?severity=info"),
];

async fn broken() -> Deck {
    let deck = world().await;
    for (collection, _) in LISTS {
        deck.put(collection, "broken", &json!({"id": 5, "title": ["<b>"]})).await;
    }
    deck
}

fn keys(answer: &Value) -> Vec<&str> {
    let all = answer["unreadable"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|one| one["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_named_by_lists_which_show_the_others() {
    let deck = broken().await;
    deck.put(Notification::COLLECTION, "broken", &json!([])).await;
    for collection in LISTS.map(|(collection, _)| collection).into_iter().chain([Notification::COLLECTION]) {
        let list = deck.get(&format!("/api/v1/{collection}")).await;
        assert_eq!(list.status, 200, "{collection}");
        let list = list.json();
        assert_eq!(keys(&list), [format!("{collection}/broken")], "{collection}");
        assert!(list["unreadable"][0]["detail"].as_str().unwrap().contains("; hint: "), "{list}");
        assert!(!list["items"].as_array().unwrap().is_empty(), "{collection}");
    }
    let one = deck.get("/api/v1/incidents?limit=1").await.json();
    let rest = deck.get(&format!("/api/v1/incidents?cursor={}", one["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!(keys(&one).len() + keys(&rest).len(), 1, "a walk over the list meets it once: {one} {rest}");
    deck.put(ServiceRecord::COLLECTION, "shop", &json!({})).await;
    let services = deck.get("/api/v1/services").await.json();
    assert_eq!(keys(&services), [format!("{}/shop", ServiceRecord::COLLECTION)]);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_named_by_pages_which_show_the_others() {
    let deck = broken().await;
    for (collection, path) in LISTS {
        let (status, shown) = page(&deck, &format!("/console/{path}")).await;
        assert_eq!(status, 200, "{path}");
        for expected in ["1 could not be read", &format!("{collection}/broken"), "What to do: "] {
            assert!(shown.contains(expected), "{path} does not say {expected}");
        }
        assert!(!shown.contains("<b>"), "{path}");
    }
    for path in ["", "/search?q=broken", "/runbooks", "/metrics?q=up", "/incidents/one", "/services/shop"] {
        let (status, shown) = page(&deck, &format!("/console{path}")).await;
        assert_eq!(status, 200, "{path}: {}", shown.split("<h1>").nth(1).unwrap_or_default());
    }
    let (_, shown) = page(&deck, "/console").await;
    assert!(shown.contains("could not be read") && shown.contains("incidents/broken"));
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_nowhere_and_named_by_the_status_until_it_is_mended() {
    let deck = world().await;
    let before = deck.get("/api/v1/status").await.json();
    assert_eq!(before["unreadable"], json!([]));
    deck.put(Incident::COLLECTION, "broken", &json!({"state": "open"})).await;
    let status = deck.get("/api/v1/status").await.json();
    assert_eq!((keys(&status), &status["open"]), (vec!["incidents/broken"], &before["open"]));
    deck.put(Incident::COLLECTION, "broken", &like(Incident::COLLECTION, "broken", &json!({}))).await;
    let mended = deck.get("/api/v1/status").await.json();
    assert_eq!(mended["unreadable"], json!([]));
    assert_eq!(mended["open"]["incidents"], json!(before["open"]["incidents"].as_u64().unwrap() + 1));
}

#[tokio::test]
async fn asked_for_itself_what_cannot_be_read_is_a_problem_that_says_what_to_do() {
    let deck = broken().await;
    let problem = deck.get("/api/v1/incidents/broken").await;
    assert_eq!(
        (problem.status.as_u16(), &problem.json()["type"]),
        (500, &json!("urn:quarterdeck:problem:corrupt-data"))
    );
    assert!(problem.json()["detail"].as_str().unwrap().contains("; hint: "));
    let (status, shown) = page(&deck, "/console/incidents/broken").await;
    assert_eq!(status, 500);
    assert!(shown.contains("What to do: ") && shown.contains("restore a backup"));
}
