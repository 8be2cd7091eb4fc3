//! The states of a recipient as they look: icon, word and colour, the same on every page.

use maud::{Markup, html};

use crate::domain::verdict::Standing;

/// How a standing looks.
pub struct Look {
    /// The class that colours it.
    pub class: &'static str,
    pub word: &'static str,
    /// The icon, as a path in a square of 16.
    icon: &'static str,
    /// Worst first.
    pub rank: u8,
}

pub fn look(standing: Standing) -> Look {
    let look = |class, word, icon, rank| Look { class, word, icon, rank };
    match standing {
        Standing::Missing => look("missing", "Missing", "M4.5 4.5l7 7m0-7l-7 7", 0),
        Standing::Bounced => look("bounced", "Bounced", "M13 11.5a5 5 0 0 0-9.5-1M3 6.5v4h4", 1),
        Standing::SendFailed => look("failed", "Send failed", "M3 8h8M8 4.5L11.5 8 8 11.5M13.2 3v10", 2),
        Standing::Late => look("late", "Late", "M8 4.6v3.6l2.4 1.3M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12", 3),
        Standing::Junk => look("junk", "In Junk", "M3 4h10l-1 9.5H4zM6 4V2.5h4V4", 4),
        Standing::Unknown => {
            look("unknown", "Not observed", "M2 8s2.5-4 6-4 6 4 6 4-2.5 4-6 4-6-4-6-4zM3 13L13 3", 5)
        }
        Standing::Pending => look("pending", "Waiting", "M3.5 8h.1M8 8h.1M12.5 8h.1", 6),
        Standing::Ok => look("ok", "Arrives", "M4 8.5l3 3 5-6", 7),
        Standing::Paused => look("paused", "Paused", "M6 4v8M10 4v8", 8),
    }
}

/// Mail does not arrive.
pub fn is_down(standing: Standing) -> bool {
    matches!(standing, Standing::Missing | Standing::Bounced | Standing::SendFailed)
}

/// Somebody should have a look, but mail arrives as far as is known.
pub fn is_doubtful(standing: Standing) -> bool {
    matches!(standing, Standing::Late | Standing::Junk | Standing::Unknown)
}

pub fn icon(look: &Look) -> Markup {
    html! { svg viewBox="0 0 16 16" aria-hidden="true" { path d=(look.icon) {} } }
}

pub fn chip(standing: Standing) -> Markup {
    let look = look(standing);
    html! { span class={ "chip " (look.class) } { (icon(&look)) (look.word) } }
}
