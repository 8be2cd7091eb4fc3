//! The recipients' forms and values that no person would type.

use crate::lab::browser::{Browser, FORM, encode};
use crate::web::{logged_in, service};
use crate::web_recipients::{added, form, is_well, with_accounts};

const PIECES: [&str; 40] = [
    "",
    " ",
    "\t",
    "\"><script>alert(1)</script>",
    "'",
    "' or 1=1 --",
    "&amp;",
    "%00",
    "%",
    "%zz",
    "\u{202e}gnp.exe",
    "\u{feff}",
    "é🦀",
    "\u{1b}[31m",
    "\r\n\r\n",
    "a\r\nBcc: all@lab.test",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "../../../etc/passwd",
    "-1",
    "0",
    "1e9",
    "99999999999999999999",
    "4294967296w",
    "30s30s30s",
    "1h-1h",
    "NaN",
    "inf",
    "null",
    "true",
    "[]",
    "{\"a\":1}",
    "a@b@c",
    "@",
    "a@[1.2.3.4]",
    "\"quoted\"@lab.test",
    "a@lab.test,b@lab.test",
    "<a@lab.test>",
    "changeme",
    "2026-13-45T99:99",
];

const FIELDS: [&str; 13] = [
    "address",
    "name",
    "interval",
    "alert_threshold",
    "alert_after",
    "return_mode",
    "sender",
    "mailbox",
    "discord",
    "email",
    "version",
    "until",
    "at",
];

fn post(browser: &mut Browser, path: &str, body: &[u8]) -> crate::lab::browser::Page {
    browser.ask("POST", path, &[("Sec-Fetch-Site", "same-origin"), FORM], body).unwrap()
}

#[test]
fn no_value_of_any_field_makes_a_fault_and_all_are_escaped() {
    let (app, _database) = service(with_accounts);
    let mut browser = logged_in(&app);
    let path = added(&mut browser, &[]);
    let mut seen = [0_u32; 600];
    for n in 0..640 {
        let value = format!("{}{}", PIECES[n % PIECES.len()], PIECES[n / PIECES.len() * 7 % PIECES.len()]);
        let field = FIELDS[n * 5 % FIELDS.len()];
        let unique = format!("odd {n}");
        let target = ["/recipients", "/edit", "/mute", "/adopt", "/delete"][n % 5];
        let whole = match target {
            "/recipients" => form(&[("name", &unique), (field, &value)]),
            "/edit" => form(&[("version", "1"), (field, &value)]),
            "/mute" => vec![("until", if n % 2 == 0 { "at" } else { &value }), ("at", &value)],
            "/adopt" => {
                vec![("version", "1"), (["return_mode", "alert_threshold", "mailbox"][n % 3], &*value)]
            }
            _ => vec![("version", &*value)],
        };
        let address = if target == "/recipients" { target.to_owned() } else { format!("{path}{target}") };
        let page = post(&mut browser, &address, encode(&whole).as_bytes());
        let what = format!("{address} {whole:?}: {page:?}");
        assert!(page.status < 500, "{what}");
        assert!(!page.body.contains("<script>alert"), "{what}");
        seen[usize::from(page.status)] += 1;
        let query = encode(&[("q", &value), ("state", &value), ("done", &value), ("try", &value)]);
        for address in [
            format!("/recipients?{query}"),
            format!("{path}?{query}"),
            format!("{path}/trial?{query}"),
            format!("/recipients/{}", encode(&[("", &value)])),
        ] {
            let page = browser.get(&address);
            assert!(page.status < 500 && !page.body.contains("<script>alert"), "{address}: {page:?}");
        }
    }
    eprintln!("by status: {:?}", seen.iter().enumerate().filter(|(_, n)| **n > 0).collect::<Vec<_>>());
    assert!(seen[422] > 100 && seen[400] > 50 && seen[303] > 10, "one of the ways was hardly gone");
    is_well(&app);
}

#[test]
fn what_no_form_of_ours_sends_is_refused() {
    let (app, database) = service(with_accounts);
    let mut browser = logged_in(&app);
    let path = added(&mut browser, &[]);
    let good = encode(&form(&[("name", "other")]));
    let long = "n".repeat(64 * 1024);
    for (body, status) in [
        (b"address=a%00@lab.test".to_vec(), 400),
        (b"address=%ff@lab.test".to_vec(), 400),
        (b"address=\xff".to_vec(), 400),
        (format!("{good}&name=third").into_bytes(), 400),
        (format!("{good}&admin=true").into_bytes(), 400),
        (format!("{good}&muted_until=2099-01-01T00:00:00Z").into_bytes(), 400),
        (b"name=only".to_vec(), 422),
        (Vec::new(), 422),
        (encode(&form(&[("name", &long)])).into_bytes(), 413),
        (encode(&form(&[("name", &long[..40_000])])).into_bytes(), 422),
        (b"&&&===&&".to_vec(), 400),
    ] {
        let page = post(&mut browser, "/recipients", &body);
        assert_eq!(page.status, status, "{}: {page:?}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        assert!(page.body.contains("<h1>"), "{page:?}");
    }
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let headers = [("Sec-Fetch-Site", "same-origin"), ("Content-Type", kind)];
        let page = browser.ask("POST", "/recipients", &headers, good.as_bytes()).unwrap();
        assert_eq!(page.status, 400, "{kind}");
    }
    // From another site.
    for rest in ["", "/edit", "/pause", "/mute", "/delete", "/probe", "/adopt"] {
        let address = if rest.is_empty() { "/recipients".to_owned() } else { format!("{path}{rest}") };
        let headers = [("Sec-Fetch-Site", "cross-site"), FORM];
        assert_eq!(
            browser.ask("POST", &address, &headers, good.as_bytes()).unwrap().status,
            403,
            "{address}"
        );
        assert_eq!(Browser::new(app.pages()).post(&address, &[]).leads_to(), "/login");
    }
    for id in ["0", "-1", "+1", "01", "1.0", "x", "%31%00", "99999999999", "2147483647", "1%2f", "new2"] {
        let page = browser.get(&format!("/recipients/{id}"));
        assert_eq!(page.status, 404, "{id}: {page:?}");
        let page = post(&mut browser, &format!("/recipients/{id}/pause"), b"");
        assert_eq!(page.status, 404, "{id}: {page:?}");
    }
    for (deed, method) in
        [("pause", "GET"), ("probe", "GET"), ("mute", "GET"), ("adopt", "GET"), ("trial", "POST")]
    {
        let headers = [("Sec-Fetch-Site", "same-origin"), FORM];
        assert_eq!(
            browser.ask(method, &format!("{path}/{deed}"), &headers, b"").unwrap().status,
            405,
            "{deed}"
        );
    }
    let count: i64 = database.query("select count(*) from maildt.recipients", &[]).unwrap()[0].get(0);
    assert_eq!(count, 1);
    is_well(&app);
}
