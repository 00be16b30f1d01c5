//! Dead letters: effects and events that were given up on, and the way back.

use super::Routes;
use crate::extract::{At, Optional, Params};
use crate::paging::{List, Order, Slice, Slicing, blocking, read};
use crate::precondition::{IfMatch, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::plugin::InstanceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_dead_letters)).routes(routes!(get_dead_letter)).routes(routes!(retry_dead_letter))
}

/// What was given up on, with the reason.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadLetter {
    pub(crate) id: String,
    /// An effect, an event, or an input of a plugin, as it was when it was given up on.
    pub(crate) letter: Value,
}

/// Dead letters, by id.
#[utoipa::path(get, path = "/dead-letters", tag = "events", params(Slicing),
    responses((status = 200, description = "Dead letters.", body = ref(of::<List<DeadLetter>>()))))]
async fn list_dead_letters(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<DeadLetter>>, Problem> {
    read_letters(&api, &params, |_| true).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read_letters(
    api: &Api,
    params: &Params,
    keep: impl Fn(&DeadLetter) -> bool + Send + 'static,
) -> Result<List<DeadLetter>, Problem> {
    let slice = Slice::of(params)?;
    let (store, told) = (Arc::clone(&api.options.store), Arc::clone(&api.unreadable));
    blocking(move || {
        let show = |document: &quarterdeck_model::store::Document| {
            Ok(DeadLetter { id: document.id.clone(), letter: document.value.clone() })
        };
        read(&*store, &told, DEAD_LETTERS, Order::Id, slice, show, keep).map(|Json(list)| list)
    })
    .await
}

/// One dead letter.
#[utoipa::path(get, path = "/dead-letters/{id}", tag = "events",
    params(IfNoneMatch, ("id" = String, Path, description = "As the list has it.")),
    responses((status = 200, description = "The dead letter.", body = ref(of::<DeadLetter>()))))]
async fn get_dead_letter(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let document = precondition::find(&api, DEAD_LETTERS, &id)?;
    let tag = document.revision.to_string();
    let letter = DeadLetter { id: document.id, letter: document.value };
    Ok(precondition::tagged(&headers, StatusCode::OK, &tag, &letter))
}

/// How it is taken up again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retry {
    /// Also where it is no delivery but a step of a run, which has gone on without it: doing it now may do harm.
    force: bool,
}

/// What waits to be carried out again.
#[derive(Debug, Serialize, JsonSchema)]
struct Retried {
    /// The effect's, which is the letter's and, of a message, the notification's.
    id: String,
    /// Who carries it out.
    instance: InstanceName,
    /// It is given up on again by then. `null`: an input, which is offered to the plugin when its turn comes.
    expires: Option<Timestamp>,
}

/// Takes up again what was given up on, with the key that it had: whoever got it the first time can tell. It leaves the dead letters, and
/// comes back if it fails again. An input that made a plugin misbehave again and again is offered to it once more. An event that could not be handled can't be retried. The body may be left out.
#[utoipa::path(post, path = "/dead-letters/{id}/retry", tag = "events",
    request_body(content = ref(taken::<Retry>()), content_type = "application/json"),
    params(IfMatch, ("id" = String, Path, description = "As the list has it.")),
    responses((status = 202, description = "It will be carried out again.", body = ref(of::<Retried>()))))]
async fn retry_dead_letter(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
    Optional(retry): Optional<Retry>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    if let Some(instance) = api.options.engines.letters.release(&id, seen.asked()).await? {
        return Ok((StatusCode::ACCEPTED, Json(Retried { id, instance, expires: None })));
    }
    let effect = api.options.engines.letters.retry(&id, seen.asked(), retry.force).await?;
    let retried = Retried { id: effect.id.0, instance: effect.instance, expires: Some(effect.expires) };
    Ok((StatusCode::ACCEPTED, Json(retried)))
}
