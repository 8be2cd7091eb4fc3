use mail_parser::MimeHeaders;

use super::super::faults::*;
use super::*;

const TO: &str = "probe@demo.test";

/// Sends a message and gives the server no time to think: the reply, or what was left of it.
async fn attempt(server: &MailServer, subject: &str) -> String {
    let mut client = smtp_login(server).await;
    submit(&mut client, TO, &message(subject)).await
}

fn inbox(server: &MailServer) -> Vec<u32> {
    server.uids(USER, INBOX).unwrap()
}

#[tokio::test]
async fn refusals_can_be_limited_to_one_recipient_and_a_count() {
    let server = server().await;
    let rule = server
        .faults()
        .add(Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 Greylisted")).to(TO).times(2));
    let mut client = smtp_login(&server).await;
    assert!(submit(&mut client, "else@demo.test", &message("a")).await.starts_with("250"));
    for code in ["450 4.2.0 Greylisted", "450 4.2.0", "250 2.0.0 Ok: queued as"] {
        let reply = submit(&mut client, TO, &message("b")).await;
        assert!(reply.starts_with(code), "{reply}");
    }
    assert_eq!(server.faults().hits(rule), 2);
    let refusals = server.ledger().refusals();
    assert_eq!(refusals.len(), 2);
    assert_eq!((refusals[0].verb.as_str(), refusals[0].recipient.as_deref()), ("RCPT", Some(TO)));
    assert!(server.faults().remove(rule) && !server.faults().remove(rule));
}

#[tokio::test]
async fn refusals_at_each_stage() {
    let server = server().await;
    let faults = server.faults();
    for (point, reply) in [
        (SmtpPoint::Mail, "451 4.3.0 No room"),
        (SmtpPoint::Data, "451 4.3.0 Not now"),
        (SmtpPoint::Body, "550 5.7.1-"),
        (SmtpPoint::Saved, "451 4.3.0 Stored all the same"),
    ] {
        faults.clear();
        faults.add(Rule::smtp(point, Action::reply(reply)).times(1));
        let mut client = smtp_login(&server).await;
        let got = if point == SmtpPoint::Mail {
            client.smtp(&format!("MAIL FROM:<{USER}>")).await
        } else {
            submit(&mut client, TO, &message("x")).await
        };
        assert_eq!(got, reply);
        assert!(
            submit(&mut client, TO, &message("y")).await.starts_with("250"),
            "{point:?}: the session goes on"
        );
    }
    eventually("four accepted and one stored", || inbox(&server).len() == 5).await;
    let refused: Vec<_> = server.ledger().submissions().into_iter().filter(|s| !s.accepted()).collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[1].reply.as_deref(), Some("451 4.3.0 Stored all the same"));
}

#[tokio::test]
async fn a_login_can_be_refused() {
    let server = server().await;
    server.faults().add(Rule::smtp(SmtpPoint::Auth, Action::reply("454 4.7.0 Temporary failure")).user(USER));
    server.faults().add(Rule::imap(ImapPoint::Login, Action::no("[UNAVAILABLE] Later")));
    let mut client = Raw::connect(server.addresses().smtp).await;
    client.reply().await;
    client.smtp("EHLO x").await;
    assert_eq!(client.smtp("AUTH PLAIN AG1vbml0b3JAZGVtby50ZXN0AHg=").await, "454 4.7.0 Temporary failure");
    let mut client = Raw::connect(server.addresses().imap).await;
    client.line().await;
    assert_eq!(client.imap("LOGIN a b").await, ["t NO [UNAVAILABLE] Later"]);
}

#[tokio::test]
async fn connections_are_lost_around_the_final_dot() {
    let server = server().await;
    let faults = server.faults();
    // Not stored, stored, stored with half a reply, stored with a whole one.
    for (number, (point, action, left, stored)) in [
        (SmtpPoint::Body, Action::Close, "", false),
        (SmtpPoint::Saved, Action::Close, "", true),
        (SmtpPoint::Saved, Action::CutReply(7), "250 2.0", true),
        (SmtpPoint::Saved, Action::close_after(), "250 2.0.0 Ok: queued as", true),
    ]
    .into_iter()
    .enumerate()
    {
        faults.clear();
        server.empty(USER, INBOX).unwrap();
        faults.add(Rule::smtp(point, action.clone()));
        let mut client = smtp_login(&server).await;
        let reply = submit(&mut client, TO, &message("x")).await;
        assert!(reply.starts_with(left) && reply.is_empty() == left.is_empty(), "{action:?}: {reply}");
        assert_eq!(client.rest().await, b"", "{action:?}");
        assert_eq!(inbox(&server).len(), usize::from(stored), "{point:?} {action:?}");
        let submission = &server.ledger().submissions()[number];
        assert_eq!(submission.saved.len(), usize::from(stored));
        assert!(submission.complete);
        assert_eq!(submission.accepted(), left.len() > 10, "{submission:?}");
    }
}

#[tokio::test]
async fn connections_are_lost_or_hang_at_each_stage() {
    let server = server().await;
    for point in [
        SmtpPoint::Connect,
        SmtpPoint::Accept,
        SmtpPoint::Ehlo,
        SmtpPoint::Auth,
        SmtpPoint::Mail,
        SmtpPoint::Rcpt,
        SmtpPoint::Data,
        SmtpPoint::Body,
    ] {
        for action in [Action::Close, Action::Hang] {
            let rule = server.faults().add(Rule::smtp(point, action.clone()));
            let mut client = Raw::connect(server.addresses().smtp).await;
            let script = [
                "EHLO x",
                "AUTH PLAIN AG90aGVyQGRlbW8udGVzdAB4",
                "MAIL FROM:<a@b.test>",
                "RCPT TO:<a@b.test>",
                "DATA",
                ".",
            ];
            let conversation = async {
                let mut last = client.reply().await;
                for line in script {
                    if last.is_empty() {
                        break;
                    }
                    if client.stream.write_all(format!("{line}\r\n").as_bytes()).await.is_err() {
                        break;
                    }
                    last = client.reply().await;
                }
                last
            };
            let result = timeout(Duration::from_millis(300), conversation).await;
            match action {
                Action::Close => assert_eq!(result.as_deref(), Ok(""), "{point:?}"),
                _ => assert!(result.is_err(), "{point:?}: {result:?}"),
            }
            assert!(server.faults().hits(rule) > 0, "{point:?}");
            server.faults().clear();
        }
    }
    server.disconnect_all();
    eventually("hanging connections are gone", || server.open_connections() == 0).await;
}

#[tokio::test]
async fn odd_replies() {
    let server = server().await;
    let faults = server.faults();
    faults.add(Rule::smtp(SmtpPoint::Noop, Action::reply("250-one\r\n250-two\r\n250 three")).times(1));
    faults.add(Rule::smtp(SmtpPoint::Noop, Action::huge_reply(250, 3_000_000)).times(1));
    faults.add(
        Rule::smtp(SmtpPoint::Noop, Action::Raw(b"\xff\xfenonsense\r\n".to_vec(), Then::Close)).times(1),
    );
    let mut client = smtp_login(&server).await;
    assert_eq!(client.smtp("NOOP").await, "250-one|250-two|250 three");
    assert_eq!(client.smtp("NOOP").await.len(), 3_000_004);
    assert!(client.smtp("NOOP").await.contains("nonsense"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_tarpit_is_slow() {
    let server = server().await;
    let pause = Duration::from_millis(5);
    server.faults().add(Rule::smtp(SmtpPoint::Connect, Action::Tarpit(pause)));
    let start = Instant::now();
    let mut client = Raw::connect(server.addresses().smtp).await;
    let greeting = client.reply().await;
    assert!(greeting.starts_with("220 "));
    assert!(start.elapsed() >= pause * u32::try_from(greeting.len()).unwrap());
}

#[tokio::test]
async fn fates() {
    let server = server().await;
    let faults = server.faults();
    faults.add(Rule::delivery(Fate::Drop).to("drop@demo.test"));
    faults.add(Rule::delivery(Fate::Folder(JUNK.into())).to("junk@demo.test"));
    faults.add(Rule::delivery(Fate::Copies(2)).to("twice@demo.test"));
    faults.add(Rule::delivery(Fate::Account("other@demo.test".into())).to("astray@demo.test"));
    faults.add(Rule::delivery(Fate::Hold(Duration::from_millis(300))).to("held@demo.test"));
    let mut client = smtp_login(&server).await;
    for to in ["drop", "junk", "twice", "astray", "held"] {
        let reply = submit(&mut client, &format!("{to}@demo.test"), &message(to)).await;
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    eventually("all saved", || inbox(&server).len() == 3).await;
    assert_eq!(server.uids(USER, JUNK).unwrap(), [1]);
    assert_eq!(server.uids("other@demo.test", INBOX).unwrap(), [1]);
    let ledger = server.ledger();
    assert!(ledger.submissions_to("drop@demo.test")[0].saved.is_empty());
    assert_eq!(ledger.submissions_to("twice@demo.test")[0].saved.len(), 2);
    let inbox: Vec<_> = server.messages(USER, INBOX).unwrap().into_iter().map(|m| m.raw).collect();
    let [first, second] = [0, 1].map(|n| inbox[n].clone());
    assert_ne!(first, second, "each copy has a trace of its own");
    let held = &ledger.submissions_to("held@demo.test")[0];
    let delay = held.saved[0].at.instant - held.replied.unwrap().instant;
    assert!(delay >= Duration::from_millis(290), "{delay:?}");
}

#[tokio::test]
async fn notices_take_the_place_of_the_message() {
    let server = server().await;
    let faults = server.faults();
    let bounce = Fate::Bounce { status: "5.1.1".into(), diagnostic: "550 5.1.1 No such user".into() };
    faults.add(Rule::delivery(bounce).to("bounce@demo.test"));
    faults.add(Rule::delivery(Fate::AutoReply).to("away@demo.test"));
    faults.add(Rule::delivery(Fate::Forward).to("forward@demo.test"));
    let mut client = smtp_login(&server).await;
    let mut texts = Vec::new();
    for (count, to) in (1..).zip(["bounce", "away", "forward"]) {
        submit(&mut client, &format!("{to}@demo.test"), &message("token")).await;
        eventually(to, || inbox(&server).len() == count).await;
        let raw = server.messages(USER, INBOX).unwrap()[count - 1].raw.to_vec();
        texts.push(String::from_utf8(raw).unwrap());
    }
    let [bounce, away, forward] = &texts[..] else { panic!("three") };
    let parsed = mail_parser::MessageParser::default().parse(bounce.as_bytes()).unwrap();
    assert_eq!(parsed.content_type().unwrap().ctype(), "multipart");
    assert_eq!(parsed.content_type().unwrap().attribute("report-type"), Some("delivery-status"));
    assert_eq!(parsed.parts.len(), 4);
    for part in [
        "Return-Path: <>",
        "Status: 5.1.1",
        "Final-Recipient: rfc822; bounce@demo.test",
        "X-MailDT-Probe: token",
    ] {
        assert!(bounce.contains(part), "{part}");
    }
    assert!(!bounce.split("\r\n\r\n").next().unwrap().contains("token"));
    for part in [
        "Subject: Auto: token\r\n",
        "In-Reply-To: <token@demo.test>",
        "Auto-Submitted: auto-replied",
        "To: monitor@demo.test",
    ] {
        assert!(away.contains(part), "{part}");
    }
    assert!(!away.contains("X-MailDT-Probe"));
    assert!(forward.contains("\r\nSubject: Fwd: token\r\n") && forward.contains("Forwarded message"));
    assert!(!forward.contains("X-MailDT-Probe") && !forward.contains("Message-ID: <token@"));
}

#[tokio::test]
async fn a_null_return_path_gets_no_notice() {
    let server = server().await;
    let rule = server.faults().add(Rule::delivery(Fate::AutoReply));
    let mut client = smtp_login(&server).await;
    client.smtp("MAIL FROM:<>").await;
    client.smtp("RCPT TO:<a@b.test>").await;
    client.smtp("DATA").await;
    assert!(client.smtp("\r\n.").await.starts_with("250"));
    eventually("the fate was asked", || server.faults().hits(rule) == 1).await;
    assert!(client.smtp("NOOP").await.starts_with("250"));
    assert!(inbox(&server).is_empty());
}

#[tokio::test]
async fn a_hidden_message_is_nowhere_until_it_appears_in_its_place() {
    let server = server().await;
    server.faults().add(Rule::delivery(Fate::Hide(Duration::from_millis(400))).times(1));
    let mut client = imap_inbox(&server).await;
    let start = Instant::now();
    assert!(attempt(&server, "hidden").await.starts_with("250"));
    assert!(attempt(&server, "seen").await.starts_with("250"));
    eventually("the second", || inbox(&server) == [2]).await;
    assert!(start.elapsed() < Duration::from_millis(400), "too slow a machine for this test");
    assert_eq!(
        client.imap("UID SEARCH ALL").await,
        ["* 1 EXISTS", "* 1 RECENT", "* SEARCH 2", "t OK Search completed"]
    );
    assert_eq!(client.imap("UID FETCH 1 UID").await, ["t OK Fetch completed"]);
    eventually("both", || inbox(&server) == [1, 2]).await;
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert_eq!(client.imap("UID SEARCH ALL").await[2], "* SEARCH 1 2");
}

#[tokio::test]
async fn counts_go_by_recipient_if_so_asked() {
    let server = server().await;
    let faults = server.faults();
    faults.add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 a"))
            .to_local_part("grey")
            .alternate(1, 1)
            .each(),
    );
    faults.add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 b"))
            .to_local_part("while")
            .within(Duration::from_millis(300))
            .each(),
    );
    let mut client = smtp_login(&server).await;
    client.smtp(&format!("MAIL FROM:<{USER}>")).await;
    let mut codes = Vec::new();
    for to in [
        "grey@a.test",
        "grey@b.test",
        "grey@a.test",
        "grey@b.test",
        "grey@a.test",
        "while@a.test",
        "while@a.test",
    ] {
        codes.push(client.smtp(&format!("RCPT TO:<{to}>")).await[..3].to_owned());
    }
    assert_eq!(codes, ["450", "450", "250", "250", "450", "450", "450"]);
    let start = Instant::now();
    while !client.smtp("RCPT TO:<while@a.test>").await.starts_with("250") {
        assert!(start.elapsed() < LIMIT);
    }
    assert!(start.elapsed() > Duration::from_millis(200), "{:?}", start.elapsed());
    assert!(client.smtp("RCPT TO:<while@b.test>").await.starts_with("450"));
}

#[tokio::test]
async fn imap_commands_can_be_refused_dropped_and_hung() {
    let server = server().await;
    server.deliver(USER, INBOX, message("x"), None).unwrap();
    for (point, command) in [
        (ImapPoint::Capability, "CAPABILITY"),
        (ImapPoint::Select, "SELECT INBOX"),
        (ImapPoint::Search, "UID SEARCH ALL"),
        (ImapPoint::Fetch, "UID FETCH 1 UID"),
        (ImapPoint::Store, "UID STORE 1 +FLAGS.SILENT (\\Deleted)"),
        (ImapPoint::Expunge, "UID EXPUNGE 1"),
        (ImapPoint::Noop, "NOOP"),
        (ImapPoint::Idle, "IDLE"),
        (ImapPoint::Status, "STATUS INBOX (MESSAGES)"),
        (ImapPoint::List, "LIST \"\" *"),
        (ImapPoint::Logout, "LOGOUT"),
    ] {
        let faults = server.faults();
        let mut client = imap_inbox(&server).await;
        faults.add(Rule::imap(point, Action::no("Not today")).user(USER).times(1));
        assert_eq!(client.imap(command).await, ["t NO Not today"], "{point:?}");
        faults.add(Rule::imap(point, Action::Close).times(1));
        assert_eq!(client.imap(command).await, [""], "{point:?}");
        let mut client = imap_inbox(&server).await;
        faults.add(Rule::imap(point, Action::Hang).times(1));
        assert!(timeout(Duration::from_millis(50), client.imap(command)).await.is_err(), "{point:?}");
        faults.clear();
    }
    assert_eq!(inbox(&server), [1]);
    assert!(server.messages(USER, INBOX).unwrap()[0].flags.is_empty());
}

#[tokio::test]
async fn odd_idles() {
    let server = server().await;
    let faults = server.faults();
    let put = |subject: &str| server.deliver(USER, INBOX, message(subject), None).unwrap();

    faults.add(Rule::quirk(Quirk::NoIdle));
    faults.add(Rule::quirk(Quirk::NoUidPlus));
    let mut client = imap_inbox(&server).await;
    let capability = client.imap("CAPABILITY").await[0].clone();
    assert!(!capability.contains("IDLE") && !capability.contains("UIDPLUS"), "{capability}");
    assert!(client.imap("IDLE").await[0].starts_with("t BAD"));
    assert!(client.imap("UID EXPUNGE 1").await[0].starts_with("t BAD"));
    faults.clear();

    faults.add(Rule::quirk(Quirk::ExistsBeforeContinuation));
    put("early");
    client.send("t IDLE\r\n").await;
    assert_eq!(client.line().await, "* 1 EXISTS");
    assert_eq!(client.line().await, "* 1 RECENT");
    assert_eq!(client.line().await, "+ idling");
    put("in idle");
    assert_eq!(client.line().await, "* 2 EXISTS");
    client.line().await;
    client.send("DONE\r\n").await;
    assert_eq!(client.tagged().await, ["t OK Idle completed"]);
    faults.clear();

    faults.add(Rule::quirk(Quirk::SilentIdle));
    put("unannounced");
    client.send("t IDLE\r\n").await;
    assert_eq!(client.line().await, "+ idling");
    put("unannounced too");
    assert!(timeout(Duration::from_millis(50), client.line()).await.is_err());
    client.send("DONE\r\n").await;
    assert_eq!(client.tagged().await, ["t OK Idle completed"]);
    assert_eq!(client.imap("NOOP").await[0], "* 4 EXISTS");
    faults.clear();

    faults.add(Rule::imap(ImapPoint::IdleNews, Action::Close));
    client.send("t IDLE\r\n").await;
    assert_eq!(client.line().await, "+ idling");
    put("the last straw");
    assert_eq!(client.rest().await, b"");
    faults.clear();

    faults.add(Rule::quirk(Quirk::DeadIdle));
    let mut client = imap_inbox(&server).await;
    client.send("t IDLE\r\n").await;
    assert_eq!(client.line().await, "+ idling");
    client.send("DONE\r\n").await;
    assert!(timeout(Duration::from_millis(50), client.line()).await.is_err());
}

#[tokio::test]
async fn odd_imap_bytes() {
    let server = server().await;
    server.deliver(USER, INBOX, message("x"), None).unwrap();
    let faults = server.faults();
    faults.add(Rule::imap(ImapPoint::Noop, Action::garbage()).times(1));
    faults.add(Rule::imap(ImapPoint::Fetch, Action::CutReply(20)).times(1));
    let mut client = imap_inbox(&server).await;
    let noop = client.imap("NOOP").await;
    assert!(noop[1].contains("garbage") && noop[2] == "t OK Done", "{noop:?}");
    client.send("t UID FETCH 1 BODY[]\r\n").await;
    assert_eq!(client.rest().await.len(), 20);
    faults.add(Rule::imap(ImapPoint::Fetch, Action::huge_literal()));
    let mut client = imap_inbox(&server).await;
    client.send("t UID FETCH 1 BODY.PEEK[HEADER]\r\n").await;
    assert!(client.line().await.ends_with("{4294967295}"));
    assert!(timeout(Duration::from_millis(50), client.line()).await.is_err());
}

#[tokio::test]
async fn starttls_can_be_stripped() {
    let server = server().await;
    server.faults().add(Rule::quirk(Quirk::NoStartTls));
    let mut client = Raw::connect(server.addresses().submission).await;
    client.reply().await;
    assert!(!client.smtp("EHLO x").await.contains("STARTTLS"));
    assert!(client.smtp("STARTTLS").await.starts_with("502"));
    let mut client = imap_inbox(&server).await;
    assert!(!client.imap("CAPABILITY").await[0].contains("STARTTLS"));
}
