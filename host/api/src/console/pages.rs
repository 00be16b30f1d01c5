//! The list of all pages, in the order of the navigation.

mod alerts;
mod configuration;
mod dashboards;
mod dead_letters;
mod deployments;
mod events;
mod findings;
mod host;
mod incidents;
mod instances;
mod jobs;
pub(crate) mod metrics;
mod outbox;
mod over;
mod overview;
mod plugins;
mod processes;
mod rules;
mod runbooks;
mod runs;
mod scans;
mod services;
mod sessions;
mod silences;
mod slos;

use super::search::Finds;
use super::view::View;
use super::{PREFIX, address, widgets};
use crate::Api;
use crate::problem::Problem;
use axum::Router;
use maud::{Markup, html};
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use std::sync::Arc;

pub(crate) const PAGES: [&Page; 24] = [
    &overview::PAGE,
    &alerts::PAGE,
    &silences::PAGE,
    &rules::PAGE,
    &incidents::PAGE,
    &metrics::PAGE,
    &dashboards::PAGE,
    &slos::PAGE,
    &findings::PAGE,
    &events::PAGE,
    &runbooks::PAGE,
    &runs::PAGE,
    &services::PAGE,
    &deployments::PAGE,
    &scans::PAGE,
    &jobs::PAGE,
    &outbox::PAGE,
    &dead_letters::PAGE,
    &plugins::PAGE,
    &instances::PAGE,
    &processes::PAGE,
    &configuration::PAGE,
    &sessions::PAGE,
    &host::PAGE,
];

/// One page, and those below it.
pub(crate) struct Page {
    pub(crate) title: &'static str,
    /// Below `/console`; empty for the first one.
    pub(crate) path: &'static str,
    pub(crate) group: Group,
    /// What one object of it is called in the search.
    pub(crate) one: &'static str,
    /// Words beside the title by which the page is found.
    pub(crate) words: &'static str,
    pub(crate) routes: fn() -> Router<Arc<Api>>,
    /// Offers its objects to the search, on a thread that may block.
    pub(crate) find: fn(&Api, &mut Finds) -> Result<(), Problem>,
}

impl Page {
    /// Where a browser finds it.
    pub(crate) fn at(&self) -> String {
        format!("{PREFIX}{}", self.path)
    }

    /// Whether the path is that of this page or of one below it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let rest = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(self.path));
        rest.is_some_and(|rest| rest.is_empty() || (!self.path.is_empty() && rest.starts_with('/')))
    }
}

/// A part of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Watching,
    Acting,
    Host,
}

impl Group {
    pub(crate) const ALL: [Group; 3] = [Group::Watching, Group::Acting, Group::Host];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Group::Watching => "Watching",
            Group::Acting => "Acting",
            Group::Host => "The host",
        }
    }
}

/// Where the page of this path is, as long as there is one.
pub(super) fn at(path: &str) -> Option<String> {
    PAGES.iter().find(|page| page.path == path).map(|page| page.at())
}

/// An instance by its name, with a link to its page as long as there is one: it may have been removed since.
pub(super) fn instance(view: &View, name: &InstanceName) -> Markup {
    match (at("/instances"), name.as_str().split_once('/')) {
        (Some(base), Some((plugin, rest))) if view.api.options.registry.instance(name).is_some() => {
            widgets::link(&address::below(&address::below(&base, plugin), rest), name.as_str())
        }
        _ => html! { code { (widgets::clip(name.as_str())) } },
    }
}

/// Which version of which plugin it was.
pub(super) fn plugin(plugin: Option<&PluginRef>) -> Markup {
    match plugin {
        Some(plugin) => html! { span.muted { (widgets::clip(&plugin.name)) " " (widgets::clip(&plugin.version)) } },
        None => html! { span.none { "–" } },
    }
}

/// What something was done for: a link where the id tells of what kind it is.
pub(super) fn cause(id: &str) -> Markup {
    address::of_id(id).map_or_else(|| widgets::clip(id), |to| widgets::link(&to, id))
}

/// For a page that has no objects of its own.
pub(super) fn finds_nothing(_: &Api, _: &mut Finds) -> Result<(), Problem> {
    Ok(())
}
