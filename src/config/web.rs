//! Where MailDT listens, and under which address people reach it.

use std::net::SocketAddr;

use reqwest::Url;

use super::parse::{self, Network};
use super::problem::{Fault, Findings};
use super::table::Table;

/// How the admin UI is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port; the path is `/`.
    pub url: Url,
    /// Plain http to another host than this machine: the login refuses unless `allow_insecure` is set.
    pub insecure: bool,
    /// `ALLOW_INSECURE_HTTP`.
    pub allow_insecure: bool,
}

/// Whose word about the client counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `ENABLE_PROXY`: X-Forwarded-For, -Proto and -Host are read at all.
    pub enabled: bool,
    /// The proxies that are believed.
    pub trusted: Vec<Network>,
    /// `TRUSTED_PROXIES` is not set: besides loopback the container's gateway is believed.
    pub gateway: bool,
}

/// `LISTEN` and `METRICS_LISTEN`.
pub(super) fn read_listen(top: &Table, findings: &mut Findings) -> Option<(SocketAddr, SocketAddr)> {
    let listen = top.parsed("listen", findings, parse::listen);
    let metrics = top.parsed("metrics_listen", findings, parse::listen);
    let (listen, metrics) = (listen?, metrics?);
    let same_ip =
        listen.ip() == metrics.ip() || listen.ip().is_unspecified() || metrics.ip().is_unspecified();
    if listen.port() == metrics.port() && listen.port() != 0 && same_ip {
        let reason = format!("takes port {} as LISTEN does", metrics.port());
        findings
            .refuse(top.place("metrics_listen"), Fault::new(reason, "choose another port for one of them"));
        return None;
    }
    Some((listen, metrics))
}

impl PublicUrl {
    pub(super) fn read(top: &Table, findings: &mut Findings) -> Option<Self> {
        let allow_insecure = top.scalar("allow_insecure_http", findings, parse::boolean);
        let url = top.parsed("public_url", findings, |text| {
            let shown =
                |fault: Fault| Fault::new(format!("{} {}", parse::shown(text), fault.reason), fault.remedy);
            let url = parse::http_url(text).map_err(shown)?;
            if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                let remedy = "give scheme, host and port alone: MailDT must be at the root of its host";
                return Err(Fault::new(format!("{} has a path, ? or # part", parse::shown(text)), remedy));
            }
            Ok(url)
        });
        let (allow_insecure, url) = (allow_insecure?, url?);
        let insecure = url.scheme() == "http" && !parse::leads_to_loopback(&url);
        if insecure {
            let text = if allow_insecure {
                "logins travel unprotected (ALLOW_INSECURE_HTTP is set)"
            } else {
                "nobody can log in over plain http from another machine; use https, or set ALLOW_INSECURE_HTTP=true"
            };
            findings.warn(&top.place("public_url"), text);
        }
        Some(Self { url, insecure, allow_insecure })
    }
}

impl Proxy {
    pub(super) fn read(top: &Table, findings: &mut Findings) -> Option<Self> {
        let enabled = top.scalar("enable_proxy", findings, parse::boolean)?;
        let trusted = top.optional("trusted_proxies", |field| top.list(field, findings, parse::network))?;
        if trusted.is_some() && !enabled {
            findings.warn(&top.place("trusted_proxies"), "does nothing without ENABLE_PROXY=true");
        }
        let gateway = trusted.is_none();
        Some(Self { enabled, trusted: trusted.unwrap_or_else(|| Network::LOOPBACK.to_vec()), gateway })
    }
}
