//! The JSON API from outside: as its document says, whatever is asked.

mod document;
mod life;
mod lists;
mod program;
mod refusals;
mod schemathesis;

use crate::lab::app::{App, Setup};
use crate::lab::builtin::BuiltIn;
use crate::web::await_pages;

/// A service with a mail server, whose API takes the token of [`program::TOKEN`].
fn service(change: impl FnOnce(Setup) -> Setup) -> (App, BuiltIn) {
    let lab = BuiltIn::new();
    let app = change(lab.setup().env("API_TOKEN", program::TOKEN)).start();
    await_pages(&app);
    (app, lab)
}
