use super::super::cast::{self, MAILBOX, MEMBERS};
use super::*;

#[tokio::test]
async fn each_member_plays_its_part() {
    let server = MailServer::start(Options { require_auth: false, ..cast::options("x") }).await.unwrap();
    cast::direct(server.faults());
    let mut replies = Vec::new();
    for member in MEMBERS {
        for _ in 0..3 {
            // Some of them break the connection.
            let mut client = Raw::connect(server.addresses().smtp).await;
            client.reply().await;
            client.smtp("EHLO x").await;
            let reply = submit(&mut client, member.address, &message(member.name)).await;
            replies.push((member.name, reply.get(..3).unwrap_or_default().to_owned()));
        }
    }
    let codes = |name| {
        let of_member = replies.iter().filter(|(member, _)| *member == name);
        of_member.map(|(_, code)| code.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(codes("greylisted"), ["450", "250", "450"]);
    assert_eq!(codes("rejected"), ["550"; 3]);
    assert_eq!(codes("cut"), ["", "250", ""]);
    assert_eq!(codes("swallowed"), ["", "250", ""]);
    for name in ["healthy", "slow", "lossy", "junk", "bouncing", "doubled"] {
        assert_eq!(codes(name), ["250"; 3], "{name}");
    }
    let delays = |name: &str| -> Vec<Duration> {
        let submissions = server.ledger().submissions_to(&format!("{name}@demo.test"));
        let delay = |s: &ledger::Submission| Some(s.saved.first()?.at.instant - s.received.instant);
        submissions.iter().filter_map(delay).collect()
    };
    eventually("healthy ones arrive", || delays("healthy").len() == 3).await;
    assert!(
        delays("healthy").iter().all(|d| *d >= Duration::from_millis(100) && *d < Duration::from_secs(2))
    );
    eventually("two of three arrive", || delays("lossy").len() == 2).await;
    eventually("junk arrives", || server.uids(MAILBOX, JUNK).unwrap().len() == 3).await;
    eventually("what was cut arrives", || delays("cut").len() == 3).await;
    eventually("of what was swallowed the second arrives", || delays("swallowed").len() == 1).await;
    let copies = || -> Vec<usize> {
        server.ledger().submissions_to("doubled@demo.test").iter().map(|s| s.saved.len()).collect()
    };
    eventually("doubled ones arrive twice", || copies() == [2; 3]).await;
    assert!(delays("slow").is_empty(), "nothing slow arrives within 3 s");
    eventually("bounces arrive", || {
        let bounce = |m: &Stored| m.raw.windows(19).any(|w| w == b"Mail Returned to Se");
        server.messages(MAILBOX, INBOX).unwrap().iter().filter(|m| bounce(m)).count() == 3
    })
    .await;
}

#[test]
fn every_address_is_a_member_name() {
    for member in MEMBERS {
        assert_eq!(member.address, format!("{}@demo.test", member.name));
    }
}
