//! The families that have samples for each recipient.

use prometheus_client::metrics::MetricType::{Counter, Gauge, Histogram, Info};

use super::{Family, SECONDS, Source, counter, gauge, of, one, recipient};
use crate::domain::verdict::Standing;

pub(super) static RECIPIENTS: &[Family] = &[
    recipient(
        Counter,
        "maildt_probe_results",
        None,
        "Probes by their one result, given at the first verdict.",
        6,
        |r, e| {
            r.results.iter().try_for_each(|(verdict, n)| {
                counter(e, &[("recipient", &*r.name), ("result", verdict.as_str())], n.get())
            })
        },
    ),
    recipient(
        Counter,
        "maildt_probes_sent",
        None,
        "Probes that the submission server accepted.",
        1,
        |r, e| counter(e, &of(r), r.sent.get()),
    ),
    recipient(
        Counter,
        "maildt_probes_missing",
        None,
        "Probes proved absent after their deadline.",
        1,
        |r, e| counter(e, &of(r), r.missing.get()),
    ),
    recipient(Counter, "maildt_probes_late", None, "Probes that arrived after their deadline.", 1, |r, e| {
        counter(e, &of(r), r.late.get())
    }),
    recipient(
        Counter,
        "maildt_probes_duplicate",
        None,
        "Further copies of probes that had arrived.",
        1,
        |r, e| counter(e, &of(r), r.duplicate.get()),
    ),
    recipient(
        Counter,
        "maildt_probes_misrouted",
        None,
        "Probes found in a mailbox other than their recipient's.",
        1,
        |r, e| counter(e, &of(r), r.misrouted.get()),
    ),
    recipient(Counter, "maildt_probes_skipped", None, "Due times that passed without a probe.", 1, |r, e| {
        counter(e, &of(r), r.skipped.get())
    }),
    recipient(
        Counter,
        "maildt_send_failures",
        None,
        "Failed attempts to submit a probe, by reason.",
        1,
        |r, e| {
            r.send_failures.seen().try_for_each(|(reason, n)| {
                counter(e, &[("recipient", &*r.name), ("reason", reason.as_str())], n)
            })
        },
    ),
    Family {
        name: "maildt_delivery_latency",
        unit: SECONDS,
        kind: Histogram,
        help: "From the acceptance of a probe to its sight in the mailbox, by our own clock.",
        source: Source::Latency,
    },
    recipient(
        Gauge,
        "maildt_last_delivery_latency",
        SECONDS,
        "Latency of the last probe that arrived.",
        1,
        |r, e| gauge(e, &of(r), r.last_latency.get()),
    ),
    recipient(
        Gauge,
        "maildt_last_success_timestamp",
        SECONDS,
        "When a probe last arrived in time.",
        1,
        |r, e| gauge(e, &of(r), r.last_success.get()),
    ),
    recipient(Gauge, "maildt_last_send_timestamp", SECONDS, "When a probe was last accepted.", 1, |r, e| {
        gauge(e, &of(r), r.last_send.get())
    }),
    recipient(Gauge, "maildt_next_probe_timestamp", SECONDS, "When the next probe is due.", 1, |r, e| {
        gauge(e, &of(r), r.next_probe.get())
    }),
    recipient(
        Gauge,
        "maildt_recipient_state",
        None,
        "How the recipient stands: 1 for its state, 0 for the others.",
        9,
        |r, e| {
            let now = r.standing();
            Standing::ALL.iter().try_for_each(|state| {
                gauge(e, &[("recipient", &*r.name), ("state", state.as_str())], Some(one(*state == now)))
            })
        },
    ),
    recipient(Info, "maildt_recipient", None, "What a recipient belongs to.", 1, |r, e| {
        let info = r.info();
        let all = [("domain", &*info.domain), ("sender", &info.sender), ("mailbox", &info.mailbox)];
        let domain_unknown = usize::from(info.domain.is_empty());
        e.encode_family(&of(r))?.encode_info(&all.get(domain_unknown..).unwrap_or_default())
    }),
    recipient(
        Gauge,
        "maildt_recipient_interval",
        SECONDS,
        "Time between the probes of a recipient.",
        1,
        |r, e| gauge(e, &of(r), r.interval.get()),
    ),
    recipient(
        Gauge,
        "maildt_recipient_alert_threshold",
        SECONDS,
        "Latency beyond which a probe is late or missing.",
        1,
        |r, e| gauge(e, &of(r), r.threshold.get()),
    ),
    recipient(
        Gauge,
        "maildt_recipient_active",
        None,
        "1 while the recipient is probed, 0 while it is paused.",
        1,
        |r, e| gauge(e, &of(r), Some(one(r.is_active()))),
    ),
    recipient(Gauge, "maildt_probes_in_flight", None, "Probes that have no result yet.", 1, |r, e| {
        gauge(e, &of(r), Some(r.in_flight()))
    }),
    recipient(
        Counter,
        "maildt_folder_placements",
        None,
        "Probes found, by the kind of folder.",
        1,
        |r, e| {
            r.placements.seen().try_for_each(|(placement, n)| {
                counter(e, &[("recipient", &*r.name), ("folder", placement.as_str())], n)
            })
        },
    ),
    recipient(
        Counter,
        "maildt_auth_results",
        None,
        "What the receiving server found of the sender's authenticity.",
        3,
        |r, e| {
            r.auth_shown().try_for_each(|((method, result), n)| {
                let labels =
                    [("recipient", &*r.name), ("method", method.as_str()), ("result", result.as_str())];
                counter(e, &labels, n)
            })
        },
    ),
    recipient(
        Gauge,
        "maildt_last_hop_delay",
        SECONDS,
        "Delay of each hop of the last probe that arrived.",
        3,
        |r, e| r.hops_shown().try_for_each(|(hop, delay)| gauge(e, &(of(r), [("hop", hop)]), Some(delay))),
    ),
];
