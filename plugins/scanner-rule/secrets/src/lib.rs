//! Finds secrets in files: keys and tokens by their form, passwords by what they are assigned to.
//!
//! A line is looked at closely only if it holds a rule's keyword. What a rule's pattern captures must be random enough (Shannon
//! entropy), must pass the token's own check where it has one, and must not be a placeholder. A line with `quarterdeck:allow` or
//! `gitleaks:allow` is left out.
//!
//! | File | Holds |
//! |---|---|
//! | `rules` | the rules: keywords, pattern, entropy, check |
//! | `judge` | entropy, placeholders, checksums |
//! | `scan` | lines, captures, findings |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod judge;
mod rules;
mod scan;

use quarterdeck_sdk::scanner_rule::{Finding, Interest, ScannerRule, Subject, SubjectKind};
use quarterdeck_sdk::{Failure, Plugin, Problem};
use rules::RULES;

quarterdeck_sdk::config! {
    /// Configuration of `secrets`.
    pub struct Config {
        /// Texts: a secret, or a path, that holds one of them is not reported.
        #[serde(default)]
        pub allow: Vec<String>,
        /// Rules that are left out: `jwt`, `password`.
        #[serde(default)]
        pub disable: Vec<String>,
        /// Globs of paths to look at. Unless given, all.
        #[serde(default)]
        pub include: Vec<String>,
        /// Globs of paths to leave out, beside those of dependencies, build results, lock files and pictures.
        #[serde(default)]
        pub exclude: Vec<String>,
        /// Larger files are left out.
        #[serde(default = "half_a_mebibyte")]
        pub max_bytes: u64,
    }
}

fn half_a_mebibyte() -> u64 {
    512 * 1024
}

/// What others wrote, or a tool did.
const EXCLUDED: [&str; 24] = [
    "**/.git/**",
    "**/node_modules/**",
    "**/target/**",
    "**/vendor/**",
    "**/.venv/**",
    "**/__pycache__/**",
    "**/Cargo.lock",
    "**/package-lock.json",
    "**/pnpm-lock.yaml",
    "**/yarn.lock",
    "**/poetry.lock",
    "**/uv.lock",
    "**/go.sum",
    "**/*.min.js",
    "**/*.map",
    "**/*.svg",
    "**/*.png",
    "**/*.jpg",
    "**/*.gif",
    "**/*.pdf",
    "**/*.woff2",
    "**/*.zip",
    "**/*.gz",
    "**/*.wasm",
];

/// The plugin.
pub struct Secrets;

impl Plugin for Secrets {
    type Config = Config;
    const NAME: &'static str = "secrets";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keys, tokens and passwords in files";

    fn validate(config: &Config) -> Vec<Problem> {
        let unknown = |(index, id): (usize, &String)| {
            let known = RULES.iter().any(|rule| rule.id == id);
            (!known).then(|| Problem::at(format!("/disable/{index}"), format!("there is no rule `{id}`")))
        };
        let mut problems: Vec<Problem> = config.disable.iter().enumerate().filter_map(unknown).collect();
        if let Some(index) = config.allow.iter().position(String::is_empty) {
            problems.push(Problem::at(format!("/allow/{index}"), "is empty, which would allow everything"));
        }
        problems
    }
}

impl ScannerRule for Secrets {
    fn interests(config: &Config) -> Result<Interest, Failure> {
        Ok(Interest {
            kinds: vec![SubjectKind::File],
            include: config.include.clone(),
            exclude: EXCLUDED.iter().map(|glob| (*glob).to_owned()).chain(config.exclude.iter().cloned()).collect(),
            max_bytes: config.max_bytes,
        })
    }

    fn scan(config: &Config, subjects: &[Subject]) -> Result<Vec<Finding>, Failure> {
        let mut scanner = scan::Scanner::new(config);
        for (index, subject) in subjects.iter().enumerate() {
            if let Subject::File(file) = subject {
                scanner.file(index, file)?;
            }
        }
        Ok(scanner.findings)
    }
}

quarterdeck_sdk::export!(Secrets: scanner_rule);

#[cfg(test)]
mod tests;
