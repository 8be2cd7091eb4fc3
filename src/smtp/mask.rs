//! Takes credentials out of text that a server sent: some echo what they were given.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use crate::config::Account;

const HIDDEN: &str = "[redacted]";
/// A part this long of an encoded secret is taken for an echo of it; a shorter one is chance.
const TELLING: usize = 8;
/// Below this length a password may stand inside ordinary words: only whole words are hidden.
const SHORT: usize = 4;

/// The password and the forms in which it goes over the wire.
#[derive(Default)]
pub(super) struct Mask {
    password: Zeroizing<String>,
    encoded: Vec<Zeroizing<String>>,
}

impl Mask {
    pub(super) fn new(account: &Account) -> Self {
        let password = account.pass.reveal();
        if password.is_empty() {
            return Self::default();
        }
        let forms = [plain(account), Zeroizing::new(BASE64_STANDARD.encode(password))];
        let encoded = forms.into_iter().map(|f| Zeroizing::new(f.trim_end_matches('=').to_owned())).collect();
        Self { password: Zeroizing::new(password.to_owned()), encoded }
    }

    /// `text` without the password or its base64 forms, whole or in part.
    pub(super) fn apply(&self, text: &str) -> String {
        if self.password.is_empty() {
            return text.to_owned();
        }
        let text = if self.password.len() < SHORT {
            replace_runs(text, char::is_alphanumeric, |word| word == self.password.as_str())
        } else {
            text.replace(self.password.as_str(), HIDDEN)
        };
        replace_runs(&text, |c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'), |run| self.echoes(run))
    }

    fn echoes(&self, run: &str) -> bool {
        self.encoded.iter().any(|secret| {
            run == secret.as_str()
                || (run.len() >= TELLING && secret.contains(run))
                || (secret.len() >= TELLING && run.contains(secret.as_str()))
        })
    }
}

/// The initial response of AUTH PLAIN (RFC 4616).
fn plain(account: &Account) -> Zeroizing<String> {
    let message = Zeroizing::new(format!("\0{}\0{}", account.user, account.pass.reveal()));
    Zeroizing::new(BASE64_STANDARD.encode(message.as_bytes()))
}

/// Replaces each longest run of characters of a `kind` that is a `secret`.
fn replace_runs(text: &str, kind: impl Fn(char) -> bool, secret: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = kind(first);
        let end = rest.find(|c| kind(c) != inside).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        out.push_str(if inside && secret(run) { HIDDEN } else { run });
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::TlsMode;
    use crate::secret::Secret;

    fn account(user: &str, pass: &str) -> Account {
        Account {
            host: String::new(),
            port: 0,
            user: user.to_owned(),
            pass: Secret::new(pass),
            tls: TlsMode::Implicit,
        }
    }

    #[test]
    fn an_echoed_password_is_hidden_in_every_form() {
        let mask = Mask::new(&account("monitor", "c4nary-pass"));
        for echo in [
            "c4nary-pass",
            "AG1vbml0b3IAYzRuYXJ5LXBhc3M=",
            "AG1vbml0b3IAYzRuYXJ5LXBhc3M",
            "YzRuYXJ5LXBhc3M=",
            "b3IAYzRuYXJ5",
            "xxYzRuYXJ5LXBhc3Mxx",
        ] {
            let masked = mask.apply(&format!("535 not <{echo}>!"));
            assert!(masked.starts_with("535 not <[redacted]"), "{masked}");
            assert!(!masked.contains(echo.trim_end_matches('=')), "{masked}");
        }
        assert_eq!(mask.apply("5.7.8 authentication failed"), "5.7.8 authentication failed");
    }

    #[test]
    fn a_short_password_does_not_garble_every_word() {
        let mask = Mask::new(&account("a", "ok"));
        assert_eq!(mask.apply("Look: ok, queued"), "Look: [redacted], queued");
        assert_eq!(Mask::new(&account("a", "")).apply("nothing to hide"), "nothing to hide");
    }

    proptest! {
        #[test]
        fn no_password_of_usual_length_survives(pass in "[!-~]{8,24}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            prop_assume!(!HIDDEN.contains(&pass));
            let account = account("user", &pass);
            let mask = Mask::new(&account);
            for form in [pass.clone(), BASE64_STANDARD.encode(&pass), plain(&account).to_string()] {
                let masked = mask.apply(&format!("{before}{form}{after}"));
                prop_assert!(!masked.contains(form.trim_end_matches('=')), "{}", masked);
            }
        }
    }
}
