//! What Postfix does with a recipient, decided here: a policy service (Postfix's `SMTPD_POLICY_README`) that answers for each
//! address alone and may change its mind at any time, without a reload. It also remembers every attempt.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::ground::runtime;

/// Where in the transaction an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Rcpt,
    /// After the final dot.
    Dot,
}

/// What becomes of mail for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is accepted and lies in the queue until [`super::mail::MailLab::release`].
    Held,
    /// It is accepted and thrown away.
    Lost,
    /// It is refused with this reply, such as `550 5.1.1 no such user`, at a stage.
    Refused(Stage, String),
    /// As `Refused` for the first attempts, accepted from then on.
    RefusedFirst(usize, Stage, String),
    /// The server does not answer until the fate changes.
    Hung(Stage),
}

/// One question of Postfix: an attempt to send to an address has come to a stage.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub stage: Stage,
    pub recipient: String,
}

#[derive(Default)]
struct Ledger {
    fates: HashMap<String, Fate>,
    attempts: Vec<Attempt>,
}

/// The service.
pub struct Policy {
    address: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
}

impl Policy {
    pub fn start() -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::clone(&ledger);
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers)));
            }
        });
        Self { address, ledger }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, recipient: &str, fate: Fate) {
        self.ledger.lock().unwrap().fates.insert(recipient.to_lowercase(), fate);
    }

    pub fn clear(&self, recipient: &str) {
        self.ledger.lock().unwrap().fates.remove(&recipient.to_lowercase());
    }

    /// How many attempts for an address came to a stage.
    pub fn attempts(&self, recipient: &str, stage: Stage) -> usize {
        let ledger = self.ledger.lock().unwrap();
        ledger
            .attempts
            .iter()
            .filter(|a| a.stage == stage && a.recipient.eq_ignore_ascii_case(recipient))
            .count()
    }
}

async fn serve(stream: TcpStream, ledger: Arc<Mutex<Ledger>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut question = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim_end_matches('\n').split_once('=') {
                Some((name, value)) => question.insert(name.to_owned(), value.to_owned()),
                None => break,
            };
        }
        let stage = match question.get("protocol_state").map(String::as_str) {
            Some("RCPT") => Stage::Rcpt,
            _ => Stage::Dot,
        };
        let recipient = question.get("recipient").map(|r| r.to_lowercase()).unwrap_or_default();
        ledger.lock().unwrap().attempts.push(Attempt { stage, recipient: recipient.clone() });
        let action = loop {
            if let Some(action) = answer(&ledger, &recipient, stage) {
                break action;
            }
            // Hung: unless Postfix gives up, look again until the fate is another one.
            let mut byte = [0];
            tokio::select! {
                read = stream.read(&mut byte) => if read? == 0 { return Ok(()) },
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        };
        stream.write_all(format!("action={action}\n\n").as_bytes()).await?;
    }
}

/// Postfix's action, or none while it shall hang.
fn answer(ledger: &Mutex<Ledger>, recipient: &str, stage: Stage) -> Option<String> {
    let ledger = ledger.lock().unwrap();
    let so_far = ledger.attempts.iter().filter(|a| a.stage == stage && a.recipient == recipient).count();
    Some(match ledger.fates.get(recipient) {
        Some(Fate::Held) if stage == Stage::Rcpt => "HOLD held by the test".to_owned(),
        Some(Fate::Lost) if stage == Stage::Rcpt => "DISCARD lost by the test".to_owned(),
        Some(Fate::Refused(at, reply)) if *at == stage => reply.clone(),
        Some(Fate::RefusedFirst(times, at, reply)) if *at == stage && so_far <= *times => reply.clone(),
        Some(Fate::Hung(at)) if *at == stage => return None,
        _ => "DUNNO".to_owned(),
    })
}
