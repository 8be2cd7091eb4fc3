//! Stands between the network and the client library: what comes through is whole, bounded and readable.
//!
//! The library reads ahead without a bound, ends the session at a response that it does not know, and panics at a few.
//! None of that reaches it. A response is a line, in which literals (RFC 3501, section 4.3) may stand: `{n}`, CRLF, n bytes, and the line goes
//! on. Sizes come from the other side, so they are checked before anything is allocated for them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::error::Error;
use super::response::{Outcome, Response, Untagged};
use super::screen;

/// The largest literal that we accept, in bytes. We ask for 64 KiB at most.
pub const LITERAL_MAX: u64 = 256 * 1024;
/// The longest line between literals, in bytes.
pub const LINE_MAX: usize = 64 * 1024;
/// The longest `* SEARCH` line, in bytes: UIDs of some three million messages.
pub const SEARCH_MAX: usize = 32 * 1024 * 1024;
/// The largest response with all its literals, in bytes.
pub const RESPONSE_MAX: usize = 1024 * 1024;
/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// Anything that IMAP can be spoken over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A response that is larger than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge(pub &'static str);

/// Finds the end of the first response in a growing buffer; looks at each byte once.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Everything before this was looked at.
    position: usize,
    /// Where the line, or its part after a literal, begins.
    line: usize,
    /// Bytes of the current literal still to come.
    literal: usize,
    /// No literal was met yet in this response.
    continued: bool,
}

impl Cutter {
    /// The length of the first response with its CRLF, once `buffer` holds all of it. Starts anew after that.
    ///
    /// # Errors
    /// As soon as a literal is announced, or a line has grown, beyond its bound.
    pub fn cut(&mut self, buffer: &[u8]) -> Result<Option<usize>, TooLarge> {
        loop {
            let rest = buffer.get(self.position..).unwrap_or_default();
            if self.literal > 0 {
                let here = self.literal.min(rest.len());
                self.literal -= here;
                self.position += here;
                if self.literal > 0 {
                    return Ok(None);
                }
                self.line = self.position;
                continue;
            }
            let Some(newline) = rest.iter().position(|&byte| byte == b'\n') else {
                self.position = buffer.len();
                self.check(buffer, buffer.len())?;
                return Ok(None);
            };
            let end = self.position + newline + 1;
            self.check(buffer, end)?;
            let line = buffer.get(self.line..end).unwrap_or_default();
            self.position = end;
            if !self.has_literals(buffer) {
                *self = Self::default();
                return Ok(Some(end));
            }
            match announced_literal(line) {
                None => {
                    *self = Self::default();
                    return Ok(Some(end));
                }
                Some(length) if length > LITERAL_MAX => return Err(TooLarge("a literal")),
                Some(length) => {
                    self.literal = usize::try_from(length).unwrap_or(usize::MAX);
                    self.line = end;
                    self.continued = true;
                }
            }
        }
    }

    /// How many bytes are known to be missing.
    fn missing(&self) -> usize {
        self.literal
    }

    fn check(&self, buffer: &[u8], end: usize) -> Result<(), TooLarge> {
        let is_search = !self.continued && starts_with(buffer, b"* SEARCH");
        let (line_max, max) = if is_search { (SEARCH_MAX, SEARCH_MAX) } else { (LINE_MAX, RESPONSE_MAX) };
        if end - self.line > line_max {
            return Err(TooLarge("a line"));
        }
        if end > max {
            return Err(TooLarge("a response"));
        }
        Ok(())
    }

    /// Status responses, tagged ones and continuation requests end in free text, where `{5}` is just text.
    fn has_literals(&self, buffer: &[u8]) -> bool {
        const STATUS: [&[u8]; 5] = [b"* OK ", b"* NO ", b"* BAD ", b"* BYE ", b"* PREAUTH "];
        self.continued
            || starts_with(buffer, b"* ") && !STATUS.iter().any(|status| starts_with(buffer, status))
    }
}

fn starts_with(buffer: &[u8], prefix: &[u8]) -> bool {
    buffer.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The length that a line announces at its end, if it does: `{n}` outside of a quoted string.
fn announced_literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n"))?;
    let before = line.strip_suffix(b"}")?;
    let open = before.iter().rposition(|&byte| byte == b'{')?;
    let digits = before.get(open + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || is_quoted(before.get(..open)?) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

/// Whether a quoted string is still open at the end of `text`.
fn is_quoted(text: &[u8]) -> bool {
    let mut open = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => open = !open,
            b'\\' if open => drop(bytes.next()),
            _ => {}
        }
    }
    open
}

/// A connection on which only whole, bounded responses come through, and only such as the client library can read.
pub struct Guard {
    stream: Box<dyn Stream>,
    incoming: BytesMut,
    cutter: Cutter,
    read_at: Instant,
    /// What is left to be passed of the response that was let through last.
    passing: Bytes,
    /// When the last part of that response was read.
    shown_at: Instant,
    /// A command, until it is flushed: one piece for the network, although it is written in several.
    outgoing: Vec<u8>,
    sent: usize,
    capabilities: Vec<String>,
    outcome: Option<Outcome>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("incoming", &self.incoming.len()).finish_non_exhaustive()
    }
}

impl Guard {
    pub fn new(stream: impl Stream + 'static) -> Self {
        let now = Instant::now();
        Self {
            stream: Box::new(stream),
            incoming: BytesMut::new(),
            cutter: Cutter::default(),
            read_at: now,
            passing: Bytes::new(),
            shown_at: now,
            outgoing: Vec::new(),
            sent: 0,
            capabilities: Vec::new(),
            outcome: None,
        }
    }

    /// When the response that came through last was read. Responses come through one at a time, so this is the time of
    /// the one that the client library has just given out.
    pub(super) fn last_read(&self) -> Instant {
        self.shown_at
    }

    /// What the server said last that it can do.
    pub(super) fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// What was said in the clear is void once there is TLS, and before a login it may differ from after.
    pub(super) fn forget_capabilities(&mut self) {
        self.capabilities.clear();
    }

    /// The last tagged status or BYE.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The bare stream, for the change to TLS. `None` when the server sent more than it was asked for: what stands
    /// there before the handshake would later be read as if it had been protected (RFC 3501, section 6.2.1).
    pub(super) fn into_stream(self) -> Option<Box<dyn Stream>> {
        (self.incoming.is_empty() && self.passing.is_empty()).then_some(self.stream)
    }

    fn let_through(&mut self, frame: &Bytes) -> Result<(), Error> {
        self.shown_at = self.read_at;
        let Some(passing) = screen::screened(frame)? else { return Ok(()) };
        if let Some(response) = screen::read(&passing) {
            match response {
                Response::Untagged(Untagged::Capability(capabilities)) => self.capabilities = capabilities,
                Response::Tagged(_, outcome) | Response::Untagged(Untagged::Status(outcome)) => {
                    if let Some(capabilities) = outcome.capabilities() {
                        self.capabilities = capabilities;
                    }
                    self.outcome = Some(outcome);
                }
                Response::Untagged(_) | Response::Continue => {}
            }
        }
        self.passing = passing;
        Ok(())
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.passing.is_empty() {
            let cut = this.cutter.cut(&this.incoming).map_err(|TooLarge(what)| {
                Error::Protocol(format!("the server sends {what} that is larger than we are ready to hold"))
            });
            if let Some(length) = cut.map_err(io::Error::other)? {
                let frame = this.incoming.split_to(length).freeze();
                this.let_through(&frame).map_err(io::Error::other)?;
                continue;
            }
            this.incoming.reserve(this.cutter.missing().max(CHUNK));
            if ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.incoming))? == 0 {
                return Poll::Ready(Ok(()));
            }
            this.read_at = Instant::now();
        }
        let part = this.passing.split_to(this.passing.len().min(out.remaining()));
        out.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(rest) = this.outgoing.get(this.sent..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.sent += written;
        }
        this.outgoing.clear();
        this.sent = 0;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn cut_all(mut input: &[u8]) -> Result<Vec<Vec<u8>>, TooLarge> {
        let mut cutter = Cutter::default();
        let mut out = Vec::new();
        while let Some(end) = cutter.cut(input)? {
            out.push(input[..end].to_vec());
            input = &input[end..];
        }
        Ok(out)
    }

    #[test]
    fn a_literal_belongs_to_its_response() {
        let input = b"* 1 FETCH (BODY[HEADER]<0> {9}\r\na\r\n* 2 \r\n UID 5)\r\n* 2 EXISTS\r\n";
        let out = cut_all(input).unwrap();
        assert_eq!(out.len(), 2);
        assert!(out[0].ends_with(b"UID 5)\r\n"));
    }

    #[test]
    fn a_literal_is_refused_when_it_is_announced() {
        let too_large = cut_all(b"* 1 FETCH (BODY[] {262145}\r\n");
        assert_eq!(too_large, Err(TooLarge("a literal")));
        assert_eq!(cut_all(b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n"), Err(TooLarge("a literal")));
        assert_eq!(cut_all(b"* 1 FETCH (BODY[] {262144}\r\n"), Ok(vec![]));
    }

    #[test]
    fn an_announcement_in_text_or_in_quotes_is_none() {
        for line in [
            "* OK see {99}\r\n",
            "* bye {99}\r\n",
            "A1 NO what {99}\r\n",
            "+ go {99}\r\n",
            "* LIST () \"/\" \"a\\\"{99}\r\n",
        ] {
            assert_eq!(cut_all(line.as_bytes()).unwrap().len(), 1, "{line}");
        }
        let hidden = b"* OK {100}\r\n* 1 FETCH (BODY[HEADER] {500000000}\r\n";
        assert_eq!(cut_all(hidden), Err(TooLarge("a literal")));
    }

    #[test]
    fn lines_and_responses_are_bounded() {
        assert_eq!(cut_all(&vec![b'x'; LINE_MAX + 1]), Err(TooLarge("a line")));
        let mut search = b"* SEARCH".to_vec();
        search.extend(b" 1234567".repeat(100_000));
        search.extend(b"\r\n");
        assert_eq!(cut_all(&search).unwrap().len(), 1, "100,000 messages");
        let literal = [format!("{{{LITERAL_MAX}}}\r\n").into_bytes(), vec![b'x'; 256 * 1024]].concat();
        let many = [b"* 1 FETCH (".to_vec(), literal.repeat(5)].concat();
        assert_eq!(cut_all(&many), Err(TooLarge("a response")));
    }

    fn guard(input: Vec<u8>) -> Guard {
        let (ours, mut theirs) = tokio::io::duplex(64);
        tokio::spawn(async move { theirs.write_all(&input).await });
        Guard::new(ours)
    }

    #[tokio::test]
    async fn an_endless_literal_and_endless_garbage_end_in_a_protocol_error() {
        for input in ["* 1 FETCH (BODY[] {4000000000}\r\n".to_owned(), "x".repeat(LINE_MAX * 2)] {
            let mut guard = guard(input.into_bytes());
            let error = guard.read_u8().await.unwrap_err().downcast::<Error>().unwrap();
            assert!(matches!(error, Error::Protocol(_)), "{error}");
            assert!(guard.incoming.capacity() < 4 * LINE_MAX, "{}", guard.incoming.capacity());
        }
    }

    #[tokio::test]
    async fn what_the_library_cannot_read_does_not_come_through() {
        let input = "* OK [ALERT]\u{e9}\r\n* METADATA \"\" (/\u{ff} x)\r\n* 1 FETCH (UID 2 INTERNALDATE NIL)\r\n* 3 EXISTS\r\n";
        let mut out = String::new();
        guard(input.into()).read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "* OK [ALERT] \u{e9}\r\n* 1 FETCH (UID 2)\r\n* 3 EXISTS\r\n");
    }

    #[tokio::test]
    async fn one_response_at_a_time() {
        let mut guard = guard(b"* 3 EXISTS\r\n* 4 EXISTS\r\n".to_vec());
        let mut out = [0; 100];
        assert_eq!(guard.read(&mut out).await.unwrap(), 12);
        assert_eq!(guard.read(&mut out).await.unwrap(), 12);
        assert_eq!(guard.read(&mut out).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_command_goes_out_in_one_piece() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut guard = Guard::new(ours);
        guard.write_all(b"A1 ").await.unwrap();
        guard.write_all(b"NOOP\r\n").await.unwrap();
        let mut out = [0; 100];
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(10), theirs.read(&mut out)).await.is_err()
        );
        guard.flush().await.unwrap();
        assert_eq!(theirs.read(&mut out).await.unwrap(), 9);
    }

    fn response() -> impl Strategy<Value = Vec<u8>> {
        let text = "[ -~&&[^{}\"]]{0,20}";
        let literal = prop::collection::vec(any::<u8>(), 0..300);
        let with_literals = prop::collection::vec((text, literal), 0..4).prop_map(|parts| {
            let mut out = b"* 1 FETCH (".to_vec();
            for (text, literal) in parts {
                out.extend(text.as_bytes());
                out.extend(format!("{{{}}}\r\n", literal.len()).as_bytes());
                out.extend(literal);
            }
            out.extend(b")\r\n");
            out
        });
        let status = "[ -~]{0,40}".prop_map(|text| format!("* OK {text}\r\n").into_bytes());
        prop_oneof![with_literals, status]
    }

    proptest! {
        #[test]
        fn responses_are_cut_where_they_end_however_they_arrive(
            responses in prop::collection::vec(response(), 0..6),
            steps in prop::collection::vec(1usize..50, 1..10),
        ) {
            let input = responses.concat();
            let mut cutter = Cutter::default();
            let (mut buffer, mut out, mut sent) = (Vec::new(), Vec::new(), 0);
            for step in steps.iter().cycle() {
                let end = (sent + step).min(input.len());
                buffer.extend(&input[sent..end]);
                sent = end;
                while let Some(end) = cutter.cut(&buffer).unwrap() {
                    out.push(buffer.drain(..end).collect::<Vec<u8>>());
                }
                if sent == input.len() {
                    break;
                }
            }
            prop_assert_eq!(out, responses);
        }

        #[test]
        fn no_input_makes_it_panic(input: Vec<u8>) {
            let _ = cut_all(&input);
        }
    }
}
