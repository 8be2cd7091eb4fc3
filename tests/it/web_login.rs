//! Logging in to the admin UI: who gets in, how often one may try, and how long it lasts.

use jiff::Timestamp;
use nix::sys::signal::Signal;

use crate::lab::app::App;
use crate::lab::browser::{Browser, Page};
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, same, so};
use crate::web::{PASSWORD, logged_in, service};

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// The code of this moment; it is good for half a minute more.
fn code() -> String {
    code_of(SECRET)
}

#[expect(clippy::disallowed_methods, reason = "a code is of this moment")]
pub fn code_of(secret: &str) -> String {
    let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    format!("{}", totp.generate(now))
}

fn login(browser: &mut Browser, password: &str, code: &str) -> Page {
    browser.post("/login", &[("user", "admin"), ("password", password), ("code", code)])
}

fn count(database: &Database, table: &str) -> i64 {
    database.query(&format!("select count(*) from maildt.{table}"), &[]).unwrap()[0].get(0)
}

/// Makes all that has happened in the login tables happen earlier.
fn age(database: &Database, seconds: u32) {
    for statement in [
        "update maildt.login_attempts set at = at - make_interval(secs => $1)",
        "update maildt.sessions set seen_at = seen_at - make_interval(secs => $1), created_at = created_at - make_interval(secs => $1)",
    ] {
        database.query(statement, &[&f64::from(seconds)]).unwrap();
    }
}

#[test]
fn one_code_makes_exactly_one_of_50_parallel_logins() {
    let (app, database) = service(|setup| setup.env("ADMIN_TOTP_SECRET", SECRET).env("ENABLE_PROXY", "true"));
    let code = code();
    // From 50 addresses, so that no limit but that of the code itself stands in the way.
    let logins: Vec<_> = (0..50)
        .map(|n| {
            let mut browser = Browser::new(app.pages()).with("X-Forwarded-For", &format!("203.0.113.{n}"));
            let code = code.clone();
            std::thread::spawn(move || login(&mut browser, PASSWORD, &code).status)
        })
        .collect();
    let statuses: Vec<u16> = logins.into_iter().map(|login| login.join().unwrap()).collect();
    let count_of = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(count_of(303), 1, "{statuses:?}");
    // Two at once: on a busy machine the last ones wait longer than a request may.
    assert_eq!(count_of(403) + count_of(504), 49, "{statuses:?}");
    assert_eq!(count(&database, "sessions"), 1);
    let mut late = Browser::new(app.pages()).with("X-Forwarded-For", "203.0.113.99");
    assert_eq!(login(&mut late, PASSWORD, &code).status, 403, "the code works again");
}

#[test]
fn a_login_needs_everything_that_is_asked_for() {
    let (app, database) = service(|setup| setup.env("ADMIN_TOTP_SECRET", SECRET).env("ENABLE_PROXY", "true"));
    let mut address = 0;
    let mut enter = |user: &str, password: &str, code: &str| {
        address += 1;
        let mut browser = Browser::new(app.pages()).with("X-Forwarded-For", &format!("203.0.113.{address}"));
        let page = browser.post("/login", &[("user", user), ("password", password), ("code", code)]);
        (page.status, page.header("set-cookie").is_some(), page.body)
    };
    let code = code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let mut bodies = std::collections::HashSet::new();
    for (user, password, code) in [
        ("admin", PASSWORD, wrong),
        ("admin", PASSWORD, ""),
        ("admin", "", &*code),
        ("admin", "wrong horse battery", &code),
        ("admin", "wrong horse battery", wrong),
    ] {
        let (status, cookie, body) = enter(user, password, code);
        assert_eq!((status, cookie), (403, false), "{user} {password} {code}");
        let (before, clock) = body.split_once(" data-now=\"").unwrap();
        bodies.insert(format!("{before}{}", clock.split_once('"').unwrap().1));
    }
    assert_eq!(bodies.len(), 1, "the page tells which of them was wrong");
    assert_eq!(enter("nobody", PASSWORD, &code).0, 403);
    assert_eq!(count(&database, "sessions"), 0);
    let (status, cookie, _) = enter("admin", PASSWORD, &format!("{} {}", &code[..3], &code[3..]));
    assert_eq!((status, cookie), (303, true));
}

#[test]
fn five_failures_lock_a_network_out_for_five_minutes() {
    let (app, database) = service(|setup| setup.env("ENABLE_PROXY", "true"));
    let from = |address: &str| Browser::new(app.pages()).with("X-Forwarded-For", address);
    // A whole IPv6 network is one source; so is an address, however it is written.
    let sources = [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1"),
        ("198.51.100.7", "::ffff:198.51.100.7", "198.51.100.8"),
    ];
    for (first, same_source, other) in sources {
        for _ in 0..5 {
            assert_eq!(login(&mut from(first), "wrong horse battery", "").status, 403);
        }
        let page = login(&mut from(same_source), PASSWORD, "");
        assert_eq!(page.status, 429, "the right password gets in");
        let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
        assert!((270..=301).contains(&wait), "{wait}");
        assert!(page.body.contains("too many failed logins"), "{}", page.body);
        assert_eq!(login(&mut from(other), PASSWORD, "").status, 303);
    }
    age(&database, 301);
    assert_eq!(login(&mut from("198.51.100.7"), PASSWORD, "").status, 303);
}

#[test]
fn parallel_failures_do_not_outrun_the_limit_and_instances_share_it() {
    let (app, database) = service(|setup| setup);
    let second = app.setup.beside().start();
    crate::web::await_pages(&second);
    let tries: Vec<_> = (0..30)
        .map(|n| {
            let mut browser = Browser::new(if n % 2 == 0 { app.pages() } else { second.pages() });
            std::thread::spawn(move || login(&mut browser, "wrong horse battery", "").status)
        })
        .collect();
    let statuses: Vec<u16> = tries.into_iter().map(|one| one.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 25, "{statuses:?}");
    assert_eq!(count(&database, "login_attempts"), 5);
}

#[test]
fn a_hundred_failures_an_hour_are_enough_for_everybody() {
    let (app, database) = service(|setup| setup.env("ENABLE_PROXY", "true"));
    let statement = "insert into maildt.login_attempts (source, at)
        select '192.0.2.' || n || '/32', clock_timestamp() - interval '50 min' from generate_series(1, 99) n";
    database.query(statement, &[]).unwrap();
    let mut browser = Browser::new(app.pages()).with("X-Forwarded-For", "203.0.113.1");
    assert_eq!(login(&mut browser, "wrong horse battery", "").status, 403);
    let page = login(&mut browser, PASSWORD, "");
    assert_eq!(page.status, 429);
    let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
    assert!((590..=601).contains(&wait), "{wait}");
    age(&database, 601);
    assert_eq!(login(&mut browser, PASSWORD, "").status, 303);
}

#[test]
fn a_forged_address_counts_only_from_a_trusted_proxy() {
    for (proxy, trusted) in [("false", None), ("true", Some("192.0.2.0/24"))] {
        let (app, _database) = service(|setup| {
            let setup = setup.env("ENABLE_PROXY", proxy);
            if let Some(trusted) = trusted { setup.env("TRUSTED_PROXIES", trusted) } else { setup }
        });
        let tries = (0..6).map(|n| {
            let mut forger = Browser::new(app.pages()).with("X-Forwarded-For", &format!("203.0.113.{n}"));
            login(&mut forger, "wrong horse battery", "").status
        });
        assert_eq!(tries.collect::<Vec<_>>(), [403, 403, 403, 403, 403, 429]);
    }
    let (app, _database) = service(|setup| setup.env("ENABLE_PROXY", "true"));
    let tries = (0..6).map(|n| {
        let line = format!("203.0.113.{n}, 198.51.100.7");
        let mut forger = Browser::new(app.pages()).with("X-Forwarded-For", &line);
        login(&mut forger, "wrong horse battery", "").status
    });
    assert_eq!(tries.collect::<Vec<_>>(), [403, 403, 403, 403, 403, 429], "what the client wrote counts");
}

#[test]
fn a_session_is_new_at_each_login_and_ends_at_logout() {
    let (app, database) = service(|setup| setup);
    let mut browser = Browser::new(app.pages());
    // An attacker's cookie, before the login.
    let planted = "A".repeat(43);
    browser.cookies.insert("maildt".to_owned(), planted.clone());
    login(&mut browser, PASSWORD, "");
    let first = browser.cookies["maildt"].clone();
    assert_ne!(first, planted);
    let mut attacker = Browser::new(app.pages());
    attacker.cookies.insert("maildt".to_owned(), planted);
    assert_eq!(attacker.get("/").leads_to(), "/login");
    login(&mut browser, PASSWORD, "");
    let second = browser.cookies["maildt"].clone();
    assert_ne!(first, second);
    attacker.cookies.insert("maildt".to_owned(), first);
    assert_eq!(attacker.get("/").leads_to(), "/login", "the session before lives on");
    assert_eq!(browser.get("/").status, 200);
    let stored: Vec<u8> = database.query("select token_digest from maildt.sessions", &[]).unwrap()[0].get(0);
    assert_ne!(
        data_encoding::BASE64URL_NOPAD.decode(second.as_bytes()).unwrap(),
        stored,
        "the token itself is stored"
    );
    assert_eq!(browser.get("/logout").status, 405, "a look ends a session");
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(browser.post("/logout", &[]).leads_to(), "/login?left=1");
    assert!(browser.cookies.is_empty());
    assert_eq!(count(&database, "sessions"), 0);
    attacker.cookies.insert("maildt".to_owned(), second);
    assert_eq!(attacker.get("/").leads_to(), "/login", "the cookie works after the logout");
}

#[test]
fn a_session_ends_after_30_idle_minutes_and_after_12_hours() {
    let (app, database) = service(|setup| setup);
    let mut browser = logged_in(&app);
    age(&database, 29 * 60);
    assert_eq!(browser.get("/").status, 200);
    age(&database, 29 * 60);
    assert_eq!(browser.get("/").status, 200, "the look before did not prolong it");
    age(&database, 31 * 60);
    assert_eq!(browser.get("/").leads_to(), "/login");
    let mut browser = logged_in(&app);
    let statement = "update maildt.sessions set created_at = created_at - interval '12 hours', seen_at = clock_timestamp()";
    database.query(statement, &[]).unwrap();
    assert_eq!(browser.get("/").leads_to(), "/login");
}

#[test]
fn another_password_user_or_secret_ends_all_sessions() {
    let (mut app, _database) = service(|setup| setup);
    for (name, value) in
        [("ADMIN_PASSWORD", "another horse battery"), ("ADMIN_USER", "anna"), ("ADMIN_TOTP_SECRET", SECRET)]
    {
        let mut browser = Browser::new(app.pages());
        let password = if name == "ADMIN_PASSWORD" { PASSWORD } else { "another horse battery" };
        let user = if name == "ADMIN_TOTP_SECRET" { "anna" } else { "admin" };
        let page = browser.post("/login", &[("user", user), ("password", password)]);
        assert_eq!(page.leads_to(), "/", "{name}");
        app.kill9();
        app.start_again();
        crate::web::await_pages(&app);
        let mut again = browser.moved(app.pages());
        assert_eq!(again.get("/").status, 200, "a restart alone ended the session");
        app.kill9();
        app.setup = app.setup.clone().env(name, value);
        app.start_again();
        crate::web::await_pages(&app);
        let mut again = browser.moved(app.pages());
        assert_eq!(again.get("/").leads_to(), "/login", "{name}");
    }
}

#[test]
fn a_password_changed_in_the_file_ends_sessions_at_once() {
    let (mut app, _database) =
        service(|setup| setup.without("ADMIN_PASSWORD").top(&format!("admin_password = \"{PASSWORD}\"")));
    let mut browser = logged_in(&app);
    app.setup = app.setup.clone().top("admin_password = \"another horse battery\"");
    app.setup.write();
    app.signal(Signal::SIGHUP);
    eventually(s(10), "the session has ended", || same(&browser.get("/").status, &303));
    let page = browser.post("/login", &[("user", "admin"), ("password", "another horse battery")]);
    assert_eq!(page.leads_to(), "/");
}

#[test]
fn a_login_leads_to_the_page_that_was_asked_for_and_never_elsewhere() {
    let (app, _database) = service(|setup| setup);
    let mut browser = Browser::new(app.pages());
    let enter = |browser: &mut Browser, next: &str| {
        let page = browser.post("/login", &[("user", "admin"), ("password", PASSWORD), ("next", next)]);
        page.leads_to().to_owned()
    };
    let asked = browser.get("/incidents?state=open").leads_to().to_owned();
    let form = browser.get(&asked);
    assert!(form.body.contains("name=\"next\" value=\"/incidents?state=open\""), "{}", form.body);
    assert_eq!(enter(&mut browser, "/incidents?state=open"), "/incidents?state=open");
    for next in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/%2f/evil.example",
        "/%5cevil.example",
        "/\t/evil.example",
        "/x\r\nSet-Cookie: a=b",
        "",
        "evil.example",
        "/..//evil.example",
    ] {
        assert_eq!(enter(&mut browser, next), "/", "{next:?}");
        let query = crate::lab::browser::encode(&[("next", next)]);
        let page = browser.get(&format!("/login?{query}"));
        assert_eq!(page.leads_to(), "/", "whoever is logged in is led to {next:?}");
        let page = Browser::new(app.pages()).get(&format!("/login?{query}"));
        assert!(page.body.contains("name=\"next\" value=\"/\""), "{next:?}: {}", page.body);
    }
}

#[test]
fn plain_http_from_afar_is_refused_with_the_reason_unless_allowed() {
    let refused = service(|setup| setup.env("PUBLIC_URL", "http://maildt.lab.test"));
    let mut browser = Browser::new(refused.0.pages());
    let page = browser.get("/login");
    assert!(page.body.contains("ALLOW_INSECURE_HTTP=true") && !page.body.contains("<form"), "{}", page.body);
    assert_eq!(login(&mut browser, PASSWORD, "").status, 403);
    assert!(browser.cookies.is_empty());
    let allowed =
        service(|setup| setup.env("PUBLIC_URL", "http://maildt.lab.test").env("ALLOW_INSECURE_HTTP", "true"));
    let mut browser = logged_in(&allowed.0);
    for path in ["/", "/login?left=1", "/nowhere"] {
        let page = if path.starts_with("/login") {
            Browser::new(allowed.0.pages()).get(path)
        } else {
            browser.get(path)
        };
        assert!(page.body.contains("ALLOW_INSECURE_HTTP is set"), "no banner on {path}");
    }
}

#[test]
fn without_a_second_factor_every_page_warns() {
    let says = |app: &App, browser: &mut Browser, path: &str| {
        let page = browser.get(path);
        so(page.body.contains("needs no second factor"), || {
            format!("{path} of {:?}: {}", app.pages(), page.body)
        })
    };
    let (app, _database) = service(|setup| setup);
    let mut browser = logged_in(&app);
    for path in ["/", "/nowhere"] {
        says(&app, &mut browser, path).unwrap();
    }
    let (app, _database) = service(|setup| setup.env("ADMIN_TOTP_SECRET", SECRET));
    let mut browser = Browser::new(app.pages());
    assert_eq!(login(&mut browser, PASSWORD, &code()).leads_to(), "/");
    says(&app, &mut browser, "/").unwrap_err();
}
