//! The document is whole, and answers are as it says.

use crate::support::{deck, request};
use crate::world::{fill, letter, like, world};
use axum::body::Body;
use http::Method;
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use quarterdeck_api::openapi;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::runbook::Run;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&openapi()).unwrap());

/// Where forms ask, and what is not there is an empty answer.
const PROMETHEUS: &str = "/prometheus/api/v1/";
const ALERTMANAGER: &str = "/alertmanager/api/v2/";

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        assert!(DOCUMENT.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        jsonschema::meta::validate(
            &json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]}),
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut operations = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} is there twice");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{id} says nothing");
            assert!(!operation["responses"]["default"].is_null(), "{id} has no errors");
            let reads = method == "get" || (path.starts_with(PROMETHEUS) && !path.ends_with("/write"));
            let free = reads && !["get_process_log", "list_instance_logs"].contains(&id);
            assert_eq!(operation["security"].is_null(), free, "{id}: what changes anything needs the token");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for segment in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
                let declared =
                    parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == segment);
                assert!(declared, "{id} does not declare {segment}");
            }
        }
    }
    assert!(operations.len() >= 40, "{operations:?}");
}

/// Every operation that reads, with its parameters filled in.
fn readable(fill: impl Fn(&str, &str) -> String) -> Vec<String> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let filled = |(path, item): (&String, &Value)| {
        let operation = item.get("get")?;
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut filled = path.clone();
        let mut query = Vec::new();
        for parameter in parameters.iter().filter(|parameter| parameter["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str() {
                Some("path") => filled = filled.replace(&format!("{{{name}}}"), &fill(path, name)),
                _ => query.push(format!("{name}={}", fill(path, name))),
            }
        }
        Some(if query.is_empty() { filled } else { format!("{filled}?{}", query.join("&")) })
    };
    paths.iter().filter(|(path, _)| !path.ends_with("/stream")).filter_map(filled).collect()
}

#[tokio::test]
async fn every_route_that_reads_answers_on_an_empty_store_as_the_document_says() {
    let deck = deck().await;
    let nothing = |_: &str, name: &str| match name {
        "start" | "end" | "step" => "5".to_owned(),
        _ => "nothing".to_owned(),
    };
    for path in readable(nothing) {
        let answer = deck.ask(Method::GET, &path, None, &[]).await;
        let expected = if path.contains("/nothing") && !path.starts_with(PROMETHEUS) { 404 } else { 200 };
        assert_eq!(answer.status.as_u16(), expected, "{path}: {}", String::from_utf8_lossy(&answer.body));
        for header in ["content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"] {
            answer.header(header);
        }
    }
}

#[tokio::test]
async fn documents_of_every_kind_are_shown_as_the_document_says() {
    let deck = world().await;
    for path in readable(fill) {
        let answer = deck.ask(Method::GET, &path, None, &[]).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let listed = answer.headers["content-type"] == "application/json" && answer.json()["items"].is_array();
        if listed && path != "/api/v1/events" {
            assert!(!answer.json()["items"].as_array().unwrap().is_empty(), "{path} shows nothing");
        }
    }
    let first = deck.get("/api/v1/processes?limit=1").await.json();
    assert_eq!(first["items"][0]["name"], "s1");
    let next = format!("/api/v1/processes?cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(deck.get(&next).await.json()["items"][0]["name"], "s2");
    assert_eq!(deck.get("/api/v1/processes?state=exited").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(deck.get("/api/v1/processes?instance=haproxy/other").await.json()["items"], json!([]));
    assert_eq!(deck.get("/api/v1/findings?severity=low").await.json()["items"], json!([]));
    for (path, count) in [
        ("alerts?state=pending", 0),
        ("alerts?state=pending&state=firing", 1),
        ("incidents?state=resolved&state=acknowledged", 0),
        ("incidents?state=open&state=acknowledged", 1),
    ] {
        let items = deck.get(&format!("/api/v1/{path}")).await.json()["items"].as_array().unwrap().len();
        assert_eq!(items, count, "{path}");
    }
    assert_eq!(deck.get("/api/v1/status").await.json()["open"]["alerts"], 1);
    let page = String::from_utf8(deck.get("/metrics").await.body).unwrap();
    assert!(
        page.contains("quarterdeck_plugin_failures_total{instance=\"http-probe/api\",code=\"deadline\"} 1\n"),
        "{page}"
    );
    assert!(page.contains(
        "quarterdeck_http_requests_total{method=\"GET\",route=\"/api/v1/alerts/{fingerprint}\",status=\"200\"} 1\n"
    ));
    assert!(page.ends_with("further 1\n"));
}

#[tokio::test]
async fn what_a_process_printed_is_shown_to_whoever_has_the_token() {
    let deck = deck().await;
    let path = "/api/v1/processes/haproxy/web/s1/log";
    assert_eq!(deck.get(path).await.status, 401, "what programs print is not for everybody at this machine");
    let lines = async |query: &str| {
        let answer = deck.ask(Method::GET, &format!("{path}{query}"), None, &[]).await;
        (answer.status.as_u16(), answer.json()["text"].as_str().map(|text| text.lines().count()))
    };
    assert_eq!(lines("").await, (200, Some(100)));
    assert_eq!(lines("?lines=3").await, (200, Some(3)));
    for bad in ["?lines=0", "?lines=10001", "?lines=x"] {
        assert_eq!(lines(bad).await.0, 400, "{bad}");
    }
    let other = deck.ask(Method::GET, "/api/v1/processes/haproxy/web/s9/log", None, &[]).await;
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn what_a_plugin_logged_is_walked_from_either_end_by_whoever_has_the_token() {
    let deck = deck().await;
    let path = "/api/v1/instances/http-probe/api/logs";
    assert_eq!(deck.get(path).await.status, 401, "what plugins log is not for everybody at this machine");
    let page = async |query: &str| deck.ask(Method::GET, &format!("{path}?{query}"), None, &[]).await.json();
    let numbers = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|line| line["number"].as_u64().unwrap()).collect()
    };
    let first = page("limit=2").await;
    assert_eq!((numbers(&first), &first["oldest"], &first["next"]), (vec![3, 4], &json!(3), &json!(4)));
    let rest = page(&format!("cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((numbers(&rest), &rest["next_cursor"]), (vec![5], &Value::Null));
    assert_eq!(numbers(&page(&format!("after={}", rest["next"])).await), Vec::<u64>::new());
    let newest = page("newest=true&limit=2").await;
    assert_eq!(numbers(&newest), [5, 4]);
    let older = page(&format!("newest=true&cursor={}", newest["next_cursor"].as_str().unwrap())).await;
    assert_eq!(numbers(&older), [3]);
    assert_eq!(numbers(&page("level=warn").await), [4]);
    assert_eq!(deck.ask(Method::GET, &format!("{path}?level=loud"), None, &[]).await.status, 400);
}

#[tokio::test]
async fn the_start_page_leads_to_every_list_and_promises_no_more() {
    let deck = deck().await;
    let page = String::from_utf8(deck.get("/").await.body).unwrap();
    for path in readable(|_, _| "nothing".to_owned()) {
        let of_others = path.starts_with(PROMETHEUS) || path.starts_with(ALERTMANAGER);
        let elsewhere = path.contains("nothing") || path == "/" || of_others;
        assert!(elsewhere || path.ends_with("/export") || page.contains(&format!("<a href=\"{path}")), "{path}");
    }
    for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(deck.get(link).await.status, 200, "{link}");
    }
    assert!(!page.to_lowercase().contains("console"));
}

#[tokio::test]
async fn an_instance_shows_what_its_collector_says_of_its_target() {
    use quarterdeck_engines::monitoring::HEALTH;
    let at = crate::support::START.to_string();
    let said =
        json!({"instance": "http-probe/api", "state": "failed", "message": "refused", "since": at, "checked_at": at});
    let deck = crate::support::deck_over(vec![(HEALTH, "http-probe/api", said)], Default::default(), |_| {}).await;
    for shown in [
        deck.get("/api/v1/instances/http-probe/api").await.json(),
        deck.get("/api/v1/instances").await.json()["items"][0].clone(),
    ] {
        assert_eq!((&shown["health"]["state"], &shown["state"]), (&json!("failed"), &json!("active")), "{shown:#}");
        assert!(!shown["health"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn types_of_events_can_be_left_out() {
    let deck = deck().await;
    deck.publish("audit.http", 0..3).await;
    deck.publish("custom.a", 3..5).await;
    let subjects = async |query: &str| {
        let page = deck.get(&format!("/api/v1/events?{query}")).await.json();
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|event| event["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(subjects("without=audit&newest=true").await, ["4", "3"]);
    assert_eq!(subjects("without=audit.&limit=1").await, ["3"]);
    assert_eq!(subjects("without=custom.a&type=custom").await, Vec::<String>::new());
    assert_eq!(subjects("").await.len(), 5);
}

#[tokio::test]
async fn a_poller_that_is_beyond_the_head_is_told_so_and_misses_nothing_from_then_on() {
    let deck = deck().await;
    deck.publish("custom.a", 0..2).await;
    let head = quarterdeck_model::store::Store::head(&*deck.store);
    let page = async |query: &str| deck.get(&format!("/api/v1/events?{query}")).await.json();
    for query in ["after=999999", "cursor=999999", "newest=true&after=999999"] {
        let lost = page(query).await;
        assert_eq!(lost["gap"], json!({"after": 999_999, "next": head}), "{query}");
        assert_eq!((&lost["items"], &lost["next"], &lost["next_cursor"]), (&json!([]), &json!(head), &Value::Null));
    }
    deck.publish("custom.a", 2..3).await;
    let found = page(&format!("after={head}")).await;
    assert_eq!((&found["items"][0]["subject"], found.get("gap")), (&json!("2"), None));
    assert_eq!(page("after=0").await.get("gap"), None);
}

#[tokio::test]
async fn an_object_is_no_list_of_its_values_for_any_operation() {
    let deck = deck().await;
    let mut asked = 0;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(reference) = schema.as_str() else { continue };
            let schema = DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap();
            if schema["type"] != "object" {
                continue;
            }
            asked += 1;
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for body in [json!([]), json!(["custom.a", "x", {"a": 1}, true]), json!([{}, null])] {
                let answer = deck.ask(method.clone(), &path.replace(['{', '}'], ""), Some(&body), &[]).await;
                let said = String::from_utf8(answer.body).unwrap();
                assert!([400, 422].contains(&answer.status.as_u16()), "{path} {body}: {said}");
                assert!(!said.contains("struct "), "{path}: {said}");
            }
        }
    }
    assert!(asked > 12, "{asked}");
    let pushed = deck.post("/api/v1/metrics", &json!([["m1", {}, 5]])).await;
    assert_eq!((pushed.status.as_u16(), &pushed.json()["errors"][0]["path"]), (422, &json!("[0]")));
    let pushed = deck.post("/api/v1/metrics", &json!({"source": "a", "metrics": [["m1", {}, 5]]})).await;
    assert_eq!(pushed.status, 422);
}

/// What an answer was never checked for may be anything. Whoever adds an operation adds a request here, unless it only reads.
#[tokio::test]
async fn every_operation_is_asked_and_answers_with_every_success_that_the_document_lists() {
    let deck = world().await;
    for path in readable(fill) {
        let answer = deck.ask(Method::GET, &path, None, &[]).await;
        if let Some(tag) = answer.headers.get("etag") {
            let again = request(Method::GET, &path).header(IF_NONE_MATCH, tag).body(Body::empty()).unwrap();
            assert_eq!(deck.send(again).await.status, 304, "{path}");
        }
    }
    deck.send(request(Method::GET, "/").header("accept", "text/html").body(Body::empty()).unwrap()).await;
    deck.open(request(Method::GET, "/api/v1/events/stream").body(Body::empty()).unwrap()).await;
    for (id, state) in [("dep_paused", "paused"), ("dep_going", "progressing")] {
        let changes = json!({"state": state, "finished_at": null, "in_flight": []});
        deck.put(Deployment::COLLECTION, id, &like(Deployment::COLLECTION, id, &changes)).await;
    }
    let mut run = like(Run::COLLECTION, "run_going", &json!({"state": "running", "finished_at": null, "error": null}));
    run["steps"][0]["state"] = json!("running");
    deck.put(Run::COLLECTION, "run_going", &run).await;
    deck.put("dead-letters", "eff_1", &letter()).await;
    let from = crate::support::START.minus(quarterdeck_model::Span::from_secs(60)).to_string();
    let rules = json!({"interval": "15s", "rules": [{"alert": "Up", "expr": "up > 0"}]});
    for (path, body, status) in [
        ("backtests", json!({"alert": "Up", "rules": rules, "from": from}), 200),
        ("console/links", json!({}), 201),
        ("plugins/reload", json!({}), 200),
        ("plugins/http-probe/rollback", json!({}), 200),
        ("jobs/run", json!({"name": "collect/http-probe/api"}), 202),
        ("metrics", json!([{"name": "up", "value": 2.0}]), 202),
        (
            "metrics",
            json!({"source": "shop", "metrics": [{"name": "orders_total", "type": "counter", "value": 2.0}]}),
            202,
        ),
        ("events", json!({"type": "custom.a", "subject": "a"}), 201),
        ("alerts/one/acknowledge", json!({"for": "4h"}), 200),
        ("silences", json!({"matchers": ["a=b"], "for": "1h", "comment": "work"}), 201),
        ("silences/preview", json!({"matchers": ["alertname=\"cpu\""]}), 200),
        ("alerts/one/resolve", json!({}), 200),
        ("incidents/one/acknowledge", json!({}), 200),
        ("incidents/one/resolve", json!({"note": "rebooted"}), 200),
        ("scans", json!({"name": "default"}), 201),
        ("deployments", json!({"service": "shop", "revision": "r9"}), 201),
        ("deployments/dep_paused/promote", json!({}), 200),
        ("deployments/dep_going/abort", json!({"reason": "not today"}), 200),
        ("runs", json!({"runbook": "health"}), 201),
        ("runs/run_going/cancel", json!({}), 200),
        ("dead-letters/eff_1/retry", json!({}), 202),
        ("configuration/reload", json!({}), 200),
        ("configuration/versions/one/restore", json!({}), 200),
        ("configuration/objects/one/one/reset", json!({}), 200),
    ] {
        let answer = deck.post(&format!("/api/v1/{path}"), &body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", String::from_utf8_lossy(&answer.body));
        if let Some(location) = answer.headers.get("location") {
            let found = deck.get(location.to_str().unwrap()).await;
            assert_eq!(found.json()["id"], answer.json()["id"], "{path}: what was created is where it says");
        }
    }
    for (method, body, status) in
        [(Method::PUT, Some(json!({})), 201), (Method::PUT, Some(json!({})), 200), (Method::DELETE, None, 200)]
    {
        let answer = deck.ask(method, "/api/v1/configuration/objects/one/one", body.as_ref(), &[]).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    for (file, status) in [("new.wasm", 201), ("http-probe.wasm", 200)] {
        assert_eq!(deck.upload(&format!("/api/v1/plugin-files/{file}"), b"\0asm", &[]).await.status, status);
    }
    let removed = deck.ask(Method::DELETE, "/api/v1/plugin-files/http-probe.wasm", None, &[]).await;
    assert_eq!(removed.status, 200);
    for path in ["sessions/0123456789abcdef", "sessions"] {
        assert_eq!(deck.ask(Method::DELETE, &format!("/api/v1/{path}"), None, &[]).await.status, 200, "{path}");
    }
    crate::decisions::ask_all(&deck).await;
    let expired = deck.ask(Method::DELETE, "/api/v1/silences/one", None, &[]).await;
    assert_eq!(expired.status, 200);
    crate::prometheus::ask_all(&deck).await;
    crate::samples::ask_all(&deck).await;
    crate::alertmanager::ask_all(&deck).await;
    assert_eq!(deck.contract.missing(|status| status < 400), BTreeSet::new(), "asked by nobody");
}

#[tokio::test]
async fn a_body_must_be_sent_where_the_document_says_so_and_only_there() {
    let deck = deck().await;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(_, operation)| !operation["requestBody"].is_null())
        {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace(['{', '}'], "");
            let empty = request(method, &path).header(AUTHORIZATION, "Bearer a-token").body(Body::empty()).unwrap();
            let refused = String::from_utf8(deck.send(empty).await.body).unwrap().contains("there is no body");
            assert_eq!(operation["requestBody"]["required"], refused, "{path}");
        }
    }
}
