//! Programs of others that some tests need.

use std::io::Write;
use std::path::PathBuf;

/// Where the program is; `None`, after saying which test is left out, where it is missing.
pub(crate) fn find(program: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found =
        std::env::split_paths(&path).chain(extra).map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `{program}`, which is not installed");
        say(&format!("LEFT OUT: {test} needs `{program}`, which is not installed"));
    }
    found
}

/// A Python that has this module; `None`, after saying which test is left out, where there is none.
pub(crate) fn python_with(module: &str, test: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let has_it = |python: &PathBuf| {
        let imported = std::process::Command::new(python).args(["-c", &format!("import {module}")]).output();
        imported.is_ok_and(|imported| imported.status.success())
    };
    // There may be several, and only some of them may have it.
    if let Some(python) = std::env::split_paths(&folders).map(|folder| folder.join("python3")).find(has_it) {
        return Some(python);
    }
    let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
    assert!(!required, "{test} needs Python's `{module}`, which is not installed");
    say(&format!("LEFT OUT: {test} needs Python's `{module}`, which is not installed"));
    None
}

/// A file of a package that npm has installed, beside the programs of such packages that the PATH names; `None`, after saying which test
/// is left out, where it is missing.
pub(crate) fn npm_file(file: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let modules = std::env::split_paths(&path).filter(|folder| folder.ends_with("node_modules/.bin"));
    let found = modules.filter_map(|folder| Some(folder.parent()?.join(file))).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs npm's `{file}`, which is not installed");
        say(&format!("LEFT OUT: {test} needs npm's `{file}`, which is not installed"));
    }
    found
}

/// To standard error itself: what a passing test prints by macro is kept back by the test runner.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
