//! The envelope of everything that happened. Names follow CloudEvents 1.0; samples are not events.

use crate::id::{EventId, IdSource, RunId};
use crate::plugin::PluginRef;
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Position in the log, from 1, without gaps. 0 stands before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    pub id: EventId,
    pub time: Timestamp,
    /// `<noun>.<what happened>`, `incident.opened`. The noun is the topic.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about: an id or a name.
    pub subject: String,
    /// Who caused it: `host`, `operator`, `instance:<name>`.
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginRef>,
    /// The event that this one follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    /// Shared by all that follows from one first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<EventId>,
    /// The run whose step led to it: a plugin published it while it carried the step out, or the step was given up on. Said by the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Version of `data`'s shape, from 1.
    pub schema: u32,
    pub data: Value,
}

impl Event {
    pub fn new(ids: &IdSource, now: Timestamp, event_type: impl Into<String>, subject: impl Into<String>) -> Self {
        Event {
            id: EventId::new(ids, now),
            time: now,
            event_type: event_type.into(),
            subject: subject.into(),
            principal: "host".to_owned(),
            plugin: None,
            causation: None,
            correlation: None,
            run: None,
            schema: 1,
            data: Value::Object(serde_json::Map::new()),
        }
    }

    pub fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = principal.into();
        self
    }

    pub fn plugin(mut self, plugin: Option<PluginRef>) -> Self {
        self.plugin = plugin;
        self
    }

    /// Marks this event as following from `cause`.
    pub fn caused_by(mut self, cause: &Event) -> Self {
        self.correlation = Some(cause.correlation.clone().unwrap_or_else(|| cause.id.clone()));
        self.causation = Some(cause.id.clone());
        self
    }

    /// The first part of the type: `incident` of `incident.opened`.
    pub fn topic(&self) -> &str {
        self.event_type.split('.').next().unwrap_or_default()
    }
}

/// An event with its place in the log. Cheap to clone: all readers of the bus share the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredEvent {
    pub offset: Offset,
    #[serde(flatten)]
    pub event: Arc<Event>,
}

/// Types of the events that the host itself publishes. Plugins and the API add others: those of `custom.`, and what grants name.
pub const TYPES: [&str; 75] = [
    "alert.acknowledged",
    "alert.firing",
    "alert.resolved",
    "alert.updated",
    "audit.append",
    "audit.events",
    "audit.exec",
    "audit.http",
    "audit.kv",
    "audit.log",
    "audit.metrics",
    "audit.process",
    "audit.secret",
    "audit.system",
    "audit.tcp",
    "calculation.failed",
    "calculation.recovered",
    "check.failed",
    "check.given-up",
    "check.recovered",
    "configuration.applied",
    "configuration.refused",
    "dead-letter.added",
    "dead-letter.retried",
    "deployment.finished",
    "deployment.moved",
    "deployment.paused",
    "deployment.promoted",
    "deployment.started",
    "effect.done",
    "effect.failed",
    "effect.unknown",
    "finding.fixed",
    "finding.opened",
    "health.changed",
    "incident.acknowledged",
    "incident.ignored",
    "incident.opened",
    "incident.resolved",
    "incident.updated",
    "instance.class-quarantined",
    "instance.class-recovered",
    "instance.grants-changed",
    "instance.over-budget",
    "instance.state-changed",
    "instance.usage",
    "notification.delivered",
    "notification.digested",
    "notification.failed",
    "notification.fallen-back",
    "notification.held",
    "plugin.events-left-out",
    "plugin.installed",
    "plugin.loaded",
    "plugin.promoted",
    "plugin.refused",
    "plugin.removed",
    "plugin.replaced",
    "plugin.retired",
    "plugin.rolled-back",
    "plugin.shadow-differs",
    "plugin.shadow-ended",
    "plugin.shadow-started",
    "rule.failed",
    "rule.recovered",
    "run.finished",
    "run.refused",
    "run.started",
    "run.step",
    "scan.finished",
    "scan.started",
    "silence.expired",
    "silence.set",
    "slo.breached",
    "slo.recovered",
];

/// Which events a reader wants. Empty lists let everything through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventFilter {
    /// Exact types, or prefixes that end in `.`, or topics without a dot.
    pub types: Vec<String>,
    pub subject: Option<String>,
    /// Left out, written as in `types`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl EventFilter {
    pub fn types<T: Into<String>>(types: impl IntoIterator<Item = T>) -> Self {
        EventFilter { types: types.into_iter().map(Into::into).collect(), ..EventFilter::default() }
    }

    pub fn matches(&self, event: &Event) -> bool {
        self.lets_through(&event.event_type, &event.subject)
    }

    /// [`EventFilter::matches`] for whoever has not read the whole event.
    pub fn lets_through(&self, event_type: &str, subject: &str) -> bool {
        let topic = event_type.split('.').next().unwrap_or_default();
        let is_of = |wanted: &String| {
            wanted == event_type
                || (wanted.ends_with('.') && event_type.starts_with(wanted.as_str()))
                || (!wanted.contains('.') && topic == wanted)
        };
        let by_type = self.types.is_empty() || self.types.iter().any(is_of);
        by_type && !self.without.iter().any(is_of) && self.subject.as_ref().is_none_or(|wanted| wanted == subject)
    }
}
