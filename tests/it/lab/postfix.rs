//! Postfix: submission in all TLS modes, and plain on loopback for faults on the wire.
//!
//! `user+twice@lab.test` gets two copies; `user+bounce@lab.test` is accepted and comes back as a delivery status notification;
//! other tags are Sieve's (see [`super::dovecot`]). What is decided at run time is [`super::policy`]'s.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::User;

use super::certificates::{Certificates, Presents};
use super::dovecot::{DOMAIN, Dovecot};
use super::ground::{free_port, ground, test_env};
use super::policy::Policy;
use super::process::{Process, run};
use super::wait::{eventually, s};

/// A running Postfix.
pub struct Postfix {
    process: Process,
    directory: PathBuf,
    root: PathBuf,
    /// Without TLS; with login, and from here (127.0.0.0/8) also without.
    pub plain: u16,
    /// STARTTLS, required, with login.
    pub submission: u16,
    /// TLS from the first byte, with login.
    pub smtps: u16,
}

impl Postfix {
    /// Where its programs are, or why it cannot run here.
    pub fn root() -> Result<PathBuf, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("Postfix starts as root only".to_owned());
        }
        let root = PathBuf::from(test_env("MAILDT_TEST_POSTFIX_ROOT").unwrap_or_else(|| "/".to_owned()));
        for needed in ["usr/sbin/postfix", "usr/lib/postfix/sbin/master"] {
            if !root.join(needed).exists() {
                return Err(format!("{} is missing (Debian: postfix)", root.join(needed).display()));
            }
        }
        match User::from_name("postfix") {
            Ok(Some(_)) => Ok(root),
            _ => Err("there is no user postfix".to_owned()),
        }
    }

    pub fn start(
        directory: &Path,
        root: &Path,
        certificates: &Certificates,
        dovecot: &Dovecot,
        policy: &Policy,
        plain: u16,
    ) -> Self {
        let config = directory.join("etc");
        for folder in [&config, &directory.join("spool"), &directory.join("data")] {
            fs::create_dir_all(folder).unwrap();
        }
        let owner = User::from_name("postfix").unwrap().unwrap();
        chown(directory.join("data"), Some(owner.uid.as_raw()), None).unwrap();
        let (submission, smtps) = (free_port(), free_port());
        fs::write(config.join("main.cf"), main_cf(directory, root, certificates, dovecot, policy)).unwrap();
        fs::write(config.join("master.cf"), master_cf(certificates, plain, submission, smtps)).unwrap();
        fs::write(config.join("aliases"), aliases()).unwrap();
        fs::write(config.join("transport"), "no-such-place.test error:5.1.1 bounced by the test\n").unwrap();
        // Makes the queue directories. `postfix start-fg` would leave a shell between us and the master.
        run(program(root, "usr/sbin/postfix").arg("-c").arg(&config).arg("check"));
        let mut master = program(root, "usr/lib/postfix/sbin/master");
        master.arg("-s").arg("-c").arg(&config).env("MAIL_CONFIG", &config).env("MAIL_LOGTAG", "postfix");
        let process = Process::start(&mut master, Signal::SIGTERM, &directory.join("stderr.log"));
        let this = Self {
            process,
            directory: directory.to_owned(),
            root: root.to_owned(),
            plain,
            submission,
            smtps,
        };
        eventually(s(30), "Postfix listens", || {
            match [plain, submission, smtps].map(|p| std::net::TcpStream::connect(("127.0.0.1", p)).is_ok()) {
                [true, true, true] => Ok(()),
                _ => Err(format!("{}\n{}", this.process.output(), this.log())),
            }
        });
        this
    }

    pub fn log(&self) -> String {
        super::process::read_lossy(&self.directory.join("postfix.log"))
    }

    /// The queue ids of what is on hold for an address.
    pub fn held(&self, recipient: &str) -> Vec<String> {
        let listing = run(self.tool("usr/sbin/postqueue").arg("-j"));
        let entries = listing.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        entries
            .filter(|entry| entry["queue_name"] == "hold")
            .filter(|entry| {
                let recipients = entry["recipients"].as_array().map(Vec::as_slice).unwrap_or_default();
                recipients
                    .iter()
                    .filter_map(|r| r["address"].as_str())
                    .any(|address| address.eq_ignore_ascii_case(recipient))
            })
            .filter_map(|entry| entry["queue_id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Lets go what is on hold, and delivers it now.
    pub fn release(&self, queue_ids: &[String]) {
        for id in queue_ids {
            run(self.tool("usr/sbin/postsuper").args(["-H", id]));
            run(self.tool("usr/sbin/postqueue").args(["-i", id]));
        }
    }

    fn tool(&self, path: &str) -> Command {
        let mut command = program(&self.root, path);
        command.arg("-c").arg(self.directory.join("etc"));
        command
    }
}

fn program(root: &Path, path: &str) -> Command {
    let mut command = Command::new(root.join(path));
    command.current_dir("/").env("LD_LIBRARY_PATH", root.join("usr/lib/postfix"));
    command
}

fn main_cf(
    directory: &Path,
    root: &Path,
    certificates: &Certificates,
    dovecot: &Dovecot,
    policy: &Policy,
) -> String {
    let dir = directory.display();
    let program = |path: &str| root.join(path).display().to_string();
    let settings = [
        ("compatibility_level", "3.6".to_owned()),
        ("queue_directory", format!("{dir}/spool")),
        ("data_directory", format!("{dir}/data")),
        ("command_directory", program("usr/sbin")),
        ("daemon_directory", program("usr/lib/postfix/sbin")),
        ("shlib_directory", program("usr/lib/postfix")),
        (
            "meta_directory",
            if root == Path::new("/") { "/etc/postfix".to_owned() } else { program("etc/postfix") },
        ),
        ("import_environment", "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG LD_LIBRARY_PATH TZ".to_owned()),
        ("maillog_file", format!("{dir}/postfix.log")),
        ("maillog_file_prefixes", ground().root().display().to_string()),
        ("multi_instance_name", format!("postfix-it-{}", std::process::id())),
        ("myhostname", format!("mail.{DOMAIN}")),
        ("mydestination", String::new()),
        ("mynetworks", "127.0.0.0/8".to_owned()),
        ("inet_protocols", "ipv4".to_owned()),
        ("disable_dns_lookups", "yes".to_owned()),
        ("smtpd_peername_lookup", "no".to_owned()),
        ("alias_maps", String::new()),
        ("alias_database", String::new()),
        // Nothing leaves this machine.
        ("default_transport", "error:5.4.0 this is a test server".to_owned()),
        ("transport_maps", format!("texthash:{dir}/etc/transport")),
        ("recipient_delimiter", "+".to_owned()),
        ("virtual_mailbox_domains", DOMAIN.to_owned()),
        ("virtual_mailbox_maps", "static:all".to_owned()),
        ("virtual_alias_maps", format!("regexp:{dir}/etc/aliases")),
        ("virtual_transport", format!("lmtp:unix:{}", dovecot.lmtp_socket().display())),
        ("lmtp_destination_recipient_limit", "1".to_owned()),
        ("smtpd_sasl_type", "dovecot".to_owned()),
        ("smtpd_sasl_path", dovecot.auth_socket().display().to_string()),
        ("smtpd_sasl_auth_enable", "yes".to_owned()),
        ("smtpd_tls_chain_files", certificates.server(Presents::Good).display().to_string()),
        (
            "smtpd_recipient_restrictions",
            format!("check_policy_service inet:{0}, permit_mynetworks, reject", policy.address()),
        ),
        ("smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, reject".to_owned()),
        ("smtpd_end_of_data_restrictions", format!("check_policy_service inet:{}", policy.address())),
        ("smtpd_error_sleep_time", "0".to_owned()),
        ("smtpd_soft_error_limit", "1000".to_owned()),
        ("smtpd_hard_error_limit", "1000".to_owned()),
        ("in_flow_delay", "0s".to_owned()),
        ("default_process_limit", "200".to_owned()),
        ("message_size_limit", "4194304".to_owned()),
    ];
    settings.map(|(name, value)| format!("{name} = {value}\n")).concat()
}

fn master_cf(certificates: &Certificates, plain: u16, submission: u16, smtps: u16) -> String {
    let login = "-o smtpd_client_restrictions=permit_sasl_authenticated,reject";
    let mut text = format!("127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none\n");
    for presents in Presents::ALL {
        let (address, chain) = (presents.address(), certificates.server(presents));
        let tls = format!("-o smtpd_tls_chain_files={} {login}", chain.display());
        writeln!(
            text,
            "{address}:{submission} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt {tls}\n\
             {address}:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {tls}"
        )
        .unwrap();
    }
    for (name, columns) in [
        ("pickup", "unix n - n 60 1 pickup"),
        ("cleanup", "unix n - n - 0 cleanup"),
        ("qmgr", "unix n - n 300 1 qmgr"),
        ("tlsmgr", "unix - - n 1000? 1 tlsmgr"),
        ("rewrite", "unix - - n - - trivial-rewrite"),
        ("bounce", "unix - - n - 0 bounce"),
        ("defer", "unix - - n - 0 bounce"),
        ("trace", "unix - - n - 0 bounce"),
        ("verify", "unix - - n - 1 verify"),
        ("flush", "unix n - n 1000? 0 flush"),
        ("proxymap", "unix - - n - - proxymap"),
        ("proxywrite", "unix - - n - 1 proxymap"),
        ("smtp", "unix - - n - - smtp"),
        ("showq", "unix n - n - - showq"),
        ("error", "unix - - n - - error"),
        ("retry", "unix - - n - - error"),
        ("discard", "unix - - n - - discard"),
        ("lmtp", "unix - - n - - lmtp"),
        ("anvil", "unix - - n - 1 anvil"),
        ("scache", "unix - - n - 1 scache"),
        ("postlog", "unix-dgram n - n - 1 postlogd"),
    ] {
        writeln!(text, "{name} {columns}").unwrap();
    }
    text
}

fn aliases() -> String {
    let domain = DOMAIN.replace('.', "\\.");
    format!(
        "/^([^@+]+)\\+twice@{domain}$/ ${{1}}+first@{DOMAIN}, ${{1}}+second@{DOMAIN}\n\
         /^([^@+]+)\\+bounce@{domain}$/ ${{1}}@no-such-place.test\n"
    )
}
