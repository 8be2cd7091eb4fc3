//! `GET /recipients`: all of them with their settings, and a filter.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::show_duration;
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::domain::return_mode::ReturnMode;
use crate::domain::verdict::Standing;
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;
use crate::web::{Site, states, words};

use super::adding::accounts_first;
use super::notice;

/// What somebody looks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Wish {
    /// Part of a name, an address, a sender or a mailbox.
    #[serde(default)]
    q: String,
    /// A class of [`states::look`], `muted` or `file`.
    #[serde(default)]
    state: String,
    #[serde(default)]
    done: String,
}

struct Row {
    recipient: Recipient,
    standing: Standing,
    is_muted: bool,
}

pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Markup, Failure> {
    let Query(wish) = wish.map_err(|_| Failure::bad_form())?;
    let store = site.store()?;
    let recipients = store.recipients().await?;
    let board = site.live.board(&store).await?;
    let standings: HashMap<RecipientId, Standing> = board.standings().collect();
    let mut rows: Vec<Row> =
        recipients.into_iter().map(|recipient| Row::new(recipient, &standings, board.now)).collect();
    rows.sort_by(|a, b| a.recipient.name.cmp(&b.recipient.name));
    let config = &visit.config;
    let main = if rows.is_empty() {
        html! {
            (notice::render(notice::of(&wish.done)))
            section.steps {
                h1 { "No recipient yet." }
                p.lede { "A recipient is an address whose mail you want to be sure of. MailDT sends it a signed probe now and then, and looks whether, where and after how long the probe appears in the watched mailbox." }
                @if config.senders.is_empty() || config.mailboxes.is_empty() { (accounts_first(config)) }
                @else { p { a.button href="/recipients/new" { "Add a recipient" } } }
            }
        }
    } else {
        whole(&rows, &wish, config.senders.len() > 1, config.mailboxes.len() > 1)
    };
    Ok(layout::page(
        &visit,
        &Page { scripts: &["recipients.js"], styles: &["recipients.css"], ..Page::new("Recipients", &main) },
    ))
}

impl Row {
    fn new(recipient: Recipient, standings: &HashMap<RecipientId, Standing>, now: Timestamp) -> Self {
        let known = standings.get(&recipient.id).copied();
        // The board may be a moment older than the list.
        let standing = match known {
            _ if !recipient.active => Standing::Paused,
            None | Some(Standing::Paused) => Standing::Pending,
            Some(standing) => standing,
        };
        let is_muted = recipient.muted_until.is_some_and(|until| until > now);
        Self { recipient, standing, is_muted }
    }

    fn is_wished(&self, wish: &Wish) -> bool {
        let part = wish.q.trim().to_lowercase();
        let Recipient { name, address, sender, mailbox, .. } = &self.recipient;
        let is_named = part.is_empty()
            || [name, address, sender, mailbox].into_iter().any(|text| text.to_lowercase().contains(&part));
        is_named
            && match wish.state.as_str() {
                "" => true,
                "muted" => self.is_muted,
                "file" => self.recipient.provisioned,
                state => states::look(self.standing).class == state,
            }
    }
}

fn whole(rows: &[Row], wish: &Wish, senders: bool, mailboxes: bool) -> Markup {
    let chosen: Vec<&Row> = rows.iter().filter(|row| row.is_wished(wish)).collect();
    let paused = rows.iter().filter(|row| !row.recipient.active).count();
    let muted = rows.iter().filter(|row| row.is_muted).count();
    html! {
        (notice::render(notice::of(&wish.done)))
        div.heading {
            h1 { (words::count(rows.len(), "recipient", "recipients")) }
            a.button href="/recipients/new" { "Add a recipient" }
        }
        p.lede {
            @match paused { 0 => "All are probed.", _ => { (words::count(paused, "is paused", "are paused")) "." } }
            @if muted > 0 { " " (words::count(muted, "is muted", "are muted")) "." }
        }
        form.filter method="get" action="/recipients" role="search" {
            label.unseen for="q" { "Part of a name or address" }
            input #q type="search" name="q" value=(wish.q) placeholder="Find a recipient" autocomplete="off" maxlength="200";
            label.unseen for="state" { "State" }
            select #state name="state" {
                option value="" { "Every state" }
                @for standing in Standing::ALL {
                    @let look = states::look(standing);
                    option value=(look.class) selected[wish.state == look.class] { (look.word) }
                }
                option value="muted" selected[wish.state == "muted"] { "Muted" }
                option value="file" selected[wish.state == "file"] { "From the file" }
            }
            button.quiet type="submit" { "Show" }
            @if !wish.q.is_empty() || !wish.state.is_empty() { a.clear href="/recipients" { "Show all" } }
            span.mark role="status" { @if chosen.len() < rows.len() { (words::thousands(chosen.len())) " of " (words::thousands(rows.len())) } }
        }
        @if chosen.is_empty() { p.empty { "No recipient is like that." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Recipients" {
                table.recipients {
                    thead { tr {
                        th scope="col" { "State" } th scope="col" { "Recipient" }
                        th.n scope="col" { "Interval" } th.n scope="col" { "Threshold" }
                        @if senders || mailboxes { th scope="col" { "Way" } }
                        th scope="col" { "Alerts" }
                    } }
                    tbody { @for row in chosen { (line(row, senders || mailboxes)) } }
                }
            }
        }
    }
}

fn line(row: &Row, with_way: bool) -> Markup {
    let Row { recipient, standing, is_muted } = row;
    let told = match (recipient.discord, recipient.email) {
        (true, true) => "Discord, e-mail",
        (true, false) => "Discord",
        (false, true) => "e-mail",
        (false, false) => "nobody",
    };
    html! {
        tr {
            td.state { (states::chip(*standing)) }
            th.who scope="row" {
                a.name href={ "/recipients/" (recipient.id) } { (recipient.name) }
                @if *is_muted { " " span.tag { "muted" } }
                @if recipient.provisioned { " " span.tag { "file" } }
                @if recipient.return_mode != ReturnMode::Direct { " " span.tag { (recipient.return_mode) } }
                @if recipient.name != recipient.address { small { (recipient.address) } }
            }
            td.n data-label="Interval" { (show_duration(recipient.interval)) }
            td.n data-label="Threshold" { (show_duration(recipient.alert_threshold)) }
            @if with_way { td.way data-label="Way" { (recipient.sender) " → " (recipient.mailbox) } }
            td.told data-label="Alerts" { @if told == "nobody" { span.none { (told) } } @else { (told) } }
        }
    }
}
