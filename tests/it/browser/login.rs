//! In and out by the form.

use super::{at, log_in, opened};
use crate::lab::app::Setup;
use crate::lab::wait::{eventually, s, same};
use crate::web::PASSWORD;
use crate::web_login::code_of;

#[test]
fn a_login_leads_to_the_page_that_was_asked_for_and_a_logout_ends_it() {
    let Some((app, _database, tab)) = opened("logging in with a browser", |setup| setup) else { return };
    tab.go(&at(&app, "/incidents?before="));
    tab.arrives_at("/login?next=%2Fincidents%3Fbefore%3D");
    assert_eq!(tab.focus(), "input#user", "one can type at once");
    tab.allow("status of 403");
    tab.type_keys("admin\t");
    assert_eq!(tab.focus(), "input#password");
    tab.type_keys("wrong horse battery\n");
    tab.reads("[role=alert]", "User or password is not right.");
    assert_eq!(tab.script("return document.getElementById('user').value").unwrap(), "admin");
    assert_eq!(tab.focus(), "input#password", "only the password is typed again");
    tab.type_keys(&format!("{PASSWORD}\n"));
    tab.arrives_at("/incidents?before=");
    tab.reads("h1", "No incident is open.");
    // Who is logged in sees no form.
    tab.go(&at(&app, "/login"));
    tab.arrives_at("/");
    tab.press("Log out");
    tab.arrives_at("/login?left=1");
    tab.reads("[role=status]", "You have logged out.");
    // Nothing is left in the browser that the next person could see.
    tab.back();
    eventually(s(10), "the login is asked for", || same(&tab.text("h1")?, &"Log in".to_owned()));
}

#[test]
fn a_login_with_a_second_factor_takes_each_code_once() {
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let change = |setup: Setup| setup.env("ADMIN_TOTP_SECRET", secret);
    let Some((app, _database, tab)) = opened("logging in with a second factor", change) else { return };
    tab.go(&at(&app, "/"));
    tab.arrives_at("/login");
    tab.fill("#user", "admin");
    tab.fill("#password", PASSWORD);
    tab.press("Log in");
    assert_eq!(tab.focus(), "input#code", "the browser itself asks for the code");
    tab.allow("status of 403");
    let code = code_of(secret);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    tab.fill("#code", wrong);
    tab.press("Log in");
    tab.reads("[role=alert]", "A code can be used once: wait for the next one.");
    tab.fill("#password", PASSWORD);
    tab.fill("#code", &format!("{} {}", &code[..3], &code[3..]));
    tab.press("Log in");
    tab.arrives_at("/");
    tab.reads("h1", "Nothing is monitored yet.");
    let other = tab.beside();
    other.allow("status of 403");
    other.go(&at(&app, "/"));
    other.fill("#user", "admin");
    other.fill("#password", PASSWORD);
    other.fill("#code", &code);
    other.press("Log in");
    other.reads("[role=alert]", "A code can be used once");
}

#[test]
fn two_browsers_are_two_sessions() {
    let Some((app, _database, first)) = opened("two browsers at once", |setup| setup) else { return };
    let second = first.beside();
    log_in(&first, &app, "/");
    log_in(&second, &app, "/settings");
    first.press("Log out");
    first.arrives_at("/login?left=1");
    second.press("Incidents");
    second.arrives_at("/incidents");
}
