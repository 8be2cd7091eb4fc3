//! `maildt healthcheck`: asks the running service, for containers that have no other program to do it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// For the connection, and for each read and write.
const LIMIT: Duration = Duration::from_secs(5);
/// Octets of a status line; what is longer is no answer of ours.
const STATUS_MAX: u64 = 200;

/// Why the service does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{address} does not answer: {source}; is the service running, and METRICS_LISTEN the same for both?"
    )]
    Unreachable { address: SocketAddr, source: std::io::Error },
    #[error("{address} answered {status:?} instead of 200")]
    Unhealthy { address: SocketAddr, status: String },
}

/// Asks for `/-/healthy` where the service says it listens. An unspecified address is asked by loopback.
///
/// # Errors
/// When there is no answer within 5 s, or another one than 200.
pub fn run(metrics_listen: SocketAddr) -> Result<(), Error> {
    let address = reachable(metrics_listen);
    let status = ask(address).map_err(|source| Error::Unreachable { address, source })?;
    let mut words = status.split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    if is_http && words.next() == Some("200") { Ok(()) } else { Err(Error::Unhealthy { address, status }) }
}

fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status line of the answer. It is all that is read: what follows, and how the connection ends, does not matter.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(STATUS_MAX)).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request and hands back what was asked.
    fn service(listen: &str, answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !request.ends_with("\r\n\r\n") {
                lines.read_line(&mut request).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (address, thread)
    }

    #[test]
    fn it_asks_by_loopback_where_the_service_listens_everywhere() {
        let (address, thread) = service("0.0.0.0:0", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
        assert!(run(address).is_ok());
        let request = thread.join().unwrap();
        assert!(request.starts_with("GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    }

    #[test]
    fn anything_but_200_is_unhealthy() {
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0-x 200\r\n", ""] {
            let (address, thread) = service("127.0.0.1:0", answer);
            assert!(matches!(run(address), Err(Error::Unhealthy { .. })), "{answer:?}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn nobody_there_is_said_with_the_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = run(address).unwrap_err().to_string();
        assert!(error.contains("METRICS_LISTEN"), "{error}");
    }
}
