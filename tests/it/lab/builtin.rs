//! The program's own mail server, in this process: for what Postfix and Dovecot cannot be made to do.

use maildt::demo::faults::{Faults, RuleId};
use maildt::demo::{MailServer, Options};

use super::app::Setup;
use super::dovecot::PASSWORD;
use super::ground::{ground, runtime};
use super::postgres::{Cluster, Database};
use super::records::Records;

/// Whose mailbox is watched; gets the mail for all addresses.
pub const MONITOR: &str = "monitor@demo.test";
/// A second account of the same server.
pub const OTHER: &str = "other@demo.test";

/// A running one, and a database.
pub struct BuiltIn {
    pub server: MailServer,
    pub database: Database,
}

impl BuiltIn {
    pub fn new() -> Self {
        let options = Options::default().account(MONITOR, PASSWORD).account(OTHER, PASSWORD);
        let server = runtime().block_on(MailServer::start(options)).unwrap();
        Self { server, database: Cluster::shared().database() }
    }

    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    pub fn hits(&self, rule: RuleId) -> u64 {
        self.faults().hits(rule)
    }

    pub fn records(&self) -> Records {
        Records(self.database.clone())
    }

    pub fn stored(&self) -> usize {
        self.server.messages(MONITOR, maildt::demo::INBOX).unwrap().len()
    }

    /// Without TLS.
    pub fn setup(&self) -> Setup {
        let addresses = self.server.addresses();
        self.accounts(Setup::new())
            .env("SMTP_PORT", &addresses.smtp.port().to_string())
            .env("SMTP_TLS", "none")
            .env("IMAP_PORT", &addresses.imap.port().to_string())
            .env("IMAP_TLS", "none")
    }

    /// With STARTTLS, which the server offers and its authority vouches for.
    pub fn setup_with_starttls(&self) -> Setup {
        let addresses = self.server.addresses();
        let authority = ground().directory("builtin").join("ca.pem");
        std::fs::write(&authority, self.server.ca_pem()).unwrap();
        self.accounts(Setup::new())
            .env("SMTP_PORT", &addresses.submission.port().to_string())
            .env("SMTP_TLS", "starttls")
            .env("IMAP_PORT", &addresses.imap.port().to_string())
            .env("IMAP_TLS", "starttls")
            .env("TLS_CA_FILE", authority.to_str().unwrap())
    }

    fn accounts(&self, setup: Setup) -> Setup {
        setup
            .env("SMTP_HOST", "127.0.0.1")
            .env("SMTP_USER", MONITOR)
            .env("SMTP_PASS", PASSWORD)
            .env("IMAP_HOST", "127.0.0.1")
            .env("IMAP_USER", MONITOR)
            .env("IMAP_PASS", PASSWORD)
            .env("DATABASE_URL", &self.database.url())
    }
}

impl Drop for BuiltIn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.records().print();
        }
    }
}
