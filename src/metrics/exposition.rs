//! Writing the metrics out, piece by piece.
//!
//! The library encodes a registry in one go, which for 10,000 recipients is fifty megabytes. So each piece has a registry
//! of its own with one [`Page`]: one family over some recipients. Between two pieces nothing is held but the numbers'
//! owners, so a client that reads slowly costs a buffer and neither a thread nor a lock.

use std::fmt;
use std::io::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::GzEncoder;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::families::{Family, Scrape, Source, families, write_latency};
use super::recipient::{Exemplar, RecipientMetrics};
use super::{Format, Metrics};

/// Bytes to hand over at once: large enough to be worth a task switch, small enough to keep.
const CHUNK: usize = 64 * 1024;

/// Samples of a page, about 100 bytes each.
const PAGE_SAMPLES: usize = 2000;

/// Level 1: the text is so repetitive that higher levels take several times longer to save little.
const LEVEL: flate2::Compression = flate2::Compression::fast();

/// Samples of a histogram with `bounds`: sum, count, buckets.
const LATENCY_SAMPLES: usize = 2 + super::value::LATENCY.len();

/// How the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Identity,
    Gzip,
}

/// A scrape under way. Making it costs nothing; [`next_chunk`](Self::next_chunk) does the work.
#[derive(Debug)]
pub struct Exposition {
    metrics: Arc<Metrics>,
    format: Format,
    /// Taken with the first chunk, so that a request for the head only costs nothing.
    scrape: Option<Arc<Scrape>>,
    output: Output,
    family: usize,
    recipient: usize,
    finished: bool,
}

#[derive(Debug)]
enum Output {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Output {
    fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Identity(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Identity(bytes) => bytes.write_all(text.as_bytes()),
            Self::Gzip(encoder) => encoder.write_all(text.as_bytes()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(encoder) => encoder.try_finish(),
        }
    }
}

impl Exposition {
    pub fn new(metrics: Arc<Metrics>, format: Format, compression: Compression) -> Self {
        let output = match compression {
            Compression::Identity => Output::Identity(Vec::new()),
            Compression::Gzip => Output::Gzip(GzEncoder::new(Vec::new(), LEVEL)),
        };
        Self { metrics, format, scrape: None, output, family: 0, recipient: 0, finished: false }
    }

    /// The next piece of the body, `None` at its end. Some milliseconds of computing: not for an async task.
    ///
    /// # Errors
    /// When encoding fails, which would be a fault of this program: the body must be cut off, not ended.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut page = String::new();
        while self.output.ready().len() < CHUNK && !self.finished {
            page.clear();
            self.write_page(&mut page).map_err(io::Error::other)?;
            self.output.write(&page)?;
            if self.finished {
                self.output.finish()?;
            }
        }
        let ready = std::mem::take(self.output.ready());
        Ok((!ready.is_empty()).then(|| Bytes::from(ready)))
    }

    fn write_page(&mut self, out: &mut String) -> fmt::Result {
        let scrape = self.scrape.get_or_insert_with(|| Arc::new(Scrape::new(Arc::clone(&self.metrics))));
        let Some(family) = families().nth(self.family) else {
            self.finished = true;
            return match self.format {
                Format::OpenMetrics(_) => text::encode_eof(out),
                Format::Text => Ok(()),
            };
        };
        let from = self.recipient;
        let to = match &family.source {
            Source::Service(_) => scrape.recipients.len(),
            Source::Recipient { width, .. } => from + PAGE_SAMPLES / width,
            Source::Latency => from + PAGE_SAMPLES / LATENCY_SAMPLES,
        };
        let page =
            Page { family, recipients: from..to.min(scrape.recipients.len()), scrape: Arc::clone(scrape) };
        (self.family, self.recipient) =
            if to < scrape.recipients.len() { (self.family, to) } else { (self.family + 1, 0) };
        page.write(self.format, from > 0, out)
    }
}

/// One family over some of the recipients.
struct Page {
    family: &'static Family,
    recipients: Range<usize>,
    scrape: Arc<Scrape>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("family", &self.family.name)
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Family { name, unit, kind, help, source } = self.family;
        let mut encoder = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
        match source {
            Source::Service(write) => write(&self.scrape, &mut encoder),
            Source::Recipient { write, .. } => self.recipients().try_for_each(|r| write(r, &mut encoder)),
            Source::Latency => self.recipients().try_for_each(|r| write_latency(r, &mut encoder)),
        }
    }
}

impl Page {
    fn recipients(&self) -> impl Iterator<Item = &RecipientMetrics> {
        let shown = self.scrape.recipients.get(self.recipients.clone()).unwrap_or_default();
        shown.iter().map(|recipient| &**recipient)
    }

    fn write(self, format: Format, continues: bool, out: &mut String) -> fmt::Result {
        let (family, scrape, range) = (self.family, Arc::clone(&self.scrape), self.recipients.clone());
        let mut encoded = String::new();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        text::encode_registry(&mut encoded, &registry)?;
        let (head, samples) = split_head(&encoded);
        match format {
            _ if continues => {}
            Format::OpenMetrics(_) => out.push_str(head),
            Format::Text => family.write_text_head(out)?,
        }
        if matches!((format, &family.source), (Format::OpenMetrics(_), Source::Latency)) {
            let shown = scrape.recipients.get(range).unwrap_or_default();
            return write_with_exemplars(samples, shown, out);
        }
        match family.source {
            Source::Service(_) => samples.split_inclusive('\n').for_each(|line| write_bare(line, out)),
            Source::Recipient { .. } | Source::Latency => out.push_str(samples),
        }
        Ok(())
    }
}

/// Writes a sample without labels as people and their scripts expect it, without the empty braces of the encoder.
fn write_bare(line: &str, out: &mut String) {
    match line.split_once('{') {
        Some((name, rest)) if rest.starts_with('}') => {
            out.push_str(name);
            out.push_str(rest.trim_start_matches('}'));
        }
        _ => out.push_str(line),
    }
}

/// The lines that open with `#`, and the samples.
fn split_head(encoded: &str) -> (&str, &str) {
    let head: usize =
        encoded.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    encoded.split_at_checked(head).unwrap_or((encoded, ""))
}

/// Adds its exemplar to each bucket that has one. The library lets only its own histogram carry exemplars, which takes a lock
/// and a kilobyte for each recipient; its order of lines (sum, count, buckets) is what the tests hold it to.
fn write_with_exemplars(
    samples: &str,
    recipients: &[Arc<RecipientMetrics>],
    out: &mut String,
) -> fmt::Result {
    let mut lines = samples.lines();
    for recipient in recipients {
        let exemplars = recipient.exemplars();
        for (index, line) in lines.by_ref().take(LATENCY_SAMPLES).enumerate() {
            out.push_str(line);
            if let Some(exemplar) = exemplars.iter().find(|exemplar| exemplar.bucket + 2 == index) {
                write_exemplar(exemplar, out)?;
            }
            out.push('\n');
        }
    }
    Ok(())
}

fn write_exemplar(exemplar: &Exemplar, out: &mut String) -> fmt::Result {
    let Exemplar { probe, seconds, at, .. } = exemplar;
    fmt::Write::write_fmt(out, format_args!(" # {{probe_id=\"{probe}\"}} {seconds} {at:.3}"))
}
