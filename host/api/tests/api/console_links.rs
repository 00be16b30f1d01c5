//! The console's pages as a way from one to the next: numbers lead to what they count, incidents to their alerts, charts to what happened
//! in their time; and the stream that keeps them live.

use crate::console::page;
use crate::support::{START, deck, request};
use crate::world::{like, world};
use axum::body::Body;
use http::Method;
use http_body_util::BodyExt;
use quarterdeck_model::Span;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::runbook::Run;
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;

/// Rows of the first table of the page.
fn rows(shown: &str) -> usize {
    let table = shown.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next());
    table.map_or(0, |table| table.matches("<tr>").count())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found).unwrap()
}

#[tokio::test]
async fn every_number_of_the_overview_leads_to_a_list_of_exactly_so_many() {
    let deck = world().await;
    for (id, state) in [("inc_a", "acknowledged"), ("inc_b", "open"), ("inc_c", "resolved")] {
        deck.put(Incident::COLLECTION, id, &like(Incident::COLLECTION, id, &json!({"state": state}))).await;
    }
    for (id, state) in [("dep_a", "progressing"), ("dep_b", "paused"), ("dep_c", "rolling-back"), ("dep_d", "failed")] {
        let changes = json!({"state": state, "finished_at": null});
        deck.put(Deployment::COLLECTION, id, &like(Deployment::COLLECTION, id, &changes)).await;
    }
    let changes = json!({"state": "running", "finished_at": null});
    deck.put(Run::COLLECTION, "run_a", &like(Run::COLLECTION, "run_a", &changes)).await;
    let (status, overview) = page(&deck, "/console").await;
    assert_eq!(status, 200);
    let mut counted = Vec::new();
    for figure in overview.split("<a class=\"figure ").skip(1) {
        let address = between(figure, "href=\"", "\"").replace("&amp;", "&");
        let number: usize = between(figure, "class=\"value\">", "<").parse().unwrap();
        let (status, list) = page(&deck, &address).await;
        assert_eq!((status, rows(&list)), (200, number), "{address}");
        // What was chosen stands in the form, so that another filter keeps it.
        assert!(list.contains(" selected>"), "{address}");
        counted.push((between(figure, "class=\"label\">", "<").to_owned(), number));
    }
    let expected = [("open incidents", 3), ("firing alerts", 1), ("deployments in flight", 3), ("runs under way", 1)];
    for (label, number) in expected {
        assert!(counted.contains(&(label.to_owned(), number)), "{label}: {counted:?}");
    }
    assert_eq!(counted.len(), 6, "{counted:?}");
    assert!(overview.contains("data-since=\""), "what is in flight tells for how long");
}

#[tokio::test]
async fn an_incident_lists_its_alerts_oldest_first_with_their_state_and_leads_to_those_that_are_kept() {
    let deck = world().await;
    let member = |fingerprint: &str, hours: u64, resolved: bool| {
        let at = START.minus(Span::from_secs(hours * 3600));
        json!({"fingerprint": fingerprint, "name": format!("alert {fingerprint}"), "severity": "high", "labels": {}, "summary": "busy",
            "active_at": at, "resolved_at": resolved.then_some(START)})
    };
    let members = json!([member("one", 0, false), member("middle", 1, false), member("first", 2, true)]);
    deck.put(Incident::COLLECTION, "two", &like(Incident::COLLECTION, "two", &json!({"members": members}))).await;
    let (_, shown) = page(&deck, "/console/incidents/two").await;
    let table = between(&shown, "<tbody>", "</tbody>");
    let rows: Vec<&str> = table.split("<tr>").skip(1).collect();
    assert_eq!(rows.len(), 3, "{table}");
    for (row, (name, state)) in rows.iter().zip([("first", "resolved"), ("middle", "firing"), ("one", "firing")]) {
        assert!(row.contains(&format!("alert {name}<")) && row.contains(&format!(">{state}<")), "{name}: {table}");
    }
    assert_eq!(table.matches("<a ").count(), 1, "{table}");
    assert!(rows[2].contains("href=\"/console/alerts/one\""), "{table}");
}

#[tokio::test]
async fn a_chart_is_told_what_happened_in_its_time_however_much_has_happened_since() {
    let deck = world().await;
    let opened =
        |days: u64, title: &str| json!({"title": title, "opened_at": START.minus(Span::from_secs(days * 86_400))});
    deck.put(Incident::COLLECTION, "a", &like(Incident::COLLECTION, "a", &opened(6, "the old one"))).await;
    deck.put(Incident::COLLECTION, "b", &like(Incident::COLLECTION, "b", &opened(9, "before that"))).await;
    for count in 0..150 {
        let id = format!("inc_{count}");
        deck.put(Incident::COLLECTION, &id, &like(Incident::COLLECTION, &id, &opened(0, "one of many"))).await;
    }
    let (_, shown) = page(&deck, "/console/metrics?q=up&range=7d").await;
    let legend = between(&shown, "<ul class=\"legend\"", "</ul>");
    assert!(legend.contains("the old one") && !legend.contains("before that"), "{legend}");
    // With the incident and the deployment that were there.
    assert!(legend.contains(" and 149 more then"), "{legend}");
    assert!(shown.contains("aria-label=\"up: 1 line from "), "{legend}");
}

#[tokio::test]
async fn the_stream_of_pages_says_that_it_is_there_when_nothing_happens() {
    let deck = deck().await;
    let asked = request(Method::GET, "/console/stream?type=custom.").body(Body::empty()).unwrap();
    let mut body = deck.router.clone().oneshot(asked).await.unwrap().into_body();
    let mut told = String::new();
    while !told.contains("event: beat\n") {
        let frame = tokio::time::timeout(Duration::from_secs(25), body.frame()).await;
        let frame = frame.expect("less than a page waits for it").unwrap().unwrap();
        told += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    // Without data a browser would pass it over; without an id it is no news of events.
    assert!(told.ends_with("event: beat\ndata: 10\n\n") && !told.contains("id:"), "{told}");
}
