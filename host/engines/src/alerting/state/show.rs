//! What is in memory, for those who look at it.

use super::State;
use crate::alerting::groups::{Member, starts_at};
use crate::alerting::inhibit::Inhibited;
use crate::alerting::key::fingerprint;
use crate::alerting::silence::warnings;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::alerting::{MaintenanceSpec, Matcher, all_match};
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Severity, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

impl State {
    pub(crate) fn preview(&self, matchers: &[Matcher]) -> Preview {
        let firing: Vec<&Member> = self.machine.members().filter(|member| member.fires()).collect();
        let mut matched: Vec<&Member> =
            firing.iter().filter(|member| all_match(matchers, &member.alert.labels)).copied().collect();
        matched.sort_by(|a, b| a.alert.fingerprint.cmp(&b.alert.fingerprint));
        Preview {
            firing: firing.len(),
            matched: matched.len(),
            warnings: warnings(matchers, matched.len(), firing.len()),
            alerts: matched.iter().take(PREVIEWED).map(|member| Matched::of(&member.alert)).collect(),
        }
    }

    pub(crate) fn shown(&self, member: &Member, now: Timestamp) -> Shown {
        let labels = &member.alert.labels;
        let tree = self.machine.tree.as_ref();
        let indices = tree.map(|tree| tree.matching(labels)).unwrap_or_default();
        let routes = indices.iter().filter_map(|index| tree?.route(*index));
        let mut receivers: Vec<String> = routes.map(|route| route.receiver.clone()).collect();
        receivers.dedup();
        let mut shown = Shown {
            alert: member.alert.clone(),
            receivers,
            silenced_by: self.machine.silences.silencing(labels, now).iter().map(|s| s.id.clone()).collect(),
            inhibited_by: Vec::new(),
        };
        if let Some(Inhibited { by, .. }) = self.machine.inhibitor.inhibited(labels) {
            shown.inhibited_by.extend(self.machine.member_of(by).map(|by| fingerprint(&by.alert.labels)));
        }
        if let Some(name) = self.machine.maintained(labels) {
            shown.silenced_by.push(format!("maintenance/{name}"));
        }
        shown
    }

    pub(crate) fn alerts(&self, now: Timestamp) -> Vec<Shown> {
        let firing = self.machine.members().filter(|member| member.fires());
        let mut shown: Vec<Shown> = firing.map(|member| self.shown(member, now)).collect();
        shown.sort_by_cached_key(|shown| fingerprint(&shown.alert.labels));
        shown
    }

    pub(crate) fn alerts_of<'a>(&self, ids: impl IntoIterator<Item = &'a str>, now: Timestamp) -> Vec<Shown> {
        let members = ids.into_iter().filter_map(|id| self.machine.member(id)).filter(|member| member.fires());
        members.map(|member| self.shown(member, now)).collect()
    }

    pub(crate) fn groups(&self, now: Timestamp) -> Vec<ShownGroup> {
        let shown = self.machine.groups().filter_map(|(id, group)| {
            let route = self.machine.tree.as_ref()?.route(group.route)?;
            let members = group.members.iter().filter_map(|key| self.machine.member_of(*key));
            let mut alerts: Vec<Shown> =
                members.filter(|member| member.fires()).map(|member| self.shown(member, now)).collect();
            alerts.sort_by_cached_key(|shown| (starts_at(&shown.alert), fingerprint(&shown.alert.labels)));
            let labels = self.machine.labels(group);
            Some(ShownGroup {
                id: id.to_string(),
                key: route.group_key(&labels),
                labels,
                receiver: route.receiver.clone(),
                since: group.since,
                next: group.next,
                told_at: group.told.as_ref().map(|told| told.at),
                alerts,
            })
        });
        let mut groups: Vec<ShownGroup> = shown.collect();
        groups.sort_by(|a, b| (&a.labels, &a.receiver, &a.id).cmp(&(&b.labels, &b.receiver, &b.id)));
        groups
    }

    pub(crate) fn maintenance(&self, now: Timestamp) -> Vec<WindowStatus> {
        let status = |(name, spec): (&String, &MaintenanceSpec)| {
            let open = self.machine.windows.get(name).and_then(|window| window.open(&self.machine.intervals, now));
            WindowStatus {
                name: name.clone(),
                active: open.is_some(),
                since: open.and_then(|open| open.since.or_else(|| self.machine.open_since(name))),
                until: open.and_then(|open| open.until),
                matched: self
                    .machine
                    .members()
                    .filter(|member| member.fires() && all_match(&spec.matchers, &member.alert.labels))
                    .count(),
                spec: spec.clone(),
            }
        };
        self.machine.spec.maintenance.iter().map(status).collect()
    }
}

/// Alerts of a preview that are named.
const PREVIEWED: usize = 100;

/// What a silence would match.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SilencePreview")]
pub struct Preview {
    /// How many alerts fire now.
    pub firing: usize,
    /// How many of them it would match.
    pub matched: usize,
    /// Why it may be too much.
    pub warnings: Vec<String>,
    /// The first hundred that it would match.
    pub alerts: Vec<Matched>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MatchedAlert")]
pub struct Matched {
    pub fingerprint: String,
    pub rule: String,
    pub severity: Severity,
    pub labels: Labels,
    pub summary: String,
    pub since: Timestamp,
}

impl Matched {
    fn of(alert: &Alert) -> Self {
        Matched {
            fingerprint: alert.fingerprint.clone(),
            rule: alert.rule.clone(),
            severity: alert.severity,
            labels: alert.labels.clone(),
            summary: alert.summary.clone(),
            since: starts_at(alert),
        }
    }
}

/// An alert with what becomes of it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub alert: Arc<Alert>,
    pub receivers: Vec<String>,
    /// Ids of silences, and `maintenance/<name>`.
    pub silenced_by: Vec<String>,
    /// Fingerprints as Alertmanager computes them.
    pub inhibited_by: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ShownGroup {
    pub id: String,
    pub key: String,
    pub labels: Labels,
    pub receiver: String,
    pub since: Timestamp,
    pub next: Timestamp,
    pub told_at: Option<Timestamp>,
    pub alerts: Vec<Shown>,
}

/// Planned work, and whether it goes on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MaintenanceWindow")]
pub struct WindowStatus {
    pub name: String,
    pub active: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Alerts that fire and that it is about.
    pub matched: usize,
    pub spec: MaintenanceSpec,
}
