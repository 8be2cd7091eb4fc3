-- Who is logged in to the admin UI, and who tried. All times are database time.

create table sessions (
    token_digest bytea primary key check (length(token_digest) = 32), -- SHA-256; the token itself has only the browser
    credential   bytea not null check (length(credential) = 32),      -- of user, password and TOTP secret, keyed with the token
    created_at   timestamptz not null default clock_timestamp(),
    seen_at      timestamptz not null default clock_timestamp()
);

-- Logins that failed or are being checked: counted before the password is looked at, so that parallel tries cannot
-- outrun the limit.
create table login_attempts (
    id     bigint generated always as identity primary key,
    source text not null,                       -- the client's network: 192.0.2.7/32, 2001:db8::/64
    at     timestamptz not null default clock_timestamp()
);
create index login_attempts_at on login_attempts (at);

-- The last time step of a TOTP code that was accepted. One row.
create table totp (
    only_row  boolean primary key default true check (only_row),
    last_step bigint not null
);
insert into totp (last_step) values (0);
