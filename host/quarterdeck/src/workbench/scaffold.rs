//! A new plugin's folder, and what cargo does with it.

use anyhow::{Context, Result, bail};
use quarterdeck_model::plugin::Kind;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

include!(concat!(env!("OUT_DIR"), "/along.rs"));

const TARGET: &str = "wasm32-wasip2";

/// Writes a plugin that builds, with a test that passes, into a folder that is not there yet (or empty). The SDK and the
/// interfaces come along, so that nothing but its dependencies has to be fetched.
///
/// # Errors
/// The name is none, or there is something in the folder already.
pub(crate) fn new(name: &str, kind: Kind, folder: &Path) -> Result<()> {
    if !is_kebab_case(name) {
        bail!(
            "`{name}` is no name for a plugin; hint: lower-case letters, digits and single dashes, at most 64, as in http-probe"
        );
    }
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("there is something in {} already; hint: name another folder with --folder", folder.display());
    }
    let words = Words::of(name, kind);
    let source = format!("sdk/templates/rust/src/{kind}.rs");
    for (path, content) in TEMPLATES {
        let target = match path.strip_prefix("sdk/templates/rust/").unwrap_or(path) {
            "gitignore" => ".gitignore",
            _ if *path == source => "src/lib.rs",
            inside if inside.starts_with("src/") => continue,
            inside => inside.strip_suffix(".template").unwrap_or(inside),
        };
        write(&folder.join(target), &words.fill(content))?;
    }
    for (path, content) in SDK {
        write(&folder.join("quarterdeck").join(path), content)?;
    }
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    made.with_context(|| format!("failed to write {}", path.display()))
}

/// What stands in a template's double braces.
struct Words([(&'static str, String); 7]);

impl Words {
    fn of(name: &str, kind: Kind) -> Self {
        let camel = name.split('-').map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        });
        let example = match kind {
            Kind::Detector => " --input '{\"series\": [{\"values\": [1, 1, 9]}]}'",
            Kind::ScannerRule => " scan --input '{\"subjects\": [{\"path\": \"a.txt\", \"content\": \"FIXME\"}]}'",
            Kind::Correlator => " --input '{\"alert\": {\"name\": \"down\", \"severity\": \"high\"}}'",
            Kind::Notifier => {
                " notify --config '{\"url\": \"https://example.com\"}' --grants '{\"http\": [\"https://example.com\"]}'"
            }
            Kind::DeploymentTarget => " observe --grants '{\"kv\": true}'",
            Kind::RunbookAction => " run --input '{\"inputs\": {\"name\": \"you\"}}'",
            Kind::SlaCalculator => " calculate --input '{\"window\": {\"values\": [1, 1, 0]}}'",
            Kind::Collector => " --config '{\"amplitude\": 2}'",
            Kind::DeploymentStrategy => "",
        };
        let config = match kind {
            Kind::Notifier => r#"{"url": "https://example.com"}"#,
            _ => "{}",
        };
        let snake = name.replace('-', "_");
        Words([
            ("{{name}}", name.to_owned()),
            ("{{type}}", camel.collect()),
            ("{{snake}}", snake.clone()),
            ("{{file}}", snake),
            ("{{example}}", example.to_owned()),
            ("{{kind}}", kind.to_string()),
            ("{{config}}", config.to_owned()),
        ])
    }

    fn fill(&self, template: &str) -> String {
        self.0.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

fn is_kebab_case(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(is_word)
}

/// Builds the component of the plugin in `folder`, and says where it is. The target is added through rustup where it is missing.
///
/// # Errors
/// There is no cargo, no plugin, or it does not build: cargo has said why.
pub(crate) fn build(folder: &Path) -> Result<PathBuf> {
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

/// Runs the tests of the plugin in `folder`. Those that ask for a host get this one.
///
/// # Errors
/// There is no cargo, or a test fails: cargo has said which.
pub(crate) fn test(folder: &Path) -> Result<()> {
    let host = std::env::current_exe().context("failed to find this program's own file")?;
    add_target(folder)?;
    cargo(folder, ["test"], Some(&host))
}

fn cargo(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, host: Option<&Path>) -> Result<()> {
    let mut command = Command::new("cargo");
    if let Some(host) = host {
        command.env("QUARTERDECK", host);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_template_and_nothing_is_left_to_fill_in() {
        for kind in Kind::ALL {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().join("a-plugin");
            new("a-plugin", kind, &folder).unwrap();
            for file in ["src/lib.rs", "tests/component.rs", "Cargo.toml", "README.md", ".gitignore"] {
                let text = std::fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains("{{"), "{kind}: {file} has a gap: {text}");
            }
            let source = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap();
            let export = format!("quarterdeck_sdk::export!(APlugin: {});", kind.as_str().replace('-', "_"));
            assert!(source.contains(&export), "{kind}: {source}");
            for manifest in ["Cargo.toml", "macros/Cargo.toml"] {
                let manifest = std::fs::read_to_string(folder.join("quarterdeck/sdk/rust").join(manifest)).unwrap();
                assert!(!manifest.contains("workspace"), "the SDK stands alone: {manifest}");
            }
            assert!(folder.join("quarterdeck/wit/host/host.wit").is_file());
            assert!(new("a-plugin", kind, &folder).is_err(), "nothing is overwritten");
        }
    }

    #[test]
    fn a_name_that_the_host_would_refuse_is_refused_here() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "Wave", "a--b", "-a", "a_b", "9a", "../a"] {
            assert!(new(bad, Kind::Collector, &folder.path().join("x")).is_err(), "{bad}");
        }
    }
}
