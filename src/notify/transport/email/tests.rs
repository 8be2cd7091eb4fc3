#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Account, TlsMode};
use crate::notify::letter::{Letter, Thread, Tone};
use crate::secret::Secret;

/// What a server does at RCPT.
#[derive(Clone, Copy)]
enum Manner {
    Takes,
    Refuses,
    Hangs,
    /// It has the message and closes the connection.
    LosesTheAnswer,
}

/// A submission server for one connection; gives the message that it got.
async fn server(manner: Manner) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 lab\r\n").await.unwrap();
        let (mut line, mut message) = (String::new(), String::new());
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let reply = match line.get(..4).unwrap_or_default() {
                "EHLO" => "250-lab\r\n250 AUTH PLAIN\r\n",
                "AUTH" => "235 ok\r\n",
                "RCPT" => match manner {
                    Manner::Takes | Manner::LosesTheAnswer => "250 ok\r\n",
                    Manner::Refuses => "550 5.1.1 nobody of that name\r\n",
                    Manner::Hangs => std::future::pending().await,
                },
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.unwrap();
                    while !message.ends_with("\r\n.\r\n") {
                        stream.read_line(&mut message).await.unwrap();
                    }
                    if matches!(manner, Manner::LosesTheAnswer) {
                        return message;
                    }
                    "250 ok\r\n"
                }
                "QUIT" => return message,
                _ => "250 ok\r\n",
            };
            stream.write_all(reply.as_bytes()).await.unwrap();
            line.clear();
        }
        message
    };
    (port, tokio::spawn(serve))
}

fn post(port: u16) -> Post {
    let account = Account {
        host: "127.0.0.1".to_owned(),
        port,
        user: "alerts".to_owned(),
        pass: Secret::new("an alert password"),
        tls: TlsMode::None,
    };
    let sender =
        Sender { name: "alerts".to_owned(), account, from: "alerts@lab.test".to_owned(), connections: 4 };
    let limits = Limits { channel_send: Duration::from_millis(500), ..Limits::default() };
    Post::new(&sender, Arc::from("ops@lab.test"), &crate::tls::client_config(None).unwrap(), &limits)
}

fn parcel() -> Parcel {
    let letter = Letter {
        tone: Tone::Bad,
        subject: "Missing: somebody".to_owned(),
        lead: "Mail is missing.".to_owned(),
        facts: vec![],
        items: vec![],
        names: vec![],
        remarks: vec![],
        incidents: vec![],
        link: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let first = "a.1@lab.test".to_owned();
    let thread = Thread {
        message_id: "a.2@lab.test".to_owned(),
        in_reply_to: Some(first.clone()),
        references: vec![first],
    };
    Parcel { letter, thread, plain: false, date: Timestamp::UNIX_EPOCH }
}

#[tokio::test]
async fn a_message_is_submitted_with_its_identity_and_thread() {
    let (port, serving) = server(Manner::Takes).await;
    let channel = post(port);
    assert_eq!(channel.domain(), "lab.test");
    assert_eq!(channel.send(&parcel(), &CancellationToken::new()).await.outcome, Outcome::Delivered);
    channel.close().await;
    let message = serving.await.unwrap();
    for line in ["Message-ID: <a.2@lab.test>", "In-Reply-To: <a.1@lab.test>", "To: ops@lab.test"] {
        assert!(message.contains(line), "{line} in {message}");
    }
}

#[tokio::test]
async fn what_was_refused_is_told_with_its_step_and_never_for_good() {
    let (port, _server) = server(Manner::Refuses).await;
    let Try { outcome, reached, .. } = post(port).send(&parcel(), &CancellationToken::new()).await;
    assert!(reached, "a login would not have met it");
    let reason = "refused at RCPT TO: 550 5.1.1 nobody of that name".to_owned();
    assert_eq!(outcome, Outcome::Failed(reason));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_a_failure() {
    let (port, _server) = server(Manner::LosesTheAnswer).await;
    let Try { outcome, reached, .. } = post(port).send(&parcel(), &CancellationToken::new()).await;
    assert!(reached, "a login would not have met it");
    assert!(
        matches!(&outcome, Outcome::Failed(reason) if reason.starts_with("no answer after the end")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_hanging_server_fails_in_time_and_our_own_stop_is_no_failure() {
    let (port, _server) = server(Manner::Hangs).await;
    let Try { outcome, reached, .. } = post(port).send(&parcel(), &CancellationToken::new()).await;
    assert!(reached, "a login would not have met it");
    assert_eq!(outcome, Outcome::Failed("no answer within 0.5 s".to_owned()));
    let (port, _server) = server(Manner::Hangs).await;
    let abort = CancellationToken::new();
    let channel = post(port);
    let parcel = parcel();
    let (Try { outcome, .. }, ()) = tokio::join!(channel.send(&parcel, &abort), async { abort.cancel() });
    assert_eq!(outcome, Outcome::BrokenOff);
}

#[tokio::test]
async fn what_fails_before_the_message_is_known_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let tried = post(port).send(&parcel(), &CancellationToken::new()).await;
    assert!(matches!(tried.outcome, Outcome::Failed(_)) && !tried.reached, "{tried:?}");
}

#[tokio::test]
async fn a_connection_that_still_says_goodbye_is_waited_for_and_not_forever() {
    let (port, _server) = server(Manner::Takes).await;
    let channel = post(port);
    let busy = channel.pool.slot().unwrap();
    let (parcel, never) = (parcel(), CancellationToken::new());
    let tried = channel.send(&parcel, &never).await;
    assert_eq!(tried.outcome, Outcome::Failed("the last connection does not end".to_owned()));
    let (tried, ()) = tokio::join!(channel.send(&parcel, &never), async { drop(busy) });
    assert_eq!(tried.outcome, Outcome::Delivered);
}
