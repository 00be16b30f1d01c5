//! Samples that are sent: remote write, OTLP, and pushes.

use crate::support::{Answer, Deck, START, TOKEN, deck, deck_with, request};
use axum::body::Body;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::scrape::{IngestLimits, SourceLimits};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

const WRITE: &str = "/prometheus/api/v1/write";
const OTLP: &str = "/otlp/v1/metrics";

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 2);
    varint(&mut out, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn fixed(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn series(labels: &[(&[u8], &[u8])], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        out.extend(field(1, &[field(1, name), field(2, value)].concat()));
    }
    for (at, value) in samples {
        let mut sample = fixed(1, value.to_bits());
        varint(&mut sample, 2 << 3);
        varint(&mut sample, u64::from_ne_bytes(at.to_ne_bytes()));
        out.extend(field(2, &sample));
    }
    field(1, &out)
}

/// `up` of an instance.
fn up(instance: &str, samples: &[(i64, f64)]) -> Vec<u8> {
    series(&[(b"__name__", b"up"), (b"instance", instance.as_bytes())], samples)
}

fn now() -> i64 {
    START.as_millis()
}

async fn send(deck: &Deck, path: &str, body: Vec<u8>, headers: &[(http::HeaderName, &str)]) -> Answer {
    let mut builder = request(Method::POST, path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    for (name, value) in headers {
        builder = builder.header(name, *value);
    }
    deck.send(builder.body(Body::from(body)).unwrap()).await
}

async fn write(deck: &Deck, message: &[u8]) -> Answer {
    let packed = snap::raw::Encoder::new().compress_vec(message).unwrap();
    send(deck, WRITE, packed, &[(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "snappy")]).await
}

async fn otlp(deck: &Deck, body: &Value) -> Answer {
    send(deck, OTLP, body.to_string().into_bytes(), &[(CONTENT_TYPE, "application/json")]).await
}

fn gauge(name: &str, value: f64) -> Value {
    let at = format!("{}000000", now());
    json!({"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [{"name": name, "unit": "s", "gauge": {"dataPoints": [{"timeUnixNano": at, "asDouble": value}]}}]}]}]})
}

/// The values that a query finds, by the label `instance`.
async fn found(deck: &Deck, query: &str) -> BTreeMap<String, String> {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let time = now() / 1000;
    let answer = deck.get(&format!("/prometheus/api/v1/query?query={query}&time={time}")).await.json();
    let samples = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let pair = |sample: &Value| {
        let instance = sample["metric"]["instance"].as_str().unwrap_or_default().to_owned();
        (instance, sample["value"][1].as_str().unwrap().to_owned())
    };
    samples.iter().map(pair).collect()
}

fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(instance, value)| ((*instance).to_owned(), (*value).to_owned())).collect()
}

pub(crate) async fn ask_all(deck: &Deck) {
    assert_eq!(write(deck, &up("asked", &[(now(), 1.0)])).await.status, 204);
    assert_eq!(otlp(deck, &gauge("asked", 1.0)).await.status, 200);
}

fn limited(change: impl FnOnce(&mut IngestLimits)) -> Catalog {
    let mut catalog = Catalog::default();
    change(&mut catalog.ingest);
    catalog
}

#[tokio::test]
async fn what_is_written_remotely_is_there_when_it_is_answered() {
    let deck = deck().await;
    let message = [up("a", &[(now() - 1000, 0.5), (now(), 1.0)]), up("b", &[(now(), f64::INFINITY)])].concat();
    assert_eq!(write(&deck, &message).await.status, 204);
    assert_eq!(found(&deck, "up").await, of(&[("a", "1"), ("b", "+Inf")]));
    assert_eq!(found(&deck, "up offset 1s").await, of(&[("a", "0.5")]));
    // Again, as a sender does that has not seen the answer.
    assert_eq!(write(&deck, &message).await.status, 204);
    // The end of a series.
    let end = f64::from_bits(quarterdeck_model::series::query::STALE);
    assert_eq!(write(&deck, &up("a", &[(now() + 1000, end)])).await.status, 204);
    let later = format!("/prometheus/api/v1/query?query=up&time={}", now() / 1000 + 2);
    assert_eq!(deck.get(&later).await.json()["data"]["result"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_can_not_be_stored_is_said_and_the_rest_is_stored() {
    let deck = deck().await;
    assert_eq!(write(&deck, &up("a", &[(now(), 1.0)])).await.status, 204);
    let hour = 3_600_000;
    for (bad, why) in [(now() - hour, "out of order"), (now() + hour, "in the future")] {
        let instance = format!("b{bad}");
        let answer = write(&deck, &[up("a", &[(bad, 2.0)]), up(&instance, &[(now(), 3.0)])].concat()).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400 && error.contains(why) && error.starts_with("1 samples are not stored, 1 are"),
            "{error}"
        );
        assert_eq!(found(&deck, &format!("up{{instance=\"{instance}\"}}")).await, of(&[(&instance, "3")]));
    }
    assert_eq!(found(&deck, "up{instance=\"a\"}").await, of(&[("a", "1")]));
    let page = String::from_utf8(deck.get("/metrics").await.body).unwrap();
    assert!(page.contains("quarterdeck_samples_total{outcome=\"too_new\"} 1\n"), "{page}");
    assert!(page.contains("quarterdeck_samples_total{outcome=\"too_old\"} 1\n"), "{page}");
}

#[tokio::test]
async fn a_series_that_is_none_costs_those_beside_it_nothing() {
    let name = (b"__name__".as_slice(), b"up".as_slice());
    for (bad, why) in [
        (vec![name, (b"instance", b"b\xff")], "not UTF-8"),
        (vec![(b"instance".as_slice(), b"b".as_slice())], "no metric's name"),
        (vec![(b"__name__", b""), (b"instance", b"b")], "no metric's name"),
        (vec![name, (b"instance", b"b"), (b"instance", b"c")], "twice"),
    ] {
        let deck = deck().await;
        let bad = series(&bad, &[(now() - 1000, 2.0), (now(), 2.0)]);
        let answer = write(&deck, &[up("a", &[(now(), 1.0)]), bad, up("z", &[(now(), 3.0)])].concat()).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && error.starts_with("2 samples are not stored, 2 are: "), "{error}");
        assert!(error.contains(why), "{error}");
        assert_eq!(found(&deck, "up").await, of(&[("a", "1"), ("z", "3")]));
        let page = String::from_utf8(deck.get("/metrics").await.body).unwrap();
        assert!(page.contains("quarterdeck_samples_total{outcome=\"refused\"} 2\n"), "{page}");
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_and_what_was_stored_stays() {
    let deck = deck().await;
    write(&deck, &up("a", &[(now(), 1.0)])).await;
    let protobuf = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "snappy")];
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 64 << 20]).unwrap();
    let cut = snap::raw::Encoder::new().compress_vec(&up("a", &[(now(), 1.0)])[..20]).unwrap();
    for (body, status, why) in [
        (b"up 1".to_vec(), 400, "snappy"),
        (bomb, 413, "uncompressed"),
        (vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00], 413, "uncompressed"),
        (cut, 400, "cut off"),
    ] {
        let answer = send(&deck, WRITE, body, &protobuf).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == status && error.contains(why), "{error}");
    }
    for (labels, why) in [
        ([(b"__name__".as_slice(), b"up".as_slice()), (b"a\xff", b"b")], "not UTF-8"),
        ([(b"__name__", b"up"), (b"__name__", b"down")], "twice"),
        ([(b"a", b"b"), (b"c", b"d")], "no metric's name"),
    ] {
        let answer = write(&deck, &series(&labels, &[(now(), 1.0)])).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && error.contains(why), "{error}");
    }
    let second =
        [(CONTENT_TYPE, "application/x-protobuf;proto=io.prometheus.write.v2.Request"), (CONTENT_ENCODING, "snappy")];
    assert_eq!(send(&deck, WRITE, vec![1], &second).await.status, 415);
    let zstd = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "zstd")];
    assert_eq!(send(&deck, WRITE, vec![1], &zstd).await.status, 415);
    for (path, media) in [(WRITE, "application/x-protobuf"), (OTLP, "application/json")] {
        let without = request(Method::POST, path).header(CONTENT_TYPE, media).body(Body::from("{}")).unwrap();
        assert_eq!(deck.send(without).await.status, 401, "{path}");
    }
    assert_eq!(found(&deck, "up").await, of(&[("a", "1")]));
}

#[tokio::test]
async fn a_source_that_sends_too_fast_is_told_when_to_try_again() {
    let deck = deck_with(
        limited(|limits| {
            let own = SourceLimits { samples_per_second: Some(2), series: None };
            limits.sources.insert("remote-write".to_owned(), own);
        }),
        |_| {},
    )
    .await;
    let three = [up("a", &[(now(), 1.0)]), up("b", &[(now(), 1.0)]), up("c", &[(now(), 1.0)])].concat();
    assert_eq!(write(&deck, &three).await.status, 204);
    let refused = write(&deck, &up("d", &[(now(), 1.0)])).await;
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("`remote-write` sends more than 2 samples a second; hint"), "{error}");
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    assert_eq!(found(&deck, "up").await.len(), 3);
    deck.clock.advance(Span::from_secs(1));
    assert_eq!(write(&deck, &up("d", &[(now(), 1.0)])).await.status, 204);
    // Others are not held up by it.
    assert_eq!(otlp(&deck, &gauge("g", 1.0)).await.status, 200);
}

#[tokio::test]
async fn a_source_with_too_many_series_is_told_how_to_raise_the_limit_and_its_known_ones_go_on() {
    let deck = deck_with(limited(|limits| limits.series = 2), |_| {}).await;
    let two = [up("a", &[(now(), 1.0)]), up("b", &[(now(), 1.0)])].concat();
    assert_eq!(write(&deck, &two).await.status, 204);
    let answer = write(&deck, &[up("c", &[(now(), 1.0)]), up("a", &[(now() + 1, 2.0)])].concat()).await;
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    for part in
        ["1 samples are not stored, 1 are", "`remote-write` has 2 series", "[ingest.sources.\"remote-write\"] series"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(found(&deck, "up").await.len(), 2);
    let shop = json!({"source": "shop", "metrics": [{"name": "orders", "value": 1}, {"name": "customers", "value": 2}, {"name": "carts", "value": 3}]});
    let pushed = deck.post("/api/v1/metrics", &shop).await;
    assert_eq!(
        (pushed.status.as_u16(), &pushed.json()["accepted"], &pushed.json()["refused"]),
        (202, &json!(2), &json!(1))
    );
    assert!(pushed.json()["reason"].as_str().unwrap().contains("`shop` has 2 series"));
    let only = json!({"source": "shop", "metrics": [{"name": "carts", "value": 3}]});
    assert_eq!(deck.post("/api/v1/metrics", &only).await.status, 422);
}

#[tokio::test]
async fn labels_beyond_what_holds_for_all_are_refused_by_the_series() {
    let limits = |limits: &mut IngestLimits| {
        (limits.labels, limits.label_name_bytes, limits.label_value_bytes) = (3, 10, 10);
    };
    let deck = deck_with(limited(limits), |_| {}).await;
    for (labels, why) in [
        (vec![(b"a".as_slice(), b"b".as_slice()), (b"c", b"d"), (b"e", b"f")], "raise `[ingest] labels`"),
        (vec![(b"a_long_label", b"b")], "label-name-bytes"),
        (vec![(b"a", b"a long value")], "label-value-bytes"),
    ] {
        let all = [vec![(b"__name__".as_slice(), b"m".as_slice())], labels].concat();
        let answer = write(&deck, &series(&all, &[(now(), 1.0)])).await;
        assert!(answer.json()["error"].as_str().unwrap().contains(why), "{why}");
    }
    assert_eq!(found(&deck, "m").await.len(), 0);
}

#[tokio::test]
async fn metrics_of_opentelemetry_have_the_names_that_prometheus_gives_them() {
    let deck = deck().await;
    let answer = otlp(&deck, &gauge("queue.time", 2.5)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
    assert_eq!(found(&deck, "queue_time_seconds{job=\"shop\"}").await, of(&[("", "2.5")]));
    let described = deck.get("/prometheus/api/v1/metadata?metric=queue_time_seconds").await.json();
    assert_eq!(described["data"]["queue_time_seconds"][0]["type"], "gauge");
    // Packed, and in protobuf: a gauge without a resource.
    let point = [fixed(3, now() as u64 * 1_000_000), fixed(4, 7.5_f64.to_bits())].concat();
    let metric = [field(1, b"depth"), field(5, &field(1, &point))].concat();
    let message = field(1, &field(2, &field(2, &metric)));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&message).unwrap();
    let headers = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "gzip")];
    let answer = send(&deck, OTLP, encoder.finish().unwrap(), &headers).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type"), answer.body.len()),
        (200, "application/x-protobuf", 0)
    );
    assert_eq!(found(&deck, "depth").await, of(&[("", "7.5")]));
}

#[tokio::test]
async fn points_of_opentelemetry_that_have_no_place_are_rejected_by_number() {
    let deck = deck().await;
    let mut mixed = gauge("fine", 1.0);
    let delta = json!({"name": "delta", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{"asInt": "1"}, {"asInt": "2"}]}});
    mixed["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array_mut().unwrap().push(delta);
    let answer = otlp(&deck, &mixed).await;
    let partial = answer.json()["partialSuccess"].clone();
    assert_eq!((answer.status.as_u16(), &partial["rejectedDataPoints"]), (200, &json!("2")));
    assert!(partial["errorMessage"].as_str().unwrap().contains("`delta` has delta temporality; hint"), "{partial}");
    assert_eq!(found(&deck, "fine_seconds").await.len(), 1);
    // What is wrong deep inside is an error, not a metric of no kind.
    let mut broken = gauge("broken", 1.0);
    *broken.pointer_mut("/resourceMetrics/0/scopeMetrics/0/metrics/0/gauge/dataPoints/0/asDouble").unwrap() =
        json!("abc");
    let answer = otlp(&deck, &broken).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(3)));
    assert!(answer.json()["message"].as_str().unwrap().contains("`\"abc\"` is not the number"), "{}", answer.json());
    for (body, headers, status) in [
        (b"{".to_vec(), vec![(CONTENT_TYPE, "application/json")], 400),
        (b"\x0a\xff".to_vec(), vec![(CONTENT_TYPE, "application/x-protobuf")], 400),
        (b"{}".to_vec(), vec![(CONTENT_TYPE, "text/plain")], 415),
        (b"{}".to_vec(), vec![(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "br")], 415),
        (b"{}".to_vec(), vec![(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")], 400),
    ] {
        let answer = send(&deck, OTLP, body, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.headers.get("retry-after"), None, "{headers:?}: it is not to be sent again");
    }
}

/// Code and message of a `google.rpc.Status` in protobuf.
fn status(bytes: &[u8]) -> (u8, String) {
    let [0x08, code, 0x12, rest @ ..] = bytes else { panic!("{bytes:?}") };
    let (length, message) = rest.split_at(rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1);
    let length = length.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    assert_eq!(length, message.len());
    (*code, String::from_utf8(message.to_vec()).unwrap())
}

#[tokio::test]
async fn a_failure_of_opentelemetry_is_a_status_in_the_encoding_of_the_request() {
    let deck = deck_with(
        limited(|limits| {
            let own = SourceLimits { samples_per_second: Some(1), series: None };
            limits.sources.insert("otlp".to_owned(), own);
        }),
        |_| {},
    )
    .await;
    let (json, protobuf) = ([(CONTENT_TYPE, "application/json")], [(CONTENT_TYPE, "application/x-protobuf")]);
    let answer = send(&deck, OTLP, b"{".to_vec(), &json).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, "application/json"));
    assert_eq!(answer.json()["code"], 3);
    assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    let answer = send(&deck, OTLP, b"\x0a\xff".to_vec(), &protobuf).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, "application/x-protobuf"));
    assert_eq!(status(&answer.body).0, 3);
    assert!(status(&answer.body).1.contains("cut off"), "{:?}", status(&answer.body));
    // What every request passes before it is looked at answers in the same way.
    for headers in [json, protobuf] {
        let without = request(Method::POST, OTLP).header(CONTENT_TYPE, headers[0].1).body(Body::from("{}")).unwrap();
        let answer = deck.send(without).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (401, headers[0].1));
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    // The source is over its limit: to be sent again, and when.
    assert_eq!(otlp(&deck, &gauge("fine", 1.0)).await.status, 200);
    let refused = otlp(&deck, &gauge("fine", 2.0)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (429, &json!(8)));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
}

/// A body of that many bytes that goes on for ever.
fn endless(bytes: usize) -> Body {
    let piece = || Ok::<_, std::io::Error>(bytes::Bytes::from(vec![0; 1 << 20]));
    let pieces = std::iter::repeat_with(piece).take(bytes >> 20);
    Body::from_stream(futures::StreamExt::chain(futures::stream::iter(pieces), futures::stream::pending()))
}

/// Somebody who sends so much, and then nothing more, without an end. Dropped, it hangs up.
fn slow(deck: &Deck, path: &str, bytes: usize) -> tokio_util::task::AbortOnDropHandle<()> {
    let sent = request(Method::POST, path)
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(endless(bytes))
        .unwrap();
    let router = deck.router.clone();
    tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = tower::ServiceExt::oneshot(router, sent).await;
    }))
}

#[tokio::test]
async fn who_sends_slowly_keeps_nobody_else_waiting() {
    let deck = deck().await;
    let slow: Vec<_> = (0..20).map(|n| slow(&deck, if n % 2 == 0 { WRITE } else { OTLP }, 1 << 20)).collect();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let began = std::time::Instant::now();
    assert_eq!(write(&deck, &up("a", &[(now(), 1.0)])).await.status, 204);
    assert_eq!(otlp(&deck, &gauge("g", 1.0)).await.status, 200);
    // A place is waited for ten seconds long.
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(slow.iter().all(|sender| !sender.is_finished()));
}

#[tokio::test]
async fn a_push_of_a_source_says_what_its_metrics_are_and_mistakes_have_their_place() {
    let deck = deck().await;
    let at = START.minus(Span::from_secs(60)).to_string();
    let push = json!({"source": "shop", "metrics": [
        {"name": "orders_total", "type": "counter", "help": "Orders.", "labels": {"instance": "eu"}, "value": 17},
        {"name": "orders_total", "type": "counter", "help": "Orders.", "labels": {"instance": "us"}, "value": 4, "at": at},
    ]});
    let answer = deck.post("/api/v1/metrics", &push).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({"accepted": 2, "refused": 0})));
    assert_eq!(found(&deck, "orders_total").await, of(&[("eu", "17"), ("us", "4")]));
    let described = deck.get("/prometheus/api/v1/metadata").await.json();
    assert_eq!(described["data"]["orders_total"], json!([{"type": "counter", "help": "Orders.", "unit": ""}]));
    for (bad, path) in [
        (json!({"source": "shop", "metrics": [{"name": "a", "value": 1}, {"name": "9", "value": 1}]}), "metrics[1]"),
        (
            json!({"source": "shop", "metrics": [{"name": "a", "value": 1, "at": "2100-01-01T00:00:00Z"}]}),
            "metrics[0].at",
        ),
        (json!({"source": "", "metrics": []}), "source"),
        (json!({"source": "shop", "metrics": [{"name": "a", "value": "1"}]}), "metrics[0].value"),
        (json!({"source": "shop", "metrics": [{"name": "a", "value": 1, "type": "meter"}]}), "metrics[0].type"),
        (json!([{"name": "a", "value": 1}, {"name": "b"}]), "[1]"),
    ] {
        let refused = deck.post("/api/v1/metrics", &bad).await;
        assert_eq!(refused.status, 422, "{bad}");
        assert_eq!(refused.json()["errors"][0]["path"], path, "{refused}", refused = refused.json());
    }
    assert_eq!(found(&deck, "a").await.len(), 0);
}

#[tokio::test]
async fn a_push_says_what_has_no_number_in_json_by_a_text() {
    let deck = deck().await;
    let metric = |instance: &str, value: Value| json!({"name": "m", "labels": {"instance": instance}, "value": value});
    let values = [("n", json!("NaN")), ("p", json!("+Inf")), ("m", json!("-Inf")), ("w", json!(-2)), ("f", json!(0.5))];
    let list: Vec<Value> = values.iter().map(|(instance, value)| metric(instance, value.clone())).collect();
    assert_eq!(deck.post("/api/v1/metrics", &json!(list)).await.json(), json!({"accepted": 5, "refused": 0}));
    let stored = [("n", "NaN"), ("p", "+Inf"), ("m", "-Inf"), ("w", "-2"), ("f", "0.5")];
    assert_eq!(found(&deck, "m").await, of(&stored));
    let named = json!({"source": "shop", "metrics": [{"name": "shop", "labels": {"instance": "a"}, "value": "+Inf"}]});
    assert_eq!(deck.post("/api/v1/metrics", &named).await.status, 202);
    assert_eq!(found(&deck, "shop").await, of(&[("a", "+Inf")]));
    for value in [json!("Inf"), json!("nan"), json!("1"), json!(null), json!(true)] {
        let refused = deck.post("/api/v1/metrics", &json!([metric("a", value.clone())])).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["errors"][0]["path"]),
            (422, &json!("[0].value")),
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_million_series_of_one_source_end_at_its_limit() {
    let deck = deck_with(limited(|limits| limits.series = 5_000), |_| {}).await;
    // The host's own rules have series, too.
    let own = deck.store.active_series();
    for part in 0..20 {
        let message: Vec<u8> = (0..50_000).flat_map(|n| up(&format!("{part}-{n}"), &[(now(), 1.0)])).collect();
        let answer = write(&deck, &message).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains("`remote-write` has 5000 series"));
        let stored = deck.store.active_series();
        assert!((5_000..5_100 + own).contains(&stored), "{stored}");
    }
}
