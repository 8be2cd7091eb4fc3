//! Looking at a folder: everything that may be a probe is examined, or the look did not happen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::imap::error::Error;
use crate::imap::interest::{may_be_report, mentions_probe};
use crate::imap::session::{Message, Opened, Section, Session};
use crate::imap::uids::Uids;

use super::super::view::Announced;
use super::folder::{Visit, Watcher};
use super::{Event, Found, MessageRef, Resume};

/// How many messages are fetched by one command.
const BATCH: usize = 200;
/// How many bodies are fetched by one command.
const BODIES: usize = 50;
/// How many messages of the last days are fetched all; of more, only those that the server finds by their header.
const FETCH_ALL_MAX: usize = 2_000;
/// How far below its watermark an earlier process's work is done again: it may have died before it was committed.
const RESUME_SLACK: u32 = 1_000;
/// INTERNALDATE is in the server's time zone and by its clock (RFC 3501: SINCE disregards time and zone).
const DATE_SLACK: SignedDuration = SignedDuration::from_hours(48);
/// Ranges of examined UIDs kept.
const RANGES_MAX: usize = 10_000;
/// How often a look is repeated when messages vanish under it.
const REPEATS: u32 = 3;

/// What was looked at, under one UIDVALIDITY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    uidvalidity: u32,
    /// The watermark: a complete look has covered everything below.
    next_uid: u32,
    /// Below this nothing of ours can be: it was there, or was searched, before we began to watch.
    floor: u32,
    /// Which messages from the floor on were fetched and examined.
    examined: Uids,
}

/// A possible report whose body is still to be fetched.
struct Suspect {
    message: Message,
    announced: Announced,
}

impl Watcher {
    /// The first look after the folder was opened: settles where to begin, then looks at everything from there.
    pub(super) async fn first_look(
        &mut self,
        session: &mut Session,
        visit: &mut Visit,
        opened: &Opened,
    ) -> Result<(), Error> {
        let uid_next = match opened.uid_next {
            Some(uid_next) => uid_next,
            None if opened.exists == 0 => 1,
            None => session.search("UID *").await?.last().map_or(1, |&last| last.saturating_add(1)),
        };
        let uidvalidity = opened.uidvalidity;
        // A UIDNEXT that went back under the same UIDVALIDITY: restored from a backup. New messages get numbers that we
        // would take for known ones.
        let holds = |known: u32, next_uid: u32| known == uidvalidity && next_uid <= uid_next;
        if !self.known.as_ref().is_some_and(|known| holds(known.uidvalidity, known.next_uid)) {
            self.releases.clear();
            let look_back = self.setting.outlook.look_back();
            let resume = self.resume.filter(|resume| holds(resume.uidvalidity, resume.next_uid));
            let begin = match (self.known.is_none().then_some(resume).flatten(), look_back) {
                (Some(Resume { next_uid, .. }), None) => Known::new(uidvalidity, next_uid, next_uid),
                (Some(Resume { next_uid, .. }), Some(_)) => {
                    Known::new(uidvalidity, next_uid, next_uid.saturating_sub(RESUME_SLACK).max(1))
                }
                (None, None) => Known::new(uidvalidity, uid_next, uid_next),
                (None, Some(oldest)) => self.look_back(session, visit, uid_next, oldest).await?,
            };
            if self.known.is_some() || self.resume.is_some() && resume.is_none() {
                let (mailbox, folder) = (&*visit.place.mailbox, &*visit.place.name);
                warn!(
                    mailbox,
                    folder,
                    uidvalidity,
                    "the folder's messages were renumbered: looked for every open probe again"
                );
            }
            // Only now: a look back that failed in its middle has to be done again.
            self.known = Some(begin);
            self.resume = None;
        }
        self.full_look(session, visit).await
    }

    /// Nothing is known about this folder, but probes are open: examines what arrived since the first of them was sent.
    async fn look_back(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        uid_next: u32,
        oldest: Timestamp,
    ) -> Result<Known, Error> {
        let since = since(oldest);
        let mut uids = session.search(&since).await?;
        let mut floor = 1;
        if uids.len() > FETCH_ALL_MAX {
            let total = uids.len();
            let (mailbox, folder) = (&*visit.place.mailbox, &*visit.place.name);
            info!(
                mailbox,
                folder,
                messages = total,
                "many messages since the oldest open probe: searching their headers"
            );
            let ours = "OR OR HEADER X-MailDT-Probe \"v1.\" SUBJECT \"MAILDT-PROBE\" \
                        OR HEADER Message-ID \"v1.\" FROM \"MAILER-DAEMON\"";
            match session.search(&format!("{since} {ours}")).await {
                Ok(found) => {
                    uids = found;
                    floor = uid_next;
                }
                // It cannot search headers: then all of them are fetched.
                Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut known = Known::new(visit.opening.uidvalidity, uid_next, floor);
        self.examine(session, visit, &mut known, &uids).await?;
        Ok(known)
    }

    /// A look that trusts no announcement. In a round it also looks below the watermark, at messages that were not
    /// examined yet: a server may show a message late.
    pub(super) async fn full_look(&mut self, session: &mut Session, visit: &mut Visit) -> Result<(), Error> {
        let (round, started) = (self.setting.outlook.round(), Instant::now());
        let in_round = round > visit.round || visit.last_look.is_none();
        let mut repeats = 0;
        loop {
            match self.try_full_look(session, visit, in_round).await {
                Err(error) if error.is_expunge_issued() && repeats < REPEATS => repeats += 1,
                other => break other?,
            }
        }
        visit.round = round;
        let interval = self.setting.check_interval.min(self.setting.limits.idle);
        visit.next_full_look = started + interval.max(Duration::from_millis(10));
        self.complete(visit, started).await
    }

    async fn try_full_look(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        in_round: bool,
    ) -> Result<(), Error> {
        let Some(mut known) = self.known.take() else {
            return Err(Error::Protocol("no folder is open".to_owned()));
        };
        let looked = self.look_from_watermark(session, visit, &mut known, in_round).await;
        self.known = Some(known);
        looked
    }

    async fn look_from_watermark(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        known: &mut Known,
        in_round: bool,
    ) -> Result<(), Error> {
        session.noop().await?;
        let announced = Instant::now();
        let mut uids = Vec::new();
        if let Some(oldest) =
            self.setting.outlook.look_back().filter(|_| in_round && known.floor < known.next_uid)
        {
            let criteria = format!("UID {}:{} {}", known.floor, known.next_uid - 1, since(oldest));
            uids = session.search(&criteria).await?;
        }
        let next_uid = known.next_uid;
        // `n:*` always includes the last message (RFC 3501, section 6.4.8), and not every server heeds a range's bounds.
        let new = session.search(&format!("UID {next_uid}:*")).await?;
        uids.retain(|&uid| uid < next_uid && uid >= known.floor);
        uids.extend(new.into_iter().filter(|&uid| uid >= next_uid));
        self.examine(session, visit, known, &uids).await?;
        known.covered_up_to(uids.last().copied());
        session.view.looked(announced);
        Ok(())
    }

    /// The server has announced messages: they are fetched at once.
    pub(super) async fn look_at_news(
        &mut self,
        session: &mut Session,
        visit: &mut Visit,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let Some(mut known) = self.known.take() else {
            return Err(Error::Protocol("no folder is open".to_owned()));
        };
        let looked = self.fetch_news(session, visit, &mut known, started).await;
        self.known = Some(known);
        match looked {
            // The full look that follows covers it.
            Err(error) if error.is_expunge_issued() => {
                visit.next_full_look = started;
                Ok(())
            }
            Err(error) => Err(error),
            // It shows what the server has told of, and that may be older than this look.
            Ok(()) => self.complete(visit, session.told_up_to).await,
        }
    }

    async fn fetch_news(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        known: &mut Known,
        started: Instant,
    ) -> Result<(), Error> {
        let next_uid = known.next_uid;
        let last = if usize::try_from(session.view.growth()).unwrap_or(usize::MAX) <= BATCH {
            let mut examined = Vec::new();
            self.fetch(session, visit, known, &format!("{next_uid}:*"), next_uid, &mut examined).await?;
            examined.into_iter().max()
        } else {
            let mut uids = session.search(&format!("UID {next_uid}:*")).await?;
            uids.retain(|&uid| uid >= next_uid);
            self.examine(session, visit, known, &uids).await?;
            uids.last().copied()
        };
        known.covered_up_to(last);
        session.view.looked(started);
        Ok(())
    }

    /// Fetches and examines those of `uids` that were not examined yet.
    async fn examine(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        known: &mut Known,
        uids: &[u32],
    ) -> Result<(), Error> {
        let wanted: Vec<u32> = uids.iter().copied().filter(|&uid| !known.examined.contains(uid)).collect();
        for batch in wanted.chunks(BATCH) {
            let set: Uids = batch.iter().copied().collect();
            self.fetch(session, visit, known, &set.to_string(), 1, &mut Vec::new()).await?;
        }
        Ok(())
    }

    /// Fetches the headers of `set` and tells what mentions a probe. `examined` gets the UIDs from `first` on.
    async fn fetch(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        known: &mut Known,
        set: &str,
        first: u32,
        examined: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let mut suspects = Vec::new();
        let mut running = session.fetch(set, Section::Header).await?;
        while let Some(message) = session.next_message(&mut running).await? {
            if message.uid < first || known.examined.contains(message.uid) {
                continue;
            }
            examined.push(message.uid);
            let unannounced = Announced { read_at: message.read_at, silent_until: session.completed_at() };
            let announced = session.view.announced(message.sequence).unwrap_or(unannounced);
            if may_be_report(&message.section) {
                suspects.push(Suspect { message, announced });
            } else if mentions_probe(&message.section) {
                self.found(visit, &message, None, announced).await?;
            }
        }
        for some in suspects.chunks(BODIES) {
            self.fetch_bodies(session, visit, some).await?;
        }
        for &uid in examined.iter() {
            known.examined.insert(uid);
        }
        Ok(())
    }

    /// A report tells in its body which message it is about.
    async fn fetch_bodies(
        &mut self,
        session: &mut Session,
        visit: &Visit,
        suspects: &[Suspect],
    ) -> Result<(), Error> {
        let set: Uids = suspects.iter().map(|suspect| suspect.message.uid).collect();
        let mut running = session.fetch(&set.to_string(), Section::Whole).await?;
        while let Some(body) = session.next_message(&mut running).await? {
            let Some(suspect) = suspects.iter().find(|suspect| suspect.message.uid == body.uid) else {
                continue;
            };
            if mentions_probe(&body.section) || mentions_probe(&suspect.message.section) {
                self.found(visit, &suspect.message, Some(body.section), suspect.announced).await?;
            }
        }
        Ok(())
    }

    async fn found(
        &self,
        visit: &Visit,
        message: &Message,
        body: Option<Bytes>,
        announced: Announced,
    ) -> Result<(), Error> {
        let found = Found {
            place: Arc::clone(&visit.place),
            message: MessageRef {
                folder: Arc::clone(&visit.place.folder),
                uidvalidity: visit.opening.uidvalidity,
                uid: message.uid,
            },
            internal_date: message.internal_date,
            header: message.section.clone(),
            body,
            seen_at: announced.read_at,
            silent_until: announced.silent_until,
            previous_look: visit.last_look,
            covered_since: visit.last_look.map(|_| visit.opened_at),
        };
        self.tell(Event::Found(Box::new(found))).await
    }

    async fn complete(&mut self, visit: &mut Visit, started: Instant) -> Result<(), Error> {
        visit.last_look = Some(started);
        let resume = self
            .known
            .as_ref()
            .map(|known| Resume { uidvalidity: known.uidvalidity, next_uid: known.next_uid });
        let place = Arc::clone(&visit.place);
        self.synced(&place, visit.round, started, visit.opened_at, resume).await
    }
}

impl Known {
    fn new(uidvalidity: u32, next_uid: u32, floor: u32) -> Self {
        Self { uidvalidity, next_uid, floor, examined: Uids::default() }
    }

    /// A look that is complete has seen messages up to `last`.
    fn covered_up_to(&mut self, last: Option<u32>) {
        self.next_uid = self.next_uid.max(last.map_or(0, |last| last.saturating_add(1)));
        if let Some(known_from) = self.examined.limit(RANGES_MAX) {
            self.floor = self.floor.max(known_from);
        }
    }
}

/// The search key for what arrived since `oldest`, generously.
fn since(oldest: Timestamp) -> String {
    let from = oldest.checked_sub(DATE_SLACK).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("SINCE {}", from.strftime("%d-%b-%Y"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_back_two_days_more() {
        assert_eq!(since("2026-11-02T01:00:00Z".parse().unwrap()), "SINCE 31-Oct-2026");
    }

    #[test]
    fn forgetting_what_was_examined_raises_the_floor() {
        let mut known = Known::new(1, 5, 1);
        (1..=RANGES_MAX).for_each(|n| known.examined.insert(u32::try_from(n * 2).unwrap()));
        known.covered_up_to(Some(3));
        assert_eq!((known.next_uid, known.floor), (5, 1));
        known.examined.insert(1_000_000);
        known.covered_up_to(Some(1_000_000));
        assert_eq!((known.next_uid, known.floor), (1_000_001, 3));
    }
}
