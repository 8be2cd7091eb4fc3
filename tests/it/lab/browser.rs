//! Somebody who uses the admin UI: requests as a browser makes them, and the cookies it keeps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use tokio::net::TcpSocket;

use super::ground::runtime;
use super::wait::{Look, s};

/// What came back.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Page {
    /// The one header of this name; `None` where there is none or more than one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let first = found.next()?;
        found.next().is_none().then_some(&*first.1)
    }

    /// The whole answer as text, for a search in it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.headers {
            writeln!(text, "{key}: {value}").unwrap();
        }
        text.push_str(&self.body);
        text
    }

    pub fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header("location").unwrap()
    }
}

/// A browser with its cookies.
#[derive(Clone, Debug)]
pub struct Browser {
    address: SocketAddr,
    /// Its own address, 127.0.0.1 where nothing else is said.
    own: Ipv4Addr,
    pub cookies: BTreeMap<String, String>,
    /// Sent with each request.
    pub extra: Vec<(String, String)>,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, own: Ipv4Addr::LOCALHOST, cookies: BTreeMap::new(), extra: Vec::new() }
    }

    /// The same browser, at another address.
    pub fn moved(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// The same browser on another machine: 127.0.0.`last`.
    pub fn from(&self, last: u8) -> Self {
        Self { own: Ipv4Addr::new(127, 0, 0, last), ..self.clone() }
    }

    /// The same with a header of one's own.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut this = self.clone();
        this.extra.push((name.to_owned(), value.to_owned()));
        this
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Page {
        self.ask("GET", path, &[], b"").unwrap()
    }

    /// Sends a form from a page of the site itself.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.try_post(path, fields).unwrap()
    }

    pub fn try_post(&mut self, path: &str, fields: &[(&str, &str)]) -> Look<Page> {
        self.ask("POST", path, &[("Sec-Fetch-Site", "same-origin"), FORM], encode(fields).as_bytes())
    }

    /// Follows the server-sent events of a path; each line comes with the moment at which it was read.
    pub fn follow(&self, path: &str) -> mpsc::Receiver<(Instant, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, s(5)).unwrap();
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", self.address, pairs.join("; "));
        stream.write_all(head.as_bytes()).unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(stream).lines().map_while(Result::ok) {
                if tell.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        told
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        runtime().block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((self.own, 0).into())?;
            let stream = tokio::time::timeout(s(5), socket.connect(self.address)).await??.into_std()?;
            stream.set_nonblocking(false)?;
            Ok(stream)
        })
    }

    /// One request on a connection of its own.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Look<Page> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let own = self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = own.chain(headers.iter().copied()).collect();
        let host = self.address.to_string();
        if !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            write!(head, "Host: {host}\r\n").unwrap();
        }
        for (name, value) in all {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(head, "Cookie: {}\r\n", pairs.join("; ")).unwrap();
        }
        head.push_str("\r\n");
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = self.connect()?;
            stream.set_read_timeout(Some(s(40)))?;
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = exchange().map_err(|e| format!("{method} {path}: {e}"))?;
        let page = read(&bytes).ok_or_else(|| format!("{method} {path}: no answer: {bytes:?}"))?;
        for (name, line) in &page.headers {
            if name == "set-cookie" {
                let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
                if line.contains("Max-Age=0") {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(page)
    }
}

pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn read(bytes: &[u8]) -> Option<Page> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(Page { status, headers, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() })
}

/// As a browser encodes the fields of a form.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let text = |text: &str| -> String {
        let octet = |b: u8| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        };
        text.bytes().map(octet).collect()
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    pairs.join("&")
}
