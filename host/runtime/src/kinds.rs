//! One file per plugin kind: its port of the model, implemented by a call into a component. Types that `bindgen!` made end here.

mod ask;
mod collector;
mod convert;
mod correlator;
mod deployment_strategy;
mod deployment_target;
pub(crate) mod detector;
mod notifier;
mod runbook_action;
mod scanner_rule;
mod sla_calculator;

pub(crate) use ask::ask;

use crate::plugin::Version;
use quarterdeck_model::plugin::{CallError, Kind};
use std::sync::Arc;

/// State that a plugin hands back to itself.
const MAX_STATE_BYTES: usize = 64 << 10;

/// The export of a kind, which the version was found to have when it was loaded.
fn export<T: Clone>(
    version: &Arc<Version>,
    export: impl FnOnce(&Version) -> &Option<T>,
    kind: Kind,
) -> Result<T, CallError> {
    export(version)
        .clone()
        .ok_or_else(|| CallError::Unavailable { message: format!("`{}` is no {kind}", version.reference.name) })
}
