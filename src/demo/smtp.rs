//! The SMTP side: one submission session (RFC 5321, 6409) with STARTTLS (3207), AUTH (4954), PIPELINING (2920), SIZE
//! (1870), 8BITMIME (6152) and ENHANCEDSTATUSCODES (2034).

mod auth;
mod command;
mod data;
mod transaction;

use std::sync::Arc;

use super::connection::{Connection, Ended, Next};
use super::faults::{Action, Quirk, Scene, SmtpPoint};
use super::ledger::{Moment, Refusal};
use super::{Service, Shared};
pub(super) use auth::parse_plain;
use command::Command;

/// Longest command line; AUTH may be long (RFC 4954 section 4).
const LINE: usize = 12_288;
/// Commands that made no sense before the session is ended.
const PATIENCE: u32 = 20;

struct Session<'a> {
    shared: &'a Arc<Shared>,
    service: Service,
    connection: &'a mut Connection,
    number: u64,
    helo: Option<String>,
    extended: bool,
    user: Option<String>,
    mail_from: Option<String>,
    rcpt_to: Vec<String>,
    errors: u32,
}

/// Serves one connection until it ends, and says why it did.
pub(super) async fn session(
    shared: &Arc<Shared>,
    service: Service,
    mut connection: Connection,
    number: u64,
    full: bool,
) -> Ended {
    let mut session = Session {
        shared,
        service,
        connection: &mut connection,
        number,
        helo: None,
        extended: false,
        user: None,
        mail_from: None,
        rcpt_to: Vec::new(),
        errors: 0,
    };
    let ended = match session.run(full).await {
        Err(ended) => ended,
        Ok(()) => Ended::Goodbye,
    };
    match ended {
        Ended::Severed => {
            connection.sever().await;
            return ended;
        }
        Ended::Stopping => connection.push("421 4.3.2 The server stops\r\n"),
        Ended::Silent => connection.push("421 4.4.2 Silent for too long\r\n"),
        Ended::LineTooLong => connection.push("500 5.5.6 Line too long\r\n"),
        Ended::Peer | Ended::Io(_) | Ended::Goodbye => {}
    }
    connection.close().await;
    ended
}

impl Session<'_> {
    async fn run(&mut self, full: bool) -> Result<(), Ended> {
        self.interfere(SmtpPoint::Accept, &[]).await?;
        if self.service.implicit_tls() {
            self.connection.start_tls(&self.shared.tls.acceptor).await?;
        }
        if full {
            self.say("421 4.7.0 Too many connections");
            return Ok(());
        }
        if self.interfere(SmtpPoint::Connect, &[]).await? == Next::Go {
            let greeting = format!("220 {} ESMTP MailDT demo", self.shared.options.hostname);
            self.say(&greeting);
        }
        loop {
            self.connection.reply_complete().await?;
            let line = self.connection.line(LINE, self.shared.options.limits.smtp_silence).await?;
            let Some(line) = line.strip_suffix(b"\r\n") else {
                self.say("500 5.5.2 Bare line feed");
                return Ok(());
            };
            match command::parse(line) {
                Ok(Command::Quit) => {
                    if self.interfere(SmtpPoint::Quit, &[]).await? == Next::Go {
                        self.say("221 2.0.0 Bye");
                    }
                    self.connection.reply_complete().await?;
                    return Ok(());
                }
                Ok(command) => self.perform(command).await?,
                Err(reply) => {
                    self.refuse("", None, reply);
                    self.errors += 1;
                }
            }
            if self.errors > PATIENCE {
                self.say("421 4.7.0 Too many errors");
                return Ok(());
            }
        }
    }

    fn say(&mut self, reply: &str) {
        self.connection.push(reply);
        self.connection.push("\r\n");
    }

    /// Says a 4xx or 5xx and writes it down.
    fn refuse(&mut self, verb: &str, recipient: Option<&str>, reply: &str) {
        self.note_refusal(verb, recipient, reply);
        self.say(reply);
    }

    fn note_refusal(&self, verb: &str, recipient: Option<&str>, reply: &str) {
        self.shared.ledger.refused(Refusal {
            connection: self.number,
            verb: verb.to_owned(),
            mail_from: self.mail_from.clone().unwrap_or_default(),
            recipient: recipient.map(str::to_owned),
            reply: reply.to_owned(),
            at: Moment::now(),
        });
    }

    fn scene<'s>(&'s self, recipients: &'s [String], raw: Option<&'s [u8]>) -> Scene<'s> {
        Scene {
            connection: self.number,
            user: self.user.as_deref(),
            mail_from: self.mail_from.as_deref(),
            recipients,
            folder: None,
            raw,
        }
    }

    /// Lets a rule step in at a point that is not about a message.
    async fn interfere(&mut self, point: SmtpPoint, recipients: &[String]) -> Result<Next, Ended> {
        let Some(action) = self.shared.faults.smtp(point, &self.scene(recipients, None)) else {
            return Ok(Next::Go);
        };
        if let Action::Reply(reply) = &action {
            let verb = format!("{point:?}").to_ascii_uppercase();
            self.note_refusal(&verb, recipients.first().map(String::as_str), reply);
        }
        self.connection.act(action, |reply| format!("{reply}\r\n")).await
    }

    fn quirk(&self, quirk: Quirk) -> bool {
        self.shared.faults.quirk(quirk, &self.scene(&[], None))
    }

    fn offers_starttls(&self) -> bool {
        self.service == Service::Submission && !self.connection.is_tls() && !self.quirk(Quirk::NoStartTls)
    }

    /// Whether a login may be sent as things stand: not in the clear where TLS is to be had.
    fn offers_auth(&self) -> bool {
        self.user.is_none() && (self.service == Service::Smtp || self.connection.is_tls())
    }

    async fn perform(&mut self, command: Command) -> Result<(), Ended> {
        match command {
            Command::Ehlo(name) => self.hello(name, true).await,
            Command::Helo(name) => self.hello(name, false).await,
            Command::StartTls => self.start_tls().await,
            Command::Auth { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            Command::Mail { path, size } => self.mail(path, size).await,
            Command::Rcpt { path } => self.rcpt(path).await,
            Command::Data => self.data().await,
            Command::Rset => {
                if self.interfere(SmtpPoint::Rset, &[]).await? == Next::Go {
                    self.reset();
                    self.say("250 2.0.0 Ok");
                }
                Ok(())
            }
            Command::Noop => {
                if self.interfere(SmtpPoint::Noop, &[]).await? == Next::Go {
                    self.say("250 2.0.0 Ok");
                }
                Ok(())
            }
            Command::Vrfy => {
                self.say("252 2.5.2 Cannot verify, try to send");
                Ok(())
            }
            Command::Help => {
                self.say("214 2.0.0 See RFC 5321");
                Ok(())
            }
            Command::Quit => Err(Ended::Goodbye),
        }
    }

    fn reset(&mut self) {
        self.mail_from = None;
        self.rcpt_to.clear();
    }

    async fn hello(&mut self, name: String, extended: bool) -> Result<(), Ended> {
        if self.interfere(SmtpPoint::Ehlo, &[]).await? == Next::Answered {
            return Ok(());
        }
        self.reset();
        self.helo = Some(name);
        self.extended = extended;
        let host = &self.shared.options.hostname;
        if !extended {
            let reply = format!("250 {host}");
            self.say(&reply);
            return Ok(());
        }
        let mut lines = vec![
            host.clone(),
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.shared.options.limits.message),
        ];
        if self.offers_starttls() {
            lines.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        lines.push("8BITMIME".to_owned());
        let last = lines.len() - 1;
        for (at, line) in lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            self.say(&format!("250{separator}{line}"));
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Ended> {
        if self.interfere(SmtpPoint::StartTls, &[]).await? == Next::Answered {
            return Ok(());
        }
        if !self.offers_starttls() {
            self.refuse("STARTTLS", None, "502 5.5.1 STARTTLS is not available");
            return Ok(());
        }
        self.say("220 2.0.0 Ready to start TLS");
        self.connection.start_tls(&self.shared.tls.acceptor).await?;
        self.reset();
        self.helo = None;
        self.user = None;
        Ok(())
    }
}
