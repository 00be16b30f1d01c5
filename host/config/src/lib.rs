//! From files, variables and flags to one validated [`Settings`].
//!
//! Layers, each laid over the one before: built-in defaults and objects < `quarterdeck.toml` with the folders of objects beside
//! it < `environments/<name>.toml` < objects that were set over the API < `QUARTERDECK_*` variables < flags. Maps merge by key;
//! scalars and lists replace; an object of the API replaces the whole object of its name. Every value knows where it came from, so that everything that is wrong can be reported at once, with file, line, column, key path
//! and what was expected.
//!
//! Not here: watching files, applying what was loaded, keeping its history, and whether an instance's `config` suits its plugin
//! (only the plugin knows).
//!
//! Layout
//! - `settings`: the types; their JSON Schema is what files are checked against
//! - `read`: TOML and YAML into a tree of values with places (`tree`)
//! - `layers`: which files there are, and what is laid over what; `rule_file`: Prometheus's rule files; `scrape_file`: its scrape
//!   configurations; `alertmanager_file`: Alertmanager's configuration
//! - `variables`: `QUARTERDECK_STORAGE__KEEP_EVENTS=3d` and flags as a layer
//! - `shape`: the tree against the schema; `meaning`: what a schema can't say (names that must exist)
//! - `doubts`: what may be written, and can never work
//! - `resolve`: `{{host.url}}` and its like
//! - `compare`: what is different between two versions; `export`: the effective configuration as files again; `parts`: its text in
//!   parts that versions share
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

mod alertmanager_file;
mod compare;
mod doubts;
mod export;
mod layers;
mod meaning;
pub mod parts;
mod place;
mod problem;
mod read;
mod resolve;
mod rule_file;
mod schema;
mod scrape_file;
mod settings;
mod shape;
mod tree;
mod variables;

pub use compare::{Change, Difference, compare};
pub use export::{File, export, object_text};
pub use layers::{Base, Flag, Loaded, Look, Source, Word, load};
pub use place::{Place, key_path, push};
pub use problem::{Problem, Problems};
pub use quarterdeck_model::nearest;
pub use rule_file::{RuleFile, rule_file, rule_file_in_part};
pub use schema::json_schema;
pub use settings::{
    ApiSettings, EventSettings, LogFormat, LogSettings, RuntimeSettings, SecretSource, Settings, StorageSettings,
};
pub use tree::Places;

use serde_json::Value;
use std::path::Path;

/// Sections that hold objects by name: what the API can set.
pub fn sections() -> impl Iterator<Item = &'static str> {
    meaning::object_sections().into_iter()
}

/// A text as a file of that name would be read: TOML, or YAML (which JSON is) where the name ends so.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn parse(path: &Path, text: &str) -> Result<Value, Problems> {
    let mut problems = Vec::new();
    let node = read::text_as(&path.into(), text, &mut problems);
    match node {
        Some(node) if problems.is_empty() => Ok(node.to_value()),
        _ => Err(Problems(problems)),
    }
}

/// The same, and where in the text its values stand.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn parse_in_place(path: &Path, text: &str) -> Result<(Value, Places), Problems> {
    let mut problems = Vec::new();
    let node = read::text_as(&path.into(), text, &mut problems);
    match node {
        Some(node) if problems.is_empty() => Ok((node.to_value(), Places(node))),
        _ => Err(Problems(problems)),
    }
}

/// A YAML text with every single value as the text that it is written as: `1.0` is not `1`.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn parse_texts(path: &Path, text: &str) -> Result<Value, Problems> {
    let mut problems = Vec::new();
    match read::texts(&path.into(), text, &mut problems) {
        Some(node) if problems.is_empty() => Ok(node.to_value()),
        _ => Err(Problems(problems)),
    }
}

/// The annotated `quarterdeck.toml`, with every setting at its default.
pub fn default_text() -> &'static str {
    include_str!("../../../config/quarterdeck.toml")
}

/// What `quarterdeck init` writes: the annotated file, and the overlays that it speaks of, in comments. Path and text of each.
pub fn default_files() -> [(&'static str, String); 3] {
    [
        ("quarterdeck.toml", default_text().to_owned()),
        ("environments/development.toml", commented(include_str!("../../../config/environments/development.toml"))),
        ("environments/production.toml", commented(include_str!("../../../config/environments/production.toml"))),
    ]
}

fn commented(text: &str) -> String {
    let comment =
        |line: &str| if line.is_empty() || line.starts_with('#') { format!("{line}\n") } else { format!("#{line}\n") };
    text.lines().map(comment).collect()
}
