//! The session's cookie and what it holds.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{Admin, Credential, PublicUrl};
use crate::store::SessionKey;

/// As long as a session lives at most.
const MAX_AGE_S: u32 = 43_200;

/// 256 random bits that only the browser keeps.
#[derive(Clone)]
pub struct Token(Zeroizing<[u8; 32]>);

impl Token {
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(*self.0).into()
    }

    /// What the database knows the session by. The credential is keyed with the token, which the database does not have: a
    /// copy of the database is no help in guessing the password. It ends every session when it changes.
    pub fn key(&self, admin: &Admin) -> SessionKey {
        let (kind, secret) = match &admin.credential {
            None => (b'-', ""),
            Some(Credential::Password(password)) => (b'p', password.reveal()),
            Some(Credential::Hash(hash)) => (b'h', hash.reveal()),
        };
        let totp = admin.totp.as_ref().map_or(&[][..], |totp| totp.reveal());
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).unwrap_or_else(|_| unreachable!("any length is a key"));
        mac.update(&[kind]);
        for part in [admin.user.as_bytes(), secret.as_bytes(), totp] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        SessionKey { token_digest: self.digest(), credential: mac.finalize().into_bytes().into() }
    }
}

/// Under https the name itself makes the browser insist on Secure, this host and the whole site.
fn name(public: &PublicUrl) -> &'static str {
    if public.url.scheme() == "https" { "__Host-maildt" } else { "maildt" }
}

/// The token that came with a request.
pub fn read(headers: &HeaderMap, public: &PublicUrl) -> Option<Token> {
    let name = name(public);
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .find_map(|(_, value)| Token::parse(value))
}

/// Gives the browser a session.
pub fn set(token: &Token, public: &PublicUrl) -> HeaderValue {
    let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(*token.0));
    header(&value, MAX_AGE_S, public)
}

/// Takes it away.
pub fn clear(public: &PublicUrl) -> HeaderValue {
    header("", 0, public)
}

fn header(value: &str, max_age_s: u32, public: &PublicUrl) -> HeaderValue {
    let secure = if public.url.scheme() == "https" { "; Secure" } else { "" };
    let text =
        format!("{}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}", name(public));
    let mut header =
        HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!("base64 is allowed in a header"));
    header.set_sensitive(true);
    header
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::{Config, Purpose};

    fn config(settings: &[(&str, &str)]) -> Config {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, settings, Purpose::Serve).unwrap()
    }

    fn public(url: &str) -> PublicUrl {
        config(&[("ADMIN_PASSWORD", "correct horse battery"), ("PUBLIC_URL", url)]).public_url
    }

    #[test]
    fn the_public_url_decides_about_the_cookie() {
        let token = Token::new([7; 32]);
        let https = set(&token, &public("https://maildt.lab.test"));
        let https = https.to_str().unwrap();
        assert!(https.starts_with("__Host-maildt="), "{https}");
        assert!(https.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"), "{https}");
        let http = set(&token, &public("http://localhost:5000"));
        let http = http.to_str().unwrap();
        assert!(http.starts_with("maildt="), "{http}");
        assert!(http.ends_with("; HttpOnly; SameSite=Lax"), "{http}");
        assert!(
            clear(&public("https://maildt.lab.test")).to_str().unwrap().contains("=; Path=/; Max-Age=0;")
        );
    }

    #[test]
    fn a_cookie_reads_as_itself_and_nothing_else_does() {
        let public = public("http://localhost:5000");
        let token = Token::new([7; 32]);
        let line = set(&token, &public);
        let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        let digest = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(line).unwrap());
            read(&headers, &public).map(|token| token.digest())
        };
        assert_eq!(digest(&format!("a=b; {pair}; c")), Some(token.digest()));
        assert_eq!(digest(&format!("maildt=short; {pair}")), Some(token.digest()));
        let value = pair.split_once('=').unwrap().1;
        for line in [
            format!("__Host-{pair}"),
            format!("Maildt={value}"),
            format!("maildt={value}A"),
            "maildt=".to_owned(),
            format!("maildt={}", &value[1..]),
            format!("x{pair}"),
            "maildt".to_owned(),
            String::new(),
        ] {
            assert_eq!(digest(&line), None, "{line}");
        }
    }

    #[test]
    fn whatever_changes_about_the_login_makes_another_session() {
        let base = [("ADMIN_USER", "ann"), ("ADMIN_PASSWORD", "correct horse battery")];
        let totp = ("ADMIN_TOTP_SECRET", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
        let token = Token::new([7; 32]);
        let credential = |settings: &[(&str, &str)]| token.key(&config(settings).admin).credential;
        let first = credential(&base);
        assert_eq!(first, credential(&base));
        let others = [
            credential(&[("ADMIN_USER", "anna"), base[1]]),
            credential(&[base[0], ("ADMIN_PASSWORD", "correct horse battery2")]),
            credential(&[base[0], base[1], totp]),
            Token::new([8; 32]).key(&config(&base).admin).credential,
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(first, *other, "{place}");
        }
    }
}
