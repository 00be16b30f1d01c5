//! The list of events, and the page of one.

use crate::console::page;
use crate::support::{Deck, START, deck};
use quarterdeck_model::event::Event;
use serde_json::json;

/// As many as a list shows, each with more than anybody reads in a list.
async fn large(deck: &Deck) {
    for n in 0..100 {
        let data = json!({"beginning": "\"what\" has <happened> ".repeat(500), "end": format!("end of {n}")});
        let event = Event::new(&deck.ids, START, "custom.large", format!("thing-{n}")).data(data);
        deck.bus.publish("test", vec![event]).await.unwrap();
    }
}

#[tokio::test]
async fn a_list_of_large_events_stays_small_and_leads_to_the_whole_of_each() {
    let deck = deck().await;
    large(&deck).await;
    let (status, list) = page(&deck, "/console/events").await;
    assert_eq!(status, 200);
    // The bound of a first view is 150 KB, and what pages are dressed with takes less than 20 of it.
    assert!(list.len() < 130_000, "{} bytes", list.len());
    assert!(list.contains("href=\"/console/events/100\"") && !list.contains("end of 99"));
    let (status, one) = page(&deck, "/console/events/100").await;
    assert_eq!(status, 200);
    for expected in ["custom.large", "thing-99", "end of 99", "&lt;happened&gt;", "all events about it"] {
        assert!(one.contains(expected), "{expected}");
    }
}

#[tokio::test]
async fn an_event_that_is_not_there_is_said_to_be_gone() {
    let deck = deck().await;
    large(&deck).await;
    for offset in ["0", "101", "18446744073709551615"] {
        let (status, shown) = page(&deck, &format!("/console/events/{offset}")).await;
        assert!(status == 404 && shown.contains("retention"), "{offset}: {status}");
    }
}
