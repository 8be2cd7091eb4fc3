//! What has just been done, as the next page says it: a word in the query, never text, so that nobody can put words into our
//! mouth by a link.

use maud::{Markup, html};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Added,
    AddedUntried,
    Exists,
    Saved,
    Paused,
    Resumed,
    Muted,
    Unmuted,
    Deleted,
    DeletedBefore,
    Adopted,
    Asked,
}

impl Notice {
    const ALL: [Self; 12] = [
        Self::Added,
        Self::AddedUntried,
        Self::Exists,
        Self::Saved,
        Self::Paused,
        Self::Resumed,
        Self::Muted,
        Self::Unmuted,
        Self::Deleted,
        Self::DeletedBefore,
        Self::Adopted,
        Self::Asked,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::AddedUntried => "added-untried",
            Self::Exists => "exists",
            Self::Saved => "saved",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Muted => "muted",
            Self::Unmuted => "unmuted",
            Self::Deleted => "deleted",
            Self::DeletedBefore => "deleted-before",
            Self::Adopted => "adopted",
            Self::Asked => "asked",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Added => "Added. A first probe is on its way; what becomes of it shows below.",
            Self::AddedUntried => {
                "Added. Too many probes were asked for at once to try it now; it is probed by its schedule."
            }
            Self::Exists => "This recipient has been added already; there is still one of it.",
            Self::Saved => "Saved.",
            Self::Paused => "Paused. No probe is sent until it is resumed; an open incident closes.",
            Self::Resumed => "Resumed. A probe leaves at once.",
            Self::Muted => "Muted. Probes go on; alerts wait.",
            Self::Unmuted => "Not muted any more.",
            Self::Deleted => "Deleted.",
            Self::DeletedBefore => "It had been deleted already.",
            Self::Adopted => "Saved. The next probes are judged by it.",
            Self::Asked => "A probe is on its way.",
        }
    }
}

/// The notice that a query asks for, if it is one of ours.
pub fn of(done: &str) -> Option<Notice> {
    Notice::ALL.into_iter().find(|notice| notice.as_str() == done)
}

pub fn render(notice: Option<Notice>) -> Markup {
    html! { @if let Some(notice) = notice { p.note.done #done role="status" { (notice.sentence()) } } }
}
