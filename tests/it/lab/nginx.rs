//! A real nginx in front of the admin UI, with TLS, set up as docs/configuration.md shows it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};

use super::certificates::{Certificates, Presents};
use super::ground::{free_port, ground, not_run, runtime};
use super::process::Process;
use super::wait::{eventually, s};

/// A running one. Its clients' addresses are those of the loopback that are not its own.
pub struct Nginx {
    pub port: u16,
    certificates: Certificates,
    process: Process,
}

impl Nginx {
    /// One in front of the admin UI at `pages`. On a machine without nginx, `None`, and the test is named among those that did
    /// not run.
    pub fn before(test: &str, pages: u16) -> Option<Self> {
        let Some(binary) = binary() else {
            not_run(test, "nginx is missing (Debian: nginx)");
            return None;
        };
        let directory = ground().directory("nginx");
        let certificates = Certificates::write(&directory.join("certificates"));
        let port = free_port();
        fs::write(directory.join("nginx.conf"), configuration(&directory, &certificates, port, pages))
            .unwrap();
        let mut command = Command::new(binary);
        command.arg("-p").arg(&directory).arg("-c").arg(directory.join("nginx.conf"));
        command.arg("-e").arg(directory.join("error.log"));
        let process = Process::start(&mut command, Signal::SIGQUIT, &directory.join("output.log"));
        let this = Self { port, certificates, process };
        eventually(s(10), "nginx listens", || {
            let connected = std::net::TcpStream::connect(("127.0.0.1", port)).map(drop);
            connected.map_err(|e| format!("{e}\n{}", this.process.output()))
        });
        Some(this)
    }

    /// Where people reach the admin UI.
    pub fn url(port: u16) -> String {
        format!("https://localhost:{port}")
    }

    /// Somebody at 127.0.0.`last`, who trusts the lab's authority.
    pub fn client(&self, last: u8) -> Visitor {
        let tls = maildt::tls::client_config(Some(&self.certificates.authority())).unwrap();
        let client = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .local_address(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)))
            .resolve("localhost", SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
            .redirect(Policy::none())
            .timeout(s(40));
        Visitor { client: client.build().unwrap(), base: Self::url(self.port) }
    }
}

/// A client of nginx.
pub struct Visitor {
    client: Client,
    base: String,
}

impl Visitor {
    #[track_caller]
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        send(self.client.get(format!("{}{path}", self.base)), headers)
    }

    /// Sends a form as a browser does that does not know Sec-Fetch-Site; from a page of ours, unless an Origin says otherwise.
    #[track_caller]
    pub fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.post(format!("{}{path}", self.base)).body(form.to_owned());
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let has_origin = headers.iter().any(|(name, _)| *name == "Origin");
        send(if has_origin { request } else { request.header("Origin", &self.base) }, headers)
    }
}

#[track_caller]
fn send(request: RequestBuilder, headers: &[(&str, &str)]) -> Response {
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    runtime().block_on(async { request.send().await }).unwrap()
}

fn binary() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .iter()
        .map(PathBuf::from)
        .find(|file| file.exists())
}

/// The part that the documentation shows, with this test's ports, in a file that is complete.
fn configuration(directory: &Path, certificates: &Certificates, port: u16, pages: u16) -> String {
    let documentation = include_str!("../../../docs/configuration.md");
    let server = documentation.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let pem = certificates.server(Presents::Good).display().to_string();
    let server = [
        ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
        ("maildt.example.org;", "localhost;".to_owned()),
        ("/etc/ssl/maildt.pem", pem.clone()),
        ("/etc/ssl/maildt.key", pem),
        ("127.0.0.1:5000", format!("127.0.0.1:{pages}")),
    ]
    .into_iter()
    .fold(server.to_owned(), |text, (shown, real)| {
        assert!(text.contains(shown), "the documentation does not show {shown}");
        text.replace(shown, &real)
    });
    let places: Arc<str> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", directory.display()))
        .concat()
        .into();
    format!(
        "daemon off;\nworker_processes 1;\npid {0}/pid;\nerror_log {0}/error.log info;\nevents {{ worker_connections 512; }}\n\
         http {{\naccess_log {0}/access.log;\n{places}{server}}}\n",
        directory.display()
    )
}
