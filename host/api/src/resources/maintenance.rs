//! Planned work, as the configuration has it.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::List;
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_engines::alerting::WindowStatus;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_maintenance_windows))
}

/// Planned work of `[alerting.maintenance]`, by name, and whether it goes on now.
#[utoipa::path(get, path = "/maintenance-windows", tag = "silences",
    params(("active" = Option<bool>, Query, description = "Only those that go on, or only the others.")),
    responses((status = 200, description = "Planned work.", body = ref(of::<List<WindowStatus>>()))))]
async fn list_maintenance_windows(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Json<List<WindowStatus>>, Problem> {
    let active = params.parsed("active", "`true` or `false`", |text| text.parse::<bool>().ok())?;
    let windows = api.options.engines.alerting.maintenance();
    let wanted = windows.into_iter().filter(|window| active.is_none_or(|active| window.active == active));
    Ok(Json(List { items: wanted.collect(), next_cursor: None, unreadable: Vec::new() }))
}
