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
