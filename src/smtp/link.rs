//! lettre's connection. How an exchange went is asked of the [`Ledger`], not of lettre's errors.

use std::fmt::Display;
use std::pin::pin;
use std::time::{Duration, Instant};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use tokio::time::{timeout, timeout_at};

use crate::smtp::dial::Transport;
use crate::smtp::ledger::{Dot, Fault, Ledger, Sending};
use crate::smtp::wire::Wire;

/// A connection that said EHLO.
pub(super) struct Link {
    lettre: AsyncSmtpConnection,
    ledger: Ledger,
}

impl Link {
    /// Hands a greeted wire to lettre, which says EHLO. The code is that of its reply; there is a link
    /// where it was positive.
    pub(super) async fn open(
        wire: Wire<Transport>,
        name: &ClientId,
        limit: Duration,
    ) -> Result<(u16, Option<Self>), Fault> {
        let ledger = wire.ledger();
        ledger.begin(Sending::Command);
        let opening = AsyncSmtpConnection::connect_with_transport(Box::new(wire), name);
        let result = timeout(limit, opening).await.map_err(|_| Fault::Timeout(limit))?;
        let code = conclude(&ledger, result.as_ref().map(drop))?;
        Ok((code, result.ok().map(|lettre| Self { lettre, ledger })))
    }

    /// Sends one command and reads the reply to it.
    pub(super) async fn command(&mut self, command: impl Display, limit: Duration) -> Result<u16, Fault> {
        self.ledger.begin(Sending::Command);
        let result = timeout(limit, self.lettre.command(command)).await.map_err(|_| Fault::Timeout(limit))?;
        conclude(&self.ledger, result.as_ref().map(drop))
    }

    /// Sends a message, dot-stuffed by lettre, and its final dot after a 354, and reads the reply. After an error
    /// [`Link::dot`] tells whether the server may have the message.
    pub(super) async fn message(
        &mut self,
        message: &[u8],
        write_limit: Duration,
        reply_limit: Duration,
    ) -> Result<u16, Fault> {
        self.ledger.begin(Sending::Message);
        // lettre's final dot brings a CRLF of its own.
        let text = message.strip_suffix(b"\r\n").unwrap_or(message);
        let begun = Instant::now();
        let mut sending = pin!(self.lettre.message(text));
        let result = loop {
            let (until, limit) = match self.ledger.dot().written_at {
                Some(written) => (written + reply_limit, reply_limit),
                None => (begun + write_limit, write_limit),
            };
            let now = Instant::now();
            if now >= until {
                return Err(Fault::Timeout(limit));
            }
            // The dot goes out while we wait, and then its own limit counts: look again before either can be over.
            let look_again = until.min(now + write_limit.min(reply_limit));
            if let Ok(result) = timeout_at(look_again.into(), &mut sending).await {
                break result;
            }
        };
        conclude(&self.ledger, result.as_ref().map(drop))
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn dot(&self) -> Dot {
        self.ledger.dot()
    }
}

/// The ledger's word counts. Where lettre could not go on after a positive reply all the same, neither can we.
fn conclude(ledger: &Ledger, lettre: Result<(), &Error>) -> Result<u16, Fault> {
    match (ledger.conclude()?, lettre) {
        (Some(code), Ok(())) | (Some(code @ 400..), Err(_)) => Ok(code),
        (_, Err(error)) => Err(Fault::Client(error.to_string())),
        (None, Ok(())) => Err(Fault::Unsolicited),
    }
}
