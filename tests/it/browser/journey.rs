//! The whole way of somebody who has never seen MailDT.

use maildt::demo::faults::{Action, Rule, SmtpPoint};

use super::{at, log_in};
use crate::lab::builtin::BuiltIn;
use crate::lab::chromium::Tab;
use crate::lab::wait::{eventually, s, so};
use crate::web::await_pages;

#[test]
fn a_newcomer_comes_from_an_empty_page_to_a_history_and_an_incident() {
    let Some(tab) = Tab::open("a newcomer's first visit") else { return };
    let lab = BuiltIn::new();
    lab.faults().add(
        Rule::smtp(SmtpPoint::Rcpt, Action::reply("550 5.1.1 No such user here")).to_local_part("refused"),
    );
    let app = lab.setup().start();
    // Before the service in which its page is open.
    let tab = tab;
    await_pages(&app);
    app.await_active();
    log_in(&tab, &app, "/");
    tab.reads("h1", "Nothing is monitored yet.");
    tab.press("Add a recipient");
    tab.arrives_at("/recipients/new");
    assert_eq!(tab.focus(), "input#address");

    // A slip first: what was typed is kept, and the page leads to the field.
    tab.allow("status of 422");
    tab.type_keys("sales.demo.test\n");
    tab.arrives_at("/recipients");
    tab.reads("#refused", "address");
    assert_eq!(tab.script("return document.getElementById('address').value").unwrap(), "sales.demo.test");
    tab.click("#refused a");
    assert_eq!(tab.focus(), "input#address");
    tab.fill("#address", "sales@demo.test");
    tab.fill("#name", "sales");
    tab.fill("#interval", "30s");
    tab.fill("#alert_threshold", "10s");
    tab.press("Add and try it");
    tab.reads("h1", "sales");

    // Its first probe, followed until it is there.
    tab.reads("#trial", "Delivered to INBOX after");
    let path = tab.path();
    let id = path.trim_start_matches("/recipients/").split(['?', '/']).next().unwrap().to_owned();
    assert!(id.parse::<i32>().is_ok(), "{path}");
    tab.press("Live");
    tab.arrives_at("/");
    eventually(s(60), "the board says that mail arrives", || {
        let text = tab.text("h1")?;
        so(text.contains("Mail arrives at the recipient."), || text.clone())
    });
    tab.press("sales");
    tab.arrives_at(&format!("/recipients/{id}"));
    tab.press("History");
    tab.arrives_at(&format!("/recipients/{id}/history"));
    tab.reads("main table tbody", "Arrives");
    tab.click("main table tbody a[href^='/probes/']");
    eventually(s(10), "a probe's page", || so(tab.path().starts_with("/probes/"), || tab.path()));
    tab.reads("h1", "Delivered to INBOX");

    // One whose mail is refused, seen from the board as it happens.
    tab.press("Recipients");
    tab.arrives_at("/recipients");
    tab.press("Add a recipient");
    tab.arrives_at("/recipients/new");
    tab.fill("#address", "refused@demo.test");
    tab.fill("#name", "refused");
    tab.fill("#interval", "30s");
    tab.press("Add and try it");
    tab.reads("#trial", "No such user here");
    tab.go(&at(&app, "/"));
    eventually(s(60), "the board says that mail is refused", || {
        let text = tab.text("h1")?;
        so(text.contains("Mail does not arrive at 1 of 2 recipients."), || text.clone())
    });
    tab.reads("#rows", "No such user here");
    tab.press("Incidents");
    tab.arrives_at("/incidents");
    tab.reads("h1", "1 incident is open.");
    tab.reads("article", "Mail is refused");
    // Before the service goes that it shows.
    drop(tab);
}
