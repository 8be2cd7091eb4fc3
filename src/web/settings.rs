//! `/settings`: how each part fares, and the configuration with its secrets masked.

use std::sync::Arc;

use axum::extract::{Extension, State};
use maud::{Markup, html};

use crate::config::Described;
use crate::domain::alert::{Kind, Scope};
use crate::store::{Case, Which};

use super::failure::Failure;
use super::health::{self, Part};
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, words};

/// The parts of the table of settings: a heading, and what the names in it begin with.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Mail", &["SMTP_", "IMAP_", "ACTIVE_LOOK", "TLS_CA_FILE", "ALLOW_PLAINTEXT", "senders.", "mailboxes."]),
    ("Pace", &["SEND_", "ALERT_THRESHOLD", "CHECK_INTERVAL", "RETENTION_DAYS"]),
    ("Alerts", &["DISCORD_", "ALERT_", "HEARTBEAT_", "QUIET", "CERT_WARN_DAYS", "TZ"]),
    (
        "Admin UI and network",
        &[
            "ADMIN_",
            "API_TOKEN",
            "LISTEN",
            "METRICS_LISTEN",
            "PUBLIC_URL",
            "ALLOW_INSECURE_HTTP",
            "ENABLE_PROXY",
            "TRUSTED_PROXIES",
        ],
    ),
    ("Recipients of the file", &["recipients["]),
    ("Time limits", &["limits."]),
    ("Program", &[""]),
];

/// `GET /settings`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
) -> Result<Markup, Failure> {
    let readiness = site.readiness.borrow().clone();
    let (_, open) = site.store()?.cases(Which::Open).await?;
    let config = &visit.config;
    let mut parts = health::parts(&readiness);
    parts.extend(config.senders.keys().map(|name| sender(name, &open)));
    let ill = parts.iter().filter(|part| !part.is_well).count();
    let main = html! {
        h1 {
            @if ill == 0 { "MailDT itself is well." }
            @else { em { (words::count(ill, "part", "parts")) } " of MailDT " (if ill == 1 { "is" } else { "are" }) " not well." }
        }
        p.lede { "How each part fares, and what is configured. Change it in " code { "maildt.toml" } " or in the environment." }
        (health::table(&parts))
        @if !config.warnings.is_empty() {
            h2 { "Warnings" }
            ul.warnings { @for warning in &config.warnings { li { (layout::code_marked(warning)) } } }
        }
        h2 { "Configuration" }
        @for (place, (heading, _)) in GROUPS.iter().enumerate() {
            @let rows: Vec<&Described> = config.described().iter().filter(|row| group(&row.name) == place).collect();
            @if !rows.is_empty() { (settings(heading, &rows)) }
        }
    };
    Ok(layout::page(&visit, &Page::new("Settings", &main)))
}

fn group(name: &str) -> usize {
    let is_in = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    // The first that fits: ALERT_THRESHOLD is not about alerts.
    GROUPS.iter().position(|(_, starts)| is_in(starts)).unwrap_or(GROUPS.len() - 1)
}

/// A submission account is well as long as no incident says otherwise.
fn sender(name: &str, open: &[Case]) -> Part {
    let incident = open.iter().map(|case| &case.incident).find(|incident| {
        incident.kind == Kind::SenderUnreachable
            && matches!(&incident.scope, Scope::Sender(s) if **s == *name)
    });
    Part {
        name: format!("Sender {name}"),
        is_well: incident.is_none(),
        words: incident.map_or_else(|| "no trouble known".to_owned(), |i| words::evidence(&i.details.latest)),
    }
}

fn settings(heading: &str, rows: &[&Described]) -> Markup {
    html! {
        details open[rows.len() <= 24] {
            summary { h3 { (heading) } span.soft { " " (words::count(rows.len(), "setting", "settings")) } }
            div.scroll tabindex="0" role="region" aria-label=(heading) {
                table.settings {
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody {
                        @for row in rows {
                            tr class=[(row.source == "unset" || row.source == "default").then_some("default")] {
                                th scope="row" { code { (row.name) } }
                                td { @if row.value.is_empty() { span.none { "—" } } @else { (row.value) } }
                                td.soft { (row.source) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_group() {
        let heading = |name: &str| GROUPS.get(group(name)).map(|(heading, _)| *heading);
        for (name, expected) in [
            ("SMTP_HOST", "Mail"),
            ("ALERT_SMTP_HOST", "Alerts"),
            ("ALERT_THRESHOLD", "Pace"),
            ("ALERT_REMINDER", "Alerts"),
            ("SEND_INTERVAL", "Pace"),
            ("ADMIN_USER", "Admin UI and network"),
            ("limits.lease", "Time limits"),
            ("recipients[\"x\"]", "Recipients of the file"),
            ("DATABASE_URL", "Program"),
            ("senders.bulk.host", "Mail"),
        ] {
            assert_eq!(heading(name), Some(expected), "{name}");
        }
    }
}
