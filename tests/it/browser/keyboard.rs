//! The pages without a mouse.

use super::{at, opened};
use crate::lab::gallery;
use crate::lab::inspection::walk_to;
use crate::web::PASSWORD;

#[test]
fn everything_is_reached_and_done_by_tab_and_enter_alone() {
    let Some((app, database, tab)) = opened("a visit by keyboard alone", |setup| setup) else { return };
    app.await_active();
    gallery::fill(&database);
    tab.go(&at(&app, "/"));
    tab.arrives_at("/login");
    tab.type_keys(&format!("admin\t{PASSWORD}\n"));
    tab.arrives_at("/");
    // Past the navigation at once.
    tab.type_keys("\t\n\t");
    assert_eq!(tab.focus(), "a", "{}", tab.words());
    walk_to(&tab, "select#state");
    tab.type_keys("Missing");
    walk_to(&tab, "button \"Show\"");
    tab.type_keys("\n");
    tab.arrives_at("/?q=&state=missing");
    tab.reads("#rows", "sales");
    walk_to(&tab, "a \"Show all\"");
    tab.type_keys("\n");
    tab.arrives_at("/");
    walk_to(&tab, "a \"Latency\"");
    tab.type_keys("\n");
    tab.arrives_at("/?sort=latency");
    walk_to(&tab, "a \"Incidents\"");
    tab.type_keys("\n");
    tab.arrives_at("/incidents");
    let is_open = || tab.script("return document.activeElement.parentElement.open").unwrap();
    walk_to(&tab, "summary \"2 notifications: 2 delivered\"");
    assert_eq!(is_open(), true, "what is open now comes unfolded");
    tab.type_keys("\n");
    assert_eq!(is_open(), false);
    walk_to(&tab, "a \"Settings\"");
    tab.type_keys("\n");
    tab.arrives_at("/settings");
    walk_to(&tab, "button \"Log out\"");
    tab.type_keys("\n");
    tab.arrives_at("/login?left=1");
}
