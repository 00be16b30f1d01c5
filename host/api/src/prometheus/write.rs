//! Remote write 1.0: how Prometheus, vmagent and their like send samples.

use super::answer::Failure;
use crate::problem::Problem;
use crate::resources::Routes;
use crate::{Api, intake, samples};
use axum::extract::{Request, State};
use http::StatusCode;
use quarterdeck_formats::remote_write;
use std::sync::Arc;
use utoipa_axum::routes;

/// The source of what comes this way.
const SOURCE: &str = "remote-write";

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_remote_write))
}

/// Stores samples that are sent as a `prometheus.WriteRequest` of remote write 1.0, in a snappy block. Answered when they are on the
/// disk. Where some can't be stored (out of order, from the future, of series beyond a limit, of series that are none) the others are, and
/// the answer is 400 and says why, so that the sender does not send them again.
#[utoipa::path(post, path = "/write", tag = "prometheus",
    request_body(description = "A snappy block.", content_type = "application/x-protobuf"),
    responses((status = 204, description = "They are stored."),
        (status = 429, description = "The source sends more than it may.")))]
async fn prometheus_remote_write(State(api): State<Arc<Api>>, request: Request) -> Result<StatusCode, Failure> {
    let body = samples::take_in(&api.samples, request).await?;
    let other_version = body.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if other_version.is_some_and(|media| media.contains("io.prometheus.write.v2")) {
        return Err(Problem::unsupported("remote write 2.0 is not spoken here; hint: send 1.0, the default").into());
    }
    let media = intake::essence(&body.headers);
    if media.as_deref().is_some_and(|media| media != "application/x-protobuf") {
        return Err(Problem::unsupported("hint: send `Content-Type: application/x-protobuf`").into());
    }
    if !matches!(body.encoding().as_str(), "snappy" | "") {
        let why = format!("the body is encoded as `{}`; hint: send `Content-Encoding: snappy`", body.encoding());
        return Err(Problem::unsupported(why).into());
    }
    let bytes = body.bytes.clone();
    let read = tokio::task::spawn_blocking(move || remote_write::read(&bytes, samples::UNPACKED)).await;
    let batch =
        read.map_err(|error| Problem::internal(error.to_string()))?.map_err(|error| samples::problem(&error))?;
    let written = samples::store(&api, SOURCE, batch).await?;
    match written.lost() {
        0 => Ok(StatusCode::NO_CONTENT),
        lost => {
            let reason = written.reason.unwrap_or_default();
            Err(Failure::bad(format!("{lost} samples are not stored, {} are: {reason}", written.taken)))
        }
    }
}
