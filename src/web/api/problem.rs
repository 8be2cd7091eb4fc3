//! Problem details (RFC 9457).

use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store;
use crate::web::failure::Failure;

/// Where a wrong value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Body,
    Query,
    Header,
}

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    #[serde(rename = "in")]
    part: Part,
    /// Of the member, parameter or header.
    name: String,
    detail: String,
}

impl Wrong {
    pub fn new(part: Part, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { part, name: name.into(), detail: detail.into() }
    }

    /// Whether it is this member, parameter or header.
    pub fn is_about(&self, name: &str) -> bool {
        self.name == name
    }
}

/// Why a request is refused. `type` is always `about:blank`: the status says it all, the rest is for people.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    wrong: Vec<Wrong>,
    /// After that time it may work.
    again: Option<Duration>,
}

#[derive(Serialize)]
struct View<'a> {
    r#type: &'static str,
    status: u16,
    title: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Wrong],
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), wrong: Vec::new(), again: None }
    }

    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is no such resource, or no longer. /api/v1/openapi.json tells what there is.",
        )
    }

    /// The query asks for what cannot be asked.
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        let wrong = vec![Wrong::new(Part::Query, name, detail)];
        Self { wrong, ..Self::new(StatusCode::BAD_REQUEST, "The query cannot be understood.") }
    }

    /// A header cannot be read.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        let wrong = vec![Wrong::new(Part::Header, name, detail)];
        Self { wrong, ..Self::new(StatusCode::BAD_REQUEST, "A header cannot be understood.") }
    }

    /// The body can be read, and what it says is refused.
    pub fn fields(wrong: Vec<Wrong>) -> Self {
        Self { wrong, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Nothing was changed: see errors.") }
    }

    pub fn name_taken(name: &str) -> Self {
        let detail = format!("{name:?} is another recipient's name; choose another one");
        Self {
            wrong: vec![Wrong::new(Part::Body, "name", detail)],
            ..Self::new(StatusCode::CONFLICT, "Another recipient has this name. Nothing was changed.")
        }
    }

    pub fn provisioned() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "This recipient is provisioned by the configuration file. Change it there and send SIGHUP.",
        )
    }

    pub fn not_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json.")
    }

    pub fn too_many(again: Duration) -> Self {
        Self {
            again: Some(again),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Enough probes are asked for: three at a time for a recipient and thirty in a minute for all.",
            )
        }
    }

    /// What the gate or the router refuses, in words for programs.
    pub fn of_status(status: StatusCode, title: &str, advice: &str) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "This resource does not take such a request. Allow names what it takes.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "The body is larger than 64 KiB."),
            StatusCode::REQUEST_TIMEOUT => Self::new(status, "The body did not arrive within 15 seconds."),
            StatusCode::BAD_REQUEST => Self::new(status, "The request cannot be read."),
            _ => Self::new(status, format!("{title}. {advice}")),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let view = View {
            r#type: "about:blank",
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            detail: &self.detail,
            errors: &self.wrong,
        };
        let body = serde_json::to_string(&view).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(again) = self.again {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(again.as_secs()));
        }
        // What is taken instead (RFC 9110, section 15.5.16).
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            response.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        response
    }
}

/// Why a handler has no answer: a problem of the request, or a failure that all pages share.
pub enum Refusal {
    Problem(Problem),
    Failure(Failure),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Failure(failure) => failure.into_response(),
        }
    }
}
