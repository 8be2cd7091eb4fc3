//! The bare client: what the servers give to a program that does nothing but send, look and delete.
//!
//! It has the same number of submission connections as the program under test, TLS and a login on each, and uses a
//! connection for as many messages. It looks as often, reads the same headers and deletes in the same way. It has no
//! database, no metrics, no verdicts, and gives up at the first error.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::lab::ground::runtime;

/// Messages on one connection before it is closed, as the program does it.
const TRANSACTIONS: usize = 100;
/// The pause between two looks that bring nothing, as the program does it.
const LOOK: Duration = Duration::from_millis(50);
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came of a run.
pub struct Run {
    /// Messages found a second, within the window.
    pub per_second: f64,
    pub sent: u64,
    /// Accepted and never found.
    pub lost: usize,
}

struct Shared {
    number: AtomicU64,
    found: AtomicU64,
    under_way: Mutex<HashSet<u64>>,
    stop: CancellationToken,
}

/// Sends as fast as `connections` can for `warm_up` and `window`, then waits for the rest.
pub fn run(endpoint: &Endpoint, connections: usize, warm_up: Duration, window: Duration) -> Run {
    let shared = Arc::new(Shared {
        number: AtomicU64::new(0),
        found: AtomicU64::new(0),
        under_way: Mutex::default(),
        stop: CancellationToken::new(),
    });
    runtime().block_on(async {
        let looking = tokio::spawn(look(endpoint.clone(), Arc::clone(&shared)));
        let sending: Vec<_> =
            (0..connections).map(|_| tokio::spawn(send(endpoint.clone(), Arc::clone(&shared)))).collect();
        tokio::time::sleep(warm_up).await;
        let (before, start) = (shared.found.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(window).await;
        let (after, took) = (shared.found.load(Ordering::Relaxed), start.elapsed());
        shared.stop.cancel();
        for task in sending {
            task.await.unwrap().expect("the bare client cannot send");
        }
        tokio::time::timeout(PATIENCE + Duration::from_secs(10), looking)
            .await
            .expect("the bare client's mailbox hangs")
            .unwrap()
            .expect("the bare client cannot look");
        let lost = shared.under_way.lock().unwrap().len();
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let found = (after - before) as f64;
        let sent = shared.number.load(Ordering::Relaxed);
        Run { per_second: found / took.as_secs_f64(), sent, lost }
    })
}

async fn send(endpoint: Endpoint, shared: Arc<Shared>) -> io::Result<()> {
    while !shared.stop.is_cancelled() {
        let mut smtp = Smtp::open(&endpoint).await?;
        for _ in 0..TRANSACTIONS {
            if shared.stop.is_cancelled() {
                break;
            }
            let number = shared.number.fetch_add(1, Ordering::Relaxed);
            shared.under_way.lock().unwrap().insert(number);
            smtp.send(&endpoint, number).await?;
        }
        smtp.say("QUIT", '2').await?;
    }
    Ok(())
}

async fn look(endpoint: Endpoint, shared: Arc<Shared>) -> io::Result<()> {
    let mut imap = Imap::open(&endpoint).await?;
    let mut quiet_since = Instant::now();
    loop {
        imap.command("NOOP").await?;
        let found = imap.news().await?;
        if found.is_empty() {
            let is_over = shared.stop.is_cancelled()
                && (shared.under_way.lock().unwrap().is_empty() || quiet_since.elapsed() > PATIENCE);
            if is_over {
                return imap.command("LOGOUT").await.map(drop);
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        quiet_since = Instant::now();
        let uids: Vec<String> = found.iter().map(|(uid, _)| uid.to_string()).collect();
        for (_, number) in found {
            if number.is_some_and(|number| shared.under_way.lock().unwrap().remove(&number)) {
                shared.found.fetch_add(1, Ordering::Relaxed);
            }
        }
        let uids = uids.join(",");
        imap.command(&format!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)")).await?;
        imap.command(&format!("UID EXPUNGE {uids}")).await?;
    }
}

type Stream = BufReader<TlsStream<TcpStream>>;

async fn connect(endpoint: &Endpoint, port: u16) -> io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&endpoint.ca).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    Ok(BufReader::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

fn plain(endpoint: &Endpoint) -> String {
    let text = format!("\0{}\0{}", endpoint.user, endpoint.password);
    base64::engine::general_purpose::STANDARD.encode(text)
}

struct Smtp(Stream);

impl Smtp {
    async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        let mut this = Self(connect(endpoint, endpoint.smtps).await?);
        this.expect('2').await?;
        this.say("EHLO bare.example", '2').await?;
        this.say(&format!("AUTH PLAIN {}", plain(endpoint)), '2').await?;
        Ok(this)
    }

    async fn send(&mut self, endpoint: &Endpoint, number: u64) -> io::Result<()> {
        let (from, to) = (&endpoint.user, endpoint.address(&format!("n{}", number % 50)));
        self.say(&format!("MAIL FROM:<{from}>"), '2').await?;
        self.say(&format!("RCPT TO:<{to}>"), '2').await?;
        self.say("DATA", '3').await?;
        let text = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n\
             Message-ID: <bare.{number}.{number:060}@bare.example>\r\nSubject: bare {number:070}\r\n\
             X-Bare: {number}\r\nAuto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{:200}\r\n.",
            "This message measures what the servers can do."
        );
        self.say(&text, '2').await
    }

    async fn say(&mut self, text: &str, class: char) -> io::Result<()> {
        self.0.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.0.flush().await?;
        self.expect(class).await
    }

    async fn expect(&mut self, class: char) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            if !line.starts_with(class) {
                return Err(io::Error::other(format!("the submission server said {line:?}")));
            }
            if line.get(3..4) != Some("-") {
                return Ok(());
            }
        }
    }
}

struct Imap {
    stream: Stream,
    tag: u32,
    next_uid: u32,
    has_news: bool,
}

/// One response: its text without literals, and the literals.
struct Response {
    text: String,
    literal: String,
}

impl Imap {
    async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = connect(endpoint, endpoint.imaps).await?;
        let mut this = Self { stream, tag: 0, next_uid: 1, has_news: true };
        this.response().await?;
        this.command(&format!("LOGIN \"{}\" \"{}\"", endpoint.user, endpoint.password)).await?;
        this.command("SELECT INBOX").await?;
        Ok(this)
    }

    /// The new messages: UID, and the number that they carry.
    async fn news(&mut self) -> io::Result<Vec<(u32, Option<u64>)>> {
        if !std::mem::take(&mut self.has_news) {
            return Ok(Vec::new());
        }
        let next = self.next_uid;
        let command = format!("UID FETCH {next}:* (UID INTERNALDATE BODY.PEEK[HEADER]<0.65536>)");
        let mut found = Vec::new();
        for response in self.command(&command).await? {
            let number_after = |text: &str, word: &str| -> Option<u64> {
                let (_, rest) = text.split_once(word)?;
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            };
            let uid = number_after(&response.text, "UID ").and_then(|uid| u32::try_from(uid).ok());
            let Some(uid) = uid.filter(|uid| *uid >= next) else { continue };
            self.next_uid = self.next_uid.max(uid + 1);
            found.push((uid, number_after(&response.literal, "X-Bare: ")));
        }
        Ok(found)
    }

    async fn command(&mut self, command: &str) -> io::Result<Vec<Response>> {
        self.tag += 1;
        let tag = format!("b{}", self.tag);
        self.stream.write_all(format!("{tag} {command}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        let mut responses = Vec::new();
        loop {
            let response = self.response().await?;
            match response.text.strip_prefix(&tag) {
                Some(rest) if rest.starts_with(" OK") => return Ok(responses),
                Some(rest) => return Err(io::Error::other(format!("{command}: {rest}"))),
                None => {
                    self.has_news |= response.text.trim_end().ends_with(" EXISTS");
                    responses.push(response);
                }
            }
        }
    }

    async fn response(&mut self) -> io::Result<Response> {
        let (mut text, mut literal) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            text.push_str(line.trim_end());
            let size =
                line.trim_end().strip_suffix('}').and_then(|rest| rest.rsplit_once('{')?.1.parse().ok());
            let Some(size) = size else { return Ok(Response { text, literal }) };
            let mut bytes = vec![0; size];
            self.stream.read_exact(&mut bytes).await?;
            literal.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}
