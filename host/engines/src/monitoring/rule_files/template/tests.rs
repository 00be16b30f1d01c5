use super::*;

/// As in an alert on `{instance="db-1.example.com:9100", job="node"}`.
fn fill_with(text: &str, value: f64) -> Result<String, String> {
    let labels = Labels::new().with("instance", "db-1.example.com:9100").with("job", "node exporter");
    let external_labels = Labels::new().with("region", "eu");
    let query = |text: &str| match text {
        "up" => {
            Ok(vec![(Arc::new(Labels::new().with("job", "b")), 2.0), (Arc::new(Labels::new().with("job", "a")), 1.5)])
        }
        "none" => Ok(Vec::new()),
        other => Err(format!("can't read {other}")),
    };
    let scene = Scene {
        labels: &labels,
        external_labels: &external_labels,
        external_url: "http://ops.example.com/prefix",
        value,
        query: &query,
    };
    Template::read(text)?.fill(&scene)
}

fn check(text: &str, value: f64, filled: &str) {
    assert_eq!(fill_with(text, value).as_deref(), Ok(filled), "{text}");
}

#[test]
fn values_and_labels_are_filled_in_as_go_writes_them() {
    check("plain {single} braces", 1.0, "plain {single} braces");
    check("{{ $value }} on {{ $labels.instance }}", 0.95, "0.95 on db-1.example.com:9100");
    check("{{$labels.nope}}|{{ .Labels.job }}|{{ .Value }}", 5.0, "|node exporter|5");
    check("{{ $value }}", 1_234_567.0, "1.234567e+06");
    check("{{ $value }}", 100_000.0, "100000");
    check("{{ $value }}", 0.000_012, "1.2e-05");
    check("{{ $value }}", f64::NAN, "NaN");
    check("{{ $value }}", f64::INFINITY, "+Inf");
    check(
        "{{ $externalLabels.region }} {{ $externalURL }} {{ pathPrefix }}",
        1.0,
        "eu http://ops.example.com/prefix /prefix",
    );
    check("{{ $labels }}", 1.0, "map[instance:db-1.example.com:9100 job:node exporter]");
    check("a {{- /* said to nobody */ -}}  b", 1.0, "ab");
    check("a \n {{- $value -}} \n b", 1.0, "a1b");
    check("{{ `raw` }}{{ \"\\\"q\\u00e4\\\"\" }}", 1.0, "raw\"qä\"");
}

#[test]
fn numbers_are_made_readable_as_prometheus_does() {
    for (function, value, wanted) in [
        ("humanize", 1_234_567.0, "1.235M"),
        ("humanize", 999.0, "999"),
        ("humanize", 0.012_3, "12.3m"),
        ("humanize", 0.0, "0"),
        ("humanize", f64::NAN, "NaN"),
        ("humanize1024", 1_048_576.0, "1Mi"),
        ("humanize1024", 1_000.0, "1000"),
        ("humanizePercentage", 0.123_456, "12.35%"),
        ("humanizeDuration", 3_661.0, "1h 1m 1s"),
        ("humanizeDuration", 90_061.0, "1d 1h 1m 1s"),
        ("humanizeDuration", -75.0, "-1m 15s"),
        ("humanizeDuration", 1.234_56, "1.235s"),
        ("humanizeDuration", 0.012, "12ms"),
        ("humanizeDuration", 0.0, "0s"),
        ("humanizeTimestamp", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
        ("humanizeTimestamp", 1_435_065_580.0, "2015-06-23 13:19:40 +0000 UTC"),
    ] {
        check(&format!("{{{{ $value | {function} }}}}"), value, wanted);
    }
    check(
        "{{ printf \"%.2f|%5d|%-4s|%q|%v|%%|%05.1f|%g\" $value 7 \"ab\" \"c\" true 2.25 1e6 }}",
        4.14159,
        "4.14|    7|ab  |\"c\"|true|%|002.2|1e+06",
    );
    check("{{ printf \"%d %s\" $value }}", 3.0, "%!d(float64=3) %!s(MISSING)");
    check("{{ printf \"x\" 1 }}", 3.0, "x%!(EXTRA int=1)");
}

#[test]
fn what_is_printed_has_a_blank_where_neither_side_is_a_text() {
    for (arguments, printed) in [
        ("", ""),
        ("1", "1"),
        ("1 2", "1 2"),
        ("1 2 \"a\" \"b\" 3", "1 2ab3"),
        ("\"a\" 1 true 2.5 \"b\"", "a1 true 2.5b"),
        ("$value $labels.job", "3node exporter"),
        ("$labels.job $value", "node exporter3"),
        ("\"\" 1 \"\" 2", "12"),
        ("$value $labels", "3 map[instance:db-1.example.com:9100 job:node exporter]"),
    ] {
        check(&format!("{{{{ print {arguments} }}}}"), 3.0, printed);
    }
    check("{{ println 1 \"a\" \"b\" }}|", 3.0, "1 a b\n|");
    check("{{ html 1 2 \"<\" }} {{ js 1 2 \"'\" }} {{ urlquery 1 2 \"?\" }}", 3.0, "1 2&lt; 1 2\\' 1+2%3F");
}

#[test]
fn choices_loops_and_variables_work_as_in_go() {
    check("{{ if gt $value 5.0 }}high{{ else if gt $value 1.0 }}some{{ else }}low{{ end }}", 3.0, "some");
    check("{{ if and (eq $labels.job \"x\") .Nope }}a{{ else }}b{{ end }}", 3.0, "b");
    check("{{ with query \"up\" }}{{ . | first | value }}{{ end }}", 1.0, "2");
    check("{{ with query \"none\" }}x{{ else }}nothing{{ end }}", 1.0, "nothing");
    check("{{ range query \"up\" | sortByLabel \"job\" }}{{ .Labels.job }}={{ .Value }};{{ end }}", 1.0, "a=1.5;b=2;");
    check("{{ range $i, $s := query \"up\" }}{{ $i }}{{ label \"job\" $s }}{{ end }}", 1.0, "0b1a");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", 1.0, "2");
    check("{{ range query \"none\" }}x{{ else }}empty{{ end }}", 1.0, "empty");
    check("{{ (index (query \"up\") 1).Value }} {{ len (query \"up\") }}", 1.0, "1.5 2");
    check("{{ index $labels \"job\" }}{{ not true }}{{ or \"\" \"b\" }}", 1.0, "node exporterfalseb");
}

#[test]
fn texts_are_changed_as_prometheus_does() {
    check("{{ $labels.job | title }} {{ toUpper \"ab\" }} {{ \"AB\" | toLower }}", 1.0, "Node Exporter AB ab");
    check("{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}", 1.0, "db-1.example.com db-1:9100");
    check("{{ stripPort \"[::1]:80\" }} {{ stripDomain \"10.0.0.1:80\" }}", 1.0, "::1 10.0.0.1:80");
    check(
        "{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }} {{ match \"^db\" $labels.instance }}",
        1.0,
        "db-1.example.com true",
    );
    check(
        "{{ graphLink \"up == 0\" }} {{ tableLink \"a\" }}",
        1.0,
        "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=a&g0.tab=1",
    );
    check("{{ parseDuration \"1h30m\" }} {{ args 1 \"b\" }}", 1.0, "5400 map[arg0:1 arg1:b]");
}

#[test]
fn what_can_t_be_read_or_filled_in_is_said() {
    for (text, reason) in [
        ("{{ $nope }}", "undefined variable \"$nope\""),
        ("{{ nope 1 }}", "function \"nope\" not defined"),
        ("{{ if true }}", "{{end}} is missing"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ $value", "unclosed action"),
        ("{{ $value | \"a\" }}", "only a function takes arguments"),
        ("{{ }}", "missing value for command"),
        ("{{ template \"x\" }}", "`template` is not supported"),
        ("{{ (((((((((((((((((((((((((((((((((((((((((((((1 }}", "nested deeper"),
    ] {
        let error = Template::read(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    for (text, reason) in [
        ("{{ query \"none\" | first }}", "first() called on vector with no elements"),
        ("{{ query \"bad(\" }}", "can't read bad("),
        ("{{ .Nope }}", "can't evaluate field Nope"),
        ("{{ \"x\" | humanize }}", "invalid syntax"),
        ("{{ reReplaceAll \"(\" \"\" \"a\" }}", "error parsing regexp"),
        ("{{ lt $value 5 }}", "incompatible types"),
    ] {
        let error = fill_with(text, 1.0).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    // However it is nested, it ends.
    let ranges = "{{ range query \"up\" }}".repeat(30) + "x" + &"{{ end }}".repeat(30);
    assert!(fill_with(&ranges, 1.0).unwrap_err().contains("steps"));
}
