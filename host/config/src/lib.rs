//! From files, variables and flags to one validated [`Settings`].
//!
//! Layers, each laid over the one before: built-in defaults and objects < `quarterdeck.toml` with the folders of objects beside
//! it < `environments/<name>.toml` < `QUARTERDECK_*` variables < flags. Maps merge by key; scalars and lists replace. Every
//! value knows where it came from, so that everything that is wrong can be reported at once, with file, line, column, key path
//! and what was expected.
//!
//! Not here: watching files, applying what was loaded, keeping its history, and whether an instance's `config` suits its plugin
//! (only the plugin knows).
//!
//! Layout
//! - `settings`: the types; their JSON Schema is what files are checked against
//! - `read`: TOML and YAML into a tree of values with places (`tree`)
//! - `layers`: which files there are, and what is laid over what
//! - `variables`: `QUARTERDECK_STORAGE__KEEP_EVENTS=3d` and flags as a layer
//! - `shape`: the tree against the schema; `meaning`: what a schema can't say (names that must exist)
//! - `resolve`: `{{host.url}}` and its like
//!
//! ```
//! let loaded = quarterdeck_config::load(quarterdeck_config::Source::default()).expect("the built-in configuration is valid");
//! assert_eq!(loaded.settings.listen.port(), 7700);
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod layers;
mod meaning;
mod place;
mod problem;
mod read;
mod resolve;
mod schema;
mod settings;
mod shape;
mod tree;
mod variables;

pub use layers::{Flag, Loaded, Source, load};
pub use place::Place;
pub use problem::{Problem, Problems};
pub use schema::json_schema;
pub use settings::{
    ApiSettings, EventSettings, LogFormat, LogSettings, RuntimeSettings, SecretSource, Settings, StorageSettings,
};
pub use tree::Places;

/// The annotated `quarterdeck.toml`, with every setting at its default: what `quarterdeck init` writes.
pub fn default_text() -> &'static str {
    include_str!("../../../config/quarterdeck.toml")
}
