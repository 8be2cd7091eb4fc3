//! Recipients, and bringing those of the configuration file into the database.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;

use crate::domain::recipient::{Recipient, Wanted};

use super::row::RECIPIENT;
use super::{Error, Store, row};

/// What provisioning changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provisioning {
    pub added: u64,
    pub changed: u64,
    /// No longer in the file: paused, their history kept.
    pub paused: u64,
}

impl Store {
    /// Every recipient that has not been deleted.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recipients(&self) -> Result<Vec<Recipient>, Error> {
        self.run("recipients", async |client| {
            let text = format!("-- recipients()\nselect {RECIPIENT} from maildt.recipients r where r.deleted_at is null order by r.id");
            client.query(&text, &[]).await?.iter().map(row::recipient).collect()
        })
        .await
    }

    /// A number that grows whenever a recipient is added, changed or removed, on whatever instance.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recipients_revision(&self) -> Result<i64, Error> {
        self.run("recipients_revision", async |client| {
            let statement = client
                .prepare_cached("-- recipients_revision()\nselect recipients from maildt.revision")
                .await?;
            Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
        })
        .await
    }

    /// Makes the database agree with the file: the file wins, what it no longer names is paused. A new recipient is due at
    /// once, its successors `spread_s` seconds apart, so that a large file does not make a burst.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn provision(&self, recipients: &[Wanted], spread_s: f64) -> Result<Provisioning, Error> {
        self.run_tx("provision", async |tx| {
            // Two instances that start together take turns.
            tx.execute("-- provision()\nselect recipients from maildt.revision for update", &[]).await?;
            let known: HashSet<String> = tx
                .query("select name from maildt.recipients where deleted_at is null", &[])
                .await?
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()?;
            let statement = tx
                .prepare_cached(
                    "-- provision_recipient()
                     insert into maildt.recipients as r (name, address, sender, mailbox, return_mode, interval_s,
                         alert_threshold_s, alert_after, discord, email, muted_until, active, provisioned, next_due_at)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true,
                         clock_timestamp() + make_interval(secs => $13))
                     on conflict (name) where deleted_at is null do update set
                         address = $2, sender = $3, mailbox = $4, return_mode = $5, interval_s = $6,
                         alert_threshold_s = $7, alert_after = $8, discord = $9, email = $10, muted_until = $11,
                         active = $12, provisioned = true, version = r.version + 1,
                         next_due_at = case
                             when $12 and not r.active then excluded.next_due_at
                             when r.interval_s <> $6 then least(r.next_due_at, clock_timestamp() + make_interval(secs => $6 * 0.5))
                             else r.next_due_at end
                     where (r.address, r.sender, r.mailbox, r.return_mode, r.interval_s, r.alert_threshold_s, r.alert_after,
                            r.discord, r.email, r.active, r.provisioned)
                         is distinct from ($2, $3, $4, $5, $6, $7, $8, $9, $10, $12, true)
                         or r.muted_until is distinct from $11",
                )
                .await?;
            let mut done = Provisioning::default();
            let mut new = 0;
            let delays: Vec<f64> = recipients
                .iter()
                .map(|recipient| {
                    let delay = spread_s * f64::from(new);
                    new += u32::from(!known.contains(&recipient.name));
                    delay
                })
                .collect();
            let upserts = recipients.iter().zip(&delays).map(async |(recipient, delay)| {
                let values = Values::of(recipient);
                let mut all = values.all().to_vec();
                all.push(delay);
                tx.execute(&statement, &all)
                .await
            });
            for (recipient, changed) in recipients.iter().zip(try_join_all(upserts).await?) {
                if known.contains(&recipient.name) {
                    done.changed += changed;
                } else {
                    done.added += changed;
                }
            }
            let names: Vec<&str> = recipients.iter().map(|recipient| recipient.name.as_str()).collect();
            done.paused = tx
                .execute(
                    "-- pause_unprovisioned()
                     update maildt.recipients set active = false, provisioned = false, version = version + 1
                     where provisioned and deleted_at is null and name <> all($1)",
                    &[&names],
                )
                .await?;
            if done != Provisioning::default() {
                tx.execute("-- bump_revision()\nupdate maildt.revision set recipients = recipients + 1", &[]).await?;
            }
            Ok(done)
        })
        .await
    }
}

/// What somebody wants of a recipient, as the parameters of a statement.
pub(super) struct Values<'a> {
    wanted: &'a Wanted,
    address: &'a str,
    return_mode: &'static str,
    interval_s: i32,
    alert_threshold_s: i32,
    alert_after: i32,
}

impl<'a> Values<'a> {
    pub(super) fn of(wanted: &'a Wanted) -> Self {
        // Limits that a test has made short may allow less than a second.
        let whole_seconds = |duration: Duration| i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX);
        Self {
            wanted,
            address: wanted.address.as_str(),
            return_mode: wanted.return_mode.as_str(),
            interval_s: whole_seconds(wanted.interval),
            alert_threshold_s: whole_seconds(wanted.alert_threshold),
            alert_after: i32::try_from(wanted.alert_after).unwrap_or(i32::MAX),
        }
    }

    /// Name, address, sender, mailbox, `return_mode`, `interval_s`, `alert_threshold_s`, `alert_after`, discord, email,
    /// `muted_until`, active.
    pub(super) fn all(&self) -> [&(dyn ToSql + Sync); 12] {
        let Wanted { name, sender, mailbox, discord, email, muted_until, active, .. } = self.wanted;
        [
            name,
            &self.address,
            sender,
            mailbox,
            &self.return_mode,
            &self.interval_s,
            &self.alert_threshold_s,
            &self.alert_after,
            discord,
            email,
            muted_until,
            active,
        ]
    }
}
