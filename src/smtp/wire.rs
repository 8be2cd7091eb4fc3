//! The stream that lettre speaks over: between its connection and TLS or TCP.
//!
//! lettre writes commands and parses replies; this side sees to what it leaves open. A reply is bounded, belongs to the
//! command before it, and is kept as it came, so that the [`Ledger`] and not lettre's error tells what happened; lettre
//! gets it in a form that it can digest. A message and its final dot go out together, and it is known whether they did.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::smtp::ledger::{Fault, Ledger, Sending};

/// How lettre ends a message.
const FINAL_DOT: &[u8] = b"\r\n.\r\n";
/// How much of a message goes out in one write together with the final dot: one TLS record. What comes before it cannot
/// end the message, so a failure there is not ambiguous.
const LAST_WRITE: usize = 16 * 1024;

/// See the module.
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    ledger: Ledger,
    /// The last reply as lettre gets it, and how much of it was taken.
    digest: Vec<u8>,
    digested: usize,
    outbox: Vec<u8>,
    sent: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self {
            stream,
            peer,
            ledger: Ledger::default(),
            digest: Vec::new(),
            digested: 0,
            outbox: Vec::new(),
            sent: 0,
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Waits for the greeting. lettre reads it once more from here.
    pub(super) async fn greeting(&mut self) -> Result<u16, Fault> {
        let code = poll_fn(|cx| self.poll_reply(cx)).await?;
        self.digest_reply();
        Ok(code)
    }

    /// After STARTTLS there is no second greeting (RFC 3207, section 4.2), but lettre waits for one.
    pub(super) fn without_greeting(mut self) -> Self {
        self.digest.extend_from_slice(b"220 TLS\r\n");
        self
    }

    /// One command without lettre, for what comes before TLS.
    pub(super) async fn command(&mut self, command: impl fmt::Display) -> Result<u16, Fault> {
        self.ledger.begin(Sending::Command);
        self.digested = self.digest.len();
        let text = command.to_string();
        let written = async {
            self.write_all(text.as_bytes()).await?;
            self.flush().await
        };
        if let Err(error) = written.await {
            return Err(self.ledger.entries().fault.take().unwrap_or_else(|| Fault::from(error)));
        }
        poll_fn(|cx| self.poll_reply(cx)).await
    }

    /// The bare stream, to be wrapped in TLS. Anything that came after the reply to STARTTLS was written by someone who is
    /// not under TLS, and must not be read as if it were (RFC 3207, section 6; CVE-2011-0411).
    pub(super) async fn into_stream(mut self) -> Result<S, Fault> {
        self.ledger.begin(Sending::Command);
        poll_fn(|cx| {
            let looked = self.poll_early(cx);
            Poll::Ready(looked)
        })
        .await?;
        let quiet = !self.ledger.entries().early;
        if quiet { Ok(self.stream) } else { Err(Fault::Unsolicited) }
    }

    /// Reads until there is a whole reply.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<u16, Fault>> {
        let mut entries = self.ledger.entries();
        let entries = &mut *entries;
        loop {
            if let Some((code, length)) = entries.scanner.scan(&entries.inbox)? {
                // What a server says before it is asked can only mean that it will not do it, such as a 421 on its way
                // down. Anything positive would be taken for the reply to the wrong command.
                if entries.early && code < 400 {
                    return Poll::Ready(Err(Fault::Unsolicited));
                }
                entries.reply = Some((code, length));
                return Poll::Ready(Ok(code));
            }
            ready!(fill(&mut self.stream, &mut entries.inbox, cx))?;
        }
    }

    /// Whether the server has spoken or gone since its last reply, as far as can be told without waiting.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let mut entries = self.ledger.entries();
        let entries = &mut *entries;
        if entries.inbox.is_empty()
            && let Poll::Ready(result) = fill(&mut self.stream, &mut entries.inbox, cx)
        {
            result?;
        }
        entries.early = !entries.inbox.is_empty();
        Ok(())
    }

    fn poll_send(&mut self, sending: Sending, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if sending == Sending::Message && !self.outbox.ends_with(FINAL_DOT) {
            // lettre flushes before it writes the dot; dot-stuffed text cannot end like this by itself.
            return Poll::Ready(Ok(()));
        }
        if self.sent == 0 {
            self.poll_early(cx)?;
        }
        if !self.ledger.entries().early {
            ready!(self.poll_outbox(sending, cx))?;
        }
        self.outbox.clear();
        self.sent = 0;
        self.ledger.entries().permit = None;
        Poll::Ready(Ok(()))
    }

    fn poll_outbox(&mut self, sending: Sending, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let head = match sending {
            Sending::Message => self.outbox.len().saturating_sub(LAST_WRITE),
            Sending::Command => 0,
        };
        while self.sent < self.outbox.len() {
            let end = if self.sent < head { head } else { self.outbox.len() };
            if sending == Sending::Message && end == self.outbox.len() {
                self.ledger.entries().dot.handed_over = true;
            }
            let part = self.outbox.get(self.sent..end).unwrap_or_default();
            match ready!(Pin::new(&mut self.stream).poll_write(cx, part))? {
                0 => return Poll::Ready(Err(Fault::Lost(io::ErrorKind::WriteZero.into()))),
                written => self.sent += written,
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if sending == Sending::Message {
            self.ledger.entries().dot.written_at = Some(Instant::now());
        }
        Poll::Ready(Ok(()))
    }

    fn digest_reply(&mut self) {
        self.digest.clear();
        self.digested = 0;
        let digest = &mut self.digest;
        self.ledger.reply(|raw| raw.digest(digest));
    }

    /// Notes a fault for the ledger; lettre gets an error that says nothing.
    fn fail(&mut self, fault: Fault) -> io::Error {
        self.ledger.entries().fault.get_or_insert(fault);
        io::Error::other("noted")
    }
}

/// Appends what can be read to the inbox. An end of the stream is a fault: nothing ends before the client says so.
fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    let mut bytes = [0; 2048];
    let mut buffer = ReadBuf::new(&mut bytes);
    let end = || if inbox.is_empty() { Fault::Closed } else { Fault::Truncated };
    match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(end())),
        Ok(()) => {
            inbox.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(()))
        }
        // TLS cut off without close_notify; the server is gone all the same.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Err(end())),
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.digested >= this.digest.len() {
            if let Err(fault) = ready!(this.poll_reply(cx)) {
                return Poll::Ready(Err(this.fail(fault)));
            }
            this.digest_reply();
        }
        let rest = this.digest.get(this.digested..).unwrap_or_default();
        let (now, _) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.digested += now.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// Takes all; [`AsyncWrite::poll_flush`] sends.
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outbox.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() {
            return Pin::new(&mut self.stream).poll_flush(cx);
        }
        let permit = self.ledger.entries().permit;
        let Some(sending) = permit else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match ready!(self.poll_send(sending, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(fault) => Poll::Ready(Err(self.fail(fault))),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Without what is in flight: it may hold credentials.
impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Wire<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
