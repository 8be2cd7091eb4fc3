//! What a server reads is what was meant (RFC 5321, section 4.5.2), whatever it takes for the end of a line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lettre::transport::smtp::extension::ClientId;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::smtp::link::Link;
use crate::smtp::message;
use crate::smtp::wire::Wire;

const LIMIT: Duration = Duration::from_secs(20);

/// What lettre writes for a message, through our wire.
async fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let (ours, mut theirs) = duplex(1 << 20);
    let server = tokio::spawn(async move {
        theirs.write_all(b"220 mx\r\n").await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n") {
            heard.push(theirs.read_u8().await.unwrap());
        }
        theirs.write_all(b"250 mx\r\n").await.unwrap();
        heard.clear();
        while !heard.ends_with(b"\r\n.\r\n") && heard != b".\r\n" {
            heard.push(theirs.read_u8().await.unwrap());
        }
        theirs.write_all(b"250 ok\r\n").await.unwrap();
        theirs.read_to_end(&mut heard).await.unwrap();
        heard
    });
    let mut wire = Wire::new(Box::new(ours) as _, SocketAddr::from((Ipv4Addr::LOCALHOST, 25)));
    wire.greeting().await.unwrap();
    let mut link = Link::open(wire, &ClientId::default(), LIMIT).await.unwrap().1.unwrap();
    assert_eq!(link.message(message, LIMIT, LIMIT).await.unwrap(), 250);
    drop(link);
    server.await.unwrap()
}

/// What a server reads: lines end in `line_end` only, up to the first lone dot. Returns the message and what is left over,
/// which a server would take for commands.
fn serve<'a>(wire: &'a [u8], line_end: &[u8]) -> (Vec<u8>, &'a [u8]) {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        let at = rest.windows(line_end.len()).position(|w| w == line_end).expect("a final dot");
        let line = &rest[..at];
        rest = &rest[at + line_end.len()..];
        if line == b"." {
            return (message, rest);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        message.extend_from_slice(b"\r\n");
    }
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => Just("\r\n"), 9 => Just("."), 1 => Just("\r"), 1 => Just("\n"),
        4 => Just("a"), 2 => Just("MAIL FROM:<x>"), 2 => Just("é")
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    /// A strict server and one that takes a bare LF for a line end read the same: what we meant, and nothing behind it.
    #[test]
    fn every_server_reads_what_was_meant(message in messages()) {
        let sound = !String::from_utf8_lossy(&message).replace("\r\n", "").contains(['\r', '\n']);
        prop_assert_eq!(message::check(&message).is_ok(), sound);
        if sound {
            let mut meant = message.clone();
            if !meant.ends_with(b"\r\n") { meant.extend_from_slice(b"\r\n"); }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let wire = runtime.block_on(on_the_wire(&message));
            prop_assert_eq!(serve(&wire, b"\r\n"), (meant.clone(), &b""[..]));
            let lenient: Vec<u8> = wire.iter().copied().filter(|&b| b != b'\r').collect();
            prop_assert_eq!(serve(&lenient, b"\n"), (meant, &b""[..]));
        }
    }
}
