//! What the text says about the numbers, whatever the names, the format and the number of recipients.

use std::io::Read as _;

use proptest::prelude::*;

use super::reader::{Read, of};
use super::*;

/// Strings full of what an exposition gives meaning to.
fn awkward() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec!['"', '\\', '\n', 'n', '{', '}', '#', ' ', ',', '=', '\0', '\r']);
    let character = prop_oneof![special, any::<char>()];
    prop::collection::vec(character, 1..20).prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #[test]
    fn any_label_is_read_back(name in awkward(), sender in awkward(), folder in awkward(), counted in 1u64..9) {
        let metrics = metrics();
        let mut settings = named(&name);
        settings.labels.sender.clone_from(&sender);
        let recipient = metrics.register_recipient(RecipientId(1), &settings);
        recipient.delivered(Duration::from_secs(1), ProbeId::new(1, RecipientId(1), 1), crate::clock::now());
        recipient.skipped(counted);
        metrics.mailbox("m").folder(&folder).imap_up(true);
        let [open_metrics, text] = [OPEN_METRICS, Format::Text].map(|format| Read::of(&text_of(&metrics, format)));
        prop_assert_eq!(open_metrics.own_series(), text.own_series());
        let legible = |value: &str| value.replace('\0', "\u{fffd}");
        let (name, sender, folder) = (legible(&name), legible(&sender), legible(&folder));
        let skipped = text.value("maildt_probes_skipped_total", &[("recipient", &name)]);
        prop_assert_eq!(skipped.map(f64::to_bits), Some((f64::from(u8::try_from(counted).unwrap())).to_bits()));
        let info = text.samples.iter().find(|sample| sample.name == "maildt_recipient_info").unwrap();
        prop_assert_eq!(&info.labels["sender"], &sender);
        prop_assert!(text.value("maildt_imap_up", &[("mailbox", "m"), ("folder", &folder)]).is_some());
        prop_assert!(open_metrics.samples.iter().any(|sample| sample.exemplar.is_some()));
    }

    #[test]
    fn a_histogram_adds_up(latencies in prop::collection::vec(0u64..5_000_000, 0..50)) {
        let metrics = metrics();
        let recipient = metrics.register_recipient(RecipientId(1), &named("r"));
        for millis in &latencies {
            let probe = ProbeId::new(*millis, RecipientId(1), 0);
            recipient.delivered(Duration::from_millis(*millis), probe, crate::clock::now());
        }
        let read = Read::of(&text_of(&metrics, OPEN_METRICS));
        let name = "maildt_delivery_latency_seconds";
        for sample in read.samples.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
            let le: f64 = sample.labels["le"].parse().unwrap();
            let within = latencies.iter().filter(|millis| Duration::from_millis(**millis).as_secs_f64() <= le);
            prop_assert_eq!(sample.value.to_bits(), f64::from(u32::try_from(within.count()).unwrap()).to_bits());
            if let Some((labels, value)) = &sample.exemplar {
                let probe: ProbeId = labels["probe_id"].parse().unwrap();
                prop_assert!(*value <= le);
                let known = latencies.iter().find(|ms| probe == ProbeId::new(**ms, RecipientId(1), 0));
                let seconds = Duration::from_millis(*known.unwrap()).as_secs_f64();
                prop_assert!((seconds - value).abs() < 1e-9);
            }
        }
        let total = latencies.iter().sum::<u64>();
        let sum = read.value(&format!("{name}_sum"), &[("recipient", "r")]).unwrap();
        prop_assert!((sum - Duration::from_millis(total).as_secs_f64()).abs() < 1e-6);
    }
}

#[test]
fn both_formats_say_the_same_each_in_its_way() {
    let metrics = filled();
    let (open_text, plain_text) = (text_of(&metrics, OPEN_METRICS), text_of(&metrics, Format::Text));
    let (open, plain) = (Read::of(&open_text), Read::of(&plain_text));
    assert!(open.eof && !plain.eof);
    assert_eq!(open.own_series(), plain.own_series());
    assert_eq!(open.types["maildt_probe_results"], "counter");
    assert_eq!(plain.types["maildt_probe_results_total"], "counter");
    assert_eq!(open.types["maildt_recipient"], "info");
    assert_eq!(plain.types["maildt_recipient_info"], "gauge");
    assert_eq!(open.units["maildt_delivery_latency_seconds"], "seconds");
    assert!(plain.units.is_empty());
    assert!(plain.samples.iter().all(|sample| sample.exemplar.is_none()));
    assert_eq!(plain.types.len(), open.types.len());
}

#[test]
fn the_last_probe_of_a_bucket_is_its_exemplar() {
    let read = Read::of(&text_of(&filled(), OPEN_METRICS));
    let found: Vec<_> = read
        .of_recipient(AWKWARD)
        .into_iter()
        .filter_map(|sample| Some((sample.labels.get("le")?.as_str(), sample.exemplar.clone()?)))
        .collect();
    let id = |random| ProbeId::new(1_770_000_000_000, RecipientId(1), random).to_string();
    let expected = [("0.1", 1, 0.04), ("3.0", 3, 2.6), ("+Inf", 4, 7200.0)];
    let expected = expected.map(|(le, random, value)| (le, (of(&[("probe_id", &id(random))]), value)));
    assert_eq!(found, expected);
}

#[test]
fn many_recipients_are_written_whole_and_once() {
    let metrics = metrics();
    for number in 0..2500 {
        let id = RecipientId(number);
        let recipient = metrics.register_recipient(id, &named(&format!("r{number}")));
        recipient.delivered(Duration::from_secs(1), ProbeId::new(1, id, 7), crate::clock::now());
        recipient.skipped(u64::from(number.unsigned_abs()));
    }
    for format in [OPEN_METRICS, Format::Text] {
        let read = Read::of(&text_of(&metrics, format));
        for number in 0..2500 {
            let name = format!("r{number}");
            let skipped = read.value("maildt_probes_skipped_total", &[("recipient", &name)]);
            assert_eq!(skipped, Some(f64::from(number)));
        }
        let with_exemplar = read.samples.iter().filter_map(|sample| {
            let (labels, _) = sample.exemplar.as_ref()?;
            let probe: ProbeId = labels["probe_id"].parse().unwrap();
            assert_eq!(sample.labels["recipient"], format!("r{}", probe.recipient()));
            assert_eq!(sample.labels["le"], "1.0");
            Some(())
        });
        assert_eq!(with_exemplar.count(), if format == Format::Text { 0 } else { 2500 });
    }
}

#[test]
fn a_removed_recipient_leaves_nothing() {
    let metrics = filled();
    metrics.remove_recipient(RecipientId(1));
    assert!(metrics.recipient(RecipientId(1)).is_none());
    for format in [OPEN_METRICS, Format::Text] {
        let read = Read::of(&text_of(&metrics, format));
        assert!(read.of_recipient(AWKWARD).is_empty());
        assert!(!read.of_recipient("someone@example.org").is_empty());
    }
    metrics.remove_sender(AWKWARD);
    metrics.remove_mailbox(AWKWARD);
    metrics.remove_channel(AWKWARD);
    metrics.mailbox("default").remove_folder(AWKWARD);
    let read = Read::of(&text_of(&metrics, Format::Text));
    let left: Vec<_> =
        read.samples.iter().filter(|s| s.labels.values().any(|value| value == AWKWARD)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_renamed_recipient_starts_anew_under_its_name() {
    let metrics = metrics();
    metrics.register_recipient(RecipientId(1), &named("old")).sent();
    metrics.register_recipient(RecipientId(1), &named("new"));
    let read = Read::of(&text_of(&metrics, Format::Text));
    assert!(read.of_recipient("old").is_empty());
    assert_eq!(read.value("maildt_probes_sent_total", &[("recipient", "new")]), Some(0.0));
}

#[test]
fn names_may_be_swapped_without_a_series_standing_twice() {
    let metrics = metrics();
    let sent = |name| {
        Read::of(&text_of(&metrics, Format::Text)).value("maildt_probes_sent_total", &[("recipient", name)])
    };
    metrics.register_recipient(RecipientId(1), &named("a"));
    metrics.register_recipient(RecipientId(2), &named("b"));
    metrics.register_recipient(RecipientId(1), &named("b")).sent();
    assert_eq!((sent("a"), sent("b")), (None, Some(1.0)));
    metrics.register_recipient(RecipientId(2), &named("a"));
    assert_eq!((sent("a"), sent("b")), (Some(0.0), Some(1.0)));
    metrics.remove_recipient(RecipientId(1));
    assert_eq!((sent("a"), sent("b")), (Some(0.0), None));
}

#[test]
fn other_settings_keep_the_counters() {
    let metrics = metrics();
    metrics.register_recipient(RecipientId(1), &named("r")).sent();
    let mut settings = named("r");
    settings.labels.mailbox = "other".to_owned();
    settings.interval = Duration::from_mins(1);
    settings.active = false;
    metrics.register_recipient(RecipientId(1), &settings);
    let read = Read::of(&text_of(&metrics, Format::Text));
    let r = ("recipient", "r");
    assert_eq!(read.value("maildt_probes_sent_total", &[r]), Some(1.0));
    assert_eq!(read.value("maildt_recipient_interval_seconds", &[r]), Some(60.0));
    assert_eq!(read.value("maildt_recipient_active", &[r]), Some(0.0));
    assert_eq!(
        read.value("maildt_recipient_info", &[r, ("sender", "default"), ("mailbox", "other")]),
        Some(1.0)
    );
}

#[test]
fn last_values_are_as_told_and_go_when_no_probe_is_planned() {
    let metrics = metrics();
    let recipient = metrics.register_recipient(RecipientId(1), &named("r"));
    let at = |second: i64| Timestamp::from_millisecond(second * 1000 + 250).unwrap();
    recipient.restore(LastValues {
        latency: Some(Duration::from_millis(1_234)),
        success: Some(at(1_770_000_001)),
        send: Some(at(1_770_000_002)),
        next_probe: Some(at(1_770_000_003)),
    });
    let value = |name: &str| Read::of(&text_of(&metrics, OPEN_METRICS)).value(name, &[("recipient", "r")]);
    assert_eq!(value("maildt_last_delivery_latency_seconds"), Some(1.234));
    assert_eq!(value("maildt_last_success_timestamp_seconds"), Some(1_770_000_001.25));
    assert_eq!(value("maildt_last_send_timestamp_seconds"), Some(1_770_000_002.25));
    assert_eq!(value("maildt_next_probe_timestamp_seconds"), Some(1_770_000_003.25));
    assert_eq!(value("maildt_delivery_latency_seconds_count"), Some(0.0), "not part of the histogram");
    recipient.restore(LastValues::default());
    assert_eq!(
        value("maildt_last_success_timestamp_seconds"),
        Some(1_770_000_001.25),
        "nothing is forgotten"
    );
    recipient.set_next_probe(None);
    assert_eq!(value("maildt_next_probe_timestamp_seconds"), None);
}

#[test]
fn hops_that_a_later_message_did_not_take_go() {
    let metrics = metrics();
    let recipient = metrics.register_recipient(RecipientId(1), &named("r"));
    recipient.hop_delays(&[Duration::from_secs(1), Duration::from_secs(2)]);
    recipient.hop_delays(&[Duration::from_secs(3)]);
    let read = Read::of(&text_of(&metrics, Format::Text));
    assert_eq!(read.value("maildt_last_hop_delay_seconds", &[("recipient", "r"), ("hop", "1")]), Some(3.0));
    assert_eq!(read.value("maildt_last_hop_delay_seconds", &[("recipient", "r"), ("hop", "2")]), None);
}

#[test]
fn gzip_holds_the_same_text() {
    let metrics = filled();
    let mut exposition = Exposition::new(Arc::clone(&metrics), OPEN_METRICS, Compression::Gzip);
    let mut packed = Vec::new();
    while let Some(chunk) = exposition.next_chunk().unwrap() {
        packed.extend_from_slice(&chunk);
    }
    assert!(exposition.next_chunk().unwrap().is_none(), "the end stays the end");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    assert_eq!(Read::of(&text).own_series(), Read::of(&text_of(&metrics, OPEN_METRICS)).own_series());
}

#[test]
fn counting_during_scrapes_loses_nothing() {
    let metrics = metrics();
    let recipient = metrics.register_recipient(RecipientId(1), &named("r"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let recipient = &recipient;
            scope.spawn(move || {
                for n in 0..1000 {
                    recipient.result(Verdict::Late);
                    recipient.delivered(
                        Duration::from_millis(n),
                        ProbeId::new(n, RecipientId(1), thread),
                        Timestamp::UNIX_EPOCH,
                    );
                }
            });
        }
        for _ in 0..20 {
            text_of(&metrics, OPEN_METRICS);
        }
    });
    let read = Read::of(&text_of(&metrics, Format::Text));
    assert_eq!(
        read.value("maildt_probe_results_total", &[("recipient", "r"), ("result", "late")]),
        Some(4000.0)
    );
    assert_eq!(read.value("maildt_delivery_latency_seconds_sum", &[("recipient", "r")]), Some(1998.0));
    assert_eq!(read.value("maildt_delivery_latency_seconds_count", &[("recipient", "r")]), Some(4000.0));
}
