//! What every request passes and every answer carries.

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::body::Body as _;
use tokio::time::timeout;

use crate::metrics::accepts_gzip;

use super::failure::Failure;
use super::visit::{Visit, text};
use super::{Site, origin, password};

/// Until the body of a request is complete.
pub const BODY_TIME: Duration = Duration::from_secs(15);
/// Until a handler has answered.
pub const HANDLER_TIME: Duration = Duration::from_secs(30);
/// Octets of a form.
const BODY: usize = 64 * 1024;
/// Octets of a larger one that are read and thrown away: a browser shows our answer only when it could send its form.
const BODY_DISCARDED: usize = 4 * 1024 * 1024;

/// Octets from which on a page is worth compressing.
const WORTH_ZIPPING: u64 = 8 * 1024;

/// Everything on a page comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the gate needs to know.
#[derive(Clone)]
pub struct Gate {
    pub site: Arc<Site>,
    /// How long a handler may take.
    pub handler: Duration,
}

/// The gate: outermost layer of the router.
pub async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let site = &*gate.site;
    let mut visit = Visit::of(site, &request);
    let zips = text(request.headers(), ACCEPT_ENCODING.as_str()).is_some_and(|wanted| accepts_gzip(&wanted));
    let answer = AssertUnwindSafe(admit(&gate, &mut visit, request, next)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| {
        tracing::error!(path = visit.path, "a page panicked");
        Err(Failure::fault())
    });
    let response = finish(&visit, answer.unwrap_or_else(Failure::into_response));
    if zips { compressed(response).await } else { response }
}

/// A long page in gzip. No page holds a secret next to something that others may choose, so its length tells nothing.
async fn compressed(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_text = kind.starts_with(b"text/html") || kind.starts_with(b"application/json");
    let length = response.body().size_hint().exact().unwrap_or_default();
    if !is_text || length < WORTH_ZIPPING || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return Failure::fault().into_response();
    };
    let plain = body.clone();
    let zipped = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).and_then(|()| encoder.finish())
    });
    let Ok(Ok(zipped)) = zipped.await else { return Response::from_parts(parts, Body::from(body)) };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(parts, Body::from(zipped))
}

/// Lets a request through to its page, or says why not.
async fn admit(gate: &Gate, visit: &mut Visit, request: Request, next: Next) -> Result<Response, Failure> {
    let site = &*gate.site;
    let (parts, body) = request.into_parts();
    let path = visit.path.as_str();
    let with_token = visit.is_api() && parts.headers.contains_key(AUTHORIZATION);
    if with_token && !is_token(visit, &parts.headers) {
        return Err(Failure::token());
    }
    // A token is sent by no browser on its own.
    if !visit.is_look
        && !with_token
        && !origin::is_ours(&parts.headers, visit.host.as_deref(), &visit.config.public_url.url)
    {
        return Err(Failure::foreign());
    }
    let is_open = path == "/login" || path.starts_with("/assets/");
    if !is_open && !with_token {
        if let Some(token) = &visit.token {
            let key = token.key(&visit.config.admin);
            visit.signed_in = site.store()?.session_lives(&key).await?;
        } else if !visit.is_api() {
            // Whoever comes first hears that the database is away before having typed a password.
            site.store()?;
        }
        if !visit.signed_in {
            return if visit.is_api() {
                Err(Failure::token())
            } else {
                Ok(to_login(visit, parts.uri.query()))
            };
        }
    }
    let body = timeout(BODY_TIME, read(body)).await.map_err(|_| Failure::too_slow())??;
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(Arc::new(visit.clone()));
    let response = timeout(gate.handler, next.run(request)).await.map_err(|_| Failure::took_too_long())?;
    if !visit.is_look {
        site.live.changed();
    }
    Ok(response)
}

/// Whether the request carries `API_TOKEN` (RFC 6750, section 2.1).
fn is_token(visit: &Visit, headers: &HeaderMap) -> bool {
    let Some(expected) = &visit.config.api_token else { return false };
    let Some(given) = text(headers, AUTHORIZATION.as_str()) else { return false };
    let Some((scheme, token)) = given.split_once(' ') else { return false };
    scheme.eq_ignore_ascii_case("bearer")
        && password::same(token.trim().as_bytes(), expected.reveal().as_bytes())
}

/// To the login, and from there back to the page that was asked for.
fn to_login(visit: &Visit, query: Option<&str>) -> Response {
    let mut target = visit.path.clone();
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let target = super::redirect::own(&target);
    if !visit.is_look || target == "/" {
        return Redirect::to("/login").into_response();
    }
    let mut url = visit.config.public_url.url.clone();
    url.set_path("/login");
    url.query_pairs_mut().append_pair("next", target);
    Redirect::to(&format!("/login?{}", url.query().unwrap_or_default())).into_response()
}

/// The whole body, if it is not too large.
async fn read(body: Body) -> Result<Bytes, Failure> {
    let mut stream = body.into_data_stream();
    let mut kept = Vec::new();
    let mut length = 0_usize;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Failure::bad_form())?;
        length = length.saturating_add(piece.len());
        if length > BODY_DISCARDED {
            break;
        }
        if length <= BODY {
            kept.extend_from_slice(&piece);
        }
    }
    if length > BODY { Err(Failure::too_large()) } else { Ok(kept.into()) }
}

/// Makes a page of an error that is none yet, and adds what every answer carries.
fn finish(visit: &Visit, mut response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_ours = kind.starts_with(b"text/html") || kind.starts_with(b"application/");
    if let Some(failure) = response.extensions().get::<Failure>() {
        response = failure.render(visit);
    } else if (status.is_client_error() || status.is_server_error()) && !is_ours {
        let mut page = Failure::of_status(status).render(visit);
        if let Some(allow) = response.headers_mut().remove("allow") {
            page.headers_mut().insert("allow", allow);
        }
        response = page;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if visit.config.public_url.url.scheme() == "https" {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock;
    use crate::config::{Config, Purpose};
    use crate::metrics::{Build, Metrics, Readiness};

    fn site() -> Arc<Site> {
        let environment = [("HOME", "/home/maildt"), ("ADMIN_PASSWORD", "correct horse battery")];
        let environment: std::collections::BTreeMap<_, _> =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = Arc::new(Config::load(None, environment, Purpose::Serve).unwrap());
        let build = Build { version: "1.2.3", revision: "abc" };
        let (config, readiness) = (watch::channel(config).1, watch::channel(Readiness::default()).1);
        let metrics = Arc::new(Metrics::new(build, clock::now()));
        Arc::new(Site::new(metrics, config, readiness, watch::channel(None).1, CancellationToken::new()))
    }

    /// What comes back from a page of the test's own. It lies where no session is asked for.
    async fn answer(path: &str) -> (StatusCode, HeaderMap, String) {
        let gate = Gate { site: site(), handler: Duration::from_millis(50) };
        let router = Router::new()
            .route("/assets/well", get(async || "well"))
            .route("/assets/hangs", get(async || std::future::pending::<()>().await))
            .route("/assets/panics", get(async || -> () { panic!("a page's own <fault>") }))
            .layer(from_fn_with_state(gate, pass));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_page_that_hangs_is_given_up_and_one_that_panics_says_so_without_details() {
        for (path, status, words) in [
            ("/assets/well", StatusCode::OK, "well"),
            ("/assets/hangs", StatusCode::GATEWAY_TIMEOUT, "This took too long"),
            ("/assets/panics", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong in MailDT"),
        ] {
            let (found, headers, body) = answer(path).await;
            assert_eq!(found, status, "{path}: {body}");
            assert!(body.contains(words) && !body.contains("fault>"), "{path}: {body}");
            assert_eq!(headers.get(CONTENT_SECURITY_POLICY).unwrap(), POLICY, "{path}");
            assert_eq!(headers.get(CACHE_CONTROL).unwrap(), "no-store", "{path}");
        }
    }
}
