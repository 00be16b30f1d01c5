//! Reads the Prometheus text format 0.0.4, as freely as Prometheus itself does. Of OpenMetrics it takes `# EOF`, `# UNIT`, exemplars (which it drops) and times in
//! seconds.

use quarterdeck_sdk::Labels;
use quarterdeck_sdk::collector::{Family, MetricType};
use std::collections::BTreeMap;
use std::fmt;

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time of samples without one, milliseconds since 1970.
    pub now_ms: i64,
    /// Times are seconds.
    pub open_metrics: bool,
    /// More are an error.
    pub max_samples: usize,
    /// Whether to take times over.
    pub honor_timestamps: bool,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// One family per name of a series: the buckets of a histogram are the family `..._bucket`.
pub fn parse(page: &str, options: &Options) -> Result<Vec<Family>, Error> {
    let mut read = Page::new(options);
    for (index, line) in page.lines().enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        // To the older format it is a comment like others.
        if options.open_metrics && line == "# EOF" {
            break;
        }
        read.line(line).map_err(|message| Error { line: index + 1, message })?;
    }
    Ok(read.families)
}

struct Page<'a> {
    options: &'a Options,
    families: Vec<Family>,
    by_name: BTreeMap<String, usize>,
    types: BTreeMap<String, MetricType>,
    help: BTreeMap<String, String>,
    samples: usize,
}

impl<'a> Page<'a> {
    fn new(options: &'a Options) -> Self {
        Page {
            options,
            families: Vec::new(),
            by_name: BTreeMap::new(),
            types: BTreeMap::new(),
            help: BTreeMap::new(),
            samples: 0,
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(comment.trim_start());
        }
        self.sample(line)
    }

    /// What is neither `TYPE` nor `HELP` is for people.
    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let (keyword, rest) = word(comment);
        let (name, rest) = word(rest);
        match keyword {
            "TYPE" if !name.is_empty() => {
                let metric_type = match rest {
                    "counter" => MetricType::Counter,
                    "gauge" | "info" | "stateset" => MetricType::Gauge,
                    "histogram" | "gaugehistogram" => MetricType::Histogram,
                    "summary" => MetricType::Summary,
                    "untyped" | "unknown" => MetricType::Unknown,
                    other => return Err(format!("`{other}` is not a metric type")),
                };
                self.types.insert(name.to_owned(), metric_type);
            }
            "HELP" if !name.is_empty() => {
                self.help.insert(name.to_owned(), unescape(rest, self.options.open_metrics));
            }
            _ => {}
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        self.samples += 1;
        if self.samples > self.options.max_samples {
            return Err(format!("more than max-samples ({}) samples", self.options.max_samples));
        }
        let end = line.find(|c: char| c == '{' || c.is_ascii_whitespace()).unwrap_or(line.len());
        let (name, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        if !is_name(name, true) {
            return Err(format!("`{name}` is not a name of a metric"));
        }
        let rest = rest.trim_start();
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Labels::new(), rest),
        };
        // An exemplar stands behind a `#`.
        let figures = rest.split(" #").next().unwrap_or(rest);
        let mut words = figures.split_ascii_whitespace();
        let value = words.next().ok_or("expected a value")?;
        let value = number(value).ok_or_else(|| format!("`{value}` is not a number"))?;
        let at_ms = match words.next() {
            Some(text) => Some(self.time(text).ok_or_else(|| format!("`{text}` is not a time"))?),
            None => None,
        };
        if let Some(more) = words.next() {
            return Err(format!("expected the end of the line, found `{more}`"));
        }
        self.push(name, labels, value, at_ms.filter(|_| self.options.honor_timestamps));
        Ok(())
    }

    fn time(&self, text: &str) -> Option<i64> {
        if !self.options.open_metrics {
            return text.parse().ok();
        }
        let seconds: f64 = text.parse().ok()?;
        // A float beyond the range of an integer becomes the nearest that there is, which no page means.
        seconds.is_finite().then_some((seconds * 1000.0) as i64)
    }

    fn push(&mut self, name: &str, labels: Labels, value: f64, at_ms: Option<i64>) {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => {
                let (metric_type, help) = self.described(name);
                self.families.push(Family::new(name, metric_type, help));
                self.by_name.insert(name.to_owned(), self.families.len() - 1);
                self.families.len() - 1
            }
        };
        let Some(family) = self.families.get_mut(index) else { return };
        // The column of times is empty until a sample brings one.
        if at_ms.is_some() && family.at_ms.is_empty() {
            family.at_ms = vec![self.options.now_ms; family.values.len()];
        }
        if at_ms.is_some() || !family.at_ms.is_empty() {
            family.at_ms.push(at_ms.unwrap_or(self.options.now_ms));
        }
        family.push(labels, value);
    }

    /// Type and help stand under the metric's name, of which a series' name may have a suffix.
    fn described(&self, name: &str) -> (MetricType, String) {
        let stems = ["_bucket", "_sum", "_count", "_total", "_created", "_info"];
        let metric = std::iter::once(name)
            .chain(stems.iter().filter_map(|suffix| name.strip_suffix(suffix)))
            .find(|metric| self.types.contains_key(*metric) || self.help.contains_key(*metric))
            .unwrap_or(name);
        let metric_type = self.types.get(metric).copied().unwrap_or(MetricType::Unknown);
        (metric_type, self.help.get(metric).cloned().unwrap_or_default())
    }
}

/// What stands behind the brace, and what is left behind the closing one.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, behind) =
            rest.split_once('=').ok_or("expected `=` between a label and its value, and `}` at the end")?;
        let name = name.trim();
        if !is_name(name, false) {
            return Err(format!("`{name}` is not a name of a label"));
        }
        let behind = behind
            .trim_start()
            .strip_prefix('"')
            .ok_or_else(|| format!("expected `\"` before the value of label `{name}`"))?;
        let (value, behind) =
            quoted(behind).ok_or_else(|| format!("expected `\"` after the value of label `{name}`"))?;
        // An empty label is one that is not there.
        if !value.is_empty() {
            labels = labels.with(name, value);
        }
        rest = behind.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return Err(format!("expected `,` or `}}` after the value of label `{name}`")),
        };
    }
}

/// The text up to the closing quote, and what is left.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((unescape(text.get(..index)?, true), text.get(index + 1..)?)),
            _ => {}
        }
    }
    None
}

/// The first word, and what stands behind the blanks that follow it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim())
}

/// `quotes`: whether a quote may be escaped too. It is none of the escapes of a help text.
fn unescape(text: &str, quotes: bool) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('\\') => plain.push('\\'),
            Some('"') if quotes => plain.push('"'),
            // What is no escape stands for itself.
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

fn is_name(text: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    text.starts_with(|c: char| fits(c) && !c.is_ascii_digit()) && text.chars().all(fits)
}

/// In Rust's way, which is Prometheus's: `NaN`, `nan`, `+Inf`, `inf`, `Infinity` and so on, in any case.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;
