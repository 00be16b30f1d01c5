//! Findings: what scans found.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::Severity;
use quarterdeck_model::domain::scan::{Finding, FindingState};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_findings))
}

/// Findings of all scans, by id.
#[utoipa::path(get, path = "/findings", tag = "scans",
    params(Slicing,
        ("state" = Option<String>, Query, description = "`open` or `fixed`."),
        ("severity" = Option<String>, Query, description = "`critical`, `high`, `medium`, `low` or `info`."),
        ("scan" = Option<String>, Query, description = "Name of the scan in the configuration, or the id of the scan that saw it last.")),
    responses((status = 200, description = "Findings.", body = ref(of::<List<Finding>>()))))]
async fn list_findings(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Finding>>, Problem> {
    let state = params.word::<FindingState>("state")?;
    let severity = params.word::<Severity>("severity")?;
    let scan = params.text("scan")?.map(str::to_owned);
    stored(&api, Finding::COLLECTION, Order::Id, Slice::of(&params)?, move |finding: &Finding| {
        state.is_none_or(|state| finding.state == state)
            && severity.is_none_or(|severity| finding.severity == severity)
            && scan.as_ref().is_none_or(|scan| finding.scan_name == *scan || finding.scan.as_str() == scan)
    })
    .await
}
