//! The metrics as their readers see them: as text, over HTTP and in a real Prometheus.

mod contract;
mod exposition;
mod listener;
mod prometheus;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::negotiation::OpenMetricsVersion;
use super::*;
use crate::domain::id::ProbeId;
use crate::domain::submission::{Phase, Reason};
use crate::domain::verdict::{Placement, Standing, Verdict};

const OPEN_METRICS: Format = Format::OpenMetrics(OpenMetricsVersion::V1_0_0);

/// Everything that a label must survive.
const AWKWARD: &str = "a \"quoted\" \\ back\\nslash\nnew line, comma {brace} # {x=\"y\"} 1 é 💌\r\t}";

fn metrics() -> Arc<Metrics> {
    let build = Build { version: "1.2.3", revision: "abcdef0" };
    Arc::new(Metrics::new(build, Timestamp::from_second(1_770_000_000).unwrap()))
}

fn named(name: &str) -> RecipientSettings {
    RecipientSettings {
        labels: RecipientLabels {
            name: name.to_owned(),
            domain: name.split_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default(),
            sender: "default".to_owned(),
            mailbox: "default".to_owned(),
        },
        interval: Duration::from_mins(5),
        threshold: Duration::from_secs(90),
        active: true,
    }
}

fn text_of(metrics: &Arc<Metrics>, format: Format) -> String {
    let mut exposition = Exposition::new(Arc::clone(metrics), format, Compression::Identity);
    let mut bytes = Vec::new();
    while let Some(chunk) = exposition.next_chunk().unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).unwrap()
}

/// Makes every series of one recipient, within the limit of series.
fn fill_recipient(recipient: &RecipientMetrics, id: RecipientId, at: Timestamp) {
    for (millis, random) in [(40, 1), (2_500, 2), (2_600, 3), (7_200_000, 4)] {
        recipient.delivered(Duration::from_millis(millis), ProbeId::new(1_770_000_000_000, id, random), at);
        recipient.sent();
    }
    recipient.result(Verdict::Delivered);
    recipient.result(Verdict::Missing);
    recipient.missing();
    recipient.late_arrival();
    recipient.duplicate();
    recipient.misrouted();
    recipient.skipped(3);
    recipient.send_failure(Reason::Smtp4xx);
    recipient.send_failure(Reason::Smtp4xx);
    recipient.placement(Placement::Junk);
    recipient.auth_result(AuthMethod::Dkim, AuthResult::Pass);
    recipient.hop_delays(&[Duration::from_millis(1_500)]);
    recipient.restore(LastValues {
        latency: None,
        success: Some(at),
        send: Some(at),
        next_probe: at.checked_add(Duration::from_mins(5)).ok(),
    });
    recipient.set_standing(Standing::Junk);
    recipient.change_in_flight(3);
    recipient.change_in_flight(-1);
}

/// Makes every series that is not a recipient's.
fn fill_service(metrics: &Metrics, at: Timestamp) {
    for name in ["default", AWKWARD] {
        let sender = metrics.sender(name);
        sender.submission_delay(Duration::from_millis(300));
        sender.send_duration(Duration::from_millis(250));
        sender.phase(Phase::FinalReply, Duration::from_millis(120));
        let mailbox = metrics.mailbox(name);
        mailbox.detection_lag(Duration::from_millis(45));
        mailbox.foreign_token();
        mailbox.connection_failure(ConnectionFailure::Auth);
        let folder = mailbox.folder(AWKWARD);
        folder.imap_up(true);
        folder.last_sync(at);
        metrics.certificate_not_after(name, Protocol::Smtp, 1_800_000_000);
        metrics.certificate_not_after(name, Protocol::Imap, 1_800_000_001);
        metrics.channel(name).notification();
        metrics.channel(name).failure();
    }
    metrics.set_incidents_open("missing", 2);
    metrics.scheduler_lag(Duration::from_millis(7));
    metrics.database().watch_pool(|| PoolConnections { idle: 3, active: 1 });
    metrics.database().acquired(Duration::from_millis(1));
    metrics.database().declare_operations(&["claim"]);
    metrics.database().error("record");
    metrics.set_active(true);
}

/// All kinds of series, with plain and with awkward labels.
fn filled() -> Arc<Metrics> {
    let metrics = metrics();
    let at = crate::clock::now();
    for (number, name) in ["someone@example.org", AWKWARD, "untouched"].into_iter().enumerate() {
        let id = RecipientId(i32::try_from(number).unwrap());
        let recipient = metrics.register_recipient(id, &named(name));
        if name != "untouched" {
            fill_recipient(&recipient, id, at);
        }
    }
    fill_service(&metrics, at);
    metrics
}
