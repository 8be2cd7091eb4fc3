//! The pages of the metrics listener. None of them touches database or network.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::listener::{RunningScrapes, ScrapeGuard};
use super::negotiation::accepts_gzip;
use super::{Compression, Exposition, Format, Metrics, Readiness};
use crate::listener::CutOff;

/// What the pages show.
#[derive(Clone, Debug)]
pub struct ListenerState {
    metrics: Arc<Metrics>,
    readiness: watch::Receiver<Readiness>,
    scrapes: Arc<RunningScrapes>,
}

impl ListenerState {
    pub fn new(metrics: Arc<Metrics>, readiness: watch::Receiver<Readiness>) -> Self {
        Self { metrics, readiness, scrapes: Arc::default() }
    }
}

/// The pages, without the limits that [`serve`](super::listener::serve) sets.
pub fn router(state: ListenerState) -> Router {
    Router::new()
        .route("/", get(landing_page))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .fallback(not_found)
        .layer(map_response(add_headers))
        .with_state(state)
}

async fn add_headers(mut response: Response) -> Response {
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn landing_page(State(state): State<ListenerState>) -> Html<String> {
    let build = state.metrics.build();
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>MailDT metrics</title></head>\n<body>\n\
         <h1>MailDT</h1>\n<p>Version {}, revision {}</p>\n<ul>\n\
         <li><a href=\"/metrics\">Metrics</a></li>\n\
         <li><a href=\"/-/healthy\">Health</a></li>\n\
         <li><a href=\"/-/ready\">Readiness</a></li>\n\
         </ul>\n</body>\n</html>\n",
        build.version, build.revision
    ))
}

async fn healthy() -> &'static str {
    "healthy\n"
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "not found; see /\n")
}

async fn ready(State(state): State<ListenerState>) -> Response {
    let readiness = state.readiness.borrow().clone();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_vec(&readiness) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "readiness could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn metrics(
    State(state): State<ListenerState>,
    cut_off: Option<Extension<CutOff>>,
    headers: HeaderMap,
) -> Response {
    let format = Format::negotiate(&joined(&headers, &ACCEPT));
    let gzip = accepts_gzip(&joined(&headers, &ACCEPT_ENCODING));
    let compression = if gzip { Compression::Gzip } else { Compression::Identity };
    let exposition = Exposition::new(Arc::clone(&state.metrics), format, compression);
    let guard = state.scrapes.enter(cut_off.map(|Extension(cut_off)| cut_off).unwrap_or_default());
    let mut response = Response::new(body(exposition, guard));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Each piece is made when the client has room for it, away from the async workers. An error cuts the body off, so that a
/// scraper never takes a part for the whole.
fn body(exposition: Exposition, guard: ScrapeGuard) -> Body {
    Body::from_stream(futures_util::stream::try_unfold(
        (exposition, guard),
        async |(mut exposition, guard)| -> io::Result<_> {
            let (chunk, exposition) =
                tokio::task::spawn_blocking(move || (exposition.next_chunk(), exposition)).await?;
            let chunk = chunk.inspect_err(|error| tracing::error!(%error, "metrics could not be encoded"))?;
            Ok(chunk.map(|chunk| (chunk, (exposition, guard))))
        },
    ))
}

/// All headers of that name as one list (RFC 9110, section 5.3); values that are not text count for nothing.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}
