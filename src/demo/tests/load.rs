use super::*;

/// A folder with 100,000 foreign messages must not make looking for one slow. The limits are wide: they tell linear
/// from quadratic in a debug build on a busy machine, not good from better.
#[tokio::test]
async fn a_needle_in_a_full_folder() {
    let server = server().await;
    server.fill(USER, INBOX, 100_000).unwrap();
    server.deliver(USER, INBOX, message("v1.needle"), None).unwrap();
    let mut client = imap_inbox(&server).await;
    for command in [
        "UID SEARCH HEADER X-MailDT-Probe v1.",
        "UID SEARCH SUBJECT v1.needle",
        "UID SEARCH UID 100000:* UNSEEN HEADER X-MailDT-Probe v1.",
    ] {
        let start = Instant::now();
        assert_eq!(client.imap(command).await[0], "* SEARCH 100001", "{command}");
        assert!(start.elapsed() < Duration::from_secs(3), "{command}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    for _ in 0..200 {
        let uid = server.deliver(USER, INBOX, message("x"), None).unwrap();
        client.imap(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
        assert_eq!(client.imap(&format!("UID EXPUNGE {uid}")).await[0], "* 100002 EXPUNGE");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// What the benchmark of the whole program needs from this server; run it in a release build with `--ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_submissions_and_removals() {
    const SENDERS: usize = 4;
    const EACH: usize = 5_000;
    let server = Arc::new(server().await);
    let start = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let server = Arc::clone(&server);
        senders.push(tokio::spawn(async move {
            let mut client = Raw::connect_tls(&server, server.addresses().smtps).await;
            client.reply().await;
            client.smtp("EHLO x").await;
            client.smtp("AUTH PLAIN AG90aGVyQGRlbW8udGVzdAB4").await;
            for number in 0..EACH {
                let reply = submit(&mut client, TO, &message(&format!("{sender}.{number}"))).await;
                assert!(reply.starts_with("250"), "{reply}");
            }
        }));
    }
    let mut client = imap_inbox(&server).await;
    let mut removed = 0;
    while removed < SENDERS * EACH {
        client.send("t IDLE\r\n").await;
        let mut line = client.line().await;
        while !line.ends_with("EXISTS") {
            line = client.line().await;
        }
        client.send("DONE\r\n").await;
        client.tagged().await;
        let found = client.imap("UID SEARCH HEADER X-MailDT-Probe \"\"").await;
        let uids: Vec<&str> =
            found.iter().find(|l| l.starts_with("* SEARCH")).unwrap().split(' ').skip(2).collect();
        if uids.is_empty() {
            continue;
        }
        let set = uids.join(",");
        client.imap(&format!("UID FETCH {set} (UID INTERNALDATE BODY.PEEK[HEADER])")).await;
        client.imap(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)")).await;
        client.imap(&format!("UID EXPUNGE {set}")).await;
        removed += uids.len();
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let rate = f64::from(u32::try_from(SENDERS * EACH).unwrap()) / start.elapsed().as_secs_f64();
    eprintln!("{rate:.0} messages a second submitted, found, read and removed");
    assert!(server.uids(USER, INBOX).unwrap().is_empty());
}

const TO: &str = "probe@demo.test";

#[tokio::test]
async fn memory_is_bounded_and_the_oldest_go_first() {
    let mut options = Options::default().account(USER, PASSWORD);
    options.limits.folder_messages = 2;
    options.limits.ledger_entries = 2;
    let server = MailServer::start(options).await.unwrap();
    let mut client = smtp_login(&server).await;
    for subject in ["1", "2", "3"] {
        assert!(submit(&mut client, TO, &message(subject)).await.starts_with("250"));
    }
    eventually("the third is saved", || server.uids(USER, INBOX).unwrap().contains(&3)).await;
    assert_eq!(server.uids(USER, INBOX).unwrap(), [2, 3]);
    eventually("the ledger says so", || server.ledger().submissions()[1].saved.len() == 1).await;
    let kept: Vec<_> = server.ledger().submissions().iter().map(|s| s.raw.clone()).collect();
    assert_eq!(kept, [message("2"), message("3")]);
    assert_eq!(server.ledger().count(), 3);
}
