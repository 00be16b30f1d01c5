//! Alerts as they are shown: those of this host's rules, and those that others sent here.

use super::answer::{Failure, Parameters};
use super::filter::Filter;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_engines::alerting::message::annotations;
use quarterdeck_engines::alerting::{Shown, fingerprint, groups};
use quarterdeck_model::Timestamp;
use quarterdeck_model::label::Labels;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(alertmanager_alerts)).routes(routes!(alertmanager_groups))
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AlertmanagerReceiver {
    pub(super) name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerAlertStatus {
    /// `active` or `suppressed`.
    state: &'static str,
    silenced_by: Vec<String>,
    inhibited_by: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerAlert {
    annotations: Labels,
    ends_at: Timestamp,
    fingerprint: String,
    receivers: Vec<AlertmanagerReceiver>,
    starts_at: Timestamp,
    status: AlertmanagerAlertStatus,
    updated_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    labels: Labels,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerAlerts(Vec<AlertmanagerAlert>);

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerGroup {
    alerts: Vec<AlertmanagerAlert>,
    labels: Labels,
    receiver: AlertmanagerReceiver,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerGroups(Vec<AlertmanagerGroup>);

fn shown(api: &Api, shown: Shown, now: Timestamp) -> AlertmanagerAlert {
    let alert = &shown.alert;
    let quiet = shown.silenced_by.is_empty() && shown.inhibited_by.is_empty();
    // A rule's alert goes on until the rule says otherwise; clients expect an end, so it is where it would be without the rule.
    let timeout = api.options.engines.alerting.spec().resolve_timeout;
    let posted = alert.posted.as_ref();
    AlertmanagerAlert {
        annotations: annotations(alert),
        ends_at: posted.map_or_else(|| now.plus(timeout), |posted| posted.ends_at),
        fingerprint: fingerprint(&alert.labels),
        receivers: shown.receivers.into_iter().map(|name| AlertmanagerReceiver { name }).collect(),
        starts_at: groups::starts_at(alert),
        status: AlertmanagerAlertStatus {
            state: if quiet { "active" } else { "suppressed" },
            silenced_by: shown.silenced_by,
            inhibited_by: shown.inhibited_by,
        },
        updated_at: posted.map_or(alert.last_evaluated, |posted| posted.updated_at),
        generator_url: api.options.engines.alerting.generator_url(alert),
        labels: alert.labels.clone(),
    }
}

/// Alerts that fire.
#[utoipa::path(get, path = "/alerts", tag = "alertmanager",
    params(("active" = Option<bool>, Query, description = "Those that nothing keeps back. Unless given: yes."),
        ("silenced" = Option<bool>, Query, description = "Those that are silenced. Unless given: yes."),
        ("inhibited" = Option<bool>, Query, description = "Those that are inhibited. Unless given: yes."),
        ("unprocessed" = Option<bool>, Query, description = "Without effect: there are none here."),
        ("filter" = Option<Vec<String>>, Query, description = "Matchers, such as `team=\"db\"`. All have to match."),
        ("receiver" = Option<String>, Query, description = "Regular expression of receivers' names.")),
    responses((status = 200, description = "Alerts, by fingerprint.", body = ref(of::<AlertmanagerAlerts>()))))]
async fn alertmanager_alerts(
    State(api): State<Arc<Api>>,
    parameters: Parameters,
) -> Result<Json<AlertmanagerAlerts>, Failure> {
    let filter = Filter::of(&parameters)?;
    let now = api.now();
    let alerts = api.options.engines.alerting.alerts().into_iter();
    let wanted = alerts.filter(|alert| {
        // Without a tree of routes nobody receives anything, and alerts are shown all the same.
        let received = alert.receivers.iter().any(|name| filter.takes_receiver(name));
        (received || (alert.receivers.is_empty() && filter.takes_receiver(""))) && filter.takes(alert)
    });
    Ok(Json(AlertmanagerAlerts(wanted.map(|alert| shown(&api, alert, now)).collect())))
}

/// Groups of alerts, as they are told.
#[utoipa::path(get, path = "/alerts/groups", tag = "alertmanager",
    params(("active" = Option<bool>, Query, description = "Those that nothing keeps back. Unless given: yes."),
        ("silenced" = Option<bool>, Query, description = "Those that are silenced. Unless given: yes."),
        ("inhibited" = Option<bool>, Query, description = "Those that are inhibited. Unless given: yes."),
        ("filter" = Option<Vec<String>>, Query, description = "Matchers, such as `team=\"db\"`. All have to match."),
        ("receiver" = Option<String>, Query, description = "Regular expression of receivers' names.")),
    responses((status = 200, description = "Groups, by labels.", body = ref(of::<AlertmanagerGroups>()))))]
async fn alertmanager_groups(
    State(api): State<Arc<Api>>,
    parameters: Parameters,
) -> Result<Json<AlertmanagerGroups>, Failure> {
    let filter = Filter::of(&parameters)?;
    let now = api.now();
    let mut groups = Vec::new();
    for group in api.options.engines.alerting.groups() {
        if !filter.takes_receiver(&group.receiver) {
            continue;
        }
        let wanted = group.alerts.into_iter().filter(|alert| filter.takes(alert));
        let alerts: Vec<AlertmanagerAlert> = wanted.map(|alert| shown(&api, alert, now)).collect();
        if !alerts.is_empty() {
            let receiver = AlertmanagerReceiver { name: group.receiver };
            groups.push(AlertmanagerGroup { alerts, labels: group.labels, receiver });
        }
    }
    Ok(Json(AlertmanagerGroups(groups)))
}
