//! AUTH PLAIN (RFC 4616) and LOGIN, with and without an initial response (RFC 4954).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Session;
use crate::demo::connection::{Ended, Next};
use crate::demo::faults::{Scene, SmtpPoint};

/// Longest line of an exchange (RFC 4954 section 4).
const LINE: usize = 12_288;

const CANNOT_DECODE: &str = "501 5.5.2 Cannot decode base64";

impl Session<'_> {
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<String>,
    ) -> Result<(), Ended> {
        let refusal = if !self.extended {
            Some("503 5.5.1 Say EHLO first")
        } else if self.user.is_some() || self.mail_from.is_some() {
            Some("503 5.5.1 AUTH is out of place here")
        } else if !self.offers_auth() {
            Some("538 5.7.11 Encryption required for authentication")
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.refuse("AUTH", None, reply);
            return Ok(());
        }
        let credentials = match mechanism {
            "PLAIN" => self.plain(initial).await?,
            "LOGIN" => self.login(initial).await?,
            _ => Err("504 5.5.4 Unrecognized authentication mechanism"),
        };
        let (user, password) = match credentials {
            Ok(credentials) => credentials,
            Err(reply) => {
                self.refuse("AUTH", None, reply);
                return Ok(());
            }
        };
        let scene = Scene { connection: self.number, user: Some(&user), ..Scene::default() };
        if let Some(action) = self.shared.faults.smtp(SmtpPoint::Auth, &scene)
            && self.connection.act(action, |reply| format!("{reply}\r\n")).await? == Next::Answered
        {
            return Ok(());
        }
        if let Some(account) = self.shared.spool.login(&user, &password) {
            self.user = Some(account.name.clone());
            self.say("235 2.7.0 Authentication successful");
        } else {
            self.errors += 1;
            self.refuse("AUTH", None, "535 5.7.8 Authentication failed");
        }
        Ok(())
    }

    /// Asks and reads one answer; the inner error is the reply to a bad one.
    async fn ask(&mut self, challenge: &str) -> Result<Result<Vec<u8>, &'static str>, Ended> {
        self.say(&format!("334 {challenge}"));
        let line = self.connection.line(LINE, self.shared.options.limits.smtp_silence).await?;
        let line = line.trim_ascii_end();
        if line == b"*" {
            return Ok(Err("501 5.7.0 Authentication cancelled"));
        }
        Ok(STANDARD.decode(line).map_err(|_| CANNOT_DECODE))
    }

    async fn answer_or_ask(
        &mut self,
        initial: Option<String>,
        challenge: &str,
    ) -> Result<Result<Vec<u8>, &'static str>, Ended> {
        match initial.as_deref() {
            None => self.ask(challenge).await,
            Some("=") => Ok(Ok(Vec::new())),
            Some(text) => Ok(STANDARD.decode(text).map_err(|_| CANNOT_DECODE)),
        }
    }

    async fn plain(
        &mut self,
        initial: Option<String>,
    ) -> Result<Result<(String, String), &'static str>, Ended> {
        let answer = self.answer_or_ask(initial, "").await?;
        Ok(answer.and_then(|bytes| parse_plain(&bytes).ok_or(CANNOT_DECODE)))
    }

    async fn login(
        &mut self,
        initial: Option<String>,
    ) -> Result<Result<(String, String), &'static str>, Ended> {
        // "Username:" and "Password:"
        let user = match self.answer_or_ask(initial, "VXNlcm5hbWU6").await? {
            Ok(user) => user,
            Err(reply) => return Ok(Err(reply)),
        };
        let password = match self.ask("UGFzc3dvcmQ6").await? {
            Ok(password) => password,
            Err(reply) => return Ok(Err(reply)),
        };
        let text = |bytes| String::from_utf8(bytes).map_err(|_| CANNOT_DECODE);
        Ok(text(user).and_then(|user| Ok((user, text(password)?))))
    }
}

/// User and password from a PLAIN response: authorization id, authentication id and password, parted by NUL.
pub(in crate::demo) fn parse_plain(bytes: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.split('\0');
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && !user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}
