//! The form of a recipient: fields with their meaning, and what is wrong with them beside each and in a summary above.

use maud::{Markup, html};

use crate::config::{Config, Refusal};
use crate::domain::return_mode::ReturnMode;
use crate::web::words;

use super::entries::{Entries, FIELDS, label};

/// A form to be filled in.
pub struct Sheet<'a> {
    pub config: &'a Config,
    pub entries: &'a Entries,
    pub refusals: &'a [Refusal],
    /// Where it is sent.
    pub action: &'a str,
    /// The recipient as it was when the form was made.
    pub version: Option<i32>,
    pub button: &'a str,
    /// Where one goes without saving.
    pub back: &'a str,
}

impl Sheet<'_> {
    pub fn render(&self) -> Markup {
        let several = self.config.senders.len() > 1 || self.config.mailboxes.len() > 1;
        html! {
            (self.summary())
            form.sheet method="post" action=(self.action) novalidate {
                @if let Some(version) = self.version { input type="hidden" name="version" value=(version); }
                fieldset {
                    legend { "Whom" }
                    (self.text("address", &html! { "The address that is monitored. Mail to it must come, by whatever way, into the watched mailbox." },
                        &html! { input #address name="address" value=(self.entries.address) type="text" inputmode="email" autocomplete="off" autocapitalize="none"
                            spellcheck="false" required maxlength="254" autofocus[self.refusals.is_empty() && self.version.is_none()]
                            aria-describedby=(self.described("address")) aria-invalid=[self.invalid("address")]; }))
                    (self.text("name", &html! { "What people read in tables and alerts, and the label in metrics. Unique. Left empty it is the address." },
                        &html! { input #name name="name" value=(self.entries.name) autocomplete="off" maxlength="128"
                            aria-describedby=(self.described("name")) aria-invalid=[self.invalid("name")]; }))
                }
                fieldset {
                    legend { "How often, and from when on it is an alert" }
                    div.abreast {
                        (self.short("interval", &html! { "Between two probes: 30s to 7d." }))
                        (self.short("alert_threshold", &html! { "Mail that takes longer is late; mail that is not there by then is missing: 10s to 1d." }))
                        (self.short("alert_after", &html! { "In a row, before anybody is told." }))
                    }
                    p.hint { "Seconds, or a number with a unit: " code { "90s" } ", " code { "5m" } ", " code { "1h30m" } ", " code { "2d" } "." }
                }
                (self.modes())
                @if several || self.refuses("sender") || self.refuses("mailbox") {
                    fieldset {
                        legend { "By which account, into which mailbox" }
                        div.abreast {
                            (self.choice("sender", self.config.senders.keys(), &html! { "The account that sends its probes." }))
                            (self.choice("mailbox", self.config.mailboxes.keys(), &html! { "Where they must appear." }))
                        }
                    }
                } @else {
                    input type="hidden" name="sender" value=(self.entries.sender);
                    input type="hidden" name="mailbox" value=(self.entries.mailbox);
                }
                fieldset {
                    legend { "Who is told when mail does not arrive" }
                    (self.switch("discord", self.config.alerts.discord.is_some(), "DISCORD_WEBHOOK_URL"))
                    (self.switch("email", !self.config.alerts.mail.is_empty(), "ALERT_MAIL_RECIPIENT"))
                }
                div.deeds {
                    button type="submit" { (self.button) }
                    a href=(self.back) { "Cancel" }
                }
            }
        }
    }

    /// What is wrong, with links to the fields. It takes the focus.
    fn summary(&self) -> Markup {
        html! {
            @if !self.refusals.is_empty() {
                section.note.bad.refused #refused role="alert" tabindex="-1" autofocus aria-labelledby="refused-heading" {
                    h2 #refused-heading { @if self.refusals.len() == 1 { "One field needs another value" } @else { (self.refusals.len()) " fields need other values" } }
                    ul { @for refusal in self.refusals {
                        li { a href={ "#" (anchor(&refusal.field)) } { (label(&refusal.field)) } ": " (reason(refusal)) }
                    } }
                }
            }
        }
    }

    fn refusal(&self, field: &str) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| refusal.field == field)
    }

    fn refuses(&self, field: &str) -> bool {
        self.refusal(field).is_some()
    }

    fn invalid(&self, field: &str) -> Option<&'static str> {
        self.refuses(field).then_some("true")
    }

    fn described(&self, field: &str) -> String {
        if self.refuses(field) { format!("{field}-refused {field}-hint") } else { format!("{field}-hint") }
    }

    fn beside(&self, field: &str) -> Markup {
        html! { @if let Some(refusal) = self.refusal(field) { p.wrong id={ (field) "-refused" } { (reason(refusal)) } } }
    }

    fn text(&self, field: &str, hint: &Markup, input: &Markup) -> Markup {
        html! {
            div.field {
                label for=(field) { (label(field)) }
                (input)
                (self.beside(field))
                p.hint id={ (field) "-hint" } { (hint) }
            }
        }
    }

    fn short(&self, field: &str, hint: &Markup) -> Markup {
        let input = html! { input id=(field) name=(field) value=(self.entries.get(field)) autocomplete="off" maxlength="32"
        inputmode=[(field == "alert_after").then_some("numeric")]
        aria-describedby=(self.described(field)) aria-invalid=[self.invalid(field)]; };
        self.text(field, hint, &input)
    }

    fn modes(&self) -> Markup {
        let chosen = self.entries.return_mode.trim().to_ascii_lowercase();
        html! {
            fieldset.modes aria-describedby=[self.refuses("return_mode").then_some("return_mode-refused")] {
                legend { "How the probe comes back" }
                (self.beside("return_mode"))
                @for mode in ReturnMode::ALL {
                    @let id = mode_id(mode);
                    div.option {
                        input id=(id) type="radio" name="return_mode" value=(mode.as_str()) checked[chosen == mode.as_str() || chosen.is_empty() && mode == ReturnMode::Direct]
                            aria-describedby={ (id) "-hint" };
                        label for=(id) { (mode_name(mode)) }
                        p.hint id={ (id) "-hint" } { (mode_hint(mode)) }
                    }
                }
            }
        }
    }

    fn choice<'b>(&self, field: &str, names: impl Iterator<Item = &'b String>, hint: &Markup) -> Markup {
        let entry = self.entries.get(field);
        let names: Vec<&String> = names.collect();
        let input = html! {
            select id=(field) name=(field) aria-describedby=(self.described(field)) aria-invalid=[self.invalid(field)] {
                @if !names.iter().any(|name| *name == entry) { option value=(entry) selected { @if entry.is_empty() { "choose one" } @else { (entry) " (not configured)" } } }
                @for name in &names { option value=(name) selected[*name == entry] { (name) } }
            }
        };
        self.text(field, hint, &input)
    }

    fn switch(&self, field: &str, is_configured: bool, setting: &str) -> Markup {
        html! {
            div.option {
                input id=(field) type="checkbox" name=(field) value="true" checked[!self.entries.get(field).is_empty()]
                    aria-describedby=(self.described(field)) aria-invalid=[self.invalid(field)];
                label for=(field) { (label(field)) }
                (self.beside(field))
                p.hint id={ (field) "-hint" } {
                    @if is_configured { "Tell its incidents there." }
                    @else { "Nothing is told there yet: " code { (setting) } " is not set." }
                }
            }
        }
    }
}

/// The id of what a field's link leads to.
fn anchor(field: &str) -> &str {
    match field {
        "return_mode" => "mode-direct",
        _ => FIELDS.iter().find(|known| **known == field).copied().unwrap_or("main"),
    }
}

fn mode_id(mode: ReturnMode) -> String {
    format!("mode-{mode}")
}

pub fn mode_name(mode: ReturnMode) -> &'static str {
    match mode {
        ReturnMode::Direct => "Direct: the probe itself arrives",
        ReturnMode::Forward => "Forward: a copy of it arrives",
        ReturnMode::Echo => "Echo: an answer to it arrives",
    }
}

fn mode_hint(mode: ReturnMode) -> &'static str {
    match mode {
        ReturnMode::Direct => {
            "An alias, a redirect or a list brings the message unchanged, or it is the watched mailbox's own address."
        }
        ReturnMode::Forward => {
            "Somebody's mailbox or help desk makes a new message of it, “Fwd: …”, with the probe's Subject in it. The probe itself counts as well."
        }
        ReturnMode::Echo => {
            "Nothing is passed on, but an automatic reply comes back to the sender. It proves both ways at once."
        }
    }
}

/// A refusal in sentences.
pub fn reason(refusal: &Refusal) -> String {
    let (reason, remedy) = (&refusal.fault.reason, &refusal.fault.remedy);
    let starts_itself = !["is ", "holds ", "has ", "names "].iter().any(|start| reason.starts_with(start));
    let reason = if starts_itself { reason.clone() } else { format!("It {reason}") };
    format!("{} {}", words::sentence(&reason), words::sentence(remedy))
}
