//! How long a scrape takes and how much memory the series need, at 1,000 and at 10,000 recipients.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use maildt::domain::id::{ProbeId, RecipientId};
use maildt::domain::submission::Reason;
use maildt::domain::verdict::{Placement, Standing, Verdict};
use maildt::metrics::listener::serve;
use maildt::metrics::{
    AuthMethod, AuthResult, Build, Compression, Exposition, Format, LastValues, ListenerState, Metrics,
    Readiness, RecipientLabels, RecipientSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Recipients after a day of probes: every series that they can have, latencies in several buckets.
fn populated(recipients: i32) -> Arc<Metrics> {
    let metrics =
        Arc::new(Metrics::new(Build { version: "1.0.0", revision: "0000000" }, Timestamp::UNIX_EPOCH));
    let now = Timestamp::from_millisecond(1_770_000_000_123).unwrap_or_default();
    for number in 0..recipients {
        let id = RecipientId(number);
        let settings = RecipientSettings {
            labels: RecipientLabels {
                name: format!("recipient-{number}@department-{}.example.org", number % 50),
                domain: format!("department-{}.example.org", number % 50),
                sender: "default".to_owned(),
                mailbox: "default".to_owned(),
            },
            interval: Duration::from_mins(5),
            threshold: Duration::from_mins(5),
            active: true,
        };
        let handle = metrics.register_recipient(id, &settings);
        let spread = u64::from(number.unsigned_abs());
        for round in 0..20 {
            let latency = Duration::from_millis((spread * 7919 + round * 104_729) % 9000);
            handle.delivered(latency, ProbeId::new(1_770_000_000_000 + round, id, spread), now);
            handle.sent();
            handle.result(Verdict::Delivered);
            handle.placement(Placement::Inbox);
        }
        handle.send_failure(Reason::Smtp4xx);
        for method in [AuthMethod::Spf, AuthMethod::Dkim, AuthMethod::Dmarc] {
            handle.auth_result(method, AuthResult::Pass);
        }
        handle.hop_delays(&[Duration::from_millis(120), Duration::from_millis(spread % 700)]);
        handle.restore(LastValues {
            latency: None,
            success: Some(now),
            send: Some(now),
            next_probe: Some(now),
        });
        handle.set_standing(Standing::Ok);
    }
    metrics
}

fn scrape(metrics: &Arc<Metrics>, format: Format, compression: Compression) -> usize {
    let mut exposition = Exposition::new(Arc::clone(metrics), format, compression);
    let mut bytes = 0;
    while let Some(chunk) = exposition.next_chunk().unwrap_or_default() {
        bytes += black_box(chunk).len();
    }
    bytes
}

/// A whole scrape over HTTP with gzip.
async fn scrape_over_http(address: SocketAddr) -> usize {
    let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let sent = stream.write_all(request.as_bytes()).await;
        let read = stream.read_to_end(&mut answer).await;
        assert!(sent.is_ok() && read.is_ok() && answer.ends_with(b"0\r\n\r\n"), "the scrape was not whole");
    }
    answer.len()
}

fn serve_pages(runtime: &Runtime, metrics: Arc<Metrics>) -> std::io::Result<SocketAddr> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let (_, readiness) = watch::channel(Readiness::default());
    runtime.spawn(serve(listener, ListenerState::new(metrics, readiness), CancellationToken::new()));
    Ok(address)
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::expect_used, reason = "a benchmark")]
fn exposition(c: &mut Criterion) {
    let open_metrics = Format::negotiate("application/openmetrics-text");
    let mut group = c.benchmark_group("metrics");
    group.sample_size(10);
    for recipients in [1000, 10_000] {
        let before = resident_kib().unwrap_or_default();
        let metrics = populated(recipients);
        let held = resident_kib().unwrap_or_default().saturating_sub(before);
        let [plain, zipped] =
            [Compression::Identity, Compression::Gzip].map(|c| scrape(&metrics, open_metrics, c));
        let peak = resident_kib().unwrap_or_default().saturating_sub(before);
        println!(
            "{recipients} recipients: {held} KiB resident, {peak} KiB after a scrape; OpenMetrics {plain} bytes, {zipped} with gzip"
        );
        for (name, format) in [("openmetrics", open_metrics), ("text", Format::Text)] {
            for (coding, compression) in [("identity", Compression::Identity), ("gzip", Compression::Gzip)] {
                let id = BenchmarkId::new(format!("{name}/{coding}"), recipients);
                group.bench_function(id, |b| b.iter(|| scrape(&metrics, format, compression)));
            }
        }
        let runtime = Runtime::new().expect("a runtime");
        let address = serve_pages(&runtime, metrics).expect("a free port");
        group.bench_function(BenchmarkId::new("http/openmetrics/gzip", recipients), |b| {
            b.iter(|| runtime.block_on(scrape_over_http(address)));
        });
    }
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
