//! Service level objectives.

mod figures;

pub use figures::Figures;

use crate::kind::sla_calculator::Attainment;
use crate::label::Labels;
use crate::plugin::{InstanceName, PluginRef};
use crate::series::Selector;
use crate::severity::Severity;
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SloSpec {
    #[serde(default)]
    pub description: String,
    /// Instance of an SLA calculator.
    pub calculator: InstanceName,
    /// The series that it is calculated from; several are taken together.
    pub select: Selector,
    /// Rolling window.
    #[serde(default = "thirty_days")]
    pub window: Span,
    /// Laid over the calculator instance's configuration: the target, and what counts as good.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Times that do not count.
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
    /// A breach is told when the window holds so many samples, or has been looked at for its whole length: one bad sample of three says
    /// little. Counted as the calculator counts (`total`).
    #[serde(default = "twenty")]
    pub minimum_samples: u64,
    /// Of what is told when it is missed.
    #[serde(default = "high")]
    pub severity: Severity,
    /// Of what is told when it is missed, beside `alertname` and `slo`: for routes and for what incidents have in common.
    #[serde(default)]
    pub labels: Labels,
}

const fn twenty() -> u64 {
    20
}

/// One that is missed is for today, not for tonight.
const fn high() -> Severity {
    Severity::High
}

const fn thirty_days() -> Span {
    Span::from_secs(30 * 86_400)
}

/// Taken from numerator and denominator; the raw figure is shown beside the adjusted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    pub from: Timestamp,
    pub to: Timestamp,
    pub author: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SloState {
    Met,
    Breached,
    /// No samples in the window: never "met".
    NoData,
}

/// Id: the objective's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloStatus {
    pub name: String,
    pub spec: SloSpec,
    pub state: SloState,
    pub attainment: Attainment,
    pub from: Timestamp,
    pub to: Timestamp,
    /// The figures reach back to here, and not to `from`: what came before was calculated in another way (another configuration, or by
    /// another version of the calculator whose figures this one does not take), and its samples are not kept any more. `null`: they are of the whole window.
    #[serde(default)]
    pub complete_since: Option<Timestamp>,
    /// It was told as breached, and not as recovered since.
    #[serde(default)]
    pub at_risk: bool,
    /// `complete_since` as it was when the objective was last found to be breached. While the figures reach back less far than they did
    /// then, what was bad may only be out of sight: no recovery is told.
    #[serde(default)]
    pub breach_complete_since: Option<Timestamp>,
    /// Since when there is data. `null`: there is none.
    #[serde(default)]
    pub observed_since: Option<Timestamp>,
    pub calculated_at: Timestamp,
    pub plugin: Option<PluginRef>,
    pub error: Option<String>,
}

impl SloStatus {
    /// Of what is told about it.
    pub fn labels(&self) -> Labels {
        let mut labels = self.spec.labels.clone();
        labels.insert("alertname", "slo");
        labels.insert("slo", &self.name);
        labels
    }

    pub const COLLECTION: &'static str = "slos";
    pub const BREACHED: &'static str = "slo.breached";
    pub const RECOVERED: &'static str = "slo.recovered";
}
