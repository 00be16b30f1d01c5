//! What an instance's plugin asks for, what the instance was given, and what an upgrade would ask for besides, in words.

use super::at;
use crate::console::form::{self, Action};
use crate::console::pages::plugins;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, text};
use maud::{Markup, html};
use quarterdeck_model::plugin::{Awaiting, Capability, Digest, GrantedTo, InstanceStatus, PluginStatus};

pub(super) fn show(view: &View, status: &InstanceStatus, plugins: &[PluginStatus]) -> Markup {
    let of = |digest: &Digest| plugins.iter().find(|plugin| plugin.digest == *digest);
    let runs_on = status.plugin.as_ref().and_then(|plugin| of(&plugin.digest));
    let asked = runs_on.or(plugins.first()).map(|plugin| plugin.capabilities.as_slice()).unwrap_or_default();
    html! {
        @if let Some(awaiting) = &status.awaiting {
            (widgets::section("A version waits for a grant", waiting(view, status, awaiting, runs_on, of(&awaiting.plugin.digest))))
        }
        (widgets::section("What it may do", html! {
            h3 { "It asks for" }
            @if asked.is_empty() { p.muted { "Nothing." } }
            @else {
                ul.lines {
                    @for capability in asked { li { (given(status, capability)) " " (text(&capability.words())) } }
                }
            }
            h3 { "It was given" }
            @let words = status.spec.grants.words();
            @if words.is_empty() { p.muted { "Nothing beside its log." } } @else { (widgets::lines(words)) }
            h3 { "Who has that" }
            (holders(view, status))
        }))
    }
}

fn given(status: &InstanceStatus, capability: &Capability) -> Markup {
    match (status.spec.grants.has(&capability.name), capability.optional) {
        (true, _) => widgets::toned("given", Tone::Good),
        (false, true) => widgets::toned("not given", Tone::Quiet),
        (false, false) => widgets::toned("missing", Tone::Warning),
    }
}

/// Who a grant is given to, in words.
fn to_whom(to: &GrantedTo) -> String {
    match to {
        GrantedTo::Digest(digest) => format!("this content alone: {digest}"),
        GrantedTo::File(file) => format!("whatever the file {file} holds"),
        GrantedTo::Key(key) => format!("whatever this publisher has signed, also later: {key}"),
    }
}

fn holders(view: &View, status: &InstanceStatus) -> Markup {
    let revoke = format!("{}/revoke", at(&status.name));
    html! {
        ul.lines {
            li { "the bundled plugin of that name, if there is one" }
            @for to in &status.spec.granted_to {
                @let (value, words) = (to.to_string(), to_whom(to));
                @let effect = format!("{} is taken from {words}. What runs on it by that waits then, or goes back to a version that has the grants.", status.name);
                li {
                    (text(&words)) " "
                    (Action { to: &revoke, label: "Revoke", effect: Some(&effect), dangerous: true, fields: &[("from", value.as_str())], ..Action::default() }.show(view))
                }
            }
        }
    }
}

fn waiting(
    view: &View,
    status: &InstanceStatus,
    awaiting: &Awaiting,
    before: Option<&PluginStatus>,
    after: Option<&PluginStatus>,
) -> Markup {
    let meanwhile = status.plugin.as_ref().map_or("Meanwhile it stands still.".to_owned(), |plugin| {
        format!("Meanwhile it goes on with {}.", plugin.version)
    });
    html! {
        p { (plugins::version(&awaiting.plugin)) " of " code { (widgets::clip(&awaiting.source)) } " waits. " (text(&meanwhile)) }
        @if awaiting.granted_to_others { p { "The instance's grants were given to another content: somebody has to say that this one may have them." } }
        @if !awaiting.capabilities.is_empty() {
            h3 { "It can't do without, and was not given" }
            (widgets::lines(awaiting.capabilities.iter().map(Capability::words)))
        }
        @if let Some(after) = after { (difference(before, after)) }
        (offer(view, status, awaiting))
    }
}

/// What the version that waits asks for, against the one in use.
fn difference(before: Option<&PluginStatus>, after: &PluginStatus) -> Markup {
    let Some(before) = before.filter(|before| before.digest != after.digest) else { return html! {} };
    let has = |asked: &[Capability], one: &Capability| {
        asked.iter().any(|other| other.name == one.name && other.optional == one.optional)
    };
    let more = after.capabilities.iter().filter(|one| !has(&before.capabilities, one));
    let less = before.capabilities.iter().filter(|one| !has(&after.capabilities, one));
    let lines: Vec<_> = more.map(|one| ("+", one)).chain(less.map(|one| ("−", one))).collect();
    html! {
        h3 { "What " (widgets::clip(&after.version)) " asks for, against " (widgets::clip(&before.version)) }
        @if lines.is_empty() { p.muted { "The same." } }
        ul.lines.difference {
            @for (sign, one) in lines {
                li class=(if sign == "+" { "added" } else { "removed" }) {
                    span aria-label=(if sign == "+" { "asks now" } else { "asks no more" }) { (sign) } " " (text(&one.words()))
                }
            }
        }
    }
}

fn offer(view: &View, status: &InstanceStatus, awaiting: &Awaiting) -> Markup {
    let grant = format!("{}/grant", at(&status.name));
    let content = awaiting.plugin.digest.0.as_str();
    let named = awaiting.grant_to.to_string();
    let mut to = vec![(
        named.as_str(),
        if named == content { "this content alone" } else { "whatever its publisher has signed, also later" },
    )];
    if named != content {
        to.push((content, "this content alone"));
    }
    let words = status.spec.grants.words();
    let effect = format!(
        "{} {} gets the grants of {}{}.",
        awaiting.plugin.name,
        awaiting.plugin.version,
        status.name,
        if words.is_empty() {
            ", and what is filled in here".to_owned()
        } else {
            format!(": {}; and what is filled in here", words.join("; "))
        }
    );
    let inputs = html! {
        (form::select("to", "Given to", &to, Some(named.as_str())))
        @for capability in &awaiting.capabilities { (field(capability)) }
    };
    let action = Action {
        to: &grant,
        label: "Grant",
        effect: Some(&effect),
        fields: &[("seen", content)],
        inputs,
        ..Action::default()
    };
    form::actions(view, &[action])
}

/// Where what a capability may touch is filled in.
fn field(capability: &Capability) -> Markup {
    let name = capability.name.as_str();
    let hint = match name {
        "kv" | "metrics" | "system" => {
            return html! {
                label.check { input type="checkbox" name=(name) value="true" checked; " " (text(&capability.words())) }
            };
        }
        "http" => "https://api.example.com, one in a line",
        "tcp" => "host:port, one in a line",
        "events" => "custom., one in a line",
        "exec" | "process" => {
            "/usr/bin/program and patterns of its arguments, ... for any further ones; one program in a line"
        }
        "files" | "append" => "/var/log/app.log, or /var/log/app/ for all below; one in a line",
        _ => "names, one in a line",
    };
    html! {
        label.field {
            span { (text(&capability.words())) }
            textarea name=(name) rows="2" placeholder=(hint) {}
        }
    }
}
