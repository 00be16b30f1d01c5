//! Lines, captures, findings.

use crate::Config;
use crate::judge::{entropy, is_placeholder};
use crate::rules::{RULES, Rule};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::scanner_rule::{File, Finding};
use regex_lite::Regex;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// On a line, each of them says that what is there may be there.
const ALLOWED: [&str; 3] = ["quarterdeck:allow", "gitleaks:allow", "pragma: allowlist secret"];
/// A file that has more is a list of secrets, or none: the first ones say enough.
const MOST_PER_FILE: usize = 100;

/// Over the files of one call.
pub(crate) struct Scanner<'a> {
    config: &'a Config,
    /// Compiled when a line first has the rule's keyword.
    patterns: Vec<(&'static Rule, OnceCell<Regex>)>,
    pub(crate) findings: Vec<Finding>,
}

/// What a pattern captured.
struct Capture<'a> {
    rule: &'static Rule,
    secret: &'a str,
    range: Range<usize>,
    line: &'a str,
    number: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        let enabled = |rule: &&Rule| !config.disable.iter().any(|id| id == rule.id);
        let patterns = RULES.iter().filter(enabled).map(|rule| (rule, OnceCell::new())).collect();
        Scanner { config, patterns, findings: Vec::new() }
    }

    pub(crate) fn file(&mut self, subject: usize, file: &File) -> Result<(), Failure> {
        let is_binary = file.content.iter().take(8000).any(|byte| *byte == 0);
        if is_binary || self.config.allow.iter().any(|text| file.path.contains(text)) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&file.content);
        let lower = text.to_ascii_lowercase();
        let candidates: Vec<usize> = self
            .patterns
            .iter()
            .enumerate()
            .filter(|(_, (rule, _))| rule.keywords.iter().any(|k| lower.contains(k)) && lower.contains(rule.context))
            .map(|(index, _)| index)
            .collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        let mut ordinals = BTreeMap::new();
        let lines = text.lines().zip(lower.lines()).enumerate();
        for (index, (line, lower)) in lines {
            if ALLOWED.iter().any(|mark| lower.contains(mark)) {
                continue;
            }
            for capture in self.captures(&candidates, &text, line, lower, index + 1)? {
                // Once per file: its other places are no other secret.
                if seen.len() < MOST_PER_FILE && seen.insert((capture.rule.id, capture.secret.to_owned())) {
                    self.findings.push(finding(subject, &file.path, &capture, &mut ordinals));
                }
            }
        }
        Ok(())
    }

    fn captures<'t>(
        &self,
        candidates: &[usize],
        text: &'t str,
        line: &'t str,
        lower: &str,
        number: usize,
    ) -> Result<Vec<Capture<'t>>, Failure> {
        let mut captures: Vec<Capture<'t>> = Vec::new();
        for (rule, pattern) in candidates.iter().filter_map(|index| self.patterns.get(*index)) {
            if !rule.keywords.iter().any(|keyword| lower.contains(keyword)) {
                continue;
            }
            let pattern = match pattern.get() {
                Some(pattern) => pattern,
                None => {
                    let made = Regex::new(rule.pattern)
                        .map_err(|error| Failure::Other(format!("the pattern of rule {}: {error}", rule.id)))?;
                    pattern.get_or_init(|| made)
                }
            };
            for found in pattern.captures_iter(line) {
                let Some(group) = found.iter().skip(1).flatten().next() else { continue };
                let secret = if rule.id == "private-key" {
                    let Some(body) = key_body(text, line, group.end()) else { continue };
                    body
                } else {
                    group.as_str()
                };
                let is_secret = entropy(secret) >= rule.entropy && (rule.check)(secret) && !is_placeholder(secret);
                let is_allowed = self.config.allow.iter().any(|text| secret.contains(text));
                // What has a form of its own is not reported again for what stands around it.
                let is_known =
                    captures.iter().any(|other| other.range.start < group.end() && group.start() < other.range.end);
                if is_secret && !is_allowed && !(rule.generic && is_known) {
                    captures.push(Capture { rule, secret, range: group.range(), line, number });
                }
            }
        }
        Ok(captures)
    }
}

/// The first characters of a key behind its header, on this line or the next ones: a header alone is no key.
fn key_body<'t>(text: &'t str, line: &'t str, end: usize) -> Option<&'t str> {
    // Both are parts of one string.
    let start = (line.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?.checked_add(end)?;
    let behind = text.get(start..)?.trim_start_matches('-');
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let long_enough = |word: &&str| word.len() >= 40 && word.chars().all(is_digit);
    // Before the key there may be what PEM says of it (`Proc-Type: 4,ENCRYPTED`), but no prose.
    let is_preamble = |word: &&str| word.ends_with(':') || !word.bytes().any(|byte| byte.is_ascii_lowercase());
    behind
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ',' | '|' | '`'))
        .take(40)
        // In a string in code line breaks are written as `\n`, of which the backslash is gone by now.
        .map(|word| word.strip_prefix('n').filter(|rest| rest.len() % 4 == 0).unwrap_or(word))
        .take_while(|word| !word.contains("-----") && (long_enough(word) || is_preamble(word)))
        .find(long_enough)
}

fn finding(
    subject: usize,
    path: &str,
    capture: &Capture,
    ordinals: &mut BTreeMap<(&'static str, String), u32>,
) -> Finding {
    let Capture { rule, secret, range, line, number } = capture;
    let column = line.get(..range.start).map_or(0, |before| before.chars().count()) + 1;
    let fingerprint = if rule.generic {
        // A short password could be guessed from its hash: what stands around it tells it apart instead.
        let around = [line.get(..range.start).unwrap_or(""), line.get(range.end..).unwrap_or("")].concat();
        let ordinal = ordinals.entry((rule.id, around.trim().to_owned())).and_modify(|count| *count += 1).or_insert(0);
        hash(&[rule.id, path, around.trim(), &ordinal.to_string()])
    } else {
        hash(&[rule.id, path, secret])
    };
    Finding {
        subject,
        rule: format!("secrets/{}", rule.id),
        title: rule.title.to_owned(),
        severity: rule.severity,
        message: format!("{}: {}", rule.title, masked(rule, secret)),
        remediation:
            "Revoke it where it was issued, since whoever has read the file has it; then keep the new one outside \
                      the file, in a secret store or a variable."
                .to_owned(),
        line: u32::try_from(*number).unwrap_or(0),
        column: u32::try_from(column).unwrap_or(0),
        cwe: Some(if rule.id == "private-key" { 321 } else { 798 }),
        fingerprint,
    }
}

/// Of a token its public beginning; of a password or a key nothing.
fn masked(rule: &Rule, secret: &str) -> String {
    let length = secret.chars().count();
    if rule.generic || matches!(rule.id, "private-key" | "aws-secret-key" | "slack-webhook") {
        return format!("{length} characters");
    }
    let start: String = secret.chars().take(4).collect();
    format!("`{start}…`, {length} characters")
}

/// 128 bits, as two rounds of FNV-1a with different beginnings.
fn hash(parts: &[&str]) -> String {
    let round = |start: u64| {
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
        bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}", round(0xcbf2_9ce4_8422_2325), round(0x8422_2325_cbf2_9ce4))
}
