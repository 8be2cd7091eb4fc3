//! What is measured, part by part.

use std::time::{Duration, Instant};

use crate::bare;
use crate::endpoint::Endpoint;
use crate::lab::postgres::Cluster;
use crate::lab::wait::{eventually, s};
use crate::program::{Load, Program, Window, cluster, setup};
use crate::table::{Table, milliseconds, percentile};

/// What all parts share.
pub struct Bench {
    pub table: Table,
    pub cluster: Cluster,
    /// How long the long measurements take.
    seconds: Duration,
}

/// One part.
type Part = fn(&mut Bench);

/// In this order; each stands alone.
pub const ALL: [(&str, Part); 8] = [
    ("latency", latency),
    ("throughput", throughput),
    ("steady", steady),
    ("start", start),
    ("scrape", scrape),
    ("pages", crate::pages::pages),
    ("sustained", sustained),
    ("ceiling", ceiling),
];

/// Connections of a sender unless configured otherwise.
const CONNECTIONS: usize = 4;
/// Connections where throughput is measured.
const MANY: usize = 8;

/// How often program and bare client take turns.
const TURNS: u32 = 3;

impl Bench {
    pub fn new(seconds: Duration) -> Self {
        Self { table: Table::default(), cluster: cluster(), seconds }
    }

    fn real(&mut self) -> Option<Endpoint> {
        match Endpoint::real() {
            Ok(endpoint) => Some(endpoint),
            Err(why) => {
                self.table.told("Postfix + Dovecot", format!("NOT RUN: {why}"));
                None
            }
        }
    }

    /// Ends a run: nothing may be lost.
    fn settle(&mut self, program: &Program, part: &str) {
        let ledger = program.settle();
        for loss in ledger.losses {
            self.table.lost(format!("{part}: {loss}"));
        }
        if ledger.late > 0 {
            self.table.told(format!("{part}: probes late"), format!("{} of {}", ledger.late, ledger.probes));
        }
    }

    fn cpu(&mut self, part: &str, window: &Window) {
        let (program, database) = window.cpu_per_probe();
        self.table.told(
            format!("{part}: CPU per probe, program + database"),
            format!("{program:.2} + {database:.2} ms"),
        );
    }

    /// The program under more than it can do, in turns with the bare client: other work of the machine meets both.
    fn against_bare(&mut self, part: &str, endpoint: &dyn Fn() -> Endpoint, load: Load) -> (Window, f64) {
        let span = (self.seconds / 6).clamp(s(4), s(30));
        let program = Program::start(&self.cluster, &endpoint(), load);
        let (mut windows, mut bare) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            if turn > 0 {
                program.resume();
            }
            program.warm_up(3);
            windows.push(program.measure(span));
            self.settle(&program, part);
            let run = bare::run(&endpoint(), load.connections, s(3), span);
            if run.lost > 0 {
                self.table.lost(format!("{part}: {} of {} messages of the bare client", run.lost, run.sent));
            }
            bare.push(run.per_second);
        }
        let list = |rates: &mut dyn Iterator<Item = f64>| {
            rates.map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ")
        };
        println!("  {}: {} a second", program.load(), list(&mut windows.iter().map(Window::per_second)));
        println!("  bare client: {} a second", list(&mut bare.iter().copied()));
        let window = Window::sum(windows);
        let bare = bare.iter().sum::<f64>() / f64::from(TURNS);
        self.table.told(format!("{part}: probes a second, most"), format!("{:.0}", window.per_second()));
        self.table.told(format!("{part}: the bare client"), format!("{bare:.0}"));
        (window, bare)
    }
}

/// Reported latency against the truth of Dovecot's log.
fn latency(bench: &mut Bench) {
    let Some(endpoint) = bench.real() else { return };
    let load = Load { recipients: 24, interval: 8, connections: CONNECTIONS };
    let program = Program::start(&bench.cluster, &endpoint, load);
    program.warm_up(8);
    program.measure(bench.seconds);
    bench.settle(&program, "latency");
    let saved: std::collections::HashMap<_, _> = endpoint.saved().into_iter().collect();
    let reported = program.database.query(
        "SELECT id, latency_ms, extract(epoch FROM accepted_at)::float8 FROM maildt.probes
         WHERE latency_ms IS NOT NULL AND NOT latency_estimated AND accepted_at IS NOT NULL",
        &[],
    );
    let (mut errors, mut latencies) = (Vec::new(), Vec::new());
    for row in reported.unwrap() {
        let (latency, accepted): (f64, f64) = (row.get(1), row.get(2));
        let Some(saved) = saved.get(&row.get(0)) else { continue };
        errors.push(latency - (saved - accepted).max(0.0) * 1000.0);
        latencies.push(latency);
    }
    let (p50, p99, most) =
        (percentile(&mut errors, 0.5), percentile(&mut errors, 0.99), percentile(&mut errors, 1.0));
    let name = format!("reported latency minus truth, {} probes of 24 recipients: p50", errors.len());
    bench.table.judged(name, milliseconds(p50), "≤ 50 ms", p50 <= 50.0);
    bench.table.judged("reported latency minus truth: p99", milliseconds(p99), "≤ 300 ms", p99 <= 300.0);
    bench.table.told("reported latency minus truth: most", milliseconds(most));
    bench.table.told("reported latency: p50", milliseconds(percentile(&mut latencies, 0.5)));
}

/// As many probes as Postfix and Dovecot take, into one mailbox.
fn throughput(bench: &mut Bench) {
    if bench.real().is_none() {
        return;
    }
    let load = Load { recipients: 1000, interval: 1, connections: MANY };
    let name = "Postfix + Dovecot";
    let (window, bare) = bench.against_bare(name, &|| Endpoint::real().unwrap(), load);
    let share = 100.0 * window.per_second() / bare;
    bench.table.judged(
        format!("{name}: of the bare client"),
        format!("{share:.0} %"),
        "≥ 75 %",
        share >= 75.0,
    );
    bench.cpu(name, &window);
}

/// A usual size: 50 probes a second from 200 recipients.
fn steady(bench: &mut Bench) {
    let endpoint = Endpoint::built_in();
    let load = Load { recipients: 200, interval: 4, connections: CONNECTIONS };
    let program = Program::start(&bench.cluster, &endpoint, load);
    program.warm_up(10);
    let window = program.measure((bench.seconds / 2).max(s(10)));
    let (cpu, database) = window.cpu_per_probe();
    let name = format!("CPU of the program per probe at {:.0} a second", window.per_second());
    bench.table.judged(name, format!("{cpu:.2} ms"), "≤ 1 ms", cpu <= 1.0);
    bench.table.told("CPU of its database per probe there", format!("{database:.2} ms"));
    bench.table.told("scheduler lag there, p50 / p99", window.lag.to_string());
    let resident = window.resident;
    bench.table.judged(
        "resident memory at 200 recipients",
        format!("{resident:.1} MiB"),
        "≤ 25 MiB",
        resident <= 25.0,
    );
    bench.settle(&program, "steady");
}

/// From the start of the process to the first probe that the server has taken in.
fn start(bench: &mut Bench) {
    let endpoint = Endpoint::built_in();
    let load = Load { recipients: 24, interval: 1, connections: CONNECTIONS };
    let mut program = Program::start(&bench.cluster, &endpoint, load);
    program.warm_up(3);
    let mut again = |kill: bool| {
        if kill {
            program.app.kill9();
        } else {
            program.app.term();
        }
        endpoint.forget();
        let start = Instant::now();
        program.app.start_again();
        let first = eventually(s(30), "a first probe", || {
            endpoint.first_submission_after(start).ok_or_else(|| "none yet".to_owned())
        });
        first.duration_since(start).as_secs_f64() * 1000.0
    };
    let mut stopped: Vec<f64> = (0..5).map(|_| again(false)).collect();
    let mut killed: Vec<f64> = (0..3).map(|_| again(true)).collect();
    drop(program);
    let median = percentile(&mut stopped, 0.5);
    bench.table.judged(
        "start to first probe, existing database",
        milliseconds(median),
        "≤ 1 s",
        median <= 1000.0,
    );
    bench.table.told("start to first probe, after kill -9", milliseconds(percentile(&mut killed, 0.5)));
    bench.table.told("start to first probe, private PostgreSQL", milliseconds(private(load)));
}

/// The same with the program's own PostgreSQL, which starts and stops with it.
fn private(load: Load) -> f64 {
    let endpoint = Endpoint::built_in();
    let data = crate::lab::ground::ground().directory("data");
    let mut app = setup(&endpoint, load).env("DATA_DIR", data.to_str().unwrap()).start();
    let first = |start: Instant| {
        eventually(s(60), "a first probe", || {
            endpoint.first_submission_after(start).ok_or_else(|| "none yet".to_owned())
        })
    };
    first(Instant::now());
    let mut times: Vec<f64> = (0..3)
        .map(|_| {
            app.term();
            endpoint.forget();
            let start = Instant::now();
            app.start_again();
            first(start).duration_since(start).as_secs_f64() * 1000.0
        })
        .collect();
    app.term();
    percentile(&mut times, 0.5)
}

/// 10,000 recipients, more than 200 probes a second.
fn sustained(bench: &mut Bench) {
    let endpoint = Endpoint::built_in();
    let load = Load { recipients: 10_000, interval: 48, connections: MANY };
    let program = Program::start(&bench.cluster, &endpoint, load);
    // Every recipient has had a probe, and all its series, by then.
    program.warm_up(60);
    let window = program.measure(bench.seconds);
    let rate = window.per_second();
    let name = format!("probes a second of 10,000 recipients, for {} s", bench.seconds.as_secs());
    bench.table.judged(name, format!("{rate:.1}"), "≥ 200", rate >= 200.0);
    let p99 = window.lag.quantile(0.99);
    bench.table.judged("scheduler lag there, p50 / p99", window.lag.to_string(), "p99 < 1 s", p99 < 1.0);
    bench.cpu("there", &window);
    let resident = window.resident;
    bench.table.judged(
        "resident memory at 10,000 recipients",
        format!("{resident:.0} MiB"),
        "≤ 192 MiB",
        resident <= 192.0,
    );
    let (loaded, _) = scrapes(&program);
    bench.table.told("/metrics with gzip at 10,000 recipients, under this load", milliseconds(loaded));
    bench.settle(&program, "sustained");
    let (idle, size) = scrapes(&program);
    bench.table.judged(
        "/metrics with gzip at 10,000 recipients",
        format!("{} ({size} KiB)", milliseconds(idle)),
        "≤ 1 s",
        idle <= 1000.0,
    );
}

/// As many probes as the program can do, on a server that costs little.
fn ceiling(bench: &mut Bench) {
    let load = Load { recipients: 5000, interval: 1, connections: MANY };
    let name = "built-in server";
    let (window, bare) = bench.against_bare(name, &Endpoint::built_in, load);
    let share = 100.0 * window.per_second() / bare;
    bench.table.told(format!("{name}: of the bare client"), format!("{share:.0} %"));
    bench.cpu(name, &window);
}

/// A scrape of 1,000 recipients that all have their series.
fn scrape(bench: &mut Bench) {
    let endpoint = Endpoint::built_in();
    let load = Load { recipients: 1000, interval: 5, connections: MANY };
    let program = Program::start(&bench.cluster, &endpoint, load);
    program.warm_up(10);
    bench.settle(&program, "scrape");
    let (median, size) = scrapes(&program);
    bench.table.judged(
        "/metrics with gzip at 1,000 recipients",
        format!("{} ({size} KiB)", milliseconds(median)),
        "≤ 50 ms",
        median <= 50.0,
    );
}

/// Ten scrapes: the median in milliseconds, and the size in KiB.
fn scrapes(program: &Program) -> (f64, usize) {
    let all: Vec<(Duration, usize)> = (0..10).map(|_| program.scrape()).collect();
    let mut times: Vec<f64> = all.iter().map(|(took, _)| took.as_secs_f64() * 1000.0).collect();
    (percentile(&mut times, 0.5), all[0].1 / 1024)
}
