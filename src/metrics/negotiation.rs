//! Which format and which coding a client wants (RFC 9110, section 12.5).

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics, under the version that the client asked for; the text is the same.
    OpenMetrics(OpenMetricsVersion),
    /// Prometheus's text format 0.0.4, for everyone else.
    Text,
}

/// Versions of OpenMetrics that name the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMetricsVersion {
    V1_0_0,
    V0_0_1,
}

impl Format {
    /// Best first, for clients that want several equally.
    const ALL: [Self; 3] = [
        Self::OpenMetrics(OpenMetricsVersion::V1_0_0),
        Self::OpenMetrics(OpenMetricsVersion::V0_0_1),
        Self::Text,
    ];

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics(OpenMetricsVersion::V1_0_0) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            Self::OpenMetrics(OpenMetricsVersion::V0_0_1) => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8"
            }
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics(OpenMetricsVersion::V1_0_0) => ("application", "openmetrics-text", "1.0.0"),
            Self::OpenMetrics(OpenMetricsVersion::V0_0_1) => ("application", "openmetrics-text", "0.0.1"),
            Self::Text => ("text", "plain", "0.0.4"),
        }
    }

    /// The format that `accept`, the joined Accept headers, prefers. OpenMetrics only goes to those who name it, and whoever
    /// accepts nothing of ours gets the text format all the same, which says more than a 406.
    pub fn negotiate(accept: &str) -> Self {
        let ranges: Vec<Range> = elements(accept, ',').filter_map(Range::parse).collect();
        let wanted = Self::ALL.into_iter().filter_map(|format| {
            let range = ranges.iter().filter(|range| range.covers(format)).max_by_key(|r| r.precision())?;
            let named = range.precision() > 0;
            let willing = range.quality > 0 && (named || format == Self::Text);
            willing.then_some((format, range.quality, named))
        });
        let best =
            wanted.reduce(|best, other| if (other.1, other.2) > (best.1, best.2) { other } else { best });
        best.map_or(Self::Text, |(format, _, _)| format)
    }
}

/// Whether `accept_encoding`, the joined headers, allows gzip and does not prefer to have none.
pub(crate) fn accepts_gzip(accept_encoding: &str) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for element in elements(accept_encoding, ',') {
        let mut parts = elements(element, ';');
        let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
        let Some(quality) = quality(parts) else { continue };
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "*" => any = Some(quality),
            "identity" => identity = Some(quality),
            _ => {}
        }
    }
    let quality = gzip.or(any).unwrap_or(0);
    quality > 0 && identity.is_none_or(|identity| quality >= identity)
}

/// A media range of an Accept header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// Thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` where it is malformed: such a range counts for nothing.
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = elements(element, ';');
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let version = parts.clone().find_map(|part| parameter(part, "version"));
        Some(Self { kind: kind.trim(), subtype: subtype.trim(), version, quality: quality(parts)? })
    }

    fn covers(&self, format: Format) -> bool {
        let (kind, subtype, version) = format.parts();
        (self.kind == "*" && self.subtype == "*"
            || self.kind.eq_ignore_ascii_case(kind)
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype)))
            && self.version.is_none_or(|wanted| wanted == version)
    }

    /// "The most specific reference has precedence" (RFC 9110, section 12.5.1).
    fn precision(&self) -> u8 {
        match (self.kind, self.subtype, self.version) {
            ("*", ..) => 0,
            (_, "*", _) => 1,
            (_, _, None) => 2,
            (_, _, Some(_)) => 3,
        }
    }
}

/// Splits at `separator` outside quoted strings and trims; empty elements do not count.
fn elements(list: &str, separator: char) -> impl Iterator<Item = &str> + Clone {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |c: char| {
        if escaped {
            escaped = false;
        } else if c == '\\' && quoted {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
    .map(str::trim)
    .filter(|element| !element.is_empty())
}

fn parameter<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = part.split_once('=')?;
    key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
}

/// The weight in thousandths, 1000 without one, `None` where it is malformed.
fn quality<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<u16> {
    let Some(text) = parts.find_map(|part| parameter(part, "q")) else { return Some(1000) };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" if plain => Some(thousandths),
        "1" if plain && thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_METRICS: Format = Format::OpenMetrics(OpenMetricsVersion::V1_0_0);
    const OLD_OPEN_METRICS: Format = Format::OpenMetrics(OpenMetricsVersion::V0_0_1);

    #[test]
    fn each_client_gets_what_it_asks_for() {
        let cases = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("text/plain", Format::Text),
            ("application/openmetrics-text", OPEN_METRICS),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OPEN_METRICS),
            ("application/openmetrics-text; version=0.0.1", OLD_OPEN_METRICS),
            // Prometheus 2.42, 2.53, 3.5, and the last with native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN_METRICS,
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN_METRICS,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OPEN_METRICS,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN_METRICS,
            ),
            // Prometheus 3 with only the text format in scrape_protocols.
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.4", Format::Text),
            (
                "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.5",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            (
                "application/openmetrics-text;version=1.0.0;q=0, application/openmetrics-text",
                OLD_OPEN_METRICS,
            ),
            ("application/openmetrics-text;version=2.0.0, */*;q=0.1", Format::Text),
            ("text/plain, application/openmetrics-text", OPEN_METRICS),
            // Nothing of ours, or nothing that can be read.
            ("image/png", Format::Text),
            ("application/openmetrics-text;q=high", Format::Text),
            ("application/openmetrics-text;q=1.5", Format::Text),
            (";;,,/,\"", Format::Text),
            ("x/y;z=\"a,application/openmetrics-text\"", Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::negotiate(accept), format, "Accept: {accept}");
        }
    }

    #[test]
    fn gzip_is_used_where_allowed_and_not_less_wanted_than_none() {
        let yes = [
            "gzip",
            "GZIP",
            "x-gzip",
            "*",
            "deflate, gzip;q=0.5",
            "gzip, identity",
            "gzip;q=0.001",
            "br, *;q=0.1",
        ];
        let no = [
            "",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=0",
            "gzip;q=0.5, identity",
            "br",
            "gzip;q=0, *",
            "gzip;q=x",
        ];
        for accept in yes {
            assert!(accepts_gzip(accept), "{accept}");
        }
        for accept in no {
            assert!(!accepts_gzip(accept), "{accept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".*") {
            let _ = (Format::negotiate(&header), accepts_gzip(&header));
        }
    }
}
