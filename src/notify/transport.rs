//! One try to hand a message to a channel, and what came of it as data.

pub mod discord;
pub mod email;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::letter::{Letter, Thread};
use crate::config::{Config, Limits};
use crate::domain::alert::Channel;
use crate::domain::submission::Outcome as Submission;

/// Longer than any reason that is worth showing.
const LONGEST_REASON: usize = 300;

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// Too many messages: nothing is wrong, and nothing may be sent for this long.
    Busy(Duration),
    /// The channel does not know us (any more): trying again is of no use until its setting changes.
    Refused(String),
    /// This message in this form is not accepted.
    Malformed(String),
    /// Not now, or nobody knows.
    Failed(String),
    /// Our own stop came in between.
    BrokenOff,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    pub outcome: Outcome,
    /// The channel asks for a rest before the next message.
    pub rest: Option<Duration>,
    /// It got further than a look does: connected, and logged in where that is needed.
    pub reached: bool,
}

impl From<Outcome> for Try {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, rest: None, reached: true }
    }
}

/// What a look at the channel told, without a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Works(String),
    Refused(String),
    /// It does not answer such a question, which says nothing about messages.
    Unclear(String),
    Failed(String),
}

/// A message with its envelope.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub letter: Letter,
    pub thread: Thread,
    /// Without anything that a channel could take offence at.
    pub plain: bool,
    pub date: Timestamp,
}

/// The way to one channel.
pub enum Transport {
    Discord(discord::Webhook),
    Email(Box<email::Post>),
}

impl Transport {
    /// The way to `channel`, as configured; nothing is connected yet.
    ///
    /// # Errors
    /// When it is not configured, or its setting cannot be used.
    pub fn open(channel: &Channel, config: &Config) -> Result<Self, String> {
        let missing = || format!("{channel} is not configured");
        match channel {
            Channel::Discord => {
                let url = config.alerts.discord.as_ref().ok_or_else(missing)?;
                discord::Webhook::new(url, &config.tls, &config.limits).map(Self::Discord)
            }
            Channel::Email(address) => {
                let sender = config.alerts.smtp.as_ref().ok_or_else(missing)?;
                Ok(Self::Email(Box::new(email::Post::new(
                    sender,
                    Arc::clone(address),
                    &config.tls,
                    &config.limits,
                ))))
            }
        }
    }

    /// Tells one setting from another without keeping it: what is refused is left alone until this is another.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        match self {
            Self::Discord(webhook) => webhook.digest(),
            Self::Email(post) => post.digest(),
        }
    }

    /// The domain of message identities.
    #[must_use]
    pub fn domain(&self) -> &str {
        match self {
            Self::Discord(_) => "localhost",
            Self::Email(post) => post.domain(),
        }
    }

    /// Tries once. `abort` breaks it off.
    pub async fn send(&self, parcel: &Parcel, abort: &CancellationToken) -> Try {
        match self {
            Self::Discord(webhook) => webhook.send(parcel, abort).await,
            Self::Email(post) => post.send(parcel, abort).await,
        }
    }

    /// Looks whether the channel would take a message, without sending one.
    pub async fn look(&self) -> Look {
        match self {
            Self::Discord(webhook) => webhook.look().await,
            Self::Email(post) => post.look().await,
        }
    }

    /// Says goodbye, within a moment.
    pub async fn close(&self) {
        if let Self::Email(post) = self {
            post.close().await;
        }
    }
}

/// A client for what is called by URL: no redirects, as they would carry the URL's secret elsewhere.
///
/// # Errors
/// When TLS cannot be used.
pub fn http_client(
    tls: &Arc<ClientConfig>,
    limits: &Limits,
    whole: Duration,
) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured((**tls).clone())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits.connect)
        .timeout(whole)
        .user_agent(concat!("MailDT/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failure(error, whole))
}

/// What went wrong with an HTTP request, without its URL, in which there is a secret.
#[must_use]
pub fn failure(error: reqwest::Error, whole: Duration) -> String {
    let error = error.without_url();
    let mut deepest = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        deepest = cause.to_string();
        source = cause.source();
    }
    if error.is_timeout() && error.is_connect() {
        "no connection in time".to_owned()
    } else if error.is_timeout() {
        format!("no answer within {} s", whole.as_secs_f64())
    } else if error.is_connect() {
        format!("cannot connect: {}", clean(&deepest))
    } else {
        clean(&deepest)
    }
}

/// Foreign text as part of a reason: one line, bounded.
#[must_use]
pub fn clean(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(LONGEST_REASON).collect()
}

/// Why a submission was not accepted, as it is told to people.
#[must_use]
pub fn submission_reason(outcome: &Submission) -> String {
    use crate::domain::submission::Phase;
    let step = |phase: &Phase| match phase {
        Phase::Dns => "the resolution of the name",
        Phase::Connect => "the connection",
        Phase::Tls => "the TLS handshake",
        Phase::Greeting => "the greeting",
        Phase::Ehlo => "EHLO",
        Phase::Auth => "the login",
        Phase::Mail => "MAIL FROM",
        Phase::Rcpt => "RCPT TO",
        Phase::Data => "DATA",
        Phase::FinalReply => "the end of the message",
    };
    match outcome {
        Submission::Refused { phase, reply, .. } => {
            let enhanced = reply.enhanced.as_ref().filter(|code| !reply.text.starts_with(code.as_str()));
            let enhanced = enhanced.map(|code| format!("{code} ")).unwrap_or_default();
            format!("refused at {}: {} {enhanced}{}", step(phase), reply.code, clean(&reply.text))
        }
        Submission::Failed { phase, detail, .. } => format!("failed at {}: {}", step(phase), clean(detail)),
        Submission::Ambiguous { detail, .. } => {
            format!("no answer after the end of the message: {}", clean(detail))
        }
        Submission::Released => "broken off by our own stop".to_owned(),
        Submission::Accepted { .. } => "accepted".to_owned(),
    }
}
