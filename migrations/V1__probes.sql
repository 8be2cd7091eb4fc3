-- The probe engine: recipients, their probes, who is at work, and what is kept between two runs.
-- All times are database time. Words in `state`, `result` and the like mirror the enums in src/domain.

create table recipients (
    id              integer generated always as identity primary key,
    name            text not null,
    address         text not null,
    sender          text not null,
    mailbox         text not null,
    return_mode     text not null check (return_mode in ('direct', 'forward', 'echo')),
    interval_s      integer not null check (interval_s > 0),
    alert_threshold_s integer not null check (alert_threshold_s > 0),
    alert_after     integer not null check (alert_after > 0),
    discord         boolean not null,
    email           boolean not null,
    muted_until     timestamptz,
    active          boolean not null,
    provisioned     boolean not null,           -- managed by the configuration file
    next_due_at     timestamptz not null,
    version         integer not null default 1, -- counts edits: two people do not overwrite each other
    created_at      timestamptz not null default clock_timestamp(),
    deleted_at      timestamptz                 -- the row stays until the last of its probes is gone
);
create unique index recipients_name on recipients (name) where deleted_at is null;
create index recipients_due on recipients (sender, next_due_at) where active and deleted_at is null;

-- Keys that sign tokens: the configured one, else the generated one, signs; all verify.
create table signing_keys (
    id         integer generated always as identity primary key,
    key        bytea not null unique check (length(key) = 32),
    origin     text not null check (origin in ('generated', 'configured')),
    created_at timestamptz not null default clock_timestamp(),
    used_at    timestamptz not null default clock_timestamp() -- the last start that signed with it
);
create unique index one_generated_key on signing_keys (origin) where origin = 'generated';

create table probes (
    id                uuid primary key,
    recipient_id      integer not null references recipients,
    key_id            integer not null references signing_keys,
    kind              text not null check (kind in ('scheduled', 'manual')),
    sender            text not null,
    mailbox           text not null,
    return_mode       text not null check (return_mode in ('direct', 'forward', 'echo')),
    threshold_ms      bigint not null,
    due_at            timestamptz not null,
    state             text not null check (state in ('sending', 'deferred', 'accepted', 'delivered', 'missing', 'late',
                          'send_failed', 'unconfirmed', 'bounced', 'inconclusive')),
    result            text check (result in ('delivered', 'late', 'missing', 'send_failed', 'bounced', 'inconclusive')),
    result_at         timestamptz,
    was_missing       boolean not null default false,
    attempts          integer not null default 1,
    faults            integer not null default 0,
    created_at        timestamptz not null default clock_timestamp(),
    first_attempt_at  timestamptz not null,
    attempt_at        timestamptz not null,
    next_attempt_at   timestamptz,
    accepted_at       timestamptz,
    deadline_at       timestamptz,
    arrived_at        timestamptz,
    latency_ms        double precision,
    latency_estimated boolean not null default false,
    placement         text check (placement in ('inbox', 'junk', 'other')),
    folder            text,
    prints            bigint[] not null default '{}',
    duplicates        integer not null default 0,
    misrouted         integer not null default 0,
    reply_code        integer,
    reply_enhanced    text,
    reply_text        text,
    queue_id          text,
    failure_phase     text,
    failure_reason    text,
    failure_detail    text,
    phases            jsonb not null default '{}', -- milliseconds by phase, last attempt
    note              text,
    version           integer not null default 1,
    constraint one_probe_per_due_time unique (recipient_id, due_at),
    constraint a_result_has_a_time check ((result is null) = (result_at is null)),
    constraint open_or_judged check ((result is null) = (state in ('sending', 'deferred', 'accepted', 'unconfirmed')))
) with (fillfactor = 70);
-- `state` is in no index: that lets an update of it stay in its page.
create index probes_open on probes (recipient_id) where result is null;
create index probes_history on probes (recipient_id, created_at desc);
create index probes_success on probes (recipient_id, created_at desc) where result = 'delivered';
create index probes_age on probes (created_at) where result is not null;

-- Who schedules, sends, watches and judges. One row; expiry by database time.
create table lease (
    only_row      boolean primary key default true check (only_row),
    holder        uuid not null,
    epoch         bigint not null,
    backend       integer not null,     -- the holder's database session, to tell a killed holder from a slow one
    backend_start timestamptz,
    renewed_at    timestamptz not null,
    expires_at    timestamptz not null
);

-- How far each folder has been examined and its sightings committed.
create table folders (
    mailbox     text not null,
    folder      text not null,
    uidvalidity bigint not null,
    next_uid    bigint not null,
    updated_at  timestamptz not null default clock_timestamp(),
    primary key (mailbox, folder)
);

-- Counts changes of recipients, so that every instance notices those made elsewhere.
create table revision (
    only_row   boolean primary key default true check (only_row),
    recipients bigint not null
);
insert into revision (recipients) values (1);
