//! The parts of the service: this instance, its database, the senders and the mailboxes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::clock;
use crate::config::{Account, Config, Database, Mailbox};
use crate::domain::alert::{Incident, Kind, Scope};
use crate::domain::probe::between;
use crate::metrics::readiness::{Role, WatcherState};
use crate::metrics::{Metrics, Protocol, Readiness};
use crate::store::{HealthData, SendFault, SenderHealth};
use crate::web::health::{Condition, Part};
use crate::web::words;

/// Two clocks that differ by more are worth a word.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
/// A lease that was not renewed for so long: nobody works.
const LEASE_STALE: Duration = Duration::from_mins(1);

/// What the parts are read from.
pub struct View<'a> {
    pub config: &'a Config,
    pub readiness: &'a Readiness,
    pub metrics: &'a Metrics,
    pub health: &'a HealthData,
    /// The open incidents.
    pub open: &'a [&'a Incident],
}

impl View<'_> {
    /// Database time.
    pub fn now(&self) -> Timestamp {
        self.health.sample.time
    }

    /// Whether it is this instance that works.
    pub fn is_active(&self) -> bool {
        self.readiness.role == Role::Active
    }

    pub fn all(&self) -> Vec<Part> {
        let mut parts = vec![self.instance(), self.configuration(), self.database()];
        parts.extend(self.config.senders.iter().map(|(name, sender)| self.sender(name, &sender.account)));
        for (name, mailbox) in &self.config.mailboxes {
            self.mailbox(name, mailbox, &mut parts);
        }
        parts
    }

    fn instance(&self) -> Part {
        let mut part = Part::new("This instance", host());
        let now = self.now();
        let lease = self.health.lease;
        let since = lease.and_then(|lease| lease.taken_at);
        match self.readiness.role {
            Role::Starting => part.complain(Condition::Doubtful, html! { "It is starting." }),
            Role::Active => part.say(html! {
                "Active: it does the work" @if let Some(since) = since { " since " (time(since)) } "."
            }),
            Role::Standby => {
                part.say(html! {
                    "Stands by: another instance does the work" @if let Some(since) = since { " since " (time(since)) }
                    ", and takes turns with this one when it ends."
                });
                if let Some(lease) = lease {
                    let words =
                        html! { "Its last sign of life was " (words::ago(lease.renewed_at, now)) "." };
                    let is_stale = between(lease.renewed_at, now) > LEASE_STALE;
                    part.complain(if is_stale { Condition::Ill } else { Condition::Well }, words);
                }
            }
        }
        part
    }

    fn configuration(&self) -> Part {
        let mut part = Part::new("Configuration", "");
        match &self.readiness.reload {
            None => part.say(html! { "As it was read at the start." }),
            Some(reload) => {
                match &reload.refused {
                    None => part.say(html! { "Read again at " (time(reload.at)) "." }),
                    Some(reason) => part.complain(
                        Condition::Ill,
                        html! {
                            "What was to be read at " (time(reload.at)) " was refused, so that nothing changed: "
                            span.bad { @for line in reason.lines() { (line) br; } }
                        },
                    ),
                }
                if reload.waits_for_start {
                    let text = "Some of it takes effect at the next start: DATABASE_URL, DATA_DIR, LISTEN, METRICS_LISTEN, \
                                LOG_LEVEL or LOG_FORMAT has changed.";
                    part.complain(Condition::Doubtful, html! { (text) });
                }
            }
        }
        let warnings = self.config.warnings_at(clock::now()).count();
        if warnings > 0 {
            part.say(html! { a href="#warnings" { (words::count(warnings, "warning", "warnings")) } "." });
        }
        part
    }

    fn database(&self) -> Part {
        let health = self.health;
        let place = match &self.config.database {
            Database::Private => format!("private, in {}", self.config.data_dir.display()),
            Database::Url(_) => "by DATABASE_URL".to_owned(),
        };
        let mut part = Part::new("Database", place);
        part.say(html! {
            "PostgreSQL " (health.version.split(' ').next().unwrap_or_default()) ", schema " (health.schema)
            "; it answers in " (milliseconds(health.sample.took)) "."
        });
        part.say(html! {
            "About " (words::count(usize::try_from(health.probes).unwrap_or_default(), "probe", "probes"))
            @if let Some(oldest) = health.oldest_at { ", the oldest from " (time(oldest)) }
            "; " (octets(health.octets)) " with everything else."
            @if let Some(pool) = self.metrics.database().connections() {
                " Connections for the work: " (pool.active) " in use, " (pool.idle) " idle."
            }
        });
        let theirs = health.sample.time;
        let ours = clock::now().checked_sub(health.sample.at.elapsed()).unwrap_or(theirs);
        let (apart, word) = if theirs > ours {
            (between(ours, theirs), "ahead of")
        } else {
            (between(theirs, ours), "behind")
        };
        if apart > CLOCKS_DIFFER {
            let words = html! {
                "Its clock is " (words::span(apart)) " " (word) " that of this machine. Times here are the database's; see that both clocks are kept by NTP."
            };
            part.complain(Condition::Doubtful, words);
        } else {
            part.say(html! { "Its clock and ours agree to " (milliseconds(apart)) "." });
        }
        part
    }

    fn sender(&self, name: &str, account: &Account) -> Part {
        let mut part = Part::new(format!("Sender {name}"), format!("{} port {}", account.host, account.port));
        let known = self.health.senders.get(name);
        let incident = self.incident(Kind::SenderUnreachable, &Scope::Sender(Arc::from(name)));
        if let Some(incident) = incident {
            let words =
                html! { span.bad { (words::evidence(&incident.details.latest)) } " " (case_link(incident)) };
            part.complain(Condition::Ill, words);
        }
        let SenderHealth { accepted_at, failed } = known.cloned().unwrap_or_default();
        match accepted_at {
            Some(at) => part.say(html! { "Took the last probe " (words::ago(at, self.now())) "." }),
            None if failed.is_some() => part.say(html! { "Took none of the last probes." }),
            None => part.complain(Condition::Unknown, html! { "No probe was sent with it yet." }),
        }
        if let Some(fault) = &failed {
            let is_newer = accepted_at.is_none_or(|at| fault.at > at);
            let is_its_own = fault.failure.phase.blames_sender();
            let state = if is_newer && is_its_own && incident.is_none() {
                Condition::Doubtful
            } else {
                Condition::Well
            };
            part.complain(
                state,
                html! { "Last failure " (words::ago(fault.at, self.now())) ": " (failure(fault)) },
            );
        }
        self.certificate(name, Protocol::Smtp, &mut part);
        part
    }

    /// A part for each folder; on an instance that does not watch, one for the mailbox.
    fn mailbox(&self, name: &str, mailbox: &Mailbox, parts: &mut Vec<Part>) {
        let place = format!("{} port {}", mailbox.account.host, mailbox.account.port);
        let mut watchers: Vec<&WatcherState> =
            self.readiness.watchers.iter().filter(|watcher| watcher.mailbox == name).collect();
        watchers.sort_by(|a, b| a.folder.cmp(&b.folder));
        let incident = self.incident(Kind::MailboxUnreachable, &Scope::Mailbox(Arc::from(name)));
        if watchers.is_empty() {
            let mut part = Part::new(format!("Mailbox {name}"), place);
            match incident {
                Some(incident) => part.complain(
                    Condition::Ill,
                    html! { span.bad { (words::evidence(&incident.details.latest)) } " " (case_link(incident)) },
                ),
                None if self.is_active() => {
                    part.complain(Condition::Unknown, html! { "It is being opened." });
                }
                None => part.complain(
                    Condition::Unknown,
                    html! { "The active instance watches it; no incident says that it cannot." },
                ),
            }
            parts.push(part);
            return;
        }
        for (number, watcher) in watchers.into_iter().enumerate() {
            let mut part = Part::new(format!("Mailbox {name}, {}", watcher.folder), place.clone());
            let detail = watcher.detail.as_deref().map(words::shortened).unwrap_or_default();
            if watcher.up {
                part.say(html! {
                    "Watched since " (time(watcher.since))
                    @if let Some(at) = watcher.last_sync { "; looked through " (words::ago(at, self.now())) } "."
                });
            } else {
                let words = html! {
                    "Cannot be looked into since " (time(watcher.since)) ": " span.bad { (words::sentence(&detail)) }
                    @if let Some(at) = watcher.last_sync { " The last look was complete " (words::ago(at, self.now())) "." }
                    @if let Some(incident) = incident { " " (case_link(incident)) }
                };
                part.complain(Condition::Ill, words);
            }
            if number == 0 {
                self.certificate(name, Protocol::Imap, &mut part);
            }
            parts.push(part);
        }
    }

    fn incident(&self, kind: Kind, scope: &Scope) -> Option<&Incident> {
        self.open.iter().copied().find(|incident| incident.kind == kind && incident.scope == *scope)
    }

    /// When the server's certificate expires, where this instance has seen one.
    fn certificate(&self, account: &str, protocol: Protocol, part: &mut Part) {
        let certificates: BTreeMap<_, _> = self.metrics.certificates();
        let not_after = certificates.get(&(Arc::from(account), protocol)).copied();
        let Some(not_after) = not_after.and_then(|at| Timestamp::from_second(at).ok()) else { return };
        let now = clock::now();
        let days = between(now, not_after).as_secs() / 86_400;
        let warn = u64::from(self.config.cert_warn_days);
        let date = not_after.strftime("%Y-%m-%d");
        if not_after <= now {
            part.complain(
                Condition::Ill,
                html! { span.bad { "Its certificate has expired on " (date) "." } },
            );
        } else if days < warn {
            let left = usize::try_from(days).unwrap_or_default();
            let words = html! {
                span.warn { "Its certificate expires on " (date) ", in " (words::count(left, "day", "days")) "." }
            };
            part.complain(Condition::Doubtful, words);
        } else {
            part.say(html! { "Certificate until " (date) " (" (words::thousands(usize::try_from(days).unwrap_or_default())) " days)." });
        }
    }
}

/// What this machine calls itself.
pub fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "a host without a name".to_owned())
}

fn failure(fault: &SendFault) -> String {
    let reason = words::reason(fault.failure.reason);
    match &fault.reply {
        Some(reply) => {
            let phase = fault.failure.phase.as_str().to_uppercase();
            words::sentence(&format!("{reason} at {phase}: {}", words::reply(reply)))
        }
        None if fault.failure.detail.is_empty() => words::sentence(reason),
        None => words::sentence(&format!("{reason}: {}", words::shortened(&fault.failure.detail))),
    }
}

fn case_link(incident: &Incident) -> Markup {
    html! { a href={ "/incidents?id=" (incident.id) } { "Incident since " (time(incident.details.since)) } }
}

/// A point in time that the script puts on the reader's clock.
pub fn time(at: Timestamp) -> Markup {
    html! { time datetime=(words::exact(at)) data-clock { (words::exact(at)) } }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}\u{a0}ms", duration.as_secs_f64() * 1000.0)
}

/// In the largest unit of 1024.
fn octets(number: i64) -> String {
    let number = u64::try_from(number).unwrap_or_default();
    match number {
        0..1_048_576 => format!("{}\u{a0}KiB", number >> 10),
        1_048_576..1_073_741_824 => format!("{}\u{a0}MiB", number >> 20),
        _ => format!("{}.{}\u{a0}GiB", number >> 30, ((number & 0x3fff_ffff) * 10) >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (number, text) in
            [(0, "0 KiB"), (1 << 20, "1 MiB"), ((1 << 30) + (1 << 29), "1.5 GiB"), (-1, "0 KiB")]
        {
            assert_eq!(octets(number), text.replace(' ', "\u{a0}"));
        }
        assert_eq!(milliseconds(Duration::from_micros(840)), "0.8\u{a0}ms");
    }
}
