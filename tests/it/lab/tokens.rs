//! Finding probe tokens in bytes, on purpose without the program's own parser.

/// Every token `v1.<uuid>.<26 base32 characters>` in the order of appearance, each once.
pub fn tokens_in(bytes: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for window in bytes.windows(LENGTH) {
        if window.starts_with(b"v1.") && is_token(window) {
            let token = String::from_utf8(window.to_vec()).unwrap();
            if !found.contains(&token) {
                found.push(token);
            }
        }
    }
    found
}

/// The probe's identity in a token.
pub fn probe_of(token: &str) -> uuid::Uuid {
    token[3..39].parse().unwrap()
}

/// The same token with another last character but one: the last carries unused bits.
pub fn altered(token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let place = bytes.len() - 2;
    bytes[place] = if bytes[place] == b'a' { b'b' } else { b'a' };
    String::from_utf8(bytes).unwrap()
}

const LENGTH: usize = 3 + 36 + 1 + 26;

fn is_token(window: &[u8]) -> bool {
    let (uuid, mac) = (&window[3..39], &window[40..]);
    window[39] == b'.'
        && uuid.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        && mac.iter().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

#[test]
fn tokens_are_found_once_each() {
    let token = "v1.0190d4f5-7a2b-8c3d-9e4f-001122334455.abcdefghijklmnopqrstuvwxyz";
    let text = format!("Subject: MAILDT-PROBE: {token}\r\nMessage-ID: <{token}@x>\r\nv1.no");
    assert_eq!(tokens_in(text.as_bytes()), [token]);
    assert_eq!(probe_of(token).to_string(), "0190d4f5-7a2b-8c3d-9e4f-001122334455");
    assert_ne!(altered(token), token);
    assert_eq!(tokens_in(altered(token).as_bytes()), [altered(token)]);
}
