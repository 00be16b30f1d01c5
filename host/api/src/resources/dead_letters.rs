//! Dead letters: effects and events that were given up on.

use super::Routes;
use crate::extract::{At, Params};
use crate::paging::{List, Order, Slice, Slicing, blocking, read};
use crate::problem::Problem;
use crate::schema::of;
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use quarterdeck_model::effect::DEAD_LETTERS;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_dead_letters)).routes(routes!(get_dead_letter))
}

/// What was given up on, with the reason.
#[derive(Debug, Serialize, JsonSchema)]
struct DeadLetter {
    id: String,
    /// An effect or an event, as it was when it was given up on.
    letter: Value,
}

/// Dead letters, by id.
#[utoipa::path(get, path = "/dead-letters", tag = "events", params(Slicing),
    responses((status = 200, description = "Dead letters.", body = ref(of::<List<DeadLetter>>()))))]
async fn list_dead_letters(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<DeadLetter>>, Problem> {
    let slice = Slice::of(&params)?;
    let store = Arc::clone(&api.options.store);
    blocking(move || {
        let show = |document: &quarterdeck_model::store::Document| {
            Ok(Some(DeadLetter { id: document.id.clone(), letter: document.value.clone() }))
        };
        read(&*store, DEAD_LETTERS, Order::Id, slice, show, |_| true)
    })
    .await
}

/// One dead letter.
#[utoipa::path(get, path = "/dead-letters/{id}", tag = "events",
    params(("id" = String, Path, description = "As the list has it.")),
    responses((status = 200, description = "The dead letter.", body = ref(of::<DeadLetter>()))))]
async fn get_dead_letter(State(api): State<Arc<Api>>, At(id): At<String>) -> Result<Json<DeadLetter>, Problem> {
    let document = precondition::find(&api, DEAD_LETTERS, &id)?;
    Ok(Json(DeadLetter { id: document.id, letter: document.value }))
}
