//! Services and deployments.

use crate::id::{DeploymentId, EffectId};
use crate::kind::deployment_strategy::{Analysis, Move};
use crate::kind::deployment_target::{Replica, Step};
use crate::plugin::{InstanceName, PluginRef};
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceSpec {
    /// Instance of a deployment target.
    pub target: InstanceName,
    /// Instance of a deployment strategy.
    pub strategy: InstanceName,
    #[serde(default = "two")]
    pub replicas: u32,
    /// Laid over the strategy instance's configuration.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// A deployment that is not done by then is rolled back.
    #[serde(default = "one_hour")]
    pub timeout: Span,
    /// How long a replica may take until it is healthy.
    #[serde(default = "one_minute")]
    pub start_timeout: Span,
}

const fn two() -> u32 {
    2
}

const fn one_hour() -> Span {
    Span::from_secs(3600)
}

const fn one_minute() -> Span {
    Span::from_secs(60)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentState {
    /// Carrying out moves.
    Progressing,
    /// Waits for a person's promotion.
    Paused,
    RollingBack,
    Succeeded,
    RolledBack,
    /// Rolling back did not work either; a person has to look.
    Failed,
}

impl DeploymentState {
    pub const fn is_final(self) -> bool {
        matches!(self, DeploymentState::Succeeded | DeploymentState::RolledBack | DeploymentState::Failed)
    }
}

/// One decision of the strategy, and how it was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveRecord {
    pub at: Timestamp,
    #[serde(rename = "decided")]
    pub decided: Move,
    pub reason: String,
    /// What the candidate did with its traffic until then.
    pub analysis: Analysis,
    pub plugin: Option<PluginRef>,
}

/// A step of the move under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepInFlight {
    pub effect: EffectId,
    pub step: Step,
    pub done: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    pub id: DeploymentId,
    pub service: String,
    pub spec: ServiceSpec,
    /// Empty: there was none, or the candidate is the stable revision itself, which is brought back.
    pub stable: String,
    pub candidate: String,
    pub state: DeploymentState,
    pub principal: String,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub deadline: Timestamp,
    /// Of the candidate, in percent.
    pub weight: u32,
    pub replicas: Vec<Replica>,
    /// Counters of the replicas at the last change of weight: what an analysis subtracts.
    pub baseline: Vec<Replica>,
    pub baseline_at: Timestamp,
    pub moves: Vec<MoveRecord>,
    pub in_flight: Vec<StepInFlight>,
    /// A person promoted it; consumed by the next decision.
    pub promoted: bool,
    /// A person wants no more steps: every decision from here on is told that it is promoted.
    #[serde(default)]
    pub in_full: bool,
    /// The candidate is what the service is said to run already: replicas of it were missing or not well. What is left of it and well
    /// stays, also if it is rolled back.
    #[serde(default)]
    pub restores: bool,
    /// Since when a replica of the candidate has not been healthy, while nothing is under way.
    #[serde(default)]
    pub unwell_since: Option<Timestamp>,
    /// The strategy's, handed back unread. In hexadecimal digits.
    #[serde(default, with = "hexadecimal")]
    #[schemars(with = "Option<String>")]
    pub strategy_state: Option<Vec<u8>>,
    /// Looked at again not before this time.
    pub next_look: Timestamp,
    /// Numbers the replicas that were started.
    pub started_replicas: u32,
    /// Observations and decisions that failed in a row.
    #[serde(default)]
    pub errors: u32,
    pub error: Option<String>,
}

/// Bytes as text. A list of numbers, as they were kept once, is read too.
mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Text(String),
        Numbers(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        let text = bytes.as_ref().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        match Option::<Kept>::deserialize(deserializer)? {
            None => Ok(None),
            Some(Kept::Numbers(bytes)) => Ok(Some(bytes)),
            Some(Kept::Text(text)) => {
                let pairs = text.as_bytes().chunks(2).map(|pair| {
                    std::str::from_utf8(pair)
                        .ok()
                        .filter(|pair| pair.len() == 2)
                        .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                });
                pairs
                    .collect::<Option<Vec<u8>>>()
                    .map(Some)
                    .ok_or_else(|| D::Error::custom("expected hexadecimal digits"))
            }
        }
    }

    #[cfg(test)]
    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    mod tests {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Held {
            #[serde(with = "super")]
            bytes: Option<Vec<u8>>,
        }

        #[test]
        fn bytes_are_kept_as_text_and_read_as_they_were_kept_before() {
            let held = |bytes| Held { bytes };
            let some = held(Some(vec![0, 171]));
            assert_eq!(serde_json::to_string(&some).unwrap(), r#"{"bytes":"00ab"}"#);
            for (text, read) in [
                (r#"{"bytes":"00ab"}"#, some),
                (r#"{"bytes":[1,2]}"#, held(Some(vec![1, 2]))),
                (r#"{"bytes":null}"#, held(None)),
            ] {
                assert_eq!(serde_json::from_str::<Held>(text).unwrap(), read);
            }
            assert!(serde_json::from_str::<Held>(r#"{"bytes":"0"}"#).is_err());
            assert!(serde_json::from_str::<Held>(r#"{"bytes":"zz"}"#).is_err());
        }
    }
}

impl Deployment {
    pub const COLLECTION: &'static str = "deployments";
    pub const STARTED: &'static str = "deployment.started";
    pub const MOVED: &'static str = "deployment.moved";
    pub const PAUSED: &'static str = "deployment.paused";
    pub const FINISHED: &'static str = "deployment.finished";
}

/// The revision that a service runs. Id: the service's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRecord {
    pub service: String,
    pub stable: String,
    pub since: Timestamp,
    /// The deployment under way; one at a time.
    pub deployment: Option<DeploymentId>,
}

impl ServiceRecord {
    pub const COLLECTION: &'static str = "services";
}
