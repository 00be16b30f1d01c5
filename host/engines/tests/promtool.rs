//! Unit tests of rules, side by side with `promtool test rules` (Debian's `prometheus`). Where it is not installed, the test that
//! compares says so by name and ends; with `QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS=1` it fails instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use quarterdeck_config::rule_file;
use quarterdeck_engines::monitoring::rule_files::unit;
use quarterdeck_model::domain::rule_group::RulePolicies;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

/// What of a file of tests is not as expected.
fn ours(path: &Path) -> String {
    let file = unit::read(path, &std::fs::read_to_string(path).unwrap()).unwrap();
    let mut groups = Vec::new();
    for pattern in &file.rule_files {
        for rules in unit::matching(path.parent().unwrap(), pattern).unwrap() {
            let text = std::fs::read_to_string(&rules).unwrap();
            groups.extend(rule_file(&rules, &text).unwrap_or_else(|problems| panic!("{problems}")).groups);
        }
    }
    let failures = unit::run(&file, &groups, &RulePolicies::prometheus()).unwrap();
    failures.join("\n")
}

/// Whether `promtool` is there, else a word about it.
fn installed(test: &str) -> bool {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `promtool`, which is not installed");
        // To standard error itself: what a passing test prints by macro is kept back by the test runner.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs `promtool`, which is not installed");
    }
    found
}

fn theirs(path: &Path) -> String {
    let output = Command::new("promtool").args(["test", "rules"]).arg(path).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { String::new() } else { text }
}

/// Lines that tell what was found, without what differs in how they are laid out.
fn told(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("Unit Testing") && !line.starts_with("FAILED"));
    lines.map(|line| line.trim_end_matches(',').trim_end().to_owned()).collect()
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with("_test.yml"));
    files.sort();
    assert!(files.len() >= 3, "the files are there");
    files
}

#[test]
fn unit_tests_of_rules_fail_where_they_are_wrong_and_nowhere_else() {
    for path in files() {
        let fails = path.to_string_lossy().contains("wrong");
        let ours = ours(&path);
        assert_eq!(!ours.is_empty(), fails, "{}:\n{ours}", path.display());
    }
}

#[test]
fn unit_tests_of_rules_come_out_as_promtool_says() {
    if !installed("unit_tests_of_rules_come_out_as_promtool_says") {
        return;
    }
    for path in files() {
        let (ours, theirs) = (ours(&path), theirs(&path));
        assert_eq!(told(&ours), told(&theirs), "{}\nours:\n{ours}\ntheirs:\n{theirs}", path.display());
    }
}
