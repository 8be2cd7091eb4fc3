//! The picture: latency over time on a logarithmic scale, and above it a lane for each way in which mail does not arrive.
//!
//! The picture stretches to the width of the page, its marks and words do not. What has no latency is in its lane, never
//! among the values. Where there are too many values for a dot each, a bar reaches from the fastest to the slowest of a
//! column and a dot marks the median; the lanes lose no probe.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, html};

use crate::domain::verdict::Standing;
use crate::store::Period;
use crate::web::{states, words};

use super::scale::{self, Scale};
use super::tally::{COLUMNS, Dot, Tally, column_length};

/// Height of a lane.
const LANE: f64 = 17.0;
/// Height of the part with the values.
const FIELD: f64 = 210.0;
/// Above and below the values.
const GAP: f64 = 9.0;
/// Height of the words below.
const FOOT: f64 = 22.0;
/// Dots of a kind at different places; more of them become bars.
const DOTS: usize = 1_500;
/// Marks of a lane that get their shape; more of them become lines.
const SHAPES: usize = 160;
/// Lines of the time axis.
const TIMES: i64 = 8;

/// The lanes, from the top.
const LANES: [Standing; 4] = [Standing::Missing, Standing::Bounced, Standing::SendFailed, Standing::Unknown];
/// The shapes of their marks around a middle.
const SHAPE: [&str; 4] = [
    "M-3-3l6 6m0-6l-6 6",
    "M-3.5 2.5L0-3l3.5 5.5z",
    "M-3.5 0h7M0-3.5v7",
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
];
/// The kinds that are values, in the order in which they are painted.
const VALUES: [Standing; 3] = [Standing::Ok, Standing::Junk, Standing::Late];

/// Where things are.
struct Frame {
    scale: Scale,
    /// Of the values.
    top: f64,
    has_untimed: bool,
}

impl Frame {
    fn of(tally: &Tally, threshold: Duration) -> Self {
        let has_untimed = tally.untimed.contains(&true);
        let mut top = GAP;
        for _ in 0..LANES.len() + usize::from(has_untimed) {
            top += LANE;
        }
        Self { scale: Scale::of(tally.dots.iter().map(|dot| dot.latency_ms), threshold), top, has_untimed }
    }

    fn y(&self, ms: f64) -> f64 {
        self.top + FIELD * (1.0 - self.scale.share(ms))
    }

    fn bottom(&self) -> f64 {
        self.top + FIELD + GAP
    }

    /// The middle of a lane.
    fn lane(number: u8) -> f64 {
        LANE * (f64::from(number) + 0.5)
    }
}

/// The picture of `tally`; its words are in UTC until the script knows better.
pub fn plot(tally: &Tally, threshold: Duration) -> Markup {
    let frame = Frame::of(tally, threshold);
    let (bottom, height) = (frame.bottom(), frame.bottom() + FOOT);
    let line = frame.y(threshold.as_secs_f64() * 1000.0);
    html! {
        div.plot {
            (names(tally, &frame))
            svg.field #field role="img" aria-labelledby="field-title" aria-describedby="field-text" height=(height)
                data-from=(tally.period.from.as_millisecond()) data-to=(tally.period.to.as_millisecond()) {
                title #field-title { "Latency of each probe over time" }
                desc #field-text { (said(tally, threshold)) }
                defs {
                    @for (kind, shape) in LANES.into_iter().zip(SHAPE) {
                        path id={ "mark-" (states::look(kind).class) } class={ "d " (states::look(kind).class) } d=(shape) {}
                    }
                }
                @for tick in scale::time_ticks(tally.period, TIMES) {
                    g.tick data-at=(tick.at.as_millisecond()) data-day[tick.is_day] {
                        line x1={ (hundredths(tick.share)) "%" } x2={ (hundredths(tick.share)) "%" } y1="0" y2=(bottom) {}
                        text x={ (hundredths(tick.share)) "%" } y=(bottom + 16.0) { (tick.label) }
                    }
                }
                svg width="100%" height=(bottom) viewBox={ "0 0 " (COLUMNS) " " (bottom) } preserveAspectRatio="none" {
                    path.grid d=(rules(&frame)) {}
                    path.threshold d={ "M0 " (tenths(line)) "H" (COLUMNS) } {}
                    @for kind in VALUES { (values(tally, &frame, kind)) }
                    @for (number, kind) in (0_u8..).zip(LANES) {
                        @let columns = columns_of(tally, kind);
                        @if columns.len() > SHAPES { path class={ "d thin " (states::look(kind).class) } d=(lines(&columns, Frame::lane(number))) {} }
                    }
                    @if frame.has_untimed {
                        path.d.ok.thin d=(lines(&untimed(tally), Frame::lane(4))) {}
                    }
                }
                @for (number, kind) in (0_u8..).zip(LANES) {
                    @let columns = columns_of(tally, kind);
                    @if columns.len() <= SHAPES { @for column in columns {
                        use href={ "#mark-" (states::look(kind).class) } x={ (hundredths(middle(column))) "%" } y=(Frame::lane(number)) {}
                    } }
                }
                text.threshold x="100%" y=(tenths(line - 5.0)) { "threshold " (words::span(threshold)) }
                line #cross display="none" y1="0" y2=(bottom) {}
            }
        }
        (legend(tally))
    }
}

/// What stands to the left.
fn names(tally: &Tally, frame: &Frame) -> Markup {
    html! {
        svg.names aria-hidden="true" height=(frame.bottom() + FOOT) {
            @for (number, kind) in (0_u8..).zip(LANES) {
                text.faint[tally.counts.of(kind) == 0] x="86" y=(Frame::lane(number) + 4.0) { (states::look(kind).word) }
            }
            @if frame.has_untimed { text x="86" y=(Frame::lane(4) + 4.0) { "Not timed" } }
            @for tick in frame.scale.ticks(0.1) {
                text x="86" y=(tenths(frame.y(tick) + 4.0)) { (scale::label(tick)) }
            }
        }
    }
}

/// What the marks mean that have no name of their own beside them.
fn legend(tally: &Tally) -> Markup {
    let mark = |class: &str, d: &str| html! { svg viewBox="0 0 14 14" aria-hidden="true" { path class={ "d " (class) } d=(d) {} } };
    let is_band = VALUES
        .into_iter()
        .any(|kind| places_of(tally, kind, false).len() + places_of(tally, kind, true).len() > DOTS);
    html! {
        ul.legend aria-hidden="true" {
            li { (mark("ok", "M7 7h.01")) "in time" }
            @if tally.counts.of(Standing::Junk) > 0 { li { (mark("junk", "M7 7h.01")) "in Junk" } }
            @if tally.counts.of(Standing::Late) > 0 { li { (mark("late", "M7 7h.01")) "late" } }
            @if tally.estimated > 0 {
                li { svg viewBox="0 0 14 14" aria-hidden="true" { path.d.ok d="M7 7h.01" {} path.d.hole d="M7 7h.01" {} } "estimated" }
            }
            @if is_band {
                li { svg viewBox="0 0 14 14" aria-hidden="true" { path.band.ok d="M5 1h4v12h-4z" {} path.d.ok d="M7 8h.01" {} }
                    "fastest to slowest and median of " (words::span(column_length(tally.period))) }
            }
            li { "Logarithmic scale. " span #zone { "Times are UTC." } }
        }
    }
}

/// The values of one kind.
fn values(tally: &Tally, frame: &Frame, kind: Standing) -> Markup {
    let class = states::look(kind).class;
    let (measured, estimated) = (places_of(tally, kind, false), places_of(tally, kind, true));
    if measured.len() + estimated.len() > DOTS {
        let (bars, medians) = bars(tally, frame, kind);
        return html! { path class={ "band " (class) } d=(bars) {} path class={ "d " (class) } d=(medians) {} };
    }
    let dots = |places: BTreeMap<(usize, u32), f32>| -> String {
        places.into_iter().fold(String::new(), |mut path, ((column, _), ms)| {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{column}.5 {}h.01", tenths(frame.y(ms.into())));
            path
        })
    };
    let (measured, estimated) = (dots(measured), dots(estimated));
    html! {
        @if !measured.is_empty() { path class={ "d " (class) } d=(measured) {} }
        @if !estimated.is_empty() { path class={ "d " (class) } d=(estimated) {} path.d.hole d=(estimated) {} }
    }
}

/// The dots of a kind at different places: columns, and thirty-seconds of an octave, which are half a pixel. Not all of them
/// where there are too many.
fn places_of(tally: &Tally, kind: Standing, estimated: bool) -> BTreeMap<(usize, u32), f32> {
    let mut places = BTreeMap::new();
    for dot in tally.dots.iter().filter(|dot| dot.standing == kind && dot.estimated == estimated) {
        // The exponent and the first five bits of the fraction.
        places.entry((dot.column, dot.latency_ms.to_bits() >> 18)).or_insert(dot.latency_ms);
        if places.len() > DOTS {
            break;
        }
    }
    places
}

/// A bar from the fastest to the slowest of each column, and a dot at the median.
fn bars(tally: &Tally, frame: &Frame, kind: Standing) -> (String, String) {
    let mut columns: Vec<Vec<f32>> = vec![Vec::new(); COLUMNS];
    for Dot { column, latency_ms, .. } in tally.dots.iter().filter(|dot| dot.standing == kind) {
        if let Some(values) = columns.get_mut(*column) {
            values.push(*latency_ms);
        }
    }
    let (mut bars, mut medians) = (String::new(), String::new());
    for (column, values) in columns.iter_mut().enumerate().filter(|(_, values)| !values.is_empty()) {
        let fastest = values.iter().copied().fold(f32::INFINITY, f32::min);
        let slowest = values.iter().copied().fold(0.0, f32::max);
        let rank = values.len().div_ceil(2).saturating_sub(1);
        let median = *values.select_nth_unstable_by(rank, f32::total_cmp).1;
        let (top, bottom) = (frame.y(slowest.into()) - 0.7, frame.y(fastest.into()) + 0.7);
        let _ = write!(bars, "M{column} {}h1V{}h-1z", tenths(top), tenths(bottom));
        let _ = write!(medians, "M{column}.5 {}h.01", tenths(frame.y(median.into())));
    }
    (bars, medians)
}

/// The columns with a probe of that kind.
fn columns_of(tally: &Tally, kind: Standing) -> Vec<usize> {
    let columns = tally.columns.iter().enumerate();
    columns.filter(|(_, counts)| counts.of(kind) > 0).map(|(column, _)| column).collect()
}

fn untimed(tally: &Tally) -> Vec<usize> {
    tally.untimed.iter().enumerate().filter(|(_, is)| **is).map(|(column, _)| column).collect()
}

/// A short line for each of these columns.
fn lines(columns: &[usize], y: f64) -> String {
    columns.iter().fold(String::new(), |mut path, column| {
        let _ = write!(path, "M{column}.5 {}v7", tenths(y - 3.5));
        path
    })
}

/// The lines of the latency axis, and one between the lanes and the values.
fn rules(frame: &Frame) -> String {
    let lines = frame.scale.ticks(0.1).into_iter().map(|tick| frame.y(tick));
    lines.chain([frame.top - GAP]).fold(String::new(), |mut path, y| {
        let _ = write!(path, "M0 {}H{COLUMNS}", tenths(y));
        path
    })
}

/// The middle of a column as a share of the width.
fn middle(column: usize) -> f64 {
    let [column, columns] = [column, COLUMNS].map(|number| u32::try_from(number).map_or(0.0, f64::from));
    (column + 0.5) / columns
}

fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn hundredths(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// The picture in words.
fn said(tally: &Tally, threshold: Duration) -> String {
    let Period { from, to } = tally.period;
    let mut said = format!(
        "From {} to {}, logarithmic scale, threshold {}. ",
        words::exact(from),
        words::exact(to),
        words::span(threshold)
    );
    said.push_str(&outcomes(tally));
    if let (Some(median), Some(slowest)) = (tally.median_ms, tally.slowest_ms) {
        let _ = write!(
            said,
            ". Median {}, slowest {}",
            words::latency(median.into()),
            words::latency(slowest.into())
        );
    }
    said.push_str(". The table below has each probe.");
    said
}

/// How many ended how.
pub fn outcomes(tally: &Tally) -> String {
    let mut parts: Vec<String> = tally.counts.present().map(|(kind, number)| outcome(kind, number)).collect();
    if parts.is_empty() {
        parts.push("No probe was judged".to_owned());
    }
    parts.join(", ")
}

/// `3 missing`.
pub fn outcome(kind: Standing, number: usize) -> String {
    let word = match kind {
        Standing::Ok => "in time".to_owned(),
        Standing::Junk => "in Junk".to_owned(),
        Standing::SendFailed => "not sent".to_owned(),
        other => states::look(other).word.to_lowercase(),
    };
    format!("{} {word}", words::thousands(number))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::web::history::tally::tests::{period, point};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn drawn(points: &[crate::store::Point]) -> (Tally, String) {
        let tally = Tally::new(period(604_800), points);
        let picture = plot(&tally, Duration::from_mins(5)).into_string();
        (tally, picture)
    }

    /// The first numbers after each `M` of the paths whose class begins with `class`.
    fn starts(picture: &str, class: &str) -> Vec<(f64, f64)> {
        let paths = picture.split("<path class=\"").filter(|path| path.starts_with(class));
        paths
            .filter_map(|path| path.split("d=\"").nth(1)?.split('"').next())
            .flat_map(|d| d.split('M').skip(1))
            .map(|step| {
                let numbers: Vec<f64> = step
                    .split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
                    .filter_map(|number| number.parse().ok())
                    .collect();
                (numbers[0], numbers[1])
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_failure_is_lost_in_the_picture(points in proptest::collection::vec(point(604_800), 0..1_200)) {
            let (tally, picture) = drawn(&points);
            for (number, kind) in (0_u8..).zip(LANES) {
                let class = states::look(kind).class;
                let columns: BTreeSet<usize> =
                    tally.columns.iter().enumerate().filter(|(_, c)| c.of(kind) > 0).map(|(at, _)| at).collect();
                let shapes = picture.matches(&format!("<use href=\"#mark-{class}\"")).count();
                let lines = starts(&picture, &format!("d thin {class}"));
                prop_assert_eq!(shapes + lines.len(), columns.len());
                for (x, y) in lines {
                    prop_assert!((0.0..480.0).contains(&x) && (y - Frame::lane(number)).abs() < 5.0);
                }
            }
            prop_assert!(!picture.contains("NaN") && !picture.contains("inf") && !picture.contains("style"));
        }

        #[test]
        fn every_value_lies_within_the_frame(points in proptest::collection::vec(point(604_800), 1..3_000)) {
            let (tally, picture) = drawn(&points);
            let frame = Frame::of(&tally, Duration::from_mins(5));
            for kind in VALUES {
                let class = states::look(kind).class;
                let columns: BTreeSet<usize> =
                    tally.dots.iter().filter(|dot| dot.standing == kind).map(|dot| dot.column).collect();
                let places = [starts(&picture, &format!("d {class}\" d")), starts(&picture, &format!("band {class}"))].concat();
                let shown: BTreeSet<String> = places.iter().map(|(x, _)| format!("{}", x.floor())).collect();
                prop_assert!(columns.iter().all(|column| shown.contains(&column.to_string())), "{class}: a column is missing");
                for (x, y) in places {
                    prop_assert!((0.0..480.0).contains(&x), "{x}");
                    prop_assert!(y >= frame.top - 1.0 && y <= frame.top + FIELD + 1.0, "{y}");
                }
            }
        }
    }

    #[test]
    fn a_million_probes_make_a_small_picture() {
        let from = period(604_800).from;
        let points: Vec<crate::store::Point> = (0_u32..1_000_000)
            .map(|number| crate::store::Point {
                at: from + jiff::SignedDuration::from_micros(i64::from(number) * 604_800),
                standing: match number {
                    500_000 => Standing::Missing,
                    n if n % 3 == 0 => Standing::Junk,
                    _ => Standing::Ok,
                },
                latency_ms: (number != 500_000).then(|| {
                    300.0
                        + f32::from(
                            u16::try_from(number.wrapping_mul(2_654_435_761) >> 22).unwrap_or_default(),
                        )
                }),
                estimated: false,
                manual: false,
            })
            .collect();
        let (_, picture) = drawn(&points);
        assert!(picture.len() < 100_000, "{}", picture.len());
        assert_eq!(picture.matches("<use href=\"#mark-missing\"").count(), 1);
        assert!(picture.contains("fastest to slowest"));
    }
}
