//! TLS: required where asked for, verified, and nothing from before it is believed behind it.

use std::sync::Arc;

use super::server::*;
use crate::config::TlsMode;
use crate::domain::submission::{Outcome, Phase, Reason};
use crate::smtp::{Pool, Reuse};

fn before_tls(reply: &str) -> Vec<Step> {
    let hello = "250-mx.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n";
    [stages(0..1), vec![hear("EHLO"), say(hello), hear("STARTTLS"), say(reply)]].concat()
}

fn failure(outcome: &Outcome) -> (Phase, Reason, &str) {
    match outcome {
        Outcome::Failed { phase, reason, detail } => (*phase, *reason, detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn starttls_comes_before_the_login_and_says_ehlo_twice() {
    let script = [before_tls("220 go\r\n"), vec![Step::Tls], stages(1..7)].concat();
    let server = Server::start(vec![script]).await;
    let attempt = submit(&server.pool(TlsMode::StartTls)).await;
    assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "{attempt:?} {:?}", server.heard());
    let phases: Vec<Phase> = attempt.phases.iter().map(|&(phase, _)| phase).collect();
    assert_eq!(phases, Phase::ALL);
    assert_eq!(attempt.certificate_not_after, Some(CERTIFICATE_ENDS));
    let heard = &server.heard()[0];
    let verbs: Vec<&str> = heard.iter().map(|line| line.split(' ').next().unwrap()).take(4).collect();
    assert_eq!(verbs, ["EHLO", "STARTTLS", "EHLO", "AUTH"]);
}

#[tokio::test]
async fn implicit_tls_comes_first() {
    let server = Server::start(vec![[vec![Step::Tls], stages(0..7)].concat()]).await;
    let attempt = submit(&server.pool(TlsMode::Implicit)).await;
    assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "{attempt:?} {:?}", server.heard());
    assert_eq!(attempt.certificate_not_after, Some(CERTIFICATE_ENDS));
}

/// RFC 3207, section 6; CVE-2011-0411.
#[tokio::test]
async fn replies_injected_before_tls_end_the_attempt() {
    let script =
        [before_tls("220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n"), vec![Step::Tls], stages(1..7)].concat();
    let server = Server::start(vec![script]).await;
    let attempt = submit(&server.pool(TlsMode::StartTls)).await;
    assert_eq!(
        failure(&attempt.outcome),
        (Phase::Tls, Reason::Protocol, "the server sent something that nobody had asked for")
    );
    server.until(|heard| heard[0].last().unwrap().starts_with("(no TLS")).await;
}

#[tokio::test]
async fn starttls_is_never_done_without() {
    let (attempt, heard) = {
        let server = Server::start(vec![stages(0..2)]).await;
        (submit(&server.pool(TlsMode::StartTls)).await, server)
    };
    let (phase, reason, detail) = failure(&attempt.outcome);
    assert_eq!((phase, reason), (Phase::Tls, Reason::Tls));
    assert!(detail.starts_with("the server does not offer STARTTLS"), "{detail}");
    heard.until(|heard| heard[0].last().unwrap() == "(closed)").await;
    assert_eq!(heard.heard()[0].len(), 2, "EHLO and nothing else: {:?}", heard.heard());

    let server = Server::start(vec![before_tls("454 4.7.0 TLS not available\r\n")]).await;
    match submit(&server.pool(TlsMode::StartTls)).await.outcome {
        Outcome::Refused { phase: Phase::Tls, reason: Reason::Smtp4xx, reply } => assert_eq!(reply.code, 454),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn faults_around_the_handshake_are_told() {
    let script = |end: Vec<Step>| [before_tls("220 go\r\n"), end].concat();
    // What comes at once is seen before the handshake or by it, as it happens to arrive.
    for (end, expected) in [
        (vec![Step::Close], [Reason::Tls, Reason::Connect]),
        (vec![say("220 plain\r\n"), Step::Hang], [Reason::Tls, Reason::Protocol]),
        (vec![Step::HearBytes(5), say("220 this is not TLS\r\n"), Step::Hang], [Reason::Tls; 2]),
        (vec![Step::Hang], [Reason::Timeout; 2]),
    ] {
        let server = Server::start(vec![script(end.clone())]).await;
        let pool = server.pool_with(server.sender(TlsMode::StartTls), hasty(), Reuse::default());
        let attempt = submit(&pool).await;
        let (phase, reason, detail) = failure(&attempt.outcome);
        assert_eq!(phase, Phase::Tls, "{end:?}");
        assert!(expected.contains(&reason), "{end:?}: {reason:?} {detail}");
    }
}

#[tokio::test]
async fn a_plain_server_where_tls_is_expected_is_told_in_words() {
    let server = Server::start(vec![[stages(0..1), vec![Step::Hang]].concat()]).await;
    let attempt = submit(&server.pool(TlsMode::Implicit)).await;
    let (phase, reason, detail) = failure(&attempt.outcome);
    assert_eq!((phase, reason), (Phase::Tls, Reason::Tls));
    assert!(detail.contains("does not speak TLS"), "{detail}");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_in_words() {
    let script = || [vec![Step::Tls], stages(0..7)].concat();
    let server = Server::start(vec![script(), script()]).await;
    let (_, others) = certificates(&["localhost"]);
    let pool = Pool::new(Arc::new(server.sender(TlsMode::Implicit)), others, Arc::new(patient()));
    let attempt = submit(&pool).await;
    let (phase, reason, detail) = failure(&attempt.outcome);
    assert_eq!((phase, reason), (Phase::Tls, Reason::Tls));
    assert!(detail.starts_with("TLS with localhost: ") && detail.contains("TLS_CA_FILE"), "{detail}");

    let mut sender = server.sender(TlsMode::Implicit);
    sender.account.host = "127.0.0.1".to_owned();
    let attempt = submit(&server.pool_with(sender, patient(), Reuse::default())).await;
    let (_, _, detail) = failure(&attempt.outcome);
    assert_eq!(detail, "TLS with 127.0.0.1: the server's certificate is not for 127.0.0.1 but for localhost");
}
