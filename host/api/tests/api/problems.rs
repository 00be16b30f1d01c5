//! Every refusal is a problem document of the right kind.

use crate::support::{Answer, Deck, TOKEN, deck, deck_with, request};
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{Method, Request};
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};

/// The answer is a problem of this status and kind.
fn is(answer: &Answer, status: u16, kind: &str) -> Value {
    let problem = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{problem:#}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:quarterdeck:problem:{kind}"));
    assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
    answer.header("content-security-policy");
    problem
}

async fn raw(deck: &Deck, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut builder = request(Method::POST, "/api/v1/events").header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    if let Some(content_type) = content_type {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    deck.send(builder.body(body.into()).unwrap()).await
}

fn custom() -> Value {
    json!({"type": "custom.test", "subject": "a", "data": {}})
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let deck = deck().await;
    for path in
        ["/nothing", "/api/v1/nothing", "/api/v1/incidents/inc_1", "/api/v1/jobs/a%2Fb", "/api/v1/instances/a/b"]
    {
        is(&deck.get(path).await, 404, "not-found");
    }
    let long = "x".repeat(513);
    is(&deck.get(&format!("/api/v1/incidents/{long}")).await, 404, "not-found");
    is(&deck.get("/api/v1/incidents/a%00b").await, 404, "not-found");
    for path in ["incidents/X/acknowledge", "incidents/X/resolve", "deployments/X/abort", "deployments/X/promote"] {
        is(&deck.post(&format!("/api/v1/{}", path.replace('X', &long)), &json!({})).await, 404, "not-found");
    }
    for path in ["runs/X/cancel", "dead-letters/X/retry", "alerts/X/acknowledge"] {
        is(&deck.post(&format!("/api/v1/{}", path.replace('X', &long)), &json!({})).await, 404, "not-found");
    }
    for path in [
        "/api/v1/incidents/inc_1/acknowledge",
        "/api/v1/alerts/x/acknowledge",
        "/api/v1/alerts/x/resolve",
        "/api/v1/deployments/x/abort",
    ] {
        is(&deck.post(path, &json!({})).await, 404, "not-found");
    }
    is(&deck.post("/api/v1/runs", &json!({"runbook": "x"})).await, 404, "not-found");
    is(&deck.post("/api/v1/jobs/run", &json!({"name": "x"})).await, 404, "not-found");
    is(&deck.get("/api/v1/configuration?pointer=/absent").await, 404, "not-found");
}

#[tokio::test]
async fn a_method_that_is_not_allowed_names_those_that_are() {
    let deck = deck().await;
    let answer = deck.post("/api/v1/status", &json!({})).await;
    is(&answer, 405, "method-not-allowed");
    assert!(answer.header("allow").contains("GET"));
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused() {
    let deck = deck().await;
    is(&raw(&deck, Some("application/json"), "{").await, 400, "malformed-request");
    is(&raw(&deck, Some("application/json"), "").await, 400, "malformed-request");
    is(&raw(&deck, Some("application/json"), vec![0xff, 0xfe]).await, 400, "malformed-request");
    is(&raw(&deck, Some("text/plain"), custom().to_string()).await, 415, "unsupported-media-type");
    is(&raw(&deck, None, custom().to_string()).await, 415, "unsupported-media-type");
    let packed = request(Method::POST, "/api/v1/events").header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    let packed = packed.header(CONTENT_TYPE, "application/json").header(CONTENT_ENCODING, "gzip");
    let problem = is(&deck.send(packed.body(vec![0x1f, 0x8b].into()).unwrap()).await, 415, "unsupported-media-type");
    assert!(problem["detail"].as_str().unwrap().contains("encoded as `gzip`"), "{problem}");
    let problem = is(&raw(&deck, Some("application/json"), r#"{"type": 5, "subject": ""}"#).await, 422, "invalid");
    assert_eq!(problem["errors"][0]["path"], "type");
    is(
        &raw(&deck, Some("application/json"), r#"{"type": "custom.a", "subject": "a", "more": 1}"#).await,
        422,
        "invalid",
    );
    is(&raw(&deck, Some("application/json"), r#"{"type": "incident.opened", "subject": "a"}"#).await, 422, "invalid");
    let deep = format!(r#"{{"type": "custom.a", "subject": "a", "data": {{"a": {}"#, "[".repeat(100_000));
    is(&raw(&deck, Some("application/json"), deep).await, 400, "malformed-request");
    let problem = is(&deck.post("/api/v1/configuration/reload", &json!({})).await, 422, "invalid");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().starts_with("quarterdeck.toml:3:10"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let deck = deck_with(Catalog::default(), |options| options.body_limit = 1000).await;
    let large = "x".repeat(1001);
    is(&raw(&deck, Some("application/json"), large.clone()).await, 413, "too-large");
    let chunks = futures::stream::iter(vec![Ok::<_, std::io::Error>(large)]);
    is(&raw(&deck, Some("application/json"), Body::from_stream(chunks)).await, 413, "too-large");
    assert_eq!(raw(&deck, Some("application/json; charset=utf-8"), custom().to_string()).await.status, 201);
}

#[tokio::test]
async fn a_component_that_cannot_be_taken_is_refused_with_its_reason() {
    let deck = deck().await;
    let path = "/api/v1/plugin-files/http-probe.wasm";
    let without = request(Method::PUT, path).header(CONTENT_TYPE, "application/octet-stream");
    is(&deck.send(without.body(Body::from("\0asm")).unwrap()).await, 401, "unauthorized");
    is(&deck.upload(path, b"", &[]).await, 400, "malformed-request");
    is(&deck.upload(path, b"{}", &[("content-type", "application/json")]).await, 415, "unsupported-media-type");
    is(&deck.upload(path, b"not wasm", &[]).await, 422, "invalid");
    is(&deck.upload(path, b"\0asm", &[("if-match", "\"1\"")]).await, 412, "precondition-failed");
    is(&deck.upload("/api/v1/plugin-files/full.wasm", b"\0asm", &[]).await, 507, "disk-full");
    is(&deck.upload(&format!("{path}?origin=a%0Ab"), b"\0asm", &[]).await, 400, "malformed-request");
    is(&deck.ask(Method::DELETE, path, None, &[("if-match", "\"1\"")]).await, 412, "precondition-failed");
    is(&deck.ask(Method::DELETE, "/api/v1/plugin-files/none.wasm", None, &[]).await, 404, "not-found");
    // Larger than any JSON may be, and than any component may be.
    let larger = vec![0; quarterdeck_api::BODY_LIMIT + 1];
    is(&deck.upload(path, &larger, &[]).await, 422, "invalid");
    is(&deck.upload(path, b"", &[("content-length", "67108865")]).await, 413, "too-large");
    is(&deck.upload(path, &vec![0; (64 << 20) + 1], &[]).await, 413, "too-large");
}

#[tokio::test]
async fn a_file_that_holds_another_plugin_is_replaced_only_if_that_is_said() {
    let deck = deck().await;
    let put = async |file: &str| deck.upload(&format!("/api/v1/plugin-files/{file}"), b"\0asm another", &[]).await;
    is(&put("http-probe.wasm").await, 409, "conflict");
    is(&put("http-probe.wasm?replace=false").await, 409, "conflict");
    is(&put("http-probe.wasm?replace=yes").await, 400, "malformed-request");
    assert_eq!(put("http-probe.wasm?replace=true").await.status, 200);
    assert_eq!(put("new.wasm").await.status, 201);
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused_by_name() {
    let deck = deck().await;
    for (path, name) in [
        ("/api/v1/incidents?severty=high", "severty"),
        ("/api/v1/incidents?severity=loud", "severity"),
        ("/api/v1/incidents?limit=0", "limit"),
        ("/api/v1/incidents?cursor=%21", "cursor"),
        ("/api/v1/events?after=soon", "after"),
        ("/api/v1/metrics/latest", "metric"),
        ("/api/v1/metrics/latest?metric=up&label=x", "label"),
        ("/api/v1/metrics/range?metric=up&from=yesterday", "from"),
        ("/api/v1/metrics/range?metric=up&step=0s", "step"),
        ("/api/v1/status?verbose=1", "verbose"),
    ] {
        let problem = is(&deck.get(path).await, 400, "malformed-request");
        assert_eq!(problem["errors"][0]["path"], name, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("; hint: "), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_refused_with_what_would() {
    let deck = deck().await;
    for (path, hint) in [
        ("/api/v1/incidents?severity=loud", "choose `critical`, `high`, `medium`, `low` or `info`"),
        ("/api/v1/runs?state=open", "choose `running`, `succeeded`"),
        ("/api/v1/incidents?limit=0", "give 1 to 1000"),
        ("/api/v1/incidents?limit=1&limit=2", "give it once"),
        ("/api/v1/incidents?cursor=%21", "`next_cursor`"),
        ("/api/v1/events?after=soon", "a whole number like `20`"),
        ("/api/v1/events?newest=maybe", "`true` or `false`"),
        ("/api/v1/metrics/latest", "`metric=...`"),
        ("/api/v1/metrics/latest?metric=up&label=x", "`label=host%3Da`"),
        ("/api/v1/metrics/range?metric=up&from=yesterday", "2026-01-31T12:00:00Z"),
        ("/api/v1/metrics/range?metric=up&step=0s", "`30s`"),
        ("/api/v1/configuration?pointer=storage", "`/storage/retention`"),
        ("/api/v1/configuration/objects?section=rule", "did you mean `rules`"),
    ] {
        let problem = is(&deck.get(path).await, 400, "malformed-request");
        let (_, told) = problem["detail"].as_str().unwrap().rsplit_once("; hint: ").unwrap();
        assert!(told.contains(hint), "{path}: {told}");
    }
}

#[tokio::test]
async fn a_part_of_a_path_that_does_not_fit_is_refused_with_what_would() {
    let deck = deck().await;
    let problem = is(&deck.get("/api/v1/incidents/%ff").await, 400, "malformed-request");
    assert!(problem["detail"].as_str().unwrap().contains("not UTF-8; hint: "), "{problem}");
    assert_eq!(problem["errors"][0]["path"], "id");
}

#[tokio::test]
async fn a_change_without_the_token_is_refused() {
    let deck = deck().await;
    for given in [None, Some("Bearer wrong"), Some("Basic a-token"), Some(TOKEN)] {
        let mut builder = request(Method::POST, "/api/v1/plugins/reload");
        if let Some(given) = given {
            builder = builder.header(AUTHORIZATION, given);
        }
        let answer = deck.send(builder.body(Body::empty()).unwrap()).await;
        is(&answer, 401, "unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    assert_eq!(deck.post("/api/v1/plugins/reload", &json!({})).await.status, 200);
}

#[tokio::test]
async fn who_reads_from_elsewhere_needs_the_token() {
    let deck = deck().await;
    let ask = async |path: &str, host: &str, more: &[(HeaderName, &str)]| {
        let builder = Request::get(path).header(HOST, host);
        let builder = more.iter().fold(builder, |builder, (name, value)| builder.header(name, *value));
        deck.send(builder.body(Body::empty()).unwrap()).await
    };
    let bearer = format!("Bearer {TOKEN}");
    let forwarded = HeaderName::from_static("x-forwarded-for");
    for path in
        ["/", "/readyz", "/metrics", "/api/v1/status", "/api/v1/incidents/none", "/api/v1/openapi.json", "/nothing"]
    {
        is(&ask(path, "deck.example", &[]).await, 401, "unauthorized");
        is(&ask(path, "deck.example", &[(AUTHORIZATION, "Bearer wrong")]).await, 401, "unauthorized");
        is(&ask(path, "127.0.0.1:7700", &[(forwarded.clone(), "10.0.0.9")]).await, 401, "unauthorized");
        assert_ne!(ask(path, "deck.example", &[(AUTHORIZATION, &bearer)]).await.status, 401, "{path}");
        assert_ne!(ask(path, "127.0.0.1:7700", &[]).await.status, 401, "{path}");
    }
    assert_eq!(ask("/healthz", "deck.example", &[]).await.status, 200);
}

#[tokio::test]
async fn other_names_and_origins_are_refused() {
    let deck = deck().await;
    let ask = async |host: Option<&str>, origin: Option<&str>| {
        let mut builder = Request::get("/healthz");
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                builder = builder.header(name, value);
            }
        }
        deck.send(builder.body(Body::empty()).unwrap()).await
    };
    for (host, origin) in [
        (Some("evil.example"), None),
        (None, None),
        (Some("127.0.0.1:7700"), Some("http://evil.example")),
        (Some("127.0.0.1:7700"), Some("null")),
    ] {
        is(&ask(host, origin).await, 403, "forbidden");
    }
    for (host, origin) in [("localhost:7700", Some("http://localhost:7700")), ("deck.example", None), ("[::1]", None)] {
        let answer = ask(Some(host), origin).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, b"ok".as_slice()));
    }
}

#[tokio::test]
async fn a_producer_that_is_too_fast_is_told_when_to_go_on() {
    let deck = deck().await;
    deck.publish("custom.other", 0..5).await;
    for _ in 0..2_000 {
        assert_eq!(deck.post("/api/v1/events", &custom()).await.status, 201);
    }
    let answer = deck.post("/api/v1/events", &custom()).await;
    is(&answer, 429, "too-many-requests");
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
}

#[tokio::test]
async fn a_client_that_floods_the_log_keeps_no_other_one_out() {
    let deck = deck().await;
    let from = |source: Value| json!({"type": "custom.a", "subject": "s", "source": source});
    for _ in 0..2_000 {
        assert_eq!(deck.post("/api/v1/events", &from(json!("flood"))).await.status, 201);
    }
    let refused = deck.post("/api/v1/events", &from(json!("flood"))).await;
    is(&refused, 429, "too-many-requests");
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    for other in [from(json!("calm")), custom()] {
        let taken = deck.post("/api/v1/events", &other).await;
        assert_eq!(taken.status, 201);
        assert!(taken.json().get("source").is_none() && taken.json().pointer("/data/source").is_none());
    }
    for wrong in ["", "a\nb", &"x".repeat(101)] {
        is(&deck.post("/api/v1/events", &from(json!(wrong))).await, 422, "invalid");
    }
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let deck = deck().await;
    deck.store.close().await;
    is(&deck.post("/api/v1/events", &custom()).await, 503, "unavailable");
}
