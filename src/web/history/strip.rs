//! The strip of outcomes: what became of the probes, part by part of the time. One failure among thousands is still seen.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::domain::verdict::Standing;
use crate::web::{states, words};

use super::plot;
use super::tally::{Counts, KINDS, SEGMENTS, Tally, begin};

const HEIGHT: f64 = 30.0;
/// Of the smallest share.
const LEAST: f64 = 4.0;

/// The strip of `tally`; each part tells by its title what it holds.
pub fn strip(tally: &Tally) -> Markup {
    let segments = tally.segments();
    let spans = tally.spans_ms();
    let mut paths: [String; KINDS.len()] = Default::default();
    for (number, counts) in segments.iter().enumerate() {
        let mut y = 0.0;
        for (kind, height) in heights(counts) {
            let path = KINDS.iter().position(|other| *other == kind).and_then(|at| paths.get_mut(at));
            if let Some(path) = path {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{number}.08 {y:.1}h.84v{height:.1}h-.84z");
            }
            y += height;
        }
    }
    html! {
        div.strip {
            span.names aria-hidden="true" { "Outcomes" }
            svg #strip role="img" aria-label={ "Outcomes over time: " (plot::outcomes(tally)) } height=(HEIGHT)
                viewBox={ "0 0 " (SEGMENTS) " " (HEIGHT) } preserveAspectRatio="none" {
                rect.ground width=(SEGMENTS) height=(HEIGHT) {}
                @for (kind, path) in KINDS.into_iter().zip(&paths) {
                    @if !path.is_empty() { path class={ "s " (states::look(kind).class) } d=(path) {} }
                }
                @for (number, (counts, span)) in segments.iter().zip(spans).enumerate() {
                    @if counts.all() > 0 {
                        rect.part data-part=(number) x=(number) width="1" height=(HEIGHT) {
                            title { (words::exact(begin(tally.period, number, SEGMENTS))) " to " (words::exact(begin(tally.period, number + 1, SEGMENTS))) ": " (said(counts, span)) }
                        }
                    }
                }
            }
        }
    }
}

fn said(counts: &Counts, span: Option<(f32, f32)>) -> String {
    let mut said =
        counts.present().map(|(kind, number)| plot::outcome(kind, number)).collect::<Vec<_>>().join(", ");
    if let Some((fastest, slowest)) = span {
        let [fastest, slowest] = [fastest, slowest].map(|ms| words::latency(ms.into()));
        let _ = if fastest == slowest {
            write!(said, "; {fastest}")
        } else {
            write!(said, "; {fastest} to {slowest}")
        };
    }
    said
}

/// How high each kind stands, from the top, worst first: by its share, and never so little that it is not seen.
fn heights(counts: &Counts) -> Vec<(Standing, f64)> {
    let mut present: Vec<(Standing, usize)> = counts.present().collect();
    present.sort_by_key(|(kind, _)| states::look(*kind).rank);
    let number = |number: usize| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
    let (kinds, all) = (number(present.len()), number(counts.all()));
    let spare = HEIGHT - LEAST * kinds;
    present.into_iter().map(|(kind, count)| (kind, LEAST + spare * number(count) / all)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::history::tally::tests::{period, point};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_outcome_of_each_part_is_seen(points in proptest::collection::vec(point(3_600), 0..600)) {
            let tally = Tally::new(period(3_600), &points);
            for counts in tally.segments() {
                let heights = heights(&counts);
                prop_assert_eq!(heights.len(), counts.present().count());
                prop_assert!(heights.iter().all(|(_, height)| *height >= LEAST - 1e-9));
                let sum: f64 = heights.iter().map(|(_, height)| height).sum();
                prop_assert!(counts.all() == 0 || (sum - HEIGHT).abs() < 1e-6);
            }
            let drawn = strip(&tally).into_string();
            prop_assert!(!drawn.contains("NaN") && !drawn.contains("style"));
            prop_assert_eq!(drawn.matches("<title>").count(), tally.segments().iter().filter(|c| c.all() > 0).count());
        }
    }
}
