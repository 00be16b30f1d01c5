use super::*;

fn shown(read: &Read) -> Vec<String> {
    let series = read.batch.series().map(|series| {
        let labels = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
        format!("{labels} {}@{}", series.samples[0].value, series.samples[0].at)
    });
    series.collect()
}

/// One resource with these metrics.
fn request(metrics: &str) -> String {
    format!(
        r#"{{"resourceMetrics": [{{"resource": {{"attributes": [
            {{"key": "service.name", "value": {{"stringValue": "shop"}}}},
            {{"key": "service.instance.id", "value": {{"stringValue": "a1"}}}},
            {{"key": "host.name", "value": {{"stringValue": "web"}}}}]}},
            "scopeMetrics": [{{"scope": {{"name": "x"}}, "metrics": [{metrics}]}}]}}]}}"#
    )
}

#[test]
fn every_kind_becomes_the_series_that_prometheus_makes_of_it() {
    let metrics = r#"
        {"name": "queue.length", "unit": "1", "gauge": {"dataPoints": [{"timeUnixNano": "1790000000000000000", "asInt": "-3"}]}},
        {"name": "requests", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": 1790000000000000000, "asDouble": 1.5,
             "attributes": [{"key": "http.codes", "value": {"arrayValue": {"values": [{"intValue": "200"}, {"boolValue": true}]}}}]}]}},
        {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints": [
            {"timeUnixNano": "1790000000000000000", "count": "6", "sum": 2.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.1, 1]}]}},
        {"name": "rtt", "summary": {"dataPoints": [{"timeUnixNano": "1790000000000000000", "count": 2, "sum": 3,
            "quantileValues": [{"quantile": 0.99, "value": "NaN"}]}]}}"#;
    let read = json(request(metrics).as_bytes()).unwrap();
    let of = "instance=a1,job=shop";
    let at = "@1790000000000";
    assert_eq!(
        shown(&read),
        [
            format!("__name__=queue_length_ratio,{of} -3{at}"),
            format!("__name__=requests_total,http_codes=[200,true],{of} 1.5{at}"),
            format!("__name__=latency_seconds_sum,{of} 2.5{at}"),
            format!("__name__=latency_seconds_count,{of} 6{at}"),
            format!("__name__=latency_seconds_bucket,{of},le=0.1 1{at}"),
            format!("__name__=latency_seconds_bucket,{of},le=1 3{at}"),
            format!("__name__=latency_seconds_bucket,{of},le=+Inf 6{at}"),
            format!("__name__=rtt_sum,{of} 3{at}"),
            format!("__name__=rtt_count,{of} 2{at}"),
            format!("__name__=rtt,{of},quantile=0.99 NaN{at}"),
            format!("__name__=target_info,host_name=web,{of} 1{at}"),
        ]
    );
    let kinds: Vec<_> = read.batch.metadata.iter().map(|metric| (metric.name.as_str(), metric.kind)).collect();
    let expected = [
        ("queue_length_ratio", "gauge"),
        ("requests_total", "counter"),
        ("latency_seconds", "histogram"),
        ("rtt", "summary"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(read.rejected, 0);
}

#[test]
fn what_has_no_place_in_cumulative_series_is_rejected_and_said_and_the_rest_is_taken() {
    let metrics = r#"
        {"name": "good", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": 1}]}},
        {"name": "delta", "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [{"asInt": 1}, {"asInt": 2}]}},
        {"name": "exp", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{"count": 1}]}},
        {"name": "odd", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"count": 1, "bucketCounts": [1], "explicitBounds": [1]}]}},
        {"name": "empty", "gauge": {"dataPoints": [{"timeUnixNano": "1"}]}}"#;
    let read = json(request(metrics).as_bytes()).unwrap();
    assert_eq!((read.rejected, shown(&read).len()), (5, 2));
    let said = read.reasons.join("\n");
    for part in [
        "`delta` has delta temporality; hint",
        "`exp` is an exponential histogram",
        "`odd` don't fit",
        "`empty` has no value",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

/// One point of a gauge with these fields.
fn point(fields: &str) -> String {
    request(&format!(r#"{{"name": "a", "gauge": {{"dataPoints": [{{{fields}}}]}}}}"#))
}

#[test]
fn what_is_null_in_json_is_as_if_it_were_not_there() {
    let written = |fields: &str| shown(&json(point(fields).as_bytes()).unwrap());
    let plain = written(r#""timeUnixNano": "1000000", "asInt": 1"#);
    assert_eq!(plain[0], "__name__=a,instance=a1,job=shop 1@1");
    let nulls = r#""timeUnixNano": "1000000", "asInt": 1, "asDouble": null, "attributes": null, "flags": null, "exemplars": null"#;
    assert_eq!(written(nulls), plain);
    assert_eq!(written(r#""timeUnixNano": null, "asInt": 1"#)[0], "__name__=a,instance=a1,job=shop 1@0");
    for metric in [
        r#"{"name": "a", "unit": null, "description": null, "sum": null, "gauge": {"dataPoints": [{"asInt": 1}]}}"#,
        r#"{"name": "a", "sum": {"aggregationTemporality": 2, "isMonotonic": null, "dataPoints": [{"asInt": 1}]}}"#,
        r#"{"name": "a", "gauge": {"dataPoints": null}}, {"name": "a", "gauge": {"dataPoints": [{"asInt": 1}]}}"#,
        r#"{"name": "a", "gauge": {"dataPoints": [{"asInt": 1, "attributes": [{"key": "b", "value": null}, {"key": null}]}]}}"#,
    ] {
        let read = json(request(metric).as_bytes()).unwrap();
        assert_eq!((read.rejected, shown(&read)[0].as_str()), (0, "__name__=a,instance=a1,job=shop 1@0"), "{metric}");
    }
    let histogram = r#"{"name": "a", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"count": null, "sum": null, "bucketCounts": null, "explicitBounds": null}]}}"#;
    assert_eq!(shown(&json(request(histogram).as_bytes()).unwrap())[0], "__name__=a_count,instance=a1,job=shop 0@0");
    for nothing in
        [r#"{"resourceMetrics": null}"#, r#"{"resourceMetrics": [{"resource": null, "scopeMetrics": null}]}"#]
    {
        assert!(json(nothing.as_bytes()).unwrap().batch.is_empty(), "{nothing}");
    }
    assert!(json(request(r#"{"name": "a", "tomorrows": {"dataPoints": 1}}"#).as_bytes()).unwrap().batch.is_empty());
}

#[test]
fn what_is_malformed_inside_of_json_is_an_error_and_never_left_out() {
    let metric = |kind: &str| request(&format!(r#"{{"name": "a", {kind}}}"#));
    for (body, why) in [
        (point(r#""asInt": 1, "attributes": {}"#), "expected a sequence"),
        (point(r#""asInt": 1, "attributes": [null]"#), "null"),
        (point(r#""asDouble": "abc""#), "`\"abc\"` is not the number"),
        (point(r#""asInt": 1.5"#), "`1.5` is not the number"),
        (point(r#""asInt": 1, "timeUnixNano": "-1""#), "`\"-1\"` is not the number"),
        (point(r#""asInt": 1, "timeUnixNano": 1.5"#), "`1.5` is not the number"),
        (point(r#""asInt": 1, "flags": 4294967296"#), "more flags"),
        (metric(r#""gauge": {"dataPoints": {}}"#), "expected a sequence"),
        (metric(r#""gauge": []"#), "expected an object"),
        (r#"{"resourceMetrics": [[]]}"#.to_owned(), "expected an object"),
        (metric(r#""gauge": {"dataPoints": [1]}"#), "integer `1`"),
        (metric(r#""gauge": {}, "sum": {}"#), "of two kinds"),
        (metric(r#""sum": {"isMonotonic": "yes"}"#), "expected a boolean"),
        (metric(r#""sum": {"aggregationTemporality": "CUMULATIVE"}"#), "not a temporality"),
        (metric(r#""histogram": {"dataPoints": [{"bucketCounts": [null]}]}"#), "`null` is not the number"),
        (metric(r#""summary": {"dataPoints": [{"quantileValues": [{"quantile": "p99"}]}]}"#), "`\"p99\"`"),
        (metric(r#""exponentialHistogram": {"dataPoints": 1}"#), "expected a sequence"),
        (point(r#""asInt": 1, "attributes": [{"key": "b", "value": "plain"}]"#), "not the value of an attribute"),
        (point(r#""asInt": 1, "attributes": [{"key": "b", "value": {"intValue": "x"}}]"#), "not the value"),
        (point(r#""asInt": 1, "attributes": [{"key": "b", "value": {"arrayValue": [1]}}]"#), "not a list of values"),
        (
            point(r#""asInt": 1, "attributes": [{"key": "b", "value": {"kvlistValue": {"values": [1]}}}]"#),
            "not an entry",
        ),
    ] {
        match json(body.as_bytes()) {
            Err(Error::Malformed(said)) => {
                assert!(said.contains(why) && said.contains("at line "), "{body}: {said}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn a_point_without_a_recorded_value_ends_its_series() {
    let metrics = r#"{"name": "a", "gauge": {"dataPoints": [{"timeUnixNano": "1000000", "flags": 1}]}}"#;
    let read = json(request(metrics).as_bytes()).unwrap();
    assert_eq!(read.batch.series().next().unwrap().samples[0].value.to_bits(), STALE);
}

fn text(out: &mut Vec<u8>, number: u64, value: &str) {
    write::bytes(out, number, value.as_bytes());
}

fn nested(number: u64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut inner, mut out) = (Vec::new(), Vec::new());
    fill(&mut inner);
    write::bytes(&mut out, number, &inner);
    out
}

/// A histogram and a sum, of a resource with a name.
fn encoded() -> Vec<u8> {
    let attribute = |number: u64, key: &str, value: &str| {
        nested(number, |out| {
            text(out, 1, key);
            out.extend(nested(2, |out| text(out, 1, value)));
        })
    };
    let histogram = nested(2, |metric| {
        text(metric, 1, "latency");
        text(metric, 3, "s");
        metric.extend(nested(9, |histogram| {
            histogram.extend(nested(1, |point| {
                write::fixed(point, 3, 1_790_000_000_000_000_000);
                write::fixed(point, 4, 3);
                write::fixed(point, 5, 2.5_f64.to_bits());
                let packed: Vec<u8> = [1_u64, 2].iter().flat_map(|count| count.to_le_bytes()).collect();
                write::bytes(point, 6, &packed);
                write::bytes(point, 7, &0.1_f64.to_le_bytes());
            }));
            write::number(histogram, 2, 2);
        }));
    });
    let sum = nested(2, |metric| {
        text(metric, 1, "requests");
        metric.extend(nested(7, |sum| {
            sum.extend(nested(1, |point| {
                write::fixed(point, 3, 1_790_000_000_000_000_000);
                write::fixed(point, 6, (-7_i64).cast_unsigned());
                point.extend(attribute(7, "code", "200"));
            }));
            write::number(sum, 2, 2);
            write::number(sum, 3, 1);
        }));
    });
    nested(1, |resource| {
        resource.extend(nested(1, |out| out.extend(attribute(1, "service.name", "shop"))));
        resource.extend(nested(2, |scope| {
            scope.extend(histogram);
            scope.extend(sum);
        }));
    })
}

#[test]
fn protobuf_says_the_same() {
    let at = "@1790000000000";
    assert_eq!(
        shown(&protobuf(&encoded()).unwrap()),
        [
            format!("__name__=latency_seconds_sum,job=shop 2.5{at}"),
            format!("__name__=latency_seconds_count,job=shop 3{at}"),
            format!("__name__=latency_seconds_bucket,job=shop,le=0.1 1{at}"),
            format!("__name__=latency_seconds_bucket,job=shop,le=+Inf 3{at}"),
            format!("__name__=requests_total,code=200,job=shop -7{at}"),
        ]
    );
}

#[test]
fn no_cut_and_no_changed_byte_of_a_message_makes_it_panic() {
    let bytes = encoded();
    for length in 0..bytes.len() {
        let _ = protobuf(&bytes[..length]);
        for value in [0x00, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[length] = value;
            let _ = protobuf(&changed);
        }
    }
    let whole = request(r#"{"name": "a", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": 1}]}}"#);
    for length in 0..whole.len() {
        assert!(json(&whole.as_bytes()[..length]).is_err(), "{length}");
    }
}

#[test]
fn small_messages_that_would_become_large_are_refused() {
    let bytes = nested(1, |resource| resource.extend(nested(2, |scope| scope.extend([0x12, 0x00].repeat(1_100_000)))));
    assert!(matches!(protobuf(&bytes), Err(Error::TooLarge(_))));
    let points = "{},".repeat(600_000);
    let metrics = format!(r#"{{"name": "a", "gauge": {{"dataPoints": [{}]}}}}"#, points.trim_end_matches(','));
    assert!(matches!(json(request(&metrics).as_bytes()), Err(Error::TooLarge(_))));
    // Lists in lists in lists.
    let mut value = Vec::new();
    for _ in 0..200 {
        let inner = value;
        value = nested(5, |list| list.extend(nested(1, |out| out.extend(inner))));
    }
    let deep = nested(1, |resource| {
        resource.extend(nested(1, |out| {
            out.extend(nested(1, |attribute| attribute.extend(nested(2, |out| out.extend(value)))))
        }));
    });
    assert!(protobuf(&deep).unwrap_err().to_string().contains("in one another"));
}

#[test]
fn an_answer_says_what_was_rejected_or_nothing() {
    assert_eq!(answer(0, "x"), Vec::<u8>::new());
    assert_eq!(answer(300, "no"), [0x0a, 7, 0x08, 0xac, 0x02, 0x12, 2, b'n', b'o']);
}

#[test]
fn a_failure_is_a_status_of_grpc() {
    assert_eq!(status(14, "no"), [0x08, 14, 0x12, 2, b'n', b'o']);
}
