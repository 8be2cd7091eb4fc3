//! Folders: SELECT, LIST, STATUS, APPEND and their like (RFC 3501 section 6.3, RFC 6154).

use std::sync::Arc;

use imap_codec::imap_types::datetime::DateTime;
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::flag::Flag;
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::status::StatusDataItemName;
use jiff::Timestamp;

use super::selected::Selected;
use super::{Outcome, Session};
use crate::demo::ledger::Moment;
use crate::demo::spool::{Account, Flags, Folder, INBOX, JUNK, Message};

const NO_FOLDER: &str = "[NONEXISTENT] No such folder";

/// A folder's name as the spool knows it.
pub(super) fn name_of(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => INBOX.to_owned(),
        Mailbox::Other(other) => String::from_utf8_lossy(other.as_ref()).into_owned(),
    }
}

pub(super) fn flags_of(flags: &[Flag<'_>]) -> Flags {
    let mut set = Flags::default();
    for flag in flags {
        match flag {
            Flag::Seen => set.system |= Flags::SEEN,
            Flag::Answered => set.system |= Flags::ANSWERED,
            Flag::Flagged => set.system |= Flags::FLAGGED,
            Flag::Deleted => set.system |= Flags::DELETED,
            Flag::Draft => set.system |= Flags::DRAFT,
            Flag::Keyword(atom) => {
                set.add(&Flags { system: 0, keywords: vec![atom.as_ref().to_owned()] });
            }
            Flag::Extension(_) => {}
        }
    }
    set
}

/// A name as a quoted string.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], "?"))
}

impl Session<'_> {
    pub(super) fn select(&mut self, account: &Account, mailbox: &Mailbox<'_>, read_only: bool) -> Outcome {
        self.selected = None;
        let Some(folder) = account.folder(&name_of(mailbox)) else { return Outcome::no(NO_FOLDER) };
        let selected = Selected::new(Arc::clone(&folder), read_only);
        let (validity, next) = {
            let state = folder.lock();
            (state.uid_validity, state.uid_next)
        };
        let (exists, recent) = (selected.exists(), selected.recent());
        self.connection.push(format!(
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
             * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Limited\r\n\
             * {exists} EXISTS\r\n\
             * {recent} RECENT\r\n\
             * OK [UIDVALIDITY {validity}] UIDs valid\r\n\
             * OK [UIDNEXT {next}] Predicted next UID\r\n"
        ));
        self.selected = Some(selected);
        Outcome::ok(if read_only { "[READ-ONLY] Selected" } else { "[READ-WRITE] Selected" })
    }

    pub(super) fn list(
        &mut self,
        account: &Account,
        verb: &str,
        reference: &Mailbox<'_>,
        pattern: &ListMailbox<'_>,
    ) -> Outcome {
        let pattern: &[u8] = match pattern {
            ListMailbox::Token(token) => token.as_ref(),
            ListMailbox::String(string) => string.as_ref(),
        };
        if pattern.is_empty() {
            self.connection.push(format!("* {verb} (\\Noselect) \"/\" \"\"\r\n"));
            return Outcome::ok("List completed");
        }
        let prefix = name_of(reference);
        for folder in account.folders() {
            let fits = folder
                .name
                .as_bytes()
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|name| matches(pattern, name));
            let inbox = folder.name == INBOX && prefix.is_empty() && pattern.eq_ignore_ascii_case(b"INBOX");
            if fits || inbox {
                let junk = if folder.name == JUNK { " \\Junk" } else { "" };
                let name = quoted(&folder.name);
                self.connection.push(format!("* {verb} (\\HasNoChildren{junk}) \"/\" {name}\r\n"));
            }
        }
        Outcome::ok("List completed")
    }

    pub(super) fn status(
        &mut self,
        account: &Account,
        mailbox: &Mailbox<'_>,
        items: &[StatusDataItemName],
    ) -> Outcome {
        let Some(folder) = account.folder(&name_of(mailbox)) else { return Outcome::no(NO_FOLDER) };
        let answers = answers(&folder, items);
        let name = quoted(&folder.name);
        self.connection.push(format!("* STATUS {name} ({})\r\n", answers.join(" ")));
        Outcome::ok("Status completed")
    }

    pub(super) fn append(
        account: &Account,
        mailbox: &Mailbox<'_>,
        flags: &[Flag<'_>],
        date: Option<&DateTime>,
        message: LiteralOrLiteral8<'_>,
    ) -> Outcome {
        let Some(folder) = account.folder(&name_of(mailbox)) else {
            return Outcome::no("[TRYCREATE] No such folder");
        };
        let raw = match message {
            LiteralOrLiteral8::Literal(literal) => literal.into_inner().into_owned(),
            LiteralOrLiteral8::Literal8(literal) => literal.data.into_owned(),
        };
        let saved = Moment::now();
        let date = date.and_then(|date| Timestamp::from_second(date.as_ref().timestamp()).ok());
        let message = Message::new(raw.into(), date.unwrap_or(saved.wall), saved);
        let (validity, uid) = folder.save(message, flags_of(flags), false);
        Outcome::Tagged(format!("OK [APPENDUID {validity} {uid}] Append completed"))
    }
}

fn answers(folder: &Folder, items: &[StatusDataItemName]) -> Vec<String> {
    let state = folder.lock();
    let recent = || state.entries().range(state.recent_from..).count();
    let answer = |item: &StatusDataItemName| match item {
        StatusDataItemName::Messages => Some(format!("MESSAGES {}", state.entries().len())),
        StatusDataItemName::Recent => Some(format!("RECENT {}", recent())),
        StatusDataItemName::UidNext => Some(format!("UIDNEXT {}", state.uid_next)),
        StatusDataItemName::UidValidity => Some(format!("UIDVALIDITY {}", state.uid_validity)),
        StatusDataItemName::Unseen => Some(format!("UNSEEN {}", state.unseen)),
        _ => None,
    };
    items.iter().filter_map(answer).collect()
}

/// Matches a name against a LIST pattern: `*` is anything, `%` anything within one level.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Back to the last wildcard on a mismatch: linear in the name for each wildcard, never exponential.
    let (mut at, mut from) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(at), name.get(from)) {
            (None, None) => return true,
            (Some(b'*' | b'%'), _) => {
                last = Some((at, from));
                at += 1;
                continue;
            }
            (Some(p), Some(n)) => p == n,
            _ => false,
        };
        if step {
            at += 1;
            from += 1;
            continue;
        }
        let Some((wildcard, start)) = last else { return false };
        let swallowed = name.get(start);
        if swallowed.is_none() || (pattern.get(wildcard) == Some(&b'%') && swallowed == Some(&b'/')) {
            return false;
        }
        last = Some((wildcard, start + 1));
        at = wildcard + 1;
        from = start + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_patterns() {
        for (pattern, name, fits) in [
            ("*", "INBOX", true),
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("Ju*", "Junk", true),
            ("Ju%k", "Junk", true),
            ("Junk", "Junk", true),
            ("Junk", "Junks", false),
            ("*x", "Junk", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
