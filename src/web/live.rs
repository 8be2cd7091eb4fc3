//! Keeping the board current: one reading of the database for all viewers, and a word to each when something has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::listener::Alive;
use crate::store::Store;

use super::Site;
use super::board::Board;
use super::failure::Failure;
use super::visit::Visit;

/// How long a reading serves all viewers.
const FRESH: Duration = Duration::from_millis(300);
/// Between two looks whether something has changed, while somebody watches.
const LOOK: Duration = Duration::from_millis(400);
/// Between two signs of life to a viewer, who may then be asked anew whether the session lives.
const SIGN: Duration = Duration::from_secs(15);
/// Viewers at once; the others ask from time to time. They must leave places for other requests.
const VIEWERS: usize = 128;

/// What viewers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    revision: u64,
    /// The database does not answer.
    is_blind: bool,
}

/// The last reading.
#[derive(Default)]
struct Reading {
    board: Option<Arc<Board>>,
    failed_at: Option<Instant>,
}

pub struct Live {
    /// Tells the revisions of this start of the program from those of another.
    epoch: u32,
    reading: Mutex<Reading>,
    /// Somebody has changed something by this instance since the last reading.
    is_stale: AtomicBool,
    news: watch::Sender<News>,
    viewers: Arc<Semaphore>,
    pub stop: CancellationToken,
}

impl Live {
    pub fn new(epoch: u32, stop: CancellationToken) -> Self {
        Self {
            epoch,
            reading: Mutex::default(),
            is_stale: AtomicBool::new(false),
            news: watch::Sender::default(),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            stop,
        }
    }

    /// The board, read a moment ago at most. Who comes while it is being read waits for the same reading, and hears with all
    /// others that there is none.
    pub async fn board(&self, store: &Store) -> Result<Arc<Board>, Failure> {
        let came = Instant::now();
        let mut reading = self.reading.lock().await;
        if reading.failed_at.is_some_and(|failed| failed > came) {
            return Err(Failure::database());
        }
        let is_stale = self.is_stale.swap(false, Ordering::Relaxed);
        let fresh = reading.board.as_ref().filter(|board| !is_stale && board.read.elapsed() < FRESH);
        if let Some(board) = fresh {
            return Ok(Arc::clone(board));
        }
        let read = Instant::now();
        let data = store.board().await.inspect_err(|_| reading.failed_at = Some(Instant::now()))?;
        let board = Arc::new(Board::new(&data, read, reading.board.as_deref()));
        reading.board = Some(Arc::clone(&board));
        self.tell(News { revision: board.revision, is_blind: false });
        Ok(board)
    }

    /// Whoever has changed something sees it on the next page.
    pub fn changed(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    fn tell(&self, news: News) {
        self.news.send_if_modified(|old| std::mem::replace(old, news) != news);
    }

    /// A revision for the script.
    pub fn revision_out(&self, revision: u64) -> String {
        format!("{:x}-{revision}", self.epoch)
    }

    /// The revision that the script has, if it is one of ours.
    pub fn revision_in(&self, text: &str) -> Option<u64> {
        let (epoch, revision) = text.split_once('-')?;
        (epoch == format!("{:x}", self.epoch)).then(|| revision.parse().ok())?
    }
}

/// Looks for changes as long as somebody watches.
pub async fn watch(site: Arc<Site>) {
    let live = &site.live;
    let mut pulse = None;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = live.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if live.news.receiver_count() == 0 {
            continue;
        }
        let looked = async {
            let store = site.store()?;
            let new = store.pulse().await?;
            if pulse.as_ref() != Some(&new) {
                live.board(&store).await?;
                pulse = Some(new);
            }
            Ok::<_, Failure>(())
        };
        let is_blind = looked.await.is_err();
        let revision = live.news.borrow().revision;
        live.tell(News { revision, is_blind });
    }
}

/// One viewer.
struct Viewer {
    site: Arc<Site>,
    visit: Arc<Visit>,
    alive: Option<Alive>,
    news: watch::Receiver<News>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// `GET /events`: server-sent events. `changed` says that there is something to fetch, `blind` that nothing can be had.
pub async fn events(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    alive: Option<Extension<Alive>>,
) -> Result<Response, Failure> {
    let place = Arc::clone(&site.live.viewers).try_acquire_owned().map_err(|_| Failure::crowded())?;
    let news = site.live.news.subscribe();
    let alive = alive.map(|Extension(alive)| alive);
    let mut viewer = Viewer { site, visit, alive, news, is_over: false, _place: place };
    viewer.news.mark_changed();
    let stream = futures_util::stream::unfold(viewer, async |mut viewer| {
        let text = viewer.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), viewer))
    });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx would keep the events back until it has a bufferful.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl Viewer {
    /// The next thing to say; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let told = tokio::select! {
            () = self.site.live.stop.cancelled() => None,
            changed = self.news.changed() => Some(changed.is_ok()),
            () = tokio::time::sleep(SIGN) => Some(false),
        }?;
        if let Some(alive) = &self.alive {
            alive.renew();
        }
        if told {
            let news = *self.news.borrow_and_update();
            let event = if news.is_blind { "blind" } else { "changed" };
            return Some(format!("event: {event}\ndata: {}\n\n", self.site.live.revision_out(news.revision)));
        }
        if self.has_left().await {
            self.is_over = true;
            return Some("event: over\ndata: \n\n".to_owned());
        }
        Some(": still here\n\n".to_owned())
    }

    /// Whether the session has ended meanwhile. A database that does not answer ends none.
    async fn has_left(&self) -> bool {
        let admin = &self.site.config().admin;
        let Some(key) = self.visit.token.as_ref().map(|token| token.key(admin)) else { return true };
        match self.site.store() {
            Ok(store) => matches!(store.session_lives(&key).await, Ok(false)),
            Err(_) => false,
        }
    }
}
