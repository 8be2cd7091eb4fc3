//! Every page in the eyes and hands of those who do not have a large screen, a mouse or good eyes.

use super::{at, log_in, opened};
use crate::lab::gallery;
use crate::lab::inspection::{faults, walk};

#[test]
fn every_page_is_accessible_in_every_size_light_and_dark() {
    let Some((app, database, tab)) = opened("accessibility of the pages", |setup| setup) else { return };
    app.await_active();
    tab.allow("status of 404");
    let mut found = Vec::new();
    let mut look = |path: &str| {
        tab.go(&at(&app, path));
        tab.arrives_at(path);
        found.extend(faults(&tab));
    };
    look("/login");
    look("/login?left=1");
    log_in(&tab, &app, "/");
    look("/");
    look("/incidents");
    gallery::fill(&database);
    for path in ["/", "/?sort=-latency&q=nobody", "/incidents", "/settings", "/nowhere"] {
        look(path);
    }
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_page_can_be_walked_through_by_keyboard_with_the_focus_in_sight() {
    let Some((app, database, tab)) = opened("the pages by keyboard", |setup| setup) else { return };
    app.await_active();
    gallery::fill(&database);
    tab.go(&at(&app, "/login"));
    assert_eq!(walk(&tab).last().unwrap(), "button \"Log in\"");
    log_in(&tab, &app, "/");
    for path in ["/", "/incidents", "/settings"] {
        tab.go(&at(&app, path));
        tab.arrives_at(path);
        let names = walk(&tab);
        assert_eq!(names[0], "a \"To the content\"", "{path}: {names:?}");
        assert!(names.len() > 8 && names.len() < 200, "{path}: {names:?}");
    }
}
