//! A series that has ended (the marker of staleness) is not there any more, whatever a rule's window still holds of it: the rule's `no-data`
//! says what becomes of its alert. A detector that is to miss it says so in its schema, by `"x-sees-ended": true` at a key of its
//! configuration.

use crate::Context;
use quarterdeck_model::domain::alert::RuleSpec;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Span, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;

/// How far back the newest samples are known.
const LATEST: Span = Span::from_secs(3600);
const SEES_ENDED: &str = "x-sees-ended";

/// Leaves out what has ended. `now`: the end of the rule's window.
pub(super) fn leave_out(context: &Context, spec: &RuleSpec, series: &mut Vec<SeriesData>, now: Timestamp) {
    let lookback = spec.window.min(LATEST);
    let latest = context.series.latest(&spec.select, now, lookback);
    let alive: BTreeSet<&Labels> = latest.iter().map(|sample| &sample.labels).collect();
    let recent = now.minus(lookback);
    // What is only old has not ended.
    let has_ended =
        |series: &SeriesData| series.at.last().is_some_and(|at| *at > recent) && !alive.contains(&series.labels);
    if series.iter().any(has_ended) && !sees_ended(context, &spec.detector) {
        series.retain(|series| !has_ended(series));
    }
}

fn sees_ended(context: &Context, detector: &InstanceName) -> bool {
    let Some(plugin) = context.registry.instance(detector).and_then(|instance| instance.plugin) else { return false };
    let known = context.registry.plugins().into_iter().find(|known| known.digest == plugin.digest);
    let schema = known.map(|known| known.config_schema).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().any(|(_, property)| property.get(SEES_ENDED) == Some(&true.into()))
}
