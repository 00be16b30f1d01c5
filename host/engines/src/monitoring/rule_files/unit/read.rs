//! The file of a unit test.

use globset::GlobBuilder;
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Span, brief};
use quarterdeck_promql::notation::parse_number;
use quarterdeck_promql::parse_duration;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Paths and patterns, from the folder of the file on.
    #[serde(default, deserialize_with = "nothing")]
    pub rule_files: Vec<String>,
    #[serde(default = "minute", deserialize_with = "span")]
    pub evaluation_interval: Span,
    #[serde(default, rename = "group_eval_order", deserialize_with = "nothing")]
    pub group_order: Vec<String>,
    #[serde(default, rename = "fuzzy_compare", deserialize_with = "truth")]
    pub fuzzy: bool,
    #[serde(default, deserialize_with = "nothing")]
    pub(super) tests: Vec<Test>,
}

impl TestFile {
    /// How many expectations it holds.
    pub fn count(&self) -> usize {
        self.tests.iter().map(|test| test.alerts.len() + test.queries.len()).sum()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default = "minute", deserialize_with = "span")]
    pub(super) interval: Span,
    #[serde(default, rename = "input_series", deserialize_with = "series")]
    pub(super) series: Vec<(String, String)>,
    #[serde(default, rename = "alert_rule_test", deserialize_with = "nothing")]
    pub(super) alerts: Vec<AlertCase>,
    #[serde(default, rename = "promql_expr_test", deserialize_with = "nothing")]
    pub(super) queries: Vec<QueryCase>,
    #[serde(default, deserialize_with = "nothing")]
    pub(super) external_labels: Labels,
    #[serde(default, deserialize_with = "nothing")]
    pub(super) external_url: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertCase {
    #[serde(rename = "eval_time", default, deserialize_with = "span")]
    pub(super) at: Span,
    #[serde(rename = "alertname")]
    pub(super) alert: String,
    #[serde(rename = "exp_alerts", default, deserialize_with = "alerts")]
    pub(super) expected: Vec<(Labels, Labels)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryCase {
    #[serde(rename = "expr")]
    pub(super) query: String,
    #[serde(rename = "eval_time", default, deserialize_with = "span")]
    pub(super) at: Span,
    #[serde(rename = "exp_samples", default, deserialize_with = "samples")]
    pub(super) expected: Vec<(String, f64)>,
}

/// Reads the text of a file of unit tests.
///
/// # Errors
/// What is wrong with it, with the place where that is known.
pub fn read(path: &Path, text: &str) -> Result<TestFile, String> {
    let value = quarterdeck_config::parse_texts(path, text).map_err(|problems| problems.to_string())?;
    if !value.is_object() {
        return Err(format!(
            "{}: it holds no unit tests; hint: there are `rule_files` and `tests` in one",
            path.display()
        ));
    }
    let wrong = |error: serde_json::Error| format!("{}: {}", path.display(), brief(&error.to_string()));
    let mut file: TestFile = serde_json::from_value(value).map_err(wrong)?;
    if file.evaluation_interval == Span::ZERO {
        file.evaluation_interval = minute();
    }
    for test in file.tests.iter_mut().filter(|test| test.interval == Span::ZERO) {
        test.interval = file.evaluation_interval;
    }
    Ok(file)
}

/// The files that a pattern names, sorted. A path without `*`, `?` or brackets is itself. Blocks on the disk.
///
/// # Errors
/// The folder can't be read, or the pattern is none.
pub fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let whole = folder.join(pattern);
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![whole]);
    }
    let text = whole.to_string_lossy();
    let glob = GlobBuilder::new(&text).literal_separator(true).build().map_err(|error| error.to_string())?;
    let matcher = glob.compile_matcher();
    // As Go's `filepath.Glob`: the pattern has as many folders as the files that it names.
    let mut level = vec![PathBuf::new()];
    for part in whole.components() {
        let name = part.as_os_str();
        if !name.to_string_lossy().contains(['*', '?', '[']) {
            level.iter_mut().for_each(|path| path.push(name));
            continue;
        }
        let listed = level.iter().flat_map(|path| {
            let here = if path.as_os_str().is_empty() { Path::new(".") } else { path.as_path() };
            let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
            entries.map(|entry| path.join(entry.file_name())).collect::<Vec<_>>()
        });
        level = listed.collect();
    }
    level.retain(|path| matcher.is_match(path));
    level.sort();
    Ok(level)
}

const fn minute() -> Span {
    Span::from_secs(60)
}

/// What is written without a value is as if it were not written.
fn nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(Span::ZERO) };
    let millis = parse_duration(&text).and_then(|millis| u64::try_from(millis).ok());
    millis.map(Span::from_millis).ok_or_else(|| Error::custom(format!("not a valid duration string: {text:?}")))
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("false" | "False" | "FALSE") => Ok(false),
        Some("true" | "True" | "TRUE") => Ok(true),
        Some(other) => Err(Error::custom(format!("expected true or false, found {other:?}"))),
    }
}

fn series<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        series: String,
        #[serde(default, deserialize_with = "nothing")]
        values: String,
    }
    let inputs: Vec<Input> = nothing(deserializer)?;
    Ok(inputs.into_iter().map(|input| (input.series, input.values)).collect())
}

fn alerts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Labels, Labels)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        #[serde(default, deserialize_with = "labels")]
        exp_labels: Labels,
        #[serde(default, deserialize_with = "labels")]
        exp_annotations: Labels,
    }
    let expected: Vec<Expected> = nothing(deserializer)?;
    Ok(expected.into_iter().map(|one| (one.exp_labels, one.exp_annotations)).collect())
}

/// A label without a value is empty.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let pairs: std::collections::BTreeMap<String, Option<String>> = nothing(deserializer)?;
    Ok(pairs.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

fn samples<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, f64)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        #[serde(default, deserialize_with = "nothing")]
        labels: String,
        #[serde(default)]
        value: Option<String>,
        #[serde(default)]
        histogram: Option<String>,
    }
    let number = |text: Option<String>| match text {
        None => Ok(0.0),
        Some(text) => yaml_number(&text).ok_or_else(|| Error::custom(format!("expected a number, found {text:?}"))),
    };
    let expected: Vec<Expected> = nothing(deserializer)?;
    let sample = |one: Expected| match one.histogram {
        Some(_) => Err(Error::custom("native histograms are not supported")),
        None => Ok((if one.labels.trim().is_empty() { "{}".to_owned() } else { one.labels }, number(one.value)?)),
    };
    expected.into_iter().map(sample).collect()
}

/// YAML writes what is no usual number with a point in front.
fn yaml_number(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    match plain.to_ascii_lowercase().as_str() {
        ".nan" => Some(f64::NAN),
        ".inf" | "+.inf" => Some(f64::INFINITY),
        "-.inf" => Some(f64::NEG_INFINITY),
        _ => parse_number(&plain),
    }
}
