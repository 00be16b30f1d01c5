//! The event log over HTTP: publish, list, stream, limits.

use crate::harness::{Daemon, Setup};
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn custom(subject: &str) -> Value {
    json!({"type": "custom.test", "subject": subject, "data": {"n": subject}})
}

/// Reads the stream until `count` events came; gives `(offset, subject)` of each.
async fn read_stream(daemon: &Daemon, after: Option<u64>, count: usize) -> Vec<(u64, String)> {
    let mut request = daemon.http().get(format!("{}/api/v1/events/stream?type=custom", daemon.url));
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after.to_string());
    }
    let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    daemon.answers().head(&Method::GET, &response);
    let mut stream = response.bytes_stream();
    let (mut buffer, mut events, mut id) = (String::new(), Vec::new(), 0);
    while events.len() < count {
        let chunk = stream.next().await.expect("the stream goes on").unwrap();
        buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((line, rest)) = buffer.split_once('\n') {
            if let Some(offset) = line.strip_prefix("id:") {
                id = offset.trim().parse().unwrap();
            } else if let Some(data) = line.strip_prefix("data:") {
                let event: Value = serde_json::from_str(data.trim()).unwrap();
                events.push((id, event["subject"].as_str().unwrap().to_owned()));
            }
            buffer = rest.to_owned();
        }
    }
    events
}

#[tokio::test]
async fn a_stream_resumes_behind_the_last_event_id_without_a_gap() {
    let daemon = Setup::new().start().await;
    for n in 0..20 {
        daemon.post("/api/v1/events", &custom(&n.to_string())).await;
    }
    let first = read_stream(&daemon, Some(0), 7).await;
    let rest = read_stream(&daemon, Some(first.last().unwrap().0), 13).await;
    let subjects: Vec<String> = first.into_iter().chain(rest).map(|(_, subject)| subject).collect();
    assert_eq!(subjects, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_producer_over_its_limit_gets_429_with_retry_after() {
    let daemon = Setup::new().config("[events]\nproducer-rate = 5\nproducer-burst = 10\n").start().await;
    for _ in 0..200 {
        let request = daemon.http().post(format!("{}/api/v1/events", daemon.url)).bearer_auth(&daemon.token);
        let response = request.json(&custom("a")).send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds));
            daemon.answers().read(&Method::POST, response).await.unwrap();
            return;
        }
        daemon.answers().read(&Method::POST, response).await.unwrap();
    }
    panic!("200 events went through a limit of 5 a second");
}

#[tokio::test]
async fn bad_bodies_get_problem_documents() {
    let daemon = Setup::new().start().await;
    let post = |body: Vec<u8>, content_type: &'static str| {
        let request = daemon.http().post(format!("{}/api/v1/events", daemon.url)).bearer_auth(&daemon.token);
        request.header("content-type", content_type).body(body).send()
    };
    for (body, content_type, expected) in [
        (b"{".to_vec(), "application/json", 400),
        (b"[]".to_vec(), "application/json", 422),
        (b"{\"type\": 5}".to_vec(), "application/json", 422),
        (b"{\"type\": \"incident.opened\", \"subject\": \"x\", \"data\": {}}".to_vec(), "application/json", 422),
        (b"type=custom".to_vec(), "application/x-www-form-urlencoded", 415),
    ] {
        let response = post(body, content_type).await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem = daemon.answers().read(&Method::POST, response).await.unwrap();
        let problem: Value = serde_json::from_slice(&problem).unwrap();
        assert!(problem["title"].is_string() && problem["status"] == expected, "{problem}");
    }
    let (status, _) = daemon.call(Method::GET, "/api/v1/nothing", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Answered from the announced length: the body is never sent.
#[tokio::test]
async fn a_body_over_the_limit_gets_413_before_it_is_read() {
    let daemon = Setup::new().start().await;
    let address = daemon.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 3000000\r\nConnection: close\r\n\r\n",
        daemon.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    daemon.answers().raw(&Method::POST, "/api/v1/events", &answer);
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() {
    let daemon = Setup::new().start().await;
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let request = daemon.http().get(format!("{}/api/v1/status", daemon.url)).header(name, value);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        daemon.answers().read(&Method::GET, response).await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_ends_within_five_seconds_with_streams_open() {
    let daemon = Setup::new().start().await;
    let stream = daemon.http().get(format!("{}/api/v1/events/stream", daemon.url)).send().await.unwrap();
    let log = daemon.log();
    let (_, took, well) = daemon.stop();
    assert!(well && took < Duration::from_secs(5), "took {took:?}\n{log}");
    drop(stream);
}
