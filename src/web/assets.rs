//! Style and pictures, from the binary. Their addresses change with their content, so browsers may keep them forever.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::metrics::accepts_gzip;

use super::failure::Failure;

/// Name, media type and content.
const FILES: &[(&str, &str, &str)] = &[
    ("maildt.css", "text/css; charset=utf-8", include_str!("assets/maildt.css")),
    ("settings.css", "text/css; charset=utf-8", include_str!("assets/settings.css")),
    ("clock.js", "text/javascript; charset=utf-8", include_str!("assets/clock.js")),
    ("board.js", "text/javascript; charset=utf-8", include_str!("assets/board.js")),
    ("probe.css", "text/css; charset=utf-8", include_str!("assets/probe.css")),
    ("probe.js", "text/javascript; charset=utf-8", include_str!("assets/probe.js")),
    ("history.css", "text/css; charset=utf-8", include_str!("assets/history.css")),
    ("history.js", "text/javascript; charset=utf-8", include_str!("assets/history.js")),
    ("recipients.css", "text/css; charset=utf-8", include_str!("assets/recipients.css")),
    ("recipients.js", "text/javascript; charset=utf-8", include_str!("assets/recipients.js")),
    ("favicon.svg", "image/svg+xml", include_str!("assets/favicon.svg")),
];

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
    /// `/assets/DIGEST/NAME`.
    path: String,
    digest: String,
    /// Where it is worth it.
    gzip: Option<Vec<u8>>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|(name, kind, text)| {
            let content = text.as_bytes();
            let digest = data_encoding::HEXLOWER.encode(Sha256::digest(content).get(..8).unwrap_or_default());
            let path = format!("/assets/{digest}/{name}");
            Asset { name, kind, content, path, digest, gzip: compressed(content) }
        })
        .collect()
});

fn compressed(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < content.len() * 9 / 10).then_some(gzip)
}

/// The address of a file.
pub fn path(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| &asset.path)
}

/// `GET /assets/{digest}/{name}`.
pub async fn serve(
    Path((digest, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let asset = ASSETS.iter().find(|asset| asset.name == name && asset.digest == digest);
    let asset = asset.ok_or_else(Failure::not_found)?;
    let gzip = asset.gzip.as_deref().filter(|_| accepts_gzip(&joined(&headers, &ACCEPT_ENCODING)));
    // Strong tags differ with the coding (RFC 9110, section 8.8.3).
    let etag = format!("\"{}{}\"", asset.digest, if gzip.is_some() { "-gzip" } else { "" });
    let known = joined(&headers, &IF_NONE_MATCH);
    let is_known =
        known.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response =
            gzip.map_or_else(|| asset.content.into_response(), |gzip| gzip.to_vec().into_response());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
        if gzip.is_some() {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

/// All headers of that name as one list (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}
