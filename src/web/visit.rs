//! One request, and who makes it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::clock;
use crate::config::{Config, is_loopback};
use crate::listener::Peer;
use crate::metrics::Build;

use super::cookie::Token;
use super::{Site, cookie, proxy};

/// Who asks for what. Among the extensions of each request.
#[derive(Clone)]
pub struct Visit {
    pub build: Build,
    /// When it came, by our own clock.
    pub at: Timestamp,
    pub config: Arc<Config>,
    /// The client, behind the proxies that are believed.
    pub client: IpAddr,
    /// The Host that the client's browser knows, in lower case.
    pub host: Option<String>,
    /// The proxy says that the client came by https.
    pub by_https: bool,
    pub path: String,
    /// GET or HEAD: nothing is to be changed.
    pub is_look: bool,
    /// The session's token that came along, whatever it is worth.
    pub token: Option<Token>,
    /// By a living session.
    pub signed_in: bool,
}

impl Visit {
    pub(super) fn of(site: &Site, request: &Request) -> Self {
        let config = site.config();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
        let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let headers = request.headers();
        let told = proxy::told(&config.proxy, site.gateway, peer, headers);
        let host = told.host.or_else(|| text(headers, "host")).map(|host| host.to_ascii_lowercase());
        Self {
            build: site.build,
            at: clock::now(),
            client: told.client,
            host,
            by_https: told.by_https,
            path: request.uri().path().to_owned(),
            is_look: matches!(*request.method(), Method::GET | Method::HEAD),
            token: cookie::read(headers, &config.public_url),
            signed_in: false,
            config,
        }
    }

    pub fn is_api(&self) -> bool {
        self.path.starts_with("/api/")
    }

    /// What is so dangerous about this installation that every page says it.
    pub fn warnings(&self) -> Vec<&'static str> {
        let public = &self.config.public_url;
        let mut warnings = Vec::new();
        if public.insecure && public.allow_insecure {
            warnings.push(
                "Plain http: everybody on the way to MailDT can read the password and the session (ALLOW_INSECURE_HTTP is set).",
            );
        } else if public.url.scheme() == "http" && !self.by_https && self.is_from_afar() {
            warnings.push(
                "This page came over plain http from another machine, where everybody on the way can read along. Set PUBLIC_URL to the https address of your proxy.",
            );
        }
        if self.config.admin.totp.is_none() {
            warnings.push(
                "The login needs no second factor. `maildt totp` makes a secret for ADMIN_TOTP_SECRET.",
            );
        }
        warnings
    }

    /// Whether the browser's address names another machine than its own.
    fn is_from_afar(&self) -> bool {
        self.host.as_deref().is_some_and(|host| !is_loopback(without_port(host)))
    }
}

/// A header's text, if it is there once.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim().to_owned())
}

/// `example.org` of `example.org:5000`, `::1` of `[::1]:5000`.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}
