-- What is kept with a probe as evidence. It decides nothing; both mirror src/domain/record.rs and are bounded there.

alter table probes
    add column sightings jsonb not null default '[]', -- the messages that carried its token, with their trace
    add column searches  jsonb not null default '[]'; -- the rounds of looking that did not find it
