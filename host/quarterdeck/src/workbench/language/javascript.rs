//! What Node.js does with a plugin's folder. What it needs is installed by npm, in the folder.

use super::{Host, Language, absolute, made, run, sdk};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HINT: &str = "install Node.js 20 or newer with npm (Debian: apt install nodejs npm)";
/// Whether everything that the build needs is found from the folder: in its `node_modules`, or in that of a folder above.
const HAS_TOOLS: &str = "const { resolve } = require('node:module').createRequire(process.argv[1] + '/package.json'); \
    for (const name of ['quarterdeck-sdk', 'rolldown', '@bytecodealliance/componentize-js']) \
    try { resolve(name) } catch (error) { if (error.code === 'MODULE_NOT_FOUND') process.exit(1) }";

pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let folder = absolute(folder)?;
    install(&folder)?;
    let Some(sdk) = sdk(&folder, Language::Javascript) else {
        bail!(
            "there is no SDK beside the plugin; hint: `quarterdeck plugin new` brings it along as quarterdeck/sdk/javascript"
        );
    };
    made(Command::new("node").arg(sdk.join("src/build.js")).arg(&folder).current_dir(&folder), HINT)
}

pub(super) fn test(folder: &Path, host: Host) -> Result<()> {
    let folder = absolute(folder)?;
    install(&folder)?;
    run(Command::new("node").args(["--test", "tests/"]).current_dir(&folder).envs(host), HINT)
}

fn install(folder: &Path) -> Result<()> {
    let mut look = Command::new("node");
    look.args(["--eval", HAS_TOOLS]).arg(folder);
    match look.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(_) => {}
        Err(error) => bail!("failed to run node: {error}; hint: {HINT}"),
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    run(&mut npm, HINT).with_context(|| {
        format!("failed to install what package.json names; hint: cd {} && npm install", folder.display())
    })
}
