//! A real Prometheus reads both formats.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::extract::Request;
use axum::http::header::ACCEPT;
use axum::middleware::map_request;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::listener::ask;
use super::reader::{Labels, Read};
use super::*;

/// Ends when it goes out of scope, so that a failed test leaves nothing behind.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(directory: &Path, targets: &[(&str, SocketAddr)]) -> Self {
        let job = |(job, target): &(&str, SocketAddr)| {
            format!("- job_name: {job}\n  static_configs: [{{ targets: ['{target}'] }}]")
        };
        let jobs = targets.iter().map(job).collect::<Vec<_>>().join("\n");
        let config =
            format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{jobs}");
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus must be installed for this test (Debian: apt-get install prometheus)");
        Self { child, address }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        tokio::net::TcpStream::connect(self.address).await.ok()?;
        let reply = ask(self.address, "GET", path, "").await;
        if reply.status != 200 {
            return None;
        }
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        Some(value["data"].clone())
    }

    /// Our series of a job as Prometheus holds them, without the labels that it added.
    async fn series(&self, job: &str) -> Option<BTreeMap<(String, Labels), f64>> {
        let query = format!("%7Bjob%3D%22{job}%22%2C__name__%3D~%22maildt_.%2B%22%7D");
        let data = self.get(&format!("/api/v1/query?query={query}")).await?;
        let result = data["result"].as_array()?.iter().map(|series| {
            let mut labels: Labels = serde_json::from_value(series["metric"].clone()).unwrap();
            labels.retain(|key, _| key != "job" && key != "instance");
            let name = labels.remove("__name__").unwrap();
            ((name, labels), series["value"][1].as_str().unwrap().parse().unwrap())
        });
        Some(result.collect())
    }
}

async fn serve_page(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn prometheus_scrapes_both_formats_and_keeps_the_exemplars() {
    let metrics = filled();
    let (_sender, readiness) = watch::channel(Readiness::default());
    let pages = router(ListenerState::new(Arc::clone(&metrics), readiness));
    let open_metrics = serve_page(pages.clone()).await;
    // This Prometheus always asks for OpenMetrics, so its wish is hidden from the second listener.
    let text = serve_page(pages.layer(map_request(async |mut request: Request| {
        request.headers_mut().remove(ACCEPT);
        request
    })))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(directory.path(), &[("openmetrics", open_metrics), ("text", text)]);

    let expected = Read::of(&text_of(&metrics, Format::Text)).own_series();
    let limit = Instant::now() + Duration::from_secs(40);
    for job in ["openmetrics", "text"] {
        loop {
            let found = prometheus.series(job).await.unwrap_or_default();
            if found == expected {
                break;
            }
            if Instant::now() > limit {
                let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
                let targets = prometheus.get("/api/v1/targets").await;
                let missing: Vec<_> =
                    expected.iter().filter(|(key, value)| found.get(key) != Some(value)).collect();
                panic!(
                    "{job}: {} of {} series; differing {missing:#?}\n{targets:#?}\n{log}",
                    found.len(),
                    expected.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let up = prometheus.get(&format!("/api/v1/query?query=up%7Bjob%3D%22{job}%22%7D")).await.unwrap();
        assert_eq!(up["result"][0]["value"][1], "1", "{job}");
    }

    let now = crate::clock::now().as_second();
    let query = "query=maildt_delivery_latency_seconds_bucket";
    let path = format!("/api/v1/query_exemplars?{query}&start={}&end={}", now - 600, now + 600);
    let exemplars = prometheus.get(&path).await.unwrap();
    let mut found: Vec<(String, String, String)> = Vec::new();
    for series in exemplars.as_array().unwrap() {
        let labels = &series["seriesLabels"];
        assert_eq!(labels["job"], "openmetrics");
        if labels["recipient"] == AWKWARD {
            let exemplars = series["exemplars"].as_array().unwrap();
            assert_eq!(exemplars.len(), 1, "repeated scrapes add nothing: {exemplars:?}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let exemplar = &exemplars[0];
            found.push((
                text(&labels["le"]),
                text(&exemplar["labels"]["probe_id"]),
                text(&exemplar["value"]),
            ));
        }
    }
    found.sort();
    let id = |random| ProbeId::new(1_770_000_000_000, RecipientId(1), random).to_string();
    let expected = [("+Inf", 4, "7200"), ("0.1", 1, "0.04"), ("3.0", 3, "2.6")];
    assert_eq!(found, expected.map(|(le, random, value)| (le.to_owned(), id(random), value.to_owned())));
}
