//! Silences and planned work: what keeps alerts from being told, until when, and how many it keeps back now.

mod draft;
mod planned;

use super::alerts::{CONCERNS, tabs, to as alert_to};
use super::{Group, Page};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{PRINCIPAL, address, live, time};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::silences::{refused, still, tag};
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_engines::alerting::silence::Draft;
use quarterdeck_engines::alerting::{Preview, Shown};
use quarterdeck_model::domain::alerting::Matcher;
use quarterdeck_model::domain::silence::{Silence, SilenceState};
use quarterdeck_model::{Span, Timestamp};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Silences",
    path: "/silences",
    group: Group::Watching,
    one: "Silence",
    words: "mute quiet maintenance planned work window expire",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/silences";
const SHOWN: usize = 100;

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/silences", get(list).post(draft::make))
        .route("/silences/new", get(draft::ask))
        .route("/silences/{id}", get(show))
        .route("/silences/{id}/prolong", post(prolong))
        .route("/silences/{id}/expire", post(expire))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for silence in api.options.engines.alerting.silences() {
        let matchers = in_words(&silence.matchers);
        finds.offer(&matchers, &[&silence.comment, &silence.created_by, &silence.id], || to(&silence.id));
    }
    Ok(())
}

fn to(id: &str) -> String {
    address::below(BASE, id)
}

pub(super) fn in_words(matchers: &[Matcher]) -> String {
    matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Conditions, one beside the other.
fn matchers(matchers: &[Matcher]) -> Markup {
    html! { ul.labels { @for matcher in matchers { li { (clip(&matcher.to_string())) } } } }
}

fn state(state: SilenceState) -> Markup {
    match state {
        SilenceState::Active => widgets::toned("active", Tone::Busy),
        SilenceState::Pending => widgets::toned("not yet", Tone::Warning),
        SilenceState::Expired => widgets::toned("expired", Tone::Quiet),
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let states = params.words::<SilenceState>("state")?;
    let wanted = params.text("text")?.unwrap_or_default().to_lowercase();
    let begin: usize = params.number("cursor")?.unwrap_or(0);
    let (api, asked, wanted_states) = (Arc::clone(&view.api), wanted.clone(), states.clone());
    let (silences, alerts, next) = blocking(move || {
        let now = api.options.clock.now();
        let alerting = &api.options.engines.alerting;
        let mut silences = alerting.silences();
        silences.retain(|silence| {
            let fits = |text: &str| text.to_lowercase().contains(&asked);
            (wanted_states.is_empty() || wanted_states.contains(&silence.state(now)))
                && (asked.is_empty()
                    || fits(&in_words(&silence.matchers))
                    || fits(&silence.comment)
                    || fits(&silence.created_by))
        });
        let next = (silences.len() > begin.saturating_add(SHOWN)).then(|| (begin + SHOWN).to_string());
        let part: Vec<Silence> = silences.into_iter().skip(begin).take(SHOWN).collect();
        Ok((part, alerting.alerts(), next))
    })
    .await?;
    let now = view.api.options.clock.now();
    let choices = [("", "any"), ("active", "active"), ("pending", "not yet"), ("expired", "expired")];
    let chosen = params.text("state")?;
    let content = html! {
        h1 { "Silences" }
        (tabs(BASE))
        p.actions { a.button.primary href="/console/silences/new" { "New silence" } }
        (form::filters(&view, html! {
            (form::select("state", "State", &choices, chosen))
            (form::input("text", "Has the words", &wanted))
        }))
        (live::part("silences", &CONCERNS, html! {
            @if silences.is_empty() {
                (widgets::empty("No silence is like that.",
                    "A silence keeps alerts from being told for a while, though they are made and open incidents. New silence shows beforehand what it takes.",
                    Some("quarterdeck silence add 'team=\"db\"' --for 2h --comment 'moving the database'")))
            } @else { (table(&silences, &alerts, now)) }
            (widgets::pager(&view, next.as_deref()))
            (widgets::section("Planned work", planned::windows(&view)))
        }))
    };
    Ok(view.page("Silences", content))
}

fn table(silences: &[Silence], alerts: &[Shown], now: Timestamp) -> Markup {
    let rows = silences.iter().map(|silence| {
        let is = silence.state(now);
        // Whatever is over takes nothing, and need not be looked for among many alerts.
        let taken = || alerts.iter().filter(|shown| silence.matches(&shown.alert.labels)).count();
        vec![
            state(is),
            html! {
                (widgets::link(&to(&silence.id), if silence.comment.is_empty() { "(no comment)" } else { &silence.comment }))
                br; (matchers(&silence.matchers))
            },
            html! { @if is == SilenceState::Expired { span.none { "–" } } @else { (taken()) } },
            clip(&silence.created_by),
            html! { (time::ago(silence.starts_at)) },
            html! { (time::ago(silence.ends_at)) },
        ]
    });
    widgets::table("Silences", &["State", "Silence", "Takes now", "By", "From", "Until"], rows)
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let (api, wanted) = (Arc::clone(&view.api), id.clone());
    let (silence, preview) = blocking(move || {
        let alerting = &api.options.engines.alerting;
        let silence = alerting.silence(&wanted).ok_or_else(|| Problem::no_document(Silence::COLLECTION, &wanted))?;
        let preview = alerting.preview(&silence.matchers);
        Ok((silence, preview))
    })
    .await?;
    let is = silence.state(view.api.options.clock.now());
    let title = if silence.comment.is_empty() { in_words(&silence.matchers) } else { silence.comment.clone() };
    let content = html! {
        p.crumbs { a href=(BASE) { "Silences" } }
        h1 { (text(&title)) }
        (live::part("silence", &CONCERNS, html! {
            p.badges { (state(is)) }
            (offers(&view, &silence, is))
            (widgets::section("What is known", widgets::definitions(&[
                ("Conditions", html! { ul.labels { @for matcher in &silence.matchers { li { (text(&matcher.to_string())) } } } }),
                ("Why", text(&silence.comment)),
                ("By", text(&silence.created_by)),
                ("From", time::ago(silence.starts_at)),
                ("Until", time::ago(silence.ends_at)),
                ("Changed", time::ago(silence.updated_at)),
                ("Id", html! { code { (text(&silence.id)) } }),
            ])))
            @if is != SilenceState::Expired { (widgets::section("What it takes now", taken(&preview))) }
        }))
    };
    Ok(view.page(&title, content))
}

/// What conditions take now, and what speaks against them.
fn taken(preview: &Preview) -> Markup {
    html! {
        p { strong { (preview.matched) " of " (preview.firing) " alerts that fire now." } }
        @for warning in &preview.warnings { p.banner.away role="status" { "Careful: " (text(warning)) "." } }
        @if !preview.alerts.is_empty() {
            (widgets::table("Alerts that it takes", &["Severity", "Alert", "Labels", "Since"], preview.alerts.iter().map(|alert| vec![
                widgets::severity(alert.severity),
                html! {
                    (widgets::link(&alert_to(&alert.fingerprint), alert.labels.get("alertname").unwrap_or(&alert.rule)))
                    br; span.muted { (clip(&alert.summary)) }
                },
                widgets::labels(&alert.labels),
                time::ago(alert.since),
            ])))
        }
        @if preview.matched > preview.alerts.len() { p.muted { "and " (preview.matched - preview.alerts.len()) " more" } }
    }
}

fn offers(view: &View, silence: &Silence, is: SilenceState) -> Markup {
    let base = to(&silence.id);
    let (prolong, expire) = (format!("{base}/prolong"), format!("{base}/expire"));
    let again = draft::like(silence, is);
    if is == SilenceState::Expired {
        return html! { p { a.button href=(again) { "Make it again" } } };
    }
    let seen = tag(silence);
    let fields = [("seen", seen.as_str())];
    let spans = [("30m", "30 minutes"), ("1h", "an hour"), ("4h", "4 hours"), ("1d", "a day"), ("7d", "a week")];
    html! {
        (form::actions(view, &[
            Action {
                to: &prolong,
                label: "Prolong",
                effect: Some("Moves its end by so much. Nothing else of it changes."),
                fields: &fields,
                inputs: form::select("for", "By", &spans, Some("1h")),
                ..Action::default()
            },
            Action {
                to: &expire,
                label: "Expire",
                effect: Some("Ends it now: alerts that it takes and that still fire are told at the next look at their group. It is shown for five days after that."),
                fields: &fields,
                dangerous: true,
                ..Action::default()
            },
        ]))
        p { a.button href=(again) { "Change it" } }
    }
}

async fn prolong(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let alerting = &form.view.api.options.engines.alerting;
    let silence = alerting.silence(&id).ok_or_else(|| Problem::no_document(Silence::COLLECTION, &id))?;
    let (still, before) = (still(form.needed("seen")?), silence.clone());
    let text = form.needed("for")?;
    let span =
        Span::parse(text).ok_or_else(|| Problem::invalid(format!("`{text}` is no time; hint: write it as `4h`")))?;
    let draft = Draft {
        id: Some(silence.id),
        matchers: silence.matchers,
        starts_at: silence.starts_at,
        ends_at: silence.ends_at.plus(span),
        created_by: silence.created_by,
        comment: silence.comment,
    };
    let silence = alerting.set_silence(draft, Some(still), PRINCIPAL).await?;
    let silence = silence.map_err(|refusal| refused(&refusal, &id))?;
    let undo = draft::back(&before, &silence);
    form.done_but(&to(&silence.id), format!("The silence lasts until {}.", time::utc(silence.ends_at)), Some(undo))
}

async fn expire(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let alerting = &form.view.api.options.engines.alerting;
    let silence = alerting.silence(&id).ok_or_else(|| Problem::no_document(Silence::COLLECTION, &id))?;
    let expired = alerting.expire_silence(&id, Some(still(form.needed("seen")?)), PRINCIPAL).await?;
    expired.map_err(|refusal| refused(&refusal, &id))?;
    form.done_but(&to(&id), "The silence is expired.", Some(draft::anew(&silence)))
}
