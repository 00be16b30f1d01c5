//! Rules and alerts: groups of rule files as Prometheus has them, and the rules of detectors. What stands for the query of such a rule is
//! the selector of the series that its detector sees, and those of one interval are one group.

mod form;

use super::answer::{Answered, Failure, Success};
use super::parameters::Parameters;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::extract::State;
use form::{PrometheusAlerts, PrometheusGroup, PrometheusRule, PrometheusRules, RuleKind, alert};
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::job::JobStatus;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Matcher, Querier};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::memory::Memory;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_rules)).routes(routes!(prometheus_alerts))
}

/// What is asked for.
struct Wanted<'a> {
    parameters: &'a Parameters,
    kind: Option<RuleKind>,
    with_alerts: bool,
    selectors: Vec<Vec<Matcher>>,
}

impl<'a> Wanted<'a> {
    fn read(parameters: &'a Parameters) -> Result<Self, Failure> {
        let kind = match parameters.text("type") {
            None => None,
            Some("alert") => Some(RuleKind::Alerting),
            Some("record") => Some(RuleKind::Recording),
            Some(other) => return Err(Failure::parameter("type", format!("not supported value {other:?}"))),
        };
        let with_alerts = match parameters.text("exclude_alerts") {
            None | Some("false" | "0") => true,
            Some("true" | "1") => false,
            Some(other) => return Err(Failure::parameter("exclude_alerts", format!("{other:?} is not true or false"))),
        };
        Ok(Wanted { parameters, kind, with_alerts, selectors: parameters.selectors()? })
    }

    fn names(&self, parameter: &str, given: &str) -> bool {
        self.parameters.all(parameter).next().is_none() || self.parameters.all(parameter).any(|it| it == given)
    }

    /// The group with the rules that are wanted of it; nothing where none is.
    fn of_group(&self, mut group: PrometheusGroup) -> Option<PrometheusGroup> {
        if !self.names("rule_group[]", &group.name) || !self.names("file[]", &group.file) {
            return None;
        }
        group.rules.retain(|rule| {
            self.kind.is_none_or(|kind| kind == rule.kind)
                && self.names("rule_name[]", &rule.name)
                && self.selects(&rule.labels)
        });
        if !self.with_alerts {
            group.rules = group.rules.into_iter().map(PrometheusRule::without_alerts).collect();
        }
        (!group.rules.is_empty()).then_some(group)
    }

    /// By the labels that are written at the rule.
    fn selects(&self, labels: &Labels) -> bool {
        if self.selectors.is_empty() {
            return true;
        }
        let (one, now) = (Memory::default(), Timestamp::from_millis(0));
        one.push(&Arc::new(labels.clone()), now, 1.0);
        let before = Timestamp::from_millis(-1);
        self.selectors.iter().any(|selector| one.series(selector, before, now, 1).is_ok_and(|found| !found.is_empty()))
    }
}

/// Rules, in groups.
#[utoipa::path(get, path = "/rules", tag = "prometheus",
    params(("type" = Option<String>, Query, description = "`alert` or `record`: only those."),
        ("rule_name[]" = Option<Vec<String>>, Query, description = "Only rules of these names."),
        ("rule_group[]" = Option<Vec<String>>, Query, description = "Only groups of these names."),
        ("file[]" = Option<Vec<String>>, Query, description = "Only groups of these files."),
        ("match[]" = Option<Vec<String>>, Query, description = "Only rules whose labels one of these selectors takes."),
        ("exclude_alerts" = Option<bool>, Query, description = "Without the alerts of each rule."),
        ("group_limit" = Option<u64>, Query, description = "Groups on a page."),
        ("group_next_token" = Option<String>, Query, description = "The page that begins there, as the one before has said.")),
    responses((status = 200, description = "Groups.", body = ref(of::<Success<PrometheusRules>>()))))]
async fn prometheus_rules(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<PrometheusRules> {
    let wanted = Wanted::read(&parameters)?;
    let (limit, from) = (parameters.limit("group_limit")?, parameters.text("group_next_token"));
    if from.is_some() && limit.is_none() {
        return Err(Failure::bad("group_limit needs to be present in order to paginate over the groups"));
    }
    let of_files = api.options.engines.monitoring.rule_groups();
    let mut groups: Vec<PrometheusGroup> = of_files.iter().map(PrometheusGroup::of_file).collect();
    groups.extend(of_detectors(&api));
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    let mut groups: Vec<PrometheusGroup> = groups.into_iter().filter_map(|group| wanted.of_group(group)).collect();
    if let Some(token) = from {
        let begin = groups.iter().position(|group| self::token(group) == token);
        let unknown = || Failure::bad(format!("invalid group_next_token {token:?}. Were rule groups changed?"));
        groups.drain(..begin.ok_or_else(unknown)?);
    }
    let group_next_token = limit.and_then(|limit| groups.get(limit)).map(token);
    groups.truncate(limit.unwrap_or(usize::MAX));
    Ok(Success::of(PrometheusRules { groups, group_next_token }))
}

/// What tells a group from the others, for whoever asks for the page that begins with it.
fn token(group: &PrometheusGroup) -> String {
    format!("{};{}", group.file, group.name)
}

fn of_detectors(api: &Api) -> impl Iterator<Item = PrometheusGroup> + use<> {
    let mut alerts: HashMap<String, Vec<Alert>> = HashMap::new();
    for alert in api.options.engines.monitoring.alerts().into_iter().filter(|alert| alert.group.is_none()) {
        alerts.entry(alert.rule.clone()).or_default().push(alert);
    }
    let jobs: HashMap<String, JobStatus> =
        api.options.scheduler.list().into_iter().map(|job| (job.spec.name.clone(), job)).collect();
    let mut groups: BTreeMap<Span, PrometheusGroup> = BTreeMap::new();
    for (name, spec) in api.options.engines.catalog().rules.iter().filter(|(_, spec)| spec.enabled) {
        let alerts = alerts.remove(name).unwrap_or_default();
        let rule = PrometheusRule::of_detector(name, spec, &alerts, jobs.get(&format!("rule/{name}")));
        groups.entry(spec.every).or_insert_with(|| PrometheusGroup::of_detectors(spec.every)).push(rule);
    }
    groups.into_values()
}

/// Alerts that are pending or firing.
#[utoipa::path(get, path = "/alerts", tag = "prometheus",
    responses((status = 200, description = "Alerts.", body = ref(of::<Success<PrometheusAlerts>>()))))]
async fn prometheus_alerts(State(api): State<Arc<Api>>, _parameters: Parameters) -> Answered<PrometheusAlerts> {
    let alerts = api.options.engines.monitoring.alerts().iter().filter_map(alert).collect();
    Ok(Success::of(PrometheusAlerts { alerts }))
}
