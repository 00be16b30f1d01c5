//! What Grafana's Prometheus data source sends, request by request, and what it reads of the answers: a data source at `/prometheus` works
//! as it is set up, by POST or by GET.

use crate::support::{Answer, Deck, START, deck_with, request};
use axum::body::Body;
use http::Method;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::series::{Sample, Series};
use serde_json::{Value, json};

const NOW: i64 = START.as_millis() / 1000;

/// `up` of two instances and a counter, a sample each fifteen seconds over the last ten minutes.
async fn scraped() -> Deck {
    let deck = deck_with(Catalog::default(), |_| {}).await;
    let samples = (0..40).rev().flat_map(|ago| {
        let at = Timestamp::from_millis(START.as_millis() - ago * 15_000);
        let of = |name: &str, instance: &str, value: f64| Sample {
            name: name.to_owned(),
            labels: [("instance", instance), ("job", "node")].into_iter().collect(),
            at,
            value,
        };
        let counted = 1_000.0 - ago as f64 * 30.0;
        [of("up", "a:9100", 1.0), of("up", "b:9100", 0.0), of("http_requests_total", "a:9100", counted)]
    });
    deck.store.append(samples.collect()).await.unwrap();
    deck
}

/// A request of the data source's backend: the headers are those that it sends along.
async fn send(deck: &Deck, method: Method, resource: &str, parameters: &[(&str, &str)]) -> Answer {
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let path = format!("/prometheus/api/v1/{resource}");
    let (path, body) = match method {
        Method::POST => (path, encoded),
        _ if encoded.is_empty() => (path, String::new()),
        _ => (format!("{path}?{encoded}"), String::new()),
    };
    let mut asked = request(method.clone(), &path)
        .header("user-agent", "Grafana/11.5.2")
        .header("accept-encoding", "gzip")
        .header("x-grafana-org-id", "1")
        .header("x-datasource-uid", "P1809F7CD0C75ACF3")
        .header("x-dashboard-uid", "node")
        .header("x-panel-id", "2")
        .header("x-query-group-id", "5a3d6b5e");
    if method == Method::POST {
        asked = asked.header("content-type", "application/x-www-form-urlencoded");
    }
    deck.send(asked.body(Body::from(body)).unwrap()).await
}

async fn data(deck: &Deck, method: Method, resource: &str, parameters: &[(&str, &str)]) -> Value {
    let answer = send(deck, method, resource, parameters).await;
    let json = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &json["status"]),
        (200, &json!("success")),
        "{resource} {parameters:?}: {json}"
    );
    json["data"].clone()
}

#[tokio::test]
async fn a_data_source_is_saved_and_tested() {
    let deck = scraped().await;
    let now = format!("{NOW}.123");
    // The test is an instant query of a constant, at a time with a fraction.
    let tested = data(&deck, Method::POST, "query", &[("query", "1+1"), ("time", &now)]).await;
    assert_eq!(tested, json!({"resultType": "scalar", "result": [NOW as f64 + 0.123, "2"]}));
    // What it may ask for depends on who answers, by the version and by the features.
    let build = data(&deck, Method::GET, "status/buildinfo", &[]).await;
    assert!(build["version"].as_str().unwrap().split('.').count() >= 2, "{build}");
    assert!(data(&deck, Method::GET, "rules", &[]).await["groups"].is_array());
}

#[tokio::test]
async fn a_panel_asks_for_a_range_by_a_form_and_with_the_method_get() {
    let deck = scraped().await;
    let (start, end) = ((NOW - 300).to_string(), NOW.to_string());
    let query = "sum by (job) (rate(http_requests_total{job=~\"node|api\"}[1m0s]))";
    // The step is a number of seconds; ends are aligned to it, and may have fractions.
    let range = [("end", end.as_str()), ("query", query), ("start", &start), ("step", "15")];
    let by_form = data(&deck, Method::POST, "query_range", &range).await;
    assert_eq!(by_form["resultType"], "matrix");
    assert_eq!(by_form["result"][0]["metric"], json!({"job": "node"}));
    let values = by_form["result"][0]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[20]), (21, &json!([NOW, "2"])));
    assert_eq!(data(&deck, Method::GET, "query_range", &range).await, by_form);
    let fraction = [("end", end.as_str()), ("query", "up"), ("start", &start), ("step", "0.5"), ("timeout", "60s")];
    let fine = data(&deck, Method::POST, "query_range", &fraction).await;
    assert_eq!(fine["result"][0]["values"].as_array().unwrap().len(), 601);
    // Series that have no value are an empty list, and no failure.
    let nothing = [("end", end.as_str()), ("query", "nothing"), ("start", &start), ("step", "15")];
    assert_eq!(data(&deck, Method::POST, "query_range", &nothing).await["result"], json!([]));
    // Exemplars are asked for beside each range.
    let exemplars = [("end", end.as_str()), ("query", query), ("start", &start)];
    assert_eq!(data(&deck, Method::POST, "query_exemplars", &exemplars).await, json!([]));
    assert_eq!(data(&deck, Method::GET, "query_exemplars", &exemplars).await, json!([]));
}

#[tokio::test]
async fn a_table_and_an_alert_rule_ask_at_one_time() {
    let deck = scraped().await;
    let time = NOW.to_string();
    let at = [("query", "up == 0"), ("time", time.as_str())];
    let down = data(&deck, Method::POST, "query", &at).await;
    assert_eq!(down["result"][0]["metric"], json!({"__name__": "up", "instance": "b:9100", "job": "node"}));
    assert_eq!(data(&deck, Method::GET, "query", &at).await, down);
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_shown_under_its_editor() {
    let deck = scraped().await;
    for method in [Method::GET, Method::POST] {
        let answer = send(&deck, method, "query", &[("query", "rate(up"), ("time", "1")]).await;
        let json = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &json["status"], &json["errorType"]),
            (400, &json!("error"), &json!("bad_data"))
        );
        assert!(json["error"].as_str().unwrap().contains("parse error"), "{json}");
    }
}

#[tokio::test]
async fn the_editor_of_queries_and_variables_know_metrics_labels_and_values() {
    let deck = scraped().await;
    let (start, end) = ((NOW - 3_600).to_string(), NOW.to_string());
    let range = [("start", start.as_str()), ("end", end.as_str())];
    let with = |more: &[(&'static str, &'static str)]| [more, &range].concat();
    // Names of metrics, with what they are; names of labels by a form; `label_values(job)` and `label_values(up, instance)`.
    let names = data(&deck, Method::GET, "label/__name__/values", &range).await;
    assert_eq!(names, json!(["http_requests_total", "up"]));
    assert!(data(&deck, Method::GET, "metadata", &[("limit", "40000")]).await.is_object());
    let labels = json!(["__name__", "instance", "job"]);
    assert_eq!(data(&deck, Method::POST, "labels", &range).await, labels);
    assert_eq!(data(&deck, Method::GET, "labels", &with(&[("match[]", "up"), ("limit", "40000")])).await, labels);
    assert_eq!(data(&deck, Method::GET, "label/job/values", &with(&[("limit", "40000")])).await, json!(["node"]));
    let hosts = with(&[("match[]", "up{job=\"node\"}")]);
    assert_eq!(data(&deck, Method::GET, "label/instance/values", &hosts).await, json!(["a:9100", "b:9100"]));
    // The explorer of metrics, and `query_result`.
    let series =
        data(&deck, Method::POST, "series", &with(&[("match[]", "up"), ("match[]", "http_requests_total")])).await;
    assert_eq!(series.as_array().unwrap().len(), 3);
    assert_eq!(data(&deck, Method::GET, "series", &with(&[("match[]", "up")])).await.as_array().unwrap().len(), 2);
    // "Format query", and what explains it.
    let formatted = data(&deck, Method::GET, "format_query", &[("query", "sum(up)by(job)")]).await;
    assert_eq!(formatted, "sum by (job) (up)");
    assert_eq!(data(&deck, Method::POST, "parse_query", &[("query", "up")]).await["type"], "vectorSelector");
}
