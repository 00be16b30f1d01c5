//! Alerts: series that are abnormal, or were until lately.

use super::Routes;
use crate::extract::{At, Optional, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::{IfMatch, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_engines::Asked;
use quarterdeck_engines::alerting::{self, Explanation};
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::{Severity, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_alerts))
        .routes(routes!(get_alert))
        .routes(routes!(acknowledge_alert))
        .routes(routes!(resolve_alert))
        .routes(routes!(explain_alert))
}

/// Alerts, by fingerprint.
#[utoipa::path(get, path = "/alerts", tag = "alerts",
    params(Slicing,
        ("state" = Option<Vec<String>>, Query, description = "`pending`, `firing` or `resolved`. Repeatable."),
        ("severity" = Option<String>, Query, description = "`critical`, `high`, `medium`, `low` or `info`."),
        ("rule" = Option<String>, Query, description = "Name of the rule.")),
    responses((status = 200, description = "Alerts.", body = ref(of::<List<Alert>>()))))]
async fn list_alerts(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Alert>>, Problem> {
    let states = params.words::<AlertState>("state")?;
    let severity = params.word::<Severity>("severity")?;
    let rule = params.text("rule")?.map(str::to_owned);
    stored(&api, Alert::COLLECTION, Order::Id, Slice::of(&params)?, move |alert: &Alert| {
        (states.is_empty() || states.contains(&alert.state))
            && severity.is_none_or(|severity| alert.severity == severity)
            && rule.as_ref().is_none_or(|rule| alert.rule == *rule)
    })
    .await
}

/// One alert.
#[utoipa::path(get, path = "/alerts/{fingerprint}", tag = "alerts",
    params(IfNoneMatch, ("fingerprint" = String, Path, description = "Identity of rule and series.")),
    responses((status = 200, description = "The alert.", body = ref(of::<Alert>()))))]
async fn get_alert(State(api): State<Arc<Api>>, At(id): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    precondition::show::<Alert>(&api, &headers, Alert::COLLECTION, &id)
}

/// For how long somebody sees to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AcknowledgeAlert {
    /// After so long it is told again, if it still fires: `4h`. Absent: not before it ends.
    #[serde(rename = "for")]
    span: Option<Span>,
}

/// Says that a person has seen it. It goes on as it is, and ends by itself; receivers of `[alerting]` are not told of it again until it
/// does, or until a given time is over.
#[utoipa::path(post, path = "/alerts/{fingerprint}/acknowledge", tag = "alerts",
    params(IfMatch, ("fingerprint" = String, Path, description = "Identity of rule and series.")),
    request_body(content = ref(taken::<AcknowledgeAlert>()), content_type = "application/json"),
    responses((status = 200, description = "The alert as it is now.", body = ref(of::<Alert>()))))]
async fn acknowledge_alert(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
    Optional(acknowledge): Optional<AcknowledgeAlert>,
) -> Result<Response, Problem> {
    acknowledge_for(&api, &id, acknowledge.span, seen.asked()).await?;
    precondition::changed::<Alert>(&api, Alert::COLLECTION, &id)
}

/// Whoever has made the alert: this host's own rules, or another program.
pub(crate) async fn acknowledge_for(api: &Api, id: &str, span: Option<Span>, asked: Asked<'_>) -> Result<(), Problem> {
    let (alerting, until) = (&api.options.engines.alerting, alerting::until(api.now(), span));
    if alerting.is_posted(id) {
        alerting.acknowledge(id, until, asked).await?;
    } else {
        let alert = api.options.engines.monitoring.acknowledge(id, asked).await?;
        // By then the alert is at another revision than the one that was seen.
        alerting.acknowledge(&alert.fingerprint, until, asked.principal.into()).await?;
    }
    Ok(())
}

/// Ends a firing alert by hand, as one whose series has no samples and never will again. What is still abnormal at the next evaluation
/// fires anew.
#[utoipa::path(post, path = "/alerts/{fingerprint}/resolve", tag = "alerts",
    params(IfMatch, ("fingerprint" = String, Path, description = "Identity of rule and series.")),
    responses((status = 200, description = "The alert as it is now.", body = ref(of::<Alert>()))))]
async fn resolve_alert(State(api): State<Arc<Api>>, At(id): At<String>, seen: IfMatch) -> Result<Response, Problem> {
    resolve(&api, &id, seen.asked()).await?;
    precondition::changed::<Alert>(&api, Alert::COLLECTION, &id)
}

/// Whoever has made the alert.
pub(crate) async fn resolve(api: &Api, id: &str, asked: Asked<'_>) -> Result<(), Problem> {
    if api.options.engines.alerting.is_posted(id) {
        api.options.engines.alerting.resolve(id, asked).await?;
    } else {
        api.options.engines.monitoring.resolve(id, asked).await?;
    }
    Ok(())
}

/// Why somebody was told of the alert by `[alerting]`, or was not: step by step, with times, deliveries, and what comes next.
#[utoipa::path(get, path = "/alerts/{fingerprint}/explanation", tag = "alerts",
    params(("fingerprint" = String, Path, description = "Identity of rule and series.")),
    responses((status = 200, description = "The explanation.", body = ref(of::<Explanation>()))))]
async fn explain_alert(State(api): State<Arc<Api>>, At(id): At<String>) -> Result<Json<Explanation>, Problem> {
    let explained = api.options.engines.alerting.explain(&id)?;
    explained.map(Json).ok_or_else(|| Problem::no_document(Alert::COLLECTION, &id))
}
