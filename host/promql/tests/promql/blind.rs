//! When there is nothing to judge.

use quarterdeck_model::time::{Span, Timestamp};
use quarterdeck_promql::memory::Memory;
use quarterdeck_promql::notation::{Item, parse_series};
use quarterdeck_promql::{Budget, Expression, Options, is_blind};

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
        "rate(ended[15m])",
        "vector(0)",
        "1",
        "gone or vector(0)",
    ];
    for query in there {
        assert!(!blind(query), "{query}");
    }
    let missing =
        ["gone", "ended", "old", "a / gone", "gone and a", "sum(gone)", "rate(old[5m])", "-gone", "gone unless a"];
    for query in missing {
        assert!(blind(query), "{query}");
    }
    assert!(!blind("max_over_time(ended[15m:1m]) > 5") && blind("max_over_time(gone[15m:1m]) > 5"));
}
