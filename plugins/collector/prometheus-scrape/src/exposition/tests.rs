use super::*;

const OPTIONS: Options = Options { now_ms: 5, open_metrics: false, max_samples: 100, honor_timestamps: true };

fn error(page: &str) -> String {
    parse(page, &OPTIONS).unwrap_err().to_string()
}

#[test]
fn a_page_like_those_of_exporters_is_read() {
    let page = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05",} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
nothing NaN
"#;
    let families = parse(page, &OPTIONS).unwrap();
    let family = |name: &str| families.iter().find(|family| family.name == name).unwrap();
    let requests = family("http_requests_total");
    assert_eq!(requests.metric_type, MetricType::Counter);
    assert_eq!(requests.help, "The total number of HTTP requests.");
    assert_eq!(requests.values, [1027.0, 3.0]);
    assert_eq!(requests.at_ms, [1_395_066_363_000, 5]);
    let access = &family("msdos_file_access_time_seconds").labels[0];
    assert_eq!(access.get("path"), Some("C:\\DIR\\FILE.TXT"));
    assert_eq!(access.get("error"), Some("Cannot find file:\n\"FILE.TXT\""));
    assert_eq!(family("something_weird").values, [f64::INFINITY]);
    assert_eq!(family("something_weird").at_ms, [-3_982_045]);
    assert_eq!(family("http_request_duration_seconds_bucket").metric_type, MetricType::Histogram);
    assert_eq!(family("http_request_duration_seconds_bucket").labels[1].get("le"), Some("+Inf"));
    assert!(family("nothing").values[0].is_nan());
    assert_eq!(family("metric_without_timestamp_and_labels").at_ms, [0i64; 0]);
}

#[test]
fn open_metrics_ends_at_eof_has_seconds_and_exemplars() {
    let page = "# TYPE a counter\n# UNIT a seconds\na_total 1 1.5 # {trace=\"x\"} 0.3\n# EOF\nrubbish {\n";
    let families = parse(page, &Options { open_metrics: true, ..OPTIONS }).unwrap();
    assert_eq!(families[0].metric_type, MetricType::Counter);
    assert_eq!(families[0].at_ms, [1500]);
}

#[test]
fn times_can_be_ignored() {
    let families = parse("a 1 77\n", &Options { honor_timestamps: false, ..OPTIONS }).unwrap();
    assert!(families[0].at_ms.is_empty());
}

#[test]
fn a_malformed_line_is_named_with_what_was_expected() {
    let check = |page: &str, message: &str| assert_eq!(error(page), message);
    check("a 1\n\n9a 1\n", "line 3: `9a` is not a name of a metric");
    check("a\n", "line 1: expected a value");
    check("a one\n", "line 1: `one` is not a number");
    check("a 1_000\n", "line 1: `1_000` is not a number");
    check("a 0x1p4\n", "line 1: `0x1p4` is not a number");
    check("a 1 2 3\n", "line 1: expected the end of the line, found `3`");
    check("a 1 soon\n", "line 1: `soon` is not a time");
    check("a{b=\"c} 1\n", "line 1: expected `\"` after the value of label `b`");
    check("a{b=\"c\" d=\"e\"} 1\n", "line 1: expected `,` or `}` after the value of label `b`");
    check("a{b-c=\"d\"} 1\n", "line 1: `b-c` is not a name of a label");
    check("a{b 1\n", "line 1: expected `=` between a label and its value, and `}` at the end");
    check("# TYPE a thing\n", "line 1: `thing` is not a metric type");
}

#[test]
fn a_page_with_too_many_samples_is_refused() {
    let error = parse("a 1\nb 1\nc 1\n", &Options { max_samples: 2, ..OPTIONS }).unwrap_err();
    assert_eq!(error, Error { line: 3, message: "more than max-samples (2) samples".to_owned() });
}

#[test]
fn any_cut_of_a_page_is_read_or_refused_without_a_panic() {
    let page = "# HELP a \\x\\\n# TYPE a counter\na{b=\"ü\\\"\\n\",c=\"\"} -1.5e3 12 # {x=\"y\"} 1\n";
    for end in 0..=page.len() {
        if let Some(cut) = page.get(..end) {
            let _ = parse(cut, &OPTIONS);
        }
    }
}

#[test]
fn what_prometheus_takes_is_taken() {
    let value = |text: &str| parse(&format!("a {text}\n"), &OPTIONS).unwrap()[0].values[0];
    for text in ["+Inf", "Inf", "inf", "+inf", "INF", "Infinity", "+infinity"] {
        assert_eq!(value(text), f64::INFINITY, "{text}");
    }
    for text in ["-Inf", "-inf", "-Infinity"] {
        assert_eq!(value(text), f64::NEG_INFINITY, "{text}");
    }
    for text in ["NaN", "nan", "NAN"] {
        assert!(value(text).is_nan(), "{text}");
    }
    assert_eq!((value("1e3"), value("+1.5E-1"), value(".5"), value("5.")), (1000.0, 0.15, 0.5, 5.0));
    let page = concat!(
        "#\n",
        "# just a comment\n",
        "#  HELP \t a \t A \\\\ and a \\n and a \\\"\n",
        "#\tTYPE   a \t counter\n",
        "   a {  b = \"c\" ,d=\"e\\\"\\n\", }\t \t1 \t  77  \r\n",
        "a{}2\n",
        "# EOF\n",
        "a{b=\"x,y}\",}3\n",
    );
    let families = parse(page, &OPTIONS).unwrap();
    assert_eq!(families.len(), 1);
    let a = &families[0];
    assert_eq!((a.metric_type, a.help.as_str()), (MetricType::Counter, "A \\ and a \n and a \\\""));
    assert_eq!((a.values.as_slice(), a.at_ms.as_slice()), ([1.0, 2.0, 3.0].as_slice(), [77, 5, 5].as_slice()));
    assert_eq!(a.labels[0], Labels::new().with("b", "c").with("d", "e\"\n"));
    assert_eq!((&a.labels[1], a.labels[2].get("b")), (&Labels::new(), Some("x,y}")));
}
