//! `maildt hash-password`: from a password to what `ADMIN_PASSWORD_HASH` takes.

use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::config::admin::check_password;
use crate::secret::Secret;

/// Cost of new hashes: memory in KiB, passes, lanes.
const COST: (u32, u32, u32) = (65_536, 3, 4);

/// Why there is no hash. No message holds the password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the password {0}")]
    Refused(String),
    #[error("the two passwords differ; start again")]
    Differ,
    #[error("no password was given; type one, or pipe one in")]
    Nothing,
    #[error("cannot read the password: {0}")]
    Read(#[from] std::io::Error),
    #[error("argon2: {0}")]
    Argon2(String),
}

/// The argon2id hash of a password as a PHC string. Takes about a tenth of a second and 64 MiB.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<String, Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|e| Error::Argon2(e.to_string()))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(|e| Error::Argon2(e.to_string()))
}

/// Reads a password, from a terminal twice and without echo, otherwise one line, and answers its hash.
pub fn run(salt: &[u8; 16]) -> Result<String, Error> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() { ask(&stdin)? } else { read_line(&mut stdin.lock())? };
    check_password(&Secret::new(password.as_str())).map_err(|fault| Error::Refused(fault.to_string()))?;
    hash(&password, salt)
}

fn ask(stdin: &std::io::Stdin) -> Result<Zeroizing<String>, Error> {
    let _silence = Silence::start(stdin)?;
    let mut stderr = std::io::stderr();
    let mut prompt = |text: &str| -> Result<Zeroizing<String>, Error> {
        write!(stderr, "{text}")?;
        stderr.flush()?;
        let line = read_line(&mut stdin.lock());
        writeln!(stderr)?;
        line
    };
    let first = prompt("New password: ")?;
    let second = prompt("Again: ")?;
    if first == second { Ok(first) } else { Err(Error::Differ) }
}

fn read_line(input: &mut impl BufRead) -> Result<Zeroizing<String>, Error> {
    let mut line = Zeroizing::new(String::new());
    input.read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(Error::Nothing) } else { Ok(Zeroizing::new(password.to_owned())) }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence<'a> {
    stdin: &'a std::io::Stdin,
    before: nix::sys::termios::Termios,
}

impl<'a> Silence<'a> {
    fn start(stdin: &'a std::io::Stdin) -> Result<Self, Error> {
        let before = tcgetattr(stdin.as_fd()).map_err(std::io::Error::from)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &silent).map_err(std::io::Error::from)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.stdin.as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use argon2::password_hash::PasswordVerifier;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn a_hash_has_the_promised_cost_and_verifies() {
        let text = hash("correct horse battery", &[3; 16]).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{text}");
        let parsed = PasswordHash::new(&text).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse battery", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"wrong horse battery", &parsed).is_err());
    }

    #[test]
    fn the_hash_is_accepted_by_the_configuration() {
        let hash = hash("correct horse battery", &[3; 16]).unwrap();
        let environment = [("ADMIN_PASSWORD_HASH".to_owned(), hash)];
        assert!(crate::config::Config::load(None, environment, crate::config::Purpose::Serve).is_ok());
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        assert_eq!(read_line(&mut b"pass word \r\nrest".as_slice()).unwrap().as_str(), "pass word ");
        assert!(matches!(read_line(&mut b"\n".as_slice()), Err(Error::Nothing)));
        assert!(matches!(read_line(&mut b"".as_slice()), Err(Error::Nothing)));
    }
}
