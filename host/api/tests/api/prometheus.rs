//! `/prometheus/api/v1`: the answers of Prometheus, and what bad input, long queries and clients that leave come to.

use crate::support::{Answer, Deck, START, TOKEN, deck, deck_with, request};
use crate::world::world;
use axum::body::Body;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use quarterdeck_api::{Options, QueryLimits, serve};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::series::query::{Budget, Columns, Matcher, Querier, STALE};
use quarterdeck_model::series::{Sample, Series};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);
/// `START` in seconds.
const NOW: i64 = START.as_millis() / 1000;

fn sample(name: &str, labels: &[(&str, &str)], seconds_ago: i64, value: f64) -> Sample {
    let at = Timestamp::from_millis(START.as_millis() - seconds_ago * 1000);
    Sample { name: name.to_owned(), labels: labels.iter().copied().collect(), at, value }
}

/// A path of this API with its parameters percent-encoded.
fn path(endpoint: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("/prometheus/api/v1/{endpoint}?{query}")
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

/// A form, as Grafana sends it: without a token.
async fn send_form(deck: &Deck, endpoint: &str, parameters: &[(&str, &str)]) -> Answer {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request = request(Method::POST, &format!("/prometheus/api/v1/{endpoint}"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form));
    deck.send(request.unwrap()).await
}

/// The data of an answer that has to be a success.
async fn data(deck: &Deck, endpoint: &str, parameters: &[(&str, &str)]) -> Value {
    let answer = deck.get(&path(endpoint, parameters)).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
    answer.json()["data"].clone()
}

/// One form of every endpoint that takes them.
pub(crate) async fn ask_all(deck: &Deck) {
    let range = [("query", "up"), ("start", "0"), ("end", "60"), ("step", "15s")];
    for (endpoint, parameters) in [
        ("query", &[("query", "up")][..]),
        ("query_range", &range),
        ("query_exemplars", &range),
        ("format_query", &[("query", "up")]),
        ("parse_query", &[("query", "up")]),
        ("series", &[("match[]", "up")]),
        ("labels", &[]),
    ] {
        assert_eq!(send_form(deck, endpoint, parameters).await.status, 200, "{endpoint}");
    }
}

/// A deck with `up` of two instances, one a second for ten seconds.
async fn two_instances(change: impl FnOnce(&mut Options)) -> Deck {
    let deck = deck_with(Catalog::default(), change).await;
    let samples = (0..10).rev().flat_map(|ago| {
        [("a", 1.0), ("b", 0.5)].map(|(instance, value)| sample("up", &[("instance", instance)], ago, value))
    });
    deck.store.append(samples.collect()).await.unwrap();
    deck
}

#[tokio::test]
async fn answers_are_those_of_prometheus_to_the_byte() {
    let deck = two_instances(|_| {}).await;
    let time = format!("{NOW}.5");
    for (query, result) in [
        ("1 + 1", format!("scalar\",\"result\":[{NOW}.500,\"2\"]")),
        ("\"text\"", format!("string\",\"result\":[{NOW}.500,\"text\"]")),
        ("1e21", format!("scalar\",\"result\":[{NOW}.500,\"1e+21\"]")),
        ("0/0", format!("scalar\",\"result\":[{NOW}.500,\"NaN\"]")),
        ("-1/0", format!("scalar\",\"result\":[{NOW}.500,\"-Inf\"]")),
        ("nothing", "vector\",\"result\":[]".to_owned()),
        (
            "up{instance=\"b\"}",
            format!(
                "vector\",\"result\":[{{\"metric\":{{\"__name__\":\"up\",\"instance\":\"b\"}},\"value\":[{NOW}.500,\"0.5\"]}}]"
            ),
        ),
        (
            "up{instance=\"a\"}[2s]",
            format!(
                "matrix\",\"result\":[{{\"metric\":{{\"__name__\":\"up\",\"instance\":\"a\"}},\"values\":[[{},\"1\"],[{NOW},\"1\"]]}}]",
                NOW - 1
            ),
        ),
    ] {
        let answer = deck.get(&path("query", &[("query", query), ("time", &time)])).await;
        let expected = format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{result}}}}}");
        assert_eq!((text(&answer), answer.header("content-type")), (expected.as_str(), "application/json"), "{query}");
    }
    let (start, end) = ((NOW - 1).to_string(), START.to_string());
    let range = [("query", "sum(up)"), ("start", &start), ("end", &end), ("step", "500ms")];
    let expected = json!({"resultType": "matrix", "result": [{"metric": {}, "values": [
        [NOW - 1, "1.5"], [NOW as f64 - 0.5, "1.5"], [NOW, "1.5"]]}]});
    assert_eq!(data(&deck, "query_range", &range).await, expected);
}

#[tokio::test]
async fn a_form_asks_the_same_as_a_url_and_needs_no_token_here_either() {
    let deck = two_instances(|_| {}).await;
    let (start, end) = ((NOW - 5).to_string(), NOW.to_string());
    let range = [("start", start.as_str()), ("end", &end), ("step", "1"), ("query", "sum by (instance) (up)")];
    let one = [("query", "count(up)"), ("time", &end)];
    let series = [("match[]", "up{instance=\"a\"}"), ("match[]", "up{instance!=\"a\"}")];
    for (endpoint, parameters) in [
        ("query", &one[..]),
        ("query_range", &range),
        ("query_exemplars", &range),
        ("series", &series),
        ("labels", &series),
    ] {
        let by_url = deck.get(&path(endpoint, parameters)).await;
        let by_form = send_form(&deck, endpoint, parameters).await;
        assert_eq!((by_form.status.as_u16(), &by_form.body), (200, &by_url.body), "{endpoint}");
    }
    // The form's parameters count before those of the URL, which complete them; what nobody knows is passed over.
    let both =
        send_form(&deck, &format!("query?query=2&time={NOW}&dashboard=x"), &[("query", "3"), ("stats", "all")]).await;
    assert_eq!(both.json()["data"]["result"], json!([NOW, "3"]));
}

#[tokio::test]
async fn bad_input_is_refused_with_the_reason_in_prometheus_form() {
    let deck = two_instances(|_| {}).await;
    let long = format!("up{}", " ".repeat(1 << 20));
    let range = |start: &'static str, end: &'static str, step: &'static str| {
        vec![("query", "up"), ("start", start), ("end", end), ("step", step)]
    };
    for (endpoint, parameters, error) in [
        ("query", vec![], "invalid parameter \"query\""),
        ("query", vec![("query", "")], "invalid parameter \"query\""),
        ("query", vec![("query", "sum(up")], "invalid parameter \"query\": parse error"),
        ("query", vec![("query", "up{instance=~\"(\"}")], "invalid parameter \"query\": parse error"),
        ("query", vec![("query", "sum(rate(up))")], "invalid parameter \"query\": parse error"),
        (
            "query",
            vec![("query", "up"), ("time", "yesterday")],
            "invalid parameter \"time\": cannot parse \"yesterday\"",
        ),
        ("query", vec![("query", "up"), ("time", "NaN")], "invalid parameter \"time\""),
        ("query", vec![("query", "up"), ("time", "1e300")], "invalid parameter \"time\""),
        ("query", vec![("query", "up"), ("timeout", "soon")], "invalid parameter \"timeout\""),
        ("query", vec![("query", "up"), ("limit", "-1")], "invalid parameter \"limit\""),
        ("query", vec![("query", "up"), ("lookback_delta", "x")], "invalid parameter \"lookback_delta\""),
        ("query", vec![("query", "up[293y]")], "invalid parameter \"query\""),
        ("query_range", range("", "1", "1"), "invalid parameter \"start\""),
        ("query_range", range("0", "then", "1"), "invalid parameter \"end\""),
        ("query_range", range("2", "1", "1"), "end timestamp must not be before start time"),
        ("query_range", range("0", "1", "0"), "zero or negative query resolution step widths are not accepted"),
        ("query_range", range("0", "1", "-5"), "zero or negative query resolution step widths are not accepted"),
        ("query_range", range("0", "1", "0.0001"), "zero or negative query resolution step widths are not accepted"),
        ("query_range", range("0", "1", "NaN"), "invalid parameter \"step\""),
        ("query_range", range("0", "11001", "1"), "exceeded maximum resolution of 11,000 points per timeseries"),
        ("query_range", range("-1e12", "1e12", "1ms"), "exceeded maximum resolution of 11,000 points per timeseries"),
        ("query_exemplars", vec![("query", "sum(")], "invalid parameter \"query\""),
        ("series", vec![], "no match[] parameter provided"),
        ("series", vec![("match[]", "up{")], "invalid parameter \"match[]\": parse error"),
        ("series", vec![("match[]", "{}")], "invalid parameter \"match[]\": parse error"),
        ("series", vec![("match[]", "sum(up)")], "invalid parameter \"match[]\": parse error"),
        (
            "series",
            vec![("match[]", "up"), ("start", "2"), ("end", "1")],
            "end timestamp must not be before start time",
        ),
        ("labels", vec![("match[]", "{x=\"\"}")], "invalid parameter \"match[]\": parse error"),
        ("label/U__/values", vec![], "invalid label name"),
        ("rules", vec![("type", "other")], "invalid parameter \"type\""),
        ("rules", vec![("exclude_alerts", "perhaps")], "invalid parameter \"exclude_alerts\""),
        ("metadata", vec![("limit", "x")], "invalid parameter \"limit\""),
    ] {
        let answer = deck.get(&path(endpoint, &parameters)).await;
        assert_eq!(answer.status, 400, "{endpoint} {parameters:?}: {}", text(&answer));
        let failure = answer.json();
        assert_eq!((&failure["status"], &failure["errorType"]), (&json!("error"), &json!("bad_data")), "{failure}");
        assert!(failure["error"].as_str().unwrap().contains(error), "{endpoint} {parameters:?}: {failure}");
    }
    let whole = deck.get(&path("query_range", &range("0", "11000", "1"))).await;
    assert_eq!(whole.status, 200, "one point more than there are steps");
    assert_eq!(send_form(&deck, "query", &[("query", &long)]).await.status, 413);
    let no_time =
        send_form(&deck, "query", &[("query", &format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)))]).await;
    assert_eq!(no_time.status, 400, "{}", text(&no_time));
    let bytes = deck.get("/prometheus/api/v1/query?query=up%7Ba%3D%22%FF%22%7D").await;
    assert_eq!(bytes.status, 400);
    assert!(text(&bytes).contains("not UTF-8"), "{}", text(&bytes));
}

#[tokio::test]
async fn a_query_that_the_data_does_not_fit_is_unprocessable_and_one_that_is_odd_is_warned_of() {
    let deck = two_instances(|_| {}).await;
    let answer = deck.get(&path("query", &[("query", "up * on () up")])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["errorType"]), (422, &json!("execution")));
    let answer = deck.get(&path("query", &[("query", "quantile(2, up)")])).await.json();
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("PromQL warning: quantile value should be between 0 and 1"), "{answer}");
    let answer = deck.get(&path("query", &[("query", "rate(up[5m])")])).await.json();
    assert!(answer["infos"][0].as_str().unwrap().starts_with("PromQL info: "), "{answer}");
}

#[tokio::test]
async fn a_query_that_would_read_everything_ends_at_its_bound() {
    let limits = QueryLimits { samples: 1_000, ..QueryLimits::default() };
    let deck = two_instances(|options| options.queries = limits).await;
    let many = (0..200).flat_map(|n| (1..10).map(move |ago| sample("many", &[("n", &n.to_string())], 10 - ago, 1.0)));
    deck.store.append(many.collect()).await.unwrap();
    let (start, end) = ((NOW - 3_600).to_string(), NOW.to_string());
    for parameters in [
        vec![("query", "{__name__=~\".+\"}[1h]")],
        vec![("query", "count_over_time({__name__=~\".+\"}[1h])")],
        vec![("query", "max_over_time(up[1h:1ms])")],
    ] {
        let answer = deck.get(&path("query", &parameters)).await;
        assert_eq!(answer.status, 422, "{parameters:?}");
        let failure = answer.json();
        assert_eq!(failure["errorType"], "execution");
        let error = failure["error"].as_str().unwrap();
        assert!(error.starts_with("query processing would load too many samples into memory in query execution"));
        assert!(error.contains("hint:"), "{error}");
    }
    let range = [("query", "{__name__=~\".+\"}"), ("start", &start), ("end", &end), ("step", "1")];
    assert_eq!(deck.get(&path("query_range", &range)).await.status, 422);
    assert_eq!(data(&deck, "query", &[("query", "count(up)")]).await["result"][0]["value"][1], "2");
}

/// Reads until the query is ended.
#[derive(Default)]
struct Endless {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Endless {
    async fn come(count: &AtomicUsize, wanted: usize) {
        let come = async {
            while count.load(Ordering::SeqCst) < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(SOON, come).await.expect("the query begins, and ends");
    }
}

impl Querier for Endless {
    fn select(&self, _: &[Matcher], _: Timestamp, _: Timestamp, budget: &Budget) -> Result<Vec<Columns>, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !budget.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::Stopped)
    }

    fn series(&self, _: &[Matcher], _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<Arc<Labels>>, StoreError> {
        Ok(Vec::new())
    }
}

async fn endless(limits: QueryLimits) -> (Deck, Arc<Endless>) {
    let querier = Arc::new(Endless::default());
    let given = querier.clone();
    let deck = deck_with(Catalog::default(), |options| {
        options.querier = given;
        options.queries = limits;
    });
    (deck.await, querier)
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_over_the_host_s_or_what_the_client_gives_it() {
    let given = [("query", "up"), ("timeout", "50ms")];
    for (limit, parameters) in [(Span::from_millis(50), &given[..1]), (Span::from_secs(120), &given)] {
        let (deck, querier) = endless(QueryLimits { time: limit, ..QueryLimits::default() }).await;
        let answer = deck.get(&path("query", parameters)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errorType"]), (503, &json!("timeout")));
        assert!(text(&answer).contains("query timed out in expression evaluation"), "{}", text(&answer));
        Endless::come(&querier.ended, 1).await;
    }
}

#[tokio::test]
async fn queries_wait_for_their_turn_and_one_that_never_gets_it_is_never_begun() {
    let (deck, querier) = endless(QueryLimits { at_once: 1, ..QueryLimits::default() }).await;
    let first = path("query", &[("query", "up")]);
    let second = path("query", &[("query", "up"), ("timeout", "0.05")]);
    let others = async {
        Endless::come(&querier.begun, 1).await;
        let answer = deck.get(&second).await;
        assert_eq!(answer.status, 503);
        assert!(text(&answer).contains("query timed out in query queue"), "{}", text(&answer));
    };
    tokio::select! {
        _ = deck.get(&first) => panic!("it is endless"),
        () = others => {}
    }
    // The first one was left alone by its client, which gives its place to the next.
    Endless::come(&querier.ended, 1).await;
    assert_eq!(data(&deck, "query", &[("query", "1")]).await["resultType"], "scalar");
    assert_eq!(querier.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_query() {
    let (deck, querier) = endless(QueryLimits::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, deck.router.clone(), deck.shutdown.clone()));
    for (count, head) in [
        (1, format!("GET /prometheus/api/v1/query?query=up HTTP/1.1\r\nHost: {address}\r\n\r\n")),
        (
            2,
            format!(
                "POST /prometheus/api/v1/query HTTP/1.1\r\nHost: {address}\r\nContent-Length: 8\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\nquery=up"
            ),
        ),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        Endless::come(&querier.begun, count).await;
        drop(client);
        Endless::come(&querier.ended, count).await;
    }
    deck.shutdown.cancel();
    timeout(SOON, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_the_host_ends_queries() {
    let (deck, querier) = endless(QueryLimits::default()).await;
    let end = async {
        Endless::come(&querier.begun, 1).await;
        deck.shutdown.cancel();
    };
    let asked = path("query", &[("query", "up")]);
    let (answer, ()) = tokio::join!(deck.get(&asked), end);
    assert_eq!((answer.status.as_u16(), &answer.json()["errorType"]), (503, &json!("canceled")));
    Endless::come(&querier.ended, 1).await;
}

#[tokio::test]
async fn values_that_are_no_numbers_are_shown_and_a_series_that_ended_is_not() {
    let deck = deck().await;
    let payload = f64::from_bits(0x7ff8_0000_0000_1234);
    let stale = f64::from_bits(STALE);
    let samples = vec![
        sample("odd", &[("is", "nan")], 1, payload),
        sample("odd", &[("is", "infinite")], 1, f64::INFINITY),
        sample("odd", &[("is", "ended")], 2, 1.0),
        sample("odd", &[("is", "ended")], 1, stale),
    ];
    deck.store.append(samples).await.unwrap();
    let shown = data(&deck, "query", &[("query", "odd")]).await;
    let mut values: Vec<_> = shown["result"].as_array().unwrap().iter().map(|sample| &sample["value"][1]).collect();
    values.sort_by_key(|value| value.to_string());
    assert_eq!(values, ["+Inf", "NaN"]);
    let points = data(&deck, "query", &[("query", "odd{is=\"ended\"}[1m]")]).await;
    assert_eq!(points["result"][0]["values"], json!([[NOW - 2, "1"]]), "the marker is no value");
}

#[tokio::test]
async fn series_names_of_labels_and_their_values_are_found_by_selectors_and_time() {
    let deck = two_instances(|_| {}).await;
    let hours_ago = vec![
        sample("old", &[("instance", "c"), ("zone", "west")], 7_200, 1.0),
        sample("temperature.celsius", &[("http.status", "500"), ("straße", "Älter")], 5, 1.0),
    ];
    deck.store.append(hours_ago).await.unwrap();
    let lately = [("start", &*(NOW - 60).to_string()), ("end", &*NOW.to_string())];
    let with = |parameters: &[(&'static str, &'static str)]| {
        parameters.iter().copied().map(|(name, value)| (name, value.to_owned())).collect::<Vec<_>>()
    };
    let ask = async |endpoint: &str, parameters: Vec<(&str, String)>, recent: bool| {
        let mut all: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend(lately.iter().filter(|_| recent));
        data(&deck, endpoint, &all).await
    };
    assert_eq!(
        ask(
            "series",
            with(&[("match[]", "up"), ("match[]", "{zone=~\".+\"}"), ("match[]", "up{instance=\"a\"}")]),
            false
        )
        .await,
        json!([{"__name__": "old", "instance": "c", "zone": "west"}, {"__name__": "up", "instance": "a"}, {"__name__": "up", "instance": "b"}])
    );
    assert_eq!(ask("series", with(&[("match[]", "old")]), true).await, json!([]));
    assert_eq!(ask("labels", vec![], false).await, json!(["__name__", "http.status", "instance", "straße", "zone"]));
    assert_eq!(ask("labels", vec![], true).await, json!(["__name__", "http.status", "instance", "straße"]));
    assert_eq!(ask("labels", with(&[("match[]", "up")]), false).await, json!(["__name__", "instance"]));
    assert_eq!(ask("label/instance/values", vec![], false).await, json!(["a", "b", "c"]));
    assert_eq!(ask("label/instance/values", with(&[("match[]", "up{instance!=\"a\"}")]), true).await, json!(["b"]));
    assert_eq!(ask("label/__name__/values", vec![], true).await, json!(["temperature.celsius", "up"]));
    assert_eq!(ask("label/missing/values", vec![], false).await, json!([]));
    for name in ["http.status", "U__http_2e_status"] {
        assert_eq!(ask(&format!("label/{name}/values"), vec![], false).await, json!(["500"]));
    }
    for name in ["stra%C3%9Fe", "U__stra_df_e"] {
        assert_eq!(ask(&format!("label/{name}/values"), vec![], false).await, json!(["Älter"]));
    }
    let found = ask("query", with(&[("query", "{\"temperature.celsius\", \"straße\"=\"Älter\"}")]), false).await;
    assert_eq!(found["result"][0]["metric"]["http.status"], "500");
    assert_eq!(deck.get("/prometheus/api/v1/label/%FF/values").await.json()["errorType"], "bad_data");
}

#[tokio::test]
async fn a_limit_leaves_results_out_and_says_so() {
    let deck = two_instances(|_| {}).await;
    let (start, end) = ((NOW - 5).to_string(), NOW.to_string());
    for (endpoint, mut parameters, all) in [
        ("query", vec![("query", "up")], 2),
        ("query_range", vec![("query", "up"), ("start", &start), ("end", &end), ("step", "1")], 2),
        ("series", vec![("match[]", "up")], 2),
        ("labels", vec![], 2),
        ("label/instance/values", vec![], 2),
    ] {
        for (limit, count, warned) in [("1", 1, true), ("2", all, false), ("0", all, false)] {
            parameters.push(("limit", limit));
            let answer = deck.get(&path(endpoint, &parameters)).await.json();
            parameters.pop();
            let data = &answer["data"];
            let items = data.as_array().or_else(|| data["result"].as_array()).unwrap();
            assert_eq!(items.len(), count, "{endpoint} {limit}: {answer}");
            let warnings = if warned { json!(["results truncated due to limit"]) } else { Value::Null };
            assert_eq!(answer["warnings"], warnings, "{endpoint} {limit}");
        }
    }
}

#[tokio::test]
async fn how_old_a_sample_may_be_can_be_said() {
    let deck = deck().await;
    deck.store.append(vec![sample("up", &[], 120, 1.0)]).await.unwrap();
    for (lookback, found) in [("5m", 1), ("1m", 0), ("121", 1)] {
        let vector = data(&deck, "query", &[("query", "up"), ("lookback_delta", lookback)]).await;
        assert_eq!(vector["result"].as_array().unwrap().len(), found, "{lookback}");
    }
}

#[tokio::test]
async fn rules_and_alerts_are_shown_in_prometheus_form() {
    let deck = world().await;
    let rules = data(&deck, "rules", &[]).await;
    let group = &rules["groups"][0];
    assert_eq!(
        (&group["name"], &group["file"], &group["interval"]),
        (&json!("every 1h"), &json!("rules"), &json!(3600.0))
    );
    let rule = &group["rules"][0];
    for (member, value) in [
        ("name", json!("cpu")),
        ("type", json!("alerting")),
        ("state", json!("firing")),
        ("query", json!("cpu")),
        ("duration", json!(0.0)),
    ] {
        assert_eq!(rule[member], value, "{member}: {rule:#}");
    }
    let alert = json!({
        "labels": {"alertname": "cpu"}, "state": "firing", "activeAt": START.to_string(), "value": "9.7e+01",
        "annotations": {"summary": "busy", "description": "97 > 90", "severity": "high", "runbook": "health"}
    });
    assert_eq!(rule["alerts"], json!([alert]));
    assert_eq!(data(&deck, "alerts", &[]).await, json!({"alerts": [alert]}));
    for (parameters, shown) in [
        (vec![("type", "alert")], true),
        (vec![("type", "record")], false),
        (vec![("rule_name[]", "cpu"), ("rule_name[]", "other")], true),
        (vec![("rule_name[]", "other")], false),
        (vec![("rule_group[]", "every 1h")], true),
        (vec![("rule_group[]", "every 1m")], false),
        (vec![("file[]", "rules")], true),
        (vec![("file[]", "others")], false),
    ] {
        let groups = data(&deck, "rules", &parameters).await["groups"].clone();
        assert_eq!(groups.as_array().unwrap().len(), usize::from(shown), "{parameters:?}");
    }
    let without = data(&deck, "rules", &[("exclude_alerts", "true")]).await;
    let rule = &without["groups"][0]["rules"][0];
    assert_eq!((&rule["alerts"], &rule["state"]), (&json!([]), &json!("firing")));
}

/// A host with two groups of one rule file, of which the first has been evaluated over `x{job="api"}`.
async fn with_rule_file() -> Deck {
    let groups = json!({
        "node/alerts": {"name": "alerts", "interval": "1h", "limit": 3, "labels": {"team": "db"}, "rules": [
            {"record": "job:x:sum", "expr": "sum by (job) (x)", "labels": {"tier": "1"}},
            {"alert": "High", "expr": "job:x:sum > 1", "for": "5m", "keep_firing_for": "1m", "labels": {"severity": "page"},
                "annotations": {"summary": "{{ $labels.job }} is at {{ $value }}"}},
            {"alert": "Ill", "expr": "x * on () group_left y"}]},
        "node/more": {"name": "more", "interval": "1h", "rules": [{"alert": "Down", "expr": "up == 0"}]}
    });
    let rule_groups = serde_json::from_value(groups).unwrap();
    let deck = deck_with(Catalog { rule_groups, ..Catalog::default() }, |_| {}).await;
    let twice = |name: &str| [sample(name, &[("job", "api")], 0, 2.0), sample(name, &[("job", "web")], 0, 1.0)];
    deck.store.append([twice("x"), twice("y")].concat()).await.unwrap();
    deck.engines.monitoring.evaluate_group("node/alerts", START).await.unwrap_err();
    deck
}

#[tokio::test]
async fn groups_of_rule_files_are_shown_as_prometheus_shows_them() {
    let deck = with_rule_file().await;
    let rules = data(&deck, "rules", &[]).await;
    let [alerts, more] = rules["groups"].as_array().unwrap().as_slice() else { panic!("two groups: {rules:#}") };
    assert_eq!((&alerts["name"], &alerts["file"], &more["name"]), (&json!("alerts"), &json!("node"), &json!("more")));
    let of_group = (&alerts["interval"], &alerts["limit"], &alerts["lastEvaluation"]);
    assert_eq!(of_group, (&json!(3600.0), &json!(3), &json!(START.to_string())));
    assert_eq!(more["rules"][0]["health"], "unknown");
    assert_eq!(more["lastEvaluation"], "0001-01-01T00:00:00Z");
    let [recording, high, ill] = alerts["rules"].as_array().unwrap().as_slice() else { panic!("three rules") };
    for (member, value) in [
        ("type", json!("recording")),
        ("name", json!("job:x:sum")),
        ("query", json!("sum by (job) (x)")),
        ("labels", json!({"team": "db", "tier": "1"})),
        ("health", json!("ok")),
        ("state", Value::Null),
        ("alerts", Value::Null),
    ] {
        assert_eq!(recording[member], value, "{member}: {recording:#}");
    }
    let alert = json!({
        "labels": {"alertname": "High", "job": "api", "severity": "page", "team": "db", "tier": "1"}, "state": "pending",
        "annotations": {"summary": "api is at 2"}, "activeAt": START.to_string(), "value": "2e+00"
    });
    for (member, value) in [
        ("type", json!("alerting")),
        ("query", json!("job:x:sum > 1")),
        ("state", json!("pending")),
        ("duration", json!(300.0)),
        ("keepFiringFor", json!(60.0)),
        ("labels", json!({"severity": "page", "team": "db"})),
        ("annotations", json!({"summary": "{{ $labels.job }} is at {{ $value }}"})),
        ("alerts", json!([alert])),
    ] {
        assert_eq!(high[member], value, "{member}: {high:#}");
    }
    assert_eq!(ill["health"], "err");
    assert!(ill["lastError"].as_str().unwrap().contains("many-to-many"), "{ill:#}");
    assert_eq!(data(&deck, "alerts", &[]).await, json!({"alerts": [alert]}));
}

#[tokio::test]
async fn rules_are_selected_by_type_group_and_labels_and_come_in_pages() {
    let deck = with_rule_file().await;
    let names = async |parameters: &[(&str, &str)]| {
        let groups = data(&deck, "rules", parameters).await["groups"].clone();
        let rules = groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (parameters, expected) in [
        (vec![("type", "record")], vec!["job:x:sum"]),
        (vec![("type", "alert")], vec!["High", "Ill", "Down"]),
        (vec![("rule_group[]", "more")], vec!["Down"]),
        (vec![("file[]", "other")], vec![]),
        (vec![("match[]", "{severity=\"page\"}")], vec!["High"]),
        (
            vec![("match[]", "{tier=~\".+\"}"), ("match[]", "{team!=\"ops\",severity=\"page\"}")],
            vec!["job:x:sum", "High"],
        ),
        (vec![("group_limit", "1")], vec!["job:x:sum", "High", "Ill"]),
    ] {
        assert_eq!(names(&parameters).await, expected, "{parameters:?}");
    }
    let first = data(&deck, "rules", &[("group_limit", "1")]).await;
    let next = first["groupNextToken"].as_str().expect("there is another page");
    assert_eq!(names(&[("group_limit", "1"), ("group_next_token", next)]).await, ["Down"]);
    let last = data(&deck, "rules", &[("group_limit", "1"), ("group_next_token", next)]).await;
    assert_eq!(last["groupNextToken"], Value::Null);
    for wrong in [vec![("group_next_token", next)], vec![("group_limit", "1"), ("group_next_token", "gone")]] {
        assert_eq!(deck.get(&path("rules", &wrong)).await.status, 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn clients_are_told_which_prometheus_this_follows_and_who_it_is() {
    let deck = deck().await;
    let build = data(&deck, "status/buildinfo", &[]).await;
    assert_eq!((&build["version"], &build["revision"]), (&json!("3.0.0"), &json!("quarterdeck-0.0.0")));
    assert_eq!(data(&deck, "status/runtimeinfo", &[]).await["startTime"], START.to_string());
    let targets = json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}});
    assert_eq!(data(&deck, "targets", &[("state", "active")]).await, targets);
    assert_eq!(data(&deck, "metadata", &[("metric", "up")]).await, json!({}));
}

#[tokio::test]
async fn queries_from_elsewhere_need_the_token_and_refusals_have_prometheus_form() {
    let deck = two_instances(|_| {}).await;
    let elsewhere = |method: Method, token: Option<&str>| {
        let mut builder = http::Request::builder()
            .method(method)
            .uri("/prometheus/api/v1/query?query=1")
            .header(HOST, "deck.example");
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        builder.body(Body::empty()).unwrap()
    };
    for method in [Method::GET, Method::POST] {
        for (token, status) in [(None, 401), (Some("another"), 401), (Some(TOKEN), 200)] {
            let answer = deck.send(elsewhere(method.clone(), token)).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {token:?}");
            if status == 401 {
                assert_eq!(
                    (&answer.json()["status"], &answer.json()["errorType"]),
                    (&json!("error"), &json!("bad_data"))
                );
                answer.header("www-authenticate");
            }
        }
    }
    let foreign = request(Method::GET, "/prometheus/api/v1/query?query=1").header(ORIGIN, "http://evil.example");
    let answer = deck.send(foreign.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (403, &json!("error")));
    let json_body = request(Method::POST, "/prometheus/api/v1/query").header(CONTENT_TYPE, "application/json");
    let answer = deck.send(json_body.body(Body::from("{\"query\": \"1\"}")).unwrap()).await;
    assert_eq!(answer.status, 415);
    assert!(
        answer.json()["error"].as_str().unwrap().contains("application/x-www-form-urlencoded"),
        "{}",
        text(&answer)
    );
    // What is not there is refused as everywhere.
    assert_eq!(deck.get("/prometheus/api/v1/nothing").await.status, 404);
    let put = deck.send(request(Method::PUT, "/prometheus/api/v1/rules").body(Body::empty()).unwrap()).await;
    assert_eq!(put.status, 405);
}
