//! Messages that no client should stumble over, and messages that are none of its business.

/// A message from somebody to somebody, told apart from others by its number.
pub(super) fn foreign(number: u32) -> Vec<u8> {
    format!(
        "Return-Path: <sender{number}@elsewhere.test>\r\n\
         Received: from elsewhere.test ([192.0.2.1])\r\n\tby mail.demo.test with ESMTPS id F{number:08X};\r\n\
         \tMon, 01 Jan 2024 00:00:00 +0000\r\n\
         Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n\
         From: Sender {number} <sender{number}@elsewhere.test>\r\n\
         To: monitor@demo.test\r\n\
         Subject: Minutes of meeting {number}\r\n\
         Message-ID: <{number}.minutes@elsewhere.test>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         Nothing was decided.\r\n"
    )
    .into_bytes()
}

/// Hostile and broken messages, each with a word for what is wrong with it. `lure` is put where a client looks for what
/// it wants, for example a header field like `X-MailDT-Probe: …`; it is given without CRLF.
#[must_use]
pub fn messages(lure: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lure = lure.as_bytes();
    let join = |parts: &[&[u8]]| parts.concat();
    vec![
        ("empty", Vec::new()),
        ("only a line end", b"\r\n".to_vec()),
        ("no header", b"\r\njust a body\r\n".to_vec()),
        ("no empty line", join(&[lure, b"\r\nSubject: x\r\n"])),
        ("no final line end", join(&[b"Subject: x\r\n", lure])),
        ("bare line feeds", join(&[b"Subject: x\n", lure, b"\n\nbody\n"])),
        ("bare carriage returns", join(&[b"Subject: x\r", lure, b"\r\rbody\r"])),
        ("NUL in header and body", join(&[b"Sub\0ject: \0\r\n", lure, b"\0\r\n\r\n\0\0\0"])),
        (
            "eight bits",
            join(&[b"Subject: \xff\xfe\x80\xc3\r\n\xe4\xf6\xfc: \xdf\r\n", lure, b"\r\n\r\n\xc3\x28"]),
        ),
        ("no colon", join(&[b"this is not a field\r\n", lure, b"\r\n\r\n"])),
        ("no field name", join(&[b": nothing\r\n: : :\r\n", lure, b"\r\n\r\n"])),
        ("folds without a field", join(&[b" folded\r\n\tfolded\r\n", lure, b"\r\n\r\n"])),
        ("folded lure", join(&[&fold_after_colon(lure), b"\r\n\r\n"])),
        ("twice the lure", join(&[lure, b"\r\n", lure, b"\r\n\r\n"])),
        ("10,000 fields", join(&[&b"X-Many: x\r\n".repeat(10_000), lure, b"\r\n\r\n"])),
        (
            "10 MiB of header",
            join(&[b"X-Long: ", &b"x".repeat(10 * 1024 * 1024), b"\r\n", lure, b"\r\n\r\n"]),
        ),
        (
            "10 MiB of folds",
            join(&[b"X-Fold:", &b"\r\n x".repeat(10 * 1024 * 1024 / 4), b"\r\n", lure, b"\r\n\r\n"]),
        ),
        (
            "dates beyond reason",
            join(&[
                b"Date: ",
                &b"(".repeat(100_000),
                b"\r\nReceived: ; 99 Foo 99999 99:99:99 +9999\r\n",
                lure,
                b"\r\n\r\n",
            ]),
        ),
        (
            "nested multiparts",
            join(&[
                lure,
                b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
                &b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(10_000),
            ]),
        ),
        ("IMAP in the header", join(&[b"Subject: x) {5}\r\nX: \"\\\r\n", lure, b"\r\n\r\n* 1 EXPUNGE\r\n"])),
    ]
}

/// Puts a fold after the first colon.
fn fold_after_colon(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|b| *b == b':').map_or(field.len(), |at| at + 1);
    let (name, value) = field.split_at(colon);
    [name, b"\r\n\t", value].concat()
}
