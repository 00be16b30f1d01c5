//! Hands `plugin new` what it writes: the SDKs (the Rust one as a crate that stands alone), the interfaces, and the templates.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};
use toml::{Table, Value};

/// The manifests of the SDK.
const CRATES: [&str; 2] = ["sdk/rust/Cargo.toml", "sdk/rust/macros/Cargo.toml"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to gather the SDK: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut manifests = Vec::new();
    for (index, path) in CRATES.iter().enumerate() {
        let manifest = out.join(format!("sdk-{index}.toml"));
        fs::write(&manifest, alone(&root, path)?)?;
        manifests.push((*path, manifest));
    }
    let mut lines = String::new();
    for (name, folders) in [
        ("RUST", &["sdk/rust", "wit"][..]),
        ("PYTHON", &["sdk/python/quarterdeck_sdk", "sdk/python/pyproject.toml", "wit"]),
        ("JAVASCRIPT", &["sdk/javascript/src", "sdk/javascript/package.json", "wit"]),
        ("TEMPLATES", &["sdk/templates"]),
    ] {
        let mut files = Vec::new();
        for folder in folders {
            gather(&root.join(folder), &mut files)?;
        }
        files.sort();
        writeln!(
            lines,
            "/// Path below the root of the repository, and content.\npub(super) const {name}: &[(&str, &str)] = &["
        )?;
        for file in files {
            // Each by itself: an interpreter leaves files of its own in these folders.
            println!("cargo::rerun-if-changed={}", file.display());
            let path = file.strip_prefix(&root)?.to_string_lossy().into_owned();
            let manifest = manifests.iter().find(|(of, _)| *of == path).map(|(_, manifest)| manifest);
            let content = manifest.unwrap_or(&file);
            writeln!(lines, "    ({path:?}, include_str!({content:?})),")?;
        }
        writeln!(lines, "];")?;
    }
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    fs::write(out.join("along.rs"), lines)?;
    Ok(())
}

/// The files below a folder, or the file itself; not what tools put there.
fn gather(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.ends_with("__pycache__") || path.ends_with("node_modules") {
        return Ok(());
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        gather(&entry?.path(), files)?;
    }
    Ok(())
}

/// A manifest of the SDK without anything that it takes from this workspace.
fn alone(root: &Path, path: &str) -> Result<String, Box<dyn Error>> {
    let read = |path: &str| -> Result<Table, Box<dyn Error>> { Ok(fs::read_to_string(root.join(path))?.parse()?) };
    let whole = read("Cargo.toml")?;
    let workspace = whole.get("workspace").and_then(Value::as_table).ok_or("Cargo.toml has no workspace")?;
    let mut manifest = read(path)?;
    manifest.remove("lints");
    inherit(&mut manifest, "package", workspace.get("package"))?;
    inherit(&mut manifest, "dependencies", workspace.get("dependencies"))?;
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, target) in targets.iter_mut() {
            let target = target.as_table_mut().ok_or("a target is no table")?;
            inherit(target, "dependencies", workspace.get("dependencies"))?;
        }
    }
    Ok(manifest.to_string())
}

/// `name.workspace = true` becomes what the workspace says of `name`.
fn inherit(manifest: &mut Table, section: &str, from: Option<&Value>) -> Result<(), Box<dyn Error>> {
    let Some(entries) = manifest.get_mut(section).and_then(Value::as_table_mut) else { return Ok(()) };
    for (name, value) in entries.iter_mut() {
        let inherits = value.get("workspace").and_then(Value::as_bool) == Some(true);
        if inherits {
            *value =
                from.and_then(|from| from.get(name)).ok_or_else(|| format!("the workspace has no `{name}`"))?.clone();
        }
    }
    Ok(())
}
