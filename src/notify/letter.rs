//! A message, before it has the form of a channel.

use jiff::Timestamp;

use crate::domain::alert::IncidentId;

/// What a message says. Plain text throughout, not escaped yet; no secret and no token in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub tone: Tone,
    /// One line that alone tells kind and recipient.
    pub subject: String,
    /// What is wrong (or right again), in a sentence.
    pub lead: String,
    /// Since when, how often, the evidence, …
    pub facts: Vec<Fact>,
    /// The recipients concerned, where there are several: one line each.
    pub items: Vec<String>,
    /// The same in a word each, for where the lines have no room; empty where there is no shorter form.
    pub names: Vec<String>,
    /// What it is not, and what to look at next.
    pub remarks: Vec<String>,
    /// Of which incidents it tells; empty for a test or an emergency.
    pub incidents: Vec<IncidentId>,
    /// Where to read more.
    pub link: Option<String>,
    /// When what it tells happened.
    pub at: Timestamp,
}

/// A labelled value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub label: &'static str,
    pub value: String,
}

/// The colour of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Mail is lost or refused.
    Bad,
    /// We cannot tell, or cannot alert.
    Blind,
    Good,
    Neutral,
}

/// Where an e-mail stands in its conversation (RFC 5322, section 3.6.4). Without angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The same for every try of the same message.
    pub message_id: String,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
}
