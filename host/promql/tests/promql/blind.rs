//! When there is nothing to judge.

use quarterdeck_model::label::Labels;
use quarterdeck_model::time::{Span, Timestamp};
use quarterdeck_promql::memory::Memory;
use quarterdeck_promql::notation::{Item, parse_series};
use quarterdeck_promql::{Budget, Expression, Options, Presence, Recording, Recordings, is_blind};

#[test]
fn an_expression_is_blind_when_what_it_needs_has_no_samples() {
    let memory = Memory::default();
    let start = Timestamp::from_millis(0);
    for line in ["a 1x20", "ended 1x10 stale", "old 1 1"] {
        let (labels, items) = parse_series(line).unwrap();
        for (index, item) in items.iter().enumerate() {
            let Item::Value(value) = item else { continue };
            memory.push(&labels, start.plus(Span::from_secs(60 * index as u64)), *value);
        }
    }
    let blind = |query: &str| {
        let expression = Expression::parse(query).unwrap();
        let at = start.plus(Span::from_secs(20 * 60));
        is_blind(&expression, at, &memory, &Budget::of_samples(1_000), &Options::default()).unwrap()
    };
    let there = [
        "a == 5",
        "a or gone",
        "a unless gone",
        "absent(gone)",
        "rate(a[5m])",
        "last_over_time(old[20m])",
        "vector(0)",
        "1",
        "gone or vector(0)",
    ];
    for query in there {
        assert!(!blind(query), "{query}");
    }
    let missing = [
        "gone",
        "ended",
        "old",
        "a / gone",
        "gone and a",
        "sum(gone)",
        "rate(old[5m])",
        // One sample of it is left, and two are needed.
        "rate(old[20m])",
        // What has ended is not there, whatever the window still holds of it.
        "rate(ended[15m])",
        "max_over_time(ended[15m:1m])",
        "-gone",
        "gone unless a",
    ];
    for query in missing {
        assert!(blind(query), "{query}");
    }
    assert!(!blind("max_over_time(a[15m:1m]) > 5") && blind("max_over_time(gone[15m:1m]) > 5"));
}

#[test]
fn an_element_is_missed_by_the_labels_that_its_series_can_have() {
    let memory = Memory::default();
    let start = Timestamp::from_millis(0);
    for line in [
        r#"a{host="1",disk="x"} 1x20"#,
        r#"a{host="2",disk="x"} 1x20"#,
        r#"b{host="1"} 1x20"#,
        r#"c{host="3",disk="x"} 1x20"#,
    ] {
        let (labels, items) = parse_series(line).unwrap();
        for (index, item) in items.iter().enumerate() {
            let Item::Value(value) = item else { continue };
            memory.push(&labels, start.plus(Span::from_secs(60 * index as u64)), *value);
        }
    }
    let blind = |query: &str, element: &[(&str, &str)]| {
        let expression = Expression::parse(query).unwrap();
        let (at, budget, options) =
            (start.plus(Span::from_secs(20 * 60)), Budget::of_samples(1_000), Options::default());
        let none = Recordings::new();
        let mut presence = Presence::of(&expression, at, (&memory, &budget), &none, &options).unwrap();
        presence.is_blind(&element.iter().copied().collect()).unwrap()
    };
    const OF_1: &[(&str, &str)] = &[("host", "1"), ("disk", "x")];
    const OF_2: &[(&str, &str)] = &[("host", "2"), ("disk", "x")];
    const OF_3: &[(&str, &str)] = &[("host", "3"), ("disk", "x")];
    for query in [
        "a > 5",
        "rate(a[5m]) > 5",
        "max_over_time((a > 0)[5m:1m]) > 5",
        "-a",
        "sum by (host, disk) (a)",
        "sum without (other) (a)",
        "topk(1, a)",
        "a and on (host) a",
        "a * on (host) group_left () a",
        "a unless b",
        "label_replace(a, \"new\", \"$1\", \"host\", \"(.*)\")",
        "a > scalar(b)",
        "a > bool 5 and a < 3",
    ] {
        assert!(!blind(query, OF_1) && !blind(query, OF_2) && blind(query, OF_3), "{query}");
    }
    // Both are needed, and only the labels that match: the second host has no `b`.
    for query in ["a / on (host) b", "a > on (host) group_left () b", "b < on (host) group_right () a"] {
        assert!(!blind(query, OF_1) && blind(query, OF_2), "{query}");
    }
    // What an aggregation leaves out is not known of its elements.
    assert!(!blind("sum by (disk) (a) > 5", &[("disk", "x")]) && blind("sum by (disk) (a) > 5", &[("disk", "y")]));
    assert!(!blind("sum(a) > 5", &[]) && blind("sum(gone) > 5", &[]));
    // What was put in is not looked for; what the side of one has given is looked for there.
    let replaced = "label_replace(a, \"host\", \"new\", \"host\", \".*\")";
    assert!(!blind(replaced, &[("host", "new"), ("disk", "x")]) && blind(replaced, &[("disk", "y")]));
    assert!(!blind("count_values(\"v\", a)", &[("v", "1")]));
    let given = "b * on (host) group_left (disk) a";
    assert!(!blind(given, OF_1) && blind(given, &[("host", "1"), ("disk", "y")]));
    // The name tells which side an element is from, where it has one.
    assert!(!blind("a > 1 or c > 1", OF_3) && !blind("a > 1 or c > 1", OF_1));
    let named = |name| [("__name__", name), OF_1[0], OF_1[1]];
    assert!(!blind("a > 1 or c > 1", &named("a")) && blind("a > 1 or c > 1", &named("c")));
    assert!(!blind("a > on (host) b", &[("host", "1")]) && !blind("{__name__=~\"a|b\"} > 3", &named("a")));
    assert!(!blind("absent(gone)", OF_3) && !blind("vector(1)", OF_3));
}

#[test]
fn a_series_that_a_rule_makes_is_missed_where_what_it_is_made_of_is() {
    let memory = Memory::default();
    let start = Timestamp::from_millis(0);
    for index in 0..20 {
        let (labels, _) = parse_series("a{host=\"1\"} 1").unwrap();
        memory.push(&labels, start.plus(Span::from_secs(60 * index)), 1.0);
    }
    let rule = |query: &str, labels: Labels| vec![Recording { expression: Expression::parse(query).unwrap(), labels }];
    let recordings: Recordings = [
        ("high".to_owned(), rule("a > 5", Labels::new().with("level", "x"))),
        ("twice".to_owned(), rule("high * 2", Labels::new())),
        ("itself".to_owned(), rule("itself + 1", Labels::new())),
    ]
    .into();
    let blind = |query: &str, element: &[(&str, &str)]| {
        let expression = Expression::parse(query).unwrap();
        let (at, budget, options) =
            (start.plus(Span::from_secs(20 * 60)), Budget::of_samples(1_000), Options::default());
        let mut presence = Presence::of(&expression, at, (&memory, &budget), &recordings, &options).unwrap();
        presence.is_blind(&element.iter().copied().collect()).unwrap()
    };
    for query in ["high > 0", "twice > 0", "max_over_time(twice[5m])", "high{host=\"1\"}"] {
        assert!(!blind(query, &[]) && !blind(query, &[("host", "1")]) && blind(query, &[("host", "2")]), "{query}");
    }
    assert!(!blind("high", &[("host", "1"), ("level", "x")]) && blind("high", &[("host", "1"), ("level", "y")]));
    assert!(blind("high{host=\"2\"}", &[]) && blind("itself", &[]));
    assert!(!blind("ALERTS{alertstate=\"firing\"} == 1", &[("alertname", "A")]));
}
