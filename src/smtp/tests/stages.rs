//! Every stage of a submission, and everything that a server can do wrong there.

use std::time::Duration;

use super::server::*;
use crate::config::TlsMode;
use crate::domain::submission::{Outcome, Phase, Reason, Reply};
use crate::secret::Secret;
use crate::smtp::{Envelope, Reuse};

/// The phase that each of [`STAGES`] is.
const PHASES: [Phase; 7] =
    [Phase::Greeting, Phase::Ehlo, Phase::Auth, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::FinalReply];

/// The usual steps up to what is heard in a stage, and then `steps` in place of its reply.
fn instead(stage: usize, steps: Vec<Step>) -> Vec<Step> {
    [stages(0..stage), listen(STAGES[stage].0), steps].concat()
}

fn refusal(outcome: &Outcome) -> (Phase, Reason, &Reply) {
    match outcome {
        Outcome::Refused { phase, reason, reply } => (*phase, *reason, reply),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_accepted_message_comes_with_reply_and_queue_id() {
    let (attempt, heard) = submit_to(stages(0..7)).await;
    assert_eq!(
        attempt.outcome,
        Outcome::Accepted {
            reply: Reply {
                code: 250,
                enhanced: Some("2.0.0".to_owned()),
                text: "Ok: queued as 4bTq1x".to_owned()
            },
            queue_id: Some("4bTq1x".to_owned()),
        }
    );
    assert!(attempt.dot_at.unwrap() <= attempt.accepted_at.unwrap());
    assert_eq!(attempt.certificate_not_after, None, "no TLS");
    assert_eq!(heard[0].last().unwrap(), "Subject: probe\r\n\r\n..dot\r\n.\r\n", "no empty line is added");
}

#[tokio::test]
async fn phases_are_timed_in_order_and_add_up() {
    let pause = Duration::from_millis(120);
    let mut script = stages(0..7);
    let rcpt = script.len() - 5;
    script.insert(rcpt, Step::Pause(pause));
    let (attempt, _) = submit_to(script).await;
    let phases: Vec<Phase> = attempt.phases.iter().map(|&(phase, _)| phase).collect();
    assert_eq!(phases, [&[Phase::Dns, Phase::Connect][..], &PHASES].concat());
    let spent = |phase| attempt.phases.iter().find(|(p, _)| *p == phase).unwrap().1;
    assert!(spent(Phase::Rcpt) >= pause, "{attempt:?}");
    let sum: Duration = attempt.phases.iter().map(|&(_, spent)| spent).sum();
    assert!(sum <= attempt.duration && attempt.duration < sum + Duration::from_secs(1), "{attempt:?}");
}

#[tokio::test]
async fn a_refusal_is_kept_with_its_phase_and_every_line() {
    for (stage, phase) in PHASES.into_iter().enumerate() {
        for (code, enhanced, usual) in [
            (451, "4.7.1", Reason::Smtp4xx),
            (554, "5.7.1", Reason::Smtp5xx),
            (571, "5.7.1", Reason::Smtp5xx),
        ] {
            let lines =
                format!("{code}-{enhanced} come\r\n{code}-{enhanced} back\r\n{code} {enhanced} later\r\n");
            let (attempt, _) = submit_to(instead(stage, vec![say(lines)])).await;
            let (refused_in, reason, reply) = refusal(&attempt.outcome);
            let expected = if phase == Phase::Auth && code >= 500 { Reason::Auth } else { usual };
            assert_eq!((refused_in, reason), (phase, expected));
            assert_eq!(
                reply,
                &Reply { code, enhanced: Some(enhanced.to_owned()), text: "come back later".to_owned() }
            );
            assert_eq!(attempt.phases.last().unwrap().0, phase, "and no phase after it");
            assert_eq!(attempt.accepted_at, None);
        }
    }
}

#[tokio::test]
async fn a_421_is_a_refusal_wherever_it_comes() {
    for (stage, phase) in PHASES.into_iter().enumerate() {
        let (attempt, _) = submit_to(instead(stage, vec![say("421 4.3.2 closing\r\n"), Step::Close])).await;
        let (refused_in, reason, _) = refusal(&attempt.outcome);
        assert_eq!((refused_in, reason), (phase, Reason::Smtp4xx));
    }
}

/// What an end without a usable reply must be: ambiguous after the dot, failed before it.
fn assert_no_reply(outcome: &Outcome, phase: Phase, expected: Reason, what: &str) {
    match outcome {
        Outcome::Ambiguous { detail, .. } if phase == Phase::FinalReply => {
            assert!(detail.starts_with("after the final dot: "), "{what}: {detail}");
        }
        Outcome::Failed { phase: failed_in, reason, .. } if phase != Phase::FinalReply => {
            assert_eq!((*failed_in, *reason), (phase, expected), "{what}: {outcome:?}");
        }
        other => panic!("{what} at {phase:?}: {other:?}"),
    }
}

#[tokio::test]
async fn no_usable_reply_is_a_fault_of_its_stage() {
    let faults: [(&str, Vec<Step>, Reason); 8] = [
        ("closes", vec![Step::Close], Reason::Connect),
        ("resets", vec![Step::Reset], Reason::Connect),
        ("says garbage", vec![say("SSH-2.0-OpenSSH_9.2\r\n")], Reason::Protocol),
        ("ends within a line", vec![say("250 o"), Step::Close], Reason::Protocol),
        ("ends between lines", vec![say("250-one\r\n"), Step::Close], Reason::Protocol),
        ("never ends a line", vec![say("2".repeat(100_000))], Reason::Protocol),
        ("never ends a reply", vec![say("250-and\r\n".repeat(10_000))], Reason::Protocol),
        ("changes its mind", vec![say("250-yes\r\n554 no\r\n")], Reason::Protocol),
    ];
    for (stage, phase) in PHASES.into_iter().enumerate() {
        for (what, steps, reason) in &faults {
            let (attempt, _) = submit_to(instead(stage, steps.clone())).await;
            assert_no_reply(&attempt.outcome, phase, *reason, what);
        }
    }
}

#[tokio::test]
async fn a_reply_of_the_wrong_class_is_no_success() {
    for (stage, phase) in PHASES.into_iter().enumerate() {
        let wrong = if phase == Phase::Data { "250 ok\r\n" } else { "354 go\r\n" };
        let (attempt, _) = submit_to(instead(stage, vec![say(wrong), Step::Hang])).await;
        assert_no_reply(&attempt.outcome, phase, Reason::Protocol, "wrong class");
    }
}

#[tokio::test]
async fn a_hanging_server_meets_the_limit_of_its_stage() {
    let hang = |stage: usize, drip: bool| async move {
        let hang = if drip { vec![say("250-wait\r\n"), Step::Hang] } else { vec![Step::Hang] };
        let server = Server::start(vec![instead(stage, hang)]).await;
        let pool = server.pool_with(server.sender(TlsMode::None), hasty(), Reuse::default());
        let attempt = submit(&pool).await;
        assert_no_reply(&attempt.outcome, PHASES[stage], Reason::Timeout, "hangs");
        assert!(attempt.duration >= hasty().command, "{attempt:?}");
    };
    let all = (0..PHASES.len()).flat_map(|stage| vec![hang(stage, false), hang(stage, true)]);
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn the_whole_submission_has_a_limit() {
    let mut script = vec![];
    for step in stages(0..7) {
        if matches!(step, Step::Say(_)) {
            script.push(Step::Pause(Duration::from_millis(200)));
        }
        script.push(step);
    }
    let server = Server::start(vec![script]).await;
    let mut limits = patient();
    limits.send = Duration::from_millis(500);
    let attempt = submit(&server.pool_with(server.sender(TlsMode::None), limits, Reuse::default())).await;
    match attempt.outcome {
        Outcome::Failed { reason: Reason::Timeout, detail, .. } => {
            assert_eq!(detail, "the whole submission took longer than 500ms");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn odd_but_valid_replies_are_understood() {
    let odd = [
        "220\r\n",
        "250-mx.example\r\n250-   \r\n250-\r\n250 auth=plain\r\n",
        "235 Willkommen zur\u{fc}ck\r\n",
        "250\r\n",
        "251 2.1.5 \u{fc}ber einen anderen\n",
        "399 go\r\n",
        "299 2.0.0 Ok: queued as ABC\r\n",
    ];
    let script = STAGES.iter().zip(odd).flat_map(|(&(heard, _), reply)| {
        // As bytes of Latin-1, which is not UTF-8.
        let latin: Vec<u8> = reply.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        listen(heard).into_iter().chain([say(latin)])
    });
    let (attempt, _) = submit_to(script.collect()).await;
    match attempt.outcome {
        Outcome::Accepted { reply, queue_id } => {
            assert_eq!((reply.code, queue_id.as_deref()), (299, Some("ABC")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_without_a_word_is_understood() {
    let server = Server::start(vec![
        [vec![say("220\r\n"), hear("EHLO"), say("250\r\n")], again()].concat(),
        [vec![say("220\r\n"), hear("EHLO"), say("250-  \r\n250 \r\n")], again()].concat(),
    ])
    .await;
    let mut sender = server.sender(TlsMode::None);
    sender.account.user = String::new();
    for _ in 0..2 {
        let attempt = submit(&server.pool_with(sender.clone(), patient(), Reuse::default())).await;
        assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "{attempt:?}");
    }
}

/// A reply too many must not be taken for the reply to the next command: the last one would be a false acceptance.
#[tokio::test]
async fn a_reply_too_many_is_never_counted() {
    for (stage, phase) in PHASES.into_iter().enumerate().take(6) {
        let reply = STAGES[stage].1;
        let (attempt, heard) =
            submit_to(instead(stage, vec![say(format!("{reply}250 ok\r\n")), Step::Hang])).await;
        let next = PHASES[stage + 1];
        match attempt.outcome {
            Outcome::Failed { phase: failed_in, reason: Reason::Protocol, .. } => assert_eq!(failed_in, next),
            other => panic!("after {phase:?}: {other:?}"),
        }
        assert_eq!(heard[0].len(), stage, "and nothing more is said: {heard:?}");
    }
}

#[tokio::test]
async fn login_uses_what_the_server_offers() {
    let login = |offer: &str, rest: Vec<Step>| {
        [stages(0..1), vec![hear("EHLO"), say(format!("250-mx.example\r\n250 {offer}\r\n"))], rest].concat()
    };
    let script = [
        login(
            "AUTH LOGIN",
            vec![
                hear("AUTH LOGIN"),
                say("334 Wie heissen Sie?\r\n"),
                hear("bW9uaXRvckBleGFtcGxlLm9yZw=="),
                say("334\r\n"),
                hear("YzRuYXJ5LXBhc3M="),
                say("235 ok\r\n"),
            ],
        ),
        again(),
    ]
    .concat();
    let (attempt, heard) = submit_to(script).await;
    assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "{attempt:?} {heard:?}");

    let (attempt, _) = submit_to(login("AUTH CRAM-MD5 XOAUTH2", vec![])).await;
    match attempt.outcome {
        Outcome::Failed { phase: Phase::Auth, reason: Reason::Auth, detail } => {
            assert_eq!(
                detail,
                "no common way to log in: we know PLAIN and LOGIN, it offers CRAM-MD5 XOAUTH2"
            );
        }
        other => panic!("{other:?}"),
    }

    let server = Server::start(vec![[stages(0..2), again()].concat()]).await;
    let mut sender = server.sender(TlsMode::None);
    sender.account.user = String::new();
    sender.account.pass = Secret::default();
    let attempt = submit(&server.pool_with(sender, patient(), Reuse::default())).await;
    assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "no user, no AUTH: {attempt:?}");
}

#[tokio::test]
async fn an_echoed_password_is_nowhere_in_the_result() {
    let plain = "AG1vbml0b3JAZXhhbXBsZS5vcmcAYzRuYXJ5LXBhc3M=";
    for echo in [format!("535 5.7.8 no such {PASS}, {plain}\r\n"), format!("what is {PASS} {plain}?\r\n")] {
        let (attempt, _) = submit_to(instead(2, vec![say(echo)])).await;
        let all = format!("{attempt:?}");
        assert!(all.contains("[redacted]"), "{all}");
        assert!(!all.contains(PASS) && !all.contains("c5vcmcAYzRuYXJ5LXBhc3M"), "{all}");
    }
    let (attempt, _) = submit_to(instead(6, vec![say(format!("250 queued as {PASS}\r\n"))])).await;
    assert!(!format!("{attempt:?}").contains(PASS), "{attempt:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_and_not_sent() {
    let server = Server::start(vec![]).await;
    let pool = server.pool(TlsMode::None);
    for (from, to, message, phase) in [
        ("a@b.example\r\nRSET", "a@example.net", MESSAGE, Phase::Mail),
        ("a@b.example> SIZE=1", "a@example.net", MESSAGE, Phase::Mail),
        ("", "a@example.net\r\nDATA", MESSAGE, Phase::Rcpt),
        ("", "", MESSAGE, Phase::Rcpt),
        ("", "a@example.net", b"a\n.\nMAIL FROM:<x>\r\n", Phase::Data),
    ] {
        let attempt = pool.slot().unwrap().submit(Envelope { from, to }, message).await;
        match attempt.outcome {
            Outcome::Failed { phase: failed_in, reason: Reason::Other, .. } => assert_eq!(failed_in, phase),
            other => panic!("{other:?}"),
        }
        assert_eq!(attempt.phases, [], "nothing was tried");
    }
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn addresses_outside_ascii_need_smtputf8() {
    let international = Envelope { from: "", to: "jörg@example.net" };
    let hello = |offer: &str| vec![hear("EHLO"), say(format!("250-mx\r\n250-AUTH PLAIN\r\n250 {offer}\r\n"))];
    let with = [
        stages(0..1),
        hello("SMTPUTF8"),
        stages(2..3),
        vec![
            hear("MAIL FROM:<> SMTPUTF8"),
            say("250 ok\r\n"),
            hear("RCPT TO:<jörg@example.net>"),
            say("250 ok\r\n"),
        ],
        stages(5..7),
    ];
    let without = [stages(0..1), hello("8BITMIME"), stages(2..3), again()];
    let server = Server::start(vec![without.concat(), with.concat()]).await;
    let pool = server.pool(TlsMode::None);
    let slot = pool.slot().unwrap();
    match slot.submit(international, MESSAGE).await.outcome {
        Outcome::Failed { phase: Phase::Rcpt, reason: Reason::Other, detail } => {
            assert!(detail.contains("SMTPUTF8"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(submit(&pool).await.outcome, Outcome::Accepted { .. }), "the connection is still good");
    let pool = server.pool(TlsMode::None);
    let attempt = pool.slot().unwrap().submit(international, MESSAGE).await;
    assert!(matches!(attempt.outcome, Outcome::Accepted { .. }), "{attempt:?} {:?}", server.heard());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_by_phase() {
    let server = Server::start(vec![]).await;
    // The listener is gone as soon as it has no script to follow.
    let mut sender = server.sender(TlsMode::None);
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            let pool = server.pool_with(sender.clone(), patient(), Reuse::default());
            let outcome = submit(&pool).await.outcome;
            if let Outcome::Failed { phase: Phase::Connect, reason, detail } = outcome {
                break (reason, detail);
            }
        }
    });
    let (reason, detail) = refused.await.unwrap();
    assert_eq!(reason, Reason::Connect);
    assert!(detail.starts_with("cannot connect to localhost: ") && detail.contains("refused"), "{detail}");

    sender.account.host = "nowhere.invalid".to_owned();
    let attempt = submit(&server.pool_with(sender, patient(), Reuse::default())).await;
    match attempt.outcome {
        Outcome::Failed { phase: Phase::Dns, reason: Reason::Dns, detail } => {
            assert!(detail.starts_with("cannot resolve nowhere.invalid: "), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}
