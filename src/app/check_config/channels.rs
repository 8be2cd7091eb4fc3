//! The alert channels, looked at or tried with a test alert.

use futures_util::future::join_all;

use crate::app::database;
use crate::clock;
use crate::config::Config;
use crate::domain::alert::Channel;
use crate::notify::test_alert::{self, shown};
use crate::notify::transport::{Look, Transport};

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

async fn examine(config: &Config, channel: &Channel, test_alert: bool) -> Finding {
    if test_alert {
        let sending = Box::pin(test_alert::send(config, channel, clock::now(), rand::random()));
        return match sending.await {
            Ok(()) => Finding::Well(format!("a test alert was taken{}", vouch(config, channel).await)),
            Err(reason) => Finding::Failed(reason),
        };
    }
    let transport = match Transport::open(channel, config) {
        Ok(transport) => transport,
        Err(reason) => return Finding::Failed(reason),
    };
    let finding = match transport.look().await {
        Look::Works(text) => Finding::Well(text),
        Look::Refused(reason) => Finding::Failed(test_alert::with_remedy(channel, &reason)),
        Look::Unclear(reason) => {
            Finding::Unclear(format!("answered, but only to messages ({reason}); --test-alerts sends one"))
        }
        Look::Failed(reason) => Finding::Failed(reason),
    };
    transport.close().await;
    finding
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
