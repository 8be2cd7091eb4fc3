//! Mail from somebody else: what a test puts into a mailbox, by SMTP as all mail comes.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use super::wait::s;

/// A message, header and body as given.
#[derive(Clone, Debug)]
pub struct Letter {
    reverse_path: String,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Letter {
    /// An ordinary letter; more fields follow by [`Letter::field`].
    pub fn new(subject: &str) -> Self {
        let this = Self {
            reverse_path: "stranger@elsewhere.example".to_owned(),
            header: Vec::new(),
            body: b"Hello.\r\n".to_vec(),
        };
        this.field("From", "A Stranger <stranger@elsewhere.example>").field("Subject", subject)
    }

    /// A header field. The value is not checked: a test may want it wrong.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.header.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The null reverse-path, as notifications have it (RFC 5321, section 4.5.5).
    pub fn with_null_reverse_path(mut self) -> Self {
        self.reverse_path.clear();
        self
    }

    /// As it lies in a mailbox.
    pub fn bytes(&self) -> Vec<u8> {
        [self.header.as_slice(), b"\r\n", &self.body].concat()
    }

    /// Sends it to a port of 127.0.0.1.
    ///
    /// # Errors
    /// The reply that refused it, or how the connection failed.
    pub fn send(&self, port: u16, recipient: &str) -> Result<(), String> {
        self.dialogue(port, recipient).map_err(|e| e.to_string())
    }

    fn dialogue(&self, port: u16, recipient: &str) -> io::Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(s(20)))?;
        let mut dialogue = Dialogue { lines: BufReader::new(stream.try_clone()?), stream };
        dialogue.expect('2')?;
        dialogue.say("EHLO test.example", '2')?;
        dialogue.say(&format!("MAIL FROM:<{}>", self.reverse_path), '2')?;
        dialogue.say(&format!("RCPT TO:<{recipient}>"), '2')?;
        dialogue.say("DATA", '3')?;
        dialogue.stream.write_all(&on_the_wire(&self.bytes()))?;
        dialogue.expect('2')?;
        dialogue.say("QUIT", '2')
    }
}

/// Lines end by CRLF, leading dots are doubled, and the final dot ends it (RFC 5321, section 4.5.2).
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        wire.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

struct Dialogue {
    lines: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Dialogue {
    fn say(&mut self, command: &str, class: char) -> io::Result<()> {
        self.stream.write_all(format!("{command}\r\n").as_bytes())?;
        self.expect(class)
    }

    /// Reads a reply, of one or more lines, whose code begins with `class`.
    fn expect(&mut self, class: char) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line)?;
            if !line.starts_with(class) {
                return Err(io::Error::other(format!("the mail server said {line:?}")));
            }
            if line.get(3..4) != Some("-") {
                return Ok(());
            }
        }
    }
}

#[test]
fn a_letter_on_the_wire_has_crlf_and_doubled_dots() {
    assert_eq!(on_the_wire(b"a\n.b\r\n..\nend"), b"a\r\n..b\r\n...\r\nend\r\n.\r\n");
}
