//! Lines, and the patterns that they match.

use crate::Config;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use regex_lite::Regex;
use std::collections::BTreeMap;

/// Of a line that is shown, so much is kept.
const SHOWN: usize = 200;
/// Of a line, so much is searched: whoever writes more into one wants it to be slow.
const SEARCHED: usize = 64 << 10;

/// Counts since the file was seen for the first time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", default)]
pub(crate) struct Tally {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) matches: BTreeMap<String, Matches>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", default)]
pub(crate) struct Matches {
    pub(crate) count: u64,
    /// When the newest one was read.
    pub(crate) newest_ms: i64,
    /// How the newest one begins.
    pub(crate) line: String,
}

pub(crate) struct Patterns(Vec<Compiled>);

struct Compiled {
    name: String,
    wanted: Regex,
    excluded: Option<Regex>,
}

impl Patterns {
    /// # Errors
    /// What is no regular expression.
    pub(crate) fn of(config: &Config) -> Result<Self, String> {
        let compile = |text: &str| Regex::new(text).map_err(|error| error.to_string());
        let compiled = config.patterns.iter().map(|pattern| {
            Ok(Compiled {
                name: pattern.name.clone(),
                wanted: compile(&pattern.pattern)?,
                excluded: pattern.excluding.as_deref().map(compile).transpose()?,
            })
        });
        compiled.collect::<Result<_, String>>().map(Patterns)
    }

    /// Counts whole lines.
    pub(crate) fn count(&self, bytes: &[u8], tally: &mut Tally, now_ms: i64) {
        tally.bytes += bytes.len() as u64;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            tally.lines += 1;
            if self.0.is_empty() {
                continue;
            }
            let searched = line.get(..SEARCHED).unwrap_or(line);
            let text = String::from_utf8_lossy(searched);
            let text = text.trim_end_matches(['\n', '\r']);
            for Compiled { name, wanted, excluded } in &self.0 {
                if !wanted.is_match(text) || excluded.as_ref().is_some_and(|excluded| excluded.is_match(text)) {
                    continue;
                }
                let matches = tally.matches.entry(name.clone()).or_default();
                matches.count += 1;
                matches.newest_ms = now_ms;
                matches.line = text.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
            }
        }
    }
}
