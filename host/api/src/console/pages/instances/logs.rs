//! What an instance logs, the newest line first, and what it logs meanwhile on top of it.

use super::{BASE, at, found};
use crate::console::form;
use crate::console::view::View;
use crate::console::widgets::{self, Tone};
use crate::console::{live, time};
use crate::extract::At;
use crate::problem::Problem;
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_model::plugin::log::{LogLevel, LogLine};

const SHOWN: usize = 300;

/// As the API has it: what programs print is not meant for everybody who can reach this machine.
pub(super) async fn show(view: View, At((plugin, name)): At<(String, String)>) -> Result<Response, Problem> {
    let status = found(&view.api, &plugin, &name)?;
    let title = format!("Log of {}", status.name);
    let level = view.params()?.word::<LogLevel>("level")?;
    let levels = [
        ("", "all"),
        ("debug", "debug and louder"),
        ("info", "info and louder"),
        ("warn", "warnings and errors"),
        ("error", "errors"),
    ];
    let chosen = level.map(crate::resources::status::word);
    let mut lines = if view.session.is_some() { view.api.options.registry.log(&status.name) } else { Vec::new() };
    let kept = lines.len();
    lines.retain(|line| level.is_none_or(|level| line.level >= level));
    let content = html! {
        p.crumbs { a href=(BASE) { "Instances" } " / " a href=(at(&status.name)) { (widgets::clip(status.name.as_str())) } }
        h1 { (widgets::text(&title)) }
        @if view.session.is_none() {
            p { "What programs print is shown to those who are signed in." }
            (form::notice())
        } @else {
            (form::filters(&view, form::select("level", "Level", &levels, chosen.as_deref())))
            (live::ticking("log", &["instance.state-changed"], 2, html! {
                @if lines.is_empty() {
                    (widgets::empty("No lines.", "It has logged nothing of that since the host was started. It can be waited for here, or by:",
                        Some(&format!("quarterdeck plugin logs {} --follow", status.name))))
                } @else {
                    (table(&lines))
                    p.muted { "The newest " (lines.len().min(SHOWN)) " of " (kept) " lines that are kept." }
                }
            }))
        }
    };
    Ok(view.page(&title, content))
}

fn table(lines: &[LogLine]) -> Markup {
    widgets::table(
        "Log",
        &["When", "Level", "Line", "Version"],
        lines.iter().rev().take(SHOWN).map(|line| {
            let tone = match line.level {
                LogLevel::Error => Tone::Bad,
                LogLevel::Warn => Tone::Warning,
                LogLevel::Info | LogLevel::Debug | LogLevel::Trace => Tone::Quiet,
            };
            vec![
                time::at(line.at),
                widgets::toned(&crate::resources::status::word(line.level), tone),
                html! { code { (widgets::text(&line.message)) } },
                widgets::digest(&line.digest.0),
            ]
        }),
    )
}
