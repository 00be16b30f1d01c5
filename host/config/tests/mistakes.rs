//! A folder per mistake in `tests/config`: what is loaded, and the whole message in `error.txt`.
//!
//! Beside configuration files a folder may hold `variables` (a `NAME=value` a line), `flags` (`--flag path value` a line) and
//! `environment` (its name). `QUARTERDECK_TESTS_WRITE=1` writes what the messages are now, to be read before it is committed.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use quarterdeck_config::{Flag, Source, load};
use std::path::{Path, PathBuf};

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn message(folder: &Path) -> String {
    let variables = lines(&folder.join("variables"));
    let flags = lines(&folder.join("flags"));
    let source = Source {
        dir: Some(folder.to_owned()),
        file: None,
        environment: lines(&folder.join("environment")).into_iter().next(),
        environment_from: None,
        variables: variables
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect(),
        flags: flags
            .iter()
            .map(|line| {
                let mut words = line.splitn(3, ' ').map(str::to_owned);
                let (name, path, value) = (words.next(), words.next(), words.next());
                Flag { path: path.expect("a path"), value: value.expect("a value"), name: name.expect("a name") }
            })
            .collect(),
    };
    let problems = load(source).err().unwrap_or_else(|| panic!("{} has no mistake", folder.display()));
    format!("{problems}\n").replace(&format!("{}/", folder.display()), "")
}

#[test]
fn every_mistake_is_reported_with_its_place_and_what_was_expected() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/config");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 15, "the folders of mistakes are there");
    let mut wrong = Vec::new();
    for folder in folders {
        let expected = folder.join("error.txt");
        let found = message(&folder);
        if std::env::var_os("QUARTERDECK_TESTS_WRITE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap();
        if found != wanted {
            wrong.push(format!("--- {}\nexpected:\n{wanted}\nfound:\n{found}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
