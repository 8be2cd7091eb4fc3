//! Pictures of the pages, made by the program itself: for the documentation, and to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::{at, opened};
use crate::lab::app::Setup;
use crate::lab::builtin::BuiltIn;
use crate::lab::chromium::{Scheme, Tab};
use crate::lab::gallery;
use crate::lab::wait::{eventually, s, so};
use crate::web::{PASSWORD, await_pages};
use crate::web_login::code_of;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// `target/tmp/pictures`.
fn album() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The page in four sizes, light and dark.
fn take(tab: &Tab, name: &str) {
    for (scheme, word) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
        for (width, height) in [(360, 740), (1280, 860), (2560, 1300)] {
            tab.prefer(scheme, true);
            tab.resize(width, height);
            fs::write(album().join(format!("{name}-{word}-{width}.png")), tab.picture(true)).unwrap();
        }
    }
    tab.prefer(Scheme::Light, true);
}

fn log_in(tab: &Tab, url: &str) {
    // As most of the world writes the time.
    tab.devtools("Emulation.setLocaleOverride", &serde_json::json!({ "locale": "en-GB" }));
    tab.go(url);
    tab.fill("#user", "admin");
    tab.fill("#password", PASSWORD);
    tab.fill("#code", &code_of(SECRET));
    tab.press("Log in");
    tab.arrives_at("/");
}

#[test]
#[ignore = "makes the pictures of the documentation: make pictures"]
fn pictures() {
    let lab = BuiltIn::new();
    let app = lab.setup().env("ADMIN_TOTP_SECRET", SECRET).start();
    await_pages(&app);
    app.await_active();
    let tab = Tab::open("pictures").unwrap();
    let here = |path: &str| at(&app, path);
    tab.go(&here("/login"));
    take(&tab, "login");
    tab.resize(1280, 860);
    log_in(&tab, &here("/"));
    take(&tab, "empty");
    tab.go(&here("/incidents"));
    take(&tab, "no-incidents");
    gallery::fill(&lab.database);
    tab.go(&here("/"));
    tab.reads("#mark", "live");
    take(&tab, "board");
    let ask = |statement: &str| lab.database.query(statement, &[]).unwrap()[0].get::<_, String>(0);
    let id = ask("select id::text from maildt.recipients where name = 'orders'");
    let probe =
        ask("select id::text from maildt.probes where state = 'delivered' order by latency_ms desc limit 1");
    let pages = [
        ("/incidents".to_owned(), "incidents"),
        ("/settings".to_owned(), "settings"),
        ("/nowhere".to_owned(), "nowhere"),
        ("/recipients".to_owned(), "recipients"),
        ("/recipients/new".to_owned(), "new"),
        (format!("/recipients/{id}"), "recipient"),
        (format!("/recipients/{id}/history"), "history"),
        (format!("/probes/{probe}"), "probe"),
    ];
    tab.allow("status of 404");
    for (page, name) in &pages {
        tab.go(&here(page));
        take(&tab, name);
    }
    document(&tab, &here("/"), "board.png");
    document(&tab, &here(&pages[6].0), "history.png");
}

/// The picture of a page that the documentation shows.
fn document(tab: &Tab, url: &str, name: &str) {
    tab.resize(1240, 860);
    tab.go(url);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::write(&file, tab.picture(false)).unwrap();
    let octets = fs::metadata(&file).unwrap().len();
    assert!(octets < 200_000, "{name} has {octets} octets");
}

#[test]
#[ignore = "makes pictures to look at: make pictures"]
fn pictures_of_few_and_many() {
    let change = |setup: Setup| setup.env("ADMIN_TOTP_SECRET", SECRET);
    let Some((app, database, tab)) = opened("pictures", change) else { return };
    app.await_active();
    gallery::fill_with(&database, 3);
    log_in(&tab, &at(&app, "/"));
    take(&tab, "three");
    gallery::fill_with(&database, 1000);
    eventually(s(20), "all are there", || {
        let text = tab.text("h1")?;
        so(text.contains("1,003"), || text.clone())
    });
    tab.resize(1280, 860);
    fs::write(album().join("thousand-light-1280.png"), tab.picture(false)).unwrap();
}
