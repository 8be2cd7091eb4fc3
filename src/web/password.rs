//! The two things that a login proves.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::sync::{Mutex, Semaphore};
use totp_rs::Builder;
use tracing::error;
use zeroize::Zeroizing;

use crate::cli::hash_password::hash;
use crate::config::{Admin, Credential, TotpSecret};
use crate::secret::Secret;

/// Passwords checked at once: each check takes 64 MiB and a processor.
const AT_ONCE: usize = 2;

/// Checks passwords, a few at a time and away from the async workers.
pub struct Passwords {
    places: Arc<Semaphore>,
    /// The hash of a password that the configuration has in plain, and which password that was.
    hashed: Mutex<Option<(Option<Credential>, Secret)>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), hashed: Mutex::default() }
    }
}

impl Passwords {
    /// Makes the hash that logins are checked against.
    pub async fn prepare(&self, admin: &Admin) {
        self.hash_of(admin).await;
    }

    /// Whether user and password are right. It takes as long for a wrong user as for a wrong password.
    pub async fn are_right(&self, admin: &Admin, user: &str, password: Zeroizing<String>) -> bool {
        let Some(hash) = self.hash_of(admin).await else { return false };
        let right = self
            .calculate(move || {
                let parsed = PasswordHash::new(hash.reveal()).ok()?;
                Some(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await;
        let known = same(admin.user.as_bytes(), user.as_bytes());
        // Where there is no password, nobody knows the one that was hashed; all the same.
        known & right.unwrap_or(false) & admin.credential.is_some()
    }

    async fn hash_of(&self, admin: &Admin) -> Option<Secret> {
        if let Some(Credential::Hash(hash)) = &admin.credential {
            return Some(hash.clone());
        }
        let mut hashed = self.hashed.lock().await;
        if let Some((credential, hash)) = &*hashed
            && *credential == admin.credential
        {
            return Some(hash.clone());
        }
        let password = match &admin.credential {
            Some(Credential::Password(password)) => password.clone(),
            _ => Secret::new(data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 32]>())),
        };
        let made =
            self.calculate(move || hash(password.reveal(), &rand::random()).ok().map(Secret::new)).await;
        if made.is_none() {
            error!("the admin password cannot be hashed; nobody can log in");
        }
        *hashed = made.clone().map(|hash| (admin.credential.clone(), hash));
        made
    }

    /// Does it when one of the few places is free. The place is kept until it is done, whoever has gone away meanwhile.
    async fn calculate<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        done.await.ok().flatten()
    }
}

/// The time step that `code` belongs to: the current one, or one either side for clocks that differ (RFC 6238, section 5.2).
pub fn matched_step(secret: &TotpSecret, code: &str, now: Timestamp) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The configuration decides how short a secret may be.
    let totp = Builder::new().with_secret(secret.reveal().to_vec()).build_noncompliant();
    let step = totp.check(&digits, u64::try_from(now.as_second()).ok()?)?;
    i64::try_from(step).ok()
}

/// Compares in a time that does not tell how much is the same.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    let key: [u8; 32] = rand::random();
    let mac = |text: &[u8]| {
        Hmac::<Sha256>::new_from_slice(&key)
            .unwrap_or_else(|_| unreachable!("any length is a key"))
            .chain_update(text)
    };
    mac(left).verify(&mac(right).finalize().into_bytes()).is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Purpose};

    fn admin(settings: &[(&str, &str)]) -> Admin {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, settings, Purpose::Serve).unwrap().admin
    }

    async fn enters(passwords: &Passwords, admin: &Admin, user: &str, password: &str) -> bool {
        passwords.are_right(admin, user, Zeroizing::new(password.to_owned())).await
    }

    #[tokio::test]
    async fn only_the_right_user_with_the_right_password_enters() {
        let passwords = Passwords::default();
        let hash = hash("correct horse battery", &[3; 16]).unwrap();
        for admin in [
            admin(&[("ADMIN_USER", "ann"), ("ADMIN_PASSWORD", "correct horse battery")]),
            admin(&[("ADMIN_USER", "ann"), ("ADMIN_PASSWORD_HASH", &hash)]),
        ] {
            assert!(enters(&passwords, &admin, "ann", "correct horse battery").await);
            for (user, password) in [
                ("ann", "correct horse battery "),
                ("ann", ""),
                ("Ann", "correct horse battery"),
                ("", "correct horse battery"),
                ("ann ", "correct horse battery"),
                ("", ""),
            ] {
                assert!(!enters(&passwords, &admin, user, password).await, "{user:?} {password:?}");
            }
        }
        // The configuration was read again.
        let other = admin(&[("ADMIN_USER", "ann"), ("ADMIN_PASSWORD", "another horse battery")]);
        assert!(!enters(&passwords, &other, "ann", "correct horse battery").await);
        assert!(enters(&passwords, &other, "ann", "another horse battery").await);
        let closed = Admin { user: "ann".to_owned(), credential: None, totp: None };
        assert!(!enters(&passwords, &closed, "ann", "").await);
    }

    #[tokio::test]
    async fn two_passwords_are_checked_at_once_and_no_more() {
        let passwords = Arc::new(Passwords::default());
        let (tell, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let check = |name: u8| {
            let (hold, released) = std::sync::mpsc::channel::<()>();
            let (passwords, tell) = (Arc::clone(&passwords), tell.clone());
            let work = move || {
                let _ = tell.send(name);
                released.recv().err().map(|_| ())
            };
            (hold, tokio::spawn(async move { passwords.calculate(work).await }))
        };
        let mut checks = std::collections::BTreeMap::new();
        for name in 0..3 {
            checks.insert(name, check(name));
        }
        let (first, second) = (starts.recv().await.unwrap(), starts.recv().await.unwrap());
        let third = tokio::time::timeout(Duration::from_millis(200), starts.recv()).await;
        assert!(third.is_err(), "a third began");
        // Whoever goes away makes no room before the work is done.
        let (brake, check) = checks.remove(&first).unwrap();
        check.abort();
        let _ = check.await;
        assert_eq!(passwords.places.available_permits(), 0);
        drop(brake);
        let third = starts.recv().await.unwrap();
        assert!(third != first && third != second);
    }

    /// The vectors of RFC 6238, appendix B, with six digits.
    #[test]
    fn codes_are_right_for_a_step_either_side() {
        let secret = admin(&[
            ("ADMIN_PASSWORD", "correct horse battery"),
            ("ADMIN_TOTP_SECRET", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
        ])
        .totp
        .unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for (second, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            let step = second / 30;
            for off in [-30, 0, 30] {
                assert_eq!(matched_step(&secret, code, at(second + off)), Some(step), "{second} {off}");
            }
            for off in [-60, 60] {
                assert_eq!(matched_step(&secret, code, at(second + off)), None, "{second} {off}");
            }
        }
        assert_eq!(matched_step(&secret, " 287 082\n", at(59)), Some(1));
        for code in ["", "28708", "2870822", "28708a", "２８７０８２", "-87082", "+87082"] {
            assert_eq!(matched_step(&secret, code, at(59)), None, "{code}");
        }
    }

    #[test]
    fn comparing_compares() {
        assert!(same(b"token", b"token"));
        assert!(!same(b"token", b"tokeN") && !same(b"token", b"") && !same(b"", b"token"));
    }
}
