//! One connection, plain or TLS: lines in, bytes out, and the ways in which a fault breaks it.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::faults::{Action, Then};

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time that a peer may leave our output unread.
const WRITE: Duration = Duration::from_mins(1);
/// Output beyond this is written before more is made.
const OUTPUT_HIGH: usize = 64 * 1024;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the peer closed the connection")]
    Peer,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the peer was silent for too long")]
    Silent,
    #[error("a line was too long")]
    LineTooLong,
    #[error("the server stops")]
    Stopping,
    #[error("a fault closed the connection")]
    Severed,
    #[error("the session was ended")]
    Goodbye,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, and after a failed handshake.
    None,
}

async fn stopped([server, everyone]: &[CancellationToken; 2]) -> Ended {
    tokio::select! {
        biased;
        () = server.cancelled() => Ended::Stopping,
        () = everyone.cancelled() => Ended::Severed,
    }
}

/// What is left to do after a fault had its say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Do the command as usual.
    Go,
    /// It is answered.
    Answered,
}

pub(super) struct Connection {
    stream: Stream,
    /// The server's stop and the cutting of all connections.
    stop: [CancellationToken; 2],
    input: BytesMut,
    /// How much of `input` is known to hold no line feed.
    scanned: usize,
    output: BytesMut,
    /// How many more bytes a fault lets out before the connection is cut.
    left: Option<usize>,
    /// A tarpit's pause after each byte.
    pace: Option<Duration>,
}

impl Connection {
    pub fn new(stream: TcpStream, stop: [CancellationToken; 2]) -> Self {
        Self {
            stream: Stream::Plain(stream),
            stop,
            input: BytesMut::new(),
            scanned: 0,
            output: BytesMut::new(),
            left: None,
            pace: None,
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Starts TLS. What the peer sent in the clear beyond the command is thrown away (RFC 3207 section 4.2).
    pub async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> Result<(), Ended> {
        self.flush().await?;
        self.input.clear();
        self.scanned = 0;
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(Ended::Goodbye);
        };
        let handshake = timeout(HANDSHAKE, acceptor.accept(tcp));
        let tls = tokio::select! {
            biased;
            ended = stopped(&self.stop) => return Err(ended),
            result = handshake => result.map_err(|_| Ended::Silent)??,
        };
        self.stream = Stream::Tls(Box::new(tls));
        Ok(())
    }

    /// The next line with its line feed. Cancel-safe. Output is written first if the peer has to be waited for, so
    /// that answers to pipelined commands leave together.
    pub async fn line(&mut self, most: usize, patience: Duration) -> Result<Bytes, Ended> {
        loop {
            let fresh = self.input.get(self.scanned..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|b| *b == b'\n') {
                let line = self.input.split_to(self.scanned + at + 1).freeze();
                self.scanned = 0;
                return if line.len() > most { Err(Ended::LineTooLong) } else { Ok(line) };
            }
            self.scanned = self.input.len();
            if self.scanned > most {
                return Err(Ended::LineTooLong);
            }
            self.flush().await?;
            self.fill(patience).await?;
        }
    }

    /// Exactly `length` bytes. The caller has checked the length; memory grows only as they arrive.
    pub async fn exact(&mut self, length: usize, patience: Duration) -> Result<Bytes, Ended> {
        while self.input.len() < length {
            self.flush().await?;
            self.fill(patience).await?;
        }
        self.scanned = 0;
        Ok(self.input.split_to(length).freeze())
    }

    async fn fill(&mut self, patience: Duration) -> Result<(), Ended> {
        self.input.reserve(4096);
        let read = async {
            match &mut self.stream {
                Stream::Plain(tcp) => tcp.read_buf(&mut self.input).await,
                Stream::Tls(tls) => tls.read_buf(&mut self.input).await,
                Stream::None => Ok(0),
            }
        };
        let count = tokio::select! {
            biased;
            ended = stopped(&self.stop) => return Err(ended),
            result = timeout(patience, read) => result.map_err(|_| Ended::Silent)??,
        };
        if count == 0 { Err(Ended::Peer) } else { Ok(()) }
    }

    /// Adds to the output. Nothing is written yet.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let most = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        self.output.extend_from_slice(bytes.get(..most).unwrap_or_default());
        if let Some(left) = &mut self.left {
            *left -= most;
        }
    }

    /// Writes the output if much has gathered.
    pub async fn ease(&mut self) -> Result<(), Ended> {
        if self.output.len() >= OUTPUT_HIGH { self.flush().await } else { Ok(()) }
    }

    /// Writes the output. Cancel-safe.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        while !self.output.is_empty() {
            if let Some(pause) = self.pace {
                self.pause(pause).await?;
            }
            let chunk = if self.pace.is_some() { 1 } else { self.output.len() };
            let chunk = self.output.get(..chunk).unwrap_or_default();
            let write = async {
                match &mut self.stream {
                    Stream::Plain(tcp) => tcp.write(chunk).await,
                    Stream::Tls(tls) => {
                        let count = tls.write(chunk).await?;
                        tls.flush().await?;
                        Ok(count)
                    }
                    Stream::None => Ok(0),
                }
            };
            let count = timeout(WRITE, write).await.map_err(|_| Ended::Silent)??;
            if count == 0 {
                return Err(Ended::Peer);
            }
            self.output.advance(count);
        }
        if self.left == Some(0) { Err(Ended::Severed) } else { Ok(()) }
    }

    /// To be called when a reply is complete: this is where a fault that lets one reply out closes the connection.
    pub async fn reply_complete(&mut self) -> Result<(), Ended> {
        if self.left.is_none() {
            return Ok(());
        }
        self.flush().await?;
        Err(Ended::Severed)
    }

    async fn pause(&self, time: Duration) -> Result<(), Ended> {
        tokio::select! {
            biased;
            ended = stopped(&self.stop) => Err(ended),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Never speaks again; ends when the peer or the server does.
    pub async fn hang(&mut self) -> Ended {
        loop {
            self.input.clear();
            if let Err(ended) = self.fill(Duration::from_hours(24)).await {
                return ended;
            }
        }
    }

    /// Does what a fault asks for. `answer` turns the text of [`Action::Reply`] into the protocol's bytes.
    pub async fn act(&mut self, action: Action, answer: impl FnOnce(&str) -> String) -> Result<Next, Ended> {
        match action {
            Action::Reply(text) => self.push(answer(&text)),
            Action::Raw(bytes, then) => {
                self.push(bytes);
                self.flush().await?;
                match then {
                    Then::GoOn => {}
                    Then::Close => return Err(Ended::Severed),
                    Then::Hang => return Err(self.hang().await),
                }
            }
            Action::Close => {
                self.flush().await?;
                return Err(Ended::Severed);
            }
            Action::Hang => {
                self.flush().await?;
                return Err(self.hang().await);
            }
            Action::Delay(time) => {
                self.flush().await?;
                self.pause(time).await?;
                return Ok(Next::Go);
            }
            Action::Tarpit(pause) => {
                self.flush().await?;
                self.pace = Some(pause);
                return Ok(Next::Go);
            }
            Action::CutReply(bytes) => {
                self.flush().await?;
                self.left = Some(bytes);
                return Ok(Next::Go);
            }
            Action::Before(bytes) => {
                self.push(bytes);
                return Ok(Next::Go);
            }
        }
        Ok(Next::Answered)
    }

    /// Says the last words and closes in order.
    pub async fn close(mut self) {
        let farewell = async {
            if self.flush().await.is_ok() {
                let _ = match &mut self.stream {
                    Stream::Plain(tcp) => tcp.shutdown().await,
                    Stream::Tls(tls) => tls.shutdown().await,
                    Stream::None => Ok(()),
                };
            }
        };
        let _ = timeout(Duration::from_secs(1), farewell).await;
    }

    /// Closes without last words, and without TLS's `close_notify`.
    pub async fn sever(mut self) {
        let _ = match &mut self.stream {
            Stream::Plain(tcp) => tcp.shutdown().await,
            Stream::Tls(tls) => tls.get_mut().0.shutdown().await,
            Stream::None => Ok(()),
        };
    }
}
