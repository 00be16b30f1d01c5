//! Dead letters: what was given up on, why, and the way back.

use super::{Group, Page, cause, outbox};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::List;
use crate::problem::Problem;
use crate::resources::dead_letters::{self, DeadLetter};
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::{Action as Deed, DEAD_LETTERS, DeliveryClass, Effect};
use quarterdeck_model::store::Page as Part;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Dead letters",
    path: "/dead-letters",
    group: Group::Host,
    one: "Dead letter",
    words: "failed deliveries given up retry poison quarantined",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/dead-letters";
/// Documents that the search looks at.
const LOOK_AT: usize = 500;
const KINDS: [(&str, &str); 5] = [
    ("", "any"),
    ("effect", "could not be done"),
    ("event", "an event that could not be handled"),
    ("input", "an input that a plugin fails on"),
    ("group", "a message that could not be kept"),
];

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dead-letters", get(list)).route("/dead-letters/{id}", get(show).post(retry))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    let letters = api.options.store.list(DEAD_LETTERS, &Part::newest(LOOK_AT))?;
    if letters.len() == LOOK_AT {
        finds.more_than_offered();
    }
    for document in letters {
        let reason = said(&document.value, "reason");
        finds.offer(&document.id, &[reason, said(&document.value, "instance")], || address::below(BASE, &document.id));
    }
    Ok(())
}

fn said<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn effect(letter: &Value) -> Option<Effect> {
    letter.get("effect").and_then(|effect| Effect::deserialize(effect).ok())
}

fn kind(letter: &Value) -> &'static str {
    let kind = said(letter, "kind");
    KINDS.iter().find(|(known, _)| *known == kind && !kind.is_empty()).map_or("of another kind", |(_, words)| words)
}

fn at(letter: &Value) -> Option<Timestamp> {
    Timestamp::parse(said(letter, "at"))
}

/// What it was, in words.
fn words(letter: &Value) -> Markup {
    match (said(letter, "kind"), effect(letter)) {
        ("effect", Some(effect)) => html! { (outbox::words(&effect)) " by " (clip(effect.instance.as_str())) },
        ("effect", None) => html! { "something too large to be kept as a whole" },
        ("event", _) => {
            let event = letter.get("event").unwrap_or(letter);
            // As it stands in the log, or as much of it as was kept.
            let name = event.get("event").unwrap_or(event).get("type").and_then(Value::as_str).unwrap_or("an event");
            html! { (clip(name)) " for " (clip(said(letter, "consumer"))) }
        }
        ("input", _) => html! { (clip(said(letter, "function"))) " of " (clip(said(letter, "instance"))) },
        ("group", _) => html! { "alerts for " (clip(said(letter, "receiver"))) },
        _ => html! { "a letter" },
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = params.text("kind")?.map(str::to_owned);
    let chosen = wanted.clone();
    let keep = move |found: &DeadLetter| wanted.as_ref().is_none_or(|wanted| said(&found.letter, "kind") == wanted);
    let List { items, next_cursor, .. } = dead_letters::read_letters(&view.api, &params, keep).await?;
    let content = html! {
        h1 { "Dead letters" }
        p.muted { "What was given up on. What is still being tried waits in the " a href=(outbox::BASE) { "outbox" } "." }
        (form::filters(&view, form::select("kind", "Kind", &KINDS, chosen.as_deref())))
        (live::part("dead-letters", &["dead-letter."], html! {
            @if items.is_empty() {
                (widgets::empty("No dead letters.", "Nothing was given up on, or the filter leaves it out.", Some("quarterdeck dead-letter list")))
            } @else { (table(&items)) }
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
    };
    Ok(view.page("Dead letters", content))
}

fn table(letters: &[DeadLetter]) -> Markup {
    let rows = letters.iter().map(|found| {
        vec![
            html! { a href=(address::below(BASE, &found.id)) { (words(&found.letter)) } },
            html! { (kind(&found.letter)) },
            clip(said(&found.letter, "reason")),
            time::maybe(at(&found.letter)),
        ]
    });
    widgets::table("Dead letters", &["What", "Kind", "Why", "When"], rows)
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let letter = crate::precondition::find(&view.api, DEAD_LETTERS, &id)?.value;
    let effect = effect(&letter);
    let owner = effect.as_ref().map(|effect| effect.owner.as_str());
    let content = html! {
        p.crumbs { a href=(BASE) { "Dead letters" } }
        h1 { (words(&letter)) }
        @if !said(&letter, "reason").is_empty() { p.mistake { (text(said(&letter, "reason"))) } }
        (offer(&view, &id, &letter, effect.as_ref()))
        (widgets::section("What is known", widgets::definitions(&[
            ("Id", html! { code { (text(&id)) } }),
            ("Kind", html! { (kind(&letter)) }),
            ("Given up on", time::maybe(at(&letter))),
            ("Attempts", match letter.get("attempts").and_then(Value::as_u64) {
                Some(attempts) => html! { (attempts) },
                None => html! { span.none { "–" } },
            }),
            ("For", owner.map_or_else(|| html! { span.none { "–" } }, cause)),
        ])))
        (widgets::section("As it was", widgets::json(&letter)))
    };
    Ok(view.page("Dead letter", content))
}

/// The way back, or why there is none.
fn offer(view: &View, id: &str, letter: &Value, effect: Option<&Effect>) -> Markup {
    let to = address::below(BASE, id);
    let action = |effect: &'static str, force: bool| {
        let fields: &[(&str, &str)] = if force { &[("force", "true")] } else { &[] };
        let action = Action {
            to: &to,
            label: if force { "Do it all the same" } else { "Retry" },
            effect: Some(effect),
            dangerous: force,
            fields,
            ..Action::default()
        };
        form::actions(view, &[action])
    };
    match (said(letter, "kind"), effect) {
        ("input", _) => action(
            "Offers the input to the plugin once more when its turn comes. If it fails on it again, it comes back here.",
            false,
        ),
        ("effect", None) => {
            html! { p.notice { "It was not kept as a whole, because of its size: nothing can be done with it." } }
        }
        ("effect", Some(effect)) => match (&effect.action, effect.class) {
            (Deed::ApplyStep { .. }, _) => {
                html! { p.notice { "It is a step of a deployment that has gone on without it: deploy again." } }
            }
            (Deed::Notify { .. }, DeliveryClass::AtLeastOnce) => action(
                "Tries the delivery again for an hour, with the key that it had: whoever got it the first time can tell. If it fails again, it comes back here.",
                false,
            ),
            _ => action(
                "Does now what its run has gone on without. Nobody waits for it any more, and it may do harm.",
                true,
            ),
        },
        ("group", _) => {
            html! { p.notice { "The group is told again when something of it changes. There is nothing to be retried." } }
        }
        _ => {
            html! { p.notice { "It can't be retried here. An event that could not be handled can be published again." } }
        }
    }
}

async fn retry(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let letters = &form.view.api.options.engines.letters;
    if let Some(instance) = letters.release(&id, form.asked()).await? {
        return form.done(BASE, format!("The input will be offered to {instance} again."));
    }
    letters.retry(&id, form.asked(), form.text("force") == Some("true")).await?;
    // It may be done before its page in the outbox is there.
    form.done(BASE, "It is being tried again. It waits in the outbox, and comes back here if it fails again.")
}
