-- What the API lists across all recipients: the probes that did not arrive as they should are few, and are found without
-- reading the others. `result` never changes once it is given, so this costs no update.

create index probes_failed on probes (result, id desc) where result <> 'delivered';
