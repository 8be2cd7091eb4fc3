//! The dead man's switch: somebody else's server is pinged as long as an alert would get out, and raises the alarm when the
//! pings end.

use std::sync::Arc;

use reqwest::Url;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::board::Board;
use super::transport::{failure, http_client};
use crate::complaint::Complaint;
use crate::config::Config;
use crate::metrics::Readiness;
use crate::metrics::readiness::DatabaseState;

/// Pings until it is dropped, while the database answers and not every channel is down. That it runs at all means that this
/// instance does the work.
pub async fn run(config: Arc<Config>, readiness: watch::Receiver<Readiness>, board: Arc<Board>) {
    let limits = &config.limits;
    let Some(url) = config.alerts.heartbeat.as_ref().and_then(|url| Url::parse(url.reveal()).ok()) else {
        return;
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut complaint = Complaint::default();
    let client = match http_client(&config.tls, limits, limits.channel_send) {
        Ok(client) => client,
        Err(reason) => return complaint.say(&reason, "the heartbeat cannot be sent"),
    };
    let mut beat = tokio::time::interval(limits.heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if readiness.borrow().database != DatabaseState::Ready || board.is_all_down() {
            continue;
        }
        let answer = client.get(url.clone()).send().await;
        let result = match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            // Not the reason phrase: it is the server's own words, and may repeat the path.
            Ok(status) => Err(format!("answered {}", status.as_u16())),
            Err(error) => Err(failure(error, limits.channel_send)),
        };
        match result {
            Ok(()) => complaint.over("the heartbeat is taken again"),
            Err(reason) => complaint.say(&format_args!("{host}: {reason}"), "the heartbeat was not taken"),
        }
    }
}
