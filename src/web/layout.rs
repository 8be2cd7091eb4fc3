//! What all pages have in common.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::visit::Visit;

/// The pages of the navigation.
const PAGES: [(&str, &str); 4] =
    [("/", "Live"), ("/recipients", "Recipients"), ("/incidents", "Incidents"), ("/settings", "Settings")];

/// How often a page that is live with a script loads itself again without one.
const WITHOUT_SCRIPT_S: u64 = 30;

/// What differs from page to page.
pub struct Page<'a> {
    pub title: &'a str,
    pub main: &'a Markup,
    /// It loads itself again after that time.
    pub refresh: Option<Duration>,
    /// Of ours, besides what every page has.
    pub scripts: &'static [&'static str],
    pub styles: &'static [&'static str],
    /// Without the script it loads itself again.
    pub again_without_script: bool,
    /// Without the script it loads itself again after that time, to follow something that takes seconds.
    pub follow_without_script: Option<Duration>,
}

impl<'a> Page<'a> {
    pub fn new(title: &'a str, main: &'a Markup) -> Self {
        Self {
            title,
            main,
            refresh: None,
            scripts: &[],
            styles: &[],
            again_without_script: false,
            follow_without_script: None,
        }
    }
}

/// A whole page.
pub fn page(visit: &Visit, page: &Page<'_>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                @if let Some(after) = page.refresh {
                    meta http-equiv="refresh" content=(after.as_secs().max(1));
                }
                title { (page.title) " · MailDT" }
                link rel="icon" type="image/svg+xml" href=(assets::path("favicon.svg"));
                link rel="stylesheet" href=(assets::path("maildt.css"));
                @for style in page.styles { link rel="stylesheet" href=(assets::path(style)); }
                script src=(assets::path("clock.js")) defer {}
                @for script in page.scripts { script src=(assets::path(script)) defer {} }
                @if let Some(after) = page.follow_without_script { noscript { meta http-equiv="refresh" content=(after.as_secs().max(1)); } }
                @if page.again_without_script { noscript { meta http-equiv="refresh" content=(WITHOUT_SCRIPT_S); } }
            }
            body data-now=(visit.at.as_millisecond()) {
                a.skip href="#main" { "To the content" }
                header.top {
                    a.brand href="/" { (logo()) "MailDT" }
                    @if visit.signed_in {
                        nav aria-label="Pages" {
                            @for (path, name) in PAGES {
                                a href=(path) aria-current=[current(&visit.path, path)] { (name) }
                            }
                        }
                        form.leave method="post" action="/logout" { button.quiet type="submit" { "Log out" } }
                    }
                }
                @for warning in visit.warnings() {
                    p.warning role="note" { (sign()) span { (code_marked(warning)) } }
                }
                main #main tabindex="-1" { (page.main) }
                footer { "MailDT " (visit.build.version) @if visit.build.revision != "unknown" { " · " (visit.build.revision) } }
            }
        }
    }
}

/// Whether the page at `path` belongs to this entry of the navigation.
fn current(path: &str, entry: &str) -> Option<&'static str> {
    let below = path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/'));
    if path == entry { Some("page") } else { (below && entry != "/").then_some("true") }
}

/// An envelope that has found its way.
fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 24 24" aria-hidden="true" {
            path d="M2.5 6.5h15v11h-15z" {}
            path d="M2.5 7l7.5 6 7.5-6" {}
            path.mark d="M14 17.5l2.8 2.8L22 14" {}
        }
    }
}

fn sign() -> Markup {
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" { path d="M8 2.2L14.6 13.6H1.4z" {} path d="M8 6.4v3.4M8 11.7v.1" {} }
    }
}

/// Text in which `words` are code.
pub fn code_marked(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
