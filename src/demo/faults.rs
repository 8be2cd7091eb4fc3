//! Faults on demand: rules that say where, for whom, how often and what.
//!
//! A [`Rule`] is added to [`Faults`] at any time and works from the next command on. At a protocol point the first rule
//! that applies decides; at a delivery all rules that apply work together.
//!
//! ```ignore
//! // Refuse the first two attempts for one recipient.
//! faults.add(Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 Greylisted")).to("a@b.test").times(2));
//! // Store the next message, but lose the connection instead of answering.
//! faults.add(Rule::smtp(SmtpPoint::Saved, Action::Close).times(1));
//! // Let every third message vanish after the 250.
//! faults.add(Rule::delivery(Fate::Drop).cycle(2, 1));
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A moment in an SMTP session (RFC 5321) at which a rule can step in. Unless it says otherwise, the moment is after
/// the command was read and before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpPoint {
    /// Before the greeting (on the implicit-TLS port: after the handshake).
    Connect,
    /// After accept, before a byte is read or written, TLS included.
    Accept,
    /// EHLO or HELO.
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    /// DATA, before its 354.
    Data,
    /// After the final dot, before anything is stored: a closed connection loses the message.
    Body,
    /// After the message was stored, before the reply: a closed connection does not lose the message.
    Saved,
    Rset,
    Noop,
    Quit,
}

/// A moment in an IMAP session (RFC 3501), after the command was read and before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImapPoint {
    /// Before the greeting (on the implicit-TLS port: after the handshake).
    Connect,
    /// After accept, before a byte is read or written, TLS included.
    Accept,
    Capability,
    StartTls,
    /// LOGIN and AUTHENTICATE.
    Login,
    /// SELECT and EXAMINE.
    Select,
    /// CLOSE and UNSELECT.
    Close,
    List,
    Status,
    Append,
    Search,
    Fetch,
    Store,
    /// EXPUNGE and UID EXPUNGE.
    Expunge,
    /// COPY and MOVE.
    Copy,
    Noop,
    /// IDLE, before its `+`.
    Idle,
    /// Something is to be announced in IDLE.
    IdleNews,
    /// DONE was read.
    IdleDone,
    Logout,
}

/// What happens to the connection after [`Action::Raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It goes on with the next command.
    GoOn,
    Close,
    /// Nothing more is ever said.
    Hang,
}

/// What a rule does at a point of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answers this and does not do the command. SMTP: the whole reply, several lines if need be
    /// (`550-5.7.1 no\r\n550 5.7.1 never`). IMAP: `NO text` or `BAD text`, the tag is put before it; before the greeting:
    /// the whole line.
    Reply(String),
    /// Writes these bytes and does not do the command.
    Raw(Vec<u8>, Then),
    /// Closes the connection and does not do the command.
    Close,
    /// Does not do the command and never speaks again.
    Hang,
    /// Does the command after this time.
    Delay(Duration),
    /// Does the command; from now on each byte is written alone, after this pause.
    Tarpit(Duration),
    /// Does the command, writes at most so many bytes of the reply, and closes the connection.
    CutReply(usize),
    /// Writes these bytes, then does the command as usual.
    Before(Vec<u8>),
}

impl Action {
    #[must_use]
    pub fn reply(text: impl Into<String>) -> Self {
        Self::Reply(text.into())
    }

    /// Refuses an IMAP command with NO.
    #[must_use]
    pub fn no(text: &str) -> Self {
        Self::Reply(format!("NO {text}"))
    }

    /// Does the command, replies, and then closes the connection.
    #[must_use]
    pub fn close_after() -> Self {
        Self::CutReply(usize::MAX)
    }

    /// Announces an IMAP literal of 4 GiB and never sends it.
    #[must_use]
    pub fn huge_literal() -> Self {
        Self::Raw(b"* 1 FETCH (UID 1 FLAGS () BODY[HEADER] {4294967295}\r\n".to_vec(), Then::Hang)
    }

    /// Bytes that are no protocol at all, then the command as usual.
    #[must_use]
    pub fn garbage() -> Self {
        Self::Before(b"\x00\xff\xfe* (((( {9}\"\r\r\n%$ \x80garbage\r\n".to_vec())
    }

    /// An SMTP reply whose text alone has `length` bytes, in one line.
    #[must_use]
    pub fn huge_reply(code: u16, length: usize) -> Self {
        let mut bytes = format!("{code} ").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes.extend_from_slice(b"\r\n");
        Self::Raw(bytes, Then::GoOn)
    }
}

/// What becomes of one accepted message for one recipient. Without any: it is saved in the INBOX at once.
///
/// [`Fate::Bounce`], [`Fate::AutoReply`] and [`Fate::Forward`] take the place of the message; [`Fate::Hold`] and
/// [`Fate::Folder`] then apply to what takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It vanishes.
    Drop,
    /// It is held this long before it is saved.
    Hold(Duration),
    /// As [`Fate::Hold`], for a time between the two, evenly spread over the messages.
    HoldBetween(Duration, Duration),
    /// It is saved in this folder instead of INBOX.
    Folder(String),
    /// It is saved in the mailbox of another account.
    Account(String),
    /// So many copies are saved.
    Copies(u32),
    /// It is saved, but for this long neither EXISTS nor SEARCH nor FETCH shows it. Its UID is that of the moment of
    /// saving, so it may appear below others. No well-behaved server does that.
    Hide(Duration),
    /// The return path gets a delivery status notification (RFC 3464).
    Bounce {
        /// Enhanced status code, as `5.1.1`.
        status: String,
        /// What the remote server is said to have answered.
        diagnostic: String,
    },
    /// The return path gets an automatic reply (RFC 3834) with the Subject and In-Reply-To of the message.
    AutoReply,
    /// The recipient's mailbox gets a new message with the old one's Subject and header quoted in its body, as the
    /// Forward button of a mail client makes it.
    Forward,
}

/// A lasting oddity of the IMAP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// IDLE is neither offered nor understood.
    NoIdle,
    /// UIDPLUS is neither offered nor understood.
    NoUidPlus,
    /// STARTTLS is neither offered nor understood, in SMTP and IMAP.
    NoStartTls,
    /// In IDLE nothing is ever announced; DONE is answered.
    SilentIdle,
    /// In IDLE nothing is ever announced, and DONE is not answered either.
    DeadIdle,
    /// What is new at the start of IDLE is announced before the `+`.
    ExistsBeforeContinuation,
}

/// What is known at the moment when a rule is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene<'a> {
    /// Number of the connection, from 1, over all ports.
    pub connection: u64,
    /// Who has logged in; at a login: who tries to.
    pub user: Option<&'a str>,
    /// Reverse-path, from MAIL on; empty for `<>`.
    pub mail_from: Option<&'a str>,
    /// At RCPT and at a delivery the one recipient, later in the transaction all accepted ones.
    pub recipients: &'a [String],
    /// The IMAP folder selected or named.
    pub folder: Option<&'a str>,
    /// The message, from the final dot on.
    pub raw: Option<&'a [u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Smtp(SmtpPoint, Action),
    Imap(ImapPoint, Action),
    Delivery(Fate),
    Quirk(Quirk),
}

type Condition = Box<dyn Fn(&Scene<'_>) -> bool + Send + Sync>;

/// Which of the matching occasions a rule uses.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Every,
    First(u32),
    /// From `from` on, up to `length`, in each round of `length` occasions; or before `from`, if `early`.
    Cycle {
        length: u32,
        from: u32,
        early: bool,
    },
    Within(Duration),
}

#[derive(Clone, Copy)]
struct Visits {
    count: u32,
    first: Instant,
}

/// One fault: where, for whom, how often and what.
pub struct Rule {
    fault: Fault,
    conditions: Vec<Condition>,
    turn: Turn,
    each: bool,
    visits: HashMap<String, Visits>,
    hits: u64,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("conditions", &self.conditions.len())
            .field("turn", &self.turn)
            .field("each", &self.each)
            .field("hits", &self.hits)
            .finish_non_exhaustive()
    }
}

impl Rule {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            conditions: Vec::new(),
            turn: Turn::Every,
            each: false,
            visits: HashMap::new(),
            hits: 0,
        }
    }

    #[must_use]
    pub fn smtp(point: SmtpPoint, action: Action) -> Self {
        Self::new(Fault::Smtp(point, action))
    }

    #[must_use]
    pub fn imap(point: ImapPoint, action: Action) -> Self {
        Self::new(Fault::Imap(point, action))
    }

    #[must_use]
    pub fn delivery(fate: Fate) -> Self {
        Self::new(Fault::Delivery(fate))
    }

    #[must_use]
    pub fn quirk(quirk: Quirk) -> Self {
        Self::new(Fault::Quirk(quirk))
    }

    /// Only if the condition holds. It is called under a lock: it must be quick and must not call [`Faults`].
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Scene<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Box::new(condition));
        self
    }

    /// Only for this recipient.
    #[must_use]
    pub fn to(self, address: impl Into<String>) -> Self {
        let address = address.into();
        self.when(move |scene| scene.recipients.iter().any(|r| r.eq_ignore_ascii_case(&address)))
    }

    /// Only for recipients with this local part.
    #[must_use]
    pub fn to_local_part(self, local: impl Into<String>) -> Self {
        let local = local.into();
        self.when(move |scene| {
            let local_part =
                |r: &str| r.rsplit_once('@').is_some_and(|(l, _)| l.eq_ignore_ascii_case(&local));
            scene.recipients.iter().any(|r| local_part(r))
        })
    }

    /// Only for this reverse-path.
    #[must_use]
    pub fn from(self, address: impl Into<String>) -> Self {
        let address = address.into();
        self.when(move |scene| scene.mail_from.is_some_and(|a| a.eq_ignore_ascii_case(&address)))
    }

    /// Only for sessions of this user.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        let user = user.into();
        self.when(move |scene| scene.user.is_some_and(|u| u.eq_ignore_ascii_case(&user)))
    }

    /// Only for this IMAP folder.
    #[must_use]
    pub fn folder(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.when(move |scene| scene.folder.is_some_and(|f| f.eq_ignore_ascii_case(&name)))
    }

    /// Only the first `count` times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.turn = Turn::First(count);
        self
    }

    /// Passes `pass` times, works `fire` times, and so on.
    #[must_use]
    pub fn cycle(mut self, pass: u32, fire: u32) -> Self {
        self.turn = Turn::Cycle { length: pass.saturating_add(fire).max(1), from: pass, early: false };
        self
    }

    /// Works `fire` times, passes `pass` times, and so on.
    #[must_use]
    pub fn alternate(mut self, fire: u32, pass: u32) -> Self {
        self.turn = Turn::Cycle { length: pass.saturating_add(fire).max(1), from: fire, early: true };
        self
    }

    /// Only until this long after the first occasion: with [`Rule::each`] what greylisting does.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.turn = Turn::Within(time);
        self
    }

    /// Counts (`times`, `cycle`, `within`) for each recipient by itself, in IMAP for each user.
    #[must_use]
    pub fn each(mut self) -> Self {
        self.each = true;
        self
    }

    fn applies(&mut self, scene: &Scene<'_>, now: Instant) -> bool {
        if !self.conditions.iter().all(|holds| holds(scene)) {
            return false;
        }
        let fires = if matches!(self.turn, Turn::Every) {
            true
        } else {
            let key = if self.each {
                scene.recipients.first().map(String::as_str).or(scene.user).unwrap_or_default()
            } else {
                ""
            };
            let visits =
                self.visits.entry(key.to_ascii_lowercase()).or_insert(Visits { count: 0, first: now });
            let before = visits.count;
            visits.count = visits.count.saturating_add(1);
            match self.turn {
                Turn::Every => true,
                Turn::First(count) => before < count,
                Turn::Cycle { length, from, early } => (before % length < from) == early,
                Turn::Within(time) => now.duration_since(visits.first) < time,
            }
        };
        self.hits += u64::from(fires);
        fires
    }
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

#[derive(Default)]
struct Inner {
    rules: Mutex<Vec<(RuleId, Rule)>>,
    count: AtomicUsize,
    next: AtomicU64,
}

/// All rules of one server. Clones are the same rules.
#[derive(Clone, Default)]
pub struct Faults(Arc<Inner>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|(_, rule)| rule)).finish()
    }
}

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) -> RuleId {
        let id = RuleId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let mut rules = self.lock();
        rules.push((id, rule));
        self.0.count.store(rules.len(), Ordering::Release);
        id
    }

    /// Removes a rule; false if there is none.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.lock();
        let before = rules.len();
        rules.retain(|(each, _)| *each != id);
        self.0.count.store(rules.len(), Ordering::Release);
        rules.len() < before
    }

    /// Removes all rules.
    pub fn clear(&self) {
        let mut rules = self.lock();
        rules.clear();
        self.0.count.store(0, Ordering::Release);
    }

    /// How often a rule has worked; 0 if it was removed.
    #[must_use]
    pub fn hits(&self, id: RuleId) -> u64 {
        self.lock().iter().find(|(each, _)| *each == id).map_or(0, |(_, rule)| rule.hits)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(RuleId, Rule)>> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first<T>(&self, scene: &Scene<'_>, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let now = Instant::now();
        self.lock().iter_mut().find_map(|(_, rule)| pick(&rule.fault).filter(|_| rule.applies(scene, now)))
    }

    pub(super) fn smtp(&self, point: SmtpPoint, scene: &Scene<'_>) -> Option<Action> {
        self.first(scene, |fault| match fault {
            Fault::Smtp(at, action) if *at == point => Some(action.clone()),
            _ => None,
        })
    }

    pub(super) fn imap(&self, point: ImapPoint, scene: &Scene<'_>) -> Option<Action> {
        self.first(scene, |fault| match fault {
            Fault::Imap(at, action) if *at == point => Some(action.clone()),
            _ => None,
        })
    }

    pub(super) fn quirk(&self, quirk: Quirk, scene: &Scene<'_>) -> bool {
        self.first(scene, |fault| (*fault == Fault::Quirk(quirk)).then_some(())).is_some()
    }

    pub(super) fn fates(&self, scene: &Scene<'_>) -> Vec<Fate> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let now = Instant::now();
        let mut fates = Vec::new();
        for (_, rule) in self.lock().iter_mut() {
            if let Fault::Delivery(fate) = &rule.fault {
                let fate = fate.clone();
                if rule.applies(scene, now) {
                    fates.push(fate);
                }
            }
        }
        fates
    }
}
