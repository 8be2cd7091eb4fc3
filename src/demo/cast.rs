//! The example recipients of `maildt demo`: each behaves in its own way, and all of them end in one mailbox.

use std::time::Duration;

use super::faults::{Action, Fate, Faults, Rule, SmtpPoint};
use super::{Limits, Options};

/// The mailbox in which everything ends; also the submission account and the sender.
pub const MAILBOX: &str = "monitor@demo.test";
/// Who gets the alerts.
pub const ON_CALL: &str = "oncall@demo.test";

/// One example recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: &'static str,
    pub address: &'static str,
    /// The states that it is in by turns, as `maildt_recipient_state` names them.
    pub states: &'static str,
    /// What becomes of its mail, in a few words.
    pub about: &'static str,
    /// Seconds between probes that show it well.
    pub interval: u32,
    /// Paused recipients get no probe.
    pub active: bool,
}

/// Seconds after which a probe of any of them is late.
pub const ALERT_THRESHOLD: u32 = 10;

const fn member(
    name: &'static str,
    address: &'static str,
    states: &'static str,
    about: &'static str,
    interval: u32,
) -> Member {
    Member { name, address, states, about, interval, active: true }
}

/// All of them. Their behaviour hangs on the local part of the address alone. What takes longest to show is asked for
/// first, and whoever behaves by turns misbehaves first: somebody waits at the screen.
pub const MEMBERS: [Member; 11] = [
    member(
        "greylisted",
        "greylisted@demo.test",
        "pending, ok",
        "refused with 450, accepted a minute later",
        90,
    ),
    member("lossy", "lossy@demo.test", "missing, ok", "one of three vanishes after it was accepted", 30),
    member(
        "swallowed",
        "swallowed@demo.test",
        "unknown, ok",
        "every other one is lost together with the connection",
        45,
    ),
    member("slow", "slow@demo.test", "late, ok", "takes 13 to 18 s and 3 to 8 s by turns", 30),
    member("healthy", "healthy@demo.test", "ok", "arrives after 0.1 to 0.4 s", 30),
    member("junk", "junk@demo.test", "junk", "lands in the Junk folder", 30),
    member("rejected", "rejected@demo.test", "send_failed", "refused with 550", 60),
    member("bouncing", "bouncing@demo.test", "bounced", "accepted, then returned as undeliverable", 60),
    member("doubled", "doubled@demo.test", "ok", "arrives twice", 45),
    member(
        "cut",
        "cut@demo.test",
        "ok",
        "arrives; every other time the connection breaks before the reply",
        45,
    ),
    Member { active: false, ..member("paused", "paused@demo.test", "paused", "gets no probe", 30) },
];

/// A server for the cast, with a bounded memory. Any other address behaves as one that is healthy without delay.
#[must_use]
pub fn options(password: &str) -> Options {
    Options {
        limits: Limits { folder_messages: 20_000, ledger_entries: 1_000, ..Limits::default() },
        delivery_header: "Authentication-Results: mail.demo.test;\r\n\tspf=pass smtp.mailfrom=demo.test;\r\n\
                          \tdkim=none; dmarc=none header.from=demo.test\r\n"
            .to_owned(),
        ..Options::default().account(MAILBOX, password).account(ON_CALL, password)
    }
}

/// Gives each member its part.
pub fn direct(faults: &Faults) {
    let millis = Duration::from_millis;
    let usual = || Fate::HoldBetween(millis(100), millis(400));
    for member in MEMBERS.iter().filter(|member| member.name != "slow") {
        faults.add(Rule::delivery(usual()).to_local_part(member.name));
    }
    faults.add(Rule::delivery(Fate::HoldBetween(millis(3_000), millis(8_000))).to_local_part("slow"));
    faults.add(Rule::delivery(Fate::Hold(millis(10_000))).to_local_part("slow").alternate(1, 1));
    faults.add(Rule::delivery(Fate::Drop).to_local_part("lossy").alternate(1, 2));
    faults.add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 Greylisted, try again later"))
            .to_local_part("greylisted")
            .alternate(1, 1),
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
    faults.add(Rule::delivery(Fate::Copies(2)).to_local_part("doubled"));
    faults.add(Rule::smtp(SmtpPoint::Saved, Action::Close).to_local_part("cut").alternate(1, 1));
    faults.add(Rule::smtp(SmtpPoint::Body, Action::Close).to_local_part("swallowed").alternate(1, 1));
}
