//! Silences.

use super::answer::{Failure, Named, Parameters, Sent};
use super::filter::{lets_through, matchers};
use crate::Api;
use crate::resources::{PRINCIPAL, Routes};
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_engines::alerting::silence::{Draft, Refusal};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alerting::{Comparison, Matcher};
use quarterdeck_model::domain::silence::{Silence, SilenceState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(alertmanager_silences, alertmanager_post_silence))
        .routes(routes!(alertmanager_silence, alertmanager_delete_silence))
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl From<&Matcher> for AlertmanagerMatcher {
    fn from(matcher: &Matcher) -> Self {
        AlertmanagerMatcher {
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
            is_regex: matcher.comparison().is_regex(),
            is_equal: matcher.comparison().is_equal(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerSilenceStatus {
    state: SilenceState,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerSilence {
    id: String,
    status: AlertmanagerSilenceStatus,
    updated_at: Timestamp,
    comment: String,
    created_by: String,
    ends_at: Timestamp,
    matchers: Vec<AlertmanagerMatcher>,
    starts_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerSilences(Vec<AlertmanagerSilence>);

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerSilenceId {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// A silence as a client sends it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    /// Of the one to be changed.
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<PostableMatcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PostableMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

impl AlertmanagerSilence {
    fn of(silence: &Silence, now: Timestamp) -> Self {
        AlertmanagerSilence {
            id: silence.id.clone(),
            status: AlertmanagerSilenceStatus { state: silence.state(now) },
            updated_at: silence.updated_at,
            comment: silence.comment.clone(),
            created_by: silence.created_by.clone(),
            ends_at: silence.ends_at,
            matchers: silence.matchers.iter().map(AlertmanagerMatcher::from).collect(),
            starts_at: silence.starts_at,
        }
    }
}

fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::NotFound => Failure::not_found(refusal),
        // Nobody says here what they have seen.
        Refusal::Times(_) | Refusal::Invalid(_) | Refusal::Changed => Failure::bad(refusal),
    }
}

/// Silences: active ones first, then those to come, then those that are over.
#[utoipa::path(get, path = "/silences", tag = "alertmanager",
    params(("filter" = Option<Vec<String>>, Query, description = "Matchers of the values that silences name.")),
    responses((status = 200, description = "Silences.", body = ref(of::<AlertmanagerSilences>()))))]
async fn alertmanager_silences(
    State(api): State<Arc<Api>>,
    parameters: Parameters,
) -> Result<Json<AlertmanagerSilences>, Failure> {
    let matchers = matchers(&parameters)?;
    let now = api.now();
    let silences = api.options.engines.alerting.silences();
    let wanted = silences.iter().filter(|silence| {
        let values = silence.matchers.iter().map(|matcher| (matcher.name(), matcher.value())).collect();
        lets_through(&matchers, &values)
    });
    Ok(Json(AlertmanagerSilences(wanted.map(|silence| AlertmanagerSilence::of(silence, now)).collect())))
}

/// Makes a silence, or changes the one of its id.
#[utoipa::path(post, path = "/silences", tag = "alertmanager",
    request_body(content = ref(taken::<PostableSilence>()), content_type = "application/json"),
    responses((status = 200, description = "Its id.", body = ref(of::<AlertmanagerSilenceId>()))))]
async fn alertmanager_post_silence(
    State(api): State<Arc<Api>>,
    Sent(sent): Sent<PostableSilence>,
) -> Result<Json<AlertmanagerSilenceId>, Failure> {
    let read = |matcher: &PostableMatcher| {
        let comparison = Comparison::of(matcher.is_regex, matcher.is_equal);
        Matcher::new(&matcher.name, comparison, &matcher.value)
    };
    let matchers: Result<Vec<Matcher>, _> = sent.matchers.iter().map(read).collect();
    let draft = Draft {
        id: sent.id,
        matchers: matchers.map_err(|error| Failure::bad(format!("silence invalid: invalid label matcher: {error}")))?,
        starts_at: sent.starts_at,
        ends_at: sent.ends_at,
        created_by: sent.created_by,
        comment: sent.comment,
    };
    let silence = api.options.engines.alerting.set_silence(draft, None, PRINCIPAL).await?;
    let silence = silence.map_err(|refusal| refused(&refusal))?;
    Ok(Json(AlertmanagerSilenceId { silence_id: silence.id }))
}

/// One silence.
#[utoipa::path(get, path = "/silence/{silenceID}", tag = "alertmanager",
    params(("silenceID" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The silence.", body = ref(of::<AlertmanagerSilence>()))))]
async fn alertmanager_silence(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Json<AlertmanagerSilence>, Failure> {
    let silence = api.options.engines.alerting.silence(&id).ok_or_else(|| refused(&Refusal::NotFound))?;
    Ok(Json(AlertmanagerSilence::of(&silence, api.now())))
}

/// Ends a silence.
#[utoipa::path(delete, path = "/silence/{silenceID}", tag = "alertmanager",
    params(("silenceID" = String, Path, description = "Its id.")),
    responses((status = 200, description = "It is over.")))]
async fn alertmanager_delete_silence(State(api): State<Arc<Api>>, Named(id): Named) -> Result<StatusCode, Failure> {
    let expired = api.options.engines.alerting.expire_silence(&id, None, PRINCIPAL).await?;
    expired.map(|_| StatusCode::OK).map_err(|refusal| refused(&refusal))
}
