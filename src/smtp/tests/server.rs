//! A server that follows one script for each connection and writes down what it heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::config::{Account, Limits, Sender, TlsMode};
use crate::domain::submission::Attempt;
use crate::secret::Secret;
use crate::smtp::dial::Duplex;
use crate::smtp::{Envelope, Pool, Reuse};

pub(super) const USER: &str = "monitor@example.org";
pub(super) const PASS: &str = "c4nary-pass";
pub(super) const ENVELOPE: Envelope<'_> = Envelope { from: "monitor@example.org", to: "a@example.net" };
pub(super) const MESSAGE: &[u8] = b"Subject: probe\r\n\r\n.dot\r\n";
/// 2030-01-01T00:00:00Z, the end of the server's certificate.
pub(super) const CERTIFICATE_ENDS: i64 = 1_893_456_000;
/// Nothing that these tests wait for takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Say(Vec<u8>),
    /// Reads one line, which must begin so.
    Hear(&'static str),
    /// Reads a message through its final dot.
    HearMessage,
    /// Reads this many bytes.
    HearBytes(usize),
    Pause(Duration),
    Tls,
    Close,
    Reset,
    Hang,
}

pub(super) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

pub(super) fn hear(prefix: &'static str) -> Step {
    Step::Hear(prefix)
}

/// The usual steps of a whole submission with AUTH PLAIN: what is heard, and the reply.
pub(super) const STAGES: [(&str, &str); 7] = [
    ("", "220 mx.example ESMTP\r\n"),
    ("EHLO", "250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000\r\n"),
    ("AUTH PLAIN", "235 2.7.0 welcome\r\n"),
    ("MAIL FROM:<monitor@example.org>", "250 2.1.0 ok\r\n"),
    ("RCPT TO:<a@example.net>", "250 2.1.5 ok\r\n"),
    ("DATA", "354 go\r\n"),
    (".", "250 2.0.0 Ok: queued as 4bTq1x\r\n"),
];

pub(super) fn listen(heard: &'static str) -> Vec<Step> {
    match heard {
        "" => vec![],
        "." => vec![Step::HearMessage],
        prefix => vec![hear(prefix)],
    }
}

/// The usual steps of the stages in `range`.
pub(super) fn stages(
    range: impl std::slice::SliceIndex<[(&'static str, &'static str)], Output = [(&'static str, &'static str)]>,
) -> Vec<Step> {
    STAGES[range].iter().flat_map(|&(heard, reply)| listen(heard).into_iter().chain([say(reply)])).collect()
}

/// The steps of one more transaction on the same connection.
pub(super) fn again() -> Vec<Step> {
    stages(3..7)
}

type Heard = Arc<Mutex<Vec<Vec<String>>>>;

pub(super) struct Server {
    pub(super) port: u16,
    pub(super) tls: Arc<ClientConfig>,
    heard: Heard,
}

impl Server {
    /// A server whose first connection follows the first script, and so on; with no script left it accepts no more.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server_tls, tls) = certificates(&["localhost"]);
        let heard = Heard::default();
        let record = Arc::clone(&heard);
        tokio::spawn(async move {
            for (connection, script) in scripts.into_iter().enumerate() {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                record.lock().unwrap().push(Vec::new());
                let (record, acceptor) = (Arc::clone(&record), TlsAcceptor::from(Arc::clone(&server_tls)));
                tokio::spawn(async move {
                    let note = |text: String| record.lock().unwrap()[connection].push(text);
                    follow(script, tcp, acceptor, &note).await;
                });
            }
        });
        Self { port, tls, heard }
    }

    /// What each connection heard: lines, and messages as they came with dots doubled.
    pub(super) fn heard(&self) -> Vec<Vec<String>> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until the servers have heard what is asked for.
    pub(super) async fn until(&self, what: impl Fn(&[Vec<String>]) -> bool) {
        let wait = async {
            while !what(&self.heard()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(found, "never heard, only {:?}", self.heard());
    }

    pub(super) fn sender(&self, tls: TlsMode) -> Sender {
        Sender {
            name: "default".to_owned(),
            account: Account {
                host: "localhost".to_owned(),
                port: self.port,
                user: USER.to_owned(),
                pass: Secret::new(PASS),
                tls,
            },
            from: USER.to_owned(),
            connections: 2,
        }
    }

    pub(super) fn pool(&self, tls: TlsMode) -> Pool {
        self.pool_with(self.sender(tls), patient(), Reuse::default())
    }

    pub(super) fn pool_with(&self, sender: Sender, limits: Limits, reuse: Reuse) -> Pool {
        Pool::with_reuse(Arc::new(sender), Arc::clone(&self.tls), Arc::new(limits), reuse)
    }
}

pub(super) async fn submit(pool: &Pool) -> Attempt {
    let slot = pool.acquire().await.unwrap();
    tokio::time::timeout(PATIENCE, slot.submit(ENVELOPE, MESSAGE)).await.expect("bounded")
}

/// One submission without TLS to a server that follows one script.
pub(super) async fn submit_to(script: Vec<Step>) -> (Attempt, Vec<Vec<String>>) {
    let server = Server::start(vec![script]).await;
    let attempt = submit(&server.pool(TlsMode::None)).await;
    (attempt, server.heard())
}

/// Limits that no test meets unless its server hangs for good.
pub(super) fn patient() -> Limits {
    let limit = Duration::from_secs(15);
    Limits { connect: limit, command: limit, final_reply: limit, send: limit * 2, ..Limits::default() }
}

/// Limits for servers that hang; long enough for a busy machine to get there.
pub(super) fn hasty() -> Limits {
    let limit = Duration::from_millis(700);
    Limits { connect: limit, command: limit, final_reply: limit, ..patient() }
}

/// A server's and a client's TLS configuration with a CA of their own.
pub(super) fn certificates(names: &[&str]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_after = date_time_ymd(2030, 1, 1);
    let leaf = params.signed_by(&key, &ca).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

async fn follow(script: Vec<Step>, tcp: TcpStream, acceptor: TlsAcceptor, note: &(dyn Fn(String) + Sync)) {
    let mut plain = Some(tcp);
    let mut tls = None;
    for step in script {
        match (step, &mut tls, plain.take()) {
            (Step::Close, ..) => return,
            (Step::Reset, _, Some(tcp)) => return tcp.set_zero_linger().unwrap(),
            (Step::Tls, _, Some(tcp)) => match acceptor.accept(tcp).await {
                Ok(stream) => tls = Some(stream),
                Err(error) => return note(format!("(no TLS: {error})")),
            },
            (step, Some(stream), _) => {
                if !act(step, stream, note).await {
                    return;
                }
            }
            (step, None, Some(mut stream)) => {
                if !act(step, &mut stream, note).await {
                    return;
                }
                plain = Some(stream);
            }
            (step, None, None) => panic!("{step:?} without a connection"),
        }
    }
    // What comes after the script, such as QUIT, is heard until the client closes.
    let stream: &mut dyn Duplex = match (&mut tls, &mut plain) {
        (Some(stream), _) => stream,
        (None, Some(stream)) => stream,
        (None, None) => return,
    };
    while let Some(line) = read_until(stream, b"\r\n").await {
        if line == "QUIT" {
            // The client may be gone already.
            let _ = stream.write_all(b"221 bye\r\n").await;
        }
        note(line);
    }
    note("(closed)".to_owned());
}

/// Whether to go on.
async fn act(step: Step, stream: &mut dyn Duplex, note: &(dyn Fn(String) + Sync)) -> bool {
    match step {
        Step::Say(bytes) => stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok(),
        Step::Hear(prefix) => match read_until(stream, b"\r\n").await {
            Some(line) if line.starts_with(prefix) => {
                note(line);
                true
            }
            other => {
                note(format!("(not {prefix}: {other:?})"));
                false
            }
        },
        Step::HearMessage => {
            let message = read_until(stream, b"\r\n.\r\n").await;
            let whole = message.is_some();
            note(message.map_or("(no message)".to_owned(), |text| format!("{text}\r\n.\r\n")));
            whole
        }
        Step::HearBytes(count) => stream.read_exact(&mut vec![0; count]).await.is_ok(),
        Step::Pause(duration) => {
            tokio::time::sleep(duration).await;
            true
        }
        Step::Hang => std::future::pending().await,
        Step::Tls | Step::Close | Step::Reset => panic!("{step:?} is not for this connection"),
    }
}

/// What comes before `end`; `None` when the stream ends first.
async fn read_until(stream: &mut dyn Duplex, end: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(stream.read_u8().await.ok()?);
    }
    bytes.truncate(bytes.len() - end.len());
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
