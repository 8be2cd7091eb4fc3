//! What may go over the wire between DATA and the final dot (RFC 5321, section 2.3.8). lettre sees to the dots.

/// RFC 5321, section 4.5.3.1.6, without the CRLF.
const MAX_LINE: usize = 998;

/// Why a message cannot be sent as it is. Ours are composed correctly, so this is a fault of the program; it is better told
/// than sent, for a bare CR or LF is how one message is smuggled past another's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("the message has a CR or LF that is not part of a CRLF")]
    BareLineEnd,
    #[error("the message has a NUL")]
    Nul,
    #[error("the message has a line longer than {MAX_LINE} bytes")]
    LongLine,
    #[error("the message has bytes that are no UTF-8")]
    NotUtf8,
}

/// Whether `message` can be sent.
pub(super) fn check(message: &[u8]) -> Result<(), Invalid> {
    if std::str::from_utf8(message).is_err() {
        return Err(Invalid::NotUtf8);
    }
    let mut lines = message.split(|&b| b == b'\n');
    // What stands behind the last LF has none; every line before it must end in the CR of its CRLF.
    let rest = lines.next_back().unwrap_or_default();
    lines.map(|line| line.strip_suffix(b"\r").ok_or(Invalid::BareLineEnd)).chain([Ok(rest)]).try_for_each(
        |line| match line? {
            line if line.contains(&b'\r') => Err(Invalid::BareLineEnd),
            line if line.contains(&0) => Err(Invalid::Nul),
            line if line.len() > MAX_LINE => Err(Invalid::LongLine),
            _ => Ok(()),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_read_differently_is_not_sent() {
        for smuggled in [
            &b"a\n.\nMAIL FROM:<x>\r\n"[..],
            b"a\r\n.\n",
            b"a\n.\r\n",
            b"a\r.\r\n",
            b"a\r.\r",
            b"a\r",
            b"\n",
            b"a\r\r\n",
        ] {
            assert_eq!(check(smuggled), Err(Invalid::BareLineEnd), "{smuggled:?}");
        }
        assert_eq!(check(b"a\0b\r\n"), Err(Invalid::Nul));
        assert_eq!(check(b"a\xffb\r\n"), Err(Invalid::NotUtf8));
        assert_eq!(check(&[b'x'; MAX_LINE]), Ok(()));
        assert_eq!(check(&[b'x'; MAX_LINE + 1]), Err(Invalid::LongLine));
    }
}
