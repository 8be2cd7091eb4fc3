-- What the admin UI changes: probes that people ask for. All times are database time.

-- The holder of the lease takes a request, makes the probe of this identity and sends it at once. A request that nobody takes
-- runs out.
create table requests (
    probe_id     uuid primary key,
    recipient_id integer not null references recipients on delete cascade,
    requested_at timestamptz not null default clock_timestamp()
);
create index requests_recipient on requests (recipient_id);

-- Those of the last minute are counted before another one is taken.
create index probes_manual on probes (created_at) where kind = 'manual';
