//! A silence that is wanted: what it says, what it would take now, and then the order to make it.

use super::super::alerts::{matchers as read_matchers, no_matchers, tabs};
use super::{BASE, CONCERNS, in_words, taken, to};
use crate::console::form::{self, Action, Form};
use crate::console::session::Undo;
use crate::console::view::View;
use crate::console::widgets::{self, text};
use crate::console::{PRINCIPAL, address, live, time};
use crate::extract::Params;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::silences::{refused, still, tag};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_engines::alerting::silence::Draft;
use quarterdeck_model::domain::alerting::Matcher;
use quarterdeck_model::domain::silence::{Silence, SilenceState};
use quarterdeck_model::{Span, Timestamp};
use std::sync::Arc;

const SPANS: [(&str, &str); 8] = [
    ("30m", "30 minutes"),
    ("1h", "an hour"),
    ("2h", "2 hours"),
    ("4h", "4 hours"),
    ("12h", "12 hours"),
    ("1d", "a day"),
    ("3d", "3 days"),
    ("7d", "a week"),
];

/// The page that asks for one like this: of one that is over, for as long again.
pub(super) fn like(silence: &Silence, is: SilenceState) -> String {
    let (starts, ends) = (silence.starts_at.to_string(), silence.ends_at.to_string());
    let over = is == SilenceState::Expired;
    address::with(
        "/console/silences/new",
        [
            ("id", (!over).then_some(silence.id.as_str())),
            ("matchers", Some(in_words(&silence.matchers).as_str())),
            ("comment", Some(silence.comment.as_str())),
            ("by", Some(silence.created_by.as_str())),
            ("starts", (!over).then_some(starts.as_str())),
            ("ends", (!over).then_some(ends.as_str())),
        ],
    )
}

/// Makes one that was ended what it was, up to when it would have ended.
pub(super) fn anew(silence: &Silence) -> Undo {
    let fields = [
        ("matchers", in_words(&silence.matchers)),
        ("comment", silence.comment.clone()),
        ("by", silence.created_by.clone()),
        ("ends", silence.ends_at.to_string()),
    ];
    Undo { to: BASE.to_owned(), fields: fields.into() }
}

/// Makes one that was changed what it was before.
pub(super) fn back(before: &Silence, now: &Silence) -> Undo {
    let mut undo = anew(before);
    undo.fields.extend([("id", now.id.clone()), ("starts", before.starts_at.to_string()), ("seen", tag(now))]);
    undo
}

/// As it was typed.
struct Typed<'a> {
    id: Option<&'a str>,
    /// The tag of the one that is changed, as it was looked at.
    seen: &'a str,
    matchers: &'a str,
    comment: &'a str,
    by: &'a str,
    span: &'a str,
    starts: &'a str,
    ends: &'a str,
}

impl<'a> Typed<'a> {
    fn of(params: &'a Params) -> Result<Self, Problem> {
        let text = |name: &str| params.text(name).map(Option::unwrap_or_default);
        Ok(Typed {
            id: params.text("id")?,
            seen: text("seen")?,
            matchers: text("matchers")?,
            comment: text("comment")?,
            by: text("by")?,
            span: text("for")?,
            starts: text("starts")?,
            ends: text("ends")?,
        })
    }

    fn in_form(form: &'a Form) -> Self {
        let text = |name: &str| form.text(name).unwrap_or_default();
        Typed {
            id: form.text("id"),
            seen: text("seen"),
            matchers: text("matchers"),
            comment: text("comment"),
            by: text("by"),
            span: text("for"),
            starts: text("starts"),
            ends: text("ends"),
        }
    }

    /// When it begins and ends.
    fn times(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), String> {
        let moment = |text: &str| {
            crate::console::chart::moment(text)
                .ok_or_else(|| format!("`{text}` is no time; write it as 2026-09-21T14:00:00Z"))
        };
        let starts = if self.starts.is_empty() { now } else { moment(self.starts)? };
        let ends = match (self.ends, self.span) {
            ("", "") => return Err("it needs an end".to_owned()),
            ("", span) => {
                let span = Span::parse(span).filter(|span| *span > Span::ZERO);
                starts.max(now).plus(span.ok_or_else(|| format!("`{}` is no time; write it as 2h", self.span))?)
            }
            (ends, _) => moment(ends)?,
        };
        if ends <= now || ends <= starts {
            return Err(format!("its end, {}, is over, or before its start", time::utc(ends)));
        }
        Ok((starts, ends))
    }
}

pub(super) async fn ask(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let typed = Typed::of(&params)?;
    let known = typed.id.and_then(|id| view.api.options.engines.alerting.silence(id));
    let seen = seen(&typed, known.as_ref());
    let title = if known.is_some() { "Change a silence" } else { "New silence" };
    let shown = if typed.matchers.is_empty() {
        html! {}
    } else {
        preview(&view, &typed, known.as_ref()).await?
    };
    let content = html! {
        p.crumbs { a href=(BASE) { "Silences" } }
        h1 { (title) }
        (tabs(""))
        @if known.is_some() {
            p.muted { "Of one that is active, only the end can be moved; any other change ends it and makes another one in its place." }
        }
        (inputs(&typed, &seen))
        (shown)
    };
    Ok(view.page(title, content))
}

/// What is changed is the silence as it was when somebody began to change it.
fn seen(typed: &Typed<'_>, known: Option<&Silence>) -> String {
    match known {
        Some(known) if typed.seen.is_empty() => tag(known),
        _ => typed.seen.to_owned(),
    }
}

fn inputs(typed: &Typed<'_>, seen: &str) -> Markup {
    let mut spans: Vec<(&str, &str)> = SPANS.to_vec();
    if !typed.ends.is_empty() {
        spans.insert(0, ("", "until the time below"));
    }
    let chosen = match (typed.ends, typed.span) {
        ("", "") => "2h",
        (_, span) => span,
    };
    html! {
        form.card method="get" action="/console/silences/new" {
            @if let Some(id) = typed.id {
                input type="hidden" name="id" value=(id);
                input type="hidden" name="seen" value=(seen);
            }
            label.field {
                span { "Conditions on labels, one a line or with commas between them. An alert is taken if all of them hold" }
                textarea name="matchers" rows="3" required spellcheck="false" placeholder="alertname=\"DiskFull\"\nteam=~\"db|storage\"" { (typed.matchers) }
            }
            label.field { span { "Why" } input type="text" name="comment" value=(typed.comment) required autocomplete="off"; }
            div.filters {
                (form::input("by", "Who (may be empty)", typed.by))
                (form::select("for", "How long", &spans, Some(chosen)))
            }
            details.plain-details open[!typed.starts.is_empty() || !typed.ends.is_empty()] {
                summary { "At other times" }
                div.filters {
                    (form::moment("starts", "From (UTC; empty: now)", typed.starts))
                    (form::moment("ends", "Until (UTC; empty: by how long it lasts)", typed.ends))
                }
            }
            button.button.primary type="submit" { "Preview" }
        }
    }
}

/// What it would take, and the button that makes it.
async fn preview(view: &View, typed: &Typed<'_>, known: Option<&Silence>) -> Result<Markup, Problem> {
    let wanted = match read_matchers(typed.matchers) {
        Ok(matchers) => matchers,
        Err(why) => return Ok(no_matchers(&why)),
    };
    let (api, asked) = (Arc::clone(&view.api), wanted.clone());
    let preview = blocking(move || Ok(api.options.engines.alerting.preview(&asked))).await?;
    let times = typed.times(view.api.options.clock.now());
    let order = match (&times, typed.comment) {
        (Err(why), _) => wrong(why),
        (_, "") => wrong("say why, so that others know"),
        _ if is_open(&wanted) => wrong("a condition must hold that an alert without the label does not fulfil"),
        (Ok((starts, ends)), _) => {
            let count = if preview.matched == 1 { "1 alert".to_owned() } else { format!("{} alerts", preview.matched) };
            let verb = if known.is_some() { "Changes the silence" } else { "Makes a silence" };
            let effect = format!(
                "{verb}: from {} until {}, nobody is told of alerts that it takes, now {count}. They are made, and open incidents, as ever.",
                time::utc(*starts),
                time::utc(*ends)
            );
            let seen = seen(typed, known);
            let fields = [
                ("id", typed.id.unwrap_or_default()),
                ("seen", seen.as_str()),
                ("matchers", typed.matchers),
                ("comment", typed.comment),
                ("by", typed.by),
                ("for", typed.span),
                ("starts", typed.starts),
                ("ends", typed.ends),
            ];
            let label = if known.is_some() { "Change it" } else { "Silence" };
            let action = Action { to: BASE, label, effect: Some(&effect), fields: &fields, ..Action::default() };
            form::actions(view, &[action])
        }
    };
    Ok(html! {
        (live::part("preview", &CONCERNS, widgets::section("What it would take now", taken(&preview))))
        (order)
    })
}

fn is_open(matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches_value(""))
}

fn wrong(why: &str) -> Markup {
    html! { p.banner.away role="status" { "It can't be made like this: " (text(why)) "." } }
}

pub(super) async fn make(form: Form) -> Result<Response, Problem> {
    let api = &form.view.api;
    let typed = Typed::in_form(&form);
    let matchers = read_matchers(typed.matchers).map_err(|why| {
        Problem::invalid(format!("the conditions can't be read: {why}; hint: write them as `team=\"db\"`"))
    })?;
    let (starts_at, ends_at) = typed.times(api.options.clock.now()).map_err(Problem::invalid)?;
    let draft = Draft {
        id: typed.id.map(str::to_owned),
        matchers,
        starts_at,
        ends_at,
        created_by: if typed.by.is_empty() { PRINCIPAL.to_owned() } else { typed.by.to_owned() },
        comment: form.needed("comment")?.to_owned(),
    };
    let alerting = &api.options.engines.alerting;
    let before = typed.id.and_then(|id| alerting.silence(id));
    let still = if typed.id.is_some() { Some(still(form.needed("seen")?)) } else { None };
    let silence = alerting.set_silence(draft, still, PRINCIPAL).await?;
    let silence = silence.map_err(|refusal| refused(&refusal, typed.id.unwrap_or_default()))?;
    let undo = match &before {
        Some(before) => back(before, &silence),
        None => Undo { to: format!("{}/expire", to(&silence.id)), fields: vec![("seen", tag(&silence))] },
    };
    form.done_but(&to(&silence.id), format!("The silence holds until {}.", time::utc(silence.ends_at)), Some(undo))
}
