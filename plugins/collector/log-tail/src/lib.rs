//! Follows log files, and counts lines and what stands in them. The place in each file is kept with the counts in the instance's own space,
//! which is committed with the answer: a line counts once.
//!
//! - `follow`: which bytes are new, across renames, cuts and replacements
//! - `count`: whole lines of them, and the patterns that they match

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod count;
mod follow;

use count::{Patterns, Tally};
use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::kv;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem, serde_json};

const MOST_PATHS: usize = 64;
const MOST_PATTERNS: usize = 64;
const KEY: &str = "place/";

quarterdeck_sdk::config! {
    /// Configuration of `log-tail`.
    pub struct Config {
        /// The files. Each has to be granted (`grants.files`).
        pub paths: Vec<String>,
        /// What is looked for in each line.
        #[serde(default)]
        pub patterns: Vec<Pattern>,
        /// Where a file is begun that is seen for the first time.
        #[serde(default)]
        pub from: From,
        /// What stands behind a file's name when it was renamed to make room for a new one. Read only if it is granted too.
        #[serde(default = "one")]
        pub rotated: String,
        /// Of each file, so much is read by one call.
        #[serde(default = "four_mebibytes")]
        pub max_bytes: u64,
        /// For so long a match makes the health what its pattern says.
        #[serde(default = "five_minutes")]
        pub recent_seconds: u64,
    }

    /// Something that a line may hold.
    pub struct Pattern {
        /// In the label `pattern`.
        pub name: String,
        /// A regular expression; found anywhere in the line.
        pub pattern: String,
        /// Another one: lines that hold it as well don't count.
        #[serde(default)]
        pub excluding: Option<String>,
        /// What a match makes of the health.
        #[serde(default)]
        pub state: Option<Bad>,
    }

    /// Where a file is begun.
    #[derive(Copy, Default)]
    pub enum From {
        /// What is in it already does not count.
        #[default]
        End,
        /// All of it counts.
        Start,
    }

    /// What a match makes of the health.
    #[derive(Copy)]
    pub enum Bad {
        /// It works, but not as it should.
        Degraded,
        /// It does not work.
        Failed,
    }
}

fn one() -> String {
    ".1".to_owned()
}

fn four_mebibytes() -> u64 {
    4 << 20
}

fn five_minutes() -> u64 {
    300
}

/// What is kept of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", default)]
struct Place {
    /// Of the file that was read last; 0: none was there yet.
    identity: u64,
    /// Behind the last whole line that was counted.
    offset: u64,
    /// How the file begins: another content under the same identity is another file.
    head: Vec<u8>,
    tally: Tally,
}

/// The plugin.
pub struct LogTail;

impl Plugin for LogTail {
    type Config = Config;
    const NAME: &'static str = "log-tail";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Lines of log files, and counts of what stands in them";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("files", "reads the configured files"),
            Capability::required("kv", "remembers how far it has read"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.paths.is_empty() || config.paths.len() > MOST_PATHS {
            problems
                .push(Problem::at("/paths", format!("names {} files, expected 1 to {MOST_PATHS}", config.paths.len())));
        }
        for (index, path) in config.paths.iter().enumerate() {
            if !path.starts_with('/') || config.paths.iter().take(index).any(|other| other == path) {
                problems.push(Problem::at(
                    format!("/paths/{index}"),
                    format!("`{path}` is no absolute path, or named twice"),
                ));
            }
        }
        if config.patterns.len() > MOST_PATTERNS {
            problems.push(Problem::at(
                "/patterns",
                format!("holds {}, expected at most {MOST_PATTERNS}", config.patterns.len()),
            ));
        }
        for (index, pattern) in config.patterns.iter().enumerate() {
            let at = |key: &str| format!("/patterns/{index}/{key}");
            if pattern.name.is_empty() || config.patterns.iter().take(index).any(|other| other.name == pattern.name) {
                problems.push(Problem::at(at("name"), format!("`{}` is empty, or named twice", pattern.name)));
            }
            let expressions = [("pattern", Some(&pattern.pattern)), ("excluding", pattern.excluding.as_ref())];
            for (key, expression) in expressions {
                if let Some(Err(error)) = expression.map(|expression| regex_lite::Regex::new(expression)) {
                    problems.push(Problem::at(at(key), error.to_string()));
                }
            }
        }
        if config.max_bytes == 0 {
            problems.push(Problem::at("/max-bytes", "is 0"));
        }
        problems
    }
}

impl Collector for LogTail {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let patterns = Patterns::of(config).map_err(Failure::rejected)?;
        let mut report = Report::new();
        for path in &config.paths {
            let key = format!("{KEY}{path}");
            let kept = kv::get(&key)?;
            let before: Option<Place> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let mut place = before.clone().unwrap_or_default();
            let found = follow::follow(config, path, before.is_none(), &mut place, |bytes, tally| {
                patterns.count(bytes, tally, now_ms)
            })?;
            if before.as_ref() != Some(&place) {
                let bytes = serde_json::to_vec(&place).map_err(|error| Failure::other(error.to_string()))?;
                kv::set(&key, &bytes)?;
            }
            report.add(config, path, &place, &found, now_ms);
        }
        Ok(report.collection())
    }
}

/// How a file was found.
#[derive(Debug, Default, PartialEq)]
struct Found {
    present: bool,
    size: u64,
    unread: u64,
}

/// What is reported of all files.
struct Report {
    lines: Family,
    bytes: Family,
    matches: Family,
    present: Family,
    sizes: Family,
    unread: Family,
    missing: Vec<String>,
    worst: Option<Health>,
}

impl Report {
    fn new() -> Self {
        Report {
            lines: Family::counter("log_lines_total", "Whole lines that were read"),
            bytes: Family::counter("log_bytes_total", "Of these lines"),
            matches: Family::counter("log_matches_total", "Lines that hold the pattern"),
            present: Family::gauge("log_present", "1 if the file is there"),
            sizes: Family::gauge("log_size_bytes", "Of the file"),
            unread: Family::gauge("log_unread_bytes", "That are left for the next call"),
            missing: Vec::new(),
            worst: None,
        }
    }

    fn add(&mut self, config: &Config, path: &str, place: &Place, found: &Found, now_ms: i64) {
        let labels = Labels::new().with("path", path);
        self.lines.push(labels.clone(), place.tally.lines as f64);
        self.bytes.push(labels.clone(), place.tally.bytes as f64);
        self.present.push(labels.clone(), if found.present { 1.0 } else { 0.0 });
        if found.present {
            self.sizes.push(labels.clone(), found.size as f64);
            self.unread.push(labels.clone(), found.unread as f64);
        } else {
            self.missing.push(format!("`{path}`"));
        }
        for pattern in &config.patterns {
            let matches = place.tally.matches.get(&pattern.name);
            let count = matches.map_or(0, |matches| matches.count);
            self.matches.push(labels.clone().with("pattern", &pattern.name), count as f64);
            let (Some(bad), Some(matches)) = (pattern.state, matches) else { continue };
            let age_ms = now_ms.saturating_sub(matches.newest_ms);
            if matches.newest_ms > 0
                && age_ms <= i64::try_from(config.recent_seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
            {
                let message = format!("`{}` in `{path}`: {}", pattern.name, matches.line);
                self.worsen(match bad {
                    Bad::Degraded => Health::degraded(message),
                    Bad::Failed => Health::failed(message),
                });
            }
        }
    }

    /// The first of the worst.
    fn worsen(&mut self, health: Health) {
        use quarterdeck_sdk::collector::State;
        let is_worse = match &self.worst {
            None => true,
            Some(known) => known.state != State::Failed && health.state == State::Failed,
        };
        if is_worse {
            self.worst = Some(health);
        }
    }

    fn collection(mut self) -> Collection {
        if !self.missing.is_empty() {
            self.worsen(Health::degraded(format!("there is no {}", self.missing.join(", "))));
        }
        let lines: f64 = self.lines.values.iter().sum();
        let health = self.worst.unwrap_or_else(|| Health::ok(format!("{lines} lines so far")));
        let families = [self.lines, self.bytes, self.matches, self.present, self.sizes, self.unread];
        Collection { families: families.into_iter().filter(|family| !family.values.is_empty()).collect(), health }
    }
}

quarterdeck_sdk::export!(LogTail: collector);

#[cfg(test)]
mod tests;
