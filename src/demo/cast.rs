//! The example recipients of `maildt demo`: each behaves in its own way, and all of them end in one mailbox.

use std::time::Duration;

use super::faults::{Action, Fate, Faults, Rule, SmtpPoint};
use super::{Limits, Options};

/// The mailbox in which everything ends; also the submission account and the sender.
pub const MAILBOX: &str = "monitor@demo.test";

/// One example recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: &'static str,
    pub address: &'static str,
    /// What is to be seen, in a few words.
    pub about: &'static str,
    /// Seconds between probes that show it well.
    pub interval: u32,
    /// Seconds after which a probe is late.
    pub alert_threshold: u32,
}

const fn member(
    name: &'static str,
    address: &'static str,
    about: &'static str,
    interval: u32,
    alert_threshold: u32,
) -> Member {
    Member { name, address, about, interval, alert_threshold }
}

/// All of them. Their behaviour hangs on the local part of the address alone.
pub const MEMBERS: [Member; 8] = [
    member("healthy", "healthy@demo.test", "arrives after 0.1 to 0.4 s", 30, 10),
    member("slow", "slow@demo.test", "arrives after 3 to 20 s, so more than half are late", 30, 10),
    member("lossy", "lossy@demo.test", "every third message vanishes after it was accepted", 30, 10),
    member(
        "greylisted",
        "greylisted@demo.test",
        "refused once with 450 for each message, then accepted",
        90,
        10,
    ),
    member("rejected", "rejected@demo.test", "refused with 550 5.1.1", 60, 10),
    member("junk", "junk@demo.test", "lands in Junk", 30, 10),
    member(
        "bouncing",
        "bouncing@demo.test",
        "accepted, then returned with a delivery status notification",
        60,
        10,
    ),
    member(
        "cut",
        "cut@demo.test",
        "the connection is lost after every third message instead of a reply",
        45,
        10,
    ),
];

/// A server for the cast, with a bounded memory. Any other address behaves as one that is healthy without delay.
#[must_use]
pub fn options(password: &str) -> Options {
    Options {
        limits: Limits { folder_messages: 20_000, ledger_entries: 1_000, ..Limits::default() },
        delivery_header: "Authentication-Results: mail.demo.test;\r\n\tspf=pass smtp.mailfrom=demo.test;\r\n\
                          \tdkim=none; dmarc=none header.from=demo.test\r\n"
            .to_owned(),
        ..Options::default().account(MAILBOX, password)
    }
}

/// Gives each member its part.
pub fn direct(faults: &Faults) {
    let millis = Duration::from_millis;
    let usual = || Fate::HoldBetween(millis(100), millis(400));
    for name in ["healthy", "lossy", "greylisted", "junk", "bouncing", "cut"] {
        faults.add(Rule::delivery(usual()).to_local_part(name));
    }
    faults.add(Rule::delivery(Fate::HoldBetween(millis(3_000), millis(20_000))).to_local_part("slow"));
    faults.add(Rule::delivery(Fate::Drop).to_local_part("lossy").cycle(2, 1));
    faults.add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 Greylisted, try again later"))
            .to_local_part("greylisted")
            .alternate(1, 1)
            .each(),
    );
    faults.add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("550 5.1.1 No such user here")).to_local_part("rejected"),
    );
    faults.add(Rule::delivery(Fate::Folder(super::JUNK.to_owned())).to_local_part("junk"));
    faults.add(
        Rule::delivery(Fate::Bounce {
            status: "5.2.2".to_owned(),
            diagnostic: "552 5.2.2 The mailbox is full".to_owned(),
        })
        .to_local_part("bouncing"),
    );
    faults.add(Rule::smtp(SmtpPoint::Saved, Action::Close).to_local_part("cut").cycle(2, 1).each());
}
