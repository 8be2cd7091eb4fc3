//! How the parts fare, as far as the database knows: read when somebody looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::alert::Channel;
use crate::domain::id::RecipientId;
use crate::domain::probe::Failure;
use crate::domain::submission::Reply;

use super::cases::LOST_FOR_DAYS;
use super::{ChannelHealth, Error, Problem, Sample, Store, row};

/// Muted recipients that are named.
const MUTED: i64 = 50;

/// The last failed attempt of a sender.
#[derive(Clone, Debug, PartialEq)]
pub struct SendFault {
    pub at: Timestamp,
    pub failure: Failure,
    /// The server's refusal, where it said something.
    pub reply: Option<Reply>,
}

/// What a sender's last probes tell of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SenderHealth {
    pub accepted_at: Option<Timestamp>,
    pub failed: Option<SendFault>,
}

/// A channel with its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelQueue {
    pub health: ChannelHealth,
    /// Alerts that wait, those kept back among them.
    pub waiting: i64,
    pub held: i64,
    pub oldest_at: Option<Timestamp>,
    /// Given up in the last [`LOST_FOR_DAYS`].
    pub dead: i64,
}

/// Who works, by the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Unknown when a program from before took it.
    pub taken_at: Option<Timestamp>,
    pub renewed_at: Timestamp,
}

/// A recipient that is muted by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Muted {
    pub id: RecipientId,
    pub name: String,
    pub until: Timestamp,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct HealthData {
    /// Database time, and how long the database took to tell it.
    pub sample: Sample,
    /// How long everything here took to read.
    pub took: Duration,
    /// PostgreSQL's.
    pub version: String,
    pub schema: i32,
    /// About so many probes are kept.
    pub probes: i64,
    /// Octets on disk of all that is kept.
    pub octets: i64,
    pub oldest_at: Option<Timestamp>,
    pub lease: Option<LeaseView>,
    pub senders: BTreeMap<String, SenderHealth>,
    pub channels: BTreeMap<Channel, ChannelQueue>,
    /// Those whose quiet ends first, and how many there are.
    pub muted: Vec<Muted>,
    pub muted_count: i64,
}

impl Store {
    /// Everything that the settings page says of the parts.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn health(&self) -> Result<HealthData, Error> {
        let start = Instant::now();
        let sample = self.now().await?;
        let mut channels: BTreeMap<Channel, ChannelQueue> = self
            .channel_health()
            .await?
            .into_iter()
            .map(|(channel, health)| (channel, ChannelQueue { health, ..ChannelQueue::default() }))
            .collect();
        self.run("health", async |client| {
            let history = client
                .prepare_cached(
                    "-- health()
                     select current_setting('server_version') as version,
                         (select max(version)::int4 from maildt.migrations) as schema,
                         (select greatest(c.reltuples::int8, s.n_live_tup, 0) from pg_class c
                              left join pg_stat_user_tables s on s.relid = c.oid
                              where c.oid = 'maildt.probes'::regclass) as probes,
                         (select sum(pg_total_relation_size(c.oid))::int8 from pg_class c
                              where c.relnamespace = 'maildt'::regnamespace and c.relkind = 'r') as octets,
                         (select p.created_at from maildt.probes p where p.result is not null
                              order by p.created_at limit 1) as oldest_at,
                         (select count(*) from maildt.recipients r
                              where r.deleted_at is null and r.muted_until > clock_timestamp()) as muted,
                         l.taken_at, l.renewed_at
                     from (select) one left join maildt.lease l on true",
                )
                .await?;
            let senders = client.prepare_cached(SENDERS).await?;
            let queues = client.prepare_cached(QUEUES).await?;
            let muted = client
                .prepare_cached(
                    "-- health_muted()
                     select id, name, muted_until from maildt.recipients
                     where deleted_at is null and muted_until > clock_timestamp() order by muted_until, id limit $1",
                )
                .await?;
            let history = client.query_one(&history, &[]).await?;
            let senders = client.query(&senders, &[]).await?;
            for row in client.query(&queues, &[&LOST_FOR_DAYS]).await? {
                queue(&row, &mut channels)?;
            }
            let muted = client.query(&muted, &[&MUTED]).await?;
            let renewed_at: Option<Timestamp> = history.try_get("renewed_at")?;
            let taken_at = history.try_get("taken_at")?;
            Ok(HealthData {
                sample,
                took: start.elapsed(),
                version: history.try_get("version")?,
                schema: history.try_get::<_, Option<i32>>("schema")?.unwrap_or_default(),
                probes: history.try_get::<_, Option<i64>>("probes")?.unwrap_or_default(),
                octets: history.try_get::<_, Option<i64>>("octets")?.unwrap_or_default(),
                oldest_at: history.try_get("oldest_at")?,
                lease: renewed_at.map(|renewed_at| LeaseView { taken_at, renewed_at }),
                senders: senders.iter().map(sender).collect::<Result<_, _>>()?,
                channels,
                muted: muted
                    .iter()
                    .map(|row| {
                        let (id, name, until) = (RecipientId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
                        Ok::<_, Problem>(Muted { id, name, until })
                    })
                    .collect::<Result<_, _>>()?,
                muted_count: history.try_get("muted")?,
            })
        })
        .await
    }
}

/// From the last probes of each recipient: however long the history is, few of them are read.
const SENDERS: &str = "-- health_senders()
    with recent as (
        select p.sender, p.accepted_at, p.attempt_at, p.failure_phase, p.failure_reason, p.failure_detail,
            p.reply_code, p.reply_enhanced, p.reply_text
        from maildt.recipients r cross join lateral (
            (select * from maildt.probes p where p.recipient_id = r.id order by p.created_at desc limit 10)
            union all
            (select * from maildt.probes p where p.recipient_id = r.id and p.result = 'delivered'
                order by p.created_at desc limit 1)) p
        where r.deleted_at is null
    )
    select s.sender, s.accepted_at, f.attempt_at, f.failure_phase, f.failure_reason, f.failure_detail,
        f.reply_code, f.reply_enhanced, f.reply_text
    from (select sender, max(accepted_at) as accepted_at from recent group by sender) s
    left join lateral (select * from recent where recent.sender = s.sender and failure_reason is not null
        order by attempt_at desc limit 1) f on true";

const QUEUES: &str = "-- health_queues()
    select channel, sum(waiting)::int8 as waiting, sum(held)::int8 as held, min(oldest_at) as oldest_at,
        sum(dead)::int8 as dead
    from (
        select channel, count(*) as waiting, count(*) filter (where held) as held, min(created_at) as oldest_at, 0 as dead
        from maildt.notifications where state in ('pending', 'sending') group by channel
        union all
        select channel, 0, 0, null, count(*) from maildt.notifications
        where state = 'dead' and settled_at > clock_timestamp() - make_interval(days => $1) group by channel
    ) queue group by channel";

fn sender(row: &Row) -> Result<(String, SenderHealth), Problem> {
    let failed = row::failure(row)?.zip(row.try_get::<_, Option<Timestamp>>("attempt_at")?);
    let reply = row::reply(row)?.filter(|reply| reply.code >= 400);
    let failed = failed.map(|(failure, at)| SendFault { at, failure, reply });
    Ok((row.try_get("sender")?, SenderHealth { accepted_at: row.try_get("accepted_at")?, failed }))
}

fn queue(row: &Row, channels: &mut BTreeMap<Channel, ChannelQueue>) -> Result<(), Problem> {
    let name: &str = row.try_get("channel")?;
    let channel: Channel = name.parse().map_err(|e| Error::Row(format!("{e}")))?;
    let queue = channels.entry(channel).or_default();
    queue.waiting = row.try_get("waiting")?;
    queue.held = row.try_get("held")?;
    queue.oldest_at = row.try_get("oldest_at")?;
    queue.dead = row.try_get("dead")?;
    Ok(())
}
