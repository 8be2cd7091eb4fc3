//! The admin UI behind a real nginx with TLS.

use crate::lab::app::{App, Setup};
use crate::lab::browser::{Browser, FORM, encode};
use crate::lab::chromium::Tab;
use crate::lab::ground::{free_port, runtime};
use crate::lab::nginx::Nginx;
use crate::lab::postgres::{Cluster, Database};
use crate::lab::wait::{eventually, s, same};
use crate::web::{PASSWORD, await_pages};
use crate::web_board::{delivered, probe};

/// A service that believes nginx alone, and that nginx.
fn behind_nginx(test: &str) -> Option<(App, Database, Nginx)> {
    let pages = free_port();
    let nginx = Nginx::before(test, pages)?;
    let database = Cluster::shared().database();
    let app = Setup::new()
        .env("DATABASE_URL", &database.url())
        .env("LISTEN", &format!("127.0.0.1:{pages}"))
        .env("PUBLIC_URL", &Nginx::url(nginx.port))
        .env("ENABLE_PROXY", "true")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start();
    await_pages(&app);
    Some((app, database, nginx))
}

fn login(password: &str) -> String {
    encode(&[("user", "admin"), ("password", password), ("next", "/incidents")])
}

#[test]
fn behind_nginx_a_browser_logs_in_and_sees_changes_at_once() {
    let test = "a browser behind nginx";
    let Some((app, database, nginx)) = behind_nginx(test) else { return };
    let Some(tab) = Tab::open(test) else { return };
    app.await_active();
    let first = delivered(&database, "first", 400);
    let at = |path: &str| format!("{}{path}", Nginx::url(nginx.port));
    tab.go(&at("/incidents"));
    tab.arrives_at("/login?next=%2Fincidents");
    assert!(!tab.words().contains("plain http"), "{}", tab.words());
    tab.fill("#user", "admin");
    tab.fill("#password", PASSWORD);
    tab.press("Log in");
    tab.arrives_at("/incidents");
    let cookies = tab.devtools("Network.getCookies", &serde_json::json!({}));
    let cookie = &cookies["cookies"][0];
    assert_eq!(cookie["name"], "__Host-maildt", "{cookies}");
    for (attribute, value) in [("secure", true), ("httpOnly", true)] {
        assert_eq!(cookie[attribute], value, "{attribute}: {cookie}");
    }
    assert_eq!((&cookie["sameSite"], &cookie["path"]), (&"Lax".into(), &"/".into()));
    let origin = tab.script("return location.origin + (isSecureContext ? '' : ', not secure')").unwrap();
    assert_eq!(origin, Nginx::url(nginx.port), "the browser was led away from nginx");
    tab.press("Live");
    tab.arrives_at("/");
    tab.reads("#mark", "live");
    // The best of some: other tests run at the same time.
    let took = (0..4).map(|turn| {
        let state = ["missing", "bounced"][turn % 2];
        probe(&database, first, "state, result", &format!("'{state}', '{state}'"));
        let start = std::time::Instant::now();
        tab.reads(&format!("#r{first} .state"), ["Missing", "Bounced"][turn % 2]);
        start.elapsed()
    });
    let best = took.min().unwrap();
    eprintln!("behind nginx a change was on the screen after {best:?}");
    assert!(best.as_millis() < 1500, "{best:?}");
    tab.press("Log out");
    tab.arrives_at("/login?left=1");
    drop(tab);
}

#[test]
fn behind_nginx_the_client_is_counted_and_not_the_proxy() {
    let Some((app, _database, nginx)) = behind_nginx("addresses behind nginx") else { return };
    let client = |last: u8| nginx.client(last);
    // Whatever it writes itself, what nginx appends decides.
    let statuses: Vec<u16> = (0..6)
        .map(|n| {
            let forged = [
                ("X-Forwarded-For", format!("203.0.113.{n}")),
                ("X-Forwarded-For", format!("198.51.100.{n}, 127.0.0.1")),
            ];
            let forged: Vec<(&str, &str)> =
                forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client(9).post("/login", &login("wrong horse battery"), &forged).status().as_u16()
        })
        .collect();
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
    assert_eq!(client(9).post("/login", &login(PASSWORD), &[]).status(), 429);
    let entered = client(10).post("/login", &login(PASSWORD), &[]);
    assert_eq!(entered.status(), 303, "another client is locked out with it");
    let header = |name: &str| entered.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("location"), "/incidents");
    assert_eq!(header("strict-transport-security"), "max-age=31536000");
    let cookie = header("set-cookie");
    assert!(cookie.starts_with("__Host-maildt=") && cookie.contains("Secure"), "{cookie}");
    // Who does not come through nginx is not believed either.
    let forger = Browser::new(app.pages());
    let statuses: Vec<u16> = (0..6)
        .map(|n| {
            let mut forger = forger.from(11).with("X-Forwarded-For", &format!("203.0.113.{n}"));
            let own = ("Origin", &*Nginx::url(nginx.port));
            let headers = [FORM, own];
            let body = login("wrong horse battery");
            forger.ask("POST", "/login", &headers, body.as_bytes()).unwrap().status
        })
        .collect();
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
}

#[test]
fn behind_nginx_forged_hosts_lead_nowhere() {
    let Some((app, _database, nginx)) = behind_nginx("forged hosts behind nginx") else { return };
    let forged = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("Forwarded", "host=evil.example"),
    ];
    let visitor = nginx.client(12);
    let answer = visitor.get("/incidents", &forged);
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/login?next=%2Fincidents");
    let page = visitor.get("/login", &forged);
    let page = runtime().block_on(async { page.text().await }).unwrap();
    assert!(!page.contains("evil.example") && !page.contains("plain http"), "{page}");
    // A form of another site stays one, whatever it says of hosts.
    let foreign = [("X-Forwarded-Host", "evil.example"), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(visitor.post("/login", &login(PASSWORD), &foreign).status(), 403);
    let foreign = [("X-Forwarded-Host", "evil.example"), ("Origin", "https://evil.example")];
    assert_eq!(visitor.post("/login", &login(PASSWORD), &foreign).status(), 403);
    let mut direct = Browser::new(app.pages()).from(13);
    let headers = [FORM, ("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")];
    let page = direct.ask("POST", "/login", &headers, login(PASSWORD).as_bytes()).unwrap();
    assert_eq!(page.status, 403, "an untrusted peer chooses the host: {page:?}");
    // Nothing of all this makes the service unwell.
    eventually(s(5), "the login is there", || same(&direct.get("/login").status, &200));
}
