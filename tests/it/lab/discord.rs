//! A Discord that takes webhook messages, refuses what the real one refuses, and fails as a test wants it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{Method, Response};
use serde_json::{Value, json};

use super::alert::Alert;
use super::http::{Asked, Reply, serve};
use super::proxy::Proxy;
use super::webhook;

/// A part of every webhook token, to be found nowhere else.
pub const TOKEN: &str = "canary-webhook-77aa";

/// How a message is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is taken.
    Works,
    /// 429; and so is everything that comes before this time is over.
    RateLimited(Duration),
    /// Refused with this status.
    Status(u16),
    /// Never answered, and not taken.
    Hangs,
    /// The connection is closed, and it was not taken.
    Closes,
    /// It is taken, and nobody is told.
    TakesAndHangs,
    /// It is taken, and the connection closed.
    TakesAndCloses,
}

/// One message that came, taken or not.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    pub message: Value,
    /// What was answered, if anything.
    pub status: Option<u16>,
    /// Whether it can be read in the channel now.
    pub taken: bool,
}

struct Board {
    token: String,
    standing: Answer,
    next: VecDeque<Answer>,
    limited_until: Option<Instant>,
    /// What holds this word is refused.
    disliked: Option<String>,
    calls: Vec<Call>,
    /// What was wrong with messages, beyond what a test asked for.
    complaints: Vec<String>,
}

/// One channel with its webhook.
pub struct Discord {
    board: Arc<Mutex<Board>>,
    wire: Proxy,
}

impl Discord {
    pub fn new() -> Self {
        let board = Arc::new(Mutex::new(Board {
            token: new_token(),
            standing: Answer::Works,
            next: VecDeque::new(),
            limited_until: None,
            disliked: None,
            calls: Vec::new(),
            complaints: Vec::new(),
        }));
        let answers = Arc::clone(&board);
        let port = serve(move |asked| answers.lock().unwrap().answer(&asked));
        Self { board, wire: Proxy::to(port) }
    }

    /// The webhook's URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/webhooks/99887766/{}", self.wire.port(), self.lock().token)
    }

    /// The way to it: closed, stalled or cut like any wire.
    pub fn wire(&self) -> &Proxy {
        &self.wire
    }

    /// From now on everything is answered so.
    pub fn answer(&self, answer: Answer) {
        self.lock().standing = answer;
    }

    /// From now on each message that holds `word` is refused with 400, in whatever form it comes.
    pub fn dislike(&self, word: &str) {
        self.lock().disliked = Some(word.to_owned());
    }

    /// The next message is answered so, once (after those that were ordered before).
    pub fn answer_next(&self, answer: Answer) {
        self.lock().next.push_back(answer);
    }

    /// The webhook is deleted and another one made: [`Discord::url`] is a new one, the old one is unknown.
    pub fn replace_webhook(&self) {
        self.lock().token = new_token();
    }

    /// Every message that came.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// What can be read in the channel.
    pub fn alerts(&self) -> Vec<Alert> {
        let board = self.lock();
        board.calls.iter().filter(|call| call.taken).map(|call| Alert::from_discord(&call.message)).collect()
    }

    /// What the real one would not have liked. It fails a test at its end, unless the test takes it.
    pub fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().complaints)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap()
    }
}

impl Drop for Discord {
    fn drop(&mut self) {
        let complaints = self.take_complaints();
        if std::thread::panicking() {
            for call in &self.lock().calls {
                eprintln!("Discord answered {:?} to {}", call.status, call.message);
            }
            eprintln!("Discord's complaints: {complaints:?}");
        } else {
            assert!(complaints.is_empty(), "Discord's complaints: {complaints:?}");
        }
    }
}

impl Board {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let known = |path: &str| {
            let rest = path.strip_prefix("/api/").unwrap_or_default();
            let rest = rest.strip_prefix("v10/").unwrap_or(rest);
            rest == format!("webhooks/99887766/{}", self.token)
        };
        if !known(&asked.path) {
            self.note(Value::Null, Some(404), false);
            return refusal(404, 10_015, "Unknown Webhook");
        }
        if asked.method == Method::GET {
            let hook = json!({"id": "99887766", "type": 1, "name": "alerts", "channel_id": "5", "token": self.token});
            return reply(200, &hook);
        }
        let answer = match self.limited_until {
            Some(until) if Instant::now() < until => {
                self.complaints.push("it came again before the time that 429 had named was over".to_owned());
                Answer::RateLimited(until - Instant::now())
            }
            _ => self.next.pop_front().unwrap_or(self.standing),
        };
        let message = match webhook::check(asked) {
            Ok(message) if asked.method == Method::POST => message,
            Ok(_) => return refusal(405, 0, "405: Method Not Allowed"),
            Err(complaint) => {
                self.complaints.push(complaint.clone());
                let body = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
                self.note(body, Some(400), false);
                return refusal(400, 50_035, &complaint);
            }
        };
        let is_disliked = self.disliked.as_ref().is_some_and(|word| message.to_string().contains(word));
        let answer = if is_disliked { Answer::Status(400) } else { answer };
        let (status, taken) = match answer {
            Answer::Works => (Some(200), true),
            Answer::RateLimited(_) => (Some(429), false),
            Answer::Status(status) => (Some(status), false),
            Answer::Hangs | Answer::Closes => (None, false),
            Answer::TakesAndHangs | Answer::TakesAndCloses => (None, true),
        };
        let number = self.calls.len();
        self.note(message.clone(), status, taken);
        match answer {
            Answer::Works => reply(
                200,
                &json!({"id": format!("1{number:017}"), "type": 0, "channel_id": "5", "webhook_id": "99887766",
                    "content": message["content"], "embeds": message["embeds"], "timestamp": "2026-01-01T00:00:00Z"}),
            ),
            Answer::RateLimited(wait) => {
                self.limited_until = Some(Instant::now() + wait);
                rate_limited(wait)
            }
            Answer::Status(401) => refusal(401, 50_027, "Invalid Webhook Token"),
            Answer::Status(404) => refusal(404, 10_015, "Unknown Webhook"),
            Answer::Status(status) => refusal(status, 0, "as the test wants it"),
            Answer::Hangs | Answer::TakesAndHangs => Reply::Silence,
            Answer::Closes | Answer::TakesAndCloses => Reply::Close,
        }
    }

    fn note(&mut self, message: Value, status: Option<u16>, taken: bool) {
        self.calls.push(Call { at: Instant::now(), message, status, taken });
    }
}

fn new_token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{TOKEN}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn reply(status: u16, body: &Value) -> Reply {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Reply::Answer(response.body(body.to_string()).unwrap())
}

fn refusal(status: u16, code: u32, message: &str) -> Reply {
    reply(status, &json!({"message": message, "code": code}))
}

/// As the real one: the header in whole seconds, rounded up, the body to the millisecond.
fn rate_limited(wait: Duration) -> Reply {
    let response = Response::builder()
        .status(429)
        .header("content-type", "application/json")
        .header("retry-after", wait.as_secs_f64().ceil().to_string())
        .header("x-ratelimit-scope", "shared");
    let body =
        json!({"message": "You are being rate limited.", "retry_after": wait.as_secs_f64(), "global": false});
    Reply::Answer(response.body(body.to_string()).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::alert::Told;
    use crate::lab::ground::runtime;
    use crate::lab::wait::{eventually, s, same};

    /// Status and body, or what became of the connection.
    fn post(url: &str, message: &Value) -> Result<(u16, Value), String> {
        drop(rustls::crypto::ring::default_provider().install_default());
        runtime().block_on(async {
            let client = reqwest::Client::builder().user_agent("lab").timeout(s(2)).build().unwrap();
            let answer = client.post(url).json(message).send().await.map_err(|e| e.to_string())?;
            Ok((answer.status().as_u16(), answer.json().await.map_err(|e| e.to_string())?))
        })
    }

    #[test]
    fn the_discord_of_the_lab_takes_refuses_hangs_and_goes_away() {
        let discord = Discord::new();
        let message = json!({"content": "Missing: alice", "allowed_mentions": {"parse": []}});
        let send = || post(&format!("{}?wait=true", discord.url()), &message);

        let (status, taken) = send().unwrap();
        assert_eq!((status, taken["content"].as_str()), (200, Some("Missing: alice")));
        let alerts = discord.alerts();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].told, Told::Opened);

        discord.answer_next(Answer::RateLimited(Duration::from_millis(300)));
        let (status, body) = send().unwrap();
        assert_eq!((status, &body["retry_after"]), (429, &json!(0.3)));
        assert_eq!(send().unwrap().0, 429, "too early");
        assert_eq!(discord.take_complaints().len(), 1);
        eventually(s(2), "it takes messages again", || {
            let status = send()?.0;
            discord.take_complaints();
            same(&status, &200)
        });

        for status in [400, 401, 403, 404, 500] {
            discord.answer_next(Answer::Status(status));
            assert_eq!(send().unwrap().0, status);
        }
        discord.answer_next(Answer::Hangs);
        discord.answer_next(Answer::Closes);
        let before = discord.alerts().len();
        assert!(send().is_err() && send().is_err());
        assert_eq!(discord.alerts().len(), before);
        discord.answer_next(Answer::TakesAndHangs);
        discord.answer_next(Answer::TakesAndCloses);
        assert!(send().is_err() && send().is_err());
        assert_eq!(discord.alerts().len(), before + 2);

        discord.wire().refuse();
        assert!(send().is_err());
        discord.wire().pass();
        assert_eq!(send().unwrap().0, 200);

        let old = discord.url();
        discord.replace_webhook();
        assert_eq!(post(&format!("{old}?wait=true"), &message).unwrap().0, 404);
        assert_eq!(send().unwrap().0, 200);

        assert_eq!(post(&discord.url(), &message).unwrap().0, 400, "without wait=true");
        assert_eq!(discord.take_complaints().len(), 1);
    }
}
