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

/// What TypeScript wants to be told, and the templates in JavaScript don't say.
const ANNOTATIONS: [(&str, &str, &str); 8] = [
    ("deployment-strategy", "definePlugin, integer", "type Replica, definePlugin, integer"),
    ("deployment-strategy", "(replica) => replica.revision", "(replica: Replica) => replica.revision"),
    (
        "deployment-target",
        "known(service) {",
        "known(service: string): Record<string, { revision: string; weight: number }> {",
    ),
    ("detector", "import { definePlugin", "import { type Signal, definePlugin"),
    ("detector", "const signals = []", "const signals: Signal[] = []"),
    ("sla-calculator", "function read(partial)", "function read(partial: Uint8Array)"),
    ("sla-calculator", "function write(counts)", "function write(counts: number[])"),
    ("sla-calculator", "function figure(good, total)", "function figure(good: number, total: number)"),
];

#[test]
fn a_plugin_of_each_kind_in_typescript_has_the_types_that_the_sdk_infers() {
    let test = "a_plugin_of_each_kind_in_typescript_has_the_types_that_the_sdk_infers";
    if find("tsc", test).is_none() {
        return;
    }
    let setup = author();
    let modules = setup.folder.path().join("node_modules");
    std::fs::create_dir(&modules).unwrap();
    std::os::unix::fs::symlink(root().join("sdk/javascript"), modules.join("quarterdeck-sdk")).unwrap();
    // The options that the SDK's README names; configurations and what the host hands over are inferred.
    let strict = ["--strict", "--module", "nodenext", "--target", "es2023", "--types", "", "src/plugin.ts"];
    let folders = templates(&setup, "javascript");
    for (folder, kind) in folders.iter().zip(KINDS) {
        let (plain, typed) = (folder.join("src/plugin.js"), folder.join("src/plugin.ts"));
        let mut source = std::fs::read_to_string(&plain).unwrap();
        for (_, from, to) in ANNOTATIONS.iter().filter(|(of, ..)| *of == kind) {
            assert!(source.contains(from), "{kind}: {from}");
            source = source.replace(from, to);
        }
        std::fs::write(&typed, source).unwrap();
        std::fs::remove_file(plain).unwrap();
        let checked = tsc(folder, &strict);
        assert!(checked.status.success(), "{kind}: {}", said(&checked));
    }
    let collector = folders.iter().zip(KINDS).find(|(_, kind)| *kind == "collector").unwrap().0;
    for (right, wrong) in [
        ("config.amplitude *", "config.amplitud *"),
        ("health.ok(\"it swings\")", "\"it swings\""),
        ("collector: {", "colector: {"),
    ] {
        let path = collector.join("src/plugin.ts");
        let source = std::fs::read_to_string(&path).unwrap();
        mistake(collector, "src/plugin.ts", right, wrong);
        assert!(!tsc(collector, &strict).status.success(), "{wrong}");
        std::fs::write(path, source).unwrap();
    }
}
