use super::*;
use rand::{Rng, SeedableRng};

fn samples(text: &str, format: Format) -> Result<Vec<(String, f64, Option<i64>)>, String> {
    let mut page = Page::new(text, format);
    let mut found = Vec::new();
    while let Some(item) = page.next().map_err(|error| error.to_string())? {
        if let Item::Sample(sample) = item {
            let labels = labels(sample.series).map_err(|error| error.to_string())?;
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            found.push((labels.join(","), sample.value, sample.at));
        }
    }
    Ok(found)
}

#[track_caller]
fn check(text: &str, series: &str, value: f64, at: Option<i64>) {
    let found = samples(text, Format::Text).unwrap();
    assert_eq!(found, [(series.to_owned(), value, at)], "{text:?}");
}

#[track_caller]
fn refused(text: &str, format: Format, why: &str) {
    let reason = samples(text, format).unwrap_err();
    assert!(reason.contains(why), "{text:?}: {reason}");
}

#[test]
fn lines_of_the_text_format_are_read() {
    check("up 1\n", "__name__=up", 1.0, None);
    check("up 1", "__name__=up", 1.0, None);
    check("up\t1\n", "__name__=up", 1.0, None);
    check("  up  1  \n", "__name__=up", 1.0, None);
    check("up{} 1\n", "__name__=up", 1.0, None);
    check("up {a=\"b\"} 1\n", "__name__=up,a=b", 1.0, None);
    check("up{a=\"b\",} 1\n", "__name__=up,a=b", 1.0, None);
    check("up{ a = \"b\" , c=\"\" } 1 -7\n", "__name__=up,a=b,c=", 1.0, Some(-7));
    check("up{a=\"b}c\"}1 1790000000000\n", "__name__=up,a=b}c", 1.0, Some(1_790_000_000_000));
    check("up{a=\"\\\\ \\\" \\n \\x\"} +Inf\n", "__name__=up,a=\\ \" \n \\x", f64::INFINITY, None);
    check("a:b_c9{ä=\"b\"} 1\n".replace('ä', "_x").as_str(), "__name__=a:b_c9,_x=b", 1.0, None);
    check("m{le=\"0.5\"} 1.6777216e+07\n", "__name__=m,le=0.5", 16_777_216.0, None);
    check("m{a=\"ünï\"} -1e-3\n", "__name__=m,a=ünï", -0.001, None);
    assert_eq!(samples("", Format::Text).unwrap(), []);
    assert_eq!(samples("\n# just words\n#\n# HELP up Whether.\n# TYPE up gauge\n\n", Format::Text).unwrap(), []);
    assert!(samples("m NaN\n", Format::Text).unwrap()[0].1.is_nan());
}

#[test]
fn what_is_malformed_is_said_with_its_line() {
    refused("up 1\nup\n", Format::Text, "line 2: `up` has no value");
    refused("up one\n", Format::Text, "`one` is not a number");
    refused("up 1 soon\n", Format::Text, "`soon` is not a time");
    refused("up 1 2 3\n", Format::Text, "`3` is more");
    refused("9up 1\n", Format::Text, "does not begin with a metric's name");
    refused("{\"up\"} 1\n", Format::Text, "in quotes");
    refused("up{a=\"b\" 1\n", Format::Text, "not closed by `}`");
    refused("up{a=\"b 1\n", Format::Text, "not closed");
    refused("up{a=b} 1\n", Format::Text, "not in quotes");
    refused("up{a} 1\n", Format::Text, "no value");
    refused("up{9=\"b\"} 1\n", Format::Text, "`9` is not a label's name");
    refused("up{a=\"b\" c=\"d\"} 1\n", Format::Text, "no comma");
    refused("up{a=\"b\",a=\"c\"} 1\n", Format::Text, "twice");
    refused("up{__name__=\"down\"} 1\n", Format::Text, "twice");
    refused("up-time 1\n", Format::Text, "does not begin");
    refused("# TYPE up number\n", Format::Text, "`number` is not a type");
    refused("# TYPE 9 gauge\n", Format::Text, "`9` is not a metric's name");
    refused("<html>\n", Format::Text, "does not begin");
}

#[test]
fn openmetrics_is_stricter_and_has_times_in_seconds() {
    let page = "# HELP a_seconds Some help.\n# UNIT a_seconds seconds\n# TYPE a_seconds histogram\n\
        a_seconds_bucket{le=\"1.0\"} 3 1790000000.123 # {trace=\"a } b\"} 0.5 1790000000.1\n\
        a_seconds_bucket{le=\"+Inf\"} 4 # {} 0.5\na_seconds_created 1.79e9\n# EOF\n";
    let found = samples(page, Format::OpenMetrics).unwrap();
    let expected = [
        ("__name__=a_seconds_bucket,le=1.0".to_owned(), 3.0, Some(1_790_000_000_123)),
        ("__name__=a_seconds_bucket,le=+Inf".to_owned(), 4.0, None),
        ("__name__=a_seconds_created".to_owned(), 1.79e9, None),
    ];
    assert_eq!(found, expected);
    assert_eq!(samples("# EOF", Format::OpenMetrics).unwrap(), []);
    refused("up 1\n", Format::OpenMetrics, "ends without `# EOF`");
    refused("up 1\n\n# EOF\n", Format::OpenMetrics, "line 2: there is an empty line");
    refused("# EOF\nup 1\n", Format::OpenMetrics, "line 2: there is something behind");
    refused("# TYPE up untyped\n# EOF\n", Format::OpenMetrics, "not a type");
    refused("", Format::OpenMetrics, "without `# EOF`");
}

#[test]
fn comments_say_type_help_and_unit() {
    let page = "# HELP up Whether\\nit is.\n# TYPE up gauge\nup 1\n# TYPE down counter\n# EOF\n";
    let mut reader = Page::new(page, Format::Text);
    let mut comments = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Comment(comment) = item {
            comments.push(comment);
        }
    }
    let known = metadata(comments, Format::Text);
    let shown: Vec<_> = known.iter().map(|metric| (metric.name.as_str(), metric.kind, metric.help.as_str())).collect();
    assert_eq!(shown, [("up", "gauge", "Whether\nit is."), ("down", "counter", "")]);
}

/// What the comments of a page say of the metric, in the text format unless it is said otherwise.
fn said(line: &str, format: Format) -> Option<(String, &'static str, String)> {
    let metric = metadata([line], format).pop()?;
    Some((metric.name, metric.kind, metric.help))
}

#[test]
fn comments_that_prometheus_passes_over_are_passed_over() {
    for comment in [
        "#HELP -----",
        "## TYPE foo bar baz",
        "## HELP up Whether.",
        "# HELP",
        "# TYPE",
        "#\tHELP",
        "#TYPE up number",
        "# HELPER up",
        "# TYPES of things",
        "# help -----",
        "# UNIT -----",
        "#",
        "#!",
        "# EOF",
    ] {
        let page = format!("{comment}\nup 1\n");
        assert_eq!(samples(&page, Format::Text).unwrap().len(), 1, "{comment}");
        assert_eq!(said(comment, Format::Text), None, "{comment}");
    }
    refused("# HELP -----\n", Format::Text, "`-----` is not a metric's name");
    refused("# HELP \n", Format::Text, "is not a metric's name");
    let up = Some(("up".to_owned(), "gauge", String::new()));
    for line in ["# TYPE up gauge", "#  TYPE  up gauge", "#\tTYPE\tup\tgauge", "# \tTYPE \t up gauge "] {
        assert_eq!(said(line, Format::Text), up, "{line:?}");
    }
    assert_eq!(said("# HELP up  It is.", Format::Text), Some(("up".to_owned(), "unknown", " It is.".to_owned())));
    for comment in ["#HELP up Whether.", "## TYPE up gauge", "# HELP", "# words", "#", "#  HELP up Whether."] {
        refused(&format!("{comment}\nup 1\n# EOF\n"), Format::OpenMetrics, "is no comment that there may be");
    }
    refused("# HELP  up Whether.\n# EOF\n", Format::OpenMetrics, "is not a metric's name");
}

#[test]
fn a_help_text_is_read_once() {
    for (written, read) in [
        (r"C:\\new\n", "C:\\new\n"),
        (r"a\nb\\\nc", "a\nb\\\nc"),
        (r"\\\\n", "\\\\n"),
        (r"\x \", "\\x \\"),
        (r#"a \"quote\""#, "a \\\"quote\\\""),
    ] {
        assert_eq!(said(&format!("# HELP up {written}"), Format::Text).unwrap().2, read, "{written}");
    }
    assert_eq!(said(r#"# HELP up a \"quote\""#, Format::OpenMetrics).unwrap().2, "a \"quote\"");
}

#[test]
fn a_line_that_is_expected_gives_what_it_gives_unexpected() {
    let page = "a{b=\"c\"} 1.5\na 2\na {b=\"c\"} 3\na 4 5\na NaN\nab 6\n";
    let mut reader = Page::new(page, Format::Text);
    assert_eq!(reader.expect("a"), None);
    assert_eq!(reader.expect("a{b=\"c\"}"), Some((1.5, None)));
    assert_eq!(reader.expect("a"), Some((2.0, None)));
    // Labels behind a blank are no value.
    assert_eq!(reader.expect("a"), None);
    assert!(matches!(reader.next(), Ok(Some(Item::Sample(Sample { series: "a {b=\"c\"}", .. })))));
    assert_eq!(reader.expect("a"), Some((4.0, Some(5))));
    assert_eq!(reader.expect("a"), None);
    assert!(matches!(reader.next(), Ok(Some(Item::Sample(Sample { series: "a", .. })))));
    assert_eq!(reader.expect("a"), None);
    assert_eq!(reader.expect("ab"), Some((6.0, None)));
    assert_eq!(reader.expect("ab"), None);
    assert_eq!(reader.next(), Ok(None));
    // Seconds are no milliseconds.
    assert_eq!(Page::new("a 1 5\n", Format::OpenMetrics).expect("a"), None);
}

#[test]
fn nothing_that_is_sent_makes_it_panic_and_expectations_change_nothing() {
    let good = "# HELP a_b Some \\n help\n# TYPE a_b histogram\na_b{le=\"0.5\",x=\"q\\\"ü\"} 12 1790000000000\na_b_sum 1.5e+07\nup 1\n# EOF\n";
    let alphabet: Vec<char> = "ab_:09.eE+-{}=\",\\# \t\nü\0".chars().collect();
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for _ in 0..20_000 {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..text.len());
            let any = alphabet[random.random_range(0..alphabet.len())];
            match random.random_range(0..3) {
                0 => text[at] = any,
                1 => text.insert(at, any),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        for format in [Format::Text, Format::OpenMetrics] {
            let plain = samples(&text, format);
            let Ok(plain) = plain else { continue };
            // What was read line by line comes out the same where each line is expected.
            let series: Vec<String> = all_series(&text, format);
            let mut page = Page::new(&text, format);
            let mut found = Vec::new();
            while found.len() < plain.len() {
                if let Some((value, at)) = page.expect(&series[found.len()]) {
                    found.push((value.to_bits(), at));
                } else if let Some(Item::Sample(sample)) = page.next().unwrap() {
                    found.push((sample.value.to_bits(), sample.at));
                }
            }
            let plain: Vec<_> = plain.into_iter().map(|(_, value, at)| (value.to_bits(), at)).collect();
            assert_eq!(found, plain, "{text:?}");
        }
    }
}

fn all_series(text: &str, format: Format) -> Vec<String> {
    let mut page = Page::new(text, format);
    let mut found = Vec::new();
    while let Some(item) = page.next().unwrap() {
        if let Item::Sample(sample) = item {
            found.push(sample.series.to_owned());
        }
    }
    found
}
