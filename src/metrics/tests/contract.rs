//! Names, types, labels and buckets are what dashboards and rules rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use super::reader::Read;
use super::*;

const LATENCY: &str = "0.1 0.25 0.5 1 2 3 5 7.5 10 15 20 30 45 60 90 120 180 300 600 900 1800 3600 inf";
const PHASE: &str = "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 inf";
const LAG: &str = "0.01 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 300 inf";

/// Name, type, labels; a histogram's third word is its buckets.
const CONTRACT: &str = "
maildt_probe_results_total counter recipient,result
maildt_probes_missing_total counter recipient
maildt_probes_late_total counter recipient
maildt_probes_duplicate_total counter recipient
maildt_probes_misrouted_total counter recipient
maildt_probes_skipped_total counter recipient
maildt_probes_sent_total counter recipient
maildt_send_failures_total counter reason,recipient
maildt_delivery_latency_seconds histogram recipient
maildt_last_delivery_latency_seconds gauge recipient
maildt_last_success_timestamp_seconds gauge recipient
maildt_last_send_timestamp_seconds gauge recipient
maildt_next_probe_timestamp_seconds gauge recipient
maildt_recipient_state gauge recipient,state
maildt_recipient_info gauge domain,mailbox,recipient,sender
maildt_recipient_interval_seconds gauge recipient
maildt_recipient_alert_threshold_seconds gauge recipient
maildt_recipient_active gauge recipient
maildt_probes_in_flight gauge recipient
maildt_submission_delay_seconds histogram sender
maildt_send_duration_seconds histogram sender
maildt_send_phase_duration_seconds histogram phase,sender
maildt_detection_lag_seconds histogram mailbox
maildt_folder_placements_total counter folder,recipient
maildt_auth_results_total counter method,recipient,result
maildt_last_hop_delay_seconds gauge hop,recipient
maildt_tls_certificate_not_after_timestamp_seconds gauge account,protocol
maildt_imap_up gauge folder,mailbox
maildt_imap_last_sync_timestamp_seconds gauge folder,mailbox
maildt_imap_connection_failures_total counter mailbox,reason
maildt_foreign_tokens_total counter mailbox
maildt_notifications_total counter channel
maildt_notification_failures_total counter channel
maildt_incidents_open gauge kind
maildt_scheduler_lag_seconds histogram -
maildt_db_connections gauge state
maildt_db_acquire_duration_seconds histogram -
maildt_db_errors_total counter operation
maildt_active gauge -
maildt_build_info gauge revision,version
maildt_config_last_reload_successful gauge -
process_cpu_seconds_total counter -
process_resident_memory_bytes gauge -
process_virtual_memory_bytes gauge -
process_threads gauge -
process_open_fds gauge -
process_max_fds gauge -
process_start_time_seconds gauge -
";

#[test]
fn the_documentation_lists_each_metric_as_it_is() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let is_metric = |line: &&str| ["| `maildt_", "| `process_"].iter().any(|start| line.starts_with(start));
    let documented: BTreeSet<String> = page
        .lines()
        .filter(is_metric)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            format!("{} {} {}", cells[1].trim_matches('`'), cells[2], cells[3].replace(' ', ""))
        })
        .collect();
    let there: BTreeSet<String> =
        CONTRACT.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(documented, there);
}

#[test]
fn names_types_and_labels_are_those_of_the_contract() {
    let read = Read::of(&text_of(&filled(), Format::Text));
    let mut found = BTreeSet::new();
    for (name, kind) in &read.types {
        let family = read.samples.iter().filter(|sample| {
            let suffix = sample.name.strip_prefix(name.as_str());
            suffix.is_some_and(|suffix| ["", "_sum", "_count", "_bucket"].contains(&suffix))
        });
        let labels: BTreeSet<&str> = family
            .flat_map(|sample| sample.labels.keys())
            .map(String::as_str)
            .filter(|key| *key != "le")
            .collect();
        let labels: Vec<&str> = labels.into_iter().collect();
        found.insert(format!(
            "{name} {kind} {}",
            if labels.is_empty() { "-".to_owned() } else { labels.join(",") }
        ));
    }
    let expected: BTreeSet<String> = CONTRACT.trim().lines().map(str::to_owned).collect();
    assert_eq!(found, expected);
    for name in read.types.keys() {
        assert!(
            read.samples.iter().any(|sample| sample.name.starts_with(name.as_str())),
            "{name} has no sample"
        );
    }
}

#[test]
fn buckets_are_those_of_the_contract() {
    let read = Read::of(&text_of(&filled(), Format::Text));
    let mut found: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for sample in read.samples.iter().filter(|sample| sample.labels.contains_key("le")) {
        let le: f64 = sample.labels["le"].parse().unwrap();
        found.entry(&sample.name).or_default().insert(le.to_bits());
    }
    let expected = [
        ("maildt_delivery_latency_seconds_bucket", LATENCY),
        ("maildt_submission_delay_seconds_bucket", LATENCY),
        ("maildt_send_duration_seconds_bucket", PHASE),
        ("maildt_send_phase_duration_seconds_bucket", PHASE),
        ("maildt_db_acquire_duration_seconds_bucket", PHASE),
        ("maildt_detection_lag_seconds_bucket", LAG),
        ("maildt_scheduler_lag_seconds_bucket", LAG),
    ];
    let bits = |list: &str| list.split(' ').map(|bound| bound.parse::<f64>().unwrap().to_bits()).collect();
    assert_eq!(found, expected.into_iter().map(|(name, list)| (name, bits(list))).collect());
}

#[test]
fn promtool_finds_no_fault() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool must be installed for this test (Debian: apt-get install prometheus)");
    let text = text_of(&filled(), Format::Text);
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn a_new_recipient_has_its_counters_at_0_and_no_last_values() {
    let metrics = metrics();
    metrics.register_recipient(RecipientId(1), &named("new"));
    let read = Read::of(&text_of(&metrics, OPEN_METRICS));
    let r = ("recipient", "new");
    for verdict in Verdict::ALL {
        assert_eq!(read.value("maildt_probe_results_total", &[r, ("result", verdict.as_str())]), Some(0.0));
    }
    for name in ["missing", "late", "duplicate", "misrouted", "skipped", "sent"] {
        assert_eq!(read.value(&format!("maildt_probes_{name}_total"), &[r]), Some(0.0), "{name}");
    }
    assert_eq!(read.value("maildt_delivery_latency_seconds_count", &[r]), Some(0.0));
    assert_eq!(read.value("maildt_delivery_latency_seconds_bucket", &[r, ("le", "+Inf")]), Some(0.0));
    assert_eq!(read.value("maildt_recipient_state", &[r, ("state", "pending")]), Some(1.0));
    assert_eq!(read.value("maildt_recipient_interval_seconds", &[r]), Some(300.0));
    assert_eq!(read.value("maildt_recipient_alert_threshold_seconds", &[r]), Some(90.0));
    assert_eq!(read.value("maildt_recipient_active", &[r]), Some(1.0));
    assert_eq!(read.value("maildt_probes_in_flight", &[r]), Some(0.0));
    // No domain where the name is not the address.
    assert_eq!(
        read.value("maildt_recipient_info", &[r, ("sender", "default"), ("mailbox", "default")]),
        Some(1.0)
    );
    assert_eq!(read.of_recipient("new").len(), 51, "only these");
}

#[test]
fn exactly_one_state_is_1() {
    let metrics = metrics();
    let recipient = metrics.register_recipient(RecipientId(1), &named("r"));
    for standing in Standing::ALL {
        recipient.set_standing(standing);
        let read = Read::of(&text_of(&metrics, Format::Text));
        for state in Standing::ALL {
            let labels = [("recipient", "r"), ("state", state.as_str())];
            let expected = f64::from(u8::from(state == standing));
            assert_eq!(read.value("maildt_recipient_state", &labels), Some(expected));
        }
    }
}

#[test]
fn no_recipient_has_more_than_60_series() {
    let metrics = metrics();
    let id = RecipientId(1);
    let recipient = metrics.register_recipient(id, &named("r"));
    fill_recipient(&recipient, id, crate::clock::now());
    recipient.hop_delays(&[Duration::from_secs(1); 12]);
    let count = |metrics| Read::of(&text_of(metrics, Format::Text)).of_recipient("r").len();
    assert_eq!(count(&metrics), 60);
    for method in [AuthMethod::Spf, AuthMethod::Dkim, AuthMethod::Dmarc] {
        for result in [AuthResult::Pass, AuthResult::Fail, AuthResult::None, AuthResult::Error] {
            recipient.auth_result(method, result);
        }
    }
    assert_eq!(count(&metrics), 60);
    recipient.placement(Placement::Inbox);
    recipient.send_failure(Reason::Connect);
    recipient.send_failure(Reason::Timeout);
    let read = Read::of(&text_of(&metrics, Format::Text));
    assert_eq!(read.of_recipient("r").len(), 60);
    for reason in ["smtp_4xx", "connect", "timeout"] {
        let labels = [("recipient", "r"), ("reason", reason)];
        assert!(read.value("maildt_send_failures_total", &labels).is_some(), "{reason} must never yield");
    }
}
