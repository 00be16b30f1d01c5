//! What is true of this target now?

use super::{convert, export};
use crate::bindings::collector::exports::quarterdeck::collector::collector as wit;
use crate::call::{Misfit, words};
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::{Collection, Collector, Condition, Family, Health, MetricType};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};

#[async_trait]
impl Collector for Runtime {
    async fn collect(&self, instance: &InstanceName, now: Timestamp) -> CallResult<Collection> {
        let request = Request::new(Kind::Collector, instance).at(now);
        self.call(request, move |guest, version, config| {
            Box::pin(async move {
                let collector = match export(&version, |version| &version.exports.collector, Kind::Collector) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::collector::Collector::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let collector = collector.quarterdeck_collector_collector();
                let result = collector.call_collect(&mut guest.store, &config, now.as_millis()).await?;
                Ok(result.map_err(CallError::from).and_then(Collection::try_from))
            })
        })
        .await
    }
}

impl TryFrom<wit::Collection> for Collection {
    type Error = CallError;

    fn try_from(collection: wit::Collection) -> Result<Self, CallError> {
        Ok(Collection {
            families: collection.families.into_iter().map(Family::try_from).collect::<Result<_, _>>()?,
            health: Health {
                state: match collection.health.state {
                    wit::State::Ok => Condition::Ok,
                    wit::State::Degraded => Condition::Degraded,
                    wit::State::Failed => Condition::Failed,
                },
                message: words(collection.health.message),
            },
        })
    }
}

impl TryFrom<wit::Family> for Family {
    type Error = CallError;

    fn try_from(family: wit::Family) -> Result<Self, CallError> {
        let (labels, values, times) = (family.labels.len(), family.values.len(), family.at_ms.len());
        if !is_metric_name(&family.name) {
            let name: String = family.name.chars().take(80).collect();
            return Err(Misfit::error(format!("`{}` is no name for a metric", name.escape_debug())));
        }
        if labels != values || (times != 0 && times != values) {
            return Err(Misfit::error(format!(
                "`{}` has {labels} sets of labels, {values} values and {times} times",
                family.name
            )));
        }
        Ok(Family {
            name: family.name,
            metric_type: match family.metric_type {
                wit::MetricType::Gauge => MetricType::Gauge,
                wit::MetricType::Counter => MetricType::Counter,
                wit::MetricType::Histogram => MetricType::Histogram,
                wit::MetricType::Summary => MetricType::Summary,
                wit::MetricType::Unknown => MetricType::Unknown,
            },
            help: family.help,
            labels: family.labels.into_iter().map(convert::labels_out).collect(),
            values: family.values,
            at: family.at_ms.into_iter().map(Timestamp::from_millis).collect(),
        })
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}
