//! Runbooks and their runs.

use crate::id::{EffectId, RunId};
use crate::plugin::{InstanceName, PluginRef};
use crate::time::{Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunbookSpec {
    /// For people: `System health check`.
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// Values that a run may be started with, and their defaults. `{ required = true }` (or `null`): must be given.
    #[serde(default, deserialize_with = "inputs")]
    pub inputs: BTreeMap<String, Value>,
    pub steps: Vec<StepSpec>,
    /// The whole run ends here.
    #[serde(default = "one_hour")]
    pub timeout: Span,
    /// Started by itself for each event that one of these wants; once, however many of them do.
    #[serde(default)]
    pub on: Vec<Trigger>,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

/// What starts a runbook by itself: `"alert.firing"`, or a table with conditions and inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Trigger {
    /// Type of the event, as in an event filter: `alert.firing`, `incident.`, `alert`.
    Plain(String),
    Chosen(TriggerSpec),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TriggerSpec {
    /// Type of the event, as in an event filter: `incident.opened`.
    pub event: String,
    /// Paths into the event's data (`labels.instance`, `members.0.name`) and the values that have to be there, or a list of them; what is
    /// missing equals an empty text.
    #[serde(default, rename = "where")]
    pub conditions: BTreeMap<String, Value>,
    /// Inputs of the run. `{{data.<path>}}` and `{{event.id}}`, `.type`, `.subject`, `.time` and `.principal` are filled in.
    #[serde(default)]
    pub inputs: Map<String, Value>,
}

impl Trigger {
    pub fn event(&self) -> &str {
        match self {
            Trigger::Plain(event) | Trigger::Chosen(TriggerSpec { event, .. }) => event,
        }
    }
}

/// One of two shapes, so that a mistake can say which there are.
impl JsonSchema for Trigger {
    fn schema_name() -> Cow<'static, str> {
        "Trigger".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let chosen = TriggerSpec::json_schema(generator);
        json_schema!({
            "description": "What starts a runbook by itself: a type of event, or a table with conditions and inputs.",
            "oneOf": [{"type": "string"}, chosen],
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepSpec {
    /// Unique within the runbook.
    pub name: String,
    /// Instance of a runbook action.
    pub action: InstanceName,
    /// `{{inputs.<name>}}` and `{{steps.<name>.<output>}}` are filled in, in any string.
    #[serde(default)]
    pub with: Map<String, Value>,
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Attempts in all. A failure is tried again where the action is sure of it: a program that ended with another exit code, an
    /// answer that is not the one expected, a connection that could not be made. An attempt that may have done its work though it
    /// failed (ended by its time-out or a signal, a request without an answer, a crash) is tried again only if the step is
    /// `idempotent`; else the step ends as `unknown`, and `on-failure` holds.
    #[serde(default = "one")]
    pub attempts: u32,
    /// One attempt. Its call may take so long, up to 10 minutes; what goes on for longer answers that it is pending, or runs on an
    /// instance whose `limits.deadline` says so.
    #[serde(default = "one_minute")]
    pub timeout: Span,
    /// Doing it twice does no harm: up to `attempts`, it is tried again as well where nobody knows whether it was done, and after a
    /// crash, instead of ending as `unknown`.
    #[serde(default)]
    pub idempotent: bool,
}

/// What must be given is `null` from here on; TOML has no word for that.
fn inputs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let mut inputs = BTreeMap::<String, Value>::deserialize(deserializer)?;
    inputs.values_mut().filter(|value| is_required(value)).for_each(|value| *value = Value::Null);
    Ok(inputs)
}

/// `{ required = true }`, and nothing beside it.
pub fn is_required(input: &Value) -> bool {
    input.as_object().is_some_and(|input| input.len() == 1 && input.get("required") == Some(&Value::Bool(true)))
}

const fn one_hour() -> Span {
    Span::from_secs(3600)
}

const fn one_minute() -> Span {
    Span::from_secs(60)
}

const fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run fails; steps behind it are left out.
    #[default]
    Abort,
    /// The next step is taken; the run ends as failed.
    Continue,
    /// Go on at the named step.
    Goto(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    /// A dry run: `steps[].outputs.plan` say what would be done.
    Planned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    Waiting,
    Running,
    Succeeded,
    Failed,
    /// Interrupted, and it is not known whether it was done. Counts as failed.
    Unknown,
    Skipped,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    pub name: String,
    pub action: InstanceName,
    pub state: StepState,
    pub effect: Option<EffectId>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub attempts: u32,
    /// How often a `goto` has led back to it. The attempts of one visit have one key.
    #[serde(default)]
    pub returns: u32,
    pub inputs: Value,
    pub outputs: Value,
    pub error: Option<String>,
    pub plugin: Option<PluginRef>,
}

/// A run keeps the runbook that it was started with: a change of the file does not reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    pub id: RunId,
    /// Slug.
    pub runbook: String,
    pub spec: RunbookSpec,
    pub state: RunState,
    pub dry_run: bool,
    pub inputs: BTreeMap<String, Value>,
    pub principal: String,
    /// What it was started for: an incident's, alert's or run's id.
    pub cause: Option<String>,
    /// Slugs of the runbooks whose runs led to this one, the first one in front: each started the next by its events.
    #[serde(default)]
    pub ancestors: Vec<String>,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub deadline: Timestamp,
    pub steps: Vec<StepRecord>,
    pub error: Option<String>,
}

impl Run {
    pub const COLLECTION: &'static str = "runs";
    pub const STARTED: &'static str = "run.started";
    pub const STEP: &'static str = "run.step";
    pub const FINISHED: &'static str = "run.finished";
    /// An event would have started it, but runs that start each other have to end. Its subject is the runbook.
    pub const REFUSED: &'static str = "run.refused";
}
