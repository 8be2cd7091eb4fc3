//! The watcher against servers that do what Dovecot cannot be made to do.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod fake;
mod login;
mod loss;
mod sync;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Account, Cleanup, Limits, Mailbox, TlsMode};
use crate::domain::id::{ProbeId, RecipientId};
use crate::imap::outlook::Outlook;
use crate::imap::watch::{Event, Found, Lost, Resume, Setting, Synced, Watch};
use crate::secret::Secret;
use fake::Fake;

/// Longer than anything here may take, and much shorter than the intervals of [`Scene`].
const SOON: Duration = Duration::from_secs(5);

/// A watch on a fake server. Its check interval is so long that what is found is found by other means.
struct Scene {
    setting: Setting,
    events: mpsc::Receiver<Event>,
    resume: HashMap<String, Resume>,
    watch: Option<Watch>,
    tracker: TaskTracker,
}

fn no_trust() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn probe_id(n: u64) -> ProbeId {
    ProbeId::new(1, RecipientId(1), n)
}

impl Scene {
    fn of(fake: &Fake) -> Self {
        let account = Account {
            host: "127.0.0.1".to_owned(),
            port: fake.port,
            user: "me".to_owned(),
            pass: Secret::new("s3cret \"pass"),
            tls: TlsMode::None,
        };
        let mailbox = Mailbox {
            name: "default".to_owned(),
            account,
            folders: vec!["INBOX".to_owned()],
            cleanup: Cleanup::Delete,
            active_look: true,
        };
        let limits = Limits {
            command: Duration::from_millis(500),
            reconnect_min: Duration::from_millis(5),
            reconnect_max: Duration::from_millis(20),
            login_refused_min: Duration::from_mins(1),
            ..Limits::default()
        };
        let (sender, events) = mpsc::channel(10_000);
        let setting = Setting {
            mailbox: Arc::new(mailbox),
            tls: no_trust(),
            limits: Arc::new(limits),
            check_interval: Duration::from_hours(1),
            outlook: Arc::new(Outlook::new()),
            events: sender,
            cancel: CancellationToken::new(),
        };
        Self { setting, events, resume: HashMap::new(), watch: None, tracker: TaskTracker::new() }
    }

    fn mailbox(mut self, change: impl FnOnce(&mut Mailbox)) -> Self {
        change(Arc::make_mut(&mut self.setting.mailbox));
        self
    }

    fn check_interval(mut self, interval: Duration) -> Self {
        self.setting.check_interval = interval;
        self
    }

    fn resume(mut self, uidvalidity: u32, next_uid: u32) -> Self {
        self.resume.insert("INBOX".to_owned(), Resume { uidvalidity, next_uid });
        self
    }

    fn start(mut self) -> Self {
        self.watch = Some(Watch::spawn(self.setting.clone(), &self.resume, &self.tracker));
        self
    }

    fn outlook(&self) -> &Outlook {
        &self.setting.outlook
    }

    /// The oldest open probe was sent just now.
    fn with_open_probe(self) -> Self {
        self.outlook().set_look_back(Some("2026-11-22T12:59:00Z".parse().unwrap()));
        self
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(SOON, self.events.recv()).await.expect("an event in time").unwrap()
    }

    /// The next complete look and what was found before it. Nothing may be lost meanwhile.
    async fn synced(&mut self) -> (Synced, Vec<Found>) {
        let mut found = Vec::new();
        loop {
            match self.event().await {
                Event::Found(one) => found.push(*one),
                Event::Synced(synced) => return (synced, found),
                Event::Connected(_) => {}
                Event::Lost(lost) => panic!("lost: {}", lost.detail),
            }
        }
    }

    async fn found(&mut self) -> Found {
        loop {
            match self.event().await {
                Event::Found(found) => return *found,
                Event::Lost(lost) => panic!("lost: {}", lost.detail),
                Event::Synced(_) | Event::Connected(_) => {}
            }
        }
    }

    /// The next loss. No complete look may come before it.
    async fn lost(&mut self) -> Lost {
        loop {
            match self.event().await {
                Event::Lost(lost) => return lost,
                Event::Synced(synced) => panic!("a look that did not happen: {synced:?}"),
                Event::Found(_) | Event::Connected(_) => {}
            }
        }
    }

    async fn stop(self) {
        self.setting.cancel.cancel();
        self.tracker.close();
        tokio::time::timeout(SOON, self.tracker.wait()).await.expect("it stops");
    }
}

/// Waits until the server has seen enough.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
