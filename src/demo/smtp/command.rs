//! Commands of RFC 5321 and its extensions, parsed from a line.

/// A command line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ehlo(String),
    Helo(String),
    StartTls,
    Auth { mechanism: String, initial: Option<String> },
    Mail { path: String, size: Option<usize> },
    Rcpt { path: String },
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
}

/// A refusal: the whole reply without its CRLF.
pub(super) type Refused = &'static str;

const SYNTAX: Refused = "501 5.5.4 Syntax error in parameters";
const NOT_ASCII: Refused = "553 5.6.7 Address must be ASCII";

/// Parses one line without its CRLF.
pub(super) fn parse(line: &[u8]) -> Result<Command, Refused> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Err("500 5.5.2 Syntax error, command is not text");
    };
    if line.contains(['\r', '\n', '\0']) {
        return Err("500 5.5.2 Syntax error, control character in command");
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(SYNTAX) };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => domain(rest).map(Command::Ehlo),
        "HELO" => domain(rest).map(Command::Helo),
        "STARTTLS" => alone(Command::StartTls),
        "AUTH" => {
            let mut words = rest.split_ascii_whitespace();
            let mechanism = words.next().ok_or(SYNTAX)?.to_ascii_uppercase();
            let initial = words.next().map(str::to_owned);
            if words.next().is_some() { Err(SYNTAX) } else { Ok(Command::Auth { mechanism, initial }) }
        }
        "MAIL" => mail(rest),
        "RCPT" => rcpt(rest),
        "DATA" => alone(Command::Data),
        "RSET" => alone(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "QUIT" => alone(Command::Quit),
        "VRFY" | "EXPN" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        _ => Err("500 5.5.1 Command not recognized"),
    }
}

fn domain(text: &str) -> Result<String, Refused> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(fits) {
        return Err("501 5.5.4 A domain or address literal is needed");
    }
    Ok(text.to_owned())
}

fn mail(rest: &str) -> Result<Command, Refused> {
    let (path, parameters) = path_after(rest, "FROM:")?;
    let mut size = None;
    for parameter in parameters.split_ascii_whitespace() {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match key.to_ascii_uppercase().as_str() {
            "SIZE" => size = Some(value.parse().map_err(|_| SYNTAX)?),
            "BODY" if value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME") => {}
            "AUTH" => {}
            _ => return Err("555 5.5.4 Unsupported parameter"),
        }
    }
    if !path.is_empty() {
        address(&path)?;
    }
    Ok(Command::Mail { path, size })
}

fn rcpt(rest: &str) -> Result<Command, Refused> {
    let (path, parameters) = path_after(rest, "TO:")?;
    if !parameters.trim().is_empty() {
        return Err("555 5.5.4 Unsupported parameter");
    }
    address(&path)?;
    Ok(Command::Rcpt { path })
}

/// The mailbox between the angle brackets after `keyword`, and what follows. A source route is dropped, as RFC 5321
/// appendix C allows.
fn path_after<'a>(rest: &'a str, keyword: &str) -> Result<(String, &'a str), Refused> {
    let head = rest.get(..keyword.len()).ok_or(SYNTAX)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(SYNTAX);
    }
    let rest = rest.get(keyword.len()..).unwrap_or_default().trim_start();
    let inner = rest.strip_prefix('<').ok_or("501 5.5.4 The address needs angle brackets")?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let path = inner.get(..at).unwrap_or_default();
                let after = inner.get(at + 1..).unwrap_or_default();
                let path = match path.strip_prefix('@') {
                    Some(route) => route.split_once(':').ok_or(SYNTAX)?.1,
                    None => path,
                };
                return Ok((path.to_owned(), after));
            }
            _ => {}
        }
    }
    Err("501 5.5.4 The address has no closing angle bracket")
}

/// Checks a mailbox (RFC 5321 sections 4.1.2 and 4.5.3.1).
fn address(path: &str) -> Result<(), Refused> {
    if !path.is_ascii() {
        return Err(NOT_ASCII);
    }
    let (local, domain) = path.rsplit_once('@').ok_or("501 5.1.3 The address has no domain")?;
    let quoted = local.len() >= 2 && local.starts_with('"') && local.ends_with('"');
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let local_fits = !local.is_empty() && local.len() <= 64 && (quoted || local.bytes().all(atom));
    let label = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    let domain_fits = !domain.is_empty() && domain.len() <= 255 && domain.bytes().all(label);
    if local_fits && domain_fits { Ok(()) } else { Err("501 5.1.3 Bad address syntax") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let mail = |path: &str, size| Ok(Command::Mail { path: path.into(), size });
        assert_eq!(parse(b"ehlo client.test"), Ok(Command::Ehlo("client.test".into())));
        assert_eq!(parse(b"HELO [127.0.0.1]"), Ok(Command::Helo("[127.0.0.1]".into())));
        assert_eq!(parse(b"MAIL FROM:<a@b.test> BODY=8BITMIME SIZE=12"), mail("a@b.test", Some(12)));
        assert_eq!(parse(b"mail from:<>"), mail("", None));
        assert_eq!(parse(b"MAIL FROM: <a@b.test>"), mail("a@b.test", None));
        assert_eq!(parse(b"RCPT TO:<@x.test:a@b.test>"), Ok(Command::Rcpt { path: "a@b.test".into() }));
        assert_eq!(parse(b"RCPT TO:<\"a>b\"@c.test>"), Ok(Command::Rcpt { path: "\"a>b\"@c.test".into() }));
        assert_eq!(
            parse(b"AUTH plain AAAA"),
            Ok(Command::Auth { mechanism: "PLAIN".into(), initial: Some("AAAA".into()) })
        );
        assert_eq!(parse(b"NOOP whatever"), Ok(Command::Noop));
    }

    #[test]
    fn refusals() {
        let refused: [(&[u8], &str); 14] = [
            (b"EHLO", "501"),
            (b"EHLO a b", "501"),
            (b"MAIL FROM:a@b.test", "501"),
            (b"MAIL FROM:<a@b.test", "501"),
            (b"MAIL FROM:<a>", "501"),
            (b"MAIL FROM:<a@b.test> SIZE=x", "501"),
            (b"MAIL FROM:<a@b.test> RET=HDRS", "555"),
            (b"RCPT TO:<>", "501"),
            (b"RCPT TO:<\xc3\xa4@b.test>", "553"),
            (b"RCPT TO:<a b@c.test>", "501"),
            (b"DATA now", "501"),
            (b"XYZZY", "500"),
            (b"\xff\xfe", "500"),
            (b"MAIL FROM:<a@b\r.test>", "500"),
        ];
        for (line, code) in refused {
            let result = parse(line);
            assert!(result.is_err_and(|reply| reply.starts_with(code)), "{}", line.escape_ascii());
        }
    }
}
