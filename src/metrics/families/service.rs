//! The families about senders, mailboxes, channels, the database and the program itself.

use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType::{Counter, Gauge, Histogram, Info};
use prometheus_client::metrics::exemplar::Exemplar;

use super::{BYTES, Family, NO_LABELS, SECONDS, counter, gauge, histogram, one, service};

pub(super) static SERVICE: &[Family] = &[
    service(
        Histogram,
        "maildt_submission_delay",
        SECONDS,
        "From the first attempt to submit a probe to its acceptance.",
        |s, e| {
            s.metrics.senders.list().iter().try_for_each(|(name, sender)| {
                histogram(e, &[("sender", &**name)], &sender.submission_delay.observed())
            })
        },
    ),
    service(
        Histogram,
        "maildt_send_duration",
        SECONDS,
        "Duration of one attempt to submit a probe.",
        |s, e| {
            s.metrics.senders.list().iter().try_for_each(|(name, sender)| {
                histogram(e, &[("sender", &**name)], &sender.send_duration.observed())
            })
        },
    ),
    service(
        Histogram,
        "maildt_send_phase_duration",
        SECONDS,
        "Duration of each phase of an attempt to submit a probe.",
        |s, e| {
            s.metrics.senders.list().iter().try_for_each(|(name, sender)| {
                sender.phases.iter().try_for_each(|(phase, durations)| {
                    histogram(e, &[("sender", &**name), ("phase", phase.as_str())], &durations.observed())
                })
            })
        },
    ),
    service(
        Histogram,
        "maildt_detection_lag",
        SECONDS,
        "From a probe's storage in the mailbox to our sight of it.",
        |s, e| {
            s.metrics.mailboxes.list().iter().try_for_each(|(name, mailbox)| {
                histogram(e, &[("mailbox", &**name)], &mailbox.detection_lag.observed())
            })
        },
    ),
    service(Counter, "maildt_foreign_tokens", None, "Messages with a token that is not ours.", |s, e| {
        s.metrics
            .mailboxes
            .list()
            .iter()
            .try_for_each(|(name, mailbox)| counter(e, &[("mailbox", &**name)], mailbox.foreign_tokens.get()))
    }),
    service(
        Counter,
        "maildt_imap_connection_failures",
        None,
        "IMAP connections that failed or were lost, by reason.",
        |s, e| {
            s.metrics.mailboxes.list().iter().try_for_each(|(name, mailbox)| {
                mailbox.failures.iter().try_for_each(|(reason, n)| {
                    counter(e, &[("mailbox", &**name), ("reason", reason.as_str())], n.get())
                })
            })
        },
    ),
    service(Gauge, "maildt_imap_up", None, "1 while the folder can be looked into.", |s, e| {
        s.metrics.mailboxes.list().iter().try_for_each(|(name, mailbox)| {
            mailbox.folders.list().iter().try_for_each(|(folder, watched)| {
                gauge(e, &[("mailbox", &**name), ("folder", folder)], watched.up.get())
            })
        })
    }),
    service(
        Gauge,
        "maildt_imap_last_sync_timestamp",
        SECONDS,
        "When the folder was last looked through.",
        |s, e| {
            s.metrics.mailboxes.list().iter().try_for_each(|(name, mailbox)| {
                mailbox.folders.list().iter().try_for_each(|(folder, watched)| {
                    gauge(e, &[("mailbox", &**name), ("folder", folder)], watched.last_sync.get())
                })
            })
        },
    ),
    service(
        Gauge,
        "maildt_tls_certificate_not_after_timestamp",
        SECONDS,
        "Expiry of the certificate that a mail server showed.",
        |s, e| {
            s.metrics.certificates().iter().try_for_each(|((account, protocol), not_after)| {
                let labels = [("account", &**account), ("protocol", protocol.as_str())];
                gauge(e, &labels, Some(*not_after))
            })
        },
    ),
    service(Counter, "maildt_notifications", None, "Notifications that a channel took over.", |s, e| {
        s.metrics
            .channels
            .list()
            .iter()
            .try_for_each(|(name, channel)| counter(e, &[("channel", &**name)], channel.delivered.get()))
    }),
    service(Counter, "maildt_notification_failures", None, "Failed attempts to notify.", |s, e| {
        s.metrics
            .channels
            .list()
            .iter()
            .try_for_each(|(name, channel)| counter(e, &[("channel", &**name)], channel.failed.get()))
    }),
    service(Gauge, "maildt_incidents_open", None, "Open incidents, by kind.", |s, e| {
        s.metrics
            .incidents_open()
            .iter()
            .try_for_each(|(kind, open)| gauge(e, &[("kind", *kind)], Some(*open)))
    }),
    service(
        Histogram,
        "maildt_scheduler_lag",
        SECONDS,
        "From the moment when a probe was due to its claim.",
        |s, e| histogram(e, &NO_LABELS, &s.metrics.scheduler_lag.observed()),
    ),
    service(Gauge, "maildt_db_connections", None, "Connections of the database pool, by state.", |s, e| {
        let Some(pool) = s.metrics.database.connections() else { return Ok(()) };
        gauge(e, &[("state", "idle")], Some(pool.idle))?;
        gauge(e, &[("state", "active")], Some(pool.active))
    }),
    service(
        Histogram,
        "maildt_db_acquire_duration",
        SECONDS,
        "Wait for a connection of the database pool.",
        |s, e| histogram(e, &NO_LABELS, &s.metrics.database.acquire.observed()),
    ),
    service(Counter, "maildt_db_errors", None, "Failed database operations.", |s, e| {
        s.metrics
            .database
            .errors()
            .iter()
            .try_for_each(|(operation, n)| counter(e, &[("operation", *operation)], *n))
    }),
    service(
        Gauge,
        "maildt_active",
        None,
        "1 while this instance does the work, 0 while it stands by.",
        |s, e| gauge(e, &NO_LABELS, Some(one(s.metrics.is_active()))),
    ),
    service(Info, "maildt_build", None, "The running version.", |s, e| {
        let build = s.metrics.build();
        e.encode_info(&[("version", build.version), ("revision", build.revision)])
    }),
    service(
        Gauge,
        "maildt_config_last_reload_successful",
        None,
        "1 if the configuration was last read without error.",
        |s, e| gauge(e, &NO_LABELS, Some(one(s.metrics.is_reload_successful()))),
    ),
    service(Counter, "process_cpu", SECONDS, "User and system time of the process.", |s, e| {
        let Some(cpu) = s.process.cpu else { return Ok(()) };
        e.encode_counter(&cpu.as_secs_f64(), None::<&Exemplar<NoLabelSet, f64>>)
    }),
    service(Gauge, "process_resident_memory", BYTES, "Resident memory of the process.", |s, e| {
        gauge(e, &NO_LABELS, s.process.resident)
    }),
    service(Gauge, "process_virtual_memory", BYTES, "Virtual memory of the process.", |s, e| {
        gauge(e, &NO_LABELS, s.process.virtual_memory)
    }),
    service(Gauge, "process_threads", None, "Threads of the process.", |s, e| {
        gauge(e, &NO_LABELS, s.process.threads)
    }),
    service(Gauge, "process_open_fds", None, "Open file descriptors.", |s, e| {
        gauge(e, &NO_LABELS, s.process.open_fds)
    }),
    service(Gauge, "process_max_fds", None, "Limit of open file descriptors.", |s, e| {
        gauge(e, &NO_LABELS, s.process.max_fds)
    }),
    service(Gauge, "process_start_time", SECONDS, "When the process started.", |s, e| {
        gauge(e, &NO_LABELS, Some(s.metrics.started))
    }),
];
