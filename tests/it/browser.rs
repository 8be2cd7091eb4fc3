//! The admin UI in a real browser, as people use it.

mod board;
mod calm;
mod inspection;
mod journey;
mod keyboard;
mod login;
mod pictures;

use crate::lab::app::{App, Setup};
use crate::lab::chromium::Tab;
use crate::lab::postgres::Database;
use crate::web::{PASSWORD, service};

/// A service with nothing to monitor, its database, and a browser, which goes first: it complains of a server that is gone.
pub fn opened(test: &str, change: impl FnOnce(Setup) -> Setup) -> Option<(App, Database, Tab)> {
    let tab = Tab::open(test)?;
    let (app, database) = service(change);
    Some((app, database, tab))
}

/// The address of a page.
pub fn at(app: &App, path: &str) -> String {
    format!("http://{}{path}", app.pages())
}

/// Logs in by the form, having asked for a page.
#[track_caller]
pub fn log_in(tab: &Tab, app: &App, path: &str) {
    tab.go(&at(app, path));
    tab.fill("#user", "admin");
    tab.fill("#password", PASSWORD);
    tab.press("Log in");
    tab.arrives_at(path);
}
