//! Prometheus's own evaluation tests: `promql/promqltest/testdata` of its repository, commit d15adb9a. They are not in this repository:
//! they are read from `../shared/data/promql` beside it, and from the folder that `QUARTERDECK_TESTS_PROMQL` names, as far as they
//! are there.
//!
//! `tests/left-out.txt` says which cases don't pass, and what they need. `QUARTERDECK_TESTS_WRITE=1` writes it anew.

use crate::judge::{Verdict, run};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// May only become less.
const LEFT_OUT: usize = 1_203;

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files by name.
fn files() -> BTreeMap<String, PathBuf> {
    let beside = crate_folder().join("../../../shared/data/promql");
    let folders = [Some(beside), std::env::var_os("QUARTERDECK_TESTS_PROMQL").map(PathBuf::from)];
    let mut files = BTreeMap::new();
    for folder in folders.into_iter().flatten() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".test") {
                files.insert(name, entry.path());
            }
        }
    }
    files
}

#[test]
fn every_case_of_prometheus_passes_but_those_on_the_list() {
    let path = crate_folder().join("tests/left-out.txt");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let files = files();
    let mut list = String::new();
    let mut failures = String::new();
    for (name, file) in &files {
        let judged = run(&std::fs::read_to_string(file).unwrap());
        let mut passed = 0;
        for case in &judged {
            match &case.verdict {
                Verdict::Passed => passed += 1,
                Verdict::LeftOut(reason) => writeln!(list, "{name}:{} {reason}", case.line).unwrap(),
                Verdict::Failed(reason) => {
                    writeln!(failures, "{name}:{} {}\n    {reason}", case.line, case.query).unwrap();
                }
            }
        }
        println!("{name}: {passed} of {} cases pass", judged.len());
    }
    if files.is_empty() {
        println!("Prometheus's evaluation tests are not there, so none was run");
    }
    // What can't be run stays as it is.
    let there = |line: &&str| line.split_once(':').is_some_and(|(name, _)| files.contains_key(name));
    let absent: Vec<&str> = committed.lines().filter(|line| !there(line)).collect();
    let mut lines: Vec<&str> = list.lines().chain(absent).collect();
    lines.sort_by_key(|line| {
        let (name, rest) = line.split_once(':').unwrap_or((line, ""));
        (name, rest.split_once(' ').and_then(|(number, _)| number.parse::<usize>().ok()))
    });
    let list: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    if std::env::var_os("QUARTERDECK_TESTS_WRITE").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    assert!(failures.is_empty(), "these fail, and nothing excuses it:\n{failures}");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(list, committed, "tests/left-out.txt is not what was found");
    assert!(lines.len() <= LEFT_OUT, "{} cases are left out, {LEFT_OUT} were before", lines.len());
}
