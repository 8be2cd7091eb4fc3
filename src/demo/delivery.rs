//! From an accepted message to the folders: fates are looked up for each recipient and carried out, now or later.

mod notices;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::Shared;
use super::faults::{Fate, Scene};
use super::ledger::{self, Moment, Saved};
use super::spool::{Account, Flags, INBOX, Message};

/// An accepted message on its way.
pub(super) struct Envelope {
    pub entry: ledger::Entry,
    pub id: String,
    pub connection: u64,
    /// What the client called itself.
    pub helo: String,
    /// As in "with ESMTPSA".
    pub protocol: &'static str,
    pub user: Option<String>,
    pub mail_from: String,
    pub rcpt_to: Vec<String>,
    pub raw: Bytes,
}

/// The fates of one message for one recipient, together.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    content: Content,
    folder: String,
    account: Option<String>,
    hold: Duration,
    hide: Option<Duration>,
    copies: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Message,
    Nothing,
    Bounce { status: String, diagnostic: String },
    AutoReply,
    Forward,
}

impl Plan {
    /// `number` decides the held time of [`Fate::HoldBetween`].
    fn new(fates: Vec<Fate>, number: u64) -> Self {
        let mut plan = Self {
            content: Content::Message,
            folder: INBOX.to_owned(),
            account: None,
            hold: Duration::ZERO,
            hide: None,
            copies: 1,
        };
        for fate in fates {
            match fate {
                Fate::Drop => plan.content = Content::Nothing,
                Fate::Hold(time) => plan.hold = plan.hold.saturating_add(time),
                Fate::HoldBetween(least, most) => {
                    plan.hold = plan.hold.saturating_add(spread(least, most, number));
                }
                Fate::Folder(name) => plan.folder = name,
                Fate::Account(name) => plan.account = Some(name),
                Fate::Copies(count) => plan.copies = count,
                Fate::Hide(time) => plan.hide = Some(time),
                Fate::Bounce { status, diagnostic } => plan.content = Content::Bounce { status, diagnostic },
                Fate::AutoReply => plan.content = Content::AutoReply,
                Fate::Forward => plan.content = Content::Forward,
            }
        }
        plan
    }
}

/// A time between the two that is the same for the same number and spread evenly over numbers (splitmix64).
fn spread(least: Duration, most: Duration, number: u64) -> Duration {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let permille = u32::try_from((z ^ (z >> 31)) % 1001).unwrap_or(0);
    least + most.saturating_sub(least) * permille / 1000
}

/// Delivers to all recipients; what is held is delivered by a task of its own.
pub(super) fn deliver(shared: &Arc<Shared>, envelope: Envelope) {
    let envelope = Arc::new(envelope);
    for recipient in &envelope.rcpt_to {
        let scene = Scene {
            connection: envelope.connection,
            user: envelope.user.as_deref(),
            mail_from: Some(&envelope.mail_from),
            recipients: std::slice::from_ref(recipient),
            folder: None,
            raw: Some(&envelope.raw),
        };
        let plan = Plan::new(shared.faults.fates(&scene), shared.next_number());
        if plan.content == Content::Nothing {
            continue;
        }
        if plan.hold.is_zero() {
            carry_out(shared, &envelope, recipient, &plan);
        } else {
            let (shared, envelope, recipient) =
                (Arc::clone(shared), Arc::clone(&envelope), recipient.clone());
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = shared.stop.cancelled() => {}
                    () = tokio::time::sleep(plan.hold) => carry_out(&shared, &envelope, &recipient, &plan),
                }
            });
        }
    }
}

fn carry_out(shared: &Arc<Shared>, envelope: &Envelope, recipient: &str, plan: &Plan) {
    let now = Moment::now();
    let date = rfc2822_date(now.wall);
    let notice = notices::Notice { host: &shared.options.hostname, envelope, recipient, date: &date };
    // Notices go to the return path; a null one gets none (RFC 5321 section 4.5.5).
    let (address, raw) = match &plan.content {
        Content::Nothing => return,
        Content::Message => (recipient, traced(shared, envelope, recipient, &envelope.id, &date)),
        Content::Forward => (recipient, notice.forward(&shared.new_id())),
        _ if envelope.mail_from.is_empty() => return,
        Content::Bounce { status, diagnostic } => {
            (envelope.mail_from.as_str(), notice.bounce(&shared.new_id(), status, diagnostic))
        }
        Content::AutoReply => (envelope.mail_from.as_str(), notice.auto_reply(&shared.new_id())),
    };
    let account =
        plan.account.as_deref().map_or_else(|| shared.spool.route(address), |n| shared.spool.account(n));
    let Some(account) = account else {
        tracing::debug!(address, "nobody here has this address; the message is dropped");
        return;
    };
    let mut raw = Bytes::from(raw);
    for copy in 0..plan.copies {
        if copy > 0 && plan.content == Content::Message {
            // Each delivery leaves a trace of its own: that is how a copy is told from the same message seen again.
            raw = Bytes::from(traced(shared, envelope, recipient, &shared.new_id(), &date));
        }
        let Some(saved) = save(shared, account, &plan.folder, raw.clone(), now.wall, plan.hide) else {
            return;
        };
        shared.ledger.saved(envelope.entry, Saved { recipient: recipient.to_owned(), ..saved });
    }
}

/// Saves one message; none if the account has too many folders.
pub(super) fn save(
    shared: &Arc<Shared>,
    account: &Arc<Account>,
    folder: &str,
    raw: Bytes,
    internal_date: Timestamp,
    hide: Option<Duration>,
) -> Option<Saved> {
    let folder = account.folder_or_new(folder)?;
    let at = Moment::now();
    let message = Message::new(raw, internal_date, at);
    let (validity, uid) = folder.save(message, Flags::default(), hide.is_some());
    let saved = Saved {
        recipient: String::new(),
        account: account.name.clone(),
        folder: folder.name.clone(),
        uid,
        at,
    };
    if let Some(time) = hide {
        let stop = shared.stop.clone();
        shared.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(time) => folder.reveal(validity, uid),
            }
        });
    }
    Some(saved)
}

/// The message with the trace that final delivery under a queue id adds (RFC 5321 section 4.4).
fn traced(shared: &Shared, envelope: &Envelope, recipient: &str, id: &str, date: &str) -> Vec<u8> {
    let Envelope { helo, protocol, mail_from, raw, .. } = envelope;
    let host = &shared.options.hostname;
    let extra = &shared.options.delivery_header;
    let trace = format!(
        "Return-Path: <{mail_from}>\r\n\
         {extra}\
         Received: from {helo} ([127.0.0.1])\r\n\tby {host} with {protocol} id {id}\r\n\tfor <{recipient}>; {date}\r\n"
    );
    [trace.as_bytes(), raw].concat()
}

fn rfc2822_date(at: Timestamp) -> String {
    rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn spread_stays_between_and_is_spread() {
        let (least, most) = (Duration::from_secs(3), Duration::from_secs(20));
        let times: Vec<_> = (0..1000).map(|n| spread(least, most, n)).collect();
        assert!(times.iter().all(|t| (least..=most).contains(t)));
        assert!(times.iter().min().unwrap() < &Duration::from_millis(3500));
        assert!(times.iter().max().unwrap() > &Duration::from_millis(19_500));
        assert_eq!(spread(most, least, 7), most);
    }

    #[test]
    fn fates_add_up() {
        let plan = Plan::new(
            vec![
                Fate::Hold(Duration::from_secs(1)),
                Fate::AutoReply,
                Fate::Folder("Junk".into()),
                Fate::Copies(2),
            ],
            0,
        );
        assert_eq!(plan.hold, Duration::from_secs(1));
        assert_eq!(plan.content, Content::AutoReply);
        assert_eq!((plan.folder.as_str(), plan.copies), ("Junk", 2));
    }
}
