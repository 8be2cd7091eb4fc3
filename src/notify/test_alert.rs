//! A test alert: one message on one channel, sent at once and past the outbox, for whoever sets a channel up.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::letter::Thread;
use super::text::{self, Desk};
use super::transport::{Outcome, Parcel, Transport};
use crate::config::Config;
use crate::domain::alert::Channel;

/// What helps against a refused webhook.
const NEW_WEBHOOK: &str = "it was deleted or its URL is wrong; make a new webhook in Discord (channel settings, \
                           Integrations, Webhooks) and put its URL into DISCORD_WEBHOOK_URL";

/// A channel as people call it.
#[must_use]
pub fn shown(channel: &Channel) -> &str {
    match channel {
        Channel::Discord => "Discord",
        Channel::Email(address) => address,
    }
}

/// What one can do about a refusal by the channel, with the channel's own words before it.
#[must_use]
pub fn with_remedy(channel: &Channel, reason: &str) -> String {
    match channel {
        Channel::Discord => format!("{reason}: {NEW_WEBHOOK}"),
        Channel::Email(_) => reason.to_owned(),
    }
}

/// Sends a test alert to `channel`, which takes two tries at most, each within `limits.channel_send`. `random` tells it from
/// others.
///
/// # Errors
/// Why it was not taken, in the channel's own words where it has any; without secrets.
pub async fn send(config: &Config, channel: &Channel, now: Timestamp, random: u64) -> Result<(), String> {
    let transport = Transport::open(channel, config)?;
    let desk = Desk { now, tz: config.tz.clone(), public_url: config.public_url.url.clone() };
    let mut parcel = Parcel {
        letter: text::test(&desk, shown(channel)),
        thread: Thread {
            message_id: format!("test.{random:016x}@{}", transport.domain()),
            in_reply_to: None,
            references: Vec::new(),
        },
        plain: false,
        date: now,
    };
    let nobody = CancellationToken::new();
    let mut outcome = transport.send(&parcel, &nobody).await.outcome;
    if matches!(outcome, Outcome::Malformed(_)) {
        parcel.plain = true;
        outcome = transport.send(&parcel, &nobody).await.outcome;
    }
    transport.close().await;
    match outcome {
        Outcome::Delivered => Ok(()),
        Outcome::Busy(pause) => {
            Err(format!("too many messages at the moment; try again in {} s", pause.as_secs_f64().ceil()))
        }
        Outcome::Refused(reason) => Err(with_remedy(channel, &reason)),
        Outcome::Malformed(reason) | Outcome::Failed(reason) => Err(reason),
        Outcome::BrokenOff => Err("broken off".to_owned()),
    }
}
