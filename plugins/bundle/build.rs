//! Compiles the bundled plugins to components, all of them in one nested cargo.

use sha2::Digest as _;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";

struct Plugin {
    kind: String,
    name: String,
    package: String,
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to build the bundled plugins: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.join("../..").canonicalize()?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for variable in ["QUARTERDECK_SKIP_PLUGINS", "QUARTERDECK_NO_RUSTUP", "QUARTERDECK_PLUGIN_VERSION"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for path in [
        "wit",
        "sdk/rust/src",
        "sdk/rust/Cargo.toml",
        "sdk/rust/macros",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }

    let plugins = find(&root.join("plugins"))?;
    let mut listed = Vec::new();
    if !is_set("QUARTERDECK_SKIP_PLUGINS") {
        target_is_installed()?;
        let target_dir = out.join("plugins");
        compile(&root, &target_dir, &plugins)?;
        for plugin in &plugins {
            let file = format!("{}.wasm", plugin.package.replace('-', "_"));
            listed.push((plugin, target_dir.join(TARGET).join("plugin").join(file)));
        }
    }
    fs::write(out.join("components.rs"), source(&listed)?)?;
    Ok(())
}

/// Where the probe lies: beside the plugins, and none of them.
const PROBE: &str = "bundle";

/// Every `plugins/<kind>/<name>/Cargo.toml`. Sorted, so that the build is the same on every machine.
fn find(folder: &Path) -> Result<Vec<Plugin>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut plugins = Vec::new();
    for kind in folders(folder)? {
        for path in folders(&kind)? {
            let manifest = path.join("Cargo.toml");
            if !manifest.is_file() {
                continue;
            }
            let package = fs::read_to_string(&manifest)?
                .lines()
                .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned))
                .ok_or_else(|| format!("{} names no package", manifest.display()))?;
            plugins.push(Plugin { kind: file_name(&kind), name: file_name(&path), package });
        }
    }
    plugins.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    Ok(plugins)
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn compile(root: &Path, target_dir: &Path, plugins: &[Plugin]) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args(["build", "--profile", "plugin", "--target", TARGET, "--locked", "--lib"]);
    // A target folder of its own: cargo holds the lock of the outer one.
    cargo.arg("--target-dir").arg(target_dir);
    for plugin in plugins {
        cargo.args(["-p", &plugin.package]);
    }
    // What is meant for the outer build would change, or break, this one. The job server (CARGO_MAKEFLAGS) is inherited, so
    // that both builds together use no more jobs than were allowed.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let foreign = matches!(
            name.as_str(),
            "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "CARGO_TARGET_DIR"
        ) || name.starts_with("CARGO_BUILD_")
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_TARGET_")
            || name.starts_with("CARGO_FEATURE_")
            || name.starts_with("CARGO_CFG_");
        if foreign {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("cargo ended with {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Where rustup's automatic installs are off, `rust-toolchain.toml` alone does not bring the target.
fn target_is_installed() -> Result<(), Box<dyn Error>> {
    let sysroot = Command::new(variable("RUSTC")?).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if library.is_dir() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| file_name(&sysroot));
    let command = format!("rustup target add --toolchain {toolchain} {TARGET}");
    if is_set("QUARTERDECK_NO_RUSTUP") {
        return Err(format!("the target {TARGET} is not installed\nhint: {command}").into());
    }
    println!("cargo::warning=adding the target {TARGET}: {command}");
    let status = Command::new("rustup").args(["target", "add", "--toolchain", &toolchain, TARGET]).status();
    match status {
        Ok(status) if status.success() && library.is_dir() => Ok(()),
        Ok(status) => Err(format!("`{command}` ended with {status}\nhint: run it by hand").into()),
        Err(error) => {
            Err(format!("the target {TARGET} is not installed, and rustup can't be run: {error}\nhint: {command}")
                .into())
        }
    }
}

fn source(components: &[(&Plugin, PathBuf)]) -> Result<String, Box<dyn Error>> {
    let mut text =
        String::from("/// Every bundled plugin, by kind and name.\npub const COMPONENTS: &[Component] = &[\n");
    let (probe, components): (Vec<_>, Vec<_>) = components.iter().partition(|(plugin, _)| plugin.kind == PROBE);
    for (Plugin { kind, name, .. }, path) in components {
        if !path.is_file() {
            return Err(format!("cargo left no {}", path.display()).into());
        }
        let digest = sha2::Sha256::digest(fs::read(path)?);
        writeln!(
            text,
            "    Component {{ name: {name:?}, kind: {kind:?}, digest: \"sha256:{digest:x}\", bytes: include_bytes!({path:?}) }},"
        )?;
    }
    text.push_str("];\n");
    text.push_str("/// Uses more than it may, to show that limits hold; not bundled. Empty where the bundle is.\n");
    match probe.first() {
        Some((_, path)) => writeln!(text, "pub const LIMITS_PROBE: &[u8] = include_bytes!({path:?});")?,
        None => text.push_str("pub const LIMITS_PROBE: &[u8] = &[];\n"),
    }
    Ok(text)
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}
