//! What cargo does with a plugin's folder.

use super::Host;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-wasip2";

/// The target is added through rustup where it is missing.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    add_target(folder)?;
    cargo(folder, ["build", "--release", "--target", TARGET], None)?;
    let metadata = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run cargo")?;
    let metadata: Value =
        serde_json::from_slice(&metadata.stdout).context("cargo metadata says something else than JSON")?;
    let library = metadata
        .pointer("/packages/0/targets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|target| {
            let types = target.get("crate_types").and_then(Value::as_array);
            types.is_some_and(|types| types.iter().any(|kind| kind == "cdylib"))
        })
        .and_then(|target| target.get("name").and_then(Value::as_str));
    let (Some(library), Some(target)) = (library, metadata.get("target_directory").and_then(Value::as_str)) else {
        bail!("{} holds no library of the type cdylib; hint: crate-type = [\"cdylib\", \"rlib\"]", folder.display());
    };
    Ok(Path::new(target).join(TARGET).join("release").join(format!("{}.wasm", library.replace('-', "_"))))
}

pub(super) fn test(folder: &Path, host: Host) -> Result<()> {
    add_target(folder)?;
    cargo(folder, ["test"], Some(host))
}

fn cargo(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, host: Option<Host>) -> Result<()> {
    let mut command = Command::new("cargo");
    command.envs(host.into_iter().flatten());
    let status = command.args(arguments).current_dir(folder).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("cargo ended with {status}"),
        Err(error) => bail!("failed to run cargo: {error}; hint: it comes with rustup"),
    }
}

fn add_target(folder: &Path) -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir(folder).output();
    let sysroot = sysroot.context("failed to run rustc; hint: it comes with rustup")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir() {
        return Ok(());
    }
    let status = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`rustup target add {TARGET}` ended with {status}"),
        Err(error) => bail!("the target {TARGET} is not installed, and rustup can't be run: {error}"),
    }
}
