//! Whole columns give what each step for itself gives: a range query is a row of instant queries.

use crate::judge::{instant, range, same};
use crate::store::Store;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{NAME, STALE};
use quarterdeck_promql::Value;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series that come and go, end and begin again, and fall back to zero.
fn store(random: &mut StdRng) -> Store {
    let mut store = Store::default();
    for name in ["requests_total", "errors_total", "size"] {
        for host in ["a", "b", "c"] {
            for code in ["200", "500"] {
                if random.random_bool(0.2) {
                    continue;
                }
                let labels = Labels::new().with(NAME, name).with("host", host).with("code", code);
                let labels = Arc::new(labels);
                let (mut at, mut value) = (random.random_range(0..120_000), 0.0);
                while at < 1_800_000 {
                    value += f64::from(random.random_range(0_u8..10));
                    match random.random_range(0..40) {
                        0 => value = 0.0,
                        1 => store.push(&labels, at + 1, f64::from_bits(STALE)),
                        2 => at += random.random_range(60_000..600_000),
                        3 => store.push(&labels, at + 2, f64::NAN),
                        _ => {}
                    }
                    store.push(&labels, at, value);
                    at += random.random_range(5_000..30_000);
                }
            }
        }
    }
    store
}

const OPERANDS: &[&str] = &[
    "requests_total",
    "errors_total",
    "size",
    "requests_total offset 3m",
    "size @ 900",
    "{__name__=~\"requests_total|errors_total\"}",
];

fn vector(random: &mut StdRng, depth: usize) -> String {
    let one_of = |random: &mut StdRng, choices: &[&str]| choices[random.random_range(0..choices.len())].to_owned();
    if depth == 0 {
        return one_of(random, OPERANDS);
    }
    let inner = vector(random, depth - 1);
    match random.random_range(0..9) {
        0 => {
            let function = one_of(random, &["rate", "increase", "delta", "irate", "resets", "changes", "deriv"]);
            format!("{function}({}[{}m])", one_of(random, &["requests_total", "size"]), random.random_range(1..10))
        }
        1 => {
            let functions = ["sum", "avg", "min", "max", "count", "last", "first", "stddev", "present"];
            let function = one_of(random, &functions);
            format!("{function}_over_time(({inner})[{}m:{}s])", random.random_range(1..10), random.random_range(10..90))
        }
        2 => {
            let operator = one_of(random, &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            format!("{operator} {} ({inner})", one_of(random, &["", "by (host)", "without (code)", "by (__name__)"]))
        }
        3 => format!("topk by (host) ({}, {inner})", random.random_range(1..3)),
        4 => format!(
            "({inner}) {} {}",
            one_of(random, &["+", "-", "*", "/", "%", ">", "<=", "== bool"]),
            random.random_range(0..9)
        ),
        5 => {
            let operator = one_of(random, &["+", "/", ">", "<= bool", "and", "or", "unless"]);
            format!("sum by (host, code) ({inner}) {operator} max by (host, code) ({})", vector(random, depth - 1))
        }
        6 => format!("sum by (host, code) ({inner}) * on (host) group_left () count by (host) (size)"),
        7 => format!("{}({inner})", one_of(random, &["abs", "-", "absent", "ceil", "timestamp", "hour"])),
        _ => format!("clamp_max({inner}, {})", random.random_range(1..50)),
    }
}

#[test]
fn a_range_query_gives_what_instant_queries_of_its_steps_give() {
    let mut random = StdRng::seed_from_u64(4);
    let mut points = 0;
    for _ in 0..20 {
        let store = store(&mut random);
        for _ in 0..20 {
            let depth = random.random_range(0..4);
            let query = vector(&mut random, depth);
            points += check(&store, &query);
        }
    }
    // They don't all fail, and aren't all empty.
    assert!(points > 5_000, "{points}");
}

fn check(store: &Store, query: &str) -> usize {
    let (start, end, step) = (0, 1_900_000, 73_000);
    let mut by_step: BTreeMap<Arc<Labels>, Vec<(i64, f64)>> = BTreeMap::new();
    let mut failed = false;
    for at in (start..=end).step_by(usize::try_from(step).unwrap()) {
        match instant(store, query, at).map(|answer| answer.value) {
            Ok(Value::Vector(samples)) => {
                for sample in samples {
                    by_step.entry(sample.labels).or_default().push((at, sample.point.value));
                }
            }
            Ok(value) => panic!("{query}: {value:?}"),
            Err(_) => failed = true,
        }
    }
    let series = match range(store, query, start, end, step).map(|answer| answer.value) {
        Ok(Value::Matrix(series)) => series,
        Ok(value) => panic!("{query}: {value:?}"),
        Err(e) => {
            assert!(failed, "{query}: {e}");
            return 0;
        }
    };
    assert!(!failed, "{query}: a step fails, the range doesn't");
    assert_eq!(series.iter().map(|series| &series.labels).collect::<Vec<_>>(), by_step.keys().collect::<Vec<_>>());
    let mut points = 0;
    for (series, expected) in series.iter().zip(by_step.values()) {
        assert_eq!(series.points.len(), expected.len(), "{query}: {}", series.labels);
        for (point, (at, value)) in series.points.iter().zip(expected) {
            assert_eq!(point.at.as_millis(), *at, "{query}");
            same(point.value, *value).unwrap_or_else(|e| panic!("{query}: {} at {at}: {e}", series.labels));
            points += 1;
        }
    }
    points
}
