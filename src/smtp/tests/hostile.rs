//! Whatever a server says, and in whatever pieces: a message is accepted exactly when everything was in order.

use proptest::prelude::*;

use super::server::*;
use crate::domain::submission::{Attempt, Outcome};

/// A reply to one stage, and whether it lets the submission go on.
fn reply(stage: usize) -> impl Strategy<Value = (Vec<u8>, bool)> {
    let usual = STAGES[stage].1;
    let code = &usual[..3];
    let lines = format!("{code}-one\r\n{}", usual.replace("\r\n250-AUTH", "\r\n250-x\r\n250-AUTH"));
    let good = prop_oneof![Just(usual.as_bytes().to_vec()), Just(lines.into_bytes())].prop_map(|r| (r, true));
    let bad = prop_oneof![
        (400u16..600).prop_map(|code| format!("{code} no\r\n").into_bytes()),
        (400u16..600).prop_map(|code| format!("{code}-no\r\n{code}\r\n").into_bytes()),
        Just(if code == "354" { b"250 ok\r\n".to_vec() } else { b"354 go\r\n".to_vec() }),
        // Unfinished: the connection ends before the line does.
        Just(format!("{code} o").into_bytes()),
        Just(format!("{code}-{code}\r\n").into_bytes()),
        Just(Vec::new()),
        "[^2-5][a-z ]{0,20}".prop_map(|noise| format!("{noise}\r\n").into_bytes()),
        proptest::collection::vec(0x80u8.., 1..40),
    ]
    .prop_map(|r| (r, false));
    prop_oneof![12 => good, 1 => bad]
}

fn replies() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    (0..STAGES.len()).map(reply).collect::<Vec<_>>()
}

fn run(replies: &[(Vec<u8>, bool)], cut: usize) -> (Attempt, bool) {
    let mut script = Vec::new();
    for ((heard, _), (reply, good)) in STAGES.iter().zip(replies) {
        script.extend(listen(heard));
        let (one, two) = reply.split_at(cut % (reply.len() + 1));
        script.extend([say(one), say(two)]);
        if !good {
            script.push(Step::Close);
            break;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (attempt, heard) = runtime.block_on(submit_to(script));
    let whole = heard[0].iter().any(|line| line.ends_with("\r\n.\r\n"));
    (attempt, whole)
}

proptest! {
    #[test]
    fn accepted_means_that_every_reply_said_so(replies in replies(), cut: usize) {
        let (attempt, whole) = run(&replies, cut);
        let good = replies.iter().take_while(|(_, good)| *good).count();
        prop_assert_eq!(whole, good >= 6, "the message goes out after a 354 and not before");
        prop_assert_eq!(attempt.dot_at.is_some(), whole);
        match &attempt.outcome {
            Outcome::Accepted { .. } => prop_assert_eq!(good, 7),
            Outcome::Ambiguous { .. } => prop_assert_eq!(good, 6),
            Outcome::Refused { reply, .. } => {
                prop_assert!((400..600).contains(&reply.code));
                let said = String::from_utf8_lossy(&replies[good].0).into_owned();
                prop_assert!(said.starts_with(&reply.code.to_string()));
            }
            Outcome::Failed { .. } => prop_assert!(good < 6),
            Outcome::Released => prop_assert!(false, "nobody stopped it"),
        }
        prop_assert_eq!(attempt.accepted_at.is_some(), good == 7);
    }
}
