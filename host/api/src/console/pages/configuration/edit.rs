//! How an object is changed: as text, in TOML or JSON. What is wrong with it is said with its place in that text, which stays as it was typed.

use super::objects::at;
use super::undo;
use crate::configuration::{IfMatch, Object, Order, Refused};
use crate::console::form::{self, Action, Form};
use crate::console::session::Undo;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::extract::At;
use crate::problem::{Mistake, Problem};
use crate::resources::configuration::objects;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use quarterdeck_config::{Place, Places, key_path, object_text, parse_in_place, push, sections};
use quarterdeck_model::plugin::files::Seen;
use serde_json::{Map, Value};
use std::path::Path;

/// Where a new object is made.
pub(super) const NEW: &str = "/console/configuration/new";
const TOML: &str = "toml";
pub(super) const JSON: &str = "json";

/// What is wrong with a text, and where.
struct Wrong {
    /// Line and column, both from 1.
    at: Option<(usize, usize)>,
    /// The key, as people write it.
    path: String,
    detail: String,
}

impl Wrong {
    fn of(place: Option<&Place>, path: String, detail: String) -> Self {
        let at = match place {
            Some(Place::File { line, column, .. }) => Some((*line, *column)),
            _ => None,
        };
        Wrong { at, path, detail }
    }
}

/// What was typed, and what became of it.
struct Draft<'a> {
    text: &'a str,
    format: &'a str,
    wrong: Vec<Wrong>,
}

/// The object as text, with the form that changes it for whoever is signed in.
pub(super) fn of(view: &View, object: &Object) -> Markup {
    let (format, written) = written(object.value.as_ref());
    if view.session.is_none() {
        return html! { pre.json tabindex="0" { code { (text(&written)) } } };
    }
    editor(
        view,
        &at(&object.section, &object.name),
        Some(&object.tag()),
        &Draft { text: &written, format, wrong: Vec::new() },
    )
}

/// TOML, unless that can't say it.
fn written(value: Option<&Value>) -> (&'static str, String) {
    let Some(value) = value else { return (TOML, String::new()) };
    match object_text(value) {
        Some(text) => (TOML, text),
        None => (JSON, serde_json::to_string_pretty(value).unwrap_or_default()),
    }
}

fn editor(view: &View, to: &str, seen: Option<&str>, draft: &Draft<'_>) -> Markup {
    let rows = draft.text.lines().count().clamp(8, 30);
    let mut action = Action { to, label: "Put in force", ..Action::default() };
    let fields: Vec<(&str, &str)> = seen.map(|seen| ("seen", seen)).into_iter().collect();
    action.fields = &fields;
    action.inputs = html! {
        (form::select("format", "Written in", &[(TOML, "TOML"), (JSON, "JSON")], Some(draft.format)))
        label.field {
            span { "The object as a file would hold it. What is left out has its default." }
            textarea.source name="text" rows=(rows) spellcheck="false" autocapitalize="off" aria-invalid=[(!draft.wrong.is_empty()).then_some("true")] {
                // A browser drops the first line's end.
                "\n" (draft.text)
            }
        }
    };
    html! {
        @if !draft.wrong.is_empty() { (mistakes(draft)) }
        div.editor { (action.show(view)) }
        p.muted { "It is checked as a whole before it counts. A mistake changes nothing." }
    }
}

fn mistakes(draft: &Draft<'_>) -> Markup {
    html! {
        div.banner.wrong role="alert" {
            p { (widgets::toned("not put in force", Tone::Bad)) " What is in force is as it was." }
            ol {
                @for wrong in &draft.wrong {
                    li {
                        @if let Some((line, column)) = wrong.at { strong { "Line " (line) ", column " (column) ": " } }
                        @if !wrong.path.is_empty() { code { (clip(&wrong.path)) } " " }
                        (text(&wrong.detail))
                        @if let Some(line) = wrong.at.and_then(|(line, _)| draft.text.lines().nth(line.saturating_sub(1))) {
                            pre.command { code { (clip(line)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What the text says, or everything that is wrong with it.
fn read(text: &str, format: &str) -> Result<(Map<String, Value>, Places), Vec<Wrong>> {
    // JSON is read as the YAML that it is, by which every value has a place.
    let path = if format == JSON { "object.yaml" } else { "object.toml" };
    let (value, places) = parse_in_place(Path::new(path), text).map_err(|problems| {
        let wrong = |problem: quarterdeck_config::Problem| {
            let hint = problem.hint.map_or(String::new(), |hint| format!("; hint: {hint}"));
            Wrong::of(problem.place.as_ref(), key_path(&problem.pointer), problem.message + &hint)
        };
        problems.0.into_iter().map(wrong).collect::<Vec<_>>()
    })?;
    match value {
        Value::Object(map) => Ok((map, places)),
        _ => Err(vec![Wrong {
            at: None,
            path: String::new(),
            detail: "it must be a table of keys and values".to_owned(),
        }]),
    }
}

/// Mistakes of the configuration, placed in the text where they are about it.
fn placed(section: &str, name: &str, places: &Places, mistakes: Vec<Mistake>) -> Vec<Wrong> {
    let pointer = push(&push("", section), name);
    let one = |mistake: Mistake| match mistake
        .path
        .strip_prefix(&pointer)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        Some(rest) => Wrong::of((!rest.is_empty()).then(|| places.around(rest)), key_path(rest), mistake.detail),
        None => Wrong::of(None, key_path(&mistake.path), mistake.detail),
    };
    mistakes.into_iter().map(one).collect()
}

/// What became of an object that was typed.
enum Put {
    Done(Option<Undo>),
    /// With the status of that.
    Not(StatusCode, Vec<Wrong>),
}

/// Puts the object in force as it was typed, or gives what is wrong.
async fn put(view: &View, section: &str, name: &str, typed: &str, format: &str, seen: Seen) -> Result<Put, Problem> {
    let (value, places) = match read(typed, format) {
        Ok(read) => read,
        Err(wrong) => return Ok(Put::Not(StatusCode::UNPROCESSABLE_ENTITY, wrong)),
    };
    let configuration = &view.api.options.configuration;
    let before = configuration.object(section, name);
    match configuration.change(section, name, Order::Set(value), IfMatch(seen)).await {
        Ok(()) => Ok(Put::Done(undo::of(section, name, before.as_ref(), configuration.object(section, name).as_ref()))),
        Err(Refused::Invalid(mistakes)) => {
            Ok(Put::Not(StatusCode::UNPROCESSABLE_ENTITY, placed(section, name, &places, mistakes)))
        }
        Err(refused @ (Refused::Stale | Refused::Exists)) => {
            let detail = match refused {
                Refused::Stale => {
                    "the object was changed meanwhile; hint: look at what is in force now, and send this again if it is still meant"
                }
                _ => "there is an object of that name; hint: open it, and change that one",
            };
            let wrong = Wrong { at: None, path: String::new(), detail: detail.to_owned() };
            Ok(Put::Not(StatusCode::PRECONDITION_FAILED, vec![wrong]))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// What was said of the change; warnings too.
fn said(view: &View, section: &str, name: &str) -> String {
    let warnings = objects::about(section, name, view.api.options.configuration.standing().warnings);
    match warnings.first() {
        None => format!("{name} is in force."),
        Some(first) => format!("{name} is in force, with a warning: {}", first.detail),
    }
}

/// The field as it was typed: `Form::text` trims, by which columns would move.
fn typed(form: &Form) -> (String, String) {
    let field = |wanted: &str| {
        form.fields().find(|(name, _)| *name == wanted).map_or(String::new(), |(_, value)| value.to_owned())
    };
    (field("text").replace("\r\n", "\n"), field("format"))
}

pub(super) async fn set(At((section, name)): At<(String, String)>, form: Form) -> Result<Response, Problem> {
    let (text_of, format) = typed(&form);
    let seen = Seen::Tags(vec![form.needed("seen")?.to_owned()]);
    let (status, wrong) = match put(&form.view, &section, &name, &text_of, &format, seen).await? {
        Put::Done(undo) => return form.done_but(&at(&section, &name), said(&form.view, &section, &name), undo),
        Put::Not(status, wrong) => (status, wrong),
    };
    let object = form.view.api.options.configuration.object(&section, &name);
    // What was shown below is what the next order is about. Where nothing new is shown, it still is about what was shown before.
    let tag = match status {
        StatusCode::PRECONDITION_FAILED => object.as_ref().map(Object::tag).unwrap_or_default(),
        _ => form.needed("seen")?.to_owned(),
    };
    let draft = Draft { text: &text_of, format: &format, wrong };
    let content = html! {
        p.crumbs { a href=(at(&section, &name)) { "The object as it is in force" } }
        h1 { (text(&name)) }
        (widgets::section("Change it", editor(&form.view, &at(&section, &name), Some(&tag), &draft)))
        @if status == StatusCode::PRECONDITION_FAILED {
            (widgets::section("What is in force now", html! {
                pre.json tabindex="0" { code { (text(&written(object.and_then(|object| object.value).as_ref()).1)) } }
            }))
        }
    };
    Ok(form.view.page_with(status, &name, content))
}

pub(super) async fn new(view: View) -> Result<Response, Problem> {
    let section = view.params()?.text("section")?.unwrap_or_default().to_owned();
    let draft = Draft { text: "", format: TOML, wrong: Vec::new() };
    Ok(view.page("New object", blank(&view, &section, "", &draft)))
}

fn blank(view: &View, section: &str, name: &str, draft: &Draft<'_>) -> Markup {
    let names: Vec<(&str, &str)> = sections().map(|section| (section, section)).collect();
    let rows = draft.text.lines().count().clamp(12, 30);
    let inputs = html! {
        (form::select("section", "Section", &names, Some(section)))
        (form::needed("name", "Name", name))
        (form::select("format", "Written in", &[(TOML, "TOML"), (JSON, "JSON")], Some(draft.format)))
        label.field {
            span { "The object as a file would hold it. What is left out has its default." }
            textarea.source name="text" rows=(rows) spellcheck="false" autocapitalize="off" { "\n" (draft.text) }
        }
    };
    let action = Action { to: NEW, label: "Put in force", inputs, ..Action::default() };
    html! {
        p.crumbs { a href=(super::objects::BASE) { "Objects" } }
        h1 { "New object" }
        @if !draft.wrong.is_empty() { (mistakes(draft)) }
        @if view.session.is_none() { (form::notice()) } @else { div.editor { (action.show(view)) } }
        p.muted { "What a section takes is said by the schema:" }
        (widgets::command("quarterdeck config schema"))
    }
}

pub(super) async fn create(form: Form) -> Result<Response, Problem> {
    let (section, name) = (form.needed("section")?.to_owned(), form.needed("name")?.to_owned());
    let (text_of, format) = typed(&form);
    match put(&form.view, &section, &name, &text_of, &format, Seen::Nothing).await? {
        Put::Done(undo) => form.done_but(&at(&section, &name), said(&form.view, &section, &name), undo),
        Put::Not(status, wrong) => {
            let draft = Draft { text: &text_of, format: &format, wrong };
            Ok(form.view.page_with(status, "New object", blank(&form.view, &section, &name, &draft)))
        }
    }
}

async fn order(form: &Form, section: &str, name: &str, order: Order) -> Result<Option<Undo>, Problem> {
    let seen = Seen::Tags(vec![form.needed("seen")?.to_owned()]);
    let configuration = &form.view.api.options.configuration;
    let before = configuration.object(section, name);
    configuration.change(section, name, order, IfMatch(seen)).await?;
    Ok(undo::of(section, name, before.as_ref(), configuration.object(section, name).as_ref()))
}

/// The object's page, or the list where there is none any more.
fn on(form: &Form, section: &str, name: &str) -> String {
    match form.view.api.options.configuration.object(section, name) {
        Some(_) => at(section, name),
        None => super::objects::BASE.to_owned(),
    }
}

pub(super) async fn delete(At((section, name)): At<(String, String)>, form: Form) -> Result<Response, Problem> {
    let undo = order(&form, &section, &name, Order::Delete).await?;
    form.done_but(&on(&form, &section, &name), format!("{name} is not in force any more."), undo)
}

pub(super) async fn reset(At((section, name)): At<(String, String)>, form: Form) -> Result<Response, Problem> {
    let undo = order(&form, &section, &name, Order::Reset).await?;
    form.done_but(&on(&form, &section, &name), format!("What the files say of {name} holds again."), undo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str, format: &str) -> (usize, usize) {
        read(text, format).map(|_| ()).unwrap_err().first().and_then(|wrong| wrong.at).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_text_has_its_line_and_column() {
        assert_eq!(wrong("a = 1\nb = = 2\n", TOML).0, 2);
        assert_eq!(wrong("{\n  \"a\": 1,\n  \"b\": [\n", JSON).0, 4);
        assert!(read("[1]", JSON).is_err());
    }

    #[test]
    fn a_mistake_in_an_object_is_placed_where_its_key_stands() {
        for (text, format, line) in [
            ("plugin = \"log\"\n[config]\nurl = 3\n", TOML, 3),
            ("{\"plugin\": \"log\",\n\"config\": {\n\"url\": 3}}", JSON, 3),
        ] {
            let (_, places) = read(text, format).unwrap_or_else(|_| panic!("{text}"));
            let mistakes = vec![Mistake { path: "/instances/log~1a/config/url".to_owned(), detail: "no".to_owned() }];
            let found = placed("instances", "log/a", &places, mistakes);
            assert_eq!((found[0].at.map(|at| at.0), found[0].path.as_str()), (Some(line), "config.url"), "{format}");
        }
    }
}
