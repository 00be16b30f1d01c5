//! Notifications: messages, and whether they arrived.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::{List, Order, Slice, Slicing, blocking, read};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_engines::notifications::under_way;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::store::Document;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_notifications))
}

/// Notifications, newest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications",
    params(Slicing,
        ("state" = Option<String>, Query, description = "`pending`, `delivered`, `failed`, `held`, `digested` or `fallen-back`."),
        ("subject" = Option<String>, Query, description = "What the message is about: an id or a name.")),
    responses((status = 200, description = "Notifications.", body = ref(of::<List<Notification>>()))))]
async fn list_notifications(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Notification>>, Problem> {
    let state = params.word::<DeliveryState>("state")?;
    let subject = params.text("subject")?.map(str::to_owned);
    let slice = Slice::of(&params)?;
    let (store, told) = (Arc::clone(&api.options.store), Arc::clone(&api.unreadable));
    blocking(move || {
        let keep = |notification: &Notification| {
            state.is_none_or(|state| notification.state == state)
                && subject.as_ref().is_none_or(|subject| notification.subject == *subject)
        };
        let Json(List { items, next_cursor, unreadable }) =
            read(&*store, &told, Notification::COLLECTION, Order::Newest, slice, Document::decode, keep)?;
        let items = items.into_iter().map(|told| under_way(&*store, told)).collect::<Result<_, _>>()?;
        Ok(Json(List { items, next_cursor, unreadable }))
    })
    .await
}
