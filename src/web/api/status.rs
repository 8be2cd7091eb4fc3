//! `GET /api/v1/status`: the whole at a glance.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::alert::{Kind, Scope};
use crate::domain::verdict::Standing;
use crate::metrics::readiness::{DatabaseState, Role};
use crate::web::Site;
use crate::web::visit::Visit;

use super::body;
use super::problem::Refusal;
use super::query::Query;

#[derive(Serialize)]
struct View<'a> {
    version: &'static str,
    revision: &'static str,
    /// Database time.
    now: Timestamp,
    role: Role,
    database: DatabaseState,
    recipients: Totals,
    /// How many are open, of each kind.
    incidents_open: BTreeMap<&'static str, usize>,
    senders: Vec<SenderView<'a>>,
    watchers: Vec<WatcherView<'a>>,
    channels: Vec<ChannelView<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Totals {
    total: usize,
    by_state: BTreeMap<&'static str, usize>,
}

/// An account for sending: well as long as no incident says otherwise.
#[derive(Serialize)]
struct SenderView<'a> {
    sender: &'a str,
    up: bool,
}

/// A watched folder. Only the active instance knows of them.
#[derive(Serialize)]
struct WatcherView<'a> {
    mailbox: &'a str,
    folder: &'a str,
    up: bool,
}

/// An alert channel. Only the active instance knows of them.
#[derive(Serialize)]
struct ChannelView<'a> {
    channel: &'a str,
    up: bool,
}

pub async fn status(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    Query::of(&uri, &[])?;
    let store = site.store()?;
    let board = site.live.board(&store).await?;
    let open = store.open_scopes().await?;
    let readiness = site.readiness.borrow().clone();
    let is_unreachable = |name: &str| {
        open.iter().any(|(kind, scope)| {
            *kind == Kind::SenderUnreachable && matches!(scope, Scope::Sender(sender) if **sender == *name)
        })
    };
    let count = |kind: Kind| open.iter().filter(|(open, _)| *open == kind).count();
    let view = View {
        version: visit.build.version,
        revision: visit.build.revision,
        now: board.now,
        role: readiness.role,
        database: readiness.database,
        recipients: Totals {
            total: board.count(|_| true),
            by_state: Standing::ALL
                .into_iter()
                .map(|standing| (standing.as_str(), board.count(|found| found == standing)))
                .collect(),
        },
        incidents_open: Kind::ALL.into_iter().map(|kind| (kind.as_str(), count(kind))).collect(),
        senders: visit
            .config
            .senders
            .keys()
            .map(|name| SenderView { sender: name, up: !is_unreachable(name) })
            .collect(),
        watchers: readiness
            .watchers
            .iter()
            .map(|watcher| WatcherView { mailbox: &watcher.mailbox, folder: &watcher.folder, up: watcher.up })
            .collect(),
        channels: readiness
            .channels
            .iter()
            .map(|channel| ChannelView { channel: &channel.channel, up: channel.up })
            .collect(),
        warnings: &visit.config.warnings,
    };
    Ok(body::json(StatusCode::OK, &view)?)
}
