use async_imap::extensions::idle::IdleResponse;
use async_imap::types::Flag;
use futures_util::{StreamExt, TryStreamExt};

use super::*;

async fn session(server: &MailServer) -> async_imap::Session<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(server.addresses().imaps).await.unwrap();
    let mut client = async_imap::Client::new(tls(server, tcp).await.unwrap());
    client.read_response().await.unwrap().unwrap();
    client.login(USER, PASSWORD).await.map_err(|(error, _)| error).unwrap()
}

#[tokio::test]
async fn async_imap_finds_reads_flags_and_removes() {
    let server = server().await;
    for subject in ["one", "two", "three"] {
        server.deliver(USER, INBOX, message(subject), None).unwrap();
    }
    let mut session = within(session(&server)).await;
    let mailbox = within(session.select("INBOX")).await.unwrap();
    assert_eq!((mailbox.exists, mailbox.uid_next), (3, Some(4)));
    assert_eq!(mailbox.uid_validity, Some(server.uid_state(USER, INBOX).unwrap().0));

    let found = within(session.uid_search("HEADER X-MailDT-Probe two")).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [2]);
    let query = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])";
    let fetched: Vec<_> = session.uid_fetch("2", query).await.unwrap().try_collect().await.unwrap();
    assert_eq!(fetched.len(), 1);
    let two = &fetched[0];
    assert_eq!(
        (two.message, two.uid, two.size),
        (2, Some(2), Some(u32::try_from(message("two").len()).unwrap()))
    );
    let header = String::from_utf8(two.header().unwrap().to_vec()).unwrap();
    assert!(header.contains("\r\nSubject: two\r\n") && header.ends_with("\r\n\r\n"));
    let age = crate::clock::now().as_second() - two.internal_date().unwrap().timestamp();
    assert!((0..5).contains(&age), "{age}");
    assert_eq!(two.flags().collect::<Vec<_>>(), [Flag::Recent]);

    session.uid_store("2", "+FLAGS.SILENT (\\Deleted)").await.unwrap().collect::<Vec<_>>().await;
    session.uid_store("3", "+FLAGS (\\Deleted \\Seen)").await.unwrap().collect::<Vec<_>>().await;
    let gone: Vec<_> = session.uid_expunge("2").await.unwrap().try_collect().await.unwrap();
    assert_eq!(gone, [2]);
    assert_eq!(server.uids(USER, INBOX).unwrap(), [1, 3]);
    let flags = &server.messages(USER, INBOX).unwrap()[1].flags;
    assert_eq!(flags, &["\\Seen", "\\Deleted"]);
    within(session.close()).await.unwrap();
    assert_eq!(server.uids(USER, INBOX).unwrap(), [1]);
    within(session.logout()).await.unwrap();
}

#[tokio::test]
async fn idle_tells_of_new_mail_at_once() {
    let server = server().await;
    let mut session = within(session(&server)).await;
    within(session.select("INBOX")).await.unwrap();
    let mut idle = session.idle();
    within(idle.init()).await.unwrap();
    let (wait, _stop) = idle.wait();
    let delivery = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.deliver(USER, INBOX, message("news"), None).unwrap();
        Instant::now()
    };
    let waiting = async { (wait.await, Instant::now()) };
    let ((response, seen), delivered) = within(async { tokio::join!(waiting, delivery) }).await;
    assert!(matches!(response.unwrap(), IdleResponse::NewData(_)));
    assert!(seen - delivered < Duration::from_millis(200), "{:?}", seen - delivered);
    let mut session = within(idle.done()).await.unwrap();
    assert_eq!(within(session.uid_search("ALL")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn folders_are_listed_with_their_use() {
    let server = server().await;
    let mut client = imap_inbox(&server).await;
    let junk = "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"";
    assert_eq!(
        client.imap("LIST \"\" *").await,
        ["* LIST (\\HasNoChildren) \"/\" \"INBOX\"", junk, "t OK List completed"]
    );
    assert_eq!(client.imap("LIST \"\" \"\"").await[0], "* LIST (\\Noselect) \"/\" \"\"");
    assert!(client.imap("CREATE Archive").await[0].starts_with("t OK"));
    server.deliver(USER, "Archive", message("x"), None).unwrap();
    assert_eq!(
        client.imap("STATUS Archive (MESSAGES RECENT UIDNEXT UNSEEN)").await[0],
        "* STATUS \"Archive\" (MESSAGES 1 RECENT 1 UIDNEXT 2 UNSEEN 1)"
    );
    assert!(client.imap("SELECT Nowhere").await[0].starts_with("t NO [NONEXISTENT]"));
    assert!(client.imap("SEARCH ALL").await[0].starts_with("t BAD"), "a failed SELECT selects nothing");
    assert!(client.imap("EXAMINE Archive").await.last().unwrap().starts_with("t OK [READ-ONLY]"));
    assert!(client.imap("UID STORE 1 +FLAGS \\Seen").await[0].starts_with("t NO [READ-ONLY]"));
    assert_eq!(server.folders(USER).unwrap(), ["Archive", "INBOX", "Junk"]);
}

#[tokio::test]
async fn searches() {
    let server = server().await;
    server.deliver(USER, INBOX, message("alpha"), Some("2024-02-01T23:00:00Z".parse().unwrap())).unwrap();
    server.deliver(USER, INBOX, message("beta"), Some("2024-02-02T01:00:00Z".parse().unwrap())).unwrap();
    server
        .deliver(
            USER,
            INBOX,
            "Subject: folded\r\n  gamma\r\nDate: Fri, 2 Feb 2024 10:00:00 +0100\r\n\r\nalpha\r\n",
            None,
        )
        .unwrap();
    let mut client = imap_inbox(&server).await;
    client.imap("UID STORE 2 +FLAGS.SILENT (\\Seen todo)").await;
    for (query, hits) in [
        ("ALL", "1 2 3"),
        ("SUBJECT ALPHA", "1"),
        ("SUBJECT \"folded  gamma\"", "3"),
        ("TEXT alpha", "1 3"),
        ("BODY alpha", "3"),
        ("HEADER X-MailDT-Probe \"\"", "1 2"),
        ("HEADER x-maildt-probe bet", "2"),
        ("NOT HEADER X-MailDT-Probe \"\"", "3"),
        ("OR SUBJECT alpha SUBJECT beta", "1 2"),
        ("OR HEADER X-MailDT-Probe alpha SUBJECT gamma", "1 3"),
        ("OR (UID 1 SEEN) (UID 2:3 UNSEEN)", "3"),
        ("UNSEEN", "1 3"),
        ("SEEN KEYWORD todo", "2"),
        ("UID 2:*", "2 3"),
        ("UID 9:*", "3"),
        ("2 UID 1:3", "2"),
        ("SINCE 2-Feb-2024 BEFORE 3-Feb-2024", "2"),
        ("ON 1-Feb-2024", "1"),
        ("SENTSINCE 2-Feb-2024", "3"),
        ("SENTSINCE 3-Feb-2024", ""),
        ("SMALLER 90", "3"),
        ("DELETED", ""),
        ("CHARSET UTF-8 SUBJECT beta", "2"),
    ] {
        let response = client.imap(&format!("UID SEARCH {query}")).await;
        assert_eq!(response[0].trim_start_matches("* SEARCH").trim(), hits, "{query}: {response:?}");
        assert_eq!(response[1], "t OK Search completed", "{query}");
    }
    assert!(client.imap("SEARCH CHARSET KOI8-R ALL").await[0].starts_with("t NO [BADCHARSET"));
    client.send("t UID SEARCH SUBJECT {4}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("beta\r\n").await;
    assert_eq!(client.tagged().await[0], "* SEARCH 2");
    client.send("t UID SEARCH SUBJECT {4+}\r\nbeta SEEN\r\n").await;
    assert_eq!(client.tagged().await[0], "* SEARCH 2");
}

#[tokio::test]
async fn fetches() {
    let server = server().await;
    server.deliver(USER, INBOX, message("x"), Some("2024-02-03T04:05:06Z".parse().unwrap())).unwrap();
    let mut client = imap_inbox(&server).await;
    let fetch = client.imap("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)").await;
    let size = message("x").len();
    assert_eq!(
        fetch[0],
        format!(
            "* 1 FETCH (UID 1 FLAGS (\\Recent) INTERNALDATE \" 3-Feb-2024 04:05:06 +0000\" RFC822.SIZE {size})"
        )
    );
    let fetch = client.imap("UID FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT X-MailDT-Probe)]").await;
    assert_eq!(fetch[0], "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT X-MailDT-Probe)] {33}");
    assert_eq!(fetch[1..4], ["Subject: x", "X-MailDT-Probe: x", ""]);
    let fetch = client.imap("FETCH 1 BODY.PEEK[]<1.4>").await;
    assert_eq!(fetch[..2], ["* 1 FETCH (BODY[]<1> {4}", "rom:)"]);
    let fetch = client.imap("FETCH 1 BODY.PEEK[HEADER]<9999.4>").await;
    assert_eq!(fetch[..2], ["* 1 FETCH (BODY[HEADER]<9999> {0}", ")"]);
    assert!(server.messages(USER, INBOX).unwrap()[0].flags.is_empty());
    let fetch = client.imap("FETCH 1 BODY[TEXT]").await;
    assert_eq!(fetch[..4], ["* 1 FETCH (BODY[TEXT] {13}", "Hello", ".dot", " FLAGS (\\Seen \\Recent))"]);
    assert_eq!(server.messages(USER, INBOX).unwrap()[0].flags, ["\\Seen"]);
    assert_eq!(client.imap("UID FETCH 7 FLAGS").await, ["t OK Fetch completed"]);
    assert!(client.imap("FETCH 1 ENVELOPE").await[0].starts_with("t NO [CANNOT]"));
}

#[tokio::test]
async fn two_sessions_hear_of_each_other() {
    let server = server().await;
    for subject in ["1", "2", "3", "4"] {
        server.deliver(USER, INBOX, message(subject), None).unwrap();
    }
    let (mut a, mut b) = (imap_inbox(&server).await, imap_inbox(&server).await);
    assert_eq!(a.imap("STORE 2,3 +FLAGS (\\Deleted)").await[0], "* 2 FETCH (FLAGS (\\Deleted \\Recent))");
    assert_eq!(a.imap("NOOP").await, ["t OK Done"], "own changes are no news");
    assert_eq!(
        b.imap("NOOP").await,
        ["* 2 FETCH (UID 2 FLAGS (\\Deleted))", "* 3 FETCH (UID 3 FLAGS (\\Deleted))", "t OK Done"]
    );
    server.deliver(USER, INBOX, message("5"), None).unwrap();
    assert_eq!(
        a.imap("EXPUNGE").await,
        ["* 5 EXISTS", "* 5 RECENT", "* 3 EXPUNGE", "* 2 EXPUNGE", "t OK Expunge completed"]
    );
    // No EXPUNGE while sequence numbers are in use; the removed ones are simply not there.
    assert_eq!(
        b.imap("FETCH 1:4 UID").await,
        ["* 1 FETCH (UID 1)", "* 4 FETCH (UID 4)", "t OK Fetch completed"]
    );
    let noop = b.imap("NOOP").await;
    assert_eq!(noop, ["* 5 EXISTS", "* 1 RECENT", "* 3 EXPUNGE", "* 2 EXPUNGE", "t OK Done"]);
    assert_eq!(b.imap("UID FETCH 5 UID").await[0], "* 3 FETCH (UID 5)");
    server.delete(USER, INBOX, 1).unwrap();
    server.deliver(USER, INBOX, message("6"), None).unwrap();
    assert_eq!(b.imap("UID SEARCH ALL").await[..3], ["* 1 EXPUNGE", "* 3 EXISTS", "* 2 RECENT"]);
}

#[tokio::test]
async fn a_session_far_behind_catches_up() {
    let server = server().await;
    server.fill(USER, INBOX, 100).unwrap();
    let mut client = imap_inbox(&server).await;
    server.fill(USER, INBOX, 20_000).unwrap();
    for uid in 1..=99 {
        server.delete(USER, INBOX, uid).unwrap();
    }
    let noop = client.imap("NOOP").await;
    assert_eq!(noop.len(), 99 + 3);
    assert_eq!(
        (noop[0].as_str(), noop[98].as_str(), noop[99].as_str()),
        ("* 99 EXPUNGE", "* 1 EXPUNGE", "* 20001 EXISTS")
    );
    assert_eq!(client.imap("FETCH 1,2 UID").await[..2], ["* 1 FETCH (UID 100)", "* 2 FETCH (UID 101)"]);
}

#[tokio::test]
async fn append_copy_and_move() {
    let server = server().await;
    let mut client = imap_inbox(&server).await;
    let (validity, _) = server.uid_state(USER, INBOX).unwrap();
    client
        .send("t APPEND INBOX (\\Seen) \" 3-Feb-2024 04:05:06 +0100\" {14+}\r\nSubject: a\r\n\r\n\r\n")
        .await;
    let append = client.tagged().await;
    assert_eq!(
        append,
        ["* 1 EXISTS", "* 1 RECENT", format!("t OK [APPENDUID {validity} 1] Append completed").as_str()]
    );
    let stored = &server.messages(USER, INBOX).unwrap()[0];
    assert_eq!(stored.internal_date.to_string(), "2024-02-03T03:05:06Z");
    assert_eq!(stored.flags, ["\\Seen"]);
    assert!(client.imap("UID COPY 1 Junk").await[0].contains("[COPYUID "));
    let moved = client.imap("UID MOVE 1 Junk").await;
    assert!(moved[0].starts_with("* OK [COPYUID ") && moved[0].contains(" 1 2]"), "{moved:?}");
    assert_eq!(moved[1], "* 1 EXPUNGE");
    assert_eq!((server.uids(USER, INBOX).unwrap(), server.uids(USER, JUNK).unwrap()), (vec![], vec![1, 2]));
    assert!(client.imap("UID COPY 1 Nowhere").await[0].starts_with("t NO [TRYCREATE]"));
}

#[tokio::test]
async fn logins() {
    let server = server().await;
    let mut client = Raw::connect(server.addresses().imap).await;
    client.line().await;
    assert!(client.imap("SELECT INBOX").await[0].starts_with("t BAD"));
    assert!(client.imap("LOGIN monitor@demo.test wrong").await[0].starts_with("t NO [AUTHENTICATIONFAILED]"));
    assert!(client.imap("LOGIN {9999999999}").await[0].starts_with("t NO [TOOBIG]"));
    assert!(client.imap("CAPABILITY").await[0].contains(" STARTTLS"));
    client.send("t AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.line().await, "+");
    client.send("*\r\n").await;
    assert!(client.tagged().await[0].starts_with("t BAD"));
    client.send("t STARTTLS\r\nt NOOP\r\n").await;
    assert!(client.line().await.starts_with("t OK"));
    let stream = within(tls(&server, client.stream.into_inner())).await.unwrap();
    let mut client = Raw { stream: BufReader::new(stream) };
    assert!(!client.imap("CAPABILITY").await[0].contains("STARTTLS"));
    // other@demo.test with x
    let login = client.imap("AUTHENTICATE PLAIN AG90aGVyQGRlbW8udGVzdAB4").await;
    assert!(login[0].starts_with("t OK [CAPABILITY IMAP4rev1"), "{login:?}");
    assert!(client.imap("ID NIL").await[0].starts_with("* ID ("));
    assert_eq!(client.imap("LOGOUT").await, ["* BYE Logging out", "t OK Bye"]);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_new_uid_validity_ends_the_session() {
    let server = server().await;
    for subject in ["1", "2"] {
        server.deliver(USER, INBOX, message(subject), None).unwrap();
    }
    server.delete(USER, INBOX, 1).unwrap();
    let mut idle = imap_inbox(&server).await;
    idle.send("t IDLE\r\n").await;
    assert!(idle.line().await.starts_with("+ "));
    let (before, _) = server.uid_state(USER, INBOX).unwrap();
    let after = server.change_uid_validity(USER, INBOX).unwrap();
    assert!(after > before);
    assert!(idle.line().await.starts_with("* BYE"));
    assert_eq!(idle.rest().await, b"");
    let mut client = imap_inbox(&server).await;
    assert_eq!(client.imap("UID SEARCH ALL").await[0], "* SEARCH 1");
    assert_eq!(server.uid_state(USER, INBOX).unwrap(), (after, 2));

    client.imap("SELECT Junk").await;
    client.send("t IDLE\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    server.change_uid_validity(USER, JUNK).unwrap();
    assert!(client.line().await.starts_with("* BYE"), "in a folder where nothing ever happened, too");
}

#[tokio::test]
async fn hostile_messages_are_served_byte_by_byte() {
    let server = server().await;
    let hostile = hostile::messages("X-MailDT-Probe: v1.lure");
    for (_, raw) in &hostile {
        server.deliver(USER, INBOX, raw.clone(), None).unwrap();
    }
    let mut client = imap_inbox(&server).await;
    for (uid, (what, raw)) in (1..).zip(&hostile) {
        client.send(format!("t UID FETCH {uid} BODY.PEEK[]\r\n")).await;
        assert_eq!(
            client.line().await,
            format!("* {uid} FETCH (UID {uid} BODY[] {{{}}}", raw.len()),
            "{what}"
        );
        let mut body = vec![0; raw.len()];
        within(client.stream.read_exact(&mut body)).await.unwrap();
        assert!(body == *raw, "{what}");
        assert_eq!(client.tagged().await, [")", "t OK Fetch completed"], "{what}");
        client
            .imap(&format!(
                "UID SEARCH UID {uid} OR SUBJECT x OR HEADER X-MailDT-Probe lure SENTSINCE 1-Jan-2020"
            ))
            .await;
    }
    let last = client.imap("UID SEARCH HEADER X-MailDT-Probe v1.lure").await;
    assert!(last[0].split(' ').count() > 12, "{last:?}");
}
