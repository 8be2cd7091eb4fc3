//! The server as seen by clients that share no code with it: lettre, async-imap, and bare sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

mod cast;
mod faults;
mod imap;
mod load;
mod smtp;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate as LettreCertificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::*;

const USER: &str = "monitor@demo.test";
const PASSWORD: &str = "pass word\"\\";
/// Longest that any single thing may take.
const LIMIT: Duration = Duration::from_secs(20);

async fn server() -> MailServer {
    MailServer::start(Options::default().account(USER, PASSWORD).account("other@demo.test", "x"))
        .await
        .unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("took too long")
}

/// Asks until it is so, or fails.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn message(subject: &str) -> Vec<u8> {
    format!(
        "From: monitor@demo.test\r\n\
         To: a@demo.test\r\n\
         Subject: {subject}\r\n\
         Message-ID: <{subject}@demo.test>\r\n\
         X-MailDT-Probe: {subject}\r\n\
         \r\n\
         Hello\r\n\
         .dot\r\n"
    )
    .into_bytes()
}

fn connector(server: &MailServer) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    Arc::new(config).into()
}

async fn tls(server: &MailServer, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    connector(server).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// A client that writes and reads lines and knows nothing.
struct Raw<S> {
    stream: BufReader<S>,
}

impl Raw<TcpStream> {
    async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(tcp) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn line_or_end(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let _ = within(self.stream.read_until(b'\n', &mut line)).await;
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// One line without its end; empty at the end of the connection.
    async fn line(&mut self) -> String {
        self.line_or_end().await.unwrap_or_default()
    }

    /// A whole SMTP reply, its lines joined by `|`.
    async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return lines.join("|");
            }
        }
    }

    async fn smtp(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.reply().await
    }

    /// Sends an IMAP command and reads up to its tagged response, which is the last line.
    async fn imap(&mut self, command: &str) -> Vec<String> {
        self.send(format!("t {command}\r\n")).await;
        self.tagged().await
    }

    async fn tagged(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line_or_end().await;
            let last = line.as_ref().is_none_or(|line| line.starts_with("t "));
            lines.push(line.unwrap_or_default());
            if last {
                return lines;
            }
        }
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest
    }
}

/// An SMTP session on the plain port that has logged in.
async fn smtp_login(server: &MailServer) -> Raw<TcpStream> {
    use base64::Engine;
    let mut client = Raw::connect(server.addresses().smtp).await;
    assert!(client.reply().await.starts_with("220 "));
    assert!(client.smtp("EHLO client.test").await.contains("AUTH PLAIN LOGIN"));
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    assert!(client.smtp(&format!("AUTH PLAIN {plain}")).await.starts_with("235 "));
    client
}

/// Sends one message in a session that has logged in; the reply to the final dot.
async fn submit<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Raw<S>, to: &str, raw: &[u8]) -> String {
    assert!(client.smtp(&format!("MAIL FROM:<{USER}>")).await.starts_with("250 "));
    let reply = client.smtp(&format!("RCPT TO:<{to}>")).await;
    if !reply.starts_with('2') {
        assert!(client.smtp("RSET").await.starts_with("250 "));
        return reply;
    }
    let reply = client.smtp("DATA").await;
    if !reply.starts_with('3') {
        return reply;
    }
    client.send(String::from_utf8_lossy(raw).replace("\r\n.", "\r\n..")).await;
    client.smtp(".").await
}

/// An IMAP session on the plain port that has logged in and selected INBOX.
async fn imap_inbox(server: &MailServer) -> Raw<TcpStream> {
    let mut client = Raw::connect(server.addresses().imap).await;
    assert!(client.line().await.starts_with("* OK [CAPABILITY IMAP4rev1 "));
    let password = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
    assert!(client.imap(&format!("LOGIN {USER} \"{password}\"")).await[0].starts_with("t OK"));
    assert!(client.imap("SELECT INBOX").await.last().unwrap().starts_with("t OK [READ-WRITE]"));
    client
}

fn lettre(
    server: &MailServer,
    address: SocketAddr,
    mode: fn(TlsParameters) -> Tls,
) -> AsyncSmtpTransport<Tokio1Executor> {
    let root = LettreCertificate::from_pem(server.ca_pem().as_bytes()).unwrap();
    let parameters =
        TlsParameters::builder("localhost".to_owned()).add_root_certificate(root).build_rustls().unwrap();
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(address.port())
        .tls(mode(parameters))
        .credentials(Credentials::new(USER.to_owned(), PASSWORD.to_owned()))
        .build()
}
