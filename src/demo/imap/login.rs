//! LOGIN and AUTHENTICATE PLAIN (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4616, RFC 4959).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imap_codec::imap_types::auth::AuthMechanism;

use super::{Outcome, Session};
use crate::demo::connection::Ended;
use crate::demo::smtp::parse_plain;

/// Longest line of an exchange.
const LINE: usize = 12_288;

impl Session<'_> {
    pub(super) fn login(&mut self, user: &[u8], password: &[u8]) -> Outcome {
        if self.account.is_some() {
            return Outcome::bad("Logged in already");
        }
        let credentials = std::str::from_utf8(user).ok().zip(std::str::from_utf8(password).ok());
        match credentials.and_then(|(user, password)| self.shared.spool.login(user, password)) {
            Some(account) => {
                self.account = Some(Arc::clone(account));
                Outcome::Tagged(format!("OK [CAPABILITY {}] Logged in", self.capabilities()))
            }
            None => Outcome::no("[AUTHENTICATIONFAILED] Authentication failed"),
        }
    }

    pub(super) async fn authenticate(
        &mut self,
        mechanism: &AuthMechanism<'_>,
        initial: Option<Vec<u8>>,
    ) -> Result<Outcome, Ended> {
        if *mechanism != AuthMechanism::Plain {
            return Ok(Outcome::no("[CANNOT] Unsupported mechanism"));
        }
        let response = if let Some(response) = initial {
            response
        } else {
            self.connection.push("+ \r\n");
            let line = self.connection.line(LINE, self.shared.options.limits.imap_silence).await?;
            let line = line.trim_ascii_end();
            if line == b"*" {
                return Ok(Outcome::bad("Cancelled"));
            }
            match STANDARD.decode(line) {
                Ok(response) => response,
                Err(_) => return Ok(Outcome::bad("Cannot decode base64")),
            }
        };
        Ok(match parse_plain(&response) {
            Some((user, password)) => self.login(user.as_bytes(), password.as_bytes()),
            None => Outcome::bad("Not a PLAIN response"),
        })
    }
}
