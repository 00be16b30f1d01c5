//! `/otlp/v1/metrics`: metrics of OpenTelemetry over HTTP, as protobuf or JSON. Failures are OTLP's, too.
//!
//! - `failure`: a `google.rpc.Status` in the encoding of the request

mod failure;

pub(crate) use failure::{Encoding, Failure, failures};

use crate::problem::Problem;
use crate::resources::Routes;
use crate::schema::of;
use crate::{Api, intake, samples};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use quarterdeck_formats::{compressed, otlp};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) const PREFIX: &str = "/otlp/v1";

/// Whether the route is one of these.
pub(crate) fn has(route: &str) -> bool {
    route.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

/// The source of what comes this way.
const SOURCE: &str = "otlp";
const PROTOBUF: &str = "application/x-protobuf";

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(otlp_metrics))
}

/// What became of metrics: nothing is said where all of them are stored.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OtlpAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<OtlpPartialSuccess>,
}

/// What is not stored, and why. Sending it again does not help.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OtlpPartialSuccess {
    /// A number, as text.
    rejected_data_points: String,
    error_message: String,
}

/// Stores metrics of OpenTelemetry (OTLP/HTTP), as Prometheus's OTLP endpoint would name them. Answered when they are on the disk.
/// Delta temporality and exponential histograms are rejected by the point.
#[utoipa::path(post, path = "/metrics", tag = "metrics",
    request_body(content((Vec<u8> = "application/x-protobuf"), (serde_json::Value = "application/json")),
        description = "An `ExportMetricsServiceRequest`."),
    responses((status = 200, description = "What can be stored is.",
            content((ref(of::<OtlpAnswer>()) = "application/json"), (Vec<u8> = "application/x-protobuf"))),
        (status = 429, description = "The source sends more than it may.")))]
async fn otlp_metrics(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Failure> {
    let encoding = Encoding::of(request.headers());
    store(&api, request).await.map_err(|problem| Failure::of(problem, encoding))
}

async fn store(api: &Api, request: Request) -> Result<Response, Problem> {
    let body = samples::take_in(&api.samples, request).await?;
    let is_json = match intake::essence(&body.headers).as_deref() {
        Some("application/json") => true,
        Some(PROTOBUF) => false,
        _ => {
            return Err(Problem::unsupported(
                "the body must be OTLP; hint: send `Content-Type: application/x-protobuf` or `application/json`",
            ));
        }
    };
    let encoding = body.encoding();
    if !matches!(encoding.as_str(), "" | "identity" | "gzip") {
        return Err(Problem::unsupported(format!("the body is encoded as `{encoding}`; hint: send gzip, or nothing")));
    }
    let bytes = body.bytes.clone();
    let read = tokio::task::spawn_blocking(move || {
        let unpacked = if encoding == "gzip" { Some(compressed::gzip(&bytes, samples::UNPACKED)?) } else { None };
        let bytes = unpacked.as_deref().unwrap_or(&bytes);
        if is_json { otlp::json(bytes) } else { otlp::protobuf(bytes) }
    });
    let read = read.await.map_err(|error| Problem::internal(error.to_string()))?;
    let otlp::Read { batch, mut rejected, mut reasons } = read.map_err(|error| samples::problem(&error))?;
    let written = samples::store(api, SOURCE, batch).await?;
    rejected += written.lost() as u64;
    reasons.extend(written.reason);
    let message = reasons.join("; ");
    if !is_json {
        return Ok(([(CONTENT_TYPE, PROTOBUF)], otlp::answer(rejected, &message)).into_response());
    }
    let partial_success = (rejected > 0)
        .then(|| OtlpPartialSuccess { rejected_data_points: rejected.to_string(), error_message: message });
    Ok(Json(OtlpAnswer { partial_success }).into_response())
}
