//! A real Prometheus scrapes the running program.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::lab::app::{App, Recipient};
use crate::lab::ground::{free_port, ground};
use crate::lab::metrics::get;
use crate::lab::process::Process;
use crate::lab::tools::tool;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;

fn delivered(world: &World) -> App {
    let mut app = world.setup().start();
    app.join_watched(2, Recipient::new("alice", &world.address("alice")));
    eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
    app
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let test = "a_real_prometheus_scrapes_it";
    let Some(world) = World::new(test) else { return };
    let Some(prometheus) = tool("prometheus", "prometheus", test) else { return };
    let app = delivered(&world);
    let directory = ground().directory("prometheus");
    let config = directory.join("prometheus.yml");
    let settings = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: maildt\n    static_configs:\n      \
         - targets: ['{}']\n",
        app.address()
    );
    fs::write(&config, settings).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let _server = start(&prometheus, &config, &directory, listen);
    for (query, value) in [
        ("up{job=\"maildt\"}", "1"),
        ("maildt_probe_results_total{recipient=\"alice\",result=\"delivered\"}", "1"),
        ("maildt_delivery_latency_seconds_count{recipient=\"alice\"}", "1"),
    ] {
        let encoded = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('=', "%3D");
        eventually(s(30), query, || {
            let answer = get(listen, &format!("/api/v1/query?query={encoded}"), "")?;
            let json: serde_json::Value = serde_json::from_str(&answer.body).map_err(|e| e.to_string())?;
            so(json["data"]["result"][0]["value"][1] == value, || answer.body.clone())
        });
    }
}

fn start(prometheus: &Path, config: &Path, directory: &Path, listen: SocketAddr) -> Process {
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={listen}"));
    Process::start(&mut command, Signal::SIGTERM, &directory.join("prometheus.log"))
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let test = "promtool_finds_nothing_to_complain_about";
    let Some(world) = World::new(test) else { return };
    let Some(promtool) = tool("promtool", "prometheus", test) else { return };
    let app = delivered(&world);
    let metrics = app.metrics().unwrap().text;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let Some(world) = World::new("metrics_come_in_the_format_that_is_asked_for") else { return };
    let app = delivered(&world);
    let plain = get(app.address(), "/metrics", "").unwrap();
    assert!(plain.header.contains("content-type: text/plain; version=0.0.4"), "{}", plain.header);
    assert!(!plain.body.contains("# EOF"), "text 0.0.4 has no end mark");
    let open =
        get(app.address(), "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n").unwrap();
    assert!(
        open.header.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        open.header
    );
    assert!(open.body.ends_with("# EOF\n"));
    let zipped = get(app.address(), "/metrics", "Accept-Encoding: gzip\r\n").unwrap();
    assert!(zipped.header.contains("content-encoding: gzip"), "{}", zipped.header);
}
