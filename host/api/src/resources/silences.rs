//! Silences: alerts that nobody wants to hear of for a while.

use super::{PRINCIPAL, Routes};
use crate::Api;
use crate::extract::{At, Body, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::{self, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_engines::alerting::Preview;
use quarterdeck_engines::alerting::silence::{Draft, Refusal, Still};
use quarterdeck_model::domain::alerting::Matcher;
use quarterdeck_model::domain::silence::{Silence, SilenceState};
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_silences, create_silence))
        .routes(routes!(preview_silence))
        .routes(routes!(get_silence, expire_silence))
}

/// A silence that is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateSilence {
    /// Conditions such as `team="db"`. All have to match.
    matchers: Vec<Matcher>,
    /// Absent: now.
    #[serde(default)]
    starts_at: Option<Timestamp>,
    /// When it ends. Absent: `for` says so.
    #[serde(default)]
    ends_at: Option<Timestamp>,
    /// How long it lasts: `2h`.
    #[serde(default, rename = "for")]
    span: Option<Span>,
    /// Why.
    comment: String,
    /// Who wants it. Absent: whoever has the token.
    #[serde(default)]
    created_by: Option<String>,
}

/// What a silence would match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PreviewSilence {
    matchers: Vec<Matcher>,
}

/// Changes with everything that is known of the silence: it stands for what somebody has seen.
pub(crate) fn tag(silence: &Silence) -> String {
    let shown = serde_json::to_vec(silence).unwrap_or_default();
    Sha256::digest(&shown).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the silence is still the one of that tag, for an order.
pub(crate) fn still(seen: &str) -> Still {
    let seen = seen.to_owned();
    Box::new(move |silence| tag(silence) == seen)
}

pub(crate) fn refused(refusal: &Refusal, id: &str) -> Problem {
    match refusal {
        // Its own words are those of another API.
        Refusal::NotFound => Problem::no_document(Silence::COLLECTION, id),
        Refusal::Times(_) | Refusal::Invalid(_) => Problem::invalid(refusal.to_string()),
        Refusal::Changed => Problem::precondition_failed(
            "the silence was changed meanwhile; hint: look at what it is now, and decide again",
        ),
    }
}

/// Silences, by the time at which they were made.
#[utoipa::path(get, path = "/silences", tag = "silences",
    params(Slicing,
        ("state" = Option<Vec<String>>, Query, description = "`active`, `pending` or `expired`. Repeatable.")),
    responses((status = 200, description = "Silences.", body = ref(of::<List<Silence>>()))))]
async fn list_silences(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Silence>>, Problem> {
    let states = params.words::<SilenceState>("state")?;
    let now = api.now();
    stored(&api, Silence::COLLECTION, Order::Id, Slice::of(&params)?, move |silence: &Silence| {
        states.is_empty() || states.contains(&silence.state(now))
    })
    .await
}

/// Makes a silence. What it would match is said by `preview`.
#[utoipa::path(post, path = "/silences", tag = "silences",
    request_body(content = ref(taken::<CreateSilence>()), content_type = "application/json"),
    responses((status = 201, description = "The silence.", body = ref(of::<Silence>()),
        headers(("Location" = String, description = "Where it is.")))))]
async fn create_silence(State(api): State<Arc<Api>>, Body(sent): Body<CreateSilence>) -> Result<Response, Problem> {
    let starts_at = sent.starts_at.unwrap_or_else(|| api.now());
    let ends_at = match (sent.ends_at, sent.span) {
        (Some(ends_at), None) => ends_at,
        (None, Some(span)) => starts_at.plus(span),
        _ => {
            return Err(Problem::invalid("expected `ends_at` or `for`, one of them")
                .mistake("ends_at", "it, or `for`, is needed"));
        }
    };
    let draft = Draft {
        id: None,
        matchers: sent.matchers,
        starts_at,
        ends_at,
        created_by: sent.created_by.unwrap_or_else(|| PRINCIPAL.to_owned()),
        comment: sent.comment,
    };
    let silence = api.options.engines.alerting.set_silence(draft, None, PRINCIPAL).await?;
    let silence = silence.map_err(|refusal| refused(&refusal, ""))?;
    precondition::created(&api, Silence::COLLECTION, &silence.id, &silence)
}

/// Which alerts a silence would match now, and whether that may be more than is meant.
#[utoipa::path(post, path = "/silences/preview", tag = "silences",
    request_body(content = ref(taken::<PreviewSilence>()), content_type = "application/json"),
    responses((status = 200, description = "The preview.", body = ref(of::<Preview>()))))]
async fn preview_silence(
    State(api): State<Arc<Api>>,
    Body(sent): Body<PreviewSilence>,
) -> Result<Json<Preview>, Problem> {
    Ok(Json(api.options.engines.alerting.preview(&sent.matchers)))
}

/// One silence.
#[utoipa::path(get, path = "/silences/{id}", tag = "silences",
    params(IfNoneMatch, ("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The silence.", body = ref(of::<Silence>()))))]
async fn get_silence(State(api): State<Arc<Api>>, At(id): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    precondition::show::<Silence>(&api, &headers, Silence::COLLECTION, &id)
}

/// Ends a silence now. It is shown for five days after that.
#[utoipa::path(delete, path = "/silences/{id}", tag = "silences",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The silence as it is now.", body = ref(of::<Silence>()))))]
async fn expire_silence(State(api): State<Arc<Api>>, At(id): At<String>) -> Result<Json<Silence>, Problem> {
    let expired = api.options.engines.alerting.expire_silence(&id, None, PRINCIPAL).await?;
    expired.map(Json).map_err(|refusal| refused(&refusal, &id))
}
