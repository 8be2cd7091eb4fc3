//! `maildt totp`: a new secret for the second factor, ready for an authenticator app.

use std::fmt::Write as _;

use data_encoding::BASE32_NOPAD;
use qrcodegen::{QrCode, QrCodeEcc};
use zeroize::Zeroizing;

/// Octets of a new secret: 160 bit, as RFC 4226, section 4, recommends.
pub const SECRET_LENGTH: usize = 20;
/// Light modules around a QR code (ISO/IEC 18004 asks for 4; terminals have room for 2, which apps read as well).
const MARGIN: i32 = 2;

/// A new secret in the forms that people and apps need.
pub struct Enrolment {
    /// For `ADMIN_TOTP_SECRET`.
    pub secret: Zeroizing<String>,
    /// For apps; holds the secret.
    pub uri: Zeroizing<String>,
}

/// Makes a secret of random octets. `account` is what the app shows beside "MailDT".
#[must_use]
pub fn enrol(random: &[u8; SECRET_LENGTH], account: &str) -> Enrolment {
    let secret = Zeroizing::new(BASE32_NOPAD.encode(random));
    let account = percent_encode(account);
    let uri = format!(
        "otpauth://totp/MailDT:{account}?secret={}&issuer=MailDT&algorithm=SHA1&digits=6&period=30",
        secret.as_str()
    );
    Enrolment { secret, uri: Zeroizing::new(uri) }
}

impl Enrolment {
    /// What the command prints. In colours, the QR code is dark on light whatever the terminal's colours are.
    #[must_use]
    pub fn text(&self, colours: bool) -> Zeroizing<String> {
        let mut text = format!("ADMIN_TOTP_SECRET={}\n{}\n", self.secret.as_str(), self.uri.as_str());
        if let Ok(code) = QrCode::encode_text(&self.uri, QrCodeEcc::Low) {
            text.push('\n');
            text.push_str(&draw(&code, colours));
        }
        Zeroizing::new(text)
    }
}

/// Two rows of modules in one line of text, by half blocks. Without colours the light modules are drawn, for the usual
/// light text on dark ground.
fn draw(code: &QrCode, colours: bool) -> String {
    let drawn = |x, y| code.get_module(x, y) == colours;
    let (low, high) = (-MARGIN, code.size() + MARGIN);
    let mut text = String::new();
    for y in (low..high).step_by(2) {
        if colours {
            text.push_str("\u{1b}[38;5;16;48;5;231m");
        }
        for x in low..high {
            let lower = y + 1 < high && drawn(x, y + 1);
            text.push(match (drawn(x, y), lower) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push_str(if colours { "\u{1b}[0m\n" } else { "\n" });
    }
    text
}

/// Leaves the unreserved characters of RFC 3986, section 2.3, as they are.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_uri_is_what_apps_expect() {
        let enrolment = enrol(&[0xa5; 20], "böse:admin?");
        let uri = reqwest::Url::parse(&enrolment.uri).unwrap();
        assert_eq!((uri.scheme(), uri.host_str()), ("otpauth", Some("totp")));
        assert_eq!(uri.path(), "/MailDT:b%C3%B6se%3Aadmin%3F");
        let query: Vec<(String, String)> = uri.query_pairs().into_owned().collect();
        let expected = [
            ("secret", enrolment.secret.as_str()),
            ("issuer", "MailDT"),
            ("algorithm", "SHA1"),
            ("digits", "6"),
        ];
        for (got, (name, value)) in query.iter().zip(expected) {
            assert_eq!((got.0.as_str(), got.1.as_str()), (name, value));
        }
    }

    #[test]
    fn the_secret_is_accepted_by_the_configuration_without_a_warning() {
        let enrolment = enrol(&[0x5a; 20], "admin");
        let environment = [
            ("ADMIN_PASSWORD".to_owned(), "correct horse battery".to_owned()),
            ("ADMIN_TOTP_SECRET".to_owned(), enrolment.secret.to_string()),
        ];
        let config = crate::config::Config::load(None, environment, crate::config::Purpose::Serve).unwrap();
        assert_eq!(config.admin.totp.unwrap().reveal(), &[0x5a; 20]);
        assert!(!config.warnings.iter().any(|warning| warning.contains("TOTP")), "{:?}", config.warnings);
    }

    #[test]
    fn the_drawing_holds_every_module() {
        let code = QrCode::encode_text("otpauth://totp/x", QrCodeEcc::Low).unwrap();
        for colours in [true, false] {
            let text = draw(&code, colours).replace("\u{1b}[38;5;16;48;5;231m", "").replace("\u{1b}[0m", "");
            let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
            for y in 0..code.size() {
                for x in 0..code.size() {
                    let (column, row) =
                        (usize::try_from(x + MARGIN).unwrap(), usize::try_from(y + MARGIN).unwrap());
                    let halves = if row % 2 == 0 { ['█', '▀'] } else { ['█', '▄'] };
                    let is_drawn = halves.contains(lines.get(row / 2).unwrap().get(column).unwrap());
                    assert_eq!(is_drawn, code.get_module(x, y) == colours, "{x},{y}");
                }
            }
        }
    }
}
