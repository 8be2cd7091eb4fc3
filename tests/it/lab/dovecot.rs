//! Dovecot: IMAP, LMTP with Sieve, and the logins of both servers.
//!
//! Every name `…@lab.test` is a user, made by being used. Folder `Junk` is made at the first login.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::certificates::{Certificates, Presents};
use super::ground::{free_port, test_env};
use super::process::{Process, run};
use super::wait::{eventually, s};

/// The domain of all users.
pub const DOMAIN: &str = "lab.test";
/// The password of all users.
pub const PASSWORD: &str = "probe-pass-1";

/// What the tag of `user+TAG@lab.test` asks for, besides the tags that Postfix knows.
const SIEVE: &str = r#"require ["envelope", "subaddress", "fileinto", "mailbox", "vacation", "variables", "editheader"];
if envelope :detail :is "to" "junk" { fileinto :create "Junk"; stop; }
if envelope :detail :is "to" "archive" { fileinto :create "Archive"; stop; }
if envelope :detail :is "to" "away" { vacation :days 1 "I am away."; }
if envelope :detail :matches "to" "redirect-*" { redirect "${1}@lab.test"; stop; }
if envelope :detail :matches "to" "list-*" {
  set "to" "${1}";
  if header :matches "Subject" "*" { set "subject" "${1}"; }
  deleteheader "Subject";
  addheader "Subject" "[list] ${subject}";
  addheader "List-Id" "<list.lab.test>";
  redirect "${to}@lab.test";
  stop;
}
"#;

/// A running Dovecot.
pub struct Dovecot {
    process: Process,
    directory: PathBuf,
    root: PathBuf,
    pub imap: u16,
    pub imaps: u16,
}

impl Dovecot {
    /// Where its programs are, or why it cannot run here.
    pub fn root() -> Result<PathBuf, String> {
        let root = PathBuf::from(test_env("MAILDT_TEST_DOVECOT_ROOT").unwrap_or_else(|| "/".to_owned()));
        for needed in ["usr/sbin/dovecot", "usr/lib/dovecot/imap", "usr/lib/dovecot/lmtp", "usr/bin/sievec"] {
            if !root.join(needed).exists() {
                return Err(format!(
                    "{} is missing (Debian: dovecot-imapd dovecot-lmtpd dovecot-sieve)",
                    root.join(needed).display()
                ));
            }
        }
        Ok(root)
    }

    /// Starts it; what Sieve redirects goes to `submission`, a port of this machine.
    pub fn start(directory: &Path, root: &Path, certificates: &Certificates, submission: u16) -> Self {
        let (imap, imaps) = (free_port(), free_port());
        for folder in ["run", "mail", "home", "sieve"] {
            fs::create_dir_all(directory.join(folder)).unwrap();
        }
        for folder in ["mail", "home"] {
            chown(directory.join(folder), Some(mail_uid()), Some(mail_uid())).unwrap();
        }
        let script = directory.join("sieve/before.sieve");
        fs::write(&script, SIEVE).unwrap();
        let config = directory.join("dovecot.conf");
        fs::write(&config, configuration(directory, root, certificates, [imap, imaps, submission])).unwrap();
        run(program(root, "usr/bin/sievec").arg("-c").arg(&config).arg(&script));
        let mut dovecot = program(root, "usr/sbin/dovecot");
        dovecot.args(["-F", "-c"]).arg(&config);
        let process = Process::start(&mut dovecot, Signal::SIGTERM, &directory.join("stderr.log"));
        let this = Self { process, directory: directory.to_owned(), root: root.to_owned(), imap, imaps };
        eventually(s(20), "Dovecot listens", || {
            let ready =
                directory.join("run/lmtp-postfix").exists() && directory.join("run/auth-postfix").exists();
            if ready && std::net::TcpStream::connect(("127.0.0.1", imap)).is_ok() {
                return Ok(());
            }
            Err(format!("{}\n{}", this.process.output(), this.log()))
        });
        this
    }

    /// The Maildir of a user (`name` without the domain).
    pub fn maildir(&self, name: &str) -> PathBuf {
        self.directory.join("mail").join(name)
    }

    /// The log: deliveries with Message-ID and microseconds.
    pub fn log(&self) -> String {
        super::process::read_lossy(&self.directory.join("dovecot.log"))
    }

    pub fn lmtp_socket(&self) -> PathBuf {
        self.directory.join("run/lmtp-postfix")
    }

    pub fn auth_socket(&self) -> PathBuf {
        self.directory.join("run/auth-postfix")
    }

    /// Runs `doveadm`.
    pub fn doveadm(&self, arguments: &[&str]) -> String {
        run(program(&self.root, "usr/bin/doveadm")
            .arg("-c")
            .arg(self.directory.join("dovecot.conf"))
            .args(arguments))
    }
}

/// Owner of all mail. The kernel counts inotify instances by user, and every IDLE takes one: a number of our own keeps other
/// programs of the machine out of the account.
pub fn mail_uid() -> u32 {
    40_000 + std::process::id() % 20_000
}

fn program(root: &Path, path: &str) -> Command {
    let mut command = Command::new(root.join(path));
    command.current_dir("/").env("TZ", "UTC").env("LD_LIBRARY_PATH", library_path(root));
    command
}

fn library_path(root: &Path) -> String {
    ["usr/lib/dovecot", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"]
        .map(|path| root.join(path).display().to_string())
        .join(":")
}

fn configuration(
    directory: &Path,
    root: &Path,
    certificates: &Certificates,
    [imap, imaps, submission]: [u16; 3],
) -> String {
    let dir = directory.display();
    let uid = mail_uid();
    let addresses = Presents::ALL.map(|p| p.address().to_string()).join(", ");
    let good = certificates.server(Presents::Good);
    let good = good.display();
    let mut text = format!(
        r#"base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/dovecot.log
log_timestamp = "%Y-%m-%dT%H:%M:%S.%{{usecs}} "
deliver_log_format = msgid=%m %$
submission_host = 127.0.0.1:{submission}
import_environment = LD_LIBRARY_PATH
protocols = imap lmtp
listen = {addresses}
recipient_delimiter = +
first_valid_uid = 1
mail_location = maildir:{dir}/mail/%Ln
mail_fsync = never
mail_max_userip_connections = 200
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = yes
ssl_cert = <{good}
ssl_key = <{good}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    auto = create
    special_use = \Junk
  }}
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={dir}/home/%Ln
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener auth-postfix {{
    mode = 0666
  }}
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 500
}}
service lmtp {{
  process_min_avail = 2
  unix_listener lmtp-postfix {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = sieve
  postmaster_address = postmaster@{DOMAIN}
}}
plugin {{
  sieve = file:{dir}/home/none;active={dir}/home/none.sieve
  sieve_before = {dir}/sieve/before.sieve
  sieve_extensions = +editheader
}}
"#
    );
    for presents in [Presents::WrongName, Presents::Untrusted, Presents::Expired] {
        let file = certificates.server(presents);
        let (address, file) = (presents.address(), file.display());
        writeln!(text, "local {address} {{\n  ssl_cert = <{file}\n  ssl_key = <{file}\n}}").unwrap();
    }
    if root != Path::new("/") {
        let root = root.display();
        writeln!(
            text,
            "libexec_dir = {root}/usr/lib/dovecot\nmail_plugin_dir = {root}/usr/lib/dovecot/modules\n\
             auth_socket_path = auth-userdb"
        )
        .unwrap();
    }
    text
}
