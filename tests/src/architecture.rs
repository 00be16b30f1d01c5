//! The layout and the direction of dependencies hold.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// `(package, its normal dependencies inside the workspace)`.
fn packages() -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = |name: &str| name.starts_with("quarterdeck");
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), names.filter(|name| own(name)).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let layer = |name: &str| match name.trim_start_matches("quarterdeck-") {
        "features" => 0,
        "model" => 1,
        "config" | "formats" | "promql" | "storage" | "bus" | "scheduler" | "supervisor" | "runtime" => 2,
        "engines" => 3,
        "api" => 4,
        "quarterdeck" => 5,
        _ => -1,
    };
    for (package, dependencies) in packages() {
        let own = layer(&package);
        for dependency in dependencies.iter().filter(|_| own >= 0) {
            let below = layer(dependency);
            let bundle = package == "quarterdeck" && dependency == "quarterdeck-bundle";
            assert!(bundle || (below >= 0 && below < own), "{package} must not depend on {dependency}");
        }
    }
}

#[test]
fn a_plugin_depends_on_the_sdk_and_on_what_plugins_share() {
    let plugins: Vec<_> = packages().into_iter().filter(|(name, _)| name.starts_with("quarterdeck-plugin-")).collect();
    assert!(plugins.len() >= 17, "{plugins:?}");
    let (sdk, shared) = ("quarterdeck-sdk".to_owned(), "quarterdeck-plugin-support".to_owned());
    for (plugin, mut dependencies) in plugins {
        assert!(dependencies.remove(&sdk), "{plugin}");
        // What is shared needs no more than they do.
        assert!(
            dependencies.is_empty() || (plugin != shared && dependencies == BTreeSet::from([shared.clone()])),
            "{plugin}"
        );
    }
}

#[test]
fn only_the_runtime_knows_wasmtime_and_only_storage_knows_sled() {
    for (name, owner) in [("wasmtime", "runtime"), ("sled", "storage")] {
        for manifest in [
            "model",
            "formats",
            "config",
            "promql",
            "storage",
            "bus",
            "scheduler",
            "supervisor",
            "runtime",
            "engines",
            "api",
            "quarterdeck",
        ] {
            let text = std::fs::read_to_string(root().join("host").join(manifest).join("Cargo.toml")).unwrap();
            let knows = text.lines().any(|line| line.starts_with(name));
            assert_eq!(knows, manifest == owner, "host/{manifest} and {name}");
        }
    }
}

/// Lines that are neither blank nor a comment; without the tests.
fn lines_of_code(file: &str, comment: &str) -> usize {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(comment)).count()
}

#[test]
fn a_collector_is_fewer_than_25_lines_in_every_language() {
    for (file, comment) in
        [("rust/src/collector.rs", "//"), ("python/src/collector.py", "\"\"\""), ("javascript/src/collector.js", "//")]
    {
        let lines = lines_of_code(&format!("sdk/templates/{file}"), comment);
        assert!((10..25).contains(&lines), "{file} has {lines}");
    }
}

#[test]
fn the_root_holds_the_agreed_folders_and_no_others() {
    let agreed = ["config", "host", "plugins", "sdk", "tests", "wit", "target", "data"];
    for entry in std::fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() && !name.starts_with('.') {
            assert!(agreed.contains(&name.as_str()), "{name}/ at the root");
        }
    }
}
