//! One version of a plugin: a component, verified, compiled, described and ready to be instantiated.

mod header;
mod load;
mod probation;
mod refusal;
mod schema;

pub(crate) use header::{Header, header};
pub(crate) use load::{BUNDLED, Loader};
pub(crate) use probation::{Probation, Verdict};
pub(crate) use refusal::{Again, Refusal};

use crate::bindings;
use crate::sandbox::Sandbox;
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::publisher::Publisher;
use quarterdeck_model::plugin::{Capability, Kind, PluginRef, PluginState, PluginStatus};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::Notify;

pub(crate) struct Version {
    pub(crate) reference: PluginRef,
    pub(crate) summary: String,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) config_schema: Value,
    pub(crate) validator: Validator,
    pub(crate) exports: Exports,
    /// How many calls one sandbox may serve, one after another: what the component asks for, 1 where it does not.
    pub(crate) calls_of_a_sandbox: u32,
    pub(crate) bytes: u64,
    pub(crate) source: String,
    /// Whose signature it carries.
    pub(crate) publisher: Option<Publisher>,
    pub(crate) loaded_at: Timestamp,
    /// Watched until it has proved itself.
    pub(crate) probation: Probation,
    in_flight: AtomicU32,
    draining: AtomicBool,
    pub(crate) drained: Notify,
}

/// What a component exports, ready to be instantiated.
pub(crate) struct Exports {
    pub(crate) plugin: bindings::plugin::PluginPre<Sandbox>,
    pub(crate) collector: Option<bindings::collector::CollectorPre<Sandbox>>,
    pub(crate) correlator: Option<bindings::correlator::CorrelatorPre<Sandbox>>,
    pub(crate) deployment_strategy: Option<bindings::deployment_strategy::DeploymentStrategyPre<Sandbox>>,
    pub(crate) deployment_target: Option<bindings::deployment_target::DeploymentTargetPre<Sandbox>>,
    pub(crate) detector: Option<DetectorExport>,
    pub(crate) notifier: Option<bindings::notifier::NotifierPre<Sandbox>>,
    pub(crate) runbook_action: Option<bindings::runbook_action::RunbookActionPre<Sandbox>>,
    pub(crate) scanner_rule: Option<bindings::scanner_rule::ScannerRulePre<Sandbox>>,
    pub(crate) sla_calculator: Option<bindings::sla_calculator::SlaCalculatorPre<Sandbox>>,
}

/// A detector of one of the versions that this host speaks.
#[derive(Clone)]
pub(crate) enum DetectorExport {
    Current(bindings::detector::DetectorPre<Sandbox>),
    Previous(crate::kinds::detector::previous::Previous),
}

/// A call in flight on a version.
pub(crate) struct Use(Arc<Version>);

impl Use {
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.draining.load(Ordering::Acquire) {
            self.0.drained.notify_one();
        }
    }
}

/// A step of a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl Version {
    pub(crate) fn enter(self: &Arc<Self>) -> Use {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Use(Arc::clone(self))
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// From now on the end of the last call is announced on `drained`. A version that comes back is not draining any more.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    pub(crate) fn is(&self, other: &Version) -> bool {
        self.reference.digest == other.reference.digest
    }

    /// What is wrong with a configuration by the plugin's schema: JSON pointer and message.
    pub(crate) fn check(&self, config: &Map<String, Value>) -> Vec<(String, String)> {
        let config = Value::Object(config.clone());
        self.validator
            .iter_errors(&config)
            .flat_map(|error| {
                let at = error.instance_path().to_string();
                match error.kind() {
                    // Each at its own place, not all of them at the table around them.
                    ValidationErrorKind::AdditionalProperties { unexpected } => {
                        let known = schema::known_keys(&self.config_schema, &at);
                        let words = |key: &String| (format!("{at}/{}", escaped(key)), schema::unknown(key, &known));
                        unexpected.iter().map(words).collect()
                    }
                    _ => vec![(at, schema::words(&error))],
                }
            })
            .collect()
    }

    pub(crate) fn status(&self, state: PluginState, reason: Option<String>) -> PluginStatus {
        PluginStatus {
            name: self.reference.name.clone(),
            version: self.reference.version.clone(),
            summary: self.summary.clone(),
            digest: self.reference.digest.clone(),
            kinds: self.kinds.clone(),
            state,
            reason,
            source: self.source.clone(),
            publisher: self.publisher.clone(),
            bytes: self.bytes,
            loaded_at: self.loaded_at,
            capabilities: self.capabilities.clone(),
            config_schema: self.config_schema.clone(),
        }
    }
}
