//! The program's HTTP listener, asked and read.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wait::{Look, s};

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub header: String,
    pub body: String,
}

/// `GET path`, with further header lines (each ended by CRLF).
pub fn get(address: SocketAddr, path: &str, header: &str) -> Look<Answer> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, s(2))?;
        stream.set_read_timeout(Some(s(10)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n")?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let text = ask().map_err(|e| format!("GET {path}: {e}"))?;
    let (header, body) =
        text.split_once("\r\n\r\n").ok_or_else(|| format!("GET {path}: no answer: {text:?}"))?;
    let status = header.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("GET {path}: {header}"))?;
    Ok(Answer { status, header: header.to_lowercase(), body: body.to_owned() })
}

/// One scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    pub text: String,
    series: HashMap<String, f64>,
}

impl Scrape {
    /// Reads the text format 0.0.4.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((canonical(series), value.parse().ok()?))
        });
        Self { text: text.to_owned(), series: series.collect() }
    }

    /// The value of a series, such as `maildt_probes_sent_total{recipient="a"}`; labels in any order.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.series.get(&canonical(series)).copied()
    }

    /// The value of a series, 0 where there is none.
    pub fn count(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_default()
    }

    /// The sum over all series of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let of =
            |series: &str| series == name || series.strip_prefix(name).is_some_and(|r| r.starts_with('{'));
        self.series.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }
}

/// Labels sorted. (No label value of a test contains a comma.)
fn canonical(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()).collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

#[test]
fn series_are_found_whatever_the_order_of_labels() {
    let scrape =
        Scrape::parse("# HELP x y\na_total{r=\"1\",k=\"v\"} 3\na_total{r=\"2\"} 4\na_total_more 9\nup 1\n");
    assert_eq!(scrape.get("a_total{k=\"v\",r=\"1\"}"), Some(3.0));
    assert_eq!(scrape.get("up"), Some(1.0));
    assert_eq!(scrape.get("down"), None);
    assert!((scrape.sum("a_total") - 7.0).abs() < f64::EPSILON);
}
