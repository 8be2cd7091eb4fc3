-- What the admin UI shows of incidents, alerts and the instance that works, also when there is a lot of it.

-- First, as every transaction of the holder begins with this table.
-- Since when the holder works; null: since before this column.
alter table lease add column taken_at timestamptz;

-- Incidents of a kind, and those that concern a recipient.
create index incidents_kind on incidents (kind, id desc);
create index incidents_recipients on incidents using gin (recipients);

-- Alerts that got lost.
create index notifications_dead on notifications (settled_at) where state = 'dead';
