//! Until when a recipient is muted: a choice of a few, or a date and time.

use jiff::Timestamp;
use jiff::civil::{DateTime, time};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use maud::{Markup, html};

use crate::domain::id::RecipientId;

/// The choices: what the form sends, and what it says.
const CHOICES: [(&str, &str); 5] = [
    ("1h", "for 1 hour"),
    ("4h", "for 4 hours"),
    ("tomorrow", "until tomorrow, 08:00"),
    ("at", "until a date and time"),
    ("off", "not any more"),
];

/// The end of the muting; `None` to end it now. Dates without an offset are on the clock of `tz`.
///
/// # Errors
/// With the sentence that tells what to write instead.
pub fn end(choice: &str, at: &str, now: Timestamp, tz: &TimeZone) -> Result<Option<Timestamp>, String> {
    let until = match choice {
        "off" => return Ok(None),
        "1h" => now.checked_add(1.hour()).ok(),
        "4h" => now.checked_add(4.hours()).ok(),
        "tomorrow" => tomorrow_morning(&now.to_zoned(tz.clone())),
        "at" => Some(moment(at, tz).ok_or("Give a date and a time, such as 2026-01-31T08:00.")?),
        _ => return Err("Choose until when.".to_owned()),
    };
    match until {
        Some(until) if until > now => Ok(Some(until)),
        _ => Err("This time is over. Give one that is still to come.".to_owned()),
    }
}

fn tomorrow_morning(now: &Zoned) -> Option<Timestamp> {
    let morning = now.date().tomorrow().ok()?.to_datetime(time(8, 0, 0, 0));
    Some(now.time_zone().to_zoned(morning).ok()?.timestamp())
}

/// A point in time as a browser's field writes it, or with an offset.
fn moment(text: &str, tz: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    // A date alone would be read as its first moment, which is hardly meant.
    if !text.contains(':') {
        return None;
    }
    text.parse().ok().or_else(|| Some(tz.to_zoned(text.parse::<DateTime>().ok()?).ok()?.timestamp()))
}

/// The form. `typed` is the choice and the date of a form that was refused, and why.
pub fn form(
    id: RecipientId,
    is_muted: bool,
    typed: Option<&(String, String, String)>,
    tz: &TimeZone,
) -> Markup {
    let (choice, at, refusal) = typed.map_or(("1h", "", None), |(choice, at, why)| (choice, at, Some(why)));
    html! {
        form.mute #mute method="post" action={ "/recipients/" (id) "/mute" } novalidate {
            @if let Some(why) = refusal {
                p.wrong #mute-refused role="alert" tabindex="-1" autofocus { (why) }
            }
            label for="until" { "Mute alerts" }
            select #until name="until" aria-describedby=[refusal.map(|_| "mute-refused")] aria-invalid=[refusal.map(|_| "true")] {
                @for (value, text) in CHOICES {
                    @if value != "off" || is_muted { option value=(value) selected[choice == value] { (text) } }
                }
            }
            label for="at" { "Date and time " small { (tz.iana_name().unwrap_or("in the configured zone")) } }
            input #at type="datetime-local" name="at" value=(at) aria-describedby=[refusal.map(|_| "mute-refused")];
            button.quiet type="submit" { (if is_muted { "Change" } else { "Mute" }) }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn end_in(choice: &str, at: &str, zone: &str) -> Result<Option<String>, String> {
        let now: Timestamp = "2026-03-28T22:30:00Z".parse().unwrap();
        end(choice, at, now, &TimeZone::get(zone).unwrap()).map(|until| until.map(|until| until.to_string()))
    }

    #[test]
    fn a_choice_is_a_time_on_the_configured_clock() {
        let ends = |choice: &str, at: &str, zone: &str| end_in(choice, at, zone).unwrap().unwrap_or_default();
        assert_eq!(ends("1h", "", "UTC"), "2026-03-28T23:30:00Z");
        assert_eq!(ends("4h", "nonsense is not looked at", "UTC"), "2026-03-29T02:30:00Z");
        assert_eq!(ends("tomorrow", "", "UTC"), "2026-03-29T08:00:00Z");
        // The night in which the clocks go forward.
        assert_eq!(ends("tomorrow", "", "Europe/Vienna"), "2026-03-29T06:00:00Z");
        // It is the 29th already.
        assert_eq!(ends("tomorrow", "", "Asia/Tokyo"), "2026-03-29T23:00:00Z");
        assert_eq!(ends("at", "2026-04-01T08:00", "Europe/Vienna"), "2026-04-01T06:00:00Z");
        assert_eq!(ends("at", "2026-04-01T08:00:30Z", "Europe/Vienna"), "2026-04-01T08:00:30Z");
        assert_eq!(end_in("off", "", "UTC"), Ok(None));
    }

    #[test]
    fn what_is_no_time_to_come_is_refused() {
        for at in [
            "",
            "tomorrow",
            "2026-04-01",
            "2026-02-30T08:00",
            "2026-03-28T22:30",
            "1999-01-01T00:00",
            "99999-01-01T00:00",
            "2026-04-01T25:00",
        ] {
            assert!(end_in("at", at, "UTC").is_err(), "{at}");
        }
        for choice in ["", "2h", "OFF", "at "] {
            assert!(end_in(choice, "2026-04-01T08:00", "UTC").is_err(), "{choice}");
        }
    }
}
