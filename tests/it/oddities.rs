//! Mail servers that do what none should: slow, deaf, lying. No false verdict, and everybody else goes on.

use std::time::Duration;

use maildt::demo::faults::{Action, Fate, ImapPoint, Quirk, Rule, SmtpPoint};

use crate::lab::app::{App, Recipient};
use crate::lab::builtin::{BuiltIn, MONITOR, OTHER};
use crate::lab::dovecot::PASSWORD;
use crate::lab::process::peak_memory;
use crate::lab::records::Probe;
use crate::lab::wait::{Look, eventually, s, same, so, throughout};

fn recipient(name: &str) -> Recipient {
    Recipient::new(name, &format!("{name}@demo.test"))
}

/// Waits for a result, and that it is not a false alarm.
#[track_caller]
fn arrives(lab: &BuiltIn, name: &str, limit: Duration) -> Probe {
    let probe = eventually(limit, "it arrives", || lab.records().first(name, &["delivered", "late"]));
    assert!(!probe.was_missing, "a false alarm: {probe}");
    probe
}

#[test]
fn a_refused_search_is_no_proof_of_absence() {
    let lab = BuiltIn::new();
    lab.faults().add(Rule::delivery(Fate::Drop).to("lost@demo.test"));
    let refusal = lab.faults().add(Rule::imap(ImapPoint::Search, Action::no("[UNAVAILABLE] Later")));
    let app = lab.setup().recipient(recipient("lost")).recipient(recipient("fine")).start();
    eventually(s(20), "it is accepted", || lab.records().first("lost", &["accepted"]));
    throughout(s(15), "nothing is missing while searching is refused", || {
        lab.records().first("lost", &["accepted"]).map(drop)
    });
    assert!(lab.hits(refusal) > 1, "the fault did not work");
    lab.faults().remove(refusal);
    eventually(s(20), "now it is missing", || lab.records().first("lost", &["missing"]));
    arrives(&lab, "fine", s(5));
    drop(app);
}

#[test]
fn an_idle_that_dies_silently_misses_nothing() {
    for quirk in [Quirk::SilentIdle, Quirk::DeadIdle, Quirk::ExistsBeforeContinuation, Quirk::NoIdle] {
        let lab = BuiltIn::new();
        lab.faults().add(Rule::delivery(Fate::Hold(s(4))));
        let rule = lab.faults().add(Rule::quirk(quirk));
        let _app = lab
            .setup()
            .env("ACTIVE_LOOK", "off")
            .env("CHECK_INTERVAL", if quirk == Quirk::NoIdle { "2" } else { "60" })
            .limit("idle", "\"3s\"")
            .limit("command", "\"2s\"")
            .recipient(recipient("fine").threshold("1m"))
            .start();
        let probe = arrives(&lab, "fine", s(25));
        assert_eq!(probe.state, "delivered", "{quirk:?}: {probe}");
        assert!(lab.hits(rule) > 0, "{quirk:?}: the fault did not work");
    }
}

#[test]
fn a_message_that_the_server_shows_late_is_not_missing() {
    // The rounds ten seconds apart, as users have them.
    let lab = BuiltIn::new();
    lab.faults().add(Rule::delivery(Fate::Hold(s(8))));
    lab.faults().add(Rule::delivery(Fate::Hide(s(6))));
    let app = lab.setup().without_limit("round_gap").recipient(recipient("slow")).start();
    eventually(s(20), "it is accepted", || lab.records().first("slow", &["accepted"]));
    let accepted = std::time::Instant::now();
    eventually(s(12), "it is saved", || {
        so(lab.server.uid_state(MONITOR, "INBOX").unwrap().1 > 1, String::new)
    });
    // A message that came later is shown before it.
    lab.server.deliver(MONITOR, "INBOX", "Subject: overtaker\r\n\r\nx", None).unwrap();
    arrives(&lab, "slow", s(30));
    assert!(accepted.elapsed() > s(13), "the fault did not work");
    eventually(s(5), "the metrics tell no false alarm", || {
        same(&app.metrics()?.sum("maildt_probes_missing_total"), &0.0)
    });
    eventually(s(10), "only the overtaker is left", || same(&lab.stored(), &1));
}

#[test]
fn huge_literals_and_garbage_cost_a_connection_and_no_more() {
    let lab = BuiltIn::new();
    let rules = [Action::huge_literal(), Action::garbage(), Action::CutReply(40), Action::Close]
        .map(|action| lab.faults().add(Rule::imap(ImapPoint::Fetch, action).times(2)));
    let app = lab
        .setup()
        .limit("command", "\"2s\"")
        .limit("reconnect_max", "\"1s\"")
        .recipient(recipient("fine").threshold("1m"))
        .start();
    arrives(&lab, "fine", s(40));
    for rule in rules {
        assert_eq!(lab.hits(rule), 2, "the fault did not work");
    }
    let peak = peak_memory(app.pid());
    assert!(peak < 200, "{peak} MiB");
    so(!app.log().contains("panicked"), || app.log()).unwrap();
}

#[test]
fn where_starttls_is_stripped_nobody_logs_in() {
    let lab = BuiltIn::new();
    let stripped = lab.faults().add(Rule::quirk(Quirk::NoStartTls));
    let smtp = lab.faults().add(Rule::smtp(SmtpPoint::Auth, Action::Delay(Duration::ZERO)));
    let imap = lab.faults().add(Rule::imap(ImapPoint::Login, Action::Delay(Duration::ZERO)));
    let app = lab
        .setup_with_starttls()
        .limit("sender_retry", "[\"200ms\", \"200ms\"]")
        .recipient(recipient("fine").interval("30s"))
        .start();
    eventually(s(20), "the probe is a send failure", || lab.records().first("fine", &["send_failed"]));
    eventually(s(10), "the metrics tell the reason", || {
        let scrape = app.metrics()?;
        let smtp = scrape.count("maildt_send_failures_total{recipient=\"fine\",reason=\"tls\"}");
        let imap = scrape.count("maildt_imap_connection_failures_total{mailbox=\"default\",reason=\"tls\"}");
        so(smtp > 0.5 && imap > 0.5, || format!("SMTP {smtp}, IMAP {imap}"))
    });
    assert_eq!((lab.hits(smtp), lab.hits(imap)), (0, 0), "a login went over an open wire");
    lab.faults().remove(stripped);
    eventually(s(60), "all is well with STARTTLS", || {
        so(lab.records().of("fine").iter().any(|p| p.state == "delivered"), || "not yet".to_owned())
    });
    assert!(lab.hits(smtp) > 0 && lab.hits(imap) > 0);
}

/// No row says `sending` for longer than twice the limit of one send.
fn none_sends_for_longer_than(lab: &BuiltIn, seconds: f64) -> Look {
    let rows = lab.database.query(
        "SELECT id::text || ' since ' || attempt_at::text FROM maildt.probes \
         WHERE state = 'sending' AND clock_timestamp() - attempt_at > make_interval(secs => $1)",
        &[&seconds],
    );
    let rows = rows.map_err(|e| e.to_string())?;
    so(rows.is_empty(), || rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("; "))
}

fn other_sender(lab: &BuiltIn) -> String {
    format!(
        "[senders.other]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = {OTHER:?}\npass = {PASSWORD:?}\n",
        lab.server.addresses().smtp.port()
    )
}

fn every_second(app: &App, lab: &BuiltIn, name: &str) {
    eventually(s(20), "the other sender's probes go on", || {
        let probes: Vec<Probe> = lab.records().read()?.into_iter().filter(|p| p.recipient == name).collect();
        app.healthy()?;
        so(probes.iter().filter(|p| p.state == "delivered").count() >= 3, || {
            format!("{} probes", probes.len())
        })
    });
}

#[test]
fn a_tarpit_ends_at_the_limit_of_one_send_and_holds_up_nobody_else() {
    let lab = BuiltIn::new();
    // Each reply takes a while, and each comes within the limit of a command.
    let tarpit = lab
        .faults()
        .add(Rule::smtp(SmtpPoint::Mail, Action::Tarpit(Duration::from_millis(150))).from(MONITOR));
    let app = lab
        .setup()
        .limit("command", "\"5s\"")
        .limit("send", "\"4s\"")
        .limit("interval_min", "\"2s\"")
        .limit("sender_retry", "[\"500ms\", \"500ms\"]")
        .tables(&other_sender(&lab))
        .recipient(recipient("stuck"))
        .recipient(recipient("free").interval("3s").text("sender", "other"))
        .start();
    eventually(s(10), "it is being sent", || lab.records().first("stuck", &["sending"]));
    every_second(&app, &lab, "free");
    eventually(s(30), "it is a send failure", || {
        none_sends_for_longer_than(&lab, 8.0)?;
        lab.records().first("stuck", &["send_failed"]).map(drop)
    });
    assert!(lab.hits(tarpit) >= 3, "the fault did not work: {}", lab.hits(tarpit));
    let scrape = app.metrics().unwrap();
    same(&scrape.count("maildt_send_failures_total{recipient=\"stuck\",reason=\"timeout\"}"), &3.0).unwrap();
}

#[test]
fn no_row_stays_sending_longer_than_twice_the_limit_of_one_send() {
    let lab = BuiltIn::new();
    let points = [
        SmtpPoint::Accept,
        SmtpPoint::Connect,
        SmtpPoint::Ehlo,
        SmtpPoint::Auth,
        SmtpPoint::Mail,
        SmtpPoint::Rcpt,
        SmtpPoint::Data,
        SmtpPoint::Body,
        SmtpPoint::Saved,
    ];
    // Only the limit of the whole send is left to end it; one after the other hangs at another point.
    for point in points {
        lab.faults().add(Rule::smtp(point, Action::Hang).times(1));
    }
    let names: Vec<String> = (0..points.len()).map(|n| format!("r{n}")).collect();
    let _app = lab
        .setup()
        .limit("send", "\"3s\"")
        .limit("final_reply", "\"2m\"")
        .limit("connect", "\"2m\"")
        .limit("command", "\"2m\"")
        .limit("sender_retry", "[\"500ms\", \"500ms\"]")
        .recipients(names.iter().map(|name| recipient(name)))
        .start();
    eventually(s(60), "every probe has a result", || {
        none_sends_for_longer_than(&lab, 6.0)?;
        let open: Vec<String> =
            lab.records().read()?.iter().filter(|p| p.result.is_none()).map(ToString::to_string).collect();
        so(lab.records().read()?.len() == names.len() && open.is_empty(), || open.join("; "))
    });
    let probes = lab.records().probes();
    assert!(probes.iter().all(|p| p.state != "missing"), "{probes:?}");
    assert!(
        probes.iter().any(|p| p.state == "inconclusive"),
        "hung after the dot and not stored: {probes:?}"
    );
}

#[test]
fn refused_imap_logins_are_not_repeated_faster_than_the_limits() {
    let lab = BuiltIn::new();
    let refusal = lab.faults().add(Rule::imap(ImapPoint::Login, Action::no("[AUTHENTICATIONFAILED] No")));
    let recipient = recipient("fine").threshold("1m");
    // As users have it: a minute, whatever the number of folders.
    let app = lab.setup().recipient(recipient.clone()).start();
    eventually(s(20), "it is blind", || {
        let failures = "maildt_imap_connection_failures_total{mailbox=\"default\",reason=\"auth\"}";
        so(app.metrics()?.count(failures) > 0.5, || "not yet".to_owned())
    });
    throughout(s(8), "one refused login in a minute", || {
        so(lab.hits(refusal) <= 1, || format!("{} logins", lab.hits(refusal)))
    });
    drop(app);
    // With short limits: the pauses grow.
    let before = lab.hits(refusal);
    let app = lab
        .setup()
        .limit("login_refused_min", "\"1s\"")
        .limit("login_refused_max", "\"3s\"")
        .recipient(recipient)
        .start();
    throughout(s(9), "1 s, 2 s, 3 s, 3 s apart", || {
        let logins = lab.hits(refusal) - before;
        so(logins <= 5, || format!("{logins} logins"))?;
        same(&app.metrics()?.sum("maildt_probes_missing_total"), &0.0)
    });
    assert!(lab.hits(refusal) - before >= 3, "it goes on trying: {}", lab.hits(refusal) - before);
    lab.faults().remove(refusal);
    arrives(&lab, "fine", s(15));
}
