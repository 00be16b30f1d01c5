//! One plugin: what it is and asks for, the versions that were in use, its candidate, and its files.

use super::{BASE, CONCERNS, back_to, files, named, short, signed_by, upload, version};
use crate::console::form::{self, Action};
use crate::console::pages::instances;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::{plugin_files, plugins};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_model::decisions::{Answer, Difference, JournalStatus, Shadow, ShadowState};
use quarterdeck_model::plugin::files::{PluginFile, PluginVersion};
use quarterdeck_model::plugin::{Capability, PluginState, PluginStatus};
use std::sync::Arc;

/// Versions that are shown; the newest come first.
const VERSIONS: usize = 50;

struct Known {
    /// `None`: only versions or a file of it are known.
    plugin: Option<PluginStatus>,
    versions: Vec<PluginVersion>,
    files: Vec<PluginFile>,
    shadow: Option<Shadow>,
    journals: Vec<JournalStatus>,
}

async fn known(view: &View, name: &str) -> Result<Known, Problem> {
    let (api, wanted) = (Arc::clone(&view.api), name.to_owned());
    let (plugin, versions, shadow) = blocking(move || {
        let plugin = plugins::sorted(&api).into_iter().find(|plugin| plugin.name == wanted);
        let shadow = api.options.decisions.shadows().into_iter().find(|shadow| shadow.plugin == wanted);
        Ok((plugin, api.options.files.versions(&wanted)?, shadow))
    })
    .await?;
    let mut files = plugin_files::all(&view.api).await?;
    files.retain(|file| file.plugin.as_ref().is_some_and(|plugin| plugin.name == name));
    if plugin.is_none() && versions.is_empty() && files.is_empty() && shadow.is_none() {
        return Err(Problem::no_document("plugins", name));
    }
    let journals = view.api.options.decisions.journals(Some(name)).await?;
    Ok(Known { plugin, versions, files, shadow, journals })
}

pub(super) async fn show(view: View, At(name): At<String>) -> Result<Response, Problem> {
    let known = known(&view, &name).await?;
    let decides = known.plugin.as_ref().is_some_and(|plugin| plugin.kinds.iter().all(|kind| kind.is_pure()));
    let of_it = address::with(instances::BASE, [("plugin", Some(name.as_str()))]);
    let content = html! {
        p.crumbs { a href=(BASE) { "Plugins" } }
        h1 { (text(&name)) }
        (live::part("plugin", &CONCERNS, html! {
            @match &known.plugin {
                Some(plugin) => (facts(plugin)),
                None => (widgets::empty("It is not loaded.", "A version that is kept can be gone back to.", None)),
            }
            p { a href=(of_it) { "Its instances" } }
            @if view.session.is_none() { (form::notice()) }
            (widgets::section("Versions that were in use", versions(&view, &name, &known)))
            @if !known.files.is_empty() { (widgets::section("Files", file_list(&view, &known.files))) }
        }))
        @if let Some(shadow) = &known.shadow {
            (live::ticking("candidate", &["plugin."], 10, widgets::section("Candidate beside it", candidate(&view, &name, shadow))))
        }
        (uploads(&view, &name, &known, decides))
        (upload::script())
        @if decides { (widgets::section("Ask the past again", past(&view, &name, &known.journals))) }
        @if let Some(plugin) = &known.plugin { (widgets::section("What can be configured", schema(plugin))) }
    };
    Ok(view.page(&name, content))
}

fn facts(plugin: &PluginStatus) -> Markup {
    html! {
        p.badges { (widgets::state(plugin.state)) }
        @if let Some(reason) = &plugin.reason { p.problem { (text(reason)) } }
        (widgets::section("What it is", html! {
            p { (text(&plugin.summary)) }
            (widgets::definitions(&[
                ("Version", clip(&plugin.version)),
                ("Kinds", html! { (named(&plugin.kinds)) }),
                ("From", clip(&plugin.source)),
                ("Signed by", signed_by(plugin.publisher.as_ref())),
                ("Content", html! { code { (plugin.digest) } }),
                ("Size", html! { (widgets::bytes(plugin.bytes)) }),
                ("Loaded", time::ago(plugin.loaded_at)),
            ]))
        }))
        (widgets::section("What it asks for", html! {
            @if plugin.capabilities.is_empty() { p.muted { "Nothing: it decides from what it is asked alone." } }
            @else { (widgets::lines(plugin.capabilities.iter().map(Capability::words))) }
        }))
    }
}

fn versions(view: &View, name: &str, known: &Known) -> Markup {
    if known.versions.is_empty() {
        return html! { p.muted { "None yet." } };
    }
    let active = known.versions.iter().find(|version| version.serves).map(|version| &version.plugin);
    let rows = known.versions.iter().take(VERSIONS).map(|kept| {
        let state = match (kept.serves, kept.kept) {
            (true, _) => widgets::toned("in use", Tone::Good),
            (false, true) => widgets::toned("kept", Tone::Quiet),
            (false, false) => widgets::toned("not kept", Tone::Warning),
        };
        vec![
            version(&kept.plugin),
            state,
            time::maybe(kept.used_at),
            clip(&kept.source),
            kept.origin.as_deref().map_or_else(|| html! { span.none { "–" } }, clip),
            if kept.kept && !kept.serves {
                back_to(view, name, active, &kept.plugin)
            } else {
                html! {}
            },
        ]
    });
    html! {
        (widgets::table("Versions", &["Version", "State", "In use since", "File", "Installed from", "Action"], rows))
        @if known.versions.len() > VERSIONS { p.muted { "The others are told by " code { "quarterdeck plugin show " (name) } "." } }
    }
}

fn file_list(view: &View, files: &[PluginFile]) -> Markup {
    let rows = files.iter().map(|file| {
        let state = if file.serves {
            widgets::toned("serves", Tone::Good)
        } else {
            widgets::toned("another goes before it", Tone::Quiet)
        };
        vec![
            html! { code { (clip(&file.file)) } },
            file.plugin.as_ref().map_or_else(|| html! {}, version),
            state,
            files::removal(view, file),
        ]
    });
    widgets::table("Files of this plugin", &["File", "Version", "State", "Action"], rows)
}

fn candidate(view: &View, name: &str, shadow: &Shadow) -> Markup {
    let base = address::below(BASE, name);
    let (promote, end) = (format!("{base}/promote"), format!("{base}/end-shadow"));
    let active = shadow.active.as_ref().map_or("no version", |active| active.version.as_str());
    let compared = &shadow.comparison;
    let effect = format!(
        "{name} goes from {active} to {} ({}), which is put into the plugins folder. Of {} decisions {} differed.",
        shadow.candidate.version,
        short(&shadow.candidate.digest.0),
        compared.decisions,
        compared.differ
    );
    let actions = [
        Action {
            to: &promote,
            label: "Promote",
            effect: Some(&effect),
            fields: &[("seen", shadow.candidate.digest.0.as_str())],
            ..Action::default()
        },
        Action {
            to: &end,
            label: "End the comparison",
            effect: Some(
                "The candidate is not asked any more, and what was counted of it is forgotten. The version in use stays.",
            ),
            dangerous: true,
            fields: &[("seen", shadow.candidate.digest.0.as_str())],
            ..Action::default()
        },
    ];
    let count = |name: &'static str, count: u64| vec![html! { (name) }, html! { (count) }];
    html! {
        p.badges {
            (version(&shadow.candidate)) " since " (time::ago(shadow.since)) " "
            @match shadow.state {
                ShadowState::Asked => {}
                ShadowState::Loading => (widgets::toned("being loaded", Tone::Warning)),
                ShadowState::Waiting => (widgets::toned("can't be loaded now", Tone::Bad)),
                ShadowState::LeftAlone => (widgets::toned("left alone", Tone::Bad)),
            }
            " "
            @if compared.differ == 0 { (widgets::toned("no difference so far", Tone::Good)) }
            @else { (widgets::toned(&format!("{} differ", compared.differ), Tone::Warning)) }
        }
        @if let Some(why) = &shadow.reason { p { "Not asked now: " (text(why)) } }
        (form::actions(view, &actions))
        (widgets::table("How its answers compare", &["Answers", "Count"], [
            count("compared", compared.decisions),
            count("the same", compared.same),
            count("of those with another state of its own", compared.other_state),
            count("different", compared.differ),
            count("of those no answer where there was one", compared.new_failures),
            count("of those an answer where there was none", compared.answered_now),
            count("trapped, or over a limit", compared.misbehaved),
            count("not asked: it was busy, or left alone", shadow.skipped),
        ]))
        (widgets::table("How long decisions took", &["Version", "Half within", "99 % within", "Mean"], [
            ("in use", shadow.then), ("candidate", shadow.now),
        ].map(|(who, took)| {
            let micros = |micros: u64| html! { (micros) " µs" };
            vec![html! { (who) }, micros(took.p50_micros), micros(took.p99_micros), micros(took.mean_micros)]
        })))
        h3 { "Newest differences" }
        @if shadow.samples.is_empty() { p.muted { "None." } }
        @for difference in &shadow.samples { (sample(difference)) }
    }
}

fn sample(difference: &Difference) -> Markup {
    let answer = |answer: &Answer| match answer {
        Answer::Decision(value) => widgets::json(value),
        Answer::Failure(why) => html! { p { (widgets::toned("no answer", Tone::Bad)) " " (text(why)) } },
    };
    html! {
        details.plain-details {
            summary { (time::at(difference.at)) " " code { (clip(&difference.function)) } " of " (clip(difference.instance.as_str())) }
            div.columns {
                div { h3 { "In use: " (clip(&difference.plugin.version)) } (answer(&difference.then)) }
                div { h3 { "Candidate" } (answer(&difference.now)) }
            }
            h3 { "Asked" } (widgets::json(&difference.input))
            h3 { "Configuration" } (widgets::json(&difference.config))
        }
    }
}

fn uploads(view: &View, name: &str, known: &Known, decides: bool) -> Markup {
    let serves = known.files.iter().find(|file| file.serves).or_else(|| known.files.first());
    let file = serves.map_or(format!("{name}.wasm"), |file| file.file.clone());
    let install = address::below("/console/upload/plugin-files", &file);
    let shadow = address::below("/console/upload/shadows", name);
    let from = known.plugin.as_ref().filter(|plugin| plugin.state != PluginState::Refused);
    let says = match from.map(|plugin| plugin.version.as_str()) {
        Some(from) => {
            format!(
                "It becomes {file}, in place of {from}, once it is verified and that is confirmed. {from} can be gone back to."
            )
        }
        None => format!("It becomes {file}, once it is verified and that is confirmed."),
    };
    html! {
        (widgets::section("Another version", upload::offer(view, &upload::Offer {
            to: &install,
            label: "A component",
            says: &says,
            is_confirmed: true,
            command: &format!("quarterdeck plugin install {file}"),
        })))
        @if decides {
            (widgets::section("A candidate", upload::offer(view, &upload::Offer {
                to: &shadow,
                label: "A component",
                says: "It is asked what the version in use is asked, and its answers are compared, and nothing else. It takes the place of a candidate before it.",
                is_confirmed: false,
                command: &format!("quarterdeck plugin shadow {name} --with candidate.wasm"),
            })))
        }
    }
}

fn past(view: &View, name: &str, journals: &[JournalStatus]) -> Markup {
    html! {
        p.muted { "What instances decided is kept where they have a " code { "journal" } ". Another version can be asked the same:" }
        (widgets::command(&format!("quarterdeck plugin replay {name} --with candidate.wasm")))
        @if !journals.is_empty() {
            (widgets::table("Journals", &["Instance", "Decisions kept", "Size", "Left out"], journals.iter().map(|journal| {
                vec![
                    instances::linked(&view.api, &journal.instance),
                    html! { (journal.decisions) },
                    html! { (widgets::bytes(journal.bytes)) },
                    html! { (journal.left_out) },
                ]
            })))
        }
    }
}

fn schema(plugin: &PluginStatus) -> Markup {
    let properties = plugin.config_schema.get("properties").and_then(|properties| properties.as_object());
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return html! { p.muted { "Nothing." } };
    };
    let required = plugin.config_schema.get("required").and_then(|required| required.as_array());
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)));
    widgets::table(
        "Keys",
        &["Key", "Default", "Meaning"],
        properties.iter().map(|(name, property)| {
            let default = property.get("default").filter(|default| !default.is_null());
            let default = match default {
                Some(default) => html! { code { (clip(&default.to_string())) } },
                None if is_required(name) => html! { strong { "required" } },
                None => html! { span.none { "–" } },
            };
            let meaning = property.get("description").and_then(|meaning| meaning.as_str()).unwrap_or_default();
            vec![html! { code { (clip(name)) } }, default, text(meaning)]
        }),
    )
}
