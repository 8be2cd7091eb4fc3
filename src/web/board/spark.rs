//! A dot for each of the last probes, on a logarithmic scale with the threshold as a line.
//!
//! What has no latency is never drawn as a value: missing, failed, bounced and unjudged probes have marks of their own.
//! Each state is one path: a thousand recipients must not make a page of megabytes.

use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, html};

use crate::domain::verdict::Verdict;
use crate::store::Dot;

const WIDTH: f64 = 156.0;
const HEIGHT: f64 = 34.0;
/// Between two dots.
const STEP: f64 = 5.1;
/// The shortest latency on the scale, in milliseconds; the longest is twice the threshold.
const SHORTEST_MS: f64 = 50.0;

/// The classes of the dots, in the order in which they are painted.
const CLASSES: [&str; 8] = ["open", "unknown", "ok", "junk", "late", "failed", "bounced", "missing"];

/// The sparkline of `trace`, newest on the right.
pub fn spark(trace: &[Dot], threshold: Duration) -> Markup {
    let top = (threshold.as_secs_f64() * 2000.0).max(SHORTEST_MS * 2.0);
    let height = |ms: f64| {
        let share = (ms.max(SHORTEST_MS) / SHORTEST_MS).ln() / (top / SHORTEST_MS).ln();
        (HEIGHT - 3.0) - share.min(1.0) * (HEIGHT - 6.0)
    };
    let mut paths: [String; 8] = Default::default();
    for (back, dot) in trace.iter().rev().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "some dozen dots")]
        let x = WIDTH - 4.0 - STEP * back as f64;
        let class = class(*dot);
        let Some(path) = CLASSES.iter().position(|name| *name == class).and_then(|at| paths.get_mut(at))
        else {
            continue;
        };
        // Writing to a String cannot fail.
        let _ = match (dot.latency_ms, dot.verdict) {
            (Some(ms), _) => write!(path, "M{x:.1} {:.1}h0", height(f64::from(ms))),
            (None, None) => write!(path, "M{x:.1} {:.1}h0", HEIGHT / 2.0),
            (None, Some(Verdict::SendFailed)) => write!(path, "M{x:.1} {:.1}v5", HEIGHT - 6.5),
            (None, Some(Verdict::Bounced)) => {
                write!(path, "M{:.1} {:.1}l1.5 2.6 1.5-2.6", x - 1.5, 4.2)
            }
            // Arrived, and nobody knows after how long.
            (None, Some(Verdict::Delivered | Verdict::Late | Verdict::Inconclusive)) => {
                write!(path, "M{:.1} {:.1}h2.4", x - 1.2, HEIGHT / 2.0)
            }
            (None, Some(Verdict::Missing)) => write!(path, "M{:.1} 3.9l3 3m0-3l-3 3", x - 1.5),
        };
    }
    let line = height(threshold.as_secs_f64() * 1000.0);
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(said(trace)) {
            path.axis d={ "M2 " (format!("{line:.1}")) "H" (WIDTH - 2.0) } {}
            @for (class, path) in CLASSES.iter().zip(&paths) {
                @if !path.is_empty() { path class={ "d " (class) } d=(path) {} }
            }
        }
    }
}

fn class(dot: Dot) -> &'static str {
    match dot.verdict {
        None => "open",
        Some(Verdict::Delivered) if dot.in_junk => "junk",
        Some(Verdict::Delivered) => "ok",
        Some(Verdict::Late) => "late",
        Some(Verdict::Missing) => "missing",
        Some(Verdict::SendFailed) => "failed",
        Some(Verdict::Bounced) => "bounced",
        Some(Verdict::Inconclusive) => "unknown",
    }
}

/// The same for those who do not see it.
fn said(trace: &[Dot]) -> String {
    let words = [
        ("ok", "in time"),
        ("junk", "in Junk"),
        ("late", "late"),
        ("missing", "missing"),
        ("failed", "not sent"),
        ("bounced", "bounced"),
        ("unknown", "not observed"),
        ("open", "under way"),
    ];
    let mut said = format!("Last {} probes", trace.len());
    for (name, word) in words {
        let number = trace.iter().filter(|dot| class(**dot) == name).count();
        if number > 0 {
            let _ = write!(said, ", {number} {word}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(verdict: Option<Verdict>, latency_ms: Option<f32>) -> Dot {
        Dot { verdict, in_junk: false, latency_ms }
    }

    #[test]
    fn each_state_has_its_mark_and_only_latencies_are_values() {
        let delivered = dot(Some(Verdict::Delivered), Some(400.0));
        let trace: Vec<Dot> = [
            delivered,
            Dot { in_junk: true, ..delivered },
            dot(Some(Verdict::Late), Some(700_000.0)),
            dot(Some(Verdict::Missing), None),
            dot(Some(Verdict::SendFailed), None),
            dot(Some(Verdict::Bounced), None),
            dot(Some(Verdict::Inconclusive), None),
            dot(None, None),
        ]
        .into();
        let drawn = spark(&trace, Duration::from_mins(5)).into_string();
        for class in CLASSES {
            assert_eq!(drawn.matches(&format!("class=\"d {class}\"")).count(), 1, "{class} in {drawn}");
        }
        assert!(!drawn.contains("style") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        assert!(
            drawn.contains("Last 8 probes, 1 in time, 1 in Junk, 1 late, 1 missing, 1 not sent, 1 bounced")
        );
        assert!(spark(&[], Duration::from_mins(5)).into_string().contains("Last 0 probes"));
    }

    #[test]
    fn no_dot_leaves_the_picture() {
        for ms in [0.0, 1.0, 49.0, 1e3, 1e9, f32::MAX] {
            let drawn = spark(&[dot(Some(Verdict::Late), Some(ms))], Duration::from_secs(10)).into_string();
            let path =
                drawn.split("d=\"M152.0 ").nth(1).and_then(|rest| rest.split('h').next()).unwrap_or_default();
            let y: f64 = path.parse().unwrap_or(f64::NAN);
            assert!((3.0..=31.0).contains(&y), "{ms}: {drawn}");
        }
    }
}
