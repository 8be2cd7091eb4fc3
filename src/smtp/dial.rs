//! From a host name to a stream: resolution, TCP, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Account;
use crate::domain::submission::{Outcome, Phase, Reason};
use crate::smtp::ledger::Fault;
use crate::smtp::run::Run;
use crate::tls;

/// More addresses than this are not tried: the time for each would be too short.
const ADDRESSES: usize = 8;

/// What SMTP is spoken over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}
pub(super) type Transport = Box<dyn Duplex>;

/// Resolves the account's host and connects to the first of its addresses that answers.
pub(super) async fn connect(account: &Account, run: &mut Run<'_>) -> Result<TcpStream, Outcome> {
    run.enter(Phase::Dns);
    let addresses = resolve(&account.host, account.port, run).await?;
    run.enter(Phase::Connect);
    reach(addresses, &account.host, run).await
}

/// Tries addresses in turn.
async fn reach(addresses: Vec<SocketAddr>, host: &str, run: &Run<'_>) -> Result<TcpStream, Outcome> {
    let until = Instant::now() + run.within(run.limits.connect);
    let mut tried = Vec::new();
    let mut reason = Reason::Connect;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // An equal share of what is left, so that one dead address does not use up the time of the others.
        let share = until.saturating_duration_since(Instant::now()) / left.max(1);
        left -= 1;
        match timeout(share, open(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => {
                reason = Reason::Connect;
                tried.push(format!("{address}: {error}"));
            }
            Err(_) => {
                reason = Reason::Timeout;
                tried.push(format!("{address}: no answer within {}", milliseconds(share)));
            }
        }
    }
    Err(run.failed(reason, &format!("cannot connect to {host}: {}", tried.join("; "))))
}

async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn resolve(host: &str, port: u16, run: &Run<'_>) -> Result<Vec<SocketAddr>, Outcome> {
    // A literal may be written as in a URL.
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let limit = run.within(run.limits.connect);
    match timeout(limit, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.take(ADDRESSES).collect();
            if found.is_empty() {
                return Err(run.failed(Reason::Dns, &format!("{host} has no address")));
            }
            Ok(found)
        }
        Ok(Err(error)) => Err(run.failed(Reason::Dns, &format!("cannot resolve {host}: {error}"))),
        Err(_) => Err(run.fault(&Fault::Timeout(limit))),
    }
}

/// Wraps a connection in TLS and notes when the server's certificate ends.
pub(super) async fn secure(
    tcp: TcpStream,
    account: &Account,
    config: &Arc<ClientConfig>,
    run: &mut Run<'_>,
) -> Result<Transport, Outcome> {
    run.enter(Phase::Tls);
    let host = account.host.trim_start_matches('[').trim_end_matches(']');
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Err(run.failed(Reason::Tls, &format!("{host} is no name that a certificate can be for")));
    };
    let limit = run.within(run.limits.connect);
    match timeout(limit, TlsConnector::from(Arc::clone(config)).connect(name, tcp)).await {
        Ok(Ok(stream)) => {
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            run.certificate_not_after = leaf.and_then(|der| tls::not_after(der));
            Ok(Box::new(stream))
        }
        Ok(Err(error)) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            run.certificate_not_after = inner.and_then(tls::expired_at);
            let detail = inner.map_or_else(
                || format!("the connection was lost in the TLS handshake: {error}"),
                |inner| format!("TLS with {host}: {}", tls::explain(inner)),
            );
            Err(run.failed(Reason::Tls, &detail))
        }
        Err(_) => Err(run.fault(&Fault::Timeout(limit))),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Limits;
    use crate::smtp::mask::Mask;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let (limits, mask) = (Limits::default(), Mask::default());
        let mut run = Run::new(&limits, &mask);
        run.enter(Phase::Connect);
        let tcp = reach(vec![closed, open], "mail.example", &run).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), open);
        assert!(tcp.nodelay().unwrap());
        match reach(vec![closed, closed], "mail.example", &run).await.unwrap_err() {
            Outcome::Failed { phase: Phase::Connect, reason: Reason::Connect, detail } => {
                assert!(detail.starts_with("cannot connect to mail.example: "), "{detail}");
                assert_eq!(detail.matches(&closed.to_string()).count(), 2, "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
}
