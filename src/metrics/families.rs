//! The table of metric families: name, unit, type, help text, and where its samples come from.

mod recipients;
mod service;

use std::fmt::{self, Write};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use super::Metrics;
use super::process::Process;
use super::recipient::RecipientMetrics;
use super::value::Observed;

/// What one scrape shows: recipients that come or go meanwhile do not change it.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) metrics: Arc<Metrics>,
    pub(super) recipients: Vec<Arc<RecipientMetrics>>,
    pub(super) process: Process,
}

impl Scrape {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { recipients: metrics.exposed_recipients(), process: Process::read(), metrics }
    }
}

/// Where the samples of a family come from.
pub(super) enum Source {
    /// From each recipient, usually `width` samples.
    Recipient { width: usize, write: fn(&RecipientMetrics, &mut MetricEncoder) -> fmt::Result },
    /// As `Recipient`, for the histogram that has exemplars.
    Latency,
    /// From the program as a whole.
    Service(fn(&Scrape, &mut MetricEncoder) -> fmt::Result),
}

pub(super) struct Family {
    /// Without the suffixes that unit and type add.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
    pub(super) source: Source,
}

impl Family {
    /// The name that the samples have in both formats.
    pub(super) fn sample_name(&self) -> String {
        let unit = self.unit.as_ref().map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }

    /// The head of a family in the text format 0.0.4: samples and head have the same name, and there is no `info`.
    pub(super) fn write_text_head(&self, out: &mut String) -> fmt::Result {
        let kind = match self.kind {
            MetricType::Counter => "counter",
            MetricType::Gauge | MetricType::Info => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Unknown => "untyped",
        };
        let name = self.sample_name();
        writeln!(out, "# HELP {name} {}", self.help)?;
        writeln!(out, "# TYPE {name} {kind}")
    }
}

/// All families, in the order in which they are written.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    recipients::RECIPIENTS.iter().chain(service::SERVICE)
}

const SECONDS: Option<Unit> = Some(Unit::Seconds);
const BYTES: Option<Unit> = Some(Unit::Bytes);

type Recipient = fn(&RecipientMetrics, &mut MetricEncoder) -> fmt::Result;
type Service = fn(&Scrape, &mut MetricEncoder) -> fmt::Result;

const fn recipient(
    kind: MetricType,
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    width: usize,
    write: Recipient,
) -> Family {
    Family { name, unit, kind, help, source: Source::Recipient { width, write } }
}

const fn service(
    kind: MetricType,
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    write: Service,
) -> Family {
    Family { name, unit, kind, help, source: Source::Service(write) }
}

fn gauge(
    encoder: &mut MetricEncoder,
    labels: &impl EncodeLabelSet,
    value: Option<impl EncodeGaugeValue>,
) -> fmt::Result {
    match value {
        Some(value) => encoder.encode_family(labels)?.encode_gauge(&value),
        None => Ok(()),
    }
}

fn counter(encoder: &mut MetricEncoder, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    encoder.encode_family(labels)?.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
}

fn histogram<const N: usize>(
    encoder: &mut MetricEncoder,
    labels: &impl EncodeLabelSet,
    observed: &Observed<N>,
) -> fmt::Result {
    let mut encoder = encoder.encode_family(labels)?;
    encoder.encode_histogram::<NoLabelSet>(observed.sum, observed.count(), &observed.buckets, None)
}

/// The latency histogram of one recipient: sum, count and the buckets in order, without exemplars.
pub(super) fn write_latency(r: &RecipientMetrics, encoder: &mut MetricEncoder) -> fmt::Result {
    histogram(encoder, &of(r), &r.latency.observed())
}

fn of(recipient: &RecipientMetrics) -> [(&'static str, &str); 1] {
    [("recipient", &recipient.name)]
}

fn one(flag: bool) -> u32 {
    u32::from(flag)
}

const NO_LABELS: [(&str, &str); 0] = [];
