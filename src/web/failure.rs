//! What a page says instead: refusals and faults, as a page of ours or, under `/api/`, as RFC 9457 has it.

use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::html;

use crate::store;

use super::api::Problem;
use super::layout::{self, Page};
use super::visit::Visit;
use super::words;

/// Why there is no page. It travels in the response's extensions to the gate, which knows who asks and in which form.
#[derive(Clone, Debug)]
pub struct Failure {
    status: StatusCode,
    title: &'static str,
    /// What one can do; never what somebody else has sent.
    advice: &'static str,
    /// After that time it may work.
    again: Option<Duration>,
}

impl Failure {
    const fn new(status: StatusCode, title: &'static str, advice: &'static str) -> Self {
        Self { status, title, advice, again: None }
    }

    pub const fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is no such page",
            "The address may be misspelt, or what it showed is gone. The navigation above leads to what there is.",
        )
    }

    pub const fn no_recipient() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is no such recipient",
            "It may have been deleted meanwhile. “Recipients” above lists those that there are.",
        )
    }

    pub const fn database() -> Self {
        Self {
            again: Some(Duration::from_secs(10)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer",
                "MailDT runs, but without its database it sends no probes and has nothing to show. It tries again by itself, and so does this page.",
            )
        }
    }

    pub const fn starting() -> Self {
        Self {
            again: Some(Duration::from_secs(3)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "MailDT is starting",
                "It waits for its database. This page tries again by itself; the log tells more if it takes long.",
            )
        }
    }

    pub const fn foreign() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This request came from another site",
            "MailDT accepts forms from its own pages only. If you did use its own page, PUBLIC_URL or the Host that your proxy passes on is not the address in your browser.",
        )
    }

    pub const fn token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "A token or a session is needed",
            "Send the value of API_TOKEN as \"Authorization: Bearer TOKEN\", or log in.",
        )
    }

    pub const fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "This form is too large",
            "MailDT accepts forms of up to 64 KiB.",
        )
    }

    pub const fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "The form did not arrive in time",
            "The rest of it was not sent within 15 seconds. Try again.",
        )
    }

    pub const fn bad_form() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This form cannot be read",
            "It is incomplete or in a form that MailDT does not know. Go back and try again.",
        )
    }

    pub const fn crowded() -> Self {
        Self {
            again: Some(Duration::from_secs(10)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many live pages are open",
                "The page asks from time to time instead.",
            )
        }
    }

    /// One more test alert may be sent after `again`.
    pub const fn enough_tests(again: Duration) -> Self {
        Self {
            again: Some(again),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Enough test alerts for now",
                "MailDT sends six in a minute at most, as each of them disturbs somebody.",
            )
        }
    }

    pub const fn took_too_long() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "This took too long",
            "MailDT gave up after 30 seconds. Try again; the log tells more if it happens often.",
        )
    }

    pub const fn fault() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong in MailDT",
            "This is a fault of the program. The log tells more; probes and alerts are not affected by it.",
        )
    }

    /// The page for an error that nothing of ours has described.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "This address does not take such a request",
                "Use the links and buttons of the pages; the Allow header names what is taken.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            _ if status.is_client_error() => Self {
                status,
                ..Self::new(
                    status,
                    "MailDT cannot read this request",
                    "Use the links and buttons of the pages.",
                )
            },
            _ => Self { status, ..Self::fault() },
        }
    }

    /// The whole answer for `visit`.
    pub fn render(&self, visit: &Visit) -> Response {
        let mut response = if visit.is_api() {
            Problem::of_status(self.status, self.title, self.advice).into_response()
        } else {
            let main = html! {
                section.lone {
                    p.code { "Error " (self.status.as_u16()) }
                    h1 { (self.title) }
                    p { (self.advice) }
                    @if let Some(again) = self.again.filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS) {
                        p { "Try again in " (words::span(again + Duration::from_secs(1))) "." }
                    }
                    @if visit.signed_in { p { a href="/" { "To the front page" } } }
                }
            };
            let refresh = self.again.filter(|_| visit.is_look);
            (self.status, layout::page(visit, &Page { refresh, ..Page::new(self.title, &main) }))
                .into_response()
        };
        if let Some(again) = self.again {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(again.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"MailDT\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        if error.is_outage() {
            tracing::debug!(reason = %error, "a page cannot be shown");
            return Self::database();
        }
        tracing::error!(reason = %error, "a page cannot be shown");
        Self::fault()
    }
}
