//! The program at work with recipients of every kind, and a Prometheus that scrapes it each second.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use maildt::demo::JUNK;
use maildt::demo::faults::{Action, Fate, Rule, SmtpPoint};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::app::{App, Recipient};
use crate::lab::builtin::{BuiltIn, OTHER};
use crate::lab::ground::{free_port, ground};
use crate::lab::metrics::get;
use crate::lab::process::Process;
use crate::lab::tools::{repository, tool};
use crate::lab::wait::{Look, s, so};

pub const SCRAPE_INTERVAL: Duration = s(1);

/// What happens to each recipient's mail; the shortest interval, so that more than one probe of each is seen.
const RECIPIENTS: [&str; 7] = ["healthy", "slow", "lossy", "rejected", "junk", "bouncing", "doubled"];

/// An alert that fires, for the annotations; the job and instance come from the series.
const ALERT: &str = "groups:
  - name: lab
    rules:
      - alert: MailGoesToJunkInTheLab
        expr: maildt_recipient_state{state=\"junk\"} == 1
        labels: {severity: warning}
";

pub struct Scene {
    app: App,
    prometheus: SocketAddr,
    began: Timestamp,
    _mail: BuiltIn,
    _server: Process,
}

/// The one scene of all these tests; `None` where there is no Prometheus.
pub fn scene(test: &str) -> Option<MutexGuard<'static, Scene>> {
    static SCENE: OnceLock<Mutex<Scene>> = OnceLock::new();
    let prometheus = tool("prometheus", "prometheus", test)?;
    Some(
        SCENE
            .get_or_init(|| Mutex::new(Scene::new(prometheus)))
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    )
}

impl Scene {
    fn new(prometheus: PathBuf) -> Self {
        let mail = BuiltIn::new();
        direct(&mail);
        let recipient =
            |name: &&str| Recipient::new(name, &format!("{name}@demo.test")).interval("30s").threshold("10s");
        let mut app = mail.setup_with_starttls().env("ALERT_MAIL_RECIPIENT", OTHER).start();
        let began = maildt::clock::now();
        let (listen, server) = scrape(prometheus, app.address());
        app.setup = app.setup.clone().recipients(RECIPIENTS[1..].iter().map(recipient));
        // Written with the first one, once their mail is seen live.
        app.join_watched(2, recipient(&RECIPIENTS[0]));
        Self { app, prometheus: listen, began, _mail: mail, _server: server }
    }

    pub fn instance(&self) -> String {
        self.app.address().to_string()
    }

    /// The program's own metrics as text.
    pub fn exposition(&self) -> Look<String> {
        Ok(self.app.metrics()?.text)
    }

    /// What Prometheus answers, the part `data`.
    ///
    /// # Errors
    /// What Prometheus refuses, with its reason.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Look<Value> {
        let encode = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
        let query: Vec<String> = parameters.iter().map(encode).collect();
        let answer = get(self.prometheus, &format!("/api/v1/{path}?{}", query.join("&")), "")?;
        let mut json: Value =
            serde_json::from_str(&answer.body).map_err(|e| format!("{e}: {}", answer.body))?;
        so(json["status"] == "success", || json["error"].to_string())?;
        Ok(json["data"].take())
    }

    /// Beginning and end of all that was scraped.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        (self.began, maildt::clock::now())
    }
}

fn direct(mail: &BuiltIn) {
    let faults = mail.faults();
    let millis = Duration::from_millis;
    faults.add(Rule::delivery(Fate::HoldBetween(millis(100), millis(400))).to_local_part("healthy"));
    faults.add(Rule::delivery(Fate::Hold(s(11))).to_local_part("slow"));
    faults.add(Rule::delivery(Fate::Drop).to_local_part("lossy").alternate(1, 1));
    faults
        .add(Rule::smtp(SmtpPoint::Rcpt, Action::reply("550 5.1.1 No such user")).to_local_part("rejected"));
    faults.add(Rule::delivery(Fate::Folder(JUNK.to_owned())).to_local_part("junk"));
    let full = Fate::Bounce { status: "5.2.2".to_owned(), diagnostic: "552 5.2.2 full".to_owned() };
    faults.add(Rule::delivery(full).to_local_part("bouncing"));
    faults.add(Rule::delivery(Fate::Copies(2)).to_local_part("doubled"));
}

fn scrape(prometheus: PathBuf, target: SocketAddr) -> (SocketAddr, Process) {
    let directory = ground().directory("dashboards");
    fs::write(directory.join("alert.yml"), ALERT).unwrap();
    let config = directory.join("prometheus.yml");
    let seconds = SCRAPE_INTERVAL.as_secs();
    let rules = repository("prometheus/rules/*.yml").display().to_string();
    let settings = format!(
        "global: {{scrape_interval: {seconds}s, evaluation_interval: {seconds}s}}\nrule_files: [alert.yml, '{rules}']\n\
         scrape_configs:\n  - job_name: maildt\n    static_configs: [{{targets: ['{target}']}}]\n"
    );
    fs::write(&config, settings).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={listen}"))
        .arg("--enable-feature=exemplar-storage");
    (listen, Process::start(&mut command, Signal::SIGTERM, &directory.join("prometheus.log")))
}

/// Percent-encoding (RFC 3986, section 2.1) of all but letters and digits.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match char::from(byte) {
        plain if plain.is_ascii_alphanumeric() => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
