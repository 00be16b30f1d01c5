//! A file as a tree of values with places.

mod toml;
mod yaml;

use crate::place::Place;
use crate::problem::Problem;
use crate::tree::Node;
use std::path::Path;
use std::sync::Arc;

pub(crate) use toml::value as toml_value;

/// Nobody writes more by hand.
const LARGEST: u64 = 8 << 20;

/// Reads TOML, or YAML if the name ends so. What could be read of a file with mistakes comes back too.
pub(crate) fn file(path: &Path, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = text(path, problems)?;
    text_as(&path.into(), &text, problems)
}

/// What a file holds.
pub(crate) fn text(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let start = Place::File { path: path.into(), line: 1, column: 1 };
    read(path).map_err(|message| problems.push(Problem::at(&start, "", message))).ok()
}

pub(crate) fn text_as(path: &Arc<Path>, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    if is_yaml(path) { yaml::read(path, text, false, problems) } else { Some(toml::read(path, text, problems)) }
}

pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Reads YAML, whatever the file is called, with every single value as the text that it is written as.
pub(crate) fn texts(path: &Arc<Path>, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    yaml::read(path, text, true, problems)
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("failed to read it: {error}"))?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes, more than the {LARGEST} that are read"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("failed to read it: {error}"))?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

/// A number for JSON: whole ones without a fraction, so that `5.0` is a whole number too. None: not finite.
fn number(value: f64) -> Option<serde_json::Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        return Some(serde_json::Number::from(value as i64));
    }
    serde_json::Number::from_f64(value)
}
