//! Responses (RFC 3501, section 7) as far as we use them, free of the buffers that they were read into.

use async_imap::imap_proto::{self, AttributeValue, Capability, MailboxDatum, NameAttribute, ResponseCode};
use bytes::Bytes;

pub(super) use imap_proto::Status;

/// A status with the response code in brackets, if any, and the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub status: Status,
    pub code: Option<Code>,
    /// Code and text, as the server said them.
    pub words: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    UidValidity(u32),
    UidNext(u32),
    ReadOnly,
    Capabilities(Vec<String>),
    /// The name of any other, such as `EXPUNGEISSUED` (RFC 5530).
    Other(String),
}

impl Outcome {
    /// The capabilities that came as a code, so that nobody needs to ask.
    pub(super) fn capabilities(&self) -> Option<Vec<String>> {
        match &self.code {
            Some(Code::Capabilities(capabilities)) => Some(capabilities.clone()),
            _ => None,
        }
    }

    /// The name of a code that has no meaning of its own here.
    pub(super) fn other_code(&self) -> Option<String> {
        match &self.code {
            Some(Code::Other(name)) => Some(name.clone()),
            _ => None,
        }
    }
}

/// One message's data in reply to FETCH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub sequence: u32,
    pub uid: Option<u32>,
    /// INTERNALDATE as it was sent.
    pub internal_date: Option<String>,
    /// The one section that was asked for.
    pub section: Option<Bytes>,
}

/// A folder as LIST tells it; the name is still in modified UTF-7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub attributes: Vec<String>,
    pub delimiter: Option<char>,
    pub name: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untagged {
    Status(Outcome),
    Capability(Vec<String>),
    List(Listed),
    Search(Vec<u32>),
    Exists(u32),
    Expunge(u32),
    Fetch(Fetched),
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// `+`.
    Continue,
    Tagged(String, Outcome),
    Untagged(Untagged),
}

impl From<&imap_proto::Response<'_>> for Response {
    fn from(response: &imap_proto::Response<'_>) -> Self {
        use imap_proto::Response as Proto;
        Self::Untagged(match response {
            Proto::Continue(_) => return Self::Continue,
            Proto::Done { tag, status, outcome } => {
                return Self::Tagged(tag.0.clone(), told(status, outcome));
            }
            Proto::Data { status, outcome } => Untagged::Status(told(status, outcome)),
            Proto::Capabilities(capabilities) => Untagged::Capability(names(capabilities)),
            Proto::MailboxData(MailboxDatum::List(listed)) => Untagged::List(Listed {
                attributes: listed.name_attributes.iter().map(attribute).collect(),
                delimiter: listed.delimiter.as_deref().and_then(|text| text.chars().next()),
                name: listed.name.clone().into_owned(),
            }),
            Proto::MailboxData(MailboxDatum::Search(uids)) => Untagged::Search(uids.clone()),
            Proto::MailboxData(MailboxDatum::Exists(count)) => Untagged::Exists(*count),
            Proto::Expunge(sequence) => Untagged::Expunge(*sequence),
            Proto::Fetch(sequence, attributes) => Untagged::Fetch(fetched(*sequence, attributes)),
            _ => Untagged::Other,
        })
    }
}

fn told(status: &Status, outcome: &imap_proto::Outcome<'_>) -> Outcome {
    let status = match status {
        Status::Ok => Status::Ok,
        Status::No => Status::No,
        Status::Bad => Status::Bad,
        Status::PreAuth => Status::PreAuth,
        Status::Bye => Status::Bye,
    };
    let words = outcome.information.as_deref().unwrap_or_default().to_owned();
    let code = match &outcome.code {
        Some(ResponseCode::UidValidity(number)) => Some(Code::UidValidity(*number)),
        Some(ResponseCode::UidNext(number)) => Some(Code::UidNext(*number)),
        Some(ResponseCode::ReadOnly) => Some(Code::ReadOnly),
        Some(ResponseCode::Capabilities(capabilities)) => Some(Code::Capabilities(names(capabilities))),
        Some(_) => None,
        // What the library does not know it leaves in the text.
        None => words.strip_prefix('[').and_then(|rest| {
            let name = rest.split([']', ' ']).next()?;
            Some(Code::Other(name.to_ascii_uppercase()))
        }),
    };
    Outcome { status, code, words }
}

fn names(capabilities: &[Capability<'_>]) -> Vec<String> {
    let name = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_ascii_uppercase()),
        Capability::Atom(name) => name.to_ascii_uppercase(),
    };
    capabilities.iter().map(name).collect()
}

fn attribute(attribute: &NameAttribute<'_>) -> String {
    let name = match attribute {
        NameAttribute::NoSelect => "\\Noselect",
        NameAttribute::All => "\\All",
        NameAttribute::Archive => "\\Archive",
        NameAttribute::Drafts => "\\Drafts",
        NameAttribute::Flagged => "\\Flagged",
        NameAttribute::Junk => "\\Junk",
        NameAttribute::Sent => "\\Sent",
        NameAttribute::Trash => "\\Trash",
        NameAttribute::Extension(name) => name,
        _ => "",
    };
    name.to_owned()
}

fn fetched(sequence: u32, attributes: &[AttributeValue<'_>]) -> Fetched {
    let mut fetched = Fetched { sequence, ..Fetched::default() };
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(uid) => fetched.uid = Some(*uid),
            AttributeValue::InternalDate(date) => fetched.internal_date = Some(date.clone().into_owned()),
            AttributeValue::BodySection { data, .. } => {
                fetched.section = Some(Bytes::copy_from_slice(data.as_deref().unwrap_or_default()));
            }
            _ => {}
        }
    }
    fetched
}
