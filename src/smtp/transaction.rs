//! One mail transaction on a logged-in connection (RFC 5321, section 3.3): MAIL, RCPT, DATA, message, final dot.

use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::MailParameter;

use crate::domain::submission::{Outcome, Phase, Reason};
use crate::smtp::link::Link;
use crate::smtp::message;
use crate::smtp::run::Run;
use crate::smtp::session::{Class, exchange};

/// How long a server may take to answer our farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// RFC 5321, section 4.5.3.1.3, without the angle brackets.
const MAX_PATH: usize = 254;

/// Reverse-path and forward-path. An empty `from` is the null reverse-path.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
}

/// What is to be sent, checked.
pub(super) struct Mail<'a> {
    /// `None` is the null reverse-path.
    from: Option<Address>,
    to: Address,
    message: &'a [u8],
    /// An address or a header outside ASCII (RFC 6531).
    internationalized: bool,
}

impl<'a> Mail<'a> {
    /// Checks envelope and message, so that nothing in them can be read as a command.
    pub(super) fn new(envelope: Envelope<'_>, message: &'a [u8]) -> Result<Self, Outcome> {
        let invalid = |phase, detail: String| Outcome::Failed { phase, reason: Reason::Other, detail };
        let from = match envelope.from {
            "" => None,
            from => Some(path(from).ok_or_else(|| {
                invalid(Phase::Mail, "the sender's address cannot be written as a reverse-path".to_owned())
            })?),
        };
        let to = path(envelope.to).ok_or_else(|| {
            invalid(Phase::Rcpt, "the recipient's address cannot be written as a forward-path".to_owned())
        })?;
        message::check(message).map_err(|fault| invalid(Phase::Data, fault.to_string()))?;
        let internationalized = !(envelope.from.is_ascii() && envelope.to.is_ascii() && message.is_ascii());
        Ok(Self { from, to, message, internationalized })
    }
}

fn path(address: &str) -> Option<Address> {
    let writable = address.len() <= MAX_PATH
        && !address.contains(|c: char| c.is_control() || matches!(c, ' ' | '<' | '>'));
    address.parse().ok().filter(|_| writable)
}

/// A connection that is logged in.
pub(super) struct Connection {
    link: Link,
    smtputf8: bool,
    transactions: u32,
    idle_since: Instant,
    /// Taken from the idle ones: it may have died meanwhile.
    reused: bool,
    /// The last transaction ended at RCPT and is still open.
    open_transaction: bool,
}

impl Connection {
    pub(super) fn new(link: Link, smtputf8: bool) -> Self {
        Self {
            link,
            smtputf8,
            transactions: 0,
            idle_since: Instant::now(),
            reused: false,
            open_transaction: false,
        }
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Marks the begin of idleness.
    pub(super) fn rest(&mut self) {
        self.idle_since = Instant::now();
        self.reused = true;
    }

    /// MAIL. Until it is answered the server has nothing of this message, so on a reused connection it may be said again
    /// elsewhere; it gets no more time there than a new connection would.
    pub(super) async fn mail(&mut self, mail: &Mail<'_>, run: &mut Run<'_>) -> Result<(), Outcome> {
        if mail.internationalized && !self.smtputf8 {
            run.enter(Phase::Rcpt);
            let detail = "the address or the message is not ASCII and the server does not offer SMTPUTF8";
            return Err(run.failed(Reason::Other, detail));
        }
        run.enter(Phase::Mail);
        self.transactions += 1;
        let limits = run.limits;
        let limit = if self.reused { limits.command.min(limits.connect) } else { limits.command };
        if std::mem::take(&mut self.open_transaction) {
            // Refused or not answered: as good as dead, and MAIL was not said.
            let reset = exchange(&mut self.link, Rset, Class::Completion, limit, run).await;
            reset.map_err(|_| run.failed(Reason::Protocol, "RSET was refused"))?;
        }
        let parameters = if mail.internationalized { vec![MailParameter::SmtpUtfEight] } else { vec![] };
        let command = MailFrom::new(mail.from.clone(), parameters);
        exchange(&mut self.link, command, Class::Completion, limit, run).await
    }

    /// The rest of the transaction, after MAIL was accepted.
    pub(super) async fn deliver(&mut self, mail: &Mail<'_>, run: &mut Run<'_>) -> Outcome {
        match self.envelope_and_data(mail, run).await {
            Ok(()) => self.message(mail, run).await,
            Err(outcome) => outcome,
        }
    }

    async fn envelope_and_data(&mut self, mail: &Mail<'_>, run: &mut Run<'_>) -> Result<(), Outcome> {
        let limit = run.limits.command;
        run.enter(Phase::Rcpt);
        let command = Rcpt::new(mail.to.clone(), vec![]);
        exchange(&mut self.link, command, Class::Completion, limit, run).await?;
        run.enter(Phase::Data);
        exchange(&mut self.link, Data, Class::Intermediate, limit, run).await
    }

    async fn message(&mut self, mail: &Mail<'_>, run: &mut Run<'_>) -> Outcome {
        run.enter(Phase::FinalReply);
        let (write, reply) = (run.within(run.limits.command), run.within(run.limits.final_reply));
        let result = self.link.message(mail.message, write, reply).await;
        let dot = self.link.dot();
        run.dot_at = dot.written_at;
        match result {
            Ok(200..300) => self.link.ledger().reply(|reply| run.accepted(reply)),
            Ok(400..) => self.link.ledger().reply(|reply| run.refused(reply)),
            Ok(code) if dot.handed_over => {
                run.ambiguous(&format!("the server replied {code}, which means nothing here"))
            }
            Ok(_) => self.link.ledger().reply(|reply| run.unexpected(reply)),
            Err(fault) if dot.handed_over => run.ambiguous(&run.describe(&fault)),
            Err(fault) => run.fault(&fault),
        }
    }

    /// What to do with the connection after a transaction that ended so.
    pub(super) fn fate(&mut self, outcome: &Outcome, max_transactions: u32) -> Fate {
        self.open_transaction = matches!(outcome, Outcome::Refused { phase: Phase::Rcpt, .. });
        match outcome {
            Outcome::Refused { reply, .. } if reply.code == 421 => Fate::Drop,
            // An early refusal: the server still takes what we say for the message.
            Outcome::Refused { phase: Phase::FinalReply, .. } if !self.link.dot().handed_over => Fate::Drop,
            Outcome::Accepted { .. } | Outcome::Refused { phase: Phase::Rcpt, .. }
                if self.transactions < max_transactions =>
            {
                Fate::Keep
            }
            // Refused before anything was said.
            Outcome::Failed { reason: Reason::Other, .. } => Fate::Keep,
            Outcome::Accepted { .. } | Outcome::Refused { .. } => Fate::Quit,
            Outcome::Failed { .. } | Outcome::Ambiguous { .. } | Outcome::Released => Fate::Drop,
        }
    }

    /// Says goodbye and closes.
    pub(super) async fn quit(mut self) {
        // The connection is given up either way.
        let _ = self.link.command(Quit, FAREWELL).await;
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    Quit,
    /// Whatever state the server is in, it must not read another word from us.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_use_can_be_written_as_paths() {
        for usual in [
            "a@localhost",
            "a+tag@lab.test",
            "a.b@sub_domain.example",
            "a@[127.0.0.1]",
            "jörg@example.org",
            "a@bücher.example",
            "o'neil/x=y@example.org",
        ] {
            assert_eq!(path(usual).map(|address| address.to_string()).as_deref(), Some(usual));
        }
        for no in ["", "a", "@", "a@", "@b", "a@b>", "a b@c.example", "a@b.example\r\nRSET", "a@b\0.example"]
        {
            assert_eq!(path(no), None, "{no:?}");
        }
    }
}
