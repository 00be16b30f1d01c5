//! Style and script: in the binary, packed once, and kept by browsers as long as they are the same.

use crate::problem::Problem;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    media: &'static str,
    plain: &'static str,
    packed: Option<Vec<u8>>,
    /// The beginning of its hash.
    version: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    vec![
        asset("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
        asset("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
        asset("stream.js", "text/javascript; charset=utf-8", include_str!("assets/stream.js")),
        asset("charts.js", "text/javascript; charset=utf-8", include_str!("assets/charts.js")),
        asset("promql.js", "text/javascript; charset=utf-8", include_str!("assets/promql.js")),
        asset("upload.js", "text/javascript; charset=utf-8", include_str!("assets/upload.js")),
        asset("theme.js", "text/javascript; charset=utf-8", include_str!("assets/theme.js")),
        asset("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ]
});

fn asset(name: &'static str, media: &'static str, plain: &'static str) -> Asset {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(plain.as_bytes()).and_then(|()| packer.finish()).ok();
    let version = Sha256::digest(plain).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Asset { name, media, plain, packed, version }
}

/// The address of an asset, which changes when the asset does.
pub(super) fn address(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.version.as_str());
    format!("/console/assets/{name}?v={version}")
}

pub(super) async fn get_asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return Err(Problem::not_found(format!("there is no `{name}` to dress a page with; hint: load the page anew")));
    };
    let takes = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let takes_gzip = takes.flat_map(|value| value.split(',')).any(|coding| matches!(coding.trim(), "gzip"));
    let packed = asset.packed.as_deref().filter(|_| takes_gzip);
    let mut response = Response::new(Body::from(packed.unwrap_or(asset.plain.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
