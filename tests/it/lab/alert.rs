//! An alert as a person gets it, whatever the channel.

use serde_json::Value;

use super::maildir::Stored;

/// What a message tells about what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Opened,
    Reminder,
    Recovered,
    /// Over, but not because anything works again.
    Closed,
    /// A test, an emergency, …
    Other,
}

/// Where an e-mail stands in its conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub message_id: String,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    pub auto_submitted: Option<String>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Alert {
    pub told: Told,
    pub subject: String,
    /// All that it says, the subject among it.
    pub text: String,
    /// The identities of the incidents that it tells of.
    pub incidents: Vec<String>,
    /// E-mail only.
    pub headers: Headers,
}

impl Alert {
    fn new(subject: &str, text: String, headers: Headers) -> Self {
        // Whose message it is stands before what it says.
        let subject = subject.split_once("[MailDT] ").map_or(subject, |(_, rest)| rest).trim().to_owned();
        Self { told: told(&subject), incidents: incidents(&text), subject, text, headers }
    }

    /// A message to Discord.
    pub fn from_discord(message: &Value) -> Self {
        let string = |value: &Value| value.as_str().map(unescape).unwrap_or_default();
        let mut lines = vec![string(&message["content"])];
        for embed in message["embeds"].as_array().into_iter().flatten() {
            lines.extend([&embed["title"], &embed["url"], &embed["description"]].map(string));
            for field in embed["fields"].as_array().into_iter().flatten() {
                lines.push(format!("{}: {}", string(&field["name"]), string(&field["value"])));
            }
            lines.push(string(&embed["footer"]["text"]));
        }
        let title = string(&message["embeds"][0]["title"]);
        let subject = if title.is_empty() { lines[0].lines().next().unwrap_or_default() } else { &title };
        Self::new(subject, lines.join("\n"), Headers::default())
    }

    /// A stored e-mail.
    pub fn from_mail(stored: &Stored) -> Self {
        let message = mail_parser::MessageParser::default().parse(&stored.bytes).unwrap();
        let ids = |value: &mail_parser::HeaderValue<'_>| -> Vec<String> {
            value.as_text_list().unwrap_or_default().iter().map(ToString::to_string).collect()
        };
        let headers = Headers {
            message_id: message.message_id().unwrap_or_default().to_owned(),
            in_reply_to: ids(message.in_reply_to()).pop(),
            references: ids(message.references()),
            auto_submitted: stored.field("Auto-Submitted"),
        };
        let subject = message.subject().unwrap_or_default();
        let body = message.body_text(0).unwrap_or_default();
        Self::new(subject, format!("{subject}\n{body}"), headers)
    }

    pub fn says(&self, words: &str) -> bool {
        self.text.to_lowercase().contains(&words.to_lowercase())
    }
}

fn told(subject: &str) -> Told {
    let begins = |words: &[&str]| words.iter().any(|word| subject.starts_with(word));
    let heading = subject.split(':').next().unwrap_or_default().to_lowercase();
    if heading.split(' ').any(|word| word == "still") {
        Told::Reminder
    } else if begins(&["Recovered"]) {
        Told::Recovered
    } else if begins(&["Closed"]) {
        Told::Closed
    } else if begins(&["Missing", "Send failure", "Submission server", "Mailbox unreadable", "Alert channel"])
    {
        Told::Opened
    } else {
        Told::Other
    }
}

/// Without the backslashes that keep Discord from reading a mark-up.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(next) if character == '\\' && next.is_ascii_punctuation() => {}
            _ => plain.push(character),
        }
        if character == '\\' && characters.peek().is_some_and(|next| *next == '\\') {
            plain.extend(characters.next());
        }
    }
    plain
}

/// Words of thirteen digits of Crockford's base 32, the first of which is a digit: no other word is.
fn incidents(text: &str) -> Vec<String> {
    let is_digit =
        |c: char| matches!(c, '0'..='9' | 'a'..='h' | 'j' | 'k' | 'm' | 'n' | 'p'..='t' | 'v'..='z');
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let is_id =
            word.len() == 13 && word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(is_digit);
        if is_id && !found.iter().any(|id| id == word) {
            found.push(word.to_owned());
        }
    }
    found
}

#[test]
fn alerts_are_read_from_both_channels() {
    let id = maildt::domain::alert::IncidentId::new("2026-01-02T03:04:05Z".parse().unwrap(), 7).to_string();
    let message = serde_json::json!({
        "content": "",
        "embeds": [{
            "title": "🔴 [MailDT] Missing: al\\_ice",
            "description": "a \\*b\\* c:\\\\d",
            "fields": [{"name": "Since", "value": "noon"}],
            "footer": {"text": format!("incident {id}")},
        }],
    });
    let alert = Alert::from_discord(&message);
    assert_eq!((alert.told, alert.subject.as_str()), (Told::Opened, "Missing: al_ice"));
    assert!(alert.says("a *b* c:\\d") && alert.says("since: noon"), "{alert:?}");
    assert_eq!(alert.incidents, std::slice::from_ref(&id));

    let mail = format!(
        "From: a@lab.test\r\nSubject: =?utf-8?q?Recovered:_al=C3=ADce?=\r\nMessage-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n\
         References: <o@x>\r\n <a@x>\r\nAuto-Submitted: auto-generated\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nincident {id}, http://x/incidents/{id} =3D\r\n"
    );
    let stored = Stored { path: "x".into(), flags: String::new(), bytes: mail.into_bytes() };
    let alert = Alert::from_mail(&stored);
    assert_eq!((alert.told, alert.subject.as_str()), (Told::Recovered, "Recovered: alíce"));
    assert_eq!(alert.incidents, [id]);
    assert_eq!(alert.headers.message_id, "b@x");
    assert_eq!(alert.headers.in_reply_to.as_deref(), Some("a@x"));
    assert_eq!(alert.headers.references, ["o@x", "a@x"]);
    assert_eq!(alert.headers.auto_submitted.as_deref(), Some("auto-generated"));
    for (subject, expected) in [
        ("Still missing: alice", Told::Reminder),
        ("Submission server still unreachable: sender default (2 h)", Told::Reminder),
        ("Missing: still", Told::Opened),
        ("Closed (paused): alice", Told::Closed),
        ("Submission server unreachable: default", Told::Opened),
        ("Test alert", Told::Other),
    ] {
        assert_eq!(told(subject), expected);
    }
}
