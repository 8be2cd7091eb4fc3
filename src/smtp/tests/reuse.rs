//! Connections used more than once, and how they end.

use std::time::{Duration, Instant};

use super::server::*;
use crate::config::TlsMode;
use crate::domain::submission::{Attempt, Outcome, Phase};
use crate::smtp::Reuse;

fn accepted(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Outcome::Accepted { .. })
}

fn phases(attempt: &Attempt) -> Vec<Phase> {
    attempt.phases.iter().map(|&(phase, _)| phase).collect()
}

const TRANSACTION: [Phase; 4] = [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::FinalReply];

#[tokio::test]
async fn a_connection_is_reused_without_a_word_between() {
    let server = Server::start(vec![[vec![Step::Tls], stages(0..7), again()].concat()]).await;
    let pool = server.pool(TlsMode::Implicit);
    assert!(accepted(&submit(&pool).await));
    let second = submit(&pool).await;
    assert!(accepted(&second), "{second:?}");
    assert_eq!(phases(&second), TRANSACTION);
    assert_eq!(second.certificate_not_after, None, "no handshake took place");
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_connection() {
    let refused = [stages(0..4), vec![hear("RCPT"), say("450 4.2.0 greylisted\r\n")]].concat();
    let server =
        Server::start(vec![[refused, vec![hear("RSET"), say("250 ok\r\n")], again()].concat()]).await;
    let pool = server.pool(TlsMode::None);
    assert!(matches!(submit(&pool).await.outcome, Outcome::Refused { phase: Phase::Rcpt, .. }));
    let second = submit(&pool).await;
    assert!(accepted(&second), "{second:?} {:?}", server.heard());
    assert_eq!(phases(&second), TRANSACTION);
}

/// The only retry within an attempt: nothing of the message was taken.
#[tokio::test]
async fn a_reused_connection_that_turns_out_dead_is_replaced_once() {
    let mail = || hear("MAIL");
    for (what, end) in [
        ("closed while idle", vec![Step::Close]),
        ("closed with a word", vec![say("421 4.4.2 timeout\r\n"), Step::Close]),
        ("closed at MAIL", vec![mail(), Step::Close]),
        ("reset at MAIL", vec![mail(), Step::Reset]),
        ("421 at MAIL", vec![mail(), say("421 4.3.2 closing\r\n")]),
        ("garbage at MAIL", vec![mail(), say("what?\r\n")]),
        ("hangs at MAIL", vec![mail(), Step::Hang]),
    ] {
        let server = Server::start(vec![[stages(0..7), end].concat(), stages(0..7)]).await;
        let pool = server.pool_with(server.sender(TlsMode::None), hasty(), Reuse::default());
        assert!(accepted(&submit(&pool).await), "{what}");
        let second = submit(&pool).await;
        assert!(accepted(&second), "{what}: {second:?}");
        assert_eq!(
            phases(&second).first(),
            Some(&Phase::Dns),
            "{what}: the phases are those of the new connection"
        );
        let messages = server.heard().concat().iter().filter(|line| line.ends_with("\r\n.\r\n")).count();
        assert_eq!(messages, 2, "{what}: each message went once");
    }
}

#[tokio::test]
async fn a_refused_rset_is_a_dead_connection() {
    let refused =
        [stages(0..4), vec![hear("RCPT"), say("550 no\r\n"), hear("RSET"), say("500 what?\r\n")]].concat();
    let server = Server::start(vec![refused, stages(0..7)]).await;
    let pool = server.pool(TlsMode::None);
    submit(&pool).await;
    assert!(accepted(&submit(&pool).await));
    assert_eq!(server.heard()[0].iter().filter(|line| line.starts_with("MAIL")).count(), 1);
}

#[tokio::test]
async fn a_server_that_says_it_closes_is_not_spoken_to_again() {
    let closing = [stages(0..4), vec![hear("RCPT"), say("421 4.3.2 closing\r\n")]].concat();
    let server = Server::start(vec![closing, stages(0..7)]).await;
    let pool = server.pool(TlsMode::None);
    assert!(matches!(submit(&pool).await.outcome, Outcome::Refused { phase: Phase::Rcpt, .. }));
    assert!(accepted(&submit(&pool).await));
    server.until(|heard| heard[0].last().unwrap() == "(closed)").await;
    assert_eq!(server.heard()[0].len(), 5, "{:?}", server.heard());
}

#[tokio::test]
async fn a_new_connection_gets_no_second_try() {
    let down = || [stages(0..3), vec![hear("MAIL"), say("421 4.3.2 closing\r\n"), Step::Close]].concat();
    let server = Server::start(vec![[stages(0..7), vec![Step::Close]].concat(), down(), stages(0..7)]).await;
    let pool = server.pool(TlsMode::None);
    assert!(accepted(&submit(&pool).await));
    let second = submit(&pool).await;
    assert!(matches!(second.outcome, Outcome::Refused { phase: Phase::Mail, .. }), "{second:?}");
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn once_mail_is_answered_nothing_is_said_again() {
    for (stage, (heard, _)) in STAGES.iter().enumerate().skip(4) {
        let dies = [stages(3..stage), listen(heard), vec![Step::Close]].concat();
        let server = Server::start(vec![[stages(0..7), dies].concat(), stages(0..7)]).await;
        let pool = server.pool(TlsMode::None);
        assert!(accepted(&submit(&pool).await));
        let second = submit(&pool).await;
        assert!(
            matches!(second.outcome, Outcome::Failed { .. } | Outcome::Ambiguous { .. }),
            "stage {stage}: {second:?}"
        );
        assert_eq!(server.heard().len(), 1, "stage {stage}: no second connection");
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_share_of_transactions() {
    let server = Server::start(vec![[stages(0..7), again()].concat(), stages(0..7)]).await;
    let reuse = Reuse { transactions: 2, ..Reuse::default() };
    let pool = server.pool_with(server.sender(TlsMode::None), hasty(), reuse);
    for _ in 0..3 {
        assert!(accepted(&submit(&pool).await));
    }
    server.until(|heard| heard[0].contains(&"QUIT".to_owned())).await;
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn an_idle_connection_says_goodbye_in_time() {
    let server = Server::start(vec![stages(0..7), stages(0..7)]).await;
    let reuse = Reuse { idle: Duration::from_millis(50), ..Reuse::default() };
    let pool = server.pool_with(server.sender(TlsMode::None), patient(), reuse);
    for connection in 0..2 {
        assert!(accepted(&submit(&pool).await));
        server.until(|heard| heard[connection].contains(&"QUIT".to_owned())).await;
    }
}

#[tokio::test]
async fn no_more_submissions_run_than_there_are_slots() {
    let server = Server::start(vec![]).await;
    let pool = server.pool(TlsMode::None);
    assert_eq!(pool.free(), 2);
    let slots = (pool.slot().unwrap(), pool.slot().unwrap());
    assert_eq!(pool.free(), 0);
    assert!(pool.slot().is_none());
    drop(slots);
    assert_eq!(pool.free(), 2);
}

#[tokio::test]
async fn draining_ends_idle_connections_and_waits_for_the_others() {
    let unhurried = vec![Step::HearMessage, Step::Pause(Duration::from_millis(300)), say("250 ok\r\n")];
    let server = Server::start(vec![[stages(0..6), unhurried].concat(), stages(0..7)]).await;
    let pool = server.pool(TlsMode::None);
    let slot = pool.slot().unwrap();
    let running = tokio::spawn(async move { slot.submit(ENVELOPE, MESSAGE).await });
    server.until(|heard| heard.first().is_some_and(|lines| lines.len() == 6)).await;
    assert!(accepted(&submit(&pool).await), "and leaves an idle connection");
    assert_eq!(pool.drain(Instant::now() + PATIENCE).await, 0);
    assert!(accepted(&running.await.unwrap()));
    server.until(|heard| heard.iter().all(|lines| lines.contains(&"QUIT".to_owned()))).await;
    assert_eq!(pool.free(), 0);
    assert!(pool.slot().is_none() && pool.acquire().await.is_none());
}

#[tokio::test]
async fn draining_does_not_wait_for_ever() {
    let server = Server::start(vec![[stages(0..2), vec![Step::Hang]].concat()]).await;
    let pool = server.pool(TlsMode::None);
    let slot = pool.slot().unwrap();
    let running = tokio::spawn(async move { slot.submit(ENVELOPE, MESSAGE).await });
    server.until(|heard| heard.len() == 1).await;
    assert_eq!(pool.drain(Instant::now() + Duration::from_millis(100)).await, 1);
    running.abort();
}

#[tokio::test]
async fn a_login_without_a_message_leaves_a_warm_connection() {
    let server = Server::start(vec![stages(0..7)]).await;
    let pool = server.pool(TlsMode::None);
    pool.slot().unwrap().log_in().await.unwrap();
    let attempt = submit(&pool).await;
    assert!(accepted(&attempt));
    assert_eq!(phases(&attempt), TRANSACTION);
    let refused = Server::start(vec![[stages(0..2), vec![hear("AUTH"), say("535 no\r\n")]].concat()]).await;
    let end = refused.pool(TlsMode::None).slot().unwrap().log_in().await.unwrap_err();
    assert!(matches!(end, Outcome::Refused { phase: Phase::Auth, .. }), "{end:?}");
}
