//! What one test has for itself: a user with a mailbox, a database, and wires to all servers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::app::Setup;
use super::dovecot::{DOMAIN, PASSWORD};
use super::ground::not_run;
use super::mail::MailLab;
use super::maildir::Maildir;
use super::postgres::{Cluster, Database};
use super::proxy::Proxy;
use super::records::Records;

/// A test's own part of the world.
pub struct World {
    pub lab: &'static MailLab,
    /// The monitor's name without the domain: it sends the probes and its mailbox is watched.
    pub user: String,
    pub database: Database,
    smtp: OnceLock<Proxy>,
    imap: OnceLock<Proxy>,
    sql: OnceLock<Proxy>,
}

impl World {
    /// A new one, on the shared servers. On a machine that cannot run these, `None`, and the test is named among those
    /// that did not run.
    pub fn new(test: &str) -> Option<Self> {
        Self::on(test, Cluster::shared())
    }

    /// A new one, with the database in a cluster of the test's own.
    pub fn on(test: &str, cluster: &Cluster) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let lab = MailLab::shared().map_err(|why| not_run(test, why)).ok()?;
        let user = format!("m{:02}x", NEXT.fetch_add(1, Ordering::Relaxed));
        let database = cluster.database();
        Some(Self { lab, user, database, smtp: OnceLock::new(), imap: OnceLock::new(), sql: OnceLock::new() })
    }

    /// The monitor's own address.
    pub fn monitor(&self) -> String {
        format!("{}@{DOMAIN}", self.user)
    }

    /// An address whose mail comes to the monitor's mailbox. Some tags mean something to the servers: see
    /// [`super::postfix`] and [`super::dovecot`].
    pub fn address(&self, tag: &str) -> String {
        format!("{}+{tag}@{DOMAIN}", self.user)
    }

    /// The monitor's mail as it is stored.
    pub fn mail(&self) -> Maildir {
        self.lab.mail_of(&self.user)
    }

    pub fn records(&self) -> Records {
        Records(self.database.clone())
    }

    /// The wire to Postfix (plain), made when first asked for.
    pub fn smtp(&self) -> &Proxy {
        self.smtp.get_or_init(|| Proxy::to(self.lab.postfix.plain))
    }

    /// The wire to Dovecot (plain).
    pub fn imap(&self) -> &Proxy {
        self.imap.get_or_init(|| Proxy::to(self.lab.dovecot.imap))
    }

    /// The wire to PostgreSQL.
    pub fn sql(&self) -> &Proxy {
        self.sql.get_or_init(|| Proxy::to(self.database.port()))
    }

    /// A configuration in which every connection goes over a wire of this world, without TLS so that its traps can read.
    pub fn setup(&self) -> Setup {
        self.accounts(Setup::new())
            .env("SMTP_PORT", &self.smtp().port().to_string())
            .env("SMTP_TLS", "none")
            .env("IMAP_PORT", &self.imap().port().to_string())
            .env("IMAP_TLS", "none")
            .env("DATABASE_URL", &self.database.url_through(self.sql().port()))
    }

    /// A configuration as users have it: straight to the servers, implicit TLS.
    pub fn setup_with_tls(&self) -> Setup {
        self.accounts(Setup::new())
            .env("SMTP_PORT", &self.lab.postfix.smtps.to_string())
            .env("SMTP_TLS", "implicit")
            .env("IMAP_PORT", &self.lab.dovecot.imaps.to_string())
            .env("IMAP_TLS", "implicit")
            .env("TLS_CA_FILE", self.lab.certificates.authority().to_str().unwrap())
            .env("DATABASE_URL", &self.database.url())
    }

    fn accounts(&self, setup: Setup) -> Setup {
        setup
            .env("SMTP_HOST", "127.0.0.1")
            .env("SMTP_USER", &self.monitor())
            .env("SMTP_PASS", PASSWORD)
            .env("IMAP_HOST", "127.0.0.1")
            .env("IMAP_USER", &self.monitor())
            .env("IMAP_PASS", PASSWORD)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the servers on {}:\n{}\n---", self.user, self.lab.log_of(&self.user));
            self.records().print();
        }
    }
}
