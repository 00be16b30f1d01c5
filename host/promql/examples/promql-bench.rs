//! What queries take over series in memory, on one core: the median of 20 runs of each.
//!
//! ```text
//! cargo run --release -p quarterdeck-promql --example promql-bench ["only this query"]
//! ```

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench may panic")]

use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Columns, Matcher, NAME, Querier};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::time::{Span, Timestamp};
use quarterdeck_promql::{Expression, Options, Times, evaluate};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SCRAPE: i64 = 15_000;
const HOUR: i64 = 3_600_000;

/// A counter for each series, which is selected by its name alone.
struct Memory(Vec<Columns>);

impl Memory {
    fn of(series: usize) -> Self {
        let column = |index: usize| {
            let labels = Labels::new()
                .with(NAME, "http_requests_total")
                .with("instance", format!("host-{}:9100", index % 100))
                .with("job", "api")
                .with("path", format!("/v1/resource/{}", index / 100))
                .with("code", ["200", "404", "500"][index % 3]);
            let at: Vec<i64> = (0..2 * HOUR / SCRAPE).map(|sample| sample * SCRAPE).collect();
            let values = at.iter().map(|at| (at / 1_000) as f64 * (1.0 + index as f64 / 7.0)).collect();
            Columns { labels: Arc::new(labels), at, values }
        };
        Memory((0..series).map(column).collect())
    }
}

impl Querier for Memory {
    fn select(
        &self,
        _: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError> {
        let part = |columns: &Columns| {
            let first = columns.at.partition_point(|at| *at <= from.as_millis());
            let last = columns.at.partition_point(|at| *at <= to.as_millis());
            budget.take(last - first)?;
            Ok(Columns {
                labels: Arc::clone(&columns.labels),
                at: columns.at[first..last].to_vec(),
                values: columns.values[first..last].to_vec(),
            })
        };
        self.0.iter().map(part).collect()
    }

    fn series(&self, _: &[Matcher], _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<Arc<Labels>>, StoreError> {
        Ok(self.0.iter().map(|columns| Arc::clone(&columns.labels)).collect())
    }
}

fn measure(memory: &Memory, query: &str) -> Duration {
    let times = Times::Range {
        start: Timestamp::from_millis(HOUR),
        end: Timestamp::from_millis(2 * HOUR),
        step: Span::from_secs(15),
    };
    let run = || {
        let started = Instant::now();
        let expression = Expression::parse(query).unwrap();
        let answer = evaluate(&expression, times, memory, &Budget::of_samples(50_000_000), &Options::default());
        std::hint::black_box(answer.unwrap());
        started.elapsed()
    };
    run();
    let mut runs: Vec<Duration> = (0..20).map(|_| run()).collect();
    runs.sort();
    runs[runs.len() / 2]
}

/// Reading a query, and asking it of ten series at one time: what a rule costs.
fn measure_rule(query: &str) -> (Duration, Duration) {
    let memory = Memory::of(10);
    let times = Times::at(Timestamp::from_millis(HOUR));
    let expression = Expression::parse(query).unwrap();
    let parse = || {
        let started = Instant::now();
        std::hint::black_box(Expression::parse(query).unwrap());
        started.elapsed()
    };
    let ask = || {
        let started = Instant::now();
        let budget = Budget::of_samples(50_000_000);
        std::hint::black_box(evaluate(&expression, times, &memory, &budget, &Options::default()).unwrap());
        started.elapsed()
    };
    let median = |run: &dyn Fn() -> Duration| {
        let mut runs: Vec<Duration> = (0..20).map(|_| run()).collect();
        runs.sort();
        runs[runs.len() / 2]
    };
    (median(&parse), median(&ask))
}

fn main() {
    for query in ["http_requests_total > 1e12", "sum by (job) (rate(http_requests_total{job=\"api\"}[5m])) > 1e6"] {
        let (parse, ask) = measure_rule(query);
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        println!("read {:.1} us, asked of 10 series {:.1} us: {query}", micros(parse), micros(ask));
    }
    println!("{:>6}  {:>10}  query (241 steps of 15 s)", "series", "p50");
    let only = std::env::args().nth(1);
    for (series, query) in [
        (100, "http_requests_total"),
        (100, "rate(http_requests_total[5m])"),
        (100, "sum by (path) (rate(http_requests_total[5m]))"),
        (1_000, "http_requests_total"),
        (1_000, "sum(http_requests_total)"),
        (1_000, "rate(http_requests_total[5m])"),
        (1_000, "sum(rate(http_requests_total[5m]))"),
        (1_000, "sum by (instance) (rate(http_requests_total[5m])) / sum by (instance) (http_requests_total)"),
        (1_000, "topk(5, rate(http_requests_total[5m]))"),
        (1_000, "max_over_time(rate(http_requests_total[1m])[10m:1m])"),
        (1_000, "http_requests_total / on (instance, path, code) http_requests_total offset 5m"),
    ] {
        if only.as_ref().is_some_and(|only| only != query) {
            continue;
        }
        let p50 = measure(&Memory::of(series), query);
        println!("{series:>6}  {:>7.2} ms  {query}", p50.as_secs_f64() * 1_000.0);
    }
}
