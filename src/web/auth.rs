//! Logging in and out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Form, Query, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::clock;
use crate::store::Attempt;

use super::cookie::Token;
use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, cookie, password, proxy, redirect};

/// What a link to the login says.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    next: String,
    #[serde(default)]
    left: String,
}

/// What the login form sends.
#[derive(Deserialize)]
pub struct Login {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    code: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

/// What the form says above its fields.
enum Notice {
    Nothing,
    Left,
    Wrong,
    Wait(Duration),
}

/// `GET /login`.
pub async fn form(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let store = site.store()?;
    if let Some(token) = &visit.token
        && store.session_lives(&token.key(&visit.config.admin)).await?
    {
        return Ok(Redirect::to(redirect::own(&asked.next)).into_response());
    }
    let notice = if asked.left.is_empty() { Notice::Nothing } else { Notice::Left };
    Ok(answer(&visit, "", &asked.next, &notice))
}

/// `POST /login`.
pub async fn log_in(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    form: Result<Form<Login>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(login) = form.map_err(|_| Failure::bad_form())?;
    let next = redirect::own(&login.next);
    if is_refused(&visit) {
        return Ok(answer(&visit, "", next, &Notice::Nothing));
    }
    let store = site.store()?;
    let source = proxy::source(visit.client);
    let attempt = match store.attempt_login(&source).await? {
        Attempt::Granted(attempt) => attempt,
        Attempt::Wait(wait) => return Ok(answer(&visit, &login.user, next, &Notice::Wait(wait))),
    };
    let admin = &visit.config.admin;
    let knows = site.passwords.are_right(admin, &login.user, login.password).await;
    let step = admin.totp.as_ref().map(|secret| password::matched_step(secret, &login.code, clock::now()));
    let has = step.is_none_or(|step| step.is_some());
    let token = Token::new(rand::random());
    let before = visit.token.as_ref().map(Token::digest);
    if knows && has && store.begin_session(&token.key(admin), step.flatten(), attempt, before).await? {
        info!(client = %visit.client, "somebody has logged in");
        let mut response = Redirect::to(next).into_response();
        response.headers_mut().insert(SET_COOKIE, cookie::set(&token, &visit.config.public_url));
        return Ok(response);
    }
    warn!(client = %visit.client, "a login was refused");
    Ok(answer(&visit, &login.user, next, &Notice::Wrong))
}

/// `POST /logout`.
pub async fn log_out(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
) -> Result<Response, Failure> {
    if let Some(token) = &visit.token {
        site.store()?.end_session(&token.digest()).await?;
    }
    let mut response = Redirect::to("/login?left=1").into_response();
    response.headers_mut().insert(SET_COOKIE, cookie::clear(&visit.config.public_url));
    Ok(response)
}

/// Whether logins would travel where everybody can read them.
fn is_refused(visit: &Visit) -> bool {
    let public = &visit.config.public_url;
    public.insecure && !public.allow_insecure
}

fn answer(visit: &Visit, user: &str, next: &str, notice: &Notice) -> Response {
    let main =
        if is_refused(visit) { refusal(visit) } else { fields(visit, user, redirect::own(next), notice) };
    let mut response = layout::page(visit, &Page::new("Log in", &main)).into_response();
    *response.status_mut() = match notice {
        _ if is_refused(visit) && !visit.is_look => StatusCode::FORBIDDEN,
        Notice::Nothing | Notice::Left => StatusCode::OK,
        // Refused for the credentials that were given (RFC 9110, section 15.5.4).
        Notice::Wrong => StatusCode::FORBIDDEN,
        Notice::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
    };
    if let Notice::Wait(wait) = notice {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*wait)));
    }
    response
}

fn refusal(visit: &Visit) -> Markup {
    html! {
        section.lone {
            h1 { "Nobody can log in this way" }
            p {
                "PUBLIC_URL is " code { (visit.config.public_url.url) } ": plain http to another machine. "
                "Everybody on the way could read the password."
            }
            p {
                "Put a proxy with https in front of MailDT and set PUBLIC_URL to its address; or, in a network where you trust "
                "everybody, set " code { "ALLOW_INSECURE_HTTP=true" } "."
            }
        }
    }
}

fn fields(visit: &Visit, user: &str, next: &str, notice: &Notice) -> Markup {
    let is_wrong = matches!(notice, Notice::Wrong);
    html! {
        section.lone {
            h1 { "Log in" }
            @match notice {
                Notice::Nothing => {},
                Notice::Left => p.note role="status" { "You have logged out." },
                Notice::Wrong => p.note.bad #refusal role="alert" {
                    @if visit.config.admin.totp.is_some() {
                        "User, password or code is not right. A code can be used once: wait for the next one."
                    } @else {
                        "User or password is not right."
                    }
                },
                Notice::Wait(wait) => p.note.bad role="alert" {
                    "There were too many failed logins. Try again in " (waiting(*wait)) "."
                },
            }
            form.stack method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="user" { "User" }
                input #user name="user" value=(user) autocomplete="username" autocapitalize="none" spellcheck="false"
                    required maxlength="64" autofocus[user.is_empty()] aria-describedby=[is_wrong.then_some("refusal")];
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" required
                    maxlength="1024" autofocus[!user.is_empty()] aria-describedby=[is_wrong.then_some("refusal")];
                @if visit.config.admin.totp.is_some() {
                    label for="code" { "Code " small { "from your authenticator app" } }
                    input #code name="code" inputmode="numeric" autocomplete="one-time-code" required
                        pattern="\\s*([0-9]\\s*){6}" title="six digits" maxlength="16";
                }
                button type="submit" { "Log in" }
            }
        }
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

fn waiting(wait: Duration) -> String {
    match whole_seconds(wait) {
        1 => "a second".to_owned(),
        seconds @ 2..=90 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}
