//! One rule: for whom and how often.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::{Action, Fate, ImapPoint, Quirk, SmtpPoint};

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
pub(super) enum Fault {
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
    pub(super) fault: Fault,
    conditions: Vec<Condition>,
    turn: Turn,
    each: bool,
    visits: HashMap<String, Visits>,
    pub(super) hits: u64,
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

    /// Only if the condition holds. It is called under a lock: it must be quick and must not call [`Faults`](super::Faults).
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

    /// Whether it works on this occasion, which is counted.
    pub(super) fn applies(&mut self, scene: &Scene<'_>, now: Instant) -> bool {
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
