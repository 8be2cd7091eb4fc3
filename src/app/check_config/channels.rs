//! The alert channels, looked at or tried with a test alert.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::database;
use crate::clock;
use crate::config::Config;
use crate::domain::alert::Channel;
use crate::notify::letter::Thread;
use crate::notify::text::{self, Desk};
use crate::notify::transport::{Look, Outcome, Parcel, Transport};

/// What helps against a refused webhook.
const NEW_WEBHOOK: &str = "it was deleted or its URL is wrong; make a new webhook in Discord (channel settings, \
                           Integrations, Webhooks) and put its URL into DISCORD_WEBHOOK_URL";

/// How a check ended.
enum Finding {
    Well(String),
    /// Nobody can tell.
    Unclear(String),
    Failed(String),
}

/// Prints one line for each channel. Tells whether all went well.
pub(super) async fn check(config: &Config, test_alerts: bool) -> bool {
    let channels = config.alerts.channels();
    if channels.is_empty() {
        println!(
            "WARN  alerts: nobody would hear of an incident; set DISCORD_WEBHOOK_URL or ALERT_MAIL_RECIPIENT"
        );
        return true;
    }
    // Together, as one that hangs holds up no other; printed in their order.
    let findings = join_all(channels.iter().map(|channel| examine(config, channel, test_alerts))).await;
    let mut well = true;
    for (channel, finding) in channels.iter().zip(findings) {
        let (word, text) = match finding {
            Finding::Well(text) => ("ok", text),
            Finding::Unclear(text) => ("WARN", text),
            Finding::Failed(text) => {
                well = false;
                ("FAIL", text)
            }
        };
        println!("{word:<5} alerts to {}: {text}", shown(channel));
    }
    well
}

fn shown(channel: &Channel) -> &str {
    match channel {
        Channel::Discord => "Discord",
        Channel::Email(address) => address,
    }
}

async fn examine(config: &Config, channel: &Channel, test_alert: bool) -> Finding {
    let transport = match Transport::open(channel, config) {
        Ok(transport) => transport,
        Err(reason) => return Finding::Failed(reason),
    };
    let finding = if test_alert {
        send_test(config, channel, &transport).await
    } else {
        match transport.look().await {
            Look::Works(text) => Finding::Well(text),
            Look::Refused(reason) => Finding::Failed(format!("{reason}: {NEW_WEBHOOK}")),
            Look::Unclear(reason) => Finding::Unclear(format!(
                "answered, but only to messages ({reason}); --test-alerts sends one"
            )),
            Look::Failed(reason) => Finding::Failed(reason),
        }
    };
    transport.close().await;
    finding
}

async fn send_test(config: &Config, channel: &Channel, transport: &Transport) -> Finding {
    let now = clock::now();
    let desk = Desk { now, tz: config.tz.clone(), public_url: config.public_url.url.clone() };
    let (random, domain): (u64, _) = (rand::random(), transport.domain());
    let mut parcel = Parcel {
        letter: text::test(&desk, shown(channel)),
        thread: Thread {
            message_id: format!("test.{random:016x}@{domain}"),
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
    match outcome {
        Outcome::Delivered => {
            Finding::Well(format!("a test alert was taken{}", vouch(config, channel).await))
        }
        Outcome::Busy(pause) => Finding::Failed(format!(
            "too many messages at the moment; try again in {} s",
            pause.as_secs_f64().ceil()
        )),
        Outcome::Refused(reason) => Finding::Failed(format!("{reason}: {NEW_WEBHOOK}")),
        Outcome::Malformed(reason) | Outcome::Failed(reason) => Finding::Failed(reason),
        Outcome::BrokenOff => Finding::Failed("broken off".to_owned()),
    }
}

/// Tells the running service that the channel works. It may have none, or one that held nothing against the channel.
async fn vouch(config: &Config, channel: &Channel) -> String {
    let Ok(store) = database::store(config) else { return String::new() };
    match store.channel_works(channel).await {
        Ok(true) => "; what the service held against the channel is over".to_owned(),
        Err(reason) if reason.is_outage() => format!(
            "; if the service had been refused by this channel, run this again while its database runs ({reason})"
        ),
        // Nothing was held against it, or there is no schema yet.
        Ok(false) | Err(_) => String::new(),
    }
}
