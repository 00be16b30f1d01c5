//! Notifications: messages, and whether they arrived.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_notifications))
}

/// Notifications, newest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications",
    params(Slicing,
        ("state" = Option<String>, Query, description = "`pending`, `delivered` or `failed`."),
        ("subject" = Option<String>, Query, description = "What the message is about: an id or a name.")),
    responses((status = 200, description = "Notifications.", body = ref(of::<List<Notification>>()))))]
async fn list_notifications(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Notification>>, Problem> {
    let state = params.word::<DeliveryState>("state")?;
    let subject = params.text("subject")?.map(str::to_owned);
    stored(&api, Notification::COLLECTION, Order::Newest, Slice::of(&params)?, move |notification: &Notification| {
        state.is_none_or(|state| notification.state == state)
            && subject.as_ref().is_none_or(|subject| notification.subject == *subject)
    })
    .await
}
