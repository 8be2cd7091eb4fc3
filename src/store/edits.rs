//! Adding, changing and removing recipients by hand. Those that the file provisions are the file's.

use std::time::Duration;

use crate::domain::id::RecipientId;
use crate::domain::recipient::{Recipient, Wanted};

use super::recipients::Values;
use super::row::RECIPIENT;
use super::{Error, Problem, Store, Tx, row};

/// What became of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited {
    /// As it is now.
    Done(Box<Recipient>),
    /// Another recipient has this name.
    NameTaken,
    /// Somebody else has changed it meanwhile: this is what they made of it.
    Changed(Box<Recipient>),
    /// The file provisions it.
    Provisioned,
    /// There is no such recipient, or no longer.
    Gone,
}

/// A switch of a recipient that is turned without looking at the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    Active(bool),
    /// Alerts are kept back until then; `None`: they are told again.
    MutedUntil(Option<jiff::Timestamp>),
}

/// What is lost with a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    pub probes: i64,
    pub since: Option<jiff::Timestamp>,
    pub open_incidents: i64,
}

impl Store {
    /// One recipient that has not been deleted.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recipient(&self, id: RecipientId) -> Result<Option<Recipient>, Error> {
        self.run("recipient", async |client| {
            let text = format!(
                "-- recipient()\nselect {RECIPIENT} from maildt.recipients r where r.id = $1 and r.deleted_at is null"
            );
            let statement = client.prepare_cached(&text).await?;
            client.query_opt(&statement, &[&id.0]).await?.as_ref().map(row::recipient).transpose()
        })
        .await
    }

    /// Adds a recipient, due at once. [`Edited::Done`] or [`Edited::NameTaken`].
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_recipient(&self, wanted: &Wanted) -> Result<Edited, Error> {
        self.add_recipient_due_in(wanted, Duration::ZERO).await
    }

    /// The same, due after this time.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_recipient_due_in(&self, wanted: &Wanted, delay: Duration) -> Result<Edited, Error> {
        self.run_tx("add_recipient", async |tx| {
            take_turns(tx).await?;
            let text = format!(
                "-- add_recipient()
                 insert into maildt.recipients as r (name, address, sender, mailbox, return_mode, interval_s,
                     alert_threshold_s, alert_after, discord, email, muted_until, active, provisioned, next_due_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, false,
                     clock_timestamp() + make_interval(secs => $13))
                 on conflict (name) where deleted_at is null do nothing
                 returning {RECIPIENT}"
            );
            let (values, delay) = (Values::of(wanted), delay.as_secs_f64());
            let mut all = values.all().to_vec();
            all.push(&delay);
            match tx.query_opt(&text, &all).await? {
                Some(added) => Ok(Edited::Done(Box::new(row::recipient(&added)?))),
                None => Ok(Edited::NameTaken),
            }
        })
        .await
    }

    /// Changes a recipient that is still as it was at `version`. Another interval takes effect at once.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn change_recipient(
        &self,
        id: RecipientId,
        version: i32,
        wanted: &Wanted,
    ) -> Result<Edited, Error> {
        self.run_tx("change_recipient", async |tx| {
            take_turns(tx).await?;
            let before = match standing(tx, id).await? {
                Ok(before) => before,
                Err(edited) => return Ok(edited),
            };
            if before.version != version {
                return Ok(Edited::Changed(Box::new(before)));
            }
            let text = format!(
                "-- change_recipient()
                 update maildt.recipients r set name = $1, address = $2, sender = $3, mailbox = $4, return_mode = $5,
                     interval_s = $6, alert_threshold_s = $7, alert_after = $8, discord = $9, email = $10, muted_until = $11,
                     active = $12, version = r.version + 1,
                     next_due_at = case
                         when $12 and not r.active then clock_timestamp()
                         when r.interval_s <> $6 then least(r.next_due_at, clock_timestamp() + make_interval(secs => $6 * 0.5))
                         else r.next_due_at end
                 where r.id = $13 and not exists (select from maildt.recipients other
                     where other.name = $1 and other.id <> $13 and other.deleted_at is null)
                 returning {RECIPIENT}"
            );
            let values = Values::of(wanted);
            let mut all = values.all().to_vec();
            all.push(&id.0);
            match tx.query_opt(&text, &all).await? {
                Some(changed) => Ok(Edited::Done(Box::new(row::recipient(&changed)?))),
                None => Ok(Edited::NameTaken),
            }
        })
        .await
    }

    /// Turns a switch. One that is where it shall be stays there, and counts as no edit.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn switch_recipient(&self, id: RecipientId, switch: Switch) -> Result<Edited, Error> {
        self.run_tx("switch_recipient", async |tx| {
            take_turns(tx).await?;
            let before = match standing(tx, id).await? {
                Ok(before) => before,
                Err(edited) => return Ok(edited),
            };
            let (active, muted_until) = match switch {
                Switch::Active(active) => (active, before.muted_until),
                Switch::MutedUntil(until) => (before.active, until),
            };
            if (active, muted_until) == (before.active, before.muted_until) {
                return Ok(Edited::Done(Box::new(before)));
            }
            let text = format!(
                "-- switch_recipient()
                 update maildt.recipients r set active = $2, muted_until = $3, version = r.version + 1,
                     next_due_at = case when $2 and not r.active then clock_timestamp() else r.next_due_at end
                 where r.id = $1 returning {RECIPIENT}"
            );
            let changed = tx.query_one(&text, &[&id.0, &active, &muted_until]).await?;
            Ok(Edited::Done(Box::new(row::recipient(&changed)?)))
        })
        .await
    }

    /// Deletes a recipient that is still as it was at `version`. Its history goes with the end of its retention.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delete_recipient(&self, id: RecipientId, version: i32) -> Result<Edited, Error> {
        self.run_tx("delete_recipient", async |tx| {
            take_turns(tx).await?;
            let before = match standing(tx, id).await? {
                Ok(before) => before,
                Err(edited) => return Ok(edited),
            };
            if before.version != version {
                return Ok(Edited::Changed(Box::new(before)));
            }
            tx.execute(
                "-- delete_recipient()
                 update maildt.recipients set active = false, deleted_at = clock_timestamp(), version = version + 1
                 where id = $1",
                &[&id.0],
            )
            .await?;
            Ok(Edited::Done(Box::new(before)))
        })
        .await
    }

    /// What is lost with a recipient.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recipient_footprint(&self, id: RecipientId) -> Result<Footprint, Error> {
        self.run("recipient_footprint", async |client| {
            let statement = client
                .prepare_cached(
                    "-- recipient_footprint()
                     select (select count(*) from maildt.probes p where p.recipient_id = $1),
                         (select min(p.created_at) from maildt.probes p where p.recipient_id = $1),
                         (select count(*) from maildt.incidents i where i.resolved_at is null and i.scope = 'recipient:' || $1)",
                )
                .await?;
            let row = client.query_one(&statement, &[&id.0]).await?;
            Ok(Footprint {
                probes: row.try_get(0)?,
                since: row.try_get(1)?,
                open_incidents: row.try_get(2)?,
            })
        })
        .await
    }
}

/// Edits take turns with one another and with provisioning, and every instance notices them.
async fn take_turns(tx: &Tx<'_>) -> Result<(), Problem> {
    tx.execute("-- bump_revision()\nupdate maildt.revision set recipients = recipients + 1", &[]).await?;
    Ok(())
}

/// The recipient as it is before an edit, or why there is none.
async fn standing(tx: &Tx<'_>, id: RecipientId) -> Result<Result<Recipient, Edited>, Problem> {
    let text = format!(
        "-- recipient_for_update()
         select {RECIPIENT} from maildt.recipients r where r.id = $1 and r.deleted_at is null for update"
    );
    let Some(found) = tx.query_opt(&text, &[&id.0]).await? else { return Ok(Err(Edited::Gone)) };
    let recipient = row::recipient(&found)?;
    Ok(if recipient.provisioned { Err(Edited::Provisioned) } else { Ok(recipient) })
}
