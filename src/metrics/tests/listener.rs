//! The listener as its clients see it, patient, slow and rude ones.

use std::io::Read as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::reader::Read;
use super::*;
use crate::metrics::listener::{ListenerLimits, serve_within};
use crate::metrics::readiness::{ChannelState, DatabaseState, Reload, Role, WatcherState};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.header("content-encoding") == Some("gzip") {
            flate2::read::GzDecoder::new(&*self.body).read_to_string(&mut text).unwrap();
            return text;
        }
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// One request on a connection of its own.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Reply {
    timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: bytes[end + 4..].to_vec() };
        if reply.header("transfer-encoding") == Some("chunked") && method != "HEAD" {
            reply.body = dechunked(&reply.body);
        }
        reply
    })
    .await
    .expect("an answer in time")
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").expect("a whole chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

struct Running {
    address: SocketAddr,
    readiness: watch::Sender<Readiness>,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start(metrics: Arc<Metrics>, limits: ListenerLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (readiness, receiver) = watch::channel(Readiness::default());
    let shutdown = CancellationToken::new();
    let state = ListenerState::new(metrics, receiver);
    let task = tokio::spawn(serve_within(limits, listener, state, shutdown.clone()));
    Running { address, readiness, shutdown, task }
}

impl Running {
    /// Opens a connection and sends `bytes`.
    async fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn stop(self) -> Duration {
        let begin = Instant::now();
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("a stop in time").unwrap().unwrap();
        begin.elapsed()
    }
}

/// Reads until the other side has closed, and tells whether the one response was whole by then.
async fn ends_whole(mut stream: TcpStream) -> bool {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection ends in time");
    read.is_ok() && bytes.ends_with(b"0\r\n\r\n")
}

const STUCK: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";

/// More text than the kernel's buffers of a loopback connection take.
fn large() -> Arc<Metrics> {
    let metrics = metrics();
    for number in 0..3000 {
        metrics.register_recipient(RecipientId(number), &named(&format!("recipient-{number}@example.org")));
    }
    metrics
}

#[tokio::test]
async fn each_page_answers() {
    let running = start(filled(), ListenerLimits::default()).await;
    let address = running.address;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/-/healthy", 200),
        ("HEAD", "/-/healthy", 200),
        ("GET", "/-/ready", 503),
        ("POST", "/metrics", 405),
        ("DELETE", "/-/healthy", 405),
        ("GET", "/metrics/", 404),
        ("GET", "/other", 404),
        ("POST", "/other", 404),
    ] {
        let reply = ask(address, method, path, "").await;
        assert_eq!(reply.status, status, "{method} {path}");
        let csp = reply.header("content-security-policy").unwrap();
        assert!(csp.starts_with("default-src 'none';"), "{csp}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert!(method != "HEAD" || reply.body.is_empty());
        assert!(status != 405 || reply.header("allow").is_some_and(|allow| allow.contains("GET")));
    }
    let landing = ask(address, "GET", "/", "").await.text();
    for part in ["1.2.3", "abcdef0", "href=\"/metrics\"", "href=\"/-/healthy\"", "href=\"/-/ready\""] {
        assert!(landing.contains(part), "{landing}");
    }
    assert!(!landing.contains("<script") && !landing.contains("style"), "{landing}");
    running.stop().await;
}

#[tokio::test]
async fn format_and_coding_are_negotiated() {
    let metrics = filled();
    let running = start(Arc::clone(&metrics), ListenerLimits::default()).await;
    let open = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2\r\n";
    let cases = [
        ("", "text/plain; version=0.0.4; charset=utf-8", Format::Text, None),
        ("Accept-Encoding: gzip\r\n", "text/plain; version=0.0.4; charset=utf-8", Format::Text, Some("gzip")),
        (open, "application/openmetrics-text; version=1.0.0; charset=utf-8", OPEN_METRICS, None),
    ];
    for (headers, content_type, format, coding) in cases {
        for method in ["GET", "HEAD"] {
            let reply = ask(running.address, method, "/metrics", headers).await;
            assert_eq!(reply.header("content-type"), Some(content_type), "{headers}");
            assert_eq!(reply.header("content-encoding"), coding, "{headers}");
            assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
            if method == "GET" {
                let expected = Read::of(&text_of(&metrics, format));
                let read = Read::of(&reply.text());
                assert_eq!(read.own_series(), expected.own_series(), "{headers}");
                assert_eq!(read.types, expected.types, "{headers}");
            }
        }
    }
    // Two headers are one list.
    let two = "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n";
    let reply = ask(running.address, "GET", "/metrics", two).await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    running.stop().await;
}

#[tokio::test]
async fn readiness_follows_the_database_and_tells_of_the_parts() {
    let running = start(metrics(), ListenerLimits::default()).await;
    let waiting = ask(running.address, "GET", "/-/ready", "").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(waiting.text(), r#"{"database":"unreachable","role":"starting","watchers":[],"channels":[]}"#);
    running.readiness.send_replace(Readiness {
        database: DatabaseState::Ready,
        role: Role::Standby,
        watchers: vec![WatcherState {
            mailbox: "default".into(),
            folder: "INBOX".into(),
            up: false,
            since: Timestamp::UNIX_EPOCH,
            last_sync: Some(Timestamp::UNIX_EPOCH),
            detail: Some("imap.lab.test refused us".to_owned()),
        }],
        reload: Some(Reload {
            at: Timestamp::UNIX_EPOCH,
            refused: Some("SMTP_HOST".to_owned()),
            waits_for_start: true,
        }),
        channels: vec![ChannelState { channel: "email".into(), up: true }],
    });
    let ready = ask(running.address, "GET", "/-/ready", "").await;
    assert_eq!((ready.status, ready.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        ready.text(),
        r#"{"database":"ready","role":"standby","watchers":[{"mailbox":"default","folder":"INBOX","up":false}],"channels":[{"channel":"email","up":true}]}"#
    );
    running.readiness.send_modify(|readiness| readiness.database = DatabaseState::Migrating);
    assert_eq!(ask(running.address, "GET", "/-/ready", "").await.status, 503);
    running.stop().await;
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let limits = ListenerLimits { header: Duration::from_millis(200), ..ListenerLimits::default() };
    let running = start(metrics(), limits).await;
    let begin = Instant::now();
    let silent = running.open(b"").await;
    let slow = running.open(b"GET /metrics HT").await;
    assert!(!ends_whole(silent).await);
    assert!(!ends_whole(slow).await);
    assert!(begin.elapsed() >= Duration::from_millis(190), "not before its limit");
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_is_cut_off() {
    let limits = ListenerLimits {
        header: Duration::from_millis(300),
        response: Duration::from_millis(2_500),
        ..ListenerLimits::default()
    };
    let running = start(large(), limits).await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(running.open(STUCK).await);
    }
    let reply = ask(running.address, "GET", "/metrics", "Accept-Encoding: gzip\r\n").await;
    assert!(Read::of(&reply.text()).value("maildt_active", &[]).is_some());
    for mut stream in stuck {
        // A cut shows in writing: reading would make the client a patient one.
        let cut = async {
            while stream.write_all(b"\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, cut).await.expect("cut off in time");
        assert!(!ends_whole(stream).await);
    }
    running.stop().await;
}

#[tokio::test]
async fn of_too_many_scrapes_the_oldest_gives_way() {
    let running = start(large(), ListenerLimits::default()).await;
    let oldest = running.open(STUCK).await;
    oldest.readable().await.unwrap();
    let mut stuck = Vec::new();
    for _ in 0..32 {
        let stream = running.open(STUCK).await;
        stream.readable().await.unwrap();
        stuck.push(stream);
    }
    assert!(!ends_whole(oldest).await, "cut off in the middle");
    let mut first = [0; 1];
    assert!(stuck[31].try_read(&mut first).is_ok_and(|n| n == 1), "the newest is served");
    running.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = ListenerLimits { connections: 2, ..ListenerLimits::default() };
    let running = start(metrics(), limits).await;
    let (first, second) = (running.open(b"").await, running.open(b"").await);
    let mut third = running.open(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut byte = [0; 1];
    let early = timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(early.is_err(), "no place yet");
    drop(first);
    timeout(PATIENCE, third.read_exact(&mut byte)).await.expect("a place").unwrap();
    drop(second);
    running.stop().await;
}

#[tokio::test]
async fn who_says_nothing_gives_way_to_those_who_wait() {
    let silence = Duration::from_millis(300);
    let limits = ListenerLimits { connections: 2, silence, ..ListenerLimits::default() };
    let running = start(metrics(), limits).await;
    let begin = Instant::now();
    let (_first, _second) = (running.open(b"").await, running.open(b"GET /metrics HT").await);
    let mut third = running.open(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut byte = [0; 1];
    timeout(Duration::from_secs(5), third.read_exact(&mut byte)).await.expect("a place").unwrap();
    assert!(begin.elapsed() >= silence, "not at once: they may be on a slow line");
    running.stop().await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once() {
    let running = start(metrics(), ListenerLimits { drain: PATIENCE, ..ListenerLimits::default() }).await;
    let mut idle = running.open(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut byte = [0; 1];
    idle.read_exact(&mut byte).await.unwrap();
    let silent = running.open(b"").await;
    let address = running.address;
    let took = running.stop().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    ends_whole(idle).await;
    ends_whole(silent).await;
}

#[tokio::test]
async fn a_stop_cuts_off_who_does_not_read() {
    let drain = Duration::from_millis(300);
    let running = start(large(), ListenerLimits { drain, ..ListenerLimits::default() }).await;
    let stuck = running.open(STUCK).await;
    stuck.readable().await.unwrap();
    let took = running.stop().await;
    assert!(took >= drain && took < drain + Duration::from_secs(5), "{took:?}");
    assert!(!ends_whole(stuck).await, "cut off in the middle");
}

#[tokio::test]
async fn a_stop_lets_a_response_under_way_finish() {
    let running = start(large(), ListenerLimits::default()).await;
    let stream = running.open(STUCK).await;
    stream.readable().await.unwrap();
    running.shutdown.cancel();
    assert!(ends_whole(stream).await);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let running = start(filled(), ListenerLimits::default()).await;
    let mut stream = running.open(b"").await;
    for _ in 0..3 {
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        timeout(PATIENCE, async {
            while !bytes.ends_with(b"healthy\n") {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
            }
        })
        .await
        .unwrap();
    }
    drop(stream);
    running.stop().await;
}
