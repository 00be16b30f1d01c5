//! Backtests: when an alert of a rule would have fired over what is stored.

use super::Routes;
use crate::Api;
use crate::extract::Body;
use crate::problem::Problem;
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use quarterdeck_engines::monitoring::rule_files::BacktestRequest;
use quarterdeck_engines::monitoring::rule_files::backtest::Backtest;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(run_backtest))
}

/// Evaluates an alerting rule in Prometheus's format over the past, and says when it would have fired, and for how long. Nothing is
/// recorded, and nobody is told. Answers within a minute, or not at all.
#[utoipa::path(post, path = "/backtests", tag = "alerts",
    request_body(content = ref(taken::<BacktestRequest>()), content_type = "application/json"),
    responses((status = 200, description = "When it would have fired.", body = ref(of::<Backtest>()))))]
async fn run_backtest(
    State(api): State<Arc<Api>>,
    Body(request): Body<BacktestRequest>,
) -> Result<Json<Backtest>, Problem> {
    Ok(Json(api.options.engines.monitoring.backtest(request).await?))
}
