//! Prometheus's own evaluation tests: `promql/promqltest/testdata` of its repository, commit d15adb9a. They are not in this repository:
//! they are read from `../shared/data/promql` beside it, and from the folder that `QUARTERDECK_TESTS_PROMQL` names.
//!
//! `tests/passed.txt` says how many cases of which file pass, `tests/left-out.txt` which don't, and what they need.
//! `QUARTERDECK_TESTS_WRITE=1` writes both anew. Whichever of these files is not there is said by name; where
//! `QUARTERDECK_TESTS_PROMQL` is set, all of them have to be.

use crate::judge::{Verdict, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// May only become less.
const LEFT_OUT: usize = 1_203;
const FOLDER: &str = "QUARTERDECK_TESTS_PROMQL";

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files by name.
fn files() -> BTreeMap<String, PathBuf> {
    let beside = crate_folder().join("../../../shared/data/promql");
    let folders = [Some(beside), std::env::var_os(FOLDER).map(PathBuf::from)];
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

/// What is committed, by the name of the file that a line is about. `separator`: what ends that name.
fn lines(committed: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    committed.lines().filter_map(move |line| Some((line.split_once(separator)?.0, line)))
}

/// A word about the files that are known and not there.
fn say_absent<'a>(known: impl Iterator<Item = &'a str>, there: &BTreeMap<String, PathBuf>) {
    let absent: BTreeSet<&str> = known.filter(|name| !there.contains_key(*name)).collect();
    if absent.is_empty() {
        return;
    }
    let names = absent.into_iter().collect::<Vec<_>>().join(", ");
    let said = format!(
        "every_case_of_prometheus_passes_but_those_on_the_list needs {names}: neither in `../shared/data/promql` nor in the folder that \
         {FOLDER} names"
    );
    assert!(std::env::var_os(FOLDER).is_none(), "{said}");
    // To standard error itself: what a passing test prints by macro is kept back by the test runner.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {said}");
}

#[test]
fn every_case_of_prometheus_passes_but_those_on_the_list() {
    let folder = crate_folder().join("tests");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (left_out, passed) = (read("left-out.txt"), read("passed.txt"));
    let files = files();
    say_absent(lines(&left_out, ':').chain(lines(&passed, ' ')).map(|(name, _)| name), &files);
    let (mut list, mut counts, mut failures) = (String::new(), String::new(), String::new());
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
        writeln!(counts, "{name} {passed} of {}", judged.len()).unwrap();
    }
    // What can't be run stays as it is.
    let list = with_absent(&list, &left_out, ':', &files);
    let counts = with_absent(&counts, &passed, ' ', &files);
    if std::env::var_os("QUARTERDECK_TESTS_WRITE").is_some() {
        std::fs::write(folder.join("left-out.txt"), &list).unwrap();
        std::fs::write(folder.join("passed.txt"), &counts).unwrap();
    }
    assert!(failures.is_empty(), "these fail, and nothing excuses it:\n{failures}");
    assert_eq!(list, read("left-out.txt"), "tests/left-out.txt is not what was found");
    assert_eq!(counts, read("passed.txt"), "tests/passed.txt is not what was found");
    let count = list.lines().count();
    assert!(count <= LEFT_OUT, "{count} cases are left out, {LEFT_OUT} were before");
}

/// Lines that were found, and those that are committed about files that are not there, in the order of files and cases.
fn with_absent(found: &str, committed: &str, separator: char, files: &BTreeMap<String, PathBuf>) -> String {
    let absent = lines(committed, separator).filter(|(name, _)| !files.contains_key(*name));
    let mut all: Vec<(&str, &str)> = lines(found, separator).chain(absent).collect();
    all.sort_by_key(|(name, line)| {
        let number = line.get(name.len() + 1..).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        (*name, number)
    });
    all.iter().flat_map(|(_, line)| [*line, "\n"]).collect()
}
