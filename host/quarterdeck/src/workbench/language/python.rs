//! What Python does with a plugin's folder: in the virtual environment that is active, else in one that is made in the folder.

use super::{Host, Language, absolute, made, run, sdk};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the tools that a plugin needs are named in.
const REQUIREMENTS: &str = "requirements.txt";
/// What is installed in an environment: the requirements as they were then.
const INSTALLED: &str = "quarterdeck-installed.txt";
const OLDEST: &str = "import sys; sys.exit(sys.version_info < (3, 11))";
const HINT: &str = "install Python 3.11 or newer with its venv module (Debian: apt install python3 python3-venv)";

pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let folder = absolute(folder)?;
    let environment = environment(&folder)?;
    made(python(&environment, &folder, &[])?.args(["-m", "quarterdeck_sdk.build"]).arg(&folder), HINT)
}

/// By pytest where it is installed, else by unittest.
pub(super) fn test(folder: &Path, host: Host) -> Result<()> {
    let folder = absolute(folder)?;
    let environment = environment(&folder)?;
    let mut command = python(&environment, &folder, &["src"])?;
    command.envs(host);
    let has_pytest = Command::new(interpreter(&environment))
        .args(["-c", "import pytest"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_pytest {
        command.args(["-m", "pytest", "--quiet", "tests"]);
    } else {
        command.args(["-m", "unittest", "discover", "-s", "tests", "-t", "tests"]);
    }
    run(&mut command, HINT)
}

/// An environment that holds what the plugin requires.
fn environment(folder: &Path) -> Result<PathBuf> {
    let active = std::env::var_os("VIRTUAL_ENV").filter(|active| !active.is_empty());
    let environment = active.map_or_else(|| folder.join(".venv"), PathBuf::from);
    if !interpreter(&environment).exists() {
        let python = Command::new("python3").args(["-c", OLDEST]).status();
        match python {
            Ok(status) if status.success() => {}
            Ok(_) => bail!("python3 is older than 3.11; hint: {HINT}"),
            Err(error) => bail!("failed to run python3: {error}; hint: {HINT}"),
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment), HINT)
            .with_context(|| format!("failed to make {}; hint: {HINT}", environment.display()))?;
    }
    let requirements = folder.join(REQUIREMENTS);
    let Ok(wanted) = std::fs::read(&requirements) else { return Ok(environment) };
    let installed = environment.join(INSTALLED);
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(environment);
    }
    let mut pip = Command::new(interpreter(&environment));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    run(&mut pip, HINT).with_context(|| {
        let by_hand = format!("{} -m pip install -r {}", interpreter(&environment).display(), requirements.display());
        format!("failed to install what {REQUIREMENTS} names; hint: {by_hand}")
    })?;
    std::fs::write(&installed, wanted).with_context(|| format!("failed to write {}", installed.display()))?;
    Ok(environment)
}

/// The interpreter of an environment, with the SDK and folders of the plugin on its path.
fn python(environment: &Path, folder: &Path, inside: &[&str]) -> Result<Command> {
    let mut path: Vec<PathBuf> = inside.iter().map(|name| folder.join(name)).collect();
    path.extend(sdk(folder, Language::Python));
    path.extend(std::env::var_os("PYTHONPATH").iter().flat_map(std::env::split_paths));
    let path: OsString = std::env::join_paths(path).context("a folder's name can't be in a path")?;
    let mut command = Command::new(interpreter(environment));
    command.env("PYTHONPATH", path).env("VIRTUAL_ENV", environment).current_dir(folder);
    // What comes along with a plugin stays as it came.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}
