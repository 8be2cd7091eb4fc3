//! The health of the alert channels: it outlives a restart, so that one that refused us is left alone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Error, Fence, Store};
use crate::domain::alert::Channel;

/// How a channel fares. Times are database time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelHealth {
    /// The first of the tries that failed in a row.
    pub failing_since: Option<Timestamp>,
    /// Digest of the setting that was refused: no more calls with that one.
    pub refused: Option<Vec<u8>>,
    pub last_error: Option<String>,
    pub last_ok_at: Option<Timestamp>,
}

impl Store {
    /// What is known of each channel.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn channel_health(&self) -> Result<BTreeMap<Channel, ChannelHealth>, Error> {
        self.run("channel_health", async |client| {
            let statement = client
                .prepare_cached(
                    "-- channel_health()
                     select channel, failing_since, refused, last_error, last_ok_at from maildt.channels",
                )
                .await?;
            let mut health = BTreeMap::new();
            for row in client.query(&statement, &[]).await? {
                let name: &str = row.try_get(0)?;
                let channel = name.parse().map_err(|e| Error::Row(format!("{e}")))?;
                let known = ChannelHealth {
                    failing_since: row.try_get(1)?,
                    refused: row.try_get(2)?,
                    last_error: row.try_get(3)?,
                    last_ok_at: row.try_get(4)?,
                };
                health.insert(channel, known);
            }
            Ok(health)
        })
        .await
    }

    /// Whether a refusal by a channel, or its failing, still stands. A test alert that got through takes both away.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_channel_in_trouble(&self, channel: &Channel) -> Result<bool, Error> {
        let channel = channel.to_string();
        self.run("is_channel_in_trouble", async |client| {
            let statement = client
                .prepare_cached(
                    "-- is_channel_in_trouble()
                     select exists (select 1 from maildt.channels
                         where channel = $1 and (refused is not null or failing_since is not null))",
                )
                .await?;
            Ok(client.query_one(&statement, &[&channel]).await?.try_get(0)?)
        })
        .await
    }

    /// Keeps what is known of a channel.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn keep_channel_health(
        &self,
        fence: Fence,
        channel: &Channel,
        health: &ChannelHealth,
    ) -> Result<(), Error> {
        let channel = channel.to_string();
        self.run_tx("keep_channel_health", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- keep_channel_health()
                     insert into maildt.channels (channel, failing_since, refused, last_error, last_ok_at)
                     values ($1, $2, $3, $4, $5)
                     on conflict (channel) do update set failing_since = excluded.failing_since,
                         refused = excluded.refused, last_error = excluded.last_error,
                         last_ok_at = coalesce(excluded.last_ok_at, channels.last_ok_at)",
                )
                .await?;
            let ChannelHealth { failing_since, refused, last_error, last_ok_at } = health;
            tx.execute(&statement, &[&channel, failing_since, refused, last_error, last_ok_at]).await?;
            Ok(())
        })
        .await
    }

    /// A test alert got through on `channel`: whatever was held against it is over. Needs no lease, as anybody may see that;
    /// the dispatcher notices within seconds. Tells whether anything was held against it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn channel_works(&self, channel: &Channel) -> Result<bool, Error> {
        let channel = channel.to_string();
        self.run("channel_works", async |client| {
            let changed = client
                .execute(
                    "-- channel_works()
                     update maildt.channels set failing_since = null, refused = null, last_error = null,
                         last_ok_at = clock_timestamp()
                     where channel = $1 and (refused is not null or failing_since is not null)",
                    &[&channel],
                )
                .await?;
            Ok(changed > 0)
        })
        .await
    }

    /// Drops what waits on channels that are not among `configured`, and forgets how they fared. Gives the number of
    /// notifications dropped.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn forget_channels(&self, fence: Fence, configured: &[Channel]) -> Result<u64, Error> {
        let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
        self.run_tx("forget_channels", async |tx| {
            fence.check(tx).await?;
            let dropped = tx
                .execute(
                    "-- forget_channels_notifications()
                     update maildt.notifications set state = 'dropped', settled_at = clock_timestamp(), claimed_by = null,
                         next_try_at = null, last_error = 'the channel is no longer configured'
                     where state in ('pending', 'sending') and channel <> all($1)",
                    &[&configured],
                )
                .await?;
            tx.execute(
                "-- forget_channels()
                 delete from maildt.channels where channel <> all($1)",
                &[&configured],
            )
            .await?;
            Ok(dropped)
        })
        .await
    }
}
