//! `/api/v1/…`: the pages' knowledge as JSON, for programs. `openapi.json` describes it and is tested against it.
//!
//! What goes out are views of this module's own, so that a change of the domain changes no interface. Times are RFC 3339 in
//! UTC; `interval` and `alert_threshold` are seconds, as in the configuration; other durations carry their unit in the name.

mod body;
mod incidents;
mod openapi;
mod precondition;
mod probes;
mod problem;
mod query;
mod recipient_fields;
mod recipients;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::routing::{get, post};

use super::Site;

pub use problem::Problem;

/// Objects of a page that nobody asked to be larger.
const LIMIT_DEFAULT: i64 = 100;
/// Objects of the largest page.
const LIMIT_MAX: i64 = 1000;

pub fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/api/v1/openapi.json", get(async |uri: Uri| openapi::document(&uri)))
        .route("/api/v1/recipients", get(recipients::list).post(recipients::add))
        .route(
            "/api/v1/recipients/{id}",
            get(recipients::one).put(recipients::replace).delete(recipients::delete),
        )
        .route("/api/v1/recipients/{id}/probe", post(probes::request))
        .route("/api/v1/probes", get(probes::list))
        .route("/api/v1/probes/{id}", get(probes::one))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
        .route("/api/v1/status", get(status::status))
}
