//! `/settings`: how each part fares, test alerts, what is quiet, and the configuration with its secrets masked.

mod channels;
mod parts;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use maud::{Markup, html};

use crate::clock;
use crate::config::Described;
use crate::domain::alert::Incident;
use crate::metrics::readiness::Role;
use crate::store::Which;

use super::failure::Failure;
use super::health::{self, Condition};
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, quiet, words};
use parts::View;

pub use trial::{Trials, send as send_test};

/// How often the page looks again while a test alert is under way.
const WHILE_TRYING: Duration = Duration::from_secs(2);

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
    let store = site.store()?;
    let health = store.health().await?;
    let (_, open) = store.cases(Which::Open).await?;
    let open: Vec<&Incident> = open.iter().map(|case| &case.incident).collect();
    let (config, readiness) = (&*visit.config, site.readiness.borrow().clone());
    let view = View { config, readiness: &readiness, metrics: &site.metrics, health: &health, open: &open };
    let (parts, channels) = (view.all(), channels::parts(&view));
    let states = || parts.iter().chain(channels.iter().map(|(_, part)| part)).map(|part| part.state);
    let count = |state| states().filter(|other| *other == state).count();
    let (ill, doubtful) = (count(Condition::Ill), count(Condition::Doubtful));
    let warnings: Vec<&str> = config.warnings_at(clock::now()).collect();
    let main = html! {
        h1 {
            @if ill > 0 { em { (words::count(ill, "part", "parts")) } " of MailDT " (if ill == 1 { "is" } else { "are" }) " not well." }
            @else if doubtful > 0 { "MailDT works; " (words::count(doubtful, "part", "parts")) (if doubtful == 1 { " needs" } else { " need" }) " a look." }
            @else if readiness.role == Role::Standby { "This instance stands by." }
            @else { "MailDT itself is well." }
        }
        p.lede { "How each part fares, and what is configured. Change it in " code { "maildt.toml" } " or in the environment; SIGHUP has it read again." }
        (quiet::lost(channels::lost(&view)))
        (quiet::now(config, view.now()))
        (health::table("Parts", &parts))
        (channels::section(&view, &channels, &site.trials))
        (quiet::section(config, &health.muted, health.muted_count, view.now()))
        @if !warnings.is_empty() {
            h2 #warnings { "Warnings" }
            ul.warnings { @for warning in &warnings { li { (layout::code_marked(warning)) } } }
        }
        h2 { "Configuration" }
        @for (place, (heading, _)) in GROUPS.iter().enumerate() {
            @let rows: Vec<&Described> = config.described().iter().filter(|row| group(&row.name) == place).collect();
            @if !rows.is_empty() { (settings(heading, &rows)) }
        }
    };
    let refresh = channels::is_trying(&channels, &site.trials).then_some(WHILE_TRYING);
    Ok(layout::page(&visit, &Page { refresh, styles: &["settings.css"], ..Page::new("Settings", &main) }))
}

fn group(name: &str) -> usize {
    let is_in = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    // The first that fits: ALERT_THRESHOLD is not about alerts.
    GROUPS.iter().position(|(_, starts)| is_in(starts)).unwrap_or(GROUPS.len() - 1)
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
