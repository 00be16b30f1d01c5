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
    let shared: Arc<Path> = path.into();
    let start = Place::File { path: shared.clone(), line: 1, column: 1 };
    let text = match read(path) {
        Ok(text) => text,
        Err(message) => {
            problems.push(Problem::at(&start, "", message));
            return None;
        }
    };
    text_as(&shared, &text, problems)
}

pub(crate) fn text_as(path: &Arc<Path>, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_yaml { yaml::read(path, text, problems) } else { Some(toml::read(path, text, problems)) }
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
