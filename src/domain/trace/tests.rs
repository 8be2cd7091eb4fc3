//! Forms of real servers, and hostile ones.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// What is read of a field: from, peer, by, protocol, id and time.
type Read<'a> =
    (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_forms_that_servers_write_are_read() {
    let cases: [(&str, &str, Read<'_>); 20] = [
        (
            "Postfix",
            "from mail.example.org (mail.example.org [192.0.2.1]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) \
             key-exchange X25519) (No client certificate requested) by mx.example.net (Postfix) with ESMTPS id 4XyZ1a2b \
             for <a@example.net>; Sun, 22 Nov 2026 10:00:00 +0000 (UTC)",
            (
                Some("mail.example.org"),
                Some("mail.example.org [192.0.2.1]"),
                Some("mx.example.net"),
                Some("ESMTPS"),
                Some("4XyZ1a2b"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Postfix, submitted",
            "from [192.0.2.7] (unknown [192.0.2.7]) (Authenticated sender: m@example.net) by mx.example.net (Postfix) with ESMTPSA \
             id 4X; Sun, 22 Nov 2026 11:00:00 +0100 (CET)",
            (
                Some("[192.0.2.7]"),
                Some("unknown [192.0.2.7]"),
                Some("mx.example.net"),
                Some("ESMTPSA"),
                Some("4X"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Postfix, local",
            "by mx.example.net (Postfix, from userid 1000) id 9A; Sun, 22 Nov 2026 10:00:00 +0000 (UTC)",
            (None, None, Some("mx.example.net"), None, Some("9A"), Some("2026-11-22T10:00:00Z")),
        ),
        (
            "amavis",
            "from mx.example.net ([127.0.0.1]) by localhost (mx.example.net [127.0.0.1]) (amavisd-new, port 10024) with ESMTP \
             id k9; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("mx.example.net"),
                Some("[127.0.0.1]"),
                Some("localhost"),
                Some("ESMTP"),
                Some("k9"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Exim",
            "from mail.example.org ([192.0.2.1]:51413 helo=mail.example.org) by mx.example.net with esmtps (TLS1.3) tls \
             TLS_AES_256_GCM_SHA384 (Exim 4.96) (envelope-from <a@example.org>) id 1oABcD-0001Ef-2G for b@example.net; \
             Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("mail.example.org"),
                Some("[192.0.2.1]:51413 helo=mail.example.org"),
                Some("mx.example.net"),
                Some("esmtps"),
                Some("1oABcD-0001Ef-2G"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Exim, local",
            "from root by mx.example.net with local (Exim 4.96) id 1oABcD-0001Ef-2G; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("root"),
                None,
                Some("mx.example.net"),
                Some("local"),
                Some("1oABcD-0001Ef-2G"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Exchange",
            "from AM6PR01MB0001.eurprd01.prod.exchangelabs.com (2603:10a6:20b:1::1) by AM6PR01MB0002.eurprd01.prod.exchangelabs.com \
             (2603:10a6:20b:2::2) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id \
             15.20.8182.10 via Frontend Transport; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("AM6PR01MB0001.eurprd01.prod.exchangelabs.com"),
                Some("2603:10a6:20b:1::1"),
                Some("AM6PR01MB0002.eurprd01.prod.exchangelabs.com"),
                Some("Microsoft SMTP Server"),
                Some("15.20.8182.10"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Exchange, in itself",
            "from VI1PR01.example ([fe80::1]) by VI1PR01.example ([fe80::1%5]) with mapi id 15.20.1.2; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("VI1PR01.example"),
                Some("[fe80::1]"),
                Some("VI1PR01.example"),
                Some("mapi"),
                Some("15.20.1.2"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Gmail",
            "from mail.example.org (mail.example.org. [192.0.2.1]) by mx.google.com with ESMTPS id a1-20020aa7 for <b@example.com> \
             (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); Sun, 22 Nov 2026 02:00:00 -0800 (PST)",
            (
                Some("mail.example.org"),
                Some("mail.example.org. [192.0.2.1]"),
                Some("mx.google.com"),
                Some("ESMTPS"),
                Some("a1-20020aa7"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Gmail, in itself",
            "by 2002:a05:6a10:e8a6:b0:4e0 with SMTP id n38csp1; Sun, 22 Nov 2026 02:00:00 -0800 (PST)",
            (
                None,
                None,
                Some("2002:a05:6a10:e8a6:b0:4e0"),
                Some("SMTP"),
                Some("n38csp1"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Sendmail",
            "from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.net (8.17.1/8.17.1) with ESMTPS id 2AMA00xx001234 \
             (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NOT) for <b@example.net>; Sun, 22 Nov 2026 10:00:00 GMT",
            (
                Some("mail.example.org"),
                Some("mail.example.org [192.0.2.1]"),
                Some("mx.example.net"),
                Some("ESMTPS"),
                Some("2AMA00xx001234"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Sendmail, local",
            "(from root@localhost) by mx.example.net (8.17.1/8.17.1/Submit) id 2AMA00xx; Sun, 22 Nov 2026 10:00:00 +0000",
            (None, None, Some("mx.example.net"), None, Some("2AMA00xx"), Some("2026-11-22T10:00:00Z")),
        ),
        (
            "OpenSMTPD",
            "from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.net (OpenSMTPD) with ESMTPS id 5f6a7b8c \
             (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO) for <b@example.net>; Sun, 22 Nov 2026 10:00:00 +0000 (UTC)",
            (
                Some("mail.example.org"),
                Some("mail.example.org [192.0.2.1]"),
                Some("mx.example.net"),
                Some("ESMTPS"),
                Some("5f6a7b8c"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "qmail, from outside",
            "from unknown (HELO mail.example.org) (192.0.2.1) by mx.example.net with SMTP; 22 Nov 2026 10:00:00 -0000",
            (
                Some("unknown"),
                Some("HELO mail.example.org, 192.0.2.1"),
                Some("mx.example.net"),
                Some("SMTP"),
                None,
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Dovecot LMTP",
            "from mx.example.net by mail.example.net with LMTP id QK1mF4 (envelope-from <a@example.org>) for <b@example.net>; \
             Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("mx.example.net"),
                None,
                Some("mail.example.net"),
                Some("LMTP"),
                Some("QK1mF4"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Cyrus",
            "from mx.example.net ([unix socket]) by mail.example.net (Cyrus 3.4.3) with LMTPA; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("mx.example.net"),
                Some("[unix socket]"),
                Some("mail.example.net"),
                Some("LMTPA"),
                None,
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "Domino",
            "from mail.example.org ([192.0.2.1]) by mx.example.net (HCL Domino Release 12.0.2) with ESMTP id 2026112211000000-1 ; \
             Sun, 22 Nov 2026 11:00:00 +0100",
            (
                Some("mail.example.org"),
                Some("[192.0.2.1]"),
                Some("mx.example.net"),
                Some("ESMTP"),
                Some("2026112211000000-1"),
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
        (
            "a date with comments, without a weekday and seconds",
            "from a by b; 22 (twenty-two) Nov 2026 (year) 10:00 +0000 (a (b))",
            (Some("a"), None, Some("b"), None, None, Some("2026-11-22T10:00:00Z")),
        ),
        (
            "a zone that means nothing",
            "from a by b; Sun, 22 Nov 2026 10:00:00 CEST",
            (Some("a"), None, Some("b"), None, None, None),
        ),
        (
            "a comment that does not end",
            "from a (b by c with ESMTP id 7; Sun, 22 Nov 2026 10:00:00 +0000",
            (
                Some("a"),
                Some("b by c with ESMTP id 7; Sun, 22 Nov 2026 10:00:00 +0000"),
                None,
                None,
                None,
                Some("2026-11-22T10:00:00Z"),
            ),
        ),
    ];
    for (server, text, (from, peer, by, protocol, id, at)) in cases {
        let Hop::Stamp(stamp) = Hop::of(text) else { panic!("{server}: unreadable") };
        let time = stamp.at.map(|at| at.to_string());
        assert_eq!(
            (
                stamp.from.as_deref(),
                stamp.peer.as_deref(),
                stamp.by.as_deref(),
                stamp.protocol.as_deref(),
                stamp.id.as_deref(),
                time.as_deref()
            ),
            (from, peer, by, protocol, id, at),
            "{server}"
        );
    }
}

#[test]
fn qmail_names_nobody_and_is_not_given_a_name() {
    let Hop::Stamp(stamp) = Hop::of("(qmail 4711 invoked by uid 89); 22 Nov 2026 10:00:00 -0000") else {
        panic!("unreadable")
    };
    assert_eq!((stamp.from, stamp.by), (None, None));
    assert_eq!(stamp.note.as_deref(), Some("qmail 4711 invoked by uid 89"));
    assert_eq!(stamp.at.unwrap().to_string(), "2026-11-22T10:00:00Z");
}

#[test]
fn what_cannot_be_read_is_kept_as_it_is() {
    for text in ["", "hello", "(a comment)", "; Sun, 22 Nov 2026 10:00:00 +0000", "for <a@b>; x"] {
        assert_eq!(Hop::of(text), Hop::Unreadable(text.to_owned()));
    }
}

#[test]
fn hops_stand_in_the_order_of_the_way_and_too_many_are_counted() {
    let field =
        |n: usize| format!("Received: from a by mx{n}\r\n\twith SMTP; Sun, 22 Nov 2026 10:00:00 +0000\r\n");
    let header: String = (0..40).rev().map(field).collect();
    let trace = trace(format!("{header}Subject: x\r\n\r\nReceived: by body\r\n").as_bytes(), 500);
    assert_eq!((trace.hops.len(), trace.omitted), (MOST_HOPS, 10));
    let by = |hop: Option<&Hop>| match hop {
        Some(Hop::Stamp(stamp)) => stamp.by.clone(),
        _ => None,
    };
    assert_eq!(
        (by(trace.hops.first()).as_deref(), by(trace.hops.last()).as_deref()),
        (Some("mx10"), Some("mx39"))
    );
}

proptest! {
    #[test]
    fn any_field_is_read_within_bounds(text in "(from|by|with|id|for|via|[a-zé\\[\\]<>;:+0-9()\\\\\" ]){0,80}") {
        let hop = Hop::of(&text);
        let size = serde_json::to_string(&hop).map_or(0, |json| json.len());
        prop_assert!(size < 4096, "{} octets", size);
    }

    #[test]
    fn any_header_is_read_within_bounds(raw: Vec<u8>, part in "[a-z(;\\[ ]{1,12}", times in 0_usize..4_000) {
        let _ = trace(&raw, 500);
        let header = format!("Received: {}\r\n", part.repeat(times)).repeat(40);
        let trace = trace(header.as_bytes(), 500);
        prop_assert_eq!((trace.hops.len(), trace.omitted), (MOST_HOPS, 10));
        let size = serde_json::to_string(&trace).map_or(0, |json| json.len());
        prop_assert!(size < 32 * 1024, "{} octets", size);
    }
}
