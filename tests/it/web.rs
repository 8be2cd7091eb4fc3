//! The admin UI from outside: what each answer carries, and what becomes of odd requests.

use crate::lab::app::{App, Setup};
use crate::lab::browser::{Browser, FORM, Page, encode};
use crate::lab::postgres::{Cluster, Database};
use crate::lab::proxy::Proxy;
use crate::lab::wait::{eventually, s, same, so};

pub const PASSWORD: &str = "correct horse battery";

/// A service with nothing to monitor, and its database.
pub fn service(change: impl FnOnce(Setup) -> Setup) -> (App, Database) {
    let database = Cluster::shared().database();
    let app = change(Setup::new().env("DATABASE_URL", &database.url())).start();
    await_pages(&app);
    (app, database)
}

/// Waits until the pages have their database.
#[track_caller]
pub fn await_pages(app: &App) {
    eventually(s(20), "the login is there", || same(&Browser::new(app.pages()).get("/login").status, &200));
}

/// A browser that is logged in.
#[track_caller]
pub fn logged_in(app: &App) -> Browser {
    let mut browser = Browser::new(app.pages());
    let page = browser.post("/login", &[("user", "admin"), ("password", PASSWORD)]);
    assert_eq!(page.leads_to(), "/");
    browser
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[test]
fn every_answer_of_the_admin_ui_has_its_headers() {
    let (mut app, _database) = service(|setup| setup.env("PUBLIC_URL", "https://maildt.lab.test"));
    let mut stranger = Browser::new(app.pages());
    let page = stranger.get("/login");
    let style = page.body.split('"').find(|part| part.ends_with("maildt.css")).unwrap().to_owned();
    let mut inside = stranger.clone();
    let form = encode(&[("user", "admin"), ("password", PASSWORD)]);
    inside.ask("POST", "/login", &[("Origin", "https://maildt.lab.test"), FORM], form.as_bytes()).unwrap();
    assert!(inside.cookies.contains_key("__Host-maildt"), "{:?}", inside.cookies);
    let mut seen = Vec::new();
    for browser in [&mut stranger, &mut inside] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            for path in [
                "/",
                "/login",
                "/login?next=//evil.example",
                "/nowhere",
                "/incidents",
                "/incidents?id=x",
                "/settings",
                "/%00",
                "/%",
                "/api/v1/status",
                "/logout/",
                "/assets/",
                "/assets/0/maildt.css",
                "/assets/..%2f..%2fetc/passwd",
                &style,
            ] {
                let answer = browser.ask(method, path, &[("Sec-Fetch-Site", "none")], b"").unwrap();
                let what = format!("{method} {path}: {answer:?}");
                assert!(answer.status < 500, "{what}");
                assert_eq!(answer.header("content-security-policy"), Some(POLICY), "{what}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
                assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{what}");
                let kept = answer.header("cache-control").unwrap();
                let forever = path == style && answer.status == 200;
                assert_eq!(kept == "no-store", !forever, "{what}");
                if answer.status >= 400 && method != "HEAD" {
                    let is_page = answer.body.contains("<h1>") || answer.body.contains("\"title\"");
                    assert!(is_page, "no page: {what}");
                }
                seen.push(answer.status);
            }
        }
    }
    for status in [200, 303, 401, 404, 405] {
        assert!(seen.contains(&status), "{status} was never seen");
    }
    app.term();
}

#[test]
fn nothing_but_login_and_assets_is_seen_without_a_session() {
    let (app, _database) = service(|setup| setup);
    let mut stranger = Browser::new(app.pages());
    for (path, leads_to) in [
        ("/", "/login"),
        ("/incidents?state=open&page=2", "/login?next=%2Fincidents%3Fstate%3Dopen%26page%3D2"),
        ("//evil.example/x", "/login"),
        ("/login/", "/login"),
        ("/LOGIN", "/login?next=%2FLOGIN"),
        ("/logout", "/login"),
        ("/assets", "/login?next=%2Fassets"),
    ] {
        let page = stranger.get(path);
        assert_eq!(page.leads_to(), leads_to, "{path}");
        assert_eq!(page.body, "", "{path}");
    }
    for made_up in ["", "AAAA", &"A".repeat(43), "%00", &"A".repeat(5000)] {
        stranger.cookies.insert("maildt".to_owned(), made_up.to_owned());
        assert_eq!(stranger.get("/").leads_to(), "/login", "{made_up}");
    }
    let api = stranger.get("/api/v1/status");
    assert_eq!((api.status, api.header("content-type")), (401, Some("application/problem+json")));
    assert_eq!(logged_in(&app).get("/").status, 200);
}

#[test]
fn the_api_takes_its_token_and_nothing_like_it() {
    let token = "0123456789abcdef-token";
    let (app, _database) = service(|setup| setup.env("API_TOKEN", token));
    let asked = |line: &str| {
        let mut program = Browser::new(app.pages());
        program.ask("POST", "/api/v1/nothing", &[("Authorization", line)], b"{}").unwrap()
    };
    // There is no such resource yet: 404 is what lies behind the door.
    for line in [format!("Bearer {token}"), format!("bearer  {token}")] {
        let answer = asked(&line);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (404, Some("application/problem+json")),
            "{line}"
        );
    }
    for line in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        format!("Bearer {}", &token[1..]),
        format!("Bearer {}", token.to_uppercase()),
    ] {
        let answer = asked(&line);
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"MailDT\""));
        assert!(!answer.body.contains(token));
    }
    // The token opens the API alone.
    let page = Browser::new(app.pages()).with("Authorization", &format!("Bearer {token}")).get("/");
    assert_eq!(page.leads_to(), "/login");
}

#[test]
fn forms_from_other_sites_change_nothing() {
    let (app, _database) = service(|setup| setup);
    let own = format!("http://{}", app.pages());
    let right = encode(&[("user", "admin"), ("password", PASSWORD)]);
    let mut inside = logged_in(&app);
    for headers in [
        &[("Sec-Fetch-Site", "cross-site")][..],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &own)],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "http://127.0.0.1")],
        &[("Referer", &own)],
        &[],
    ] {
        for (path, body) in [("/login", right.as_str()), ("/logout", "")] {
            let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
            let page = inside.ask("POST", path, &headers, body.as_bytes()).unwrap();
            assert_eq!(page.status, 403, "{path} {headers:?}");
            assert_eq!(page.header("set-cookie"), None);
        }
        assert_eq!(inside.get("/").status, 200, "{headers:?} ended the session");
    }
    // Without Sec-Fetch-Site, as older browsers and plain http have it.
    let page = inside.ask("POST", "/logout", &[("Origin", &own), FORM], b"").unwrap();
    assert_eq!(page.leads_to(), "/login?left=1");
}

#[test]
fn a_database_outage_is_told_on_a_plain_page() {
    let database = Cluster::shared().database();
    let wire = Proxy::to(database.port());
    wire.refuse();
    let mut app = Setup::new()
        .env("DATABASE_URL", &database.url_through(wire.port()))
        .limit("database", "\"2s\"")
        .start();
    let told = |browser: &mut Browser, words: &str| {
        let page = browser.get("/");
        same(&page.status, &503)?;
        so(page.body.contains(words) && page.header("retry-after").is_some(), || page.body.clone())
    };
    let mut browser = Browser::new(app.pages());
    told(&mut browser, "MailDT is starting").unwrap();
    wire.pass();
    await_pages(&app);
    let mut browser = logged_in(&app);
    wire.refuse();
    eventually(s(20), "the page says so", || told(&mut browser, "The database does not answer"));
    let stranger = &mut Browser::new(app.pages());
    eventually(s(20), "the login says so", || same(&stranger.get("/login").status, &503));
    assert_eq!(stranger.post("/login", &[("user", "admin"), ("password", PASSWORD)]).status, 503);
    let style =
        browser.get("/").body.split('"').find(|part| part.ends_with("maildt.css")).unwrap().to_owned();
    assert_eq!(stranger.get(&style).status, 200, "the page that says so has its style");
    wire.pass();
    eventually(s(20), "the session lives on", || same(&browser.get("/").status, &200));
    app.term();
}

#[test]
fn assets_are_kept_by_browsers_and_compressed() {
    let (app, _database) = service(|setup| setup);
    let mut browser = Browser::new(app.pages());
    let page = browser.get("/login").body;
    let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(assets.len() >= 2, "{page}");
    for path in assets {
        let plain = browser.get(path);
        assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        let tag = plain.header("etag").unwrap_or_else(|| panic!("{path}: {plain:?}")).to_owned();
        assert!(tag.starts_with('"'), "{tag} is weak");
        let again = browser.ask("GET", path, &[("If-None-Match", &tag)], b"").unwrap();
        assert_eq!((again.status, again.body.len()), (304, 0));
        let zipped = browser.ask("GET", path, &[("Accept-Encoding", "gzip")], b"").unwrap();
        if path.ends_with("maildt.css") {
            assert_eq!(zipped.header("content-encoding"), Some("gzip"));
            let octets = |page: &Page| page.header("content-length").unwrap().parse::<usize>().unwrap();
            assert!(octets(&zipped) < octets(&plain) / 2);
            assert_ne!(zipped.header("etag"), Some(&*tag));
        }
    }
}

#[test]
fn a_taken_address_of_the_admin_ui_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut app = Setup::new().env("LISTEN", &address).launch();
    let status = app.exit(s(20));
    assert_eq!(status.code(), Some(1));
    assert!(app.log().contains(&format!("LISTEN: cannot listen on {address}")), "{}", app.log());
}

#[test]
fn a_standby_shows_the_pages_too() {
    let (app, _database) = service(|setup| setup);
    app.await_active();
    let second = app.setup.beside().start();
    await_pages(&second);
    let mut browser = logged_in(&app);
    browser = browser.moved(second.pages());
    eventually(s(10), "the session is known there", || same(&browser.get("/").status, &200));
}
