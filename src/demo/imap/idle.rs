//! IDLE (RFC 2177), and telling what is new.

use super::{Outcome, Session};
use crate::demo::connection::{Ended, Next};
use crate::demo::faults::{ImapPoint, Quirk};

impl Session<'_> {
    /// Pushes what is new in the selected folder, if any.
    pub(super) fn news(&mut self) -> Result<(), Ended> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let folder = selected.folder.clone();
        let mut out = String::new();
        let result = selected.news(&mut folder.lock(), self.number, &mut out);
        self.connection.push(out);
        result.map_err(|_| {
            self.connection.push("* BYE The folder was renumbered\r\n");
            Ended::Goodbye
        })
    }

    pub(super) async fn idle(&mut self) -> Result<Outcome, Ended> {
        if self.quirk(Quirk::NoIdle) {
            return Ok(Outcome::bad("Command not understood"));
        }
        if self.quirk(Quirk::ExistsBeforeContinuation) {
            self.news()?;
        }
        self.connection.push("+ idling\r\n");
        self.connection.reply_complete().await?;
        if self.quirk(Quirk::DeadIdle) {
            self.connection.flush().await?;
            return Err(self.connection.hang().await);
        }
        let silent = self.quirk(Quirk::SilentIdle);
        let mut changes = self.selected.as_ref().map(|selected| selected.folder.watch());
        let patience = self.shared.options.limits.imap_silence;
        let line = loop {
            if !silent {
                self.idle_news().await?;
            }
            self.connection.flush().await?;
            let woken = async {
                match &mut changes {
                    Some(changes) if !silent => changes.changed().await.is_ok(),
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                line = self.connection.line(100, patience) => break line?,
                _ = woken => {}
            }
        };
        if !line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
            return Ok(Outcome::bad("Expected DONE"));
        }
        if self.interfere(ImapPoint::IdleDone, None, "").await? == Next::Answered {
            return Ok(Outcome::Said);
        }
        Ok(Outcome::ok("Idle completed"))
    }

    async fn idle_news(&mut self) -> Result<(), Ended> {
        let Some(selected) = &self.selected else { return Ok(()) };
        if selected.is_current() {
            return Ok(());
        }
        if self.interfere(ImapPoint::IdleNews, None, "").await? == Next::Answered {
            return Ok(());
        }
        self.news()?;
        self.connection.reply_complete().await
    }
}
