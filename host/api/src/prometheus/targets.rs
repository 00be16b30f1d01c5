//! What is scraped, and what its pages say of their metrics.

use super::answer::{Answered, Failure, Success};
use super::parameters::Parameters;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::extract::State;
use quarterdeck_engines::monitoring::scrape::{DroppedTarget, Health, TargetStatus};
use quarterdeck_model::series::query::Matcher;
use quarterdeck_model::{Labels, Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_targets)).routes(routes!(prometheus_targets_metadata))
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusTargets {
    active_targets: Vec<PrometheusTarget>,
    dropped_targets: Vec<PrometheusDroppedTarget>,
    /// By the job.
    dropped_target_counts: BTreeMap<String, usize>,
}

/// A target that is scraped.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusTarget {
    /// Before relabelling.
    discovered_labels: Labels,
    labels: Labels,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    /// The year 1 where it was not scraped yet.
    last_scrape: String,
    /// Seconds.
    last_scrape_duration: f64,
    /// `up`, `down` or `unknown`.
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusDroppedTarget {
    discovered_labels: Labels,
    scrape_pool: String,
}

/// What Prometheus says of a time that there is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl From<TargetStatus> for PrometheusTarget {
    fn from(target: TargetStatus) -> Self {
        let written = |span: Span| span.to_string().replace(' ', "");
        PrometheusTarget {
            discovered_labels: target.discovered,
            labels: target.labels,
            scrape_pool: target.job,
            scrape_url: target.url.clone(),
            global_url: target.url,
            last_error: target.error.unwrap_or_default(),
            last_scrape: target.scraped_at.as_ref().map_or_else(|| NEVER.to_owned(), Timestamp::to_string),
            last_scrape_duration: target.took.as_secs_f64(),
            health: match target.health {
                Health::Up => "up",
                Health::Down => "down",
                Health::Unknown => "unknown",
            },
            scrape_interval: written(target.interval),
            scrape_timeout: written(target.timeout),
        }
    }
}

impl From<DroppedTarget> for PrometheusDroppedTarget {
    fn from(target: DroppedTarget) -> Self {
        PrometheusDroppedTarget { discovered_labels: target.discovered, scrape_pool: target.job }
    }
}

/// Targets that are scraped, and those that relabelling dropped. What collectors watch is listed by `/api/v1/instances`.
#[utoipa::path(get, path = "/targets", tag = "prometheus",
    params(("state" = Option<String>, Query, description = "`active`, `dropped` or `any`."),
        ("scrapePool" = Option<String>, Query, description = "Only those of this job.")),
    responses((status = 200, description = "Targets.", body = ref(of::<Success<PrometheusTargets>>()))))]
async fn prometheus_targets(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<PrometheusTargets> {
    let state = parameters.text("state").unwrap_or("any").to_lowercase();
    let wanted = |job: &str| parameters.text("scrapePool").is_none_or(|pool| pool == job);
    let mut shown = PrometheusTargets::default();
    let monitoring = &api.options.engines.monitoring;
    if state != "dropped" {
        let targets = monitoring.targets().into_iter().filter(|target| wanted(&target.job));
        shown.active_targets = targets.map(PrometheusTarget::from).collect();
    }
    let (dropped, counts) = monitoring.dropped_targets();
    if state != "active" {
        let dropped = dropped.into_iter().filter(|target| wanted(&target.job));
        shown.dropped_targets = dropped.map(PrometheusDroppedTarget::from).collect();
    }
    shown.dropped_target_counts = counts.into_iter().filter(|(job, _)| wanted(job)).collect();
    Ok(Success::of(shown))
}

/// What the page of a target says of a metric.
#[derive(Debug, Serialize, JsonSchema)]
struct PrometheusTargetMetadata {
    target: Labels,
    /// Absent where only one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    help: String,
    unit: String,
}

/// What the pages of targets say of their metrics.
#[utoipa::path(get, path = "/targets/metadata", tag = "prometheus",
    params(("match_target" = Option<String>, Query, description = "Only targets with these labels: `{job=\"node\"}`."),
        ("metric" = Option<String>, Query, description = "Only this one."),
        ("limit" = Option<u64>, Query, description = "Results at most.")),
    responses((status = 200, description = "A list.", body = ref(of::<Success<Vec<PrometheusTargetMetadata>>>()))))]
async fn prometheus_targets_metadata(
    State(api): State<Arc<Api>>,
    parameters: Parameters,
) -> Answered<Vec<PrometheusTargetMetadata>> {
    let limit = parameters.limit("limit")?.unwrap_or(usize::MAX);
    let matchers = match parameters.text("match_target").map(quarterdeck_promql::parse_selector) {
        Some(Err(error)) => return Err(Failure::parameter("match_target", error)),
        Some(Ok(matchers)) => matchers,
        None => Vec::new(),
    };
    let takes = takes(&matchers)?;
    let wanted = parameters.text("metric");
    let mut found = Vec::new();
    for (target, metrics) in api.options.engines.monitoring.targets_metadata() {
        if !takes.iter().all(|take| take(&target)) {
            continue;
        }
        for metric in metrics.into_iter().filter(|metric| wanted.is_none_or(|wanted| wanted == metric.name)) {
            found.push(PrometheusTargetMetadata {
                target: target.clone(),
                metric: wanted.is_none().then_some(metric.name),
                kind: metric.kind,
                help: metric.help,
                unit: metric.unit,
            });
        }
    }
    found.truncate(limit);
    Ok(Success::of(found))
}

type Take = Box<dyn Fn(&Labels) -> bool + Send>;

fn takes(matchers: &[Matcher]) -> Result<Vec<Take>, Failure> {
    use quarterdeck_model::series::query::Comparison;
    let take = |matcher: &Matcher| -> Result<Take, Failure> {
        let Matcher { label, value, comparison } = matcher.clone();
        let of = move |labels: &Labels| labels.get(&label).unwrap_or_default().to_owned();
        Ok(match comparison {
            Comparison::Equal => Box::new(move |labels| of(labels) == value),
            Comparison::NotEqual => Box::new(move |labels| of(labels) != value),
            Comparison::Matches | Comparison::MatchesNot => {
                let pattern = regex::Regex::new(&format!("^(?s:{value})$"))
                    .map_err(|error| Failure::parameter("match_target", error))?;
                let wanted = comparison == Comparison::Matches;
                Box::new(move |labels| pattern.is_match(&of(labels)) == wanted)
            }
        })
    };
    matchers.iter().map(take).collect()
}
