//! The functions of each kind by their names in the WIT, with JSON in and out.
//!
//! Inputs are those of the interface, in snake case, and whatever can be left out has a value that makes sense: samples without
//! times are fifteen seconds apart and end now. What is opaque (`state`, `partial`) is base64, as it came out of the call before.

use super::{Workbench, with};
use anyhow::{Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_config::Settings;
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::correlator::{AlertSummary, OpenIncident};
use quarterdeck_model::kind::deployment_strategy::{Analysis, Plan, Question};
use quarterdeck_model::kind::deployment_target::{Replica, Step};
use quarterdeck_model::kind::detector::Window;
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::kind::runbook_action::LONGEST_RUN;
use quarterdeck_model::kind::scanner_rule::Subject;
use quarterdeck_model::kind::sla_calculator::SlaWindow;
use quarterdeck_model::plugin::{CallError, CallResult, Grants, InstanceSpec, Kind, Limits};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Labels, Severity, Span, Timestamp, brief};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Instant;

/// What `plugin run` is asked to do.
pub(crate) struct Call<'a> {
    pub(crate) file: &'a Path,
    /// Of the WIT; the first one of the component's kind, unless given.
    pub(crate) function: Option<&'a str>,
    pub(crate) config: Map<String, Value>,
    pub(crate) input: Value,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
}

/// Calls a component once. Gives its answer, and what it did beside that.
///
/// # Errors
/// The component can't be used, the configuration or a grant does not fit, the input is not that of the function, or the call
/// failed; the message says which.
pub(crate) fn run(settings: &Settings, call: Call<'_>) -> Result<Value> {
    with(settings, call.file, async |bench| {
        let function = choose(&bench.plugin.kinds, call.function)?;
        let spec = InstanceSpec {
            plugin: bench.plugin.name.clone(),
            config: call.config,
            grants: call.grants,
            limits: call.limits,
            granted_to: bench.itself(),
            every: None,
            journal: None,
            check: None,
            delivery: None,
            enabled: true,
        };
        bench.instance(spec).await.map_err(|status| {
            let reason = status.reason.unwrap_or_else(|| "it can't be used".to_owned());
            anyhow!("{reason}; hint: see --config and --grants")
        })?;
        let begin = Instant::now();
        let answer = bench.call(function, call.input).await?.map_err(|error| anyhow!("{}: {error}", error.code()))?;
        Ok(json!({
            "plugin": {"name": bench.plugin.name, "version": bench.plugin.version, "digest": bench.plugin.digest},
            "function": function.name,
            "output": answer.output,
            "events": answer.events,
            "written_keys": answer.keys,
            "duration_ms": begin.elapsed().as_secs_f64() * 1e3,
        }))
    })
}

/// A function of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
}

const fn function(kind: Kind, name: &'static str) -> Function {
    Function { kind, name }
}

/// The first one of each kind is what the kind is for.
const FUNCTIONS: [Function; 18] = [
    function(Kind::Collector, "collect"),
    function(Kind::Detector, "evaluate"),
    function(Kind::ScannerRule, "scan"),
    function(Kind::ScannerRule, "interests"),
    function(Kind::Correlator, "correlate"),
    function(Kind::Notifier, "notify"),
    function(Kind::Notifier, "notifier.poll"),
    function(Kind::DeploymentStrategy, "decide"),
    function(Kind::DeploymentTarget, "observe"),
    function(Kind::DeploymentTarget, "apply"),
    function(Kind::RunbookAction, "run"),
    function(Kind::RunbookAction, "plan"),
    function(Kind::RunbookAction, "poll"),
    function(Kind::RunbookAction, "cancel"),
    function(Kind::SlaCalculator, "calculate"),
    function(Kind::SlaCalculator, "fold"),
    function(Kind::SlaCalculator, "merge"),
    function(Kind::SlaCalculator, "finish"),
];

#[cfg(test)]
pub(super) fn is_function(kind: Kind, name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.kind == kind && function.name == name)
}

fn choose(kinds: &[Kind], wanted: Option<&str>) -> Result<Function> {
    let mut there = FUNCTIONS.iter().filter(|function| kinds.contains(&function.kind));
    match wanted {
        Some(name) => there.clone().find(|function| function.name == name).copied().ok_or_else(|| {
            let names: Vec<&str> = there.map(|function| function.name).collect();
            anyhow!("it has no function `{name}`; hint: it has {}", names.join(", "))
        }),
        None if kinds.len() > 1 => {
            let names: Vec<&str> = there.map(|function| function.name).collect();
            bail!("it is of several kinds; hint: name one of its functions: {}", names.join(", "))
        }
        None => there.next().copied().ok_or_else(|| anyhow!("it is of no kind that this host knows")),
    }
}

/// What a call gave.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) output: Value,
    pub(super) events: Vec<Event>,
    pub(super) keys: Vec<String>,
}

impl Workbench {
    /// `Err` in the outer result: the input is not that of the function.
    pub(super) async fn call(&self, function: Function, input: Value) -> Result<Result<Answer, CallError>> {
        let (plugins, name, now) = (self.plugins(), self.name(), Timestamp::from_millis(now_millis()));
        Ok(match (function.kind, function.name) {
            (Kind::Collector, _) => {
                let At { now } = parsed(input)?;
                answer(plugins.collector.collect(&name, now).await)
            }
            (Kind::Detector, _) => {
                let Evaluate { config, now, from, series, state } = parsed(input)?;
                let series: Vec<SeriesData> = series.into_iter().map(|column| column.until(now)).collect();
                let first = series.iter().filter_map(|series| series.at.first()).min().copied();
                let window = Window { now, from: from.or(first).unwrap_or(now), series };
                let verdict = plugins.detector.evaluate(&name, &config, &window, state.as_deref()).await;
                with_state(verdict, |verdict| verdict.state.take())
            }
            (Kind::ScannerRule, "interests") => answer(plugins.scanner_rule.interests(&name, now).await),
            (Kind::ScannerRule, _) => {
                let Scan { subjects, now } = parsed(input)?;
                let subjects: Vec<Subject> = subjects.into_iter().map(Subject::from).collect();
                answer(plugins.scanner_rule.scan(&name, &subjects, now).await)
            }
            (Kind::Correlator, _) => {
                let Correlate { alert, open, now } = parsed(input)?;
                answer(plugins.correlator.correlate(&name, &alert.at(now), &open, now).await)
            }
            (Kind::Notifier, "notify") => {
                let Notify { message, key } = parsed(input)?;
                answer(plugins.notifier.notify(&name, &message.at(now), &key).await)
            }
            (Kind::Notifier, _) => answer(plugins.notifier.poll(&name, &parsed::<Token>(input)?.token).await),
            (Kind::DeploymentStrategy, _) => {
                let Decide { config, plan, replicas, analysis, promoted, state, now } = parsed(input)?;
                let plan = plan.unwrap_or_else(|| first_plan(now));
                let analysis = analysis.unwrap_or_else(|| no_traffic(now));
                let state = state.as_deref();
                let question = Question {
                    config: &config,
                    plan: &plan,
                    replicas: &replicas,
                    analysis: &analysis,
                    promoted,
                    state,
                    now,
                };
                with_state(plugins.deployment_strategy.decide(&name, question).await, |decision| decision.state.take())
            }
            (Kind::DeploymentTarget, "observe") => {
                answer(plugins.deployment_target.observe(&name, &parsed::<Observe>(input)?.service).await)
            }
            (Kind::DeploymentTarget, _) => {
                let Apply { service, step, key } = parsed(input)?;
                answer(plugins.deployment_target.apply(&name, &service, &step, &key).await)
            }
            (Kind::RunbookAction, "plan") => {
                answer(plugins.runbook_action.plan(&name, &parsed::<Inputs>(input)?.inputs).await)
            }
            (Kind::RunbookAction, "poll") => {
                answer(plugins.runbook_action.poll(&name, &parsed::<Token>(input)?.token).await)
            }
            (Kind::RunbookAction, "cancel") => {
                answer(plugins.runbook_action.cancel(&name, &parsed::<Token>(input)?.token).await)
            }
            (Kind::RunbookAction, _) => {
                let Inputs { inputs, key } = parsed(input)?;
                answer(plugins.runbook_action.run(&name, &inputs, &key, LONGEST_RUN).await)
            }
            (Kind::SlaCalculator, "fold") => {
                let Fold { config, window, partial } = parsed(input)?;
                let window = window.until(now);
                let partial = plugins.sla_calculator.fold(&name, &config, &window, partial.as_deref()).await;
                opaque(partial)
            }
            (Kind::SlaCalculator, "merge") => {
                let Merge { config, a, b } = parsed(input)?;
                opaque(plugins.sla_calculator.merge(&name, &config, &a, &b, now).await)
            }
            (Kind::SlaCalculator, "finish") => {
                let Finish { config, partial } = parsed(input)?;
                answer(plugins.sla_calculator.finish(&name, &config, &partial, now).await)
            }
            (Kind::SlaCalculator, _) => {
                let Fold { config, window, partial } = parsed(input)?;
                let window = window.until(now);
                match plugins.sla_calculator.fold(&name, &config, &window, partial.as_deref()).await {
                    Ok(folded) => answer(plugins.sla_calculator.finish(&name, &config, &folded.value, now).await),
                    Err(failed) => Err(failed.error),
                }
            }
        })
    }
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn now() -> Timestamp {
    Timestamp::from_millis(now_millis())
}

fn parsed<T: DeserializeOwned>(input: Value) -> Result<T> {
    let shown = input.to_string();
    serde_json::from_value(input).map_err(|error| {
        let shown: String = shown.chars().take(200).collect();
        anyhow!("the input does not fit the function: {}; hint: it was {shown}", brief(&error.to_string()))
    })
}

fn answer<T: serde::Serialize>(called: CallResult<T>) -> Result<Answer, CallError> {
    let called = called.map_err(|failed| failed.error)?;
    finished(&called.value, &called.events, called.writes.iter().map(|write| &write.id))
}

fn finished<'a, T: serde::Serialize>(
    value: &T,
    events: &[Event],
    keys: impl Iterator<Item = &'a String>,
) -> Result<Answer, CallError> {
    let output = serde_json::to_value(value)
        .map_err(|error| CallError::Other { message: format!("the answer can't be written as JSON: {error}") })?;
    Ok(Answer { output, events: events.to_vec(), keys: keys.cloned().collect() })
}

fn with_state<T: serde::Serialize>(
    called: CallResult<T>,
    state: impl FnOnce(&mut T) -> Option<Vec<u8>>,
) -> Result<Answer, CallError> {
    let mut called = called.map_err(|failed| failed.error)?;
    let state = state(&mut called.value).map(|state| STANDARD.encode(state));
    let mut answer = answer(Ok(called))?;
    if let Value::Object(fields) = &mut answer.output {
        fields.insert("state".to_owned(), json!(state));
    }
    Ok(answer)
}

fn opaque(called: CallResult<Vec<u8>>) -> Result<Answer, CallError> {
    let called = called.map_err(|failed| failed.error)?;
    let partial = json!({"partial": STANDARD.encode(&called.value)});
    finished(&partial, &called.events, called.writes.iter().map(|write| &write.id))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|error| serde::de::Error::custom(format!("not base64: {error}")))
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let decoded = text.map(|text| STANDARD.decode(text)).transpose();
    decoded.map_err(|error| serde::de::Error::custom(format!("not base64: {error}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    #[serde(default = "now")]
    now: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluate {
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default = "now")]
    now: Timestamp,
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    series: Vec<Column>,
    #[serde(default, deserialize_with = "some_bytes")]
    state: Option<Vec<u8>>,
}

/// Samples of one series, with times or without.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    at: Vec<Timestamp>,
    values: Vec<f64>,
}

/// Between samples that come without times.
const STEP: Span = Span::from_secs(15);

impl Column {
    fn until(self, now: Timestamp) -> SeriesData {
        let at = times(self.at, self.values.len(), now);
        SeriesData { name: self.name, labels: self.labels, at, values: self.values }
    }
}

fn times(given: Vec<Timestamp>, count: usize, now: Timestamp) -> Vec<Timestamp> {
    if !given.is_empty() {
        return given;
    }
    let back = |steps: usize| Span::from_millis(STEP.as_millis().saturating_mul(u64::try_from(steps).unwrap_or(0)));
    (0..count).rev().map(|steps| now.minus(back(steps))).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    subjects: Vec<Seen>,
    #[serde(default = "now")]
    now: Timestamp,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Seen {
    File {
        path: String,
        content: String,
    },
    Response {
        url: String,
        #[serde(default = "found")]
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
        #[serde(default)]
        body: String,
    },
}

const fn found() -> u16 {
    200
}

impl From<Seen> for Subject {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::File { path, content } => Subject::File { path, content: content.into_bytes() },
            Seen::Response { url, status, headers, body } => {
                Subject::HttpResponse { url, status, headers, body: body.into_bytes() }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correlate {
    alert: Alert,
    #[serde(default)]
    open: Vec<OpenIncident>,
    #[serde(default = "now")]
    now: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    #[serde(default)]
    fingerprint: String,
    name: String,
    severity: Severity,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    summary: String,
    active_at: Option<Timestamp>,
}

impl Alert {
    fn at(self, now: Timestamp) -> AlertSummary {
        AlertSummary {
            fingerprint: self.fingerprint,
            name: self.name,
            severity: self.severity,
            labels: self.labels,
            summary: self.summary,
            active_at: self.active_at.unwrap_or(now),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notify {
    #[serde(default)]
    message: Told,
    #[serde(default = "key")]
    key: String,
}

fn key() -> String {
    "workbench".to_owned()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Told {
    event_type: String,
    subject: String,
    title: String,
    body: String,
    severity: Option<Severity>,
    labels: Labels,
    at: Option<Timestamp>,
    url: String,
    data: Value,
}

impl Told {
    fn at(self, now: Timestamp) -> Message {
        Message {
            event_type: self.event_type,
            subject: self.subject,
            title: self.title,
            body: self.body,
            severity: self.severity.unwrap_or(Severity::Info),
            labels: self.labels,
            at: self.at.unwrap_or(now),
            url: self.url,
            data: self.data,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    plan: Option<Plan>,
    #[serde(default)]
    replicas: Vec<Replica>,
    #[serde(default)]
    analysis: Option<Analysis>,
    #[serde(default)]
    promoted: bool,
    #[serde(default, deserialize_with = "some_bytes")]
    state: Option<Vec<u8>>,
    #[serde(default = "now")]
    now: Timestamp,
}

fn first_plan(now: Timestamp) -> Plan {
    let (service, candidate) = ("service".to_owned(), "r1".to_owned());
    Plan { service, stable: String::new(), candidate, replicas: 1, started_at: now }
}

const fn no_traffic(now: Timestamp) -> Analysis {
    Analysis { since: now, responses: 0, failures: 0, stable_responses: 0, stable_failures: 0 }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Observe {
    #[serde(default = "service")]
    service: String,
}

fn service() -> String {
    "service".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    #[serde(default = "service")]
    service: String,
    step: Step,
    #[serde(default = "key")]
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    #[serde(default = "nothing")]
    inputs: Value,
    #[serde(default = "key")]
    key: String,
}

fn nothing() -> Value {
    json!({})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fold {
    #[serde(default)]
    config: Map<String, Value>,
    window: Part,
    #[serde(default, deserialize_with = "some_bytes")]
    partial: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    #[serde(default)]
    at: Vec<Timestamp>,
    values: Vec<f64>,
    #[serde(default)]
    exclusions: Vec<(Timestamp, Timestamp)>,
}

impl Part {
    fn until(self, now: Timestamp) -> SlaWindow {
        let to = self.to.unwrap_or(now);
        let at = times(self.at, self.values.len(), to);
        let from = self.from.or_else(|| at.first().copied()).unwrap_or(to);
        SlaWindow { from, to, at, values: self.values, exclusions: self.exclusions }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(deserialize_with = "bytes")]
    a: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    b: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(deserialize_with = "bytes")]
    partial: Vec<u8>,
}
