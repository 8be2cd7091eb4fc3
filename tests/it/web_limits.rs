//! The admin UI and clients that send too much, too slowly, or nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::lab::browser::{Browser, FORM, encode};
use crate::lab::wait::{eventually, s, same};
use crate::web::{PASSWORD, logged_in, service};

#[test]
fn a_form_of_more_than_64_kib_is_refused() {
    let (app, _database) = service(|setup| setup);
    let mut browser = Browser::new(app.pages());
    for (octets, status) in [(60 * 1024, 403), (64 * 1024, 413), (3 * 1024 * 1024, 413)] {
        let page = browser.post("/login", &[("user", "admin"), ("password", &"x".repeat(octets))]);
        assert_eq!(page.status, status, "{octets}");
    }
    // A length that is only claimed costs nothing.
    let mut stream = TcpStream::connect(app.pages()).unwrap();
    stream.set_read_timeout(Some(s(20))).unwrap();
    let head = "POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 99999999999\r\n\r\nuser=";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn slow_clients_are_cut_off_and_hold_nobody_up() {
    let (app, _database) = service(|setup| setup);
    let start = Instant::now();
    // Heads that never end, on more connections than there are places.
    let mut slow: Vec<TcpStream> = (0..700)
        .map(|_| {
            let mut stream = TcpStream::connect(app.pages()).unwrap();
            stream.set_read_timeout(Some(s(45))).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
            stream
        })
        .collect();
    eventually(s(40), "somebody else is served", || {
        let page = Browser::new(app.pages()).ask("GET", "/login", &[], b"")?;
        same(&page.status, &200)
    });
    assert!(app.healthy().is_ok());
    let mut rest = Vec::new();
    // 10 s for those with a place at once, and as much again for those who had to wait for one.
    drop(slow[0].read_to_end(&mut rest));
    assert!(start.elapsed() < s(25), "still connected after {:?}", start.elapsed());
}

#[test]
fn three_hundred_bad_values_never_make_a_fault() {
    let (app, _database) = service(|setup| setup.env("ENABLE_PROXY", "true"));
    let pieces = [
        "",
        "\0",
        "'",
        "\"><script>alert(1)</script>",
        "%00",
        "%",
        "%zz",
        "\u{202e}",
        "\u{feff}é🦀",
        "' or 1=1 --",
        "\r\n\r\n",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "../../../etc/passwd",
        "-1",
        "99999999999999999999",
        "NaN",
        "null",
        "[]",
        "{}",
    ];
    let mut inside = logged_in(&app);
    for n in 0..300 {
        let value = format!("{}{}", pieces[n % pieces.len()], pieces[n * 7 / pieces.len() % pieces.len()]);
        let address = format!("10.{}.{}.{}", n, n / 7, n % 7);
        let mut browser = Browser::new(app.pages()).with("X-Forwarded-For", &address);
        let fields = [("user", &*value), ("password", &value), ("code", &value), ("next", &value)];
        // Every name once with the value, some twice, some not at all; sometimes not even a form.
        let chosen: Vec<(&str, &str)> =
            (0..fields.len() + n % 3).map(|k| fields[(k * (n + 1)) % fields.len()]).collect();
        let body = if n % 5 == 4 { value.clone().into_bytes() } else { encode(&chosen).into_bytes() };
        let kinds = [
            "application/json",
            "multipart/form-data",
            "application/x-www-form-urlencoded; charset=utf-7",
            "",
        ];
        let kind = if n % 5 == 3 { kinds[n / 5 % kinds.len()] } else { FORM.1 };
        let headers = [("Sec-Fetch-Site", "same-origin"), ("Content-Type", kind)];
        let page = browser.ask("POST", "/login", &headers, &body).unwrap();
        assert!((400..500).contains(&page.status), "{value:?}: {page:?}");
        assert!(!page.body.contains("<script>"), "{}", page.body);
        let query =
            encode(&[("next", &value), ("left", &value), ("q", &value), ("sort", &value), ("page", &value)]);
        for path in [format!("/login?{query}"), format!("/?{query}"), format!("/{}", encode(&[("", &value)]))]
        {
            let page = inside.get(&path);
            assert!(page.status < 500, "{path}: {page:?}");
            assert!(!page.body.contains("<script>alert"), "{}", page.body);
        }
    }
    assert!(app.healthy().is_ok());
    assert!(!app.log().contains("panicked"), "{}", app.log_tail(40));
}

#[test]
fn what_was_typed_as_user_is_kept_and_escaped() {
    let (app, _database) = service(|setup| setup);
    let mut browser = Browser::new(app.pages());
    let page = browser.post("/login", &[("user", "<b>\"'&"), ("password", PASSWORD)]);
    assert_eq!(page.status, 403);
    assert!(page.body.contains("value=\"&lt;b&gt;&quot;'&amp;\""), "{}", page.body);
    assert!(!page.body.contains(PASSWORD), "the password is echoed");
}
