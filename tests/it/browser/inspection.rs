//! Every page in the eyes and hands of those who do not have a large screen, a mouse or good eyes.

use super::{at, log_in};
use crate::lab::app::App;
use crate::lab::builtin::BuiltIn;
use crate::lab::chromium::Tab;
use crate::lab::gallery;
use crate::lab::inspection::{faults, walk};
use crate::web::await_pages;

/// A service with a mail server, its database and a browser.
fn opened(test: &str) -> Option<(BuiltIn, App, Tab)> {
    let tab = Tab::open(test)?;
    let lab = BuiltIn::new();
    let app = lab.setup().env("ALERT_MAIL_RECIPIENT", "ops@demo.test").start();
    await_pages(&app);
    app.await_active();
    Some((lab, app, tab))
}

/// The pages that there are once something is monitored: of recipients that are lost and refused, of their probes, and of
/// everything at once.
fn pages(lab: &BuiltIn) -> Vec<String> {
    let ask = |statement: &str| lab.database.query(statement, &[]).unwrap()[0].get::<_, String>(0);
    let id = |name: &str| ask(&format!("select id::text from maildt.recipients where name = '{name}'"));
    let probe =
        |state: &str| ask(&format!("select id::text from maildt.probes where state = '{state}' limit 1"));
    let (lost, muted) = (id("sales"), id("newsletter"));
    let mut pages = vec![
        "/".to_owned(),
        "/?sort=-latency&q=nobody".to_owned(),
        "/incidents".to_owned(),
        "/settings".to_owned(),
        "/nowhere".to_owned(),
        "/recipients".to_owned(),
        "/recipients?q=nobody".to_owned(),
        "/recipients/new".to_owned(),
        format!("/recipients/{lost}"),
        format!("/recipients/{muted}"),
        format!("/recipients/{lost}/edit"),
        format!("/recipients/{lost}/delete"),
        format!("/recipients/{lost}/history"),
        format!("/recipients/{lost}/history?from=nonsense"),
        format!("/recipients/{}/history", id("new colleague")),
    ];
    for state in ["delivered", "missing", "send_failed", "bounced", "late"] {
        pages.push(format!("/probes/{}", probe(state)));
    }
    pages
}

#[test]
fn every_page_is_accessible_in_every_size_light_and_dark() {
    let Some((lab, app, tab)) = opened("accessibility of the pages") else { return };
    for status in ["404", "422", "400"] {
        tab.allow(match status {
            "404" => "status of 404",
            "422" => "status of 422",
            _ => "status of 400",
        });
    }
    let mut found = Vec::new();
    let mut look = |path: &str| {
        tab.go(&at(&app, path));
        tab.arrives_at(path);
        found.extend(faults(&tab));
    };
    look("/login");
    look("/login?left=1");
    log_in(&tab, &app, "/");
    for path in ["/", "/incidents", "/recipients"] {
        look(path);
    }
    gallery::fill(&lab.database);
    for path in pages(&lab) {
        look(&path);
    }
    // A form that was refused.
    tab.resize(1280, 900);
    tab.go(&at(&app, "/recipients/new"));
    tab.fill("#address", "not an address");
    tab.fill("#interval", "soon");
    tab.press("Add and try it");
    tab.arrives_at("/recipients");
    assert!(tab.focus().contains("refused"), "{}", tab.focus());
    found.extend(faults(&tab));
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_page_can_be_walked_through_by_keyboard_with_the_focus_in_sight() {
    let Some((lab, app, tab)) = opened("the pages by keyboard") else { return };
    gallery::fill(&lab.database);
    tab.allow("status of 404");
    tab.allow("status of 400");
    tab.go(&at(&app, "/login"));
    assert_eq!(walk(&tab).last().unwrap(), "button \"Log in\"");
    log_in(&tab, &app, "/");
    for path in pages(&lab) {
        tab.go(&at(&app, &path));
        tab.arrives_at(&path);
        let names = walk(&tab);
        assert_eq!(names[0], "a \"To the content\"", "{path}: {names:?}");
        assert!(names.len() > 6 && names.len() < 200, "{path}: {names:?}");
    }
}
