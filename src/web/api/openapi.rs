//! `GET /api/v1/openapi.json`: what there is, for programs that write programs.

use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::problem::Refusal;
use super::query::Query;

/// Written by hand; the tests hold real answers against it.
const DOCUMENT: &str = include_str!("openapi.json");

/// The document.
///
/// # Errors
/// When parameters are given: there are none.
pub fn document(uri: &Uri) -> Result<Response, Refusal> {
    Query::of(uri, &[])?;
    Ok(([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response())
}
