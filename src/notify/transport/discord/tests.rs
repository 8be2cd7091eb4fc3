#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Request, Response, StatusCode as Status, Uri};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::*;
use crate::notify::letter::{Letter, Thread, Tone};

const TOKEN: &str = "toKEN-of_the_webhook";

type Headers = &'static [(&'static str, &'static str)];

/// A server that gives one answer to everything and keeps what it was asked.
struct Fake {
    url: String,
    seen: Arc<Mutex<Vec<(Method, Uri, Bytes)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Fake {
    /// `None` never answers.
    async fn start(answer: Option<(u16, Headers, &'static str)>) -> Self {
        let seen: Arc<Mutex<Vec<(Method, Uri, Bytes)>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let router = Router::new().fallback(async move |request: Request<axum::body::Body>| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            kept.lock().unwrap().push((head.method, head.uri, body));
            let Some((status, headers, body)) = answer else { return std::future::pending().await };
            let mut response = Response::builder().status(Status::from_u16(status).unwrap());
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(axum::body::Body::from(body)).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/webhooks/123/{TOKEN}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, server }
    }

    fn seen(&self) -> Vec<(Method, Uri, Bytes)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn webhook(url: &str) -> Webhook {
    let limits = Limits { channel_send: Duration::from_millis(300), ..Limits::default() };
    let tls = crate::tls::client_config(None).unwrap();
    Webhook::new(&Secret::new(url), &tls, &limits).unwrap()
}

fn parcel() -> Parcel {
    let letter = Letter {
        tone: Tone::Bad,
        subject: "Missing: somebody".to_owned(),
        lead: String::new(),
        facts: vec![],
        items: vec![],
        names: vec![],
        remarks: vec![],
        incidents: vec![],
        link: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let thread = Thread { message_id: "a@b".to_owned(), in_reply_to: None, references: vec![] };
    Parcel { letter, thread, plain: false, date: Timestamp::UNIX_EPOCH }
}

async fn tried(status: u16, headers: Headers, body: &'static str) -> Try {
    let fake = Fake::start(Some((status, headers, body))).await;
    let tried = webhook(&fake.url).send(&parcel(), &CancellationToken::new()).await;
    assert_eq!(fake.seen().len(), 1, "one try is one request");
    tried
}

#[tokio::test]
async fn it_posts_once_and_asks_for_the_answer_to_be_true() {
    let fake = Fake::start(Some((204, &[], ""))).await;
    for url in [fake.url.clone(), format!("{}?thread_id=7&wait=false", fake.url)] {
        let tried = webhook(&url).send(&parcel(), &CancellationToken::new()).await;
        assert_eq!(tried, Outcome::Delivered.into());
    }
    let seen = fake.seen();
    assert!(seen.iter().all(|(method, uri, body)| {
        *method == Method::POST
            && uri.path() == format!("/api/webhooks/123/{TOKEN}")
            && std::str::from_utf8(body).unwrap().contains("Missing: somebody")
    }));
    let queries: Vec<_> = seen.iter().map(|(_, uri, _)| uri.query().unwrap()).collect();
    assert_eq!(queries, ["wait=true", "thread_id=7&wait=true"]);
}

#[tokio::test]
async fn too_many_messages_are_a_pause_and_no_failure() {
    let busy = |seconds| Try::from(Outcome::Busy(Duration::from_secs_f64(seconds)));
    assert_eq!(tried(429, &[("retry-after", "7")], "").await, busy(7.0));
    assert_eq!(tried(429, &[("retry-after", "1")], r#"{"retry_after": 1.5}"#).await, busy(1.5));
    assert_eq!(tried(429, &[("retry-after", "65")], r#"{"retry_after": 64.57}"#).await, busy(65.0));
    assert_eq!(tried(429, &[], "").await, busy(5.0));
    assert_eq!(tried(429, &[("retry-after", "soon")], r#"{"retry_after": -3}"#).await, busy(5.0));
    assert_eq!(tried(429, &[("retry-after", "1e300")], "").await, busy(3600.0));
}

#[tokio::test]
async fn a_spent_allowance_is_told() {
    let headers = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "0.75")];
    let tried = tried(200, headers, "{}").await;
    assert_eq!(
        tried,
        Try { outcome: Outcome::Delivered, rest: Some(Duration::from_millis(750)), reached: true }
    );
    let left = &[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset-after", "0.75")];
    assert_eq!(self::tried(200, left, "{}").await.rest, None);
}

#[tokio::test]
async fn refusals_faults_and_bad_forms_are_told_apart() {
    let unknown = r#"{"message": "Unknown Webhook", "code": 10015}"#;
    assert_eq!(tried(404, &[], unknown).await.outcome, Outcome::Refused("404 Unknown Webhook".to_owned()));
    for status in [401, 403] {
        assert!(matches!(tried(status, &[], "").await.outcome, Outcome::Refused(_)), "{status}");
    }
    assert!(matches!(tried(400, &[], "").await.outcome, Outcome::Malformed(_)));
    for status in [408, 500, 502, 503] {
        assert!(matches!(tried(status, &[], "").await.outcome, Outcome::Failed(_)), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Fake::start(Some((204, &[], ""))).await;
    let location: &'static str = elsewhere.url.clone().leak();
    let headers: &'static [(&str, &str)] = vec![("location", location)].leak();
    for status in [302, 307, 308] {
        assert!(matches!(tried(status, headers, "").await.outcome, Outcome::Failed(_)), "{status}");
    }
    assert_eq!(elsewhere.seen(), []);
}

#[tokio::test]
async fn a_hanging_server_and_a_dead_one_fail_in_time() {
    let hanging = Fake::start(None).await;
    let tried = webhook(&hanging.url).send(&parcel(), &CancellationToken::new()).await;
    assert_eq!(tried.outcome, Outcome::Failed("no answer within 0.3 s".to_owned()));
    assert!(tried.reached, "a look may be answered");
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{dead}/api/webhooks/123/{TOKEN}");
    let tried = webhook(&url).send(&parcel(), &CancellationToken::new()).await;
    assert!(!tried.reached);
    let Outcome::Failed(reason) = tried.outcome else { unreachable!("{tried:?}") };
    assert!(reason.starts_with("cannot connect: ") && reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn our_own_stop_is_no_failure() {
    let hanging = Fake::start(None).await;
    let abort = CancellationToken::new();
    abort.cancel();
    assert_eq!(webhook(&hanging.url).send(&parcel(), &abort).await.outcome, Outcome::BrokenOff);
}

#[tokio::test]
async fn the_token_is_in_no_reason() {
    let echo = r#"{"message": "no such thing: /api/webhooks/123/toKEN-of_the_webhook"}"#;
    let long: &'static str =
        format!(r#"{{"message": "{}/api/webhooks/123/{TOKEN}"}}"#, "x".repeat(270)).leak();
    let mut reasons = Vec::new();
    for (status, body) in [(404, echo), (404, long), (400, echo), (500, echo), (302, echo)] {
        reasons.push(format!("{:?}", tried(status, &[], body).await));
    }
    for url in ["http://127.0.0.1:1", "http://nothing.invalid", "https://127.0.0.1:1"] {
        let webhook = webhook(&format!("{url}/api/webhooks/123/{TOKEN}"));
        reasons.push(format!("{:?}", webhook.send(&parcel(), &CancellationToken::new()).await));
        reasons.push(format!("{:?}", webhook.look().await));
    }
    for reason in reasons {
        assert!(!reason.contains(&TOKEN[..8]), "{reason}");
    }
}

#[tokio::test]
async fn a_look_sends_nothing() {
    let looked = async |status, body| {
        let fake = Fake::start(Some((status, &[], body))).await;
        let look = webhook(&fake.url).look().await;
        let seen = fake.seen();
        assert!(seen.iter().all(|(method, uri, _)| *method == Method::GET && uri.query().is_none()));
        look
    };
    assert_eq!(looked(200, r#"{"name": "Hook"}"#).await, Look::Works("the webhook Hook is there".to_owned()));
    assert!(matches!(looked(404, "").await, Look::Refused(_)));
    assert!(matches!(looked(405, "").await, Look::Unclear(_)));
    assert!(matches!(looked(500, "").await, Look::Failed(_)));
}
