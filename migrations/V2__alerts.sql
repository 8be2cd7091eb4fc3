-- Incidents, what is to be told about them, and the health of the channels that tell it.
-- Words in `kind`, `event` and the like mirror the enums in src/domain/alert.rs. All times are database time.

create table incidents (
    id          bigint primary key,
    kind        text not null,
    scope       text not null,                  -- recipient:7, sender:default, mailbox:default, channel:discord
    opened_at   timestamptz not null,
    resolved_at timestamptz,
    recipients  integer[] not null default '{}',-- who is concerned, to know whether they are muted
    details     jsonb not null,                 -- since when, how often, the evidence, how it ended
    version     integer not null
);
create unique index one_open_incident on incidents (scope, kind) where resolved_at is null;
create index incidents_opened on incidents (opened_at desc);

-- The outbox. Written with what causes it, drained by the holder of the lease.
create table notifications (
    id           bigint generated always as identity primary key,
    incident_id  bigint not null references incidents on delete cascade,
    event        text not null check (event in ('opened', 'reminder', 'resolved')),
    number       integer not null default 0,    -- of the reminder
    channel      text not null,                 -- discord, email:ops@example.org
    created_at   timestamptz not null,
    state        text not null default 'pending' check (state in ('pending', 'sending', 'delivered', 'dead', 'dropped')),
    held         boolean not null default false,-- kept back once because everybody concerned was muted
    message      bigint,                        -- the first row of those that share one message, once it was composed
    claimed_by   uuid,                          -- the dispatcher that is sending it
    tries        integer not null default 0,
    first_try_at timestamptz,
    next_try_at  timestamptz,
    settled_at   timestamptz,                   -- delivered, dead or dropped
    last_error   text,
    constraint told_once unique (incident_id, event, number, channel)
);
create index notifications_due on notifications (channel, id) where state in ('pending', 'sending');

-- What the alert policy remembers of a scope besides its incidents: failures that do not make one yet.
create table alert_states (
    scope text primary key,
    state jsonb not null
);

-- Health of each channel, so that a restart does not forget that one refused us.
create table channels (
    channel       text primary key,
    failing_since timestamptz,
    refused       bytea,                        -- digest of the setting that was refused: left alone until it is another
    last_error    text,
    last_ok_at    timestamptz
);
