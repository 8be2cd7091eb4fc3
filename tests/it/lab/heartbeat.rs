//! Somebody who waits for a sign of life: a dead man's switch.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Response;

use super::app::Setup;
use super::http::{Reply, serve};
use super::wait::{Look, so};

/// The secret part of its URL.
pub const HEARTBEAT_TOKEN: &str = "canary-heartbeat-77aa";

/// Takes the pings of one program.
pub struct Heartbeat {
    port: u16,
    pings: Arc<Mutex<Vec<Instant>>>,
}

impl Heartbeat {
    pub fn new() -> Self {
        let pings = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&pings);
        let port = serve(move |asked| {
            let known = asked.path == format!("/ping/{HEARTBEAT_TOKEN}");
            if known {
                taken.lock().unwrap().push(Instant::now());
            }
            let status = if known { 200 } else { 404 };
            Reply::Answer(Response::builder().status(status).body("OK".to_owned()).unwrap())
        });
        Self { port, pings }
    }

    /// Adds it to a configuration, with a ping each second.
    pub fn on(&self, setup: Setup) -> Setup {
        let url = format!("http://127.0.0.1:{}/ping/{HEARTBEAT_TOKEN}", self.port);
        setup.env("HEARTBEAT_URL", &url).limit("heartbeat", "\"1s\"")
    }

    pub fn pings(&self) -> usize {
        self.pings.lock().unwrap().len()
    }

    /// It beats: the last ping is at most three seconds old.
    pub fn beats(&self) -> Look {
        let age = self.age();
        so(age.is_some_and(|age| age < Duration::from_secs(3)), || format!("the last ping is {age:?} old"))
    }

    /// It has stopped: no ping for four seconds.
    pub fn is_still(&self) -> Look {
        let age = self.age();
        so(age.is_none_or(|age| age > Duration::from_secs(4)), || format!("the last ping is {age:?} old"))
    }

    fn age(&self) -> Option<Duration> {
        self.pings.lock().unwrap().last().map(Instant::elapsed)
    }
}
