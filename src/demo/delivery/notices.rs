//! Messages that come instead of the one that was sent: a delivery status notification, an automatic reply, a forward.

use super::Envelope;
use crate::demo::spool::{field_values, header_of, unfold};

/// What all of them are made from.
pub(super) struct Notice<'a> {
    pub host: &'a str,
    pub envelope: &'a Envelope,
    pub recipient: &'a str,
    pub date: &'a str,
}

impl Notice<'_> {
    fn field(&self, name: &str) -> String {
        let value = field_values(&self.envelope.raw, name).next();
        value.map(|v| String::from_utf8_lossy(&unfold(v)).into_owned()).unwrap_or_default()
    }

    /// A delivery status notification (RFC 3464) as Postfix writes it, with the header of the original.
    pub fn bounce(&self, id: &str, status: &str, diagnostic: &str) -> Vec<u8> {
        let Self { host, envelope, recipient, date } = self;
        let Envelope { id: queue_id, mail_from, raw, .. } = envelope;
        let boundary = format!("{id}/{host}");
        let mut message = format!(
            "Return-Path: <>\r\n\
             Received: by {host} id {id}; {date}\r\n\
             Date: {date}\r\n\
             From: MAILER-DAEMON@{host} (Mail Delivery System)\r\n\
             Subject: Undelivered Mail Returned to Sender\r\n\
             To: {mail_from}\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             Message-Id: <{id}@{host}>\r\n\
             \r\n\
             This is a MIME-encapsulated message.\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Description: Notification\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n\
             This is the mail system at host {host}.\r\n\
             \r\n\
             Your message could not be delivered to one recipient.\r\n\
             \r\n\
             <{recipient}>: {diagnostic}\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Description: Delivery report\r\n\
             Content-Type: message/delivery-status\r\n\
             \r\n\
             Reporting-MTA: dns; {host}\r\n\
             X-Postfix-Queue-ID: {queue_id}\r\n\
             X-Postfix-Sender: rfc822; {mail_from}\r\n\
             Arrival-Date: {date}\r\n\
             \r\n\
             Final-Recipient: rfc822; {recipient}\r\n\
             Original-Recipient: rfc822;{recipient}\r\n\
             Action: failed\r\n\
             Status: {status}\r\n\
             Remote-MTA: dns; mx.{host}\r\n\
             Diagnostic-Code: smtp; {diagnostic}\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Description: Undelivered Message Headers\r\n\
             Content-Type: text/rfc822-headers\r\n\
             \r\n"
        )
        .into_bytes();
        message.extend_from_slice(header_of(raw));
        message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        message
    }

    /// What a vacation program or an echo service answers (RFC 3834).
    pub fn auto_reply(&self, id: &str) -> Vec<u8> {
        let Self { host, envelope, recipient, date } = self;
        let mail_from = &envelope.mail_from;
        let (subject, message_id) = (self.field("Subject"), self.field("Message-ID"));
        format!(
            "Return-Path: <>\r\n\
             Received: by {host} id {id}; {date}\r\n\
             Date: {date}\r\n\
             From: {recipient}\r\n\
             To: {mail_from}\r\n\
             Subject: Auto: {subject}\r\n\
             Auto-Submitted: auto-replied (vacation)\r\n\
             In-Reply-To: {message_id}\r\n\
             References: {message_id}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n\
             I am away until Monday.\r\n"
        )
        .into_bytes()
    }

    /// What the Forward button of a mail client makes: a new message with the old Subject and a quoted header.
    pub fn forward(&self, id: &str) -> Vec<u8> {
        let Self { host, envelope, recipient, date } = self;
        let (subject, from, sent) = (self.field("Subject"), self.field("From"), self.field("Date"));
        let mut message = format!(
            "Return-Path: <{recipient}>\r\n\
             Received: by {host} id {id}; {date}\r\n\
             Date: {date}\r\n\
             From: {recipient}\r\n\
             To: {recipient}\r\n\
             Subject: Fwd: {subject}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n\
             ---------- Forwarded message ---------\r\n\
             From: {from}\r\n\
             Date: {sent}\r\n\
             Subject: {subject}\r\n\
             To: {recipient}\r\n\
             \r\n"
        )
        .into_bytes();
        let text = envelope.raw.get(header_of(&envelope.raw).len()..).unwrap_or_default();
        message.extend_from_slice(text);
        message
    }
}
