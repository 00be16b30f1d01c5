//! How alerts become messages: a tree of routes, receivers, and what keeps a message back.
//!
//! The names, and what they mean, are Alertmanager's. Absent keys of a route are those of the route above it.

mod matcher;

pub use matcher::{Comparison, Matcher, NotAMatcher, all_match};

use crate::label::Labels;
use crate::plugin::InstanceName;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertingSpec {
    /// The root of the tree of routes. Without it, alerts are told by `[routes]` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AlertRoute")]
    pub route: Option<AlertRoute>,
    /// Who is told, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub receivers: BTreeMap<String, Receiver>,
    /// Alerts that keep others from being told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inhibit_rules: Vec<InhibitRule>,
    /// Times of the week or the year, by name; each holds if one of its parts does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// Planned work, by name, during which nobody is told of the alerts that it makes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub maintenance: BTreeMap<String, MaintenanceSpec>,
    /// An alert that was sent here without an end is over when nobody has sent it again for so long.
    pub resolve_timeout: Span,
    /// Added to alerts of this host's own rules when they are told, grouped, silenced and shown by the API of Alertmanager, where they don't have
    /// them: which host it was. Templates know them as `$externalLabels`.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub external_labels: Labels,
    /// A file of Alertmanager: its routes, receivers, inhibition rules and time intervals are laid under what stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl Default for AlertingSpec {
    fn default() -> Self {
        AlertingSpec {
            route: None,
            receivers: BTreeMap::new(),
            inhibit_rules: Vec::new(),
            time_intervals: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            resolve_timeout: Span::from_secs(300),
            external_labels: Labels::new(),
            file: None,
        }
    }
}

/// A route, and those below it. An alert takes the first of those that matches, and goes on to the next ones if that says `continue`;
/// where none matches, it takes this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertRoute {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// Alerts with the same values of these labels are told together. `...`: of all labels, so each by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<Vec<String>>,
    /// How long the first message about a group waits for more alerts. Unless given: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_wait: Option<Span>,
    /// How often a group is looked at after that. Unless given: `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_interval: Option<Span>,
    /// After how long the same is told again. Unless given: `4h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<Span>,
    /// All of them have to match. The root has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// Whether alerts that match go on to the routes behind this one.
    #[serde(rename = "continue", skip_serializing_if = "is_false")]
    pub goes_on: bool,
    /// Nothing is told in these intervals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mute_time_intervals: Vec<String>,
    /// With any, something is told in these intervals only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active_time_intervals: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<AlertRoute>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Those who are told together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Receiver {
    /// Instances of notifiers. None: nobody is told.
    pub notify: Vec<InstanceName>,
    /// Whether they are told of the end of alerts.
    pub send_resolved: bool,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver { notify: Vec::new(), send_resolved: true }
    }
}

/// While an alert fires that the source matchers match, those that the target matchers match are not told, if both have the same
/// values of `equal`. A missing label equals an empty one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct InhibitRule {
    pub source_matchers: Vec<Matcher>,
    pub target_matchers: Vec<Matcher>,
    pub equal: Vec<String>,
}

/// A moment is in it if it fits all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TimeInterval {
    /// Of the day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeOfDay>,
    /// `monday`, `monday:friday`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    /// `1`, `1:5`, `-3:-1` from the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days_of_month: Vec<String>,
    /// `january`, `1:3`, `may:august`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<String>,
    /// `2026`, `2026:2028`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<String>,
    /// An IANA zone. Unless given: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// From one time of the day, to another one behind it: `09:00` and `17:00`. The end is not in it; `24:00` is the end of the day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeOfDay {
    pub start_time: String,
    pub end_time: String,
}

/// Planned work that comes again: at the times of a cron expression, or in time intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MaintenanceSpec {
    /// The alerts that it is about. None: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// When it begins: five fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA zone of `cron`. Unless given: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long it goes on after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Instead of `cron`: it goes on as long as one of these does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_intervals: Vec<String>,
    pub mode: MaintenanceMode,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaintenanceMode {
    /// Alerts are made and open incidents, and nobody is told of them. What still fires at the end is told then as ever.
    #[default]
    Suppress,
    /// The same, and at the end each receiver gets one message about all that happened.
    Consolidate,
}

/// An acknowledgement that ends before its alert does. Id: the alert's fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// Since when the alert was active then: it says nothing about a later one.
    pub active_at: crate::Timestamp,
    pub until: crate::Timestamp,
}

impl Acknowledgement {
    pub const COLLECTION: &'static str = "acknowledgements";
}
