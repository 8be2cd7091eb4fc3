//! A new recipient is tried at once: what came back, and what that suggests, with real servers.

use std::cell::RefCell;

use crate::lab::browser::Browser;
use crate::lab::letter::Letter;
use crate::lab::maildir::Stored;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;
use crate::web::logged_in;
use crate::web_recipients::form;

/// Adds a recipient and waits until its trial says these words; the path of its page and the whole page.
#[track_caller]
fn tried(
    browser: &mut Browser,
    changes: &[(&str, &str)],
    words: &str,
    meanwhile: impl Fn(),
) -> (String, String) {
    let answer = browser.post("/recipients", &form(changes));
    let target = answer.leads_to().split('#').next().unwrap().to_owned();
    meanwhile();
    let page = eventually(s(40), "the trial is over", || {
        let page = browser.get(&target).body;
        so(page.contains(words), || {
            page.split("id=\"trial\"").nth(1).unwrap_or(&page).chars().take(3000).collect()
        })?;
        Ok(page)
    });
    (target.split('?').next().unwrap().to_owned(), page)
}

/// Sends the form of the proposal as it stands on the page.
fn adopt(browser: &mut Browser, path: &str, page: &str) -> String {
    let form = page.split("/adopt\"").nth(1).unwrap().split("</form>").next().unwrap();
    let fields: Vec<(&str, &str)> = form
        .split("type=\"hidden\" name=\"")
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once("\" value=\"").unwrap();
            (name, rest.split('"').next().unwrap())
        })
        .collect();
    browser.post(&format!("{path}/adopt"), &fields).leads_to().to_owned()
}

fn settings(world: &World) -> String {
    let rows =
        world.database.query("select return_mode || ' ' || alert_threshold_s from maildt.recipients", &[]);
    rows.unwrap()[0].get(0)
}

#[test]
fn a_direct_recipient_is_tried_and_its_proposal_taken_over() {
    let Some(world) = World::new("a_direct_recipient_is_tried_and_its_proposal_taken_over") else { return };
    let app = world.setup().start();
    app.await_active();
    let mut browser = logged_in(&app);
    let address = world.address("new");
    let (path, page) = tried(&mut browser, &[("address", &address)], "What this suggests", || {});
    for words in [
        "Delivered to INBOX",
        "Accepted",
        "Seen in INBOX",
        "<b>direct</b>, as it is set",
        "<b>1m</b>, instead of 5m",
        "Use 1m",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let fragment = browser
        .get(&format!("{path}/trial?{}", page.split("/trial?").nth(1).unwrap().split('"').next().unwrap()));
    assert!(
        fragment.status == 200 && fragment.body.starts_with("<div") && fragment.body.contains("Delivered"),
        "{fragment:?}"
    );
    assert_eq!(adopt(&mut browser, &path, &page), format!("{path}?done=adopted"));
    assert_eq!(settings(&world), "direct 60");
    // Twice is no harm; an old version is not written over.
    assert_eq!(adopt(&mut browser, &path, &page), format!("{path}?done=adopted"));
    let stale = browser.post(&format!("{path}/adopt"), &[("version", "1"), ("alert_threshold", "2m")]);
    assert_eq!(stale.status, 409, "{stale:?}");
    assert_eq!(settings(&world), "direct 60");
    assert_eq!(world.records().incidents().unwrap().len(), 0);
}

#[test]
fn a_recipient_that_forwards_is_proposed_the_mode_that_fits() {
    let test = "a_recipient_that_forwards_is_proposed_the_mode_that_fits";
    let (Some(world), Some(elsewhere)) = (World::new(test), World::new(test)) else { return };
    let app = world.setup().start();
    app.await_active();
    let mut browser = logged_in(&app);
    let address = elsewhere.address("desk");
    let forwarded = RefCell::new(Vec::new());
    let forward = || {
        let token = eventually(s(30), "a probe is there that was not forwarded yet", || {
            let tokens: Vec<String> =
                elsewhere.mail().messages("INBOX").iter().filter_map(Stored::token).collect();
            let new = tokens.into_iter().find(|token| !forwarded.borrow().contains(token));
            new.ok_or_else(|| "none".to_owned())
        });
        let letter = Letter::new(&format!("Fwd: MAILDT-PROBE: {token}"))
            .body(format!("---------- Forwarded message\r\nSubject: MAILDT-PROBE: {token}\r\n"));
        world.lab.deliver(&letter, &world.monitor());
        forwarded.borrow_mut().push(token);
    };
    // A day between the probes of the schedule, so that only the trials are there.
    let changes = [("address", &*address), ("interval", "1d"), ("alert_threshold", "10m")];
    let (path, page) = tried(&mut browser, &changes, "It came back in another form", forward);
    for words in [
        "as a forward is",
        "Fwd: MAILDT-PROBE",
        "<b>forward</b>, instead of direct",
        "Use mode forward and 1m",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let target = adopt(&mut browser, &path, &page);
    assert!(target.starts_with(&format!("{path}?done=adopted&try=")), "{target}");
    assert_eq!(settings(&world), "forward 60");
    // It is tried again in its new mode.
    forward();
    eventually(s(30), "it is delivered", || {
        let page = browser.get(target.split('#').next().unwrap()).body;
        so(page.contains("Delivered to INBOX") && page.contains("<b>forward</b>, as it is set"), || page)
    });
    assert_eq!(world.records().incidents().unwrap().len(), 0);
}

#[test]
fn what_was_filed_as_junk_or_refused_is_explained() {
    let Some(world) = World::new("what_was_filed_as_junk_or_refused_is_explained") else { return };
    let app = world.setup().start();
    app.await_active();
    let mut browser = logged_in(&app);
    let address = world.address("junk");
    let (_, page) =
        tried(&mut browser, &[("address", &address), ("name", "junk")], "It was filed as junk", || {});
    assert!(page.contains("Seen in Junk") && page.contains("SPF, DKIM and DMARC"), "{page}");
    let address = world.address("bounce");
    let (_, page) = tried(&mut browser, &[("address", &address), ("name", "bounce")], "Came back", || {});
    assert!(page.contains("was accepted first and then returned"), "{page}");
}
