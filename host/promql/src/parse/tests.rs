use super::*;
use crate::expression::{Kind, Node};
use quarterdeck_model::series::query::{Comparison, NAME};

fn read(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

fn refusal(text: &str) -> String {
    Expression::parse(text).unwrap_err().to_string()
}

/// What stands at the positions of all nodes, in the order of the tree.
fn places(text: &str) -> Vec<String> {
    fn walk(text: &str, node: &Node, found: &mut Vec<String>) {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let rest = text.get(node.position..).unwrap_or_default();
        let length = rest.find(|c| !word(c)).unwrap_or(rest.len()).max(1);
        found.push(rest.chars().take(length).collect());
        match &node.kind {
            Kind::Subquery(subquery) => walk(text, &subquery.inner, found),
            Kind::Call { arguments, .. } => arguments.iter().for_each(|argument| walk(text, argument, found)),
            Kind::Aggregate(aggregate) => {
                aggregate.parameter.iter().for_each(|parameter| walk(text, parameter, found));
                walk(text, &aggregate.inner, found);
            }
            Kind::Minus(inner) => walk(text, inner, found),
            Kind::Binary(binary) => {
                walk(text, &binary.left, found);
                walk(text, &binary.right, found);
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(text, &read(text).root, &mut found);
    found
}

#[test]
fn every_node_knows_where_it_stands() {
    for (text, expected) in [
        ("a + b", vec!["a", "a", "b"]),
        ("sum by (x) (rate(a[5m])) / on (x) group_left (y) c", vec!["sum", "sum", "rate", "a", "c"]),
        ("topk(3, a) without (b)", vec!["topk", "3", "a"]),
        ("a offset -5m - -b", vec!["a", "a", "-", "b"]),
        ("a{x=\"+\"}[5m:30s] offset 1m", vec!["a", "a"]),
        ("max_over_time((a @ start() > bool 1)[5m:]) # a comment", vec!["max_over_time", "(", "(", "a", "1"]),
        ("quantile_over_time(+0.5, a[5m] @ 1e3)", vec!["quantile_over_time", "0", "a"]),
        ("-1 ^ a", vec!["-", "1", "1", "a"]),
        ("\n  ((a)) * 2", vec!["(", "(", "2"]),
    ] {
        assert_eq!(places(text), expected, "{text}");
    }
}

#[test]
fn a_selector_is_read_with_its_name_among_the_matchers() {
    let matcher =
        |label: &str, comparison, value: &str| Matcher { label: label.to_owned(), comparison, value: value.to_owned() };
    assert_eq!(
        parse_selector("up{job=\"api\", code!~\"4..\"}").unwrap(),
        [
            matcher(NAME, Comparison::Equal, "up"),
            matcher("job", Comparison::Equal, "api"),
            matcher("code", Comparison::MatchesNot, "4.."),
        ]
    );
    for text in ["up[5m]", "up offset 5m", "up + 1", "sum(up)", "{}"] {
        assert!(parse_selector(text).is_err(), "{text}");
    }
}

#[test]
fn an_expression_knows_its_type_and_its_selectors() {
    for (text, name) in [
        ("1 + 2", "scalar"),
        ("\"a\"", "string"),
        ("up", "vector"),
        ("up[5m]", "matrix"),
        ("up[5m:1m]", "matrix"),
        ("scalar(up) + 1", "scalar"),
        ("-(up)", "vector"),
        ("time() > bool 1", "scalar"),
        ("1 + up", "vector"),
    ] {
        assert_eq!(read(text).type_name(), name, "{text}");
    }
    let expression = read("sum(a) + rate(b[5m]) - max_over_time(topk(scalar(c), d)[5m:1m])");
    let names: Vec<&str> = expression.selectors().iter().map(|matchers| matchers[0].value.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[test]
fn what_is_no_query_is_refused_with_its_place() {
    for (text, expected) in [
        ("", "invalid query: no expression found in input"),
        ("# only a comment", "invalid query: no expression found in input"),
        ("sum(a))", "invalid query: unexpected `)` at (1:7)"),
        ("sum(\n  a[5m)", "invalid query: unexpected `)` at (2:7)"),
        ("a{b=\"c\"", "invalid query: `{` at (1:2) is not closed"),
        ("a[Inf]", "invalid query: a duration can't be `Inf` at (1:3)"),
        ("a[1e10]", "invalid query: the duration is too long: `1e10` at (1:3)"),
        ("a offset -1e10", "invalid query: the duration is too long: `1e10` at (1:11)"),
        ("a + 1e999", "invalid query: a number can't be as large as `1e999` at (1:5)"),
        ("a[500y]", "invalid query: not a duration, or one that is too long: `500y` at (1:3)"),
        ("limit_ratio(0.5, a)", "invalid query: `limit_ratio` is experimental in Prometheus, and not supported"),
        ("a + fill(0) b", "invalid query: `fill` is experimental in Prometheus, and not supported"),
        (
            "label_replace(a, b, \"\", \"\", \"\")",
            "invalid query: expected type string in call to function 'label_replace', got vector",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn no_text_makes_the_parser_fail() {
    let pieces = [
        "a",
        "1",
        "5m",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "=",
        "=~",
        "\"x\"",
        "'",
        "`",
        "\\",
        "+",
        "-",
        "^",
        "@",
        "offset",
        "by",
        "sum",
        "rate",
        "0x",
        "1e",
        ".",
        ":",
        "é",
        "\u{0}",
        "start",
        "bool",
        "on",
        "inf",
        "\"\\xff\"",
        "\"\\x\"",
        "9999999999999999999",
        "0b1",
        "08",
        "1y1y",
        "#",
        "\n",
    ];
    let mut state: usize = 1;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..state % 9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) % pieces.len()]);
            text.push_str(if state & 1 << 20 == 0 { " " } else { "" });
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if let Err(refusal) = Expression::parse(&text) {
            assert!(!refusal.to_string().contains("the parser failed"), "{text:?}");
        }
    }
}
