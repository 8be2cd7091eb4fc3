-- History: the pictures and figures of a recipient's probes are made from the index alone, however many there are.

-- The old one goes last: while indexes are built, probes can be read.
create index probes_history_covering on probes (recipient_id, created_at desc)
    include (result, placement, kind, latency_ms, latency_estimated);
-- What is not well is rare and often asked for: found without passing by all that is well.
create index probes_exceptions on probes (recipient_id, result, created_at desc)
    where result <> 'delivered' or placement = 'junk';

drop index probes_history;
alter index probes_history_covering rename to probes_history;

-- An index alone is enough where its pages are known to be all visible: that is what vacuum notes. By the share of rows, as it
-- goes by default, a long history would wait for weeks.
alter table probes set (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05);
