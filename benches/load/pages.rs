//! How long pages of the admin UI take with much to show: asked from outside, each on a connection of its own.

use std::time::Instant;

use crate::lab::app::Setup;
use crate::lab::browser::Browser;
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, same};
use crate::parts::Bench;
use crate::table::{milliseconds, percentile};

/// How often each page is asked for, after two times that do not count.
const TIMES: usize = 20;
/// Probes of a recipient with a long history.
const MANY: i32 = 1_000_000;

/// The live board of 1,000 recipients, and the history of a recipient with 1,000,000 probes.
pub fn pages(bench: &mut Bench) {
    let database = bench.cluster.database();
    let app = Setup::new().env("DATABASE_URL", &database.url()).env("LOG_LEVEL", "info").start();
    app.await_active();
    let mut browser = Browser::new(app.pages()).with("Accept-Encoding", "gzip");
    eventually(s(20), "the login works", || {
        let page = browser.try_post("/login", &[("user", "admin"), ("password", "correct horse battery")])?;
        same(&page.status, &303)
    });
    recipients(&database);
    let mut judge = |what: &str, path: &str| {
        let ms = median(&mut browser, path);
        bench.table.judged(what, milliseconds(ms), "≤ 50 ms", ms <= 50.0);
    };
    judge("live board of 1,000 recipients", "/");
    fill(&database, 1, MANY, "365 days");
    fill(&database, 2, MANY, "7 days");
    judge("history, 1,000,000 probes in a year, 7 days", "/recipients/1/history?range=7d");
    judge("history, the same, only missing", "/recipients/1/history?range=7d&state=missing");
    // In the middle of the list of the whole year, with the picture of 7 days.
    let row =
        "select floor(extract(epoch from created_at) * 1000000)::bigint || '.' || replace(id::text, '-', '')
        from maildt.probes where recipient_id = 1 order by created_at desc offset 10000 limit 1";
    let place: String = database.query(row, &[]).unwrap()[0].get(0);
    judge("history, the same, page 200", &format!("/recipients/1/history?range=7d&before={place}"));
    let mut tell = |what: &str, path: &str| {
        let ms = median(&mut browser, path);
        bench.table.told(what, milliseconds(ms));
    };
    tell("history, 1,000,000 probes in a year, all", "/recipients/1/history?range=all");
    tell("history, 1,000,000 probes within 7 days", "/recipients/2/history?range=7d");
}

/// Milliseconds until the whole answer is there.
fn median(browser: &mut Browser, path: &str) -> f64 {
    let mut times: Vec<f64> = (0..TIMES + 2)
        .map(|_| {
            let start = Instant::now();
            let page = browser.get(path);
            assert_eq!(page.status, 200, "{path}");
            start.elapsed().as_secs_f64() * 1000.0
        })
        .skip(2)
        .collect();
    percentile(&mut times, 0.5)
}

/// 1,000 recipients that are not due, with 40 probes each.
fn recipients(database: &Database) {
    for statement in [
        "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         select 'r' || n, n || '@bench.test', 'default', 'default', 'direct', 3600, 300, 1, true, true, true, false,
             clock_timestamp() + interval '1 day' from generate_series(1, 1000) n",
        "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
             created_at, first_attempt_at, attempt_at, result_at, state, result, arrived_at, latency_ms, placement)
         select gen_random_uuid(), r.id, (select min(id) from maildt.signing_keys), 'scheduled', 'default', 'default',
             'direct', 300000, t, t, t, t, t, 'delivered', 'delivered', t, 300 + n, 'inbox'
         from maildt.recipients r, generate_series(1, 40) n,
             lateral (select clock_timestamp() - interval '400 days' - make_interval(hours => n) as t) x
         where r.id > 2",
        "vacuum analyze maildt.probes",
    ] {
        database.query(statement, &[]).unwrap();
    }
}

/// Probes of one recipient, spread over a time that ends now; some of each kind.
fn fill(database: &Database, recipient: i32, number: i32, span: &str) {
    let statement = format!(
        "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
             created_at, first_attempt_at, attempt_at, accepted_at, result_at, state, result, arrived_at, latency_ms,
             placement, folder)
         select gen_random_uuid(), $1, (select min(id) from maildt.signing_keys),
             case when n % 5000 = 7 then 'manual' else 'scheduled' end, 'default', 'default', 'direct', 300000, t, t, t, t, t, t,
             r, r, case when r in ('delivered', 'late') then t end,
             case r when 'delivered' then 300 * exp(random() * 1.2) when 'late' then 400000 end,
             case when r in ('delivered', 'late') then case when n % 997 = 0 then 'junk' else 'inbox' end end, 'INBOX'
         from (select n, clock_timestamp() - interval '{span}' * (n::float8 / $2) as t,
                 case when n % 1009 = 0 then 'missing' when n % 2003 = 0 then 'send_failed' when n % 5003 = 0 then 'bounced'
                     when n % 7001 = 0 then 'inconclusive' when n % 3001 = 0 then 'late' else 'delivered' end as r
             from generate_series($2, 1, -1) n) x"
    );
    database.query(&statement, &[&recipient, &number]).unwrap();
    database.query("vacuum analyze maildt.probes", &[]).unwrap();
}
