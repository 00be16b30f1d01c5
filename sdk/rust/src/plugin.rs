//! What a component says about itself.

use crate::schema::Schema;
use serde::de::DeserializeOwned;

/// What every plugin implements beside its kinds.
///
/// No method takes `self`: a sandbox lives for one call, so there is nothing to keep. What has to be remembered is handed
/// back by the host (`state`, `partial`) or stands in [`host::kv`](crate::host::kv).
pub trait Plugin: 'static {
    /// The instance's configuration. Its JSON Schema is what the host checks it against before the plugin sees it; give it
    /// `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error.
    type Config: DeserializeOwned + Schema;

    /// Kebab-case, `http-probe`.
    const NAME: &'static str;
    /// Semantic version, as a rule `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One line for a list.
    const SUMMARY: &'static str;

    /// The capabilities that instances ask for. Nothing is given that was not granted.
    fn capabilities() -> Vec<Capability> {
        Vec::new()
    }

    /// What a schema cannot say. The configuration has passed the schema already.
    fn validate(_config: &Self::Config) -> Vec<Problem> {
        Vec::new()
    }
}

/// A capability that instances of a plugin ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// `http`, `kv`, `metrics`, `events`, `system`, `exec`, `tcp`, `process`, `secret`, `reveal`, `files`, `append`.
    pub name: &'static str,
    /// What it is needed for, in words for the operator who grants it.
    pub reason: &'static str,
    /// The plugin works without it, with less to offer.
    pub optional: bool,
}

impl Capability {
    /// The plugin can't work without it.
    pub const fn required(name: &'static str, reason: &'static str) -> Self {
        Capability { name, reason, optional: false }
    }

    /// The plugin works without it, with less to offer.
    pub const fn optional(name: &'static str, reason: &'static str) -> Self {
        Capability { name, reason, optional: true }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer to the place, "" for the whole.
    pub pointer: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Problem {
    /// At a JSON Pointer, "" for the whole.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { pointer: pointer.into(), message: message.into() }
    }
}

/// The JSON Schema (2020-12) of a plugin's configuration.
pub fn config_schema<P: Plugin>() -> String {
    crate::schema::document::<P::Config>()
}

/// What [`export!`](crate::export) puts behind a component's exports.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub struct Component<P>(std::marker::PhantomData<P>);

#[cfg(target_family = "wasm")]
pub(crate) fn config<P: Plugin>(
    text: &str,
) -> Result<P::Config, crate::bindings::imports::quarterdeck::types::types::Failure> {
    crate::json::from_str(text).map_err(|error| {
        crate::bindings::imports::quarterdeck::types::types::Failure::Rejected(format!(
            "the configuration does not fit: {error}"
        ))
    })
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Component, Plugin, config_schema};
    use crate::bindings::plugin::exports::quarterdeck::plugin::plugin as wit;

    impl<P: Plugin> wit::Guest for Component<P> {
        fn describe() -> wit::Manifest {
            wit::Manifest {
                name: P::NAME.to_owned(),
                version: P::VERSION.to_owned(),
                summary: P::SUMMARY.to_owned(),
                config_schema: config_schema::<P>(),
                capabilities: P::capabilities()
                    .into_iter()
                    .map(|capability| wit::Capability {
                        name: capability.name.to_owned(),
                        reason: capability.reason.to_owned(),
                        optional: capability.optional,
                    })
                    .collect(),
            }
        }

        fn validate_configuration(config: String) -> Result<(), Vec<wit::Problem>> {
            let problem = |pointer, message| wit::Problem { pointer, message };
            let config: P::Config =
                crate::json::from_str(&config).map_err(|error| vec![problem(String::new(), error.to_string())])?;
            let problems = P::validate(&config);
            if problems.is_empty() {
                return Ok(());
            }
            Err(problems.into_iter().map(|found| problem(found.pointer, found.message)).collect())
        }
    }
}
