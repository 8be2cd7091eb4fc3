//! The identity that a server gives to a message it accepts: what an operator looks for in the server's log.

/// Longest identity that is believed to be one.
const MAX: usize = 128;

/// The queue id in the text of a final 2xx, in the forms of well-known servers; `None` for any other text.
///
/// Postfix: `Ok: queued as ID`. Exim: `OK id=ID`. Exchange: `<…> [InternalId=ID, …]`. Gmail: `OK TIME ID - gsmtp`. Sendmail
/// and `OpenSMTPD`: `ID Message accepted for delivery`. qmail: `ok TIME qp ID`.
pub(super) fn queue_id(text: &str) -> Option<String> {
    let after = |marker: &str| text.split_once(marker).map(|(_, rest)| rest);
    let first = |rest: &str| rest.split_whitespace().next().map(str::to_owned);
    let last = |before: &str| before.split_whitespace().next_back().map(str::to_owned);
    let before = |marker: &str| text.split_once(marker).map(|(before, _)| before);

    after("queued as ")
        .and_then(first)
        .or_else(|| after("[InternalId=").and_then(first))
        .or_else(|| before(" - gsmtp").and_then(last))
        .or_else(|| before(" Message accepted for delivery").and_then(last))
        .or_else(|| after(" qp ").and_then(first))
        .or_else(|| text.split_whitespace().find_map(|word| word.strip_prefix("id=")).map(str::to_owned))
        .map(|id| id.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned())
        .filter(|id| (1..=MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn well_known_servers_name_their_queue_ids() {
        for (server, text, id) in [
            ("Postfix", "Ok: queued as 4bTq1x3Kz9z2xJ", Some("4bTq1x3Kz9z2xJ")),
            (
                "Postfix behind a filter",
                "from MTA(smtp:[::1]:10025): 250 2.0.0 Ok: queued as 8AFC1",
                Some("8AFC1"),
            ),
            ("Exim", "OK id=1tXyZ0-000000005Qe-2abC", Some("1tXyZ0-000000005Qe-2abC")),
            (
                "Exchange",
                "<c7@x.example> [InternalId=25138, Hostname=EX1.example] 1509 bytes in 0.1, 10 KB/sec Queued mail for delivery",
                Some("25138"),
            ),
            (
                "Gmail",
                "OK  1700000000 a1-20020a5d4441000000b0032d9f32b96csm57 - gsmtp",
                Some("a1-20020a5d4441000000b0032d9f32b96csm57"),
            ),
            ("OpenSMTPD", "1a2b3c4d Message accepted for delivery", Some("1a2b3c4d")),
            ("Sendmail", "5AB1C2d3001234 Message accepted for delivery", Some("5AB1C2d3001234")),
            ("qmail", "ok 1700000000 qp 12345", Some("12345")),
            ("relayed by Dovecot", "Ok: queued as 4bTq1x", Some("4bTq1x")),
            ("unknown", "Ok", None),
            ("unknown", "Message accepted", None),
            ("unknown", "", None),
            ("empty", "queued as ", None),
            ("no word", "queued as ...", None),
        ] {
            assert_eq!(queue_id(text).as_deref(), id, "{server}");
        }
    }

    proptest! {
        #[test]
        fn any_id_in_a_known_form_is_found(id in "[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20}){0,2}") {
            for text in [
                format!("Ok: queued as {id}"),
                format!("OK id={id}"),
                format!("{id} Message accepted for delivery"),
                format!("OK 1 {id} - gsmtp"),
                format!("ok 1 qp {id}"),
                format!("<m@x> [InternalId={id}, Hostname=h] Queued"),
            ] {
                prop_assert_eq!(queue_id(&text), Some(id.clone()), "{}", text);
            }
        }

        #[test]
        fn whatever_the_text_an_id_is_one_short_word(text: String) {
            if let Some(id) = queue_id(&text) {
                prop_assert!(id.len() <= MAX && id.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
