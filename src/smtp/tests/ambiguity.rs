//! Either side of the final dot: what may have been taken is never called failed, what cannot have been is.

use std::time::Duration;

use super::server::*;
use crate::config::TlsMode;
use crate::domain::submission::{Outcome, Phase, Reason};
use crate::smtp::Reuse;

/// Larger than the sockets' buffers, so that the client is still writing when the server stops reading.
fn large_message() -> Vec<u8> {
    b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(1 << 19)
}

/// Submits to a server that takes `steps` once it said 354.
async fn submit_up_to(steps: Vec<Step>, message: &[u8], tls: TlsMode) -> Outcome {
    let up_to_data =
        if tls == TlsMode::Implicit { [vec![Step::Tls], stages(0..6)].concat() } else { stages(0..6) };
    let server = Server::start(vec![[up_to_data, steps].concat()]).await;
    let pool = server.pool_with(server.sender(tls), hasty(), Reuse::default());
    let submission = pool.slot().unwrap().submit(ENVELOPE, message);
    tokio::time::timeout(PATIENCE, submission).await.unwrap().outcome
}

#[tokio::test]
async fn a_message_cut_off_before_its_dot_has_failed() {
    let large = large_message();
    for tls in [TlsMode::None, TlsMode::Implicit] {
        for (end, expected) in [(Step::Close, Reason::Connect), (Step::Hang, Reason::Timeout)] {
            match submit_up_to(vec![Step::HearBytes(10_000), end], &large, tls).await {
                Outcome::Failed { phase: Phase::FinalReply, reason, .. } => assert_eq!(reason, expected),
                other => panic!("{tls:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_message_whose_dot_was_read_is_ambiguous_until_a_reply_is_complete() {
    for tls in [TlsMode::None, TlsMode::Implicit] {
        for end in [
            vec![Step::Close],
            vec![Step::Hang],
            vec![say("250 2.0.0 Ok: queued as 4bTq1x"), Step::Close],
            vec![say("250-2.0.0 Ok\r\n"), Step::Hang],
            vec![say("ok\r\n")],
            vec![say("354 go on\r\n")],
        ] {
            let outcome = submit_up_to([vec![Step::HearMessage], end.clone()].concat(), MESSAGE, tls).await;
            assert!(matches!(outcome, Outcome::Ambiguous { .. }), "{tls:?} {end:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn the_last_reply_has_its_own_limit() {
    let server = Server::start(vec![[stages(0..6), vec![Step::HearMessage, Step::Hang]].concat()]).await;
    for (command, final_reply) in [(PATIENCE, Duration::from_millis(300)), (Duration::from_secs(2), PATIENCE)]
    {
        let limits = crate::config::Limits { command, final_reply, ..patient() };
        if final_reply < command {
            let pool = server.pool_with(server.sender(TlsMode::None), limits, Reuse::default());
            match submit(&pool).await.outcome {
                Outcome::Ambiguous { detail, ours } => {
                    assert_eq!(detail, "after the final dot: no reply within 300ms");
                    assert!(!ours, "it is the server that hangs");
                }
                other => panic!("{other:?}"),
            }
        } else {
            // Longer than a command may take, but not too long.
            let slow =
                [stages(0..6), vec![Step::HearMessage, Step::Pause(command * 3 / 2), say("250 ok\r\n")]]
                    .concat();
            let server = Server::start(vec![slow]).await;
            let pool = server.pool_with(server.sender(TlsMode::None), limits, Reuse::default());
            assert!(matches!(submit(&pool).await.outcome, Outcome::Accepted { .. }));
        }
    }
}

#[tokio::test]
async fn a_refusal_before_the_dot_keeps_the_message_here() {
    let early =
        [stages(0..5), vec![hear("DATA"), say("354 go\r\n421 4.3.2 going down\r\n"), Step::HearMessage]]
            .concat();
    let server = Server::start(vec![early]).await;
    match submit(&server.pool(TlsMode::None)).await.outcome {
        Outcome::Refused { phase: Phase::FinalReply, reason: Reason::Smtp4xx, reply } => {
            assert_eq!(reply.code, 421);
        }
        other => panic!("{other:?}"),
    }
    server.until(|heard| heard[0].last().unwrap() == "(no message)").await;
}

#[tokio::test]
async fn a_server_that_is_gone_before_the_message_did_not_get_it() {
    let gone = [stages(0..5), vec![hear("DATA"), say("354 go\r\n"), Step::Close]].concat();
    // The close may be seen before or after the message is written; only the latter is ambiguous.
    let (attempt, _) = submit_to(gone).await;
    match (attempt.outcome, attempt.dot_at) {
        (Outcome::Failed { phase: Phase::FinalReply, reason: Reason::Connect, .. }, None)
        | (Outcome::Ambiguous { .. }, _) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn our_own_stop_releases_before_the_message_and_is_ambiguous_after() {
    for (steps, released) in [
        ([stages(0..4), vec![Step::Hang]].concat(), true),
        ([stages(0..6), vec![Step::HearMessage, Step::Hang]].concat(), false),
    ] {
        let server = Server::start(vec![steps]).await;
        let pool = server.pool_with(server.sender(TlsMode::None), patient(), Reuse::default());
        let abort = tokio_util::sync::CancellationToken::new();
        let slot = pool.slot().unwrap();
        let submission = slot.submit_until(ENVELOPE, MESSAGE, &abort);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            abort.cancel();
        };
        let (attempt, ()) = tokio::join!(submission, stop);
        let outcome = attempt.outcome;
        assert_eq!(outcome == Outcome::Released, released, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Ambiguous { .. }), !released, "{outcome:?}");
    }
}
