//! One cause is one alert, however many recipients it concerns; and what concerns one recipient alone is told as such.

use maildt::demo::faults::{Action, Fate as Delivery, ImapPoint, Rule, SmtpPoint};

use super::{brisk, open_incidents};
use crate::lab::app::{App, Recipient};
use crate::lab::builtin::BuiltIn;
use crate::lab::oncall::OnCall;
use crate::lab::policy::{Fate, Stage};
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

fn kinds(world: &World) -> Vec<String> {
    world.records().incidents().unwrap().into_iter().map(|incident| incident.kind).collect()
}

#[test]
fn an_unreachable_server_is_one_alert_for_all_its_recipients_and_one_when_it_is_back() {
    let test = "an_unreachable_server_is_one_alert_for_all_its_recipients_and_one_when_it_is_back";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.smtp().refuse();
    let names: Vec<String> = (0..5).map(|n| format!("r{n}")).collect();
    let app = ops.on(world.setup()).recipients(names.iter().map(|n| brisk(&world, n))).start();
    let [discord, _] = ops.hear(s(40), &["Submission server unreachable"]);
    let second = &world.records().probes()[1];
    let waited = world.records().now().unwrap() - second.due_at;
    assert!(waited < 60.0, "told {waited} s after the second recipient was due");
    assert!(discord[0].says("refused") || discord[0].says("connect"), "{}", discord[0].text);
    open_incidents(&app, "sender_unreachable", 1.0).unwrap();
    eventually(s(30), "all of them fail again and again", || {
        let probes = world.records().read()?;
        let failed = |name: &String| {
            probes.iter().filter(|p| p.recipient == *name && p.state == "send_failed").count()
        };
        so(names.iter().all(|name| failed(name) >= 2), || "not yet".to_owned())
    });
    ops.were_told(&["Submission server unreachable"]).unwrap();
    world.smtp().pass();
    let [discord, mail] = ops.hear(s(40), &["Submission server unreachable", "Recovered"]);
    assert_eq!(discord[0].incidents, discord[1].incidents);
    assert_eq!(mail[0].incidents, discord[1].incidents);
    assert_eq!(kinds(&world), ["sender_unreachable"]);
    eventually(s(5), "nothing is open", || open_incidents(&app, "sender_unreachable", 0.0));
}

#[test]
fn a_sender_with_one_recipient_is_told_at_its_first_failure() {
    let test = "a_sender_with_one_recipient_is_told_at_its_first_failure";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.smtp().refuse();
    let recipient = Recipient::new("alice", &world.address("alice"));
    let _app = ops.on(world.setup()).recipient(recipient).start();
    ops.hear(s(40), &["Submission server unreachable"]);
    assert_eq!(world.records().probes().len(), 1);
}

/// Every submission is refused at a point that comes before any recipient is named.
fn refused_for_all(test: &str, point: SmtpPoint, reply: &str, words: &str) {
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    let rule = builtin.faults().add(Rule::smtp(point, Action::reply(reply)));
    let recipients =
        (0..3).map(|n| Recipient::new(&format!("r{n}"), &format!("r{n}@demo.test")).interval("3s"));
    let app = ops.on(builtin.setup()).recipients(recipients).start();
    let [discord, mail] = ops.hear(s(40), &["Submission server unreachable"]);
    for alert in [&discord[0], &mail[0]] {
        assert!(alert.says(words), "the server's words are missing: {}", alert.text);
    }
    builtin.faults().remove(rule);
    ops.hear(s(40), &["Submission server unreachable", "Recovered"]);
    assert_eq!(builtin.records().incidents().unwrap().len(), 1);
    eventually(s(20), "they are delivered", || {
        so(builtin.records().read()?.iter().any(|p| p.state == "delivered"), || "none".to_owned())
    });
    drop(app);
}

#[test]
fn a_refused_login_is_one_alert_with_the_server_s_words() {
    refused_for_all(
        "a_refused_login_is_one_alert_with_the_server_s_words",
        SmtpPoint::Auth,
        "535 5.7.8 Password of the monitor has expired",
        "has expired",
    );
}

#[test]
fn a_refused_mail_command_is_one_alert_with_the_server_s_words() {
    refused_for_all(
        "a_refused_mail_command_is_one_alert_with_the_server_s_words",
        SmtpPoint::Mail,
        "550 5.7.1 Monitor may not send here",
        "may not send here",
    );
}

#[test]
fn a_refused_recipient_is_told_alone_and_so_is_its_recovery() {
    let test = "a_refused_recipient_is_told_alone_and_so_is_its_recovery";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let unknown = Fate::Refused(Stage::Rcpt, "550 5.1.1 Nobody of that name".to_owned());
    world.lab.policy.set(&world.address("alice"), unknown);
    let app = ops.on(world.setup()).recipients(["alice", "bob", "carol"].map(|n| brisk(&world, n))).start();
    let [discord, mail] = ops.hear(s(40), &["Send failure: alice"]);
    for alert in [&discord[0], &mail[0]] {
        assert!(alert.says("550") && alert.says("Nobody of that name"), "{}", alert.text);
        assert!(!alert.says("bob") && !alert.says("carol"), "{}", alert.text);
    }
    open_incidents(&app, "send_failure", 1.0).unwrap();
    world.lab.policy.clear(&world.address("alice"));
    ops.hear(s(40), &["Send failure: alice", "Recovered: alice"]);
    assert_eq!(kinds(&world), ["send_failure"]);
}

#[test]
fn an_unreadable_mailbox_is_one_alert_and_no_missing_mail() {
    let test = "an_unreadable_mailbox_is_one_alert_and_no_missing_mail";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let names = ["alice", "bob", "carol"];
    let setup = ops.on(world.setup()).limit("blind_after", "\"4s\"");
    let app = setup.recipients(names.map(|n| brisk(&world, n))).start();
    eventually(s(20), "all is well first", || {
        let probes = world.records().read()?;
        so(names.iter().all(|n| probes.iter().any(|p| p.recipient == *n && p.state == "delivered")), || {
            "not yet".to_owned()
        })
    });
    world.imap().refuse();
    ops.hear(s(40), &["Mailbox unreadable"]);
    open_incidents(&app, "mailbox_unreachable", 1.0).unwrap();
    let blind = world.records().probes().len();
    eventually(s(30), "probes go on beyond their deadlines", || {
        ops.were_told(&["Mailbox unreadable"]).unwrap();
        so(world.records().read()?.len() >= blind + 9, || "not yet".to_owned())
    });
    world.imap().pass();
    ops.hear(s(40), &["Mailbox unreadable", "Recovered"]);
    eventually(s(30), "what came meanwhile is seen", || {
        let undecided = |p: &&crate::lab::records::Probe| p.result.is_none();
        let probes = world.records().read()?;
        so(probes.iter().take(blind + 9).find(undecided).is_none(), || "not yet".to_owned())
    });
    same(&app.metrics().unwrap().sum("maildt_probes_missing_total"), &0.0).unwrap();
    ops.were_told(&["Mailbox unreadable", "Recovered"]).unwrap();
    assert_eq!(kinds(&world), ["mailbox_unreachable"]);
}

#[test]
fn a_refused_login_to_the_mailbox_is_told_with_the_server_s_words() {
    let test = "a_refused_login_to_the_mailbox_is_told_with_the_server_s_words";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    let refusal = Action::no("[AUTHENTICATIONFAILED] Password of the monitor has expired");
    let rule = builtin.faults().add(Rule::imap(ImapPoint::Login, refusal));
    let setup = ops.on(builtin.setup()).limit("blind_after", "\"3s\"");
    let setup = setup.limit("login_refused_min", "\"1s\"").limit("login_refused_max", "\"2s\"");
    let _app = setup.recipient(Recipient::new("alice", "alice@demo.test")).start();
    let [discord, mail] = ops.hear(s(40), &["Mailbox unreadable"]);
    for alert in [&discord[0], &mail[0]] {
        assert!(alert.says("has expired"), "the server's words are missing: {}", alert.text);
    }
    builtin.faults().remove(rule);
    ops.hear(s(40), &["Mailbox unreadable", "Recovered"]);
}

#[test]
fn submissions_that_end_without_an_answer_three_times_in_a_row_are_one_alert() {
    let test = "submissions_that_end_without_an_answer_three_times_in_a_row_are_one_alert";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    let rule = builtin.faults().add(Rule::smtp(SmtpPoint::Saved, Action::Close));
    let recipients = ["alice", "bob"].map(|n| Recipient::new(n, &format!("{n}@demo.test")).interval("3s"));
    let _app = ops.on(builtin.setup()).recipients(recipients).start();
    ops.hear(s(40), &["Submission server unreachable"]);
    let unanswered = builtin.records().probes().iter().filter(|p| p.accepted_at.is_none()).count();
    assert!(unanswered >= 3, "{unanswered} submissions without an answer");
    builtin.faults().remove(rule);
    ops.hear(s(40), &["Submission server unreachable", "Recovered"]);
    assert_eq!(builtin.records().incidents().unwrap().len(), 1);
}

#[test]
fn submissions_that_our_own_stop_breaks_off_are_no_fault_of_the_server() {
    let test = "submissions_that_our_own_stop_breaks_off_are_no_fault_of_the_server";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    let rule = builtin.faults().add(Rule::smtp(SmtpPoint::Saved, Action::Hang));
    let names = ["alice", "bob", "carol"];
    let recipients = names.map(|n| Recipient::new(n, &format!("{n}@demo.test")).interval("1h"));
    let setup = ops.on(builtin.setup()).limit("drain", "\"2s\"").recipients(recipients);
    let mut app = setup.start();
    eventually(s(20), "all three hang", || {
        let hanging = builtin.faults().hits(rule);
        so(hanging >= 3, || format!("{hanging} hang"))
    });
    app.term();
    let unanswered = builtin.records().probes().iter().filter(|p| p.accepted_at.is_none()).count();
    assert_eq!(unanswered, 3, "they are broken off");
    assert!(builtin.records().incidents().unwrap().is_empty(), "an incident of our own making");
}

#[test]
fn what_a_server_says_is_shown_as_text_and_calls_nobody() {
    let test = "what_a_server_says_is_shown_as_text_and_calls_nobody";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    let words = "550 5.1.1 @everyone **look** <b>here</b> [x](https://evil.example)";
    builtin.faults().add(Rule::smtp(SmtpPoint::Rcpt, Action::reply(words)));
    let _app = ops.on(builtin.setup()).recipient(Recipient::new("alice", "alice@demo.test")).start();
    let [discord, _] = ops.hear(s(40), &["Send failure: alice"]);
    assert!(discord[0].says("**look** <b>here</b> [x]"), "it is changed: {}", discord[0].text);
    let sent = ops.discord.calls()[0].message.to_string();
    for mark_up in ["**look**", "[x](", "<b>"] {
        assert!(!sent.contains(mark_up), "{mark_up} is mark-up: {sent}");
    }
    let stored = ops.mailbox().messages("INBOX");
    let mail = mail_parser::MessageParser::default().parse(&stored[0].bytes).unwrap();
    let html = mail.body_html(0).unwrap();
    assert!(html.contains("&lt;b&gt;here") && !html.contains("<b>here"), "{html}");
    assert!(!html.contains("href=\"https://evil"), "{html}");
}

#[test]
fn a_blink_of_the_mailbox_is_told_to_nobody() {
    let test = "a_blink_of_the_mailbox_is_told_to_nobody";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let setup = ops.on(world.setup()).limit("blind_after", "\"15s\"");
    let app = setup.recipient(brisk(&world, "alice").threshold("1m")).start();
    eventually(s(20), "all is well first", || world.records().first("alice", &["delivered"]));
    for _ in 0..3 {
        world.imap().refuse();
        eventually(s(10), "it is noticed", || so(app.metrics()?.sum("maildt_imap_up") < 0.5, String::new));
        world.imap().pass();
        eventually(s(10), "it is over", || so(app.metrics()?.sum("maildt_imap_up") > 1.5, String::new));
    }
    throughout(s(3), "nobody is told", || {
        ops.were_told(&[])?;
        same(&world.records().incidents()?.len(), &0)
    });
    app.ready().unwrap();
}

/// So many recipients of the built-in server, probed once, one each 100 ms; the deadlines of all are within a second or two.
fn many(count: usize) -> impl Iterator<Item = Recipient> {
    (0..count).map(move |n| {
        let threshold = format!("{}s", 3 + (count - n) / 10);
        Recipient::new(&format!("r{n:03}"), &format!("r{n:03}@demo.test")).threshold(&threshold)
    })
}

/// All of them fail together: one message for each channel.
fn told_in_one(ops: &OnCall, builtin: &BuiltIn, app: &App, subject: &str, kind: &str, count: usize) {
    eventually(s(90), "each has its incident", || {
        let incidents = builtin.records().incidents()?;
        same(&incidents.iter().filter(|incident| incident.kind == kind).count(), &count)
    });
    eventually(s(20), "both channels were told", || {
        let rows = builtin.records().notifications()?;
        let open = rows.iter().filter(|row| row.state != "delivered").count();
        same(&(rows.len(), open), &(2 * count, 0))
    });
    // Taken by the mail server is not yet there to be read.
    eventually(s(20), "both channels have it", || {
        let [discord, mail] = ops.told();
        so(!discord.is_empty() && !mail.is_empty(), String::new)
    });
    let [discord, mail] = ops.told();
    for story in [discord, mail] {
        let subjects: Vec<&str> = story.iter().map(|alert| alert.subject.as_str()).collect();
        assert!(matches!(subjects[..], [one] if one.starts_with(subject)), "{subjects:?}");
        let of = |n: usize| story[0].says(&format!("r{n:03}"));
        assert!(of(0) && of(1) && story[0].says(&count.to_string()), "{}", story[0].text);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    open_incidents(app, kind, count as f64).unwrap();
}

#[test]
fn two_hundred_recipients_whose_mail_is_lost_share_one_message() {
    let test = "two_hundred_recipients_whose_mail_is_lost_share_one_message";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    builtin.faults().add(Rule::delivery(Delivery::Drop));
    let app = ops.on(builtin.setup()).without_limit("alert_gather").recipients(many(200)).start();
    told_in_one(&ops, &builtin, &app, "Missing: 200", "missing", 200);
}

#[test]
fn thirty_refused_recipients_share_one_message() {
    let test = "thirty_refused_recipients_share_one_message";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    builtin.faults().add(Rule::smtp(SmtpPoint::Rcpt, Action::reply("550 5.1.1 gone")));
    let app = ops.on(builtin.setup()).without_limit("alert_gather").recipients(many(30)).start();
    told_in_one(&ops, &builtin, &app, "Send failure: 30", "send_failure", 30);
}
