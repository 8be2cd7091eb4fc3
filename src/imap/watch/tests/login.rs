//! From the greeting to the open folder.

use std::time::Duration;

use super::fake::{Fake, Fault};
use super::{Scene, eventually};
use crate::config::TlsMode;
use crate::imap::error::Reason;
use crate::secret::Secret;

#[tokio::test]
async fn a_refused_login_is_not_repeated_soon_and_does_not_leak() {
    let fake = Fake::start().await;
    fake.fault(
        "LOGIN",
        Fault::Raw(
            "TAG NO [AUTHENTICATIONFAILED] LOGIN \"me\" \"s3cret \\\"pass\" s3cret \"pass\r\n".to_owned(),
        ),
        9,
    );
    let folders = vec!["INBOX".to_owned(), "\\Junk".to_owned(), "Other".to_owned()];
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.folders = folders).start();
    for _ in 0..3 {
        let lost = scene.lost().await;
        assert_eq!(lost.reason, Reason::Auth);
        assert!(lost.retry_in > Duration::from_secs(50), "{:?}", lost.retry_in);
        assert!(!lost.detail.contains("s3cret"), "{}", lost.detail);
        assert!(lost.detail.contains("AUTHENTICATIONFAILED"), "{}", lost.detail);
    }
    assert_eq!(fake.count("LOGIN"), 1, "one attempt for all folders");
    scene.stop().await;
}

#[tokio::test]
async fn a_server_in_trouble_is_not_a_refused_login() {
    let fake = Fake::start().await;
    fake.fault("LOGIN", Fault::Answer("NO [UNAVAILABLE] authentication server is down"), 2);
    let mut scene = Scene::of(&fake).start();
    assert_eq!(scene.lost().await.reason, Reason::Other);
    scene.lost().await;
    scene.synced().await;
    scene.stop().await;
}

#[tokio::test]
async fn names_and_passwords_are_quoted() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    assert_eq!(fake.count(r#"LOGIN "me" "s3cret \"pass""#), 1);
    scene.stop().await;
}

#[tokio::test]
async fn a_password_with_a_line_break_is_never_sent() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake)
        .mailbox(|mailbox| mailbox.account.pass = Secret::new("a\r\nA1 DELETE INBOX"))
        .start();
    let lost = scene.lost().await;
    assert_eq!(lost.reason, Reason::Auth);
    assert!(!lost.detail.contains("DELETE"), "{}", lost.detail);
    assert_eq!(fake.state().log, ["CAPABILITY"]);
    scene.stop().await;
}

#[tokio::test]
async fn where_login_is_disabled_plain_is_used() {
    let fake = Fake::start().await;
    fake.state().capabilities = "IMAP4rev1 LOGINDISABLED AUTH=PLAIN";
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    assert_eq!(fake.count("AUTHENTICATE PLAIN"), 1);
    assert_eq!(fake.count("AG1lAHMzY3JldCAicGFzcw=="), 1);
    assert_eq!(fake.count("LOGIN"), 0);
    scene.stop().await;

    let fake = Fake::start().await;
    fake.state().capabilities = "IMAP4rev1 LOGINDISABLED";
    let mut scene = Scene::of(&fake).start();
    assert_eq!(scene.lost().await.reason, Reason::Auth);
    assert_eq!(fake.state().log, ["CAPABILITY"]);
    scene.stop().await;
}

#[tokio::test]
async fn without_starttls_no_password_is_sent() {
    let refused = Fault::Answer("BAD unknown command");
    // Data that follows the OK in the clear would later pass for protected.
    let injected = Fault::Raw("TAG OK go\r\n* OK injected\r\n".to_owned());
    for (fault, reason) in [(refused, Reason::Tls), (injected, Reason::Protocol)] {
        let fake = Fake::start().await;
        fake.fault("STARTTLS", fault, 99);
        let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.account.tls = TlsMode::StartTls).start();
        assert_eq!(scene.lost().await.reason, reason);
        scene.stop().await;
        assert_eq!(fake.count("LOGIN") + fake.count("AUTHENTICATE"), 0);
    }
    let fake = Fake::start().await;
    fake.fault("GREETING", Fault::Raw("* PREAUTH welcome\r\n".to_owned()), 99);
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.account.tls = TlsMode::StartTls).start();
    assert_eq!(scene.lost().await.reason, Reason::Tls);
    assert!(fake.state().log.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn what_is_not_imap_is_said_to_be_not() {
    let greetings = [
        ("220 mx.example.org ESMTP\r\n", Reason::Protocol),
        ("* BYE too many connections\r\n", Reason::Closed),
        ("", Reason::Closed),
    ];
    for (greeting, reason) in greetings {
        let fake = Fake::start().await;
        fake.fault("GREETING", Fault::Raw(greeting.to_owned()), 99);
        let mut scene = Scene::of(&fake).start();
        assert_eq!(scene.lost().await.reason, reason, "{greeting}");
        scene.stop().await;
    }
}

#[tokio::test]
async fn nobody_there() {
    let fake = Fake::start().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.account.port = free).start();
    let lost = scene.lost().await;
    assert_eq!(lost.reason, Reason::Connect);
    assert!(lost.detail.contains(&free.to_string()), "{}", lost.detail);
    scene.stop().await;
    let mut scene =
        Scene::of(&fake).mailbox(|mailbox| mailbox.account.host = "nobody.invalid".to_owned()).start();
    assert_eq!(scene.lost().await.reason, Reason::Dns);
    scene.stop().await;
}

#[tokio::test]
async fn an_unknown_folder_is_told_with_the_setting_and_the_remedy() {
    let fake = Fake::start().await;
    fake.fault("SELECT \"Foo\"", Fault::Answer("NO [NONEXISTENT] Mailbox doesn't exist: Foo"), 99);
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.folders = vec!["Foo".to_owned()]).start();
    let lost = scene.lost().await;
    assert_eq!(lost.reason, Reason::Folder);
    assert_eq!(
        lost.detail,
        "IMAP_FOLDERS: cannot open folder \"Foo\" (the server says: [NONEXISTENT] Mailbox doesn't exist: Foo); \
         create it or correct the setting; the folders there are: INBOX"
    );
    scene.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_server_that_hangs() {
    let fake = Fake::start().await;
    fake.fault("LOGIN", Fault::Hang, 99);
    let scene = Scene::of(&fake).start();
    eventually("it tries", || fake.count("LOGIN") == 1).await;
    scene.stop().await;
}
