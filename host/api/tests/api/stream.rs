//! The event stream goes on without a gap.

use crate::support::{Deck, START, deck, deck_with, request};
use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::Method;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::Event;
use quarterdeck_model::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

struct Reader {
    body: BodyDataStream,
    buffer: String,
}

#[derive(Debug, PartialEq)]
struct Frame {
    id: String,
    event: String,
    subject: String,
}

async fn open(deck: &Deck, query: &str, last: Option<&str>) -> Reader {
    let mut builder = request(Method::GET, &format!("/api/v1/events/stream{query}"));
    if let Some(last) = last {
        builder = builder.header("Last-Event-ID", last);
    }
    let response = deck.open(builder.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Reader { body: response.into_body().into_data_stream(), buffer: String::new() }
}

impl Reader {
    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = field("id: ").map(|id| {
                    let data: serde_json::Value = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                    let subject = data["subject"].as_str().unwrap_or_default().to_owned();
                    Frame { id, event: field("event: ").unwrap(), subject }
                });
                self.buffer = rest.to_owned();
                match found {
                    Some(frame) => return Some(frame),
                    None => continue,
                }
            }
            let chunk = timeout(SOON, self.body.next()).await.expect("the stream goes on")?;
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn subjects(&mut self, count: usize) -> Vec<String> {
        let mut subjects = Vec::new();
        while subjects.len() < count {
            subjects.push(self.next().await.expect("the stream goes on").subject);
        }
        subjects
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_stream_shows_what_comes_and_what_was() {
    let deck = deck().await;
    deck.publish("custom.a", 0..3).await;
    let mut live = open(&deck, "?type=custom", None).await;
    let mut all = open(&deck, "?type=custom&after=0", None).await;
    deck.publish("incident.opened", 0..3).await;
    deck.publish("custom.a", 3..6).await;
    assert_eq!(live.subjects(3).await, numbers(3..6));
    assert_eq!(all.subjects(6).await, numbers(0..6));
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_without_a_gap() {
    let deck = deck().await;
    deck.publish("custom.a", 0..50).await;
    let (mut seen, mut last) = (Vec::new(), Some("0".to_owned()));
    while seen.len() < 100 {
        let mut reader = open(&deck, "?type=custom.a", last.as_deref()).await;
        for _ in 0..7 {
            if seen.len() == 100 {
                break;
            }
            let frame = reader.next().await.unwrap();
            assert_eq!(frame.event, "custom.a");
            seen.push(frame.subject);
            last = Some(frame.id);
        }
        if seen.len() == 49 {
            deck.publish("custom.a", 50..100).await;
        }
    }
    assert_eq!(seen, numbers(0..100));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_resumes() {
    let deck = deck().await;
    let mut slow = open(&deck, "?type=custom", None).await;
    deck.publish("custom.a", 0..200).await;
    // The feed gives up while nobody reads: what it had put into the buffer is all that comes.
    let (mut seen, mut last) = (Vec::new(), String::new());
    let cut_off = async {
        while !String::from_utf8(deck.get("/metrics").await.body).unwrap().contains("streams_cut_off_total 1\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, cut_off).await.unwrap();
    while let Some(frame) = slow.next().await {
        seen.push(frame.subject);
        last = frame.id;
    }
    assert!((1..200).contains(&seen.len()), "{}", seen.len());
    let mut again = open(&deck, "?type=custom", Some(&last)).await;
    seen.extend(again.subjects(200 - seen.len()).await);
    assert_eq!(seen, numbers(0..200));
}

async fn until_cut_off(deck: &Deck) {
    let cut_off = async {
        while !String::from_utf8(deck.get("/metrics").await.body).unwrap().contains("streams_cut_off_total 1\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, cut_off).await.expect("it is cut off");
}

/// The feed has room for every one of the events by their number, and not by their bytes.
#[tokio::test]
async fn what_waits_for_a_client_is_bounded_in_bytes() {
    let deck = deck_with(Catalog::default(), |options| options.stream_buffer = Arc::new(100_000.into())).await;
    let mut slow = open(&deck, "?type=custom", None).await;
    for subject in 0..100 {
        let data = serde_json::json!({"text": "x".repeat(60_000)});
        let event = Event::new(&deck.ids, START, "custom.a", subject.to_string()).data(data);
        deck.bus.publish("test", vec![event]).await.unwrap();
    }
    until_cut_off(&deck).await;
    let (mut seen, mut last) = (Vec::new(), "0".to_owned());
    while let Some(frame) = slow.next().await {
        seen.push(frame.subject);
        last = frame.id;
    }
    assert!((1..=4).contains(&seen.len()), "{} events of 60,000 bytes in 256 KiB", seen.len());
    let mut again = open(&deck, "?type=custom", Some(&last)).await;
    seen.extend(again.subjects(100 - seen.len()).await);
    assert_eq!(seen, numbers(0..100));
}

/// It takes one event after the other, each in less time than it may take nothing.
#[tokio::test]
async fn a_client_that_falls_behind_is_cut_off_though_it_never_stands_still() {
    let deck = deck_with(Catalog::default(), |options| options.stall = Span::from_millis(500)).await;
    let mut slow = open(&deck, "?type=custom", None).await;
    deck.publish("custom.a", 0..200).await;
    let (mut seen, mut last) = (Vec::new(), "0".to_owned());
    while let Some(frame) = slow.next().await {
        seen.push(frame.subject);
        last = frame.id;
        // Sixteen wait in front of the one that comes next: five seconds, of three that it may wait.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!((1..60).contains(&seen.len()), "{}", seen.len());
    until_cut_off(&deck).await;
    let mut again = open(&deck, "?type=custom", Some(&last)).await;
    seen.extend(again.subjects(200 - seen.len()).await);
    assert_eq!(seen, numbers(0..200));
}

#[tokio::test]
async fn a_client_from_the_future_is_told_of_the_gap() {
    let deck = deck().await;
    deck.publish("custom.a", 0..3).await;
    let mut reader = open(&deck, "?type=custom", Some("1000000")).await;
    let gap = reader.next().await.unwrap();
    assert_eq!((gap.event.as_str(), gap.id), ("gap", deck.store.head().to_string()));
    deck.publish("custom.a", 3..4).await;
    assert_eq!(reader.subjects(1).await, ["3"]);
}

#[tokio::test]
async fn streams_end_with_the_host() {
    let deck = deck_with(Catalog::default(), |_| {}).await;
    let mut reader = open(&deck, "", None).await;
    deck.shutdown.cancel();
    while reader.next().await.is_some() {}
}
