//! From a host name to a protected stream and a greeting.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::account::Account;
use crate::tls;

use super::error::Error;
use super::guard::{Guard, Stream};

/// Runs one step under its limit.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, step).await.unwrap_or(Err(Error::Timeout { what, limit }))
}

/// Resolves and connects; `limit` holds for each of the two. Each address gets its share of the time, so that one that
/// swallows packets does not stand in the way of the next.
pub(super) async fn tcp(account: &Account, limit: Duration) -> Result<TcpStream, Error> {
    let host = account.host.trim_start_matches('[').trim_end_matches(']');
    let dns = |detail: String| Error::Dns { host: account.host.clone(), detail };
    let resolve = async {
        let found = lookup_host((host, account.port)).await.map_err(|error| dns(error.to_string()))?;
        Ok(found.take(8).collect::<Vec<SocketAddr>>())
    };
    let addresses = within(limit, "the name lookup", resolve).await?;
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut last = dns("no address".to_owned());
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A failure costs speed only.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                let detail = error.to_string();
                last = Error::Connect { host: account.host.clone(), port: account.port, detail };
            }
            Err(_) => last = Error::Timeout { what: "the connection attempt", limit: share },
        }
    }
    Err(last)
}

/// The TLS handshake, the certificate verified for `account.host`.
pub(super) async fn tls<S: Stream>(
    stream: S,
    account: &Account,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<S>, Error> {
    let host = account.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host)
        .map_err(|_| Error::Tls(format!("{} is no name that a certificate could have", account.host)))?;
    let handshake = async {
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| Error::Tls(explain(&error)))
    };
    within(limit, "the TLS handshake", handshake).await
}

/// When the certificate that the server showed expires, in seconds since the epoch.
pub(super) fn certificate_not_after<S>(stream: &TlsStream<S>) -> Option<i64> {
    let (_, connection) = stream.get_ref();
    tls::not_after(connection.peer_certificates()?.first()?)
}

fn explain(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => tls::explain(inner),
        None => format!("{error}; check the port and the TLS mode (implicit or starttls)"),
    }
}

/// The stream under `guard`, when nothing is buffered that came before TLS.
pub(super) fn stream_for_tls(guard: Guard) -> Result<Box<dyn Stream>, Error> {
    guard.into_stream().ok_or_else(|| {
        Error::Protocol(
            "the server sent something between STARTTLS and TLS: is somebody in between?".to_owned(),
        )
    })
}
