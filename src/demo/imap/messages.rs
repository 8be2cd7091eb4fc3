//! Commands on messages: STORE, EXPUNGE, COPY, MOVE, CLOSE (RFC 3501 section 6.4, RFC 4315, RFC 6851).

use std::fmt::Write;
use std::sync::Arc;

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::sequence::SequenceSet;

use super::folders::{flags_of, name_of};
use super::selected::Selected;
use super::sets::{Ranges, compact};
use super::{Outcome, Session};
use crate::demo::connection::Ended;
use crate::demo::faults::Quirk;
use crate::demo::spool::{Account, Flags};

const SELECT_FIRST: &str = "Select a folder first";
const READ_ONLY: &str = "[READ-ONLY] The folder was opened read-only";

impl Session<'_> {
    pub(super) async fn perform_with_account(&mut self, body: CommandBody<'_>) -> Result<Outcome, Ended> {
        let Some(account) = self.account.clone() else { return Ok(Outcome::bad("Log in first")) };
        Ok(match body {
            CommandBody::Select { mailbox } => self.select(&account, &mailbox, false),
            CommandBody::Examine { mailbox } => self.select(&account, &mailbox, true),
            CommandBody::List { reference, mailbox_wildcard } => {
                self.list(&account, "LIST", &reference, &mailbox_wildcard)
            }
            CommandBody::Lsub { reference, mailbox_wildcard } => {
                self.list(&account, "LSUB", &reference, &mailbox_wildcard)
            }
            CommandBody::Status { mailbox, item_names } => self.status(&account, &mailbox, &item_names),
            CommandBody::Append { mailbox, flags, date, message } => {
                let outcome = Self::append(&account, &mailbox, &flags, date.as_ref(), message);
                self.news()?;
                outcome
            }
            CommandBody::Create { mailbox } => match account.folder_or_new(&name_of(&mailbox)) {
                Some(_) => Outcome::ok("Created"),
                None => Outcome::no("[LIMIT] Too many folders"),
            },
            CommandBody::Delete { mailbox } if account.remove_folder(&name_of(&mailbox)) => {
                Outcome::ok("Deleted")
            }
            CommandBody::Delete { .. } => Outcome::no("[NONEXISTENT] No such folder"),
            CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => Outcome::ok("Done"),
            CommandBody::Close => {
                if let Some(selected) = self.selected.take()
                    && !selected.read_only
                {
                    remove_deleted(&selected, &Ranges::all());
                }
                Outcome::ok("Closed")
            }
            CommandBody::Unselect => {
                self.selected = None;
                Outcome::ok("Unselected")
            }
            CommandBody::Expunge => self.expunge(None)?,
            CommandBody::ExpungeUid { .. } if self.quirk(Quirk::NoUidPlus) => {
                Outcome::bad("Command not understood")
            }
            CommandBody::ExpungeUid { sequence_set } => self.expunge(Some(&sequence_set))?,
            CommandBody::Search { charset, criteria, uid } => {
                self.search(charset.as_ref(), &criteria, uid).await?
            }
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid } => {
                self.fetch(&sequence_set, &macro_or_item_names, uid).await?
            }
            CommandBody::Store { sequence_set, kind, response, flags, uid } => {
                self.store(&sequence_set, kind, response, &flags, uid)?
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => {
                self.copy(&account, &sequence_set, &mailbox, uid, false)?
            }
            CommandBody::Move { sequence_set, mailbox, uid } => {
                self.copy(&account, &sequence_set, &mailbox, uid, true)?
            }
            _ => Outcome::bad("Command not supported"),
        })
    }

    fn store(
        &mut self,
        set: &SequenceSet,
        kind: StoreType,
        response: StoreResponse,
        flags: &[Flag<'_>],
        by_uid: bool,
    ) -> Result<Outcome, Ended> {
        if by_uid {
            self.news()?;
        }
        let Some(selected) = &self.selected else { return Ok(Outcome::bad(SELECT_FIRST)) };
        if selected.read_only {
            return Ok(Outcome::no(READ_ONLY));
        }
        let flags = flags_of(flags);
        let mut out = String::new();
        let uids = selected.uids_in(set, by_uid);
        selected.folder.change(|state| {
            for uid in uids {
                let changed = state.change_flags(uid, self.number, |now| match kind {
                    StoreType::Add => now.add(&flags),
                    StoreType::Remove => now.remove(&flags),
                    StoreType::Replace => *now = flags.clone(),
                });
                if response == StoreResponse::Silent {
                    continue;
                }
                if let (Some(number), Some(flags)) = (selected.number_of(uid), changed) {
                    let list = selected.flag_list(uid, &flags);
                    let uid = if by_uid { format!("UID {uid} ") } else { String::new() };
                    let _ = write!(out, "* {number} FETCH ({uid}FLAGS ({list}))\r\n");
                }
            }
        });
        self.connection.push(out);
        Ok(Outcome::ok("Store completed"))
    }

    fn expunge(&mut self, set: Option<&SequenceSet>) -> Result<Outcome, Ended> {
        let Some(selected) = &self.selected else { return Ok(Outcome::bad(SELECT_FIRST)) };
        if selected.read_only {
            return Ok(Outcome::no(READ_ONLY));
        }
        let ranges = set.map_or_else(Ranges::all, |set| Ranges::new(set, selected.last_uid()));
        remove_deleted(selected, &ranges);
        self.news()?;
        Ok(Outcome::ok("Expunge completed"))
    }

    fn copy(
        &mut self,
        account: &Account,
        set: &SequenceSet,
        mailbox: &Mailbox<'_>,
        by_uid: bool,
        moves: bool,
    ) -> Result<Outcome, Ended> {
        if by_uid {
            self.news()?;
        }
        let Some(selected) = &self.selected else { return Ok(Outcome::bad(SELECT_FIRST)) };
        let Some(target) = account.folder(&name_of(mailbox)) else {
            return Ok(Outcome::no("[TRYCREATE] No such folder"));
        };
        if moves && (selected.read_only || Arc::ptr_eq(&target, &selected.folder)) {
            return Ok(Outcome::no("[CANNOT] Nothing can be moved like this"));
        }
        let mut copied = (Vec::new(), Vec::new());
        let mut validity = target.lock().uid_validity;
        for uid in selected.uids_in(set, by_uid) {
            let found = {
                let state = selected.folder.lock();
                state.entries().get(&uid).map(|entry| (Arc::clone(&entry.message), entry.flags.clone()))
            };
            if let Some((message, flags)) = found {
                let (now_valid, new) = target.save(message, flags, false);
                validity = now_valid;
                copied.0.push(uid);
                copied.1.push(new);
            }
        }
        if copied.0.is_empty() {
            return Ok(Outcome::ok("Nothing to copy"));
        }
        let code = format!("[COPYUID {validity} {} {}]", compact(&copied.0), compact(&copied.1));
        if !moves {
            return Ok(Outcome::Tagged(format!("OK {code} Copy completed")));
        }
        selected.folder.change(|state| {
            for uid in &copied.0 {
                state.remove(*uid);
            }
        });
        self.connection.push(format!("* OK {code} Moved\r\n"));
        self.news()?;
        Ok(Outcome::ok("Move completed"))
    }
}

/// Removes the messages with `\Deleted` among the UIDs.
fn remove_deleted(selected: &Selected, ranges: &Ranges) {
    selected.folder.change(|state| {
        let deleted: Vec<u32> = ranges
            .iter()
            .flat_map(|range| state.entries().range(range))
            .filter(|(_, entry)| entry.flags.has(Flags::DELETED))
            .map(|(uid, _)| *uid)
            .collect();
        for uid in deleted {
            state.remove(uid);
        }
    });
}
