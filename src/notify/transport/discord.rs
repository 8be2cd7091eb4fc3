//! Discord's webhooks: <https://discord.com/developers/docs/resources/webhook#execute-webhook>.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rustls::ClientConfig;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Look, Outcome, Parcel, Try, clean, failure, http_client};
use crate::config::Limits;
use crate::notify::discord;
use crate::secret::Secret;

/// No pause that a server asks for is kept for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// The pause when a server asks for one and does not say how long.
const USUAL_PAUSE: Duration = Duration::from_secs(5);
/// Octets of an answer that are read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A webhook. Its URL is a secret: whoever has it can write.
pub struct Webhook {
    client: Client,
    url: Url,
    limit: Duration,
}

/// Why there was no answer.
struct Fault {
    reason: String,
    /// There was a connection.
    reached: bool,
}

/// What is read of an answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    message: Option<String>,
    name: Option<String>,
    retry_after: Option<f64>,
}

impl Webhook {
    /// # Errors
    /// When the URL or TLS cannot be used.
    pub fn new(url: &Secret, tls: &Arc<ClientConfig>, limits: &Limits) -> Result<Self, String> {
        let client = http_client(tls, limits, limits.channel_send)?;
        let url = Url::parse(url.reveal()).map_err(|_| "the webhook is not a URL".to_owned())?;
        Ok(Self { client, url, limit: limits.channel_send })
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        Sha256::digest(self.url.as_str()).to_vec()
    }

    pub(super) async fn send(&self, parcel: &Parcel, abort: &CancellationToken) -> Try {
        let body =
            if parcel.plain { discord::plain(&parcel.letter) } else { discord::payload(&parcel.letter) };
        // Without it the answer comes before the message is accepted, and always says that all is well.
        let pairs = self.url.query_pairs().into_owned().filter(|(name, _)| name != "wait");
        let pairs: Vec<(String, String)> = pairs.chain([("wait".to_owned(), "true".to_owned())]).collect();
        let mut url = self.url.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        match abort.run_until_cancelled(self.ask(self.client.post(url).json(&body))).await {
            Some(Ok((status, headers, answer))) => self.judge(status, &headers, &answer),
            Some(Err(fault)) => {
                Try { outcome: Outcome::Failed(fault.reason), rest: None, reached: fault.reached }
            }
            None => Outcome::BrokenOff.into(),
        }
    }

    pub(super) async fn look(&self) -> Look {
        let (status, answer) = match self.ask(self.client.get(self.url.clone())).await {
            Ok((status, _, answer)) => (status, answer),
            Err(fault) => return Look::Failed(fault.reason),
        };
        let said = self.said(status, &answer);
        match status.as_u16() {
            200..300 => {
                let name = answer.name.map(|name| format!(" {}", self.mask(&name))).unwrap_or_default();
                Look::Works(format!("the webhook{name} is there"))
            }
            401 | 403 | 404 => Look::Refused(said),
            405 | 501 => Look::Unclear(said),
            _ => Look::Failed(said),
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, HeaderMap, Answer), Fault> {
        let fault = |error: reqwest::Error| Fault {
            reached: !error.is_connect(),
            reason: self.mask(&failure(error, self.limit)),
        };
        let mut response = request.send().await.map_err(fault)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // What the status says counts, even when the rest of the answer gets lost.
        let answer = read(&mut response).await.unwrap_or_default();
        Ok((status, headers, answer))
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, answer: &Answer) -> Try {
        let said = self.said(status, answer);
        let outcome = match status.as_u16() {
            200..300 => Outcome::Delivered,
            429 => {
                let asked = [seconds(headers, "retry-after"), answer.retry_after.and_then(pause)];
                return Outcome::Busy(asked.into_iter().flatten().max().unwrap_or(USUAL_PAUSE)).into();
            }
            400 => Outcome::Malformed(said),
            401 | 403 | 404 => Outcome::Refused(said),
            300..400 => Outcome::Failed(format!("{said}: leads elsewhere, which is not followed")),
            _ => Outcome::Failed(said),
        };
        let spent = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let rest = if spent { seconds(headers, "x-ratelimit-reset-after") } else { None };
        Try { outcome, rest, reached: true }
    }

    /// The status and what the server has to say about it.
    fn said(&self, status: StatusCode, answer: &Answer) -> String {
        let message = answer.message.as_deref().filter(|message| !message.is_empty());
        match message.or_else(|| status.canonical_reason()) {
            Some(words) => {
                let code = status.as_u16().to_string();
                // Discord says "404: Not Found".
                let words = words.trim_start_matches(code.as_str()).trim_start_matches([':', ' ']);
                format!("{code} {}", self.mask(words))
            }
            None => status.as_u16().to_string(),
        }
    }

    /// Foreign text without the token of the webhook, which some servers repeat.
    fn mask(&self, text: &str) -> String {
        let token = self.url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        // Before it is cut, or half the token might stay.
        if token.is_empty() { clean(text) } else { clean(&text.replace(token, "[redacted]")) }
    }
}

/// Reads an answer up to a bound; what is no JSON says nothing.
async fn read(response: &mut Response) -> Option<Answer> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

/// A header with seconds, which may have a fraction.
fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok().and_then(pause)
}

fn pause(seconds: f64) -> Option<Duration> {
    // What is negative or not a number asks for nothing; what overflows asks for a lot.
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests;
