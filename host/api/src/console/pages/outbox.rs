//! The outbox: what is to be done in the world and is not done yet.

use super::{Group, Page, cause, dead_letters, instance, plugin};
use crate::Api;
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::{List, Order, Slice, stored};
use crate::problem::Problem;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use maud::{Markup, html};
use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::{Action, DeliveryClass, Effect, OUTBOX, Pending};
use quarterdeck_model::kind::deployment_target::Step;
use quarterdeck_model::store::Page as Part;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Outbox",
    path: "/outbox",
    group: Group::Host,
    one: "Effect",
    words: "effects deliveries waiting pending attempts retry",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/outbox";
/// Documents that the search looks at.
const LOOK_AT: usize = 500;
/// What stands beside the effect has a page of its own.
const CONCERNS: [&str; 3] = ["effect.", "dead-letter.", "notification."];

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/outbox", get(list)).route("/outbox/{id}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    let waiting = api.options.store.list(OUTBOX, &Part::newest(LOOK_AT))?;
    if waiting.len() == LOOK_AT {
        finds.more_than_offered();
    }
    for document in waiting {
        let Ok(pending) = document.decode::<Pending>() else { continue };
        let effect = &pending.effect;
        finds.offer(effect.id.as_str(), &[&effect.owner, &effect.purpose, effect.instance.as_str()], || {
            address::below(BASE, &document.id)
        });
    }
    Ok(())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = params.text("instance")?.map(str::to_owned);
    let failing = params.text("state")? == Some("failing");
    let chosen = wanted.clone();
    let Json(List { items, next_cursor, unreadable }) =
        stored(&view.api, OUTBOX, Order::Newest, Slice::of(&params)?, move |pending: &Pending| {
            wanted.as_ref().is_none_or(|wanted| pending.effect.instance.as_str() == wanted)
                && (!failing || pending.last_error.is_some())
        })
        .await?;
    let now = view.api.now();
    let outbox = &view.api.options.engines.outbox;
    let content = html! {
        h1 { "Outbox" }
        p.muted { "What is to be done in the world and is not done yet: messages, steps of runs, steps of deployments. What is given up on lies among the " a href=(dead_letters::BASE) { "dead letters" } "." }
        (form::filters(&view, html! {
            (form::select("state", "State", &[("", "any"), ("failing", "failed before")], failing.then_some("failing")))
            (form::input("instance", "Instance", chosen.as_deref().unwrap_or_default()))
        }))
        (live::part("outbox", &CONCERNS, html! {
            p { (outbox.depth()) " wait, " (outbox.in_flight()) " of them are being carried out." }
            @if items.is_empty() {
                (widgets::empty("Nothing waits.", "What was asked for is done, or was given up on.", Some("quarterdeck dead-letter list")))
            } @else { (table(&view, &items, now)) }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
    };
    Ok(view.page("Outbox", content))
}

fn table(view: &View, waiting: &[Pending], now: Timestamp) -> Markup {
    let rows = waiting.iter().map(|pending| {
        let effect = &pending.effect;
        vec![
            html! { a href=(address::below(BASE, effect.id.as_str())) { (words(effect)) } },
            cause(&effect.owner),
            instance(view, &effect.instance),
            state(pending, now),
            html! { (pending.attempts) " of " (effect.backoff.attempts) },
            html! { @if pending.due > now { (time::ago(pending.due)) } @else { "now" } },
            pending.last_error.as_deref().map_or_else(|| html! { span.none { "–" } }, clip),
        ]
    });
    widgets::table("Outbox", &["What", "For", "Instance", "State", "Attempts", "Next", "Last failure"], rows)
}

fn state(pending: &Pending, now: Timestamp) -> Markup {
    match (&pending.token, &pending.last_error) {
        (Some(_), _) => widgets::toned("under way elsewhere", Tone::Busy),
        (None, Some(_)) if pending.due > now => widgets::toned("retrying", Tone::Warning),
        (None, None) if pending.attempts == 0 => widgets::toned("waiting", Tone::Busy),
        _ => widgets::toned("under way", Tone::Busy),
    }
}

/// What is to be done; also for dead letters.
pub(super) fn words(effect: &Effect) -> Markup {
    match &effect.action {
        Action::Notify { message } => html! { "tell: " (clip(&message.title)) },
        Action::RunStep { .. } => html! { "step " (clip(&effect.purpose)) },
        Action::CancelStep { .. } => html! { "end step " (clip(&effect.purpose)) },
        Action::ApplyStep { service, step } => {
            let (verb, replica) = match step {
                Step::Start { replica, .. } => ("start", replica),
                Step::Weight { replica, .. } => ("weigh", replica),
                Step::Drain { replica } => ("drain", replica),
                Step::Stop { replica } => ("stop", replica),
            };
            html! { (verb) " " (clip(replica)) " of " (clip(service)) }
        }
    }
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let Ok(document) = crate::precondition::find(&view.api, OUTBOX, &id) else {
        return Err(Problem::not_found(format!(
            "`{id}` does not wait any more; hint: it is done, or it lies among the dead letters; the events about it say which"
        )));
    };
    let pending: Pending = document.decode()?;
    let (effect, now) = (&pending.effect, view.api.now());
    let content = html! {
        p.crumbs { a href=(BASE) { "Outbox" } }
        h1 { (words(effect)) }
        (live::part("effect", &CONCERNS, html! {
            p.badges { (state(&pending, now)) }
            @if let Some(error) = &pending.last_error { p.mistake { "The last attempt: " (text(error)) } }
            (widgets::section("What is known", widgets::definitions(&[
                ("Id", html! { code { (text(effect.id.as_str())) } }),
                ("For", cause(&effect.owner)),
                ("Purpose", clip(&effect.purpose)),
                ("Carried out by", html! { (instance(&view, &effect.instance)) ", " (plugin(pending.plugin.as_ref())) }),
                ("Attempts", html! { (pending.attempts) " of " (effect.backoff.attempts) }),
                ("Next", html! { @if pending.due > now { (time::ago(pending.due)) } @else { "now" } }),
                ("Given up on", time::at(effect.expires)),
                ("If interrupted", html! {
                    @match effect.class {
                        DeliveryClass::AtLeastOnce => "it is done again, with the same key",
                        DeliveryClass::AtMostOnce => "it is not done again: nobody knows then whether it was",
                    }
                }),
                ("After others of", clip(&effect.ordering_key)),
            ])))
            (widgets::section("What is to be done", widgets::json(&serde_json::to_value(&effect.action).unwrap_or_default())))
        }))
    };
    Ok(view.page("Effect", content))
}
