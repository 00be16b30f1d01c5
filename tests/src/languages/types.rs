//! What an editor says of the SDKs, of what `plugin new` makes and of the examples: their types are those that they name.

use super::{KINDS, author, new, root, said};
use crate::harness::Setup;
use crate::harness::counterpart::find;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A plugin of each kind.
fn templates(setup: &Setup, language: &str) -> Vec<PathBuf> {
    KINDS.iter().map(|kind| new(setup, &format!("my-{kind}"), kind, language)).collect()
}

/// The same with a mistake in the first plugin.
fn mistake(folder: &Path, file: &str, right: &str, wrong: &str) {
    let path = folder.join(file);
    let source = std::fs::read_to_string(&path).unwrap();
    assert!(source.contains(right), "{source}");
    std::fs::write(path, source.replace(right, wrong)).unwrap();
}

fn pyright(folder: &Path) -> (Output, usize) {
    let output = Command::new("pyright").arg("--outputjson").current_dir(folder).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let files = report["summary"]["filesAnalyzed"].as_u64().unwrap();
    (output, usize::try_from(files).unwrap())
}

#[test]
fn the_python_sdk_its_example_and_every_template_have_the_types_that_they_name() {
    let test = "the_python_sdk_its_example_and_every_template_have_the_types_that_they_name";
    if find("pyright", test).is_none() {
        return;
    }
    let sdk = root().join("sdk/python");
    for folder in [sdk.clone(), sdk.join("examples/status-page")] {
        let (said_of, files) = pyright(&folder);
        assert!(said_of.status.success() && files > 1, "{}", said(&said_of));
    }
    // All of them in one run, each with the SDK that came along.
    let setup = author();
    let folders = templates(&setup, "python");
    let desk = setup.folder.path();
    let inside = |folder: &Path, name: &str| folder.strip_prefix(desk).unwrap().join(name).to_str().unwrap().to_owned();
    let include: Vec<String> =
        folders.iter().flat_map(|folder| ["src", "tests"].map(|name| inside(folder, name))).collect();
    let environments: Vec<Value> = folders
        .iter()
        .map(|folder| {
            let extra = ["src", "quarterdeck/sdk/python"].map(|name| inside(folder, name));
            json!({"root": inside(folder, ""), "extraPaths": extra})
        })
        .collect();
    let settings = json!({"include": include, "executionEnvironments": environments, "pythonVersion": "3.11"});
    std::fs::write(desk.join("pyrightconfig.json"), settings.to_string()).unwrap();
    let (said_of, files) = pyright(desk);
    assert!(said_of.status.success(), "{}", said(&said_of));
    assert_eq!(files, 3 * KINDS.len(), "a plugin and two tests of each kind");
    mistake(&folders[0], "src/plugin.py", "Annotated[float,", "Annotated[str,");
    assert!(!pyright(desk).0.status.success());
}

fn tsc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("tsc").arg("--noEmit").args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn the_declarations_of_the_javascript_sdk_its_example_and_every_template_have_the_types_that_they_name() {
    let test = "the_declarations_of_the_javascript_sdk_its_example_and_every_template_have_the_types_that_they_name";
    if find("tsc", test).is_none() {
        return;
    }
    let sdk = root().join("sdk/javascript");
    let strict = ["--strict", "--module", "nodenext", "--target", "es2023", "--types", ""];
    let declared = tsc(&sdk, &[&strict[..], &["src/index.d.ts", "src/testing.d.ts"]].concat());
    assert!(declared.status.success(), "{}", said(&declared));
    let setup = author();
    // Above all of them, as npm would have it.
    let modules = setup.folder.path().join("node_modules");
    std::fs::create_dir(&modules).unwrap();
    std::os::unix::fs::symlink(&sdk, modules.join("quarterdeck-sdk")).unwrap();
    let mut folders = templates(&setup, "javascript");
    let example = setup.folder.path().join("dockerfile");
    assert!(
        Command::new("cp").arg("-r").arg(sdk.join("examples/dockerfile")).arg(&example).status().unwrap().success()
    );
    folders.push(example);
    for folder in &folders {
        let checked = tsc(folder, &["--project", "jsconfig.json"]);
        assert!(checked.status.success(), "{}: {}", folder.display(), said(&checked));
    }
    mistake(&folders[0], "src/plugin.js", "health.ok(", "health.okay(");
    assert!(!tsc(&folders[0], &["--project", "jsconfig.json"]).status.success());
}
