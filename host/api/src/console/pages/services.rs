//! Services: what can be deployed, what each runs, and how its replicas are.

use super::overview::percent;
use super::{Group, Page, deployments, instance, over};
use crate::Api;
use crate::console::chart::{Chart, Window};
use crate::console::form::{self, Action};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, query, time};
use crate::extract::{At, Params};
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::services;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::Span;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::{LOOKBACK, Sample, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Services",
    path: "/services",
    group: Group::Acting,
    one: "Service",
    words: "revision replicas stable version deploy",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/services";
const RANGE: Span = Span::from_secs(3600);
/// Seconds from one look at the replicas to the next: what is seen of them is no event.
const TICK: u32 = 15;
/// Deployments that are shown of one service.
const SHOWN: usize = 10;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/services", get(list)).route("/services/{name}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for name in api.options.engines.catalog().services.keys() {
        finds.offer(name, &[], || address::below(BASE, name));
    }
    Ok(())
}

/// What was seen of a service last.
#[derive(Default)]
struct Seen {
    replicas: usize,
    up: usize,
    failure_ratio: Option<f64>,
}

/// By service; the series of all of them are read at once.
fn seen(api: &Api, of: &Labels) -> BTreeMap<String, Seen> {
    let latest = |metric: &str| -> Vec<Sample> {
        let selector = Selector { metric: metric.to_owned(), labels: of.clone() };
        api.options.series.latest(&selector, api.now(), LOOKBACK)
    };
    let mut all = BTreeMap::<String, Seen>::new();
    for sample in latest("service_replica_up") {
        let seen = all.entry(sample.labels.get("service").unwrap_or_default().to_owned()).or_default();
        seen.replicas += 1;
        seen.up += usize::from(sample.value > 0.0);
    }
    for sample in latest("service_failure_ratio") {
        all.entry(sample.labels.get("service").unwrap_or_default().to_owned()).or_default().failure_ratio =
            Some(sample.value);
    }
    all
}

fn up(seen: Option<&Seen>, wanted: u32) -> Markup {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    match seen {
        None => html! { span.muted { "not seen of late" } },
        Some(seen) => {
            let tone = if seen.up == 0 {
                Tone::Bad
            } else if seen.up < wanted {
                Tone::Warning
            } else {
                Tone::Good
            };
            widgets::toned(&format!("{} of {wanted} up", seen.up), tone)
        }
    }
}

fn failing(seen: Option<&Seen>) -> Markup {
    match seen.and_then(|seen| seen.failure_ratio) {
        Some(ratio) => html! { (percent(ratio)) },
        None => html! { span.none { "–" } },
    }
}

/// A service by its name; without a link where it was removed since.
pub(super) fn linked(view: &View, name: &str) -> Markup {
    match view.api.options.engines.catalog().services.contains_key(name) {
        true => widgets::link(&address::below(BASE, name), name),
        false => clip(name),
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let api = Arc::clone(&view.api);
    let (List { items, next_cursor, unreadable }, seen) =
        blocking(move || Ok((services::read(&api, &params)?, seen(&api, &Labels::new())))).await?;
    let rows = items.iter().map(|service| {
        let (current, seen) = (service.current.as_ref(), seen.get(&service.name));
        let under_way = current.and_then(|current| current.deployment.as_ref());
        vec![
            widgets::link(&address::below(BASE, &service.name), &service.name),
            stable(current.map(|current| current.stable.as_str())),
            time::maybe(current.filter(|current| !current.stable.is_empty()).map(|current| current.since)),
            up(seen, service.spec.replicas),
            failing(seen),
            match under_way {
                Some(id) => widgets::link(&address::below(deployments::BASE, id.as_str()), "under way"),
                None => html! { span.none { "–" } },
            },
            instance(&view, &service.spec.strategy),
        ]
    });
    let content = html! {
        h1 { "Services" }
        (live::ticking("services", &["deployment.", "configuration."], TICK, html! {
            @if items.is_empty() {
                (widgets::empty("There is no service.", "A service is what revisions are deployed of: it names a target and a strategy.",
                    Some("quarterdeck config set services shop --file shop.toml")))
            } @else {
                (widgets::table("Services",
                    &["Service", "Runs", "Since", "Replicas", "Failing responses", "Deployment", "Strategy"], rows))
            }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
        p { a href=(deployments::BASE) { "All deployments" } }
    };
    Ok(view.page("Services", content))
}

fn stable(revision: Option<&str>) -> Markup {
    match revision.filter(|revision| !revision.is_empty()) {
        Some(revision) => clip(revision),
        None => html! { span.muted { "nothing yet" } },
    }
}

async fn show(view: View, At(name): At<String>) -> Result<Response, Problem> {
    let window = Window::of(&view.params()?, view.api.now(), RANGE)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("service", &name)
        .append_pair("limit", &SHOWN.to_string())
        .finish();
    let past = crate::resources::deployments::read(&view.api, &Params::read(&query)?).await?;
    let (api, wanted) = (Arc::clone(&view.api), name.clone());
    let (service, seen, charts) = blocking(move || {
        let service = services::get(&api, &wanted)?;
        let of = Labels::new().with("service", &wanted);
        Ok((service, seen(&api, &of).remove(&wanted), charts(&api, &of, &window)?))
    })
    .await?;
    let current = service.current.as_ref();
    let all = address::with(deployments::BASE, [("service", Some(name.as_str()))]);
    let content = html! {
        p.crumbs { a href=(BASE) { "Services" } }
        h1 { (text(&name)) }
        (form::actions(&view, &[Action {
            to: deployments::BASE,
            label: "Deploy",
            effect: Some("Starts the deployment of a revision. The strategy decides how fast it takes over the traffic, and takes it back if it is bad."),
            fields: &[("service", name.as_str())],
            inputs: form::needed("revision", "Revision, as the target knows it (r2, v1.4.2, a digest)", ""),
            ..Action::default()
        }]))
        (live::ticking("service", &["deployment.", "configuration."], TICK, html! {
            (widgets::section("How it is", widgets::definitions(&[
                ("Runs", stable(current.map(|current| current.stable.as_str()))),
                ("Since", time::maybe(current.filter(|current| !current.stable.is_empty()).map(|current| current.since))),
                ("Replicas", up(seen.as_ref(), service.spec.replicas)),
                ("Failing responses", failing(seen.as_ref())),
                ("Deployment", match current.and_then(|current| current.deployment.as_ref()) {
                    Some(id) => html! { (widgets::link(&address::below(deployments::BASE, id.as_str()), id.as_str())) " is under way" },
                    None => html! { span.muted { "none is under way" } },
                }),
                ("Target", instance(&view, &service.spec.target)),
                ("Strategy", instance(&view, &service.spec.strategy)),
                ("A deployment may take", html! { (time::span(service.spec.timeout)) ", and a replica " (time::span(service.spec.start_timeout)) " until it is healthy" }),
                ("Strategy's settings", if service.spec.config.is_empty() { html! { span.muted { "those of its instance" } } }
                    else { widgets::json(&serde_json::Value::Object(service.spec.config.clone())) }),
            ])))
            (ranges(&view))
            @for chart in &charts { (chart.show()) }
            (widgets::section("Deployments", html! {
                @if past.items.is_empty() {
                    (widgets::empty("Nothing was deployed yet.", "Deploy a revision above, or from a shell:", Some(&format!("quarterdeck deploy {name} <revision>"))))
                } @else {
                    (deployments::table(&past.items))
                    @if past.next_cursor.is_some() { p { a href=(all) { "All deployments of it" } } }
                }
            }))
        }))
    };
    Ok(view.page(&name, content))
}

fn ranges(view: &View) -> Markup {
    over::ranges(view, &[("1h", "1 hour"), ("6h", "6 hours"), ("1day", "1 day"), ("7days", "7 days")], "1h")
}

fn charts(api: &Api, of: &Labels, window: &Window) -> Result<Vec<Chart<'static>>, Problem> {
    let (from, to) = (window.from, window.to);
    let up = over::lines(api, "service_replica_up", of, from, to, |labels| {
        labels.get("replica").unwrap_or("replica").to_owned()
    })?;
    let failing = over::lines(api, "service_failure_ratio", of, from, to, |_| "failing responses".to_owned())?;
    let service = of.get("service");
    let notes = || query::notes_about(api, window, service);
    let mut charts = vec![Chart { title: "Replicas that are up", unit: "", from, to, lines: up, notes: notes()? }];
    if !failing.is_empty() {
        charts.push(Chart { title: "Failing responses", unit: "share", from, to, lines: failing, notes: notes()? });
    }
    Ok(charts)
}
