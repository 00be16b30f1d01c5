//! What a query may not cost.

use crate::store::Store;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::time::{Span, Timestamp};
use quarterdeck_promql::{Budget, Error, Expression, Options, Times, Value, evaluate};
use std::sync::Arc;

fn store(series: usize, samples: i64) -> Store {
    let mut store = Store::default();
    for index in 0..series {
        let labels = Arc::new(Labels::new().with(NAME, "load").with("host", index.to_string()));
        for sample in 0..samples {
            store.push(&labels, sample * 15_000, sample as f64);
        }
    }
    store
}

fn ask(query: &str, budget: &Budget) -> Result<Value, Error> {
    let times = Times::at(Timestamp::from_millis(600_000));
    let expression = Expression::parse(query)?;
    evaluate(&expression, times, &store(10, 40), budget, &Options::default()).map(|answer| answer.value)
}

#[test]
fn a_query_that_would_hold_more_than_its_budget_is_refused() {
    for query in ["load[1h]", "load[10y:1ms]", "vector(1)[10y:1ms]", "sum(count_over_time(vector(time())[5y:1s]))"] {
        let refused = ask(query, &Budget::of_samples(300)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Store(StoreError::TooManyPoints { limit: 300 })), "{query}: {refused}");
    }
    assert!(ask("sum(load)", &Budget::of_samples(1_000)).is_ok());
}

#[test]
fn a_query_that_was_stopped_ends() {
    let budget = Budget::of_samples(usize::MAX);
    budget.stop();
    let refused = ask("sum(rate(load[5m])) + 1", &budget).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Store(StoreError::Stopped)), "{refused}");
}

#[test]
fn a_range_has_no_more_points_than_the_options_allow() {
    let ask = |steps: u64, step: u64| {
        let end = Timestamp::from_millis(i64::try_from((steps - 1) * 1_000).unwrap());
        let times = Times::Range { start: Timestamp::from_millis(0), end, step: Span::from_millis(step) };
        let expression = Expression::parse("vector(1)").unwrap();
        let budget = Budget::of_samples(1_000_000);
        evaluate(&expression, times, &Store::default(), &budget, &Options::default())
    };
    assert!(ask(11_000, 1_000).is_ok());
    let refused = ask(11_001, 1_000).unwrap_err().to_string();
    assert!(refused.contains("exceeded maximum resolution of 11000 points"), "{refused}");
    let refused = ask(2, 0).unwrap_err().to_string();
    assert!(refused.contains("zero or negative query resolution step widths"), "{refused}");
}

#[test]
fn a_range_query_of_text_or_a_range_vector_is_refused() {
    for query in ["load[5m]", "load[5m:1m]", "\"text\""] {
        let times = Times::Range {
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(60_000),
            step: Span::from_secs(15),
        };
        let budget = Budget::of_samples(1_000_000);
        let expression = Expression::parse(query).unwrap();
        let refused = evaluate(&expression, times, &store(1, 1), &budget, &Options::default()).unwrap_err();
        assert!(matches!(refused, Error::Parse(_)), "{query}: {refused}");
    }
}

/// Threads that evaluate have 2 MiB of stack; half of it has to do.
#[test]
fn the_deepest_query_that_is_read_fits_on_a_stack() {
    let deep = |levels: usize| {
        [
            format!("{}load{}", "(".repeat(levels), ")".repeat(levels)),
            format!("{}load", "-".repeat(levels)),
            vec!["load"; levels + 1].join(" + "),
            vec!["load"; levels + 1].join(" ^ "),
            format!("{}load{}", "sum(".repeat(levels), ")".repeat(levels)),
            format!("{}load{}", "abs(".repeat(levels), ")".repeat(levels)),
            format!("{}load{}", "label_replace(".repeat(levels), ",\"a\",\"\",\"b\",\"\")".repeat(levels)),
        ]
    };
    for query in deep(500) {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let answer = thread.spawn(move || ask(&query, &Budget::of_samples(10_000_000)).map(|_| ())).unwrap().join();
        answer.unwrap().unwrap();
    }
    for query in deep(501) {
        let refused = Expression::parse(&query).unwrap_err().to_string();
        assert!(refused.contains("hint: 500 are the limit"), "{refused}");
    }
    // As deep as a request may be long.
    for query in deep(100_000) {
        assert!(Expression::parse(&query).is_err());
    }
}
