//! What the author of a Quarterdeck plugin depends on, alone: a trait per kind, plain types, and the host's imports as safe
//! functions. Not here: anything of the host, and anything that an author would have to know about WIT or `wit-bindgen`.
//!
//! A plugin is a type that implements [`Plugin`] and one or more kinds, and [`export!`], built as a `cdylib` for
//! `wasm32-wasip2`. This is a whole one:
//!
//! ```
//! use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
//! use quarterdeck_sdk::{Failure, Plugin};
//!
//! quarterdeck_sdk::config! {
//!     /// Doc comments are the descriptions in the configuration's schema.
//!     pub struct Config {
//!         /// How far it swings.
//!         #[serde(default)]
//!         pub amplitude: f64,
//!     }
//! }
//!
//! struct Wave;
//!
//! impl Plugin for Wave {
//!     type Config = Config;
//!     const NAME: &'static str = "wave";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &'static str = "A figure that swings";
//! }
//!
//! impl Collector for Wave {
//!     fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
//!         let height = config.amplitude * (now_ms as f64 / 60_000.0).sin();
//!         Ok(Collection::new(Health::ok("swings")).with(Family::gauge("wave_height_metres", "Height").value(height)))
//!     }
//! }
//!
//! quarterdeck_sdk::export!(Wave: collector);
//!
//! // In a native test, the logic is called as it is.
//! let collection = Wave::collect(&Config { amplitude: 2.0 }, 0).unwrap();
//! assert_eq!(collection.families[0].values, [0.0]);
//! ```
//!
//! | Module | Holds |
//! |---|---|
//! | [`collector`] ... [`sla_calculator`] | a kind: its trait and its types |
//! | [`host`] | what the host does for a plugin: key-value space, programs, sockets, ... |
//! | [`http`] | a synchronous HTTP client |
//! | [`condition`] | conditions on a figure, as people write them |
//! | [`statistics`] | robust statistics and trends, for detectors |
//! | [`testing`] | a fake host for native tests, and the built component in the real one |
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

// What the macros write names this crate as its users do.
extern crate self as quarterdeck_sdk;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::allow_attributes, reason = "generated code")]
pub mod bindings;
pub mod collector;
pub mod condition;
pub mod correlator;
pub mod deployment_strategy;
pub mod deployment_target;
pub mod detector;
mod failure;
pub mod host;
pub mod http;
pub mod json;
mod label;
#[cfg(target_family = "wasm")]
mod mirror;
pub mod notifier;
mod plugin;
pub mod runbook_action;
pub mod scanner_rule;
pub mod schema;
mod severity;
pub mod sla_calculator;
pub mod statistics;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use failure::{Failure, Outcome};
pub use label::Labels;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use plugin::Component;
pub use plugin::{Capability, Plugin, Problem, config_schema};
pub use quarterdeck_sdk_macros::Schema;
pub use severity::Severity;
pub use {serde, serde_json};

/// Declares types of a configuration or of inputs: structs, and enums without fields. They deserialise with keys in
/// kebab-case, refuse keys that they don't know, and have a JSON Schema; serde's attributes can be used, as far as [`Schema`](macro@Schema) names them.
///
/// ```
/// quarterdeck_sdk::config! {
///     /// Where to.
///     pub struct Config {
///         /// An http or https URL.
///         pub url: String,
///         /// Unless given, 5000.
///         #[serde(default = "five_seconds")]
///         pub timeout_ms: u64,
///     }
/// }
///
/// fn five_seconds() -> u64 {
///     5000
/// }
///
/// let config: Config = quarterdeck_sdk::json::from_str(r#"{"url": "http://a", "timeout-ms": 10}"#).unwrap();
/// assert_eq!(config.timeout_ms, 10);
/// ```
#[macro_export]
macro_rules! config {
    ($($item:item)+) => {$(
        #[derive(Clone, Debug, PartialEq, $crate::serde::Deserialize, $crate::Schema)]
        #[serde(crate = "quarterdeck_sdk::serde", deny_unknown_fields, rename_all = "kebab-case")]
        $item
    )+};
}

/// Makes a component of a type that implements [`Plugin`] and the kinds that are named: `collector`, `detector`,
/// `scanner_rule`, `correlator`, `notifier`, `deployment_strategy`, `deployment_target`, `runbook_action`,
/// `sla_calculator`. Once per component; one component may export several kinds.
///
/// ```
/// # struct Slack;
/// quarterdeck_sdk::export!(Slack: notifier, runbook_action);
/// ```
///
/// Does nothing in a native build, so that a plugin's logic can be tested there.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($kind:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::Component<$plugin>;
            $crate::bindings::plugin::export!(Exported with_types_in $crate::bindings::plugin);
            $($crate::bindings::$kind::export!(Exported with_types_in $crate::bindings::$kind);)+
        };
    };
}
