//! A small IMAP server that misbehaves on demand. It understands just the commands that the watcher sends.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(super) const TOKEN: &str = "v1.0193e0d2-7a3c-8abc-9def-0123456789ab.abcdefghijklmnopqrstuvwxyz";

/// A header that mentions a probe.
pub(super) fn probe(n: u32) -> String {
    format!("Subject: MAILDT-PROBE: {TOKEN}\r\nX-Number: {n}\r\n\r\n")
}

#[derive(Clone)]
pub(super) struct Mail {
    pub uid: u32,
    pub header: String,
    pub body: String,
}

/// What a command gets instead of its usual answer.
#[derive(Clone)]
pub(super) enum Fault {
    /// This instead of `OK done`, after the usual data.
    Answer(&'static str),
    /// These lines instead of everything; `TAG` is replaced.
    Raw(String),
    /// These lines before everything else.
    Before(&'static str),
    /// A mail arrives and is announced before the answer begins, and not again.
    Arrival(String),
    Hang,
    HangUp,
}

pub(super) struct State {
    pub uidvalidity: u32,
    pub uid_next: u32,
    pub mails: Vec<Mail>,
    pub capabilities: &'static str,
    pub tells_uid_next: bool,
    pub folders: Vec<(&'static str, &'static str)>,
    /// By the beginning of the command; with how often it strikes.
    pub faults: HashMap<&'static str, (Fault, u32)>,
    /// Every command, without its tag.
    pub log: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    pub port: u16,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            uidvalidity: 7,
            uid_next: 1,
            mails: Vec::new(),
            capabilities: "IMAP4rev1 IDLE UIDPLUS",
            tells_uid_next: true,
            folders: vec![("", "INBOX")],
            faults: HashMap::new(),
            log: Vec::new(),
        };
        let fake = Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(Notify::new()),
            port: listener.local_addr().unwrap().port(),
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn fault(&self, command: &'static str, fault: Fault, times: u32) {
        self.state().faults.insert(command, (fault, times));
    }

    pub(super) fn count(&self, command: &str) -> usize {
        self.state().log.iter().filter(|line| line.starts_with(command)).count()
    }

    /// A mail arrives; idling sessions are told.
    pub(super) fn deliver(&self, header: &str) -> u32 {
        let uid = {
            let mut state = self.state();
            let uid = state.uid_next;
            state.uid_next += 1;
            state.mails.push(Mail { uid, header: header.to_owned(), body: String::new() });
            uid
        };
        self.changed.notify_waiters();
        uid
    }

    async fn serve(self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let _ = self.talk(BufReader::new(read), &mut write).await;
    }

    async fn talk(
        &self,
        mut read: BufReader<impl AsyncRead + Unpin>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Option<()> {
        if let Some(fault) = self.strike("GREETING") {
            if let Fault::Raw(text) = fault {
                write.write_all(text.as_bytes()).await.ok()?;
            }
            return None;
        }
        write.write_all(b"* OK ready\r\n").await.ok()?;
        let mut told = 0;
        let mut idle_tag = String::new();
        loop {
            let mut line = String::new();
            if read.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            // After an IDLE that a fault answered, its end is a line without a tag.
            let (tag, command) = line.split_once(' ').unwrap_or((idle_tag.as_str(), line));
            let tag = tag.to_owned();
            let tag = tag.as_str();
            if command == "IDLE" {
                tag.clone_into(&mut idle_tag);
            }
            self.state().log.push(command.to_owned());
            let fault = self.strike(command);
            match &fault {
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::HangUp) => return None,
                Some(Fault::Raw(text)) => {
                    write.write_all(text.replace("TAG", tag).as_bytes()).await.ok()?;
                    continue;
                }
                Some(Fault::Arrival(header)) => {
                    self.deliver(header);
                    told += 1;
                    write.write_all(format!("* {told} EXISTS\r\n").as_bytes()).await.ok()?;
                }
                Some(Fault::Before(text)) => write.write_all(text.as_bytes()).await.ok()?,
                Some(Fault::Answer(_)) | None => {}
            }
            if command == "AUTHENTICATE PLAIN" {
                write.write_all(b"+ \r\n").await.ok()?;
                let mut message = String::new();
                read.read_line(&mut message).await.ok()?;
                self.state().log.push(message.trim_end().to_owned());
            }
            if command == "IDLE" && !matches!(fault, Some(Fault::Answer(_))) {
                self.idle(&mut read, write, tag, &mut told).await?;
                continue;
            }
            let (data, usual) = self.answer(command, &mut told);
            let status = if let Some(Fault::Answer(answer)) = fault { answer } else { &usual };
            write.write_all(format!("{data}{tag} {status}\r\n").as_bytes()).await.ok()?;
            if command == "LOGOUT" {
                return None;
            }
        }
    }

    fn strike(&self, command: &str) -> Option<Fault> {
        let mut state = self.state();
        let (_, (fault, left)) =
            state.faults.iter_mut().find(|(key, (_, left))| command.starts_with(**key) && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }

    async fn idle(
        &self,
        read: &mut BufReader<impl AsyncRead + Unpin>,
        write: &mut (impl AsyncWrite + Unpin),
        tag: &str,
        told: &mut usize,
    ) -> Option<()> {
        write.write_all(b"+ idling\r\n").await.ok()?;
        loop {
            let changed = self.changed.notified();
            if let Some(Fault::HangUp) = self.strike("+") {
                return None;
            }
            let count = self.state().mails.len();
            if count != *told {
                *told = count;
                write.write_all(format!("* {count} EXISTS\r\n").as_bytes()).await.ok()?;
            }
            let mut byte = [0; 6];
            tokio::select! {
                () = changed => {}
                done = read.read_exact(&mut byte) => {
                    done.ok()?;
                    assert_eq!(&byte, b"DONE\r\n");
                    write.write_all(format!("{tag} OK idled\r\n").as_bytes()).await.ok()?;
                    return Some(());
                }
            }
        }
    }

    fn answer(&self, command: &str, told: &mut usize) -> (String, String) {
        let mut state = self.state();
        let mut data = String::new();
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["CAPABILITY"] => write!(data, "* CAPABILITY {}\r\n", state.capabilities).unwrap(),
            ["LIST", ..] => {
                for (attributes, name) in &state.folders {
                    write!(data, "* LIST ({attributes}) \"/\" \"{name}\"\r\n").unwrap();
                }
            }
            ["SELECT" | "EXAMINE", ..] => {
                *told = state.mails.len();
                write!(data, "* {told} EXISTS\r\n* OK [UIDVALIDITY {}] x\r\n", state.uidvalidity).unwrap();
                if state.tells_uid_next {
                    write!(data, "* OK [UIDNEXT {}] x\r\n", state.uid_next).unwrap();
                }
            }
            ["NOOP"] if state.mails.len() != *told => {
                *told = state.mails.len();
                write!(data, "* {told} EXISTS\r\n").unwrap();
            }
            ["UID", "SEARCH", criteria @ ..] => {
                data.push_str("* SEARCH");
                for uid in state.matching(criteria) {
                    write!(data, " {uid}").unwrap();
                }
                data.push_str("\r\n");
            }
            ["UID", "FETCH", set, ..] => {
                let is_header = command.contains("HEADER");
                for (index, mail) in
                    state.mails.iter().enumerate().filter(|(_, mail)| state.is_in(set, mail.uid))
                {
                    let text =
                        if is_header { mail.header.clone() } else { format!("{}{}", mail.header, mail.body) };
                    write!(
                        data,
                        "* {} FETCH (UID {} INTERNALDATE \"22-Nov-2026 13:00:00 +0000\" BODY[x]<0> {{{}}}\r\n{text})\r\n",
                        index + 1,
                        mail.uid,
                        text.len()
                    )
                    .unwrap();
                }
            }
            ["UID", "EXPUNGE", set] => {
                while let Some(index) = state.mails.iter().position(|mail| state.is_in(set, mail.uid)) {
                    state.mails.remove(index);
                    *told -= 1;
                    write!(data, "* {} EXPUNGE\r\n", index + 1).unwrap();
                }
            }
            _ => {}
        }
        (data, "OK done".to_owned())
    }
}

impl State {
    fn matching(&self, criteria: &[&str]) -> Vec<u32> {
        let uids = self.mails.iter().map(|mail| mail.uid);
        match criteria {
            ["UID", set, ..] => uids.filter(|&uid| self.is_in(set, uid)).collect(),
            // Every mail of this server arrived lately.
            ["SINCE", _] => uids.collect(),
            ["SINCE", _, ..] => self
                .mails
                .iter()
                .filter(|mail| mail.header.contains("MAILDT-PROBE"))
                .map(|mail| mail.uid)
                .collect(),
            _ => Vec::new(),
        }
    }

    fn is_in(&self, set: &str, uid: u32) -> bool {
        let last = self.mails.last().map_or(0, |mail| mail.uid);
        let number = |text: &str| if text == "*" { last } else { text.parse().unwrap() };
        set.split(',').any(|part| {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            let (a, b) = (number(a), number(b));
            // `n:*` is a range in any order: it includes the last message.
            (a.min(b)..=a.max(b)).contains(&uid)
        })
    }
}
