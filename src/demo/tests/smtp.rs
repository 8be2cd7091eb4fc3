use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::{Address, AsyncTransport};

use super::*;

fn envelope(to: &str) -> Envelope {
    let from: Address = USER.parse().unwrap();
    Envelope::new(Some(from), vec![to.parse().unwrap()]).unwrap()
}

#[tokio::test]
async fn lettre_delivers_over_every_kind_of_tls() {
    let server = server().await;
    let a = server.addresses();
    for (number, transport) in [
        lettre(&server, a.smtps, Tls::Wrapper),
        lettre(&server, a.submission, Tls::Required),
        lettre(&server, a.smtp, |_| Tls::None),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = within(
            transport.send_raw(&envelope("any@where.test"), message(&format!("s{number}")).trim_ascii_end()),
        )
        .await
        .unwrap();
        let text = reply.first_line().unwrap();
        assert!(text.starts_with("2.0.0 Ok: queued as "), "{text}");
        assert!(text.ends_with(&server.ledger().submissions()[number].id));
    }
    eventually("three messages", || server.uids(USER, INBOX).unwrap() == [1, 2, 3]).await;
    let stored = &server.messages(USER, INBOX).unwrap()[0];
    let raw = String::from_utf8(stored.raw.to_vec()).unwrap();
    assert!(raw.starts_with("Return-Path: <monitor@demo.test>\r\nReceived: from "), "{raw}");
    assert!(raw.contains("with ESMTPSA id ") && raw.contains("\tfor <any@where.test>; "), "{raw}");
    assert!(raw.ends_with("\r\n\r\nHello\r\n.dot\r\n"), "{raw}");

    let ledger = server.ledger().submissions();
    assert_eq!(ledger.len(), 3);
    let first = &ledger[0];
    assert!(first.accepted() && first.complete && first.tls && !ledger[2].tls);
    assert_eq!(first.raw, message("s0"));
    assert_eq!(
        (first.mail_from.as_str(), first.rcpt_to.as_slice()),
        (USER, &["any@where.test".to_owned()][..])
    );
    assert_eq!((first.saved[0].account.as_str(), first.saved[0].uid), (USER, 1));
    assert!(first.received.instant <= first.replied.unwrap().instant);
    assert!(first.replied.unwrap().instant <= first.saved[0].at.instant);
    assert!(ledger[0].connection < ledger[2].connection);
}

#[tokio::test]
async fn both_mechanisms_and_wrong_passwords() {
    let server = server().await;
    let address = server.addresses().smtps;
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let root = LettreCertificate::from_pem(server.ca_pem().as_bytes()).unwrap();
        let parameters =
            TlsParameters::builder("localhost".to_owned()).add_root_certificate(root).build_rustls().unwrap();
        let builder = || {
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
                .port(address.port())
                .tls(Tls::Wrapper(parameters.clone()))
                .authentication(vec![mechanism])
        };
        let right: AsyncSmtpTransport<Tokio1Executor> =
            builder().credentials(Credentials::new(USER.to_owned(), PASSWORD.to_owned())).build();
        assert!(within(right.test_connection()).await.unwrap());
        let wrong: AsyncSmtpTransport<Tokio1Executor> =
            builder().credentials(Credentials::new(USER.to_owned(), "no".to_owned())).build();
        let error = within(wrong.test_connection()).await.unwrap_err();
        assert_eq!(error.status().map(u16::from), Some(535));
    }
    let mut client = Raw::connect(server.addresses().smtp).await;
    client.reply().await;
    client.smtp("EHLO x").await;
    assert!(client.smtp("AUTH PLAIN").await.starts_with("334"));
    assert!(client.smtp("!!").await.starts_with("501 5.5.2"));
    assert!(client.smtp("AUTH LOGIN").await.starts_with("334 VXNlcm5hbWU6"));
    assert!(client.smtp("*").await.starts_with("501 5.7.0"));
    assert!(client.smtp("AUTH CRAM-MD5").await.starts_with("504"));
}

#[tokio::test]
async fn order_of_commands_is_enforced() {
    let server = server().await;
    let mut client = Raw::connect(server.addresses().submission).await;
    client.reply().await;
    assert!(client.smtp("MAIL FROM:<a@b.test>").await.starts_with("503 5.5.1"));
    let ehlo = client.smtp("EHLO x").await;
    assert!(ehlo.contains("STARTTLS") && !ehlo.contains("AUTH"), "{ehlo}");
    assert!(
        ehlo.contains("PIPELINING") && ehlo.contains("8BITMIME") && ehlo.contains("250-SIZE 16777216"),
        "{ehlo}"
    );
    assert!(client.smtp("AUTH PLAIN AAAA").await.starts_with("538 5.7.11"));
    assert!(client.smtp("MAIL FROM:<a@b.test>").await.starts_with("530 5.7.0"));

    let mut client = smtp_login(&server).await;
    assert!(client.smtp("STARTTLS").await.starts_with("502"));
    assert!(client.smtp("RCPT TO:<a@b.test>").await.starts_with("503"));
    assert!(client.smtp("DATA").await.starts_with("554"));
    assert!(client.smtp("MAIL FROM:<a@b.test> SIZE=99999999").await.starts_with("552 5.3.4"));
    assert!(client.smtp("MAIL FROM:<> BODY=8BITMIME SIZE=9").await.starts_with("250"));
    assert!(client.smtp("MAIL FROM:<>").await.starts_with("503"));
    assert!(client.smtp("RSET").await.starts_with("250"));
    assert!(client.smtp("NOOP").await.starts_with("250"));
    assert!(client.smtp("HELO x").await.starts_with("250 mail.demo.test"));
    assert!(client.smtp("QUIT").await.starts_with("221 2.0.0"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn pipelined_commands_get_their_replies_in_order() {
    let server = server().await;
    let mut client = smtp_login(&server).await;
    client.send(format!("MAIL FROM:<{USER}>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<bad>\r\nDATA\r\n")).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(client.reply().await[..3].to_owned());
    }
    assert_eq!(codes, ["250", "250", "501", "354"]);
    client.send("Subject: x\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n").await;
    assert!(client.reply().await.starts_with("250 2.0.0 Ok: queued as"));
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("221"));
    assert_eq!(server.ledger().submissions()[0].raw, "Subject: x\r\n\r\n.\r\n");
}

#[tokio::test]
async fn bare_line_feeds_are_refused() {
    let server = server().await;
    let mut client = smtp_login(&server).await;
    assert!(
        submit(&mut client, "a@b.test", b"Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@x>\r\n")
            .await
            .starts_with("550 5.6.0")
    );
    assert_eq!(server.ledger().submissions().len(), 1);
    assert!(!server.ledger().submissions()[0].accepted());
    assert!(server.uids(USER, INBOX).unwrap().is_empty());
    client.send("NOOP\n").await;
    assert!(client.reply().await.starts_with("500 5.5.2 Bare line feed"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn what_comes_in_the_clear_after_starttls_is_thrown_away() {
    let server = server().await;
    let mut client = Raw::connect(server.addresses().submission).await;
    client.reply().await;
    client.smtp("EHLO x").await;
    client.send("STARTTLS\r\nRSET\r\nRSET\r\n").await;
    assert!(client.reply().await.starts_with("220"));
    let stream = within(tls(&server, client.stream.into_inner())).await.unwrap();
    let mut client = Raw { stream: BufReader::new(stream) };
    let ehlo = client.smtp("EHLO x").await;
    assert!(
        ehlo.starts_with("250-mail.demo.test|") && ehlo.contains("AUTH") && !ehlo.contains("STARTTLS"),
        "{ehlo}"
    );
}

#[tokio::test]
async fn unknown_users_are_refused_without_a_catch_all() {
    let mut options = Options::default().account(USER, PASSWORD);
    options.catch_all = None;
    options.require_auth = false;
    let server = MailServer::start(options).await.unwrap();
    let mut client = Raw::connect(server.addresses().smtp).await;
    client.reply().await;
    client.smtp("EHLO x").await;
    assert!(submit(&mut client, "nobody@demo.test", b"").await.starts_with("550 5.1.1"));
    let refusal = &server.ledger().refusals()[0];
    assert_eq!((refusal.verb.as_str(), refusal.recipient.as_deref()), ("RCPT", Some("nobody@demo.test")));
    assert!(submit(&mut client, "MONITOR@demo.test", &message("x")).await.starts_with("250"));
}

#[tokio::test]
async fn limits_hold() {
    let mut options = Options::default().account(USER, PASSWORD);
    options.limits.message = 5_000;
    options.limits.connections = 2;
    options.limits.recipients = 2;
    let server = MailServer::start(options).await.unwrap();
    let mut client = smtp_login(&server).await;
    let big = [b"Subject: x\r\n\r\n".to_vec(), b"xxxx\r\n".repeat(1000)].concat();
    assert!(submit(&mut client, "a@b.test", &big).await.starts_with("552 5.3.4"));
    let long = [b"Subject: ".to_vec(), b"x".repeat(1000), b"\r\n\r\n".to_vec()].concat();
    assert!(submit(&mut client, "a@b.test", &long).await.starts_with("554 5.6.0"));
    client.smtp("MAIL FROM:<a@b.test>").await;
    for code in ["250", "250", "452 4.5.3"] {
        assert!(client.smtp("RCPT TO:<a@b.test>").await.starts_with(code));
    }
    let _second = smtp_login(&server).await;
    let mut third = Raw::connect(server.addresses().smtp).await;
    assert!(third.reply().await.starts_with("421 4.7.0"));
    client.send([b"NOOP ".to_vec(), b"x".repeat(20_000)].concat()).await;
    assert!(client.reply().await.starts_with("500 5.5.6"));
    assert_eq!(client.rest().await, b"");
    eventually("the places are free again", || server.open_connections() == 1).await;
    let mut fourth = Raw::connect(server.addresses().smtp).await;
    assert!(fourth.reply().await.starts_with("220"));
}

#[tokio::test]
async fn noise_never_brings_it_down() {
    let server = server().await;
    for address in [server.addresses().smtp, server.addresses().imap, server.addresses().smtps] {
        for seed in 0..40_u64 {
            let mut noise = Vec::new();
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for _ in 0..600 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let words: [&[u8]; 12] = [
                    b"\r\n",
                    b"EHLO x\r\n",
                    b"a LOGIN {3}\r\n",
                    b"MAIL FROM:<",
                    b">",
                    b" {5+}\r\n",
                    b"\0\xff",
                    b"a1 ",
                    b"UID FETCH ",
                    b"\"",
                    b"AUTH PLAIN ",
                    b"\n",
                ];
                noise.extend_from_slice(words[usize::try_from(state % 12).unwrap()]);
            }
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&noise).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = within(stream.read_to_end(&mut rest)).await;
        }
    }
    let mut client = smtp_login(&server).await;
    assert!(client.smtp("NOOP").await.starts_with("250"));
    imap_inbox(&server).await;
}

#[tokio::test]
async fn a_message_cut_off_in_the_middle_is_in_the_ledger() {
    let server = server().await;
    let mut client = smtp_login(&server).await;
    client.smtp(&format!("MAIL FROM:<{USER}>")).await;
    client.smtp("RCPT TO:<a@b.test>").await;
    assert!(client.smtp("DATA").await.starts_with("354"));
    client.send("Subject: half\r\n").await;
    drop(client);
    eventually("the half", || server.ledger().count() == 1).await;
    let half = &server.ledger().submissions()[0];
    assert!(!half.complete && !half.accepted());
    assert_eq!(half.raw, "Subject: half\r\n");
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let server = server().await;
    let mut smtp = smtp_login(&server).await;
    let mut imap = imap_inbox(&server).await;
    let address = server.addresses().smtp;
    within(server.stop()).await;
    assert!(smtp.reply().await.starts_with("421 4.3.2"));
    assert!(imap.line().await.starts_with("* BYE"));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_the_stop() {
    let server = server().await;
    server.fill(USER, INBOX, 50_000).unwrap();
    let mut client = imap_inbox(&server).await;
    client.send("t FETCH 1:* BODY.PEEK[]\r\n").await;
    assert!(client.line().await.starts_with("* 1 FETCH"));
    let shared = Arc::clone(&server.shared);
    within(server.stop()).await;
    assert!(shared.tasks.is_empty());
}

#[tokio::test]
async fn certificates_for_others_and_of_yesterday_do_not_pass() {
    let bad = [
        Certificate { names: vec!["other.test".to_owned()], days: 90 },
        Certificate { days: -1, ..Certificate::default() },
    ];
    for certificate in bad {
        let server = MailServer::start(Options { certificate, ..Options::default() }).await.unwrap();
        let tcp = TcpStream::connect(server.addresses().imaps).await.unwrap();
        assert!(within(tls(&server, tcp)).await.is_err());
    }
}
