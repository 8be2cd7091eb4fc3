//! The program under load: the release binary, started and watched from outside.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::endpoint::Endpoint;
use crate::lab::app::{App, Recipient, Setup};
use crate::lab::metrics::{Scrape, get};
use crate::lab::postgres::{Cluster, Database};
use crate::lab::wait::{eventually, s, so};
use crate::usage;

/// How often a Prometheus would come.
const SCRAPE: Duration = Duration::from_secs(15);
/// Recipients get this long before their probes count as missing.
const THRESHOLD: Duration = Duration::from_mins(5);

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub recipients: u32,
    /// Seconds.
    pub interval: u32,
    pub connections: usize,
}

/// A running program with recipients that are spread over their interval.
pub struct Program {
    pub app: App,
    pub database: Database,
    endpoint: Endpoint,
    load: Load,
}

/// What was measured between two moments.
pub struct Window {
    pub delivered: u64,
    seconds: f64,
    program: Duration,
    database: Duration,
    pub lag: Lag,
    /// Resident at the end, in MiB.
    pub resident: f64,
}

impl Window {
    /// Several as one. Memory is that of the last.
    pub fn sum(windows: Vec<Self>) -> Self {
        let all = windows.into_iter().reduce(|sum, next| Self {
            delivered: sum.delivered + next.delivered,
            seconds: sum.seconds + next.seconds,
            program: sum.program + next.program,
            database: sum.database + next.database,
            ..next
        });
        all.unwrap()
    }

    pub fn per_second(&self) -> f64 {
        count(self.delivered) / self.seconds
    }

    /// Of the program and of the database, in milliseconds.
    pub fn cpu_per_probe(&self) -> (f64, f64) {
        let each = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / count(self.delivered.max(1));
        (each(self.program), each(self.database))
    }
}

/// The scheduler's lag as the program itself tells it: counts at or below each bound in seconds.
#[derive(Clone, Debug, Default)]
pub struct Lag(Vec<(f64, f64)>);

impl Lag {
    fn of(scrape: &Scrape) -> Self {
        let buckets = scrape.text.lines().filter_map(|line| {
            let rest = line.strip_prefix("maildt_scheduler_lag_seconds_bucket{le=\"")?;
            let (bound, value) = rest.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, value.parse().ok()?))
        });
        Self(buckets.collect())
    }

    fn since(self, before: &Self) -> Self {
        let pairs = self.0.into_iter().zip(&before.0);
        Self(pairs.map(|((bound, now), (_, then))| (bound, now - then)).collect())
    }

    /// Seconds, between the bounds of its bucket by proportion, as `histogram_quantile` does it.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = self.0.last().map_or(0.0, |(_, all)| all * share);
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, so_far) in &self.0 {
            if *so_far >= rank {
                let within = so_far - below;
                let part = if within > 0.0 { (rank - below) / within } else { 1.0 };
                return if bound.is_finite() { lower + (bound - lower) * part } else { lower };
            }
            (lower, below) = (*bound, *so_far);
        }
        f64::NAN
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [0.5, 0.99].map(|share| self.quantile(share) * 1000.0);
        write!(f, "{p50:.0} / {p99:.0} ms")
    }
}

/// How the probes of a whole run ended.
pub struct Ledger {
    pub probes: u64,
    pub late: u64,
    /// What must not be, in words.
    pub losses: Vec<String>,
}

/// A cluster that keeps its promises about durability, as users have it.
pub fn cluster() -> Cluster {
    let cluster = Cluster::new();
    let database = cluster.database();
    for statement in [
        "ALTER SYSTEM RESET fsync",
        "ALTER SYSTEM RESET full_page_writes",
        "ALTER SYSTEM RESET synchronous_commit",
        "ALTER SYSTEM RESET autovacuum_naptime",
        "SELECT pg_reload_conf()",
    ] {
        database.query(statement, &[]).unwrap();
    }
    cluster
}

/// A configuration as users have it, apart from the length of the intervals.
pub fn setup(endpoint: &Endpoint, load: Load) -> Setup {
    let tested = ["round_gap", "reconnect_max", "database_retry_max", "lease", "lease_renew"];
    let recipients = (1..=load.recipients).map(|number| {
        let tag = format!("r{number}");
        Recipient::new(&tag, &endpoint.address(&tag))
            .interval(&format!("{}s", load.interval))
            .threshold(&format!("{}s", THRESHOLD.as_secs()))
    });
    tested
        .iter()
        .fold(Setup::new(), |setup, limit| setup.without_limit(limit))
        .without("CHECK_INTERVAL")
        .env("LOG_LEVEL", "info")
        .env("SMTP_HOST", "127.0.0.1")
        .env("SMTP_PORT", &endpoint.smtps.to_string())
        .env("SMTP_TLS", "implicit")
        .env("SMTP_USER", &endpoint.user)
        .env("SMTP_PASS", &endpoint.password)
        .env("IMAP_HOST", "127.0.0.1")
        .env("IMAP_PORT", &endpoint.imaps.to_string())
        .env("IMAP_TLS", "implicit")
        .env("IMAP_USER", &endpoint.user)
        .env("IMAP_PASS", &endpoint.password)
        .env("TLS_CA_FILE", endpoint.ca.to_str().unwrap())
        .limit("interval_min", "\"1s\"")
        .tables(&format!("[senders.default]\nconnections = {}\n", load.connections))
        .recipients(recipients)
}

impl Program {
    /// Starts it with an empty database and puts every recipient on its own place in the interval, where it would come by
    /// itself after two intervals.
    pub fn start(cluster: &Cluster, endpoint: &Endpoint, load: Load) -> Self {
        endpoint.forget();
        let database = cluster.database();
        let app = setup(endpoint, load).env("DATABASE_URL", &database.url()).start();
        let this = Self { app, database, endpoint: endpoint.clone(), load };
        eventually(s(60), "the recipients are in the database", || {
            let known = this.number("SELECT count(*) FROM maildt.recipients", &[])?;
            so(known == u64::from(load.recipients), || format!("{known} of {}", load.recipients))
        });
        this.resume();
        this
    }

    /// Schedules all recipients (again).
    pub fn resume(&self) {
        self.database
            .query(
                "UPDATE maildt.recipients r SET active = true, next_due_at = to_timestamp(
                     (floor((extract(epoch FROM clock_timestamp()) * 1000 - o.offset_ms) / i.ms) * i.ms + o.offset_ms + i.ms) / 1000)
                 FROM (SELECT id, interval_s * 1000::numeric AS ms FROM maildt.recipients) i,
                      LATERAL (SELECT floor(mod(i.id * 0.6180339887498949, 1) * i.ms) AS offset_ms) o
                 WHERE i.id = r.id",
                &[],
            )
            .unwrap();
        self.database.query("UPDATE maildt.revision SET recipients = recipients + 1", &[]).unwrap();
    }

    /// Runs on for a while.
    pub fn warm_up(&self, seconds: u64) {
        std::thread::sleep(s(seconds));
        self.app.ready().expect("it is not ready under load");
    }

    /// Measures for `span`, scraped as by Prometheus.
    pub fn measure(&self, span: Duration) -> Window {
        let before = self.app.metrics().unwrap();
        let (from, begin) = (self.now(), Instant::now());
        let (program, database) = Self::cpu();
        let mut scrape_at = SCRAPE / 2;
        while begin.elapsed() < span {
            if begin.elapsed() >= scrape_at {
                scrape_at += SCRAPE;
                self.scrape();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (program_after, database_after) = Self::cpu();
        let to = self.now();
        let after = self.app.metrics().unwrap();
        let arrivals = "SELECT count(*) FROM maildt.probes WHERE extract(epoch FROM arrived_at)::float8 BETWEEN $1 AND $2";
        // The last ones may not be written yet.
        std::thread::sleep(Duration::from_millis(500));
        Window {
            delivered: self.number(arrivals, &[&from, &to]).unwrap(),
            seconds: to - from,
            program: program_after.saturating_sub(program),
            database: database_after.saturating_sub(database),
            lag: Lag::of(&after).since(&Lag::of(&before)),
            resident: usage::memory(Self::pid()).0,
        }
    }

    /// How long a scrape with gzip takes, and its size.
    pub fn scrape(&self) -> (Duration, usize) {
        let start = Instant::now();
        let answer = get(self.app.address(), "/metrics", "Accept-Encoding: gzip\r\n").unwrap();
        assert!(answer.header.contains("content-encoding: gzip"), "{}", answer.header);
        (start.elapsed(), answer.body.len())
    }

    /// Stops scheduling, waits until every probe has its result, and compares with what the servers saw.
    pub fn settle(&self) -> Ledger {
        self.database.query("UPDATE maildt.recipients SET active = false", &[]).unwrap();
        self.database.query("UPDATE maildt.revision SET recipients = recipients + 1", &[]).unwrap();
        let open = "SELECT count(*) FROM maildt.probes WHERE result IS NULL";
        eventually(THRESHOLD + s(60), "every probe has a result", || {
            let open = self.number(open, &[])?;
            so(open == 0, || format!("{open} are open"))
        });
        let mut losses = Vec::new();
        let rows = self.database.query("SELECT id, result, duplicates FROM maildt.probes", &[]).unwrap();
        let of = |result: &str| rows.iter().filter(|row| row.get::<_, &str>(1) == result).count();
        for result in ["missing", "send_failed", "bounced", "inconclusive"] {
            if of(result) > 0 {
                losses.push(format!("{} of {} probes are {result}", of(result), rows.len()));
            }
        }
        let known: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let accepted = self.endpoint.accepted();
        let distinct: HashSet<Uuid> = accepted.iter().copied().collect();
        if accepted.len() != distinct.len() {
            losses.push(format!("{} probes were sent twice", accepted.len() - distinct.len()));
        }
        if distinct != known {
            losses.push(format!(
                "the servers saw {} probes that the database does not know, and not {} that it does",
                distinct.difference(&known).count(),
                known.difference(&distinct).count()
            ));
        }
        let start = Instant::now();
        while self.endpoint.stored() > 0 && start.elapsed() < s(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.endpoint.stored() > 0 {
            losses.push(format!("{} messages are left in the mailbox", self.endpoint.stored()));
        }
        Ledger { probes: rows.len() as u64, late: of("late") as u64, losses }
    }

    fn pid() -> u32 {
        usage::children("maildt").first().copied().expect("the program does not run")
    }

    pub fn number(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, String> {
        let rows = self.database.query(statement, values).map_err(|e| format!("{e:?}"))?;
        let number: i64 = rows.first().ok_or("no row")?.get(0);
        u64::try_from(number).map_err(|e| e.to_string())
    }

    fn now(&self) -> f64 {
        let rows = self.database.query("SELECT extract(epoch FROM clock_timestamp())::float8", &[]);
        rows.unwrap().first().unwrap().get(0)
    }

    /// Of the program and of the database so far.
    fn cpu() -> (Duration, Duration) {
        let postmasters = usage::children("postgres").into_iter().min();
        (usage::cpu(Self::pid()), postmasters.map(usage::cpu_of_family).unwrap_or_default())
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} recipients every {} s, {} connections",
            self.recipients, self.interval, self.connections
        )
    }
}

impl Program {
    pub fn load(&self) -> Load {
        self.load
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of probes")]
pub fn count(number: u64) -> f64 {
    number as f64
}
