//! One mail transaction: MAIL, RCPT, DATA, and who answers for the message afterwards (RFC 5321 sections 3.3 and 6.1).

use super::Session;
use super::data::{self, Body};
use crate::demo::connection::{Ended, Next};
use crate::demo::delivery::{self, Envelope};
use crate::demo::faults::{Action, Scene, SmtpPoint};
use crate::demo::ledger::{Entry, Moment, Submission};

impl Session<'_> {
    pub(super) async fn mail(&mut self, path: String, size: Option<usize>) -> Result<(), Ended> {
        let options = &self.shared.options;
        let refusal = if self.helo.is_none() {
            Some("503 5.5.1 Say EHLO first")
        } else if options.require_auth && self.user.is_none() {
            Some("530 5.7.0 Authentication required")
        } else if self.mail_from.is_some() {
            Some("503 5.5.1 Nested MAIL command")
        } else if size.is_some_and(|size| size > options.limits.message) {
            Some("552 5.3.4 Message too big")
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.refuse("MAIL", None, reply);
            return Ok(());
        }
        self.mail_from = Some(path);
        match self.interfere(SmtpPoint::Mail, &[]).await {
            Ok(Next::Go) => {
                self.say("250 2.1.0 Ok");
                Ok(())
            }
            Ok(Next::Answered) => {
                self.mail_from = None;
                Ok(())
            }
            Err(ended) => Err(ended),
        }
    }

    pub(super) async fn rcpt(&mut self, path: String) -> Result<(), Ended> {
        if self.mail_from.is_none() {
            self.refuse("RCPT", Some(&path), "503 5.5.1 MAIL first");
            return Ok(());
        }
        if self.interfere(SmtpPoint::Rcpt, std::slice::from_ref(&path)).await? == Next::Answered {
            return Ok(());
        }
        if self.rcpt_to.len() >= self.shared.options.limits.recipients {
            self.refuse("RCPT", Some(&path), "452 4.5.3 Too many recipients");
        } else if self.shared.spool.route(&path).is_none() {
            self.refuse("RCPT", Some(&path), "550 5.1.1 User unknown");
        } else {
            self.rcpt_to.push(path);
            self.say("250 2.1.5 Ok");
        }
        Ok(())
    }

    pub(super) async fn data(&mut self) -> Result<(), Ended> {
        if self.rcpt_to.is_empty() {
            self.refuse("DATA", None, "554 5.5.1 No valid recipients");
            return Ok(());
        }
        let recipients = self.rcpt_to.clone();
        if self.interfere(SmtpPoint::Data, &recipients).await? == Next::Answered {
            self.reset();
            return Ok(());
        }
        self.say("354 End data with <CR><LF>.<CR><LF>");
        self.connection.reply_complete().await?;
        self.connection.flush().await?;

        let limits = self.shared.options.limits;
        let mut body = Body::default();
        let result = data::receive(self.connection, &mut body, limits.message, limits.smtp_silence).await;
        let submission = Submission {
            id: self.shared.new_id(),
            connection: self.number,
            tls: self.connection.is_tls(),
            user: self.user.clone(),
            mail_from: self.mail_from.take().unwrap_or_default(),
            rcpt_to: std::mem::take(&mut self.rcpt_to),
            raw: std::mem::take(&mut body.raw).into(),
            complete: result.is_ok(),
            received: Moment::now(),
            reply: None,
            replied: None,
            saved: Vec::new(),
        };
        let entry = self.shared.ledger.add(submission.clone());
        let envelope = self.envelope(entry, submission);
        result?;
        match body.refusal() {
            Some(reply) => self.answer(envelope.entry, reply).await,
            None => self.take(envelope).await,
        }
    }

    fn envelope(&self, entry: Entry, submission: Submission) -> Envelope {
        let protocol = match (self.extended, self.connection.is_tls(), self.user.is_some()) {
            (false, ..) => "SMTP",
            (true, true, true) => "ESMTPSA",
            (true, true, false) => "ESMTPS",
            (true, false, true) => "ESMTPA",
            (true, false, false) => "ESMTP",
        };
        Envelope {
            entry,
            id: submission.id,
            connection: self.number,
            helo: self.helo.clone().unwrap_or_default(),
            protocol,
            user: submission.user,
            mail_from: submission.mail_from,
            rcpt_to: submission.rcpt_to,
            raw: submission.raw,
        }
    }

    /// The final dot was read and the message is in order.
    async fn take(&mut self, envelope: Envelope) -> Result<(), Ended> {
        let reply = format!("250 2.0.0 Ok: queued as {}", envelope.id);
        if let Some(action) = self.shared.faults.smtp(SmtpPoint::Body, &scene_of(&envelope))
            && self.act_on_message(envelope.entry, action).await? == Next::Answered
        {
            return Ok(());
        }
        let Some(action) = self.shared.faults.smtp(SmtpPoint::Saved, &scene_of(&envelope)) else {
            let result = self.answer(envelope.entry, &reply).await;
            delivery::deliver(self.shared, envelope);
            return result;
        };
        let entry = envelope.entry;
        delivery::deliver(self.shared, envelope);
        if self.act_on_message(entry, action).await? == Next::Go {
            self.answer(entry, &reply).await?;
        }
        Ok(())
    }

    async fn act_on_message(&mut self, entry: Entry, action: Action) -> Result<Next, Ended> {
        match action {
            Action::Reply(reply) => {
                self.answer(entry, &reply).await?;
                Ok(Next::Answered)
            }
            action => {
                if let Action::Raw(bytes, _) = &action {
                    let start = bytes.get(..bytes.len().min(200)).unwrap_or_default();
                    self.shared.ledger.replying(entry, &String::from_utf8_lossy(start));
                }
                self.connection.act(action, str::to_owned).await
            }
        }
    }

    /// Answers the final dot and writes down that and when it did.
    async fn answer(&mut self, entry: Entry, reply: &str) -> Result<(), Ended> {
        self.shared.ledger.replying(entry, reply);
        self.say(reply);
        self.connection.flush().await?;
        self.shared.ledger.replied(entry, Moment::now());
        Ok(())
    }
}

fn scene_of(envelope: &Envelope) -> Scene<'_> {
    Scene {
        connection: envelope.connection,
        user: envelope.user.as_deref(),
        mail_from: Some(&envelope.mail_from),
        recipients: &envelope.rcpt_to,
        folder: None,
        raw: Some(&envelope.raw),
    }
}
