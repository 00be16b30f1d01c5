//! What 10,000 alerting rules over 100,000 series take, on one core: each rule looks at ten series of a host, rates and sums among them, one
//! of a hundred alerts fires. The median of ten evaluations of all groups at their interval, over series in memory and over the store.
//!
//! ```text
//! cargo run --release -p quarterdeck-engines --example rules-bench
//! ```

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench may panic")]

use quarterdeck_engines::monitoring::rule_files::alerting::Configured;
use quarterdeck_engines::monitoring::rule_files::{Group, Options, State, World};
use quarterdeck_engines::monitoring::rule_files::{Health, evaluate::evaluate};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, NAME, Querier};
use quarterdeck_model::series::{Sample, Series};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::memory::Memory;
use quarterdeck_storage::Database;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOSTS: usize = 1_000;
/// Ten of each of ten metrics on each host.
const METRICS: usize = 10;
const EACH: usize = 10;
const GROUPS: usize = 100;
const RULES: usize = 100;
const INTERVAL: Span = Span::from_secs(15);
const BEFORE: u64 = 24;
const ROUNDS: u64 = 10;
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn labels(host: usize, metric: usize, each: usize) -> Labels {
    Labels::new()
        .with("instance", format!("host-{host}:9100"))
        .with("job", "node")
        .with("device", format!("sd{each}"))
        .with("cluster", format!("c{}", metric % 3))
}

/// One scrape of everything.
fn scrape(round: u64) -> Vec<Sample> {
    let at = START.plus(Span::from_secs(15 * round));
    let mut samples = Vec::with_capacity(HOSTS * METRICS * EACH);
    for host in 0..HOSTS {
        for metric in 0..METRICS {
            for each in 0..EACH {
                let value = (round * 15) as f64 * (1.0 + each as f64) + host as f64;
                samples.push(Sample {
                    name: format!("node_m{metric}_total"),
                    labels: labels(host, metric, each),
                    at,
                    value,
                });
            }
        }
    }
    samples
}

fn groups() -> Vec<Group> {
    let rule = |index: usize| {
        let (host, metric) = (index % HOSTS, index / HOSTS % METRICS);
        let series = format!("node_m{metric}_total{{instance=\"host-{host}:9100\"}}");
        // One of a hundred finds something.
        let limit = if index % 100 == 7 { "0" } else { "1e12" };
        let query = match index % 4 {
            0 => format!("{series} > {limit}"),
            1 => format!("rate({series}[5m]) > {limit}"),
            2 => format!("sum by (instance) (rate({series}[5m])) > {limit}"),
            _ => format!("max_over_time({series}[5m]) - min_over_time({series}[5m]) > {limit}"),
        };
        json!({"alert": format!("Alert{index}"), "expr": query, "for": "1m", "labels": {"severity": "page"},
            "annotations": {"summary": "{{ $labels.instance }} is at {{ $value | humanize }}"}})
    };
    let group = |group: usize| {
        let rules: Vec<_> = (0..RULES).map(|index| rule(group * RULES + index)).collect();
        let spec = serde_json::from_value(json!({"interval": "15s", "rules": rules})).unwrap();
        Group::read(&format!("bench/{group}"), &spec).unwrap()
    };
    (0..GROUPS).map(group).collect()
}

struct InMemory(Memory);

impl Configured for InMemory {}

impl World for InMemory {
    fn querier(&self) -> &dyn Querier {
        &self.0
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::new(Budget::of_samples(50_000_000))
    }

    fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        for sample in samples {
            self.0.push(&Arc::new(sample.labels.with(NAME, sample.name)), sample.at, sample.value);
        }
        Ok(())
    }
}

struct Stored(Arc<Database>);

impl Configured for Stored {}

impl World for Stored {
    fn querier(&self) -> &dyn Querier {
        &*self.0
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::new(Budget::of_samples(50_000_000))
    }

    fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        futures::executor::block_on(Series::append(&*self.0, samples))
    }
}

fn measure(what: &str, world: &dyn World, groups: &[Group]) {
    for round in 0..BEFORE {
        world.append(scrape(round)).unwrap();
    }
    let mut states: Vec<State> = groups.iter().map(|_| State::default()).collect();
    let mut took = Vec::new();
    for round in BEFORE..BEFORE + ROUNDS {
        world.append(scrape(round)).unwrap();
        let at = START.plus(Span::from_secs(15 * round));
        let started = Instant::now();
        for (group, state) in groups.iter().zip(&mut states) {
            *state = evaluate(group, state, at, world, &Options::default()).state;
        }
        took.push(started.elapsed());
    }
    let rules = || states.iter().flat_map(|state| state.rules.values());
    let bad = rules().filter(|rule| rule.health != Health::Good).count();
    let alerts: usize = rules().map(|rule| rule.alerts.len()).sum();
    assert!(bad == 0 && alerts > 0, "{bad} rules failed, {alerts} alerts");
    took.sort();
    let median: Duration = took[took.len() / 2];
    let share = median.as_secs_f64() / INTERVAL.as_secs_f64() * 100.0;
    println!(
        "{what}: {} rules over {} series, {alerts} alerts: median {:.2} s, longest {:.2} s, {share:.0} % of the interval",
        GROUPS * RULES,
        HOSTS * METRICS * EACH,
        median.as_secs_f64(),
        took[took.len() - 1].as_secs_f64()
    );
}

fn main() {
    let groups = groups();
    measure("in memory", &InMemory(Memory::default()), &groups);
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START.plus(Span::from_secs(3_600))));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _on = runtime.enter();
    let database = Database::open(quarterdeck_storage::Options::new(folder.path(), clock)).unwrap();
    measure("in the store", &Stored(database.clone()), &groups);
    runtime.block_on(database.close());
}
