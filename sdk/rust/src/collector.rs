//! What is true of this target now?

use crate::{Failure, Labels, Plugin};

/// Finds something out, on the instance's schedule.
pub trait Collector: Plugin {
    /// A target that is down is a [`Collection`] whose health says so, not a failure: failure means that nothing could be
    /// found out. `now_ms`: milliseconds since 1970, UTC.
    fn collect(config: &Self::Config, now_ms: i64) -> Result<Collection, Failure>;
}

/// What was found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// A family per metric.
    pub families: Vec<Family>,
    /// How the target is, for a person.
    pub health: Health,
}

impl Collection {
    /// Without families yet.
    pub const fn new(health: Health) -> Self {
        Collection { families: Vec::new(), health }
    }

    /// Adds a family.
    #[must_use]
    pub fn with(mut self, family: Family) -> Self {
        self.families.push(family);
        self
    }

    /// The value of a series, for tests of a collector.
    pub fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        let family = self.families.iter().find(|family| family.name == name)?;
        let index = family.labels.iter().position(|own| own == labels)?;
        family.values.get(index).copied()
    }
}

/// Samples of one metric, as columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, with the unit as its end (`_bytes`, `_seconds`, `_ratio`).
    pub name: String,
    /// What the figures are.
    pub metric_type: MetricType,
    /// One line.
    pub help: String,
    /// As many as there are values.
    pub labels: Vec<Labels>,
    /// The figures.
    pub values: Vec<f64>,
    /// Milliseconds since 1970 for each of them; empty: all are of the time of the call.
    pub at_ms: Vec<i64>,
}

impl Family {
    /// Without samples yet.
    pub fn new(name: impl Into<String>, metric_type: MetricType, help: impl Into<String>) -> Self {
        Family {
            name: name.into(),
            metric_type,
            help: help.into(),
            labels: Vec::new(),
            values: Vec::new(),
            at_ms: Vec::new(),
        }
    }

    /// A value that goes up and down.
    pub fn gauge(name: impl Into<String>, help: impl Into<String>) -> Self {
        Family::new(name, MetricType::Gauge, help)
    }

    /// A value that only grows, by custom `..._total`.
    pub fn counter(name: impl Into<String>, help: impl Into<String>) -> Self {
        Family::new(name, MetricType::Counter, help)
    }

    /// Adds a sample without labels.
    #[must_use]
    pub fn value(self, value: f64) -> Self {
        self.sample(Labels::new(), value)
    }

    /// Adds a sample.
    #[must_use]
    pub fn sample(mut self, labels: Labels, value: f64) -> Self {
        self.push(labels, value);
        self
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: Labels, value: f64) {
        self.labels.push(labels);
        self.values.push(value);
    }
}

/// What the figures of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
    /// Buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// The source does not say.
    Unknown,
}

/// How a target is, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// One of three.
    pub state: State,
    /// One line.
    pub message: String,
}

impl Health {
    /// All is well.
    pub fn ok(message: impl Into<String>) -> Self {
        Health { state: State::Ok, message: message.into() }
    }

    /// It works, but not as it should.
    pub fn degraded(message: impl Into<String>) -> Self {
        Health { state: State::Degraded, message: message.into() }
    }

    /// It does not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Health { state: State::Failed, message: message.into() }
    }
}

/// See [`Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Ok,
    /// It works, but not as it should.
    Degraded,
    /// It does not work.
    Failed,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Collection, Collector, Family, Health, MetricType, State};
    use crate::bindings::collector::exports::quarterdeck::collector::collector as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        enum MetricType => wit::MetricType { Gauge, Counter, Histogram, Summary, Unknown }
        enum State => wit::State { Ok, Degraded, Failed }
    }
    mirror! {
        struct Family => wit::Family { name, metric_type, help, labels, values, at_ms }
        struct Health => wit::Health { state, message }
        struct Collection => wit::Collection { families, health }
    }

    impl<P: Collector> wit::Guest for Component<P> {
        fn collect(text: String, now_ms: i64) -> Result<wit::Collection, wit::Failure> {
            P::collect(&config::<P>(&text)?, now_ms).map(Mirror::mirror).map_err(Mirror::mirror)
        }
    }
}
