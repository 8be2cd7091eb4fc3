//! From a stream to a connection that takes mail: greeting, EHLO, STARTTLS, AUTH.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Account, TlsMode};
use crate::domain::submission::{Outcome, Phase, Reason};
use crate::smtp::dial::{self, Transport};
use crate::smtp::ledger::{Fault, Ledger};
use crate::smtp::link::Link;
use crate::smtp::reply::{self, Raw};
use crate::smtp::run::Run;
use crate::smtp::transaction::Connection;
use crate::smtp::wire::Wire;

/// How much of a server's list of mechanisms an error message shows.
const MECHANISMS_SHOWN: usize = 100;

/// Connects, negotiates TLS as the account demands, and logs in.
pub(super) async fn open(
    account: &Account,
    tls: &Arc<ClientConfig>,
    run: &mut Run<'_>,
) -> Result<Connection, Outcome> {
    let tcp = dial::connect(account, run).await?;
    let (local, peer) = addresses(&tcp);
    let name = hello_name(local.ip());
    let wire = match account.tls {
        TlsMode::Implicit => greet(dial::secure(tcp, account, tls, run).await?, peer, run).await?,
        TlsMode::None => greet(Box::new(tcp) as Transport, peer, run).await?,
        TlsMode::StartTls => {
            let tcp = start_tls(tcp, peer, &name, run).await?;
            Wire::new(dial::secure(tcp, account, tls, run).await?, peer).without_greeting()
        }
    };
    run.enter(Phase::Ehlo);
    // After STARTTLS this is the second EHLO; what the server offered before TLS is forgotten (RFC 3207, section 4.2).
    let ledger = wire.ledger();
    let opened = Link::open(wire, &name, run.within(run.limits.command)).await;
    let (code, link) = opened.map_err(|fault| run.fault(&fault))?;
    demand(&ledger, code, Class::Completion, run)?;
    let mut link = link.ok_or_else(|| ledger.reply(|reply| run.unexpected(reply)))?;
    let extensions = ledger.reply(Extensions::read);
    if !account.user.is_empty() {
        run.enter(Phase::Auth);
        log_in(&mut link, &extensions, account, run).await?;
    }
    Ok(Connection::new(link, extensions.smtputf8))
}

/// Sends one command and takes no other answer than a code of the `wanted` class.
pub(super) async fn exchange(
    link: &mut Link,
    command: impl std::fmt::Display,
    wanted: Class,
    limit: Duration,
    run: &Run<'_>,
) -> Result<(), Outcome> {
    let result = link.command(command, run.within(limit)).await;
    demand(link.ledger(), result.map_err(|fault| run.fault(&fault))?, wanted, run)
}

/// The first digit of a reply that means "go on" (RFC 5321, section 4.2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Completion = 2,
    Intermediate = 3,
}

fn demand(ledger: &Ledger, code: u16, wanted: Class, run: &Run<'_>) -> Result<(), Outcome> {
    match code / 100 {
        class if class == wanted as u16 => Ok(()),
        4 | 5 => Err(ledger.reply(|reply| run.refused(reply))),
        _ => Err(ledger.reply(|reply| run.unexpected(reply))),
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    run: &mut Run<'_>,
) -> Result<Wire<S>, Outcome> {
    run.enter(Phase::Greeting);
    let mut wire = Wire::new(stream, peer);
    let code = within(run, wire.greeting()).await?;
    demand(&wire.ledger(), code, Class::Completion, run)?;
    Ok(wire)
}

/// The part before TLS. Required, never opportunistic: a server that does not offer it is an error.
async fn start_tls(
    tcp: TcpStream,
    peer: SocketAddr,
    name: &ClientId,
    run: &mut Run<'_>,
) -> Result<TcpStream, Outcome> {
    let mut wire = greet(tcp, peer, run).await?;
    let ledger = wire.ledger();
    run.enter(Phase::Ehlo);
    let code = within(run, wire.command(Ehlo::new(name.clone()))).await?;
    demand(&ledger, code, Class::Completion, run)?;
    run.enter(Phase::Tls);
    if !ledger.reply(Extensions::read).starttls {
        let detail = "the server does not offer STARTTLS; check the port, or use TLS mode implicit";
        return Err(run.failed(Reason::Tls, detail));
    }
    let code = within(run, wire.command(Starttls)).await?;
    demand(&ledger, code, Class::Completion, run)?;
    wire.into_stream().await.map_err(|fault| run.fault(&fault))
}

async fn within(run: &Run<'_>, exchange: impl Future<Output = Result<u16, Fault>>) -> Result<u16, Outcome> {
    let limit = run.within(run.limits.command);
    let result = timeout(limit, exchange).await.unwrap_or(Err(Fault::Timeout(limit)));
    result.map_err(|fault| run.fault(&fault))
}

async fn log_in(
    link: &mut Link,
    extensions: &Extensions,
    account: &Account,
    run: &Run<'_>,
) -> Result<(), Outcome> {
    let auth = |mechanism, challenge: Option<&str>| {
        let credentials = Credentials::new(account.user.clone(), account.pass.reveal().to_owned());
        Auth::new(mechanism, credentials, challenge.map(str::to_owned))
            .map_err(|error| run.failed(Reason::Auth, &error.to_string()))
    };
    let limit = run.limits.command;
    if extensions.offers("PLAIN") {
        return exchange(link, auth(Mechanism::Plain, None)?, Class::Completion, limit, run).await;
    }
    if extensions.offers("LOGIN") {
        // The server's own prompts are free text; every one asks for the name first.
        let (name, password) = (Some("Username:"), Some("Password:"));
        exchange(link, auth(Mechanism::Login, None)?, Class::Intermediate, limit, run).await?;
        exchange(link, auth(Mechanism::Login, name)?, Class::Intermediate, limit, run).await?;
        return exchange(link, auth(Mechanism::Login, password)?, Class::Completion, limit, run).await;
    }
    let offered = match &*extensions.mechanisms {
        "" if extensions.starttls => "it offers no AUTH before STARTTLS: use TLS mode starttls",
        "" => "it offers no AUTH: check the port, or leave the user empty",
        mechanisms => &format!("it offers {}", mechanisms.chars().take(MECHANISMS_SHOWN).collect::<String>()),
    };
    Err(run.failed(Reason::Auth, &format!("no common way to log in: we know PLAIN and LOGIN, {offered}")))
}

/// What a server offers in its reply to EHLO, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extensions {
    starttls: bool,
    smtputf8: bool,
    /// The mechanisms of AUTH as the server listed them, in upper case, separated by spaces.
    mechanisms: String,
}

impl Extensions {
    /// Keywords are case-insensitive (RFC 5321, section 2.4); the first line is the server's name. `AUTH=` is how servers
    /// from before RFC 4954 say `AUTH`.
    fn read(reply: Raw<'_>) -> Self {
        let mut read = Self::default();
        for line in reply.lines().skip(1) {
            let line = reply::printable(line).to_ascii_uppercase();
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => read.starttls = true,
                Some("SMTPUTF8") => read.smtputf8 = true,
                Some("AUTH") => {
                    let listed = std::mem::take(&mut read.mechanisms);
                    let all: Vec<_> = listed.split_whitespace().chain(words).collect();
                    read.mechanisms = all.join(" ");
                }
                _ => {}
            }
        }
        read
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.mechanisms.split(' ').any(|word| word == mechanism)
    }
}

/// Our name in EHLO: this host's where it is a domain, else the address that we come from (RFC 5321, section 4.1.4).
fn hello_name(local: IpAddr) -> ClientId {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| is_domain(name))
        .map_or_else(|| literal(local), ClientId::Domain)
}

/// RFC 5321, section 4.1.3.
fn literal(ip: IpAddr) -> ClientId {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ClientId::Ipv4(ip),
        IpAddr::V6(ip) => ClientId::Ipv6(ip),
    }
}

/// Ours and the server's. They are known on a connected socket; else the name in EHLO is the loopback's.
fn addresses(tcp: &TcpStream) -> (SocketAddr, SocketAddr) {
    let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (tcp.local_addr().unwrap_or(unknown), tcp.peer_addr().unwrap_or(unknown))
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 255 && name.contains('.') && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Extensions {
        Extensions::read(Raw { code: 250, bytes })
    }

    #[test]
    fn extensions_are_read_whatever_their_case() {
        let read =
            read(b"250-mx.example\r\n250-starttls\r\n250-Auth Plain login XOAUTH2\r\n250 SMTPUTF8\r\n");
        assert!(read.starttls && read.smtputf8 && read.offers("PLAIN") && read.offers("LOGIN"));
        assert_eq!(read.mechanisms, "PLAIN LOGIN XOAUTH2");
    }

    #[test]
    fn the_old_form_of_auth_counts_and_the_first_line_does_not() {
        assert_eq!(read(b"250-mx\r\n250-AUTH PLAIN\r\n250 AUTH=LOGIN\r\n").mechanisms, "PLAIN LOGIN");
        assert_eq!(read(b"250 STARTTLS\r\n"), Extensions::default());
        assert!(!read(b"250-mx\r\n250 AUTH PLAINEST\r\n").offers("PLAIN"));
    }

    #[test]
    fn ehlo_gets_a_domain_or_a_literal() {
        assert_eq!(literal(Ipv4Addr::LOCALHOST.into()).to_string(), "[127.0.0.1]");
        assert_eq!(literal(std::net::Ipv6Addr::LOCALHOST.into()).to_string(), "[IPv6:::1]");
        assert_eq!(literal(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()).to_string(), "[127.0.0.1]");
        assert!(is_domain("mail-1.example.org"));
        for no in ["host", "", "a..b", "-a.b", "a_b.c", "a.b\r\nRSET", "a b.c"] {
            assert!(!is_domain(no), "{no:?}");
        }
    }
}
