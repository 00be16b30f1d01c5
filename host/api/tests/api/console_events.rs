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

#[tokio::test]
async fn the_overview_tells_what_concerns_an_operator_however_much_else_happens() {
    let deck = deck().await;
    let last = async || {
        let (status, shown) = page(&deck, "/console").await;
        assert_eq!(status, 200);
        let section = shown.split("What happened last").nth(1).unwrap();
        assert!(section.contains("href=\"/console/events\">All events"), "and leads to the rest");
        let types = section.split("<code>").skip(1).map(|rest| rest.split("</code>").next().unwrap().to_owned());
        let names = types.map(|found| found.replace("<bdi class=\"clip\">", "").replace("</bdi>", ""));
        // Not what they hold, nor what the host's own check says once, whenever that is.
        names.filter(|found| !found.starts_with('{') && found != "health.changed").collect::<Vec<_>>()
    };
    assert!(!last().await.iter().any(|name| name.starts_with("custom.")));
    deck.publish("incident.opened", 0..1).await;
    deck.publish("finding.opened", 1..2).await;
    for plumbing in ["run.step", "effect.done", "deployment.moved", "custom.a"] {
        deck.publish(plumbing, 0..300).await;
    }
    assert_eq!(last().await.iter().take(2).collect::<Vec<_>>(), ["finding.opened", "incident.opened"]);
    // What comes in later is looked at only, and stands in front.
    deck.publish("custom.a", 0..50).await;
    deck.publish("plugin.refused", 0..1).await;
    deck.publish("configuration.applied", 0..1).await;
    let newest = ["configuration.applied", "plugin.refused", "finding.opened", "incident.opened"];
    assert_eq!(last().await.iter().take(4).collect::<Vec<_>>(), newest);
    deck.publish("deployment.started", 0..20).await;
    assert_eq!(last().await, ["deployment.started"; 8]);
}
