//! The languages that a plugin may be written in, and what each one's tools do with its folder.
//!
//! Each of `rust`, `python` and `javascript` has a `build` and a `test`. What the tools say goes to standard error as it is.

mod javascript;
mod python;
mod rust;

use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Python,
    Javascript,
}

impl Language {
    /// The language of the plugin in a folder, by the file that says what it is made of.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let files = [
            ("Cargo.toml", Language::Rust),
            ("pyproject.toml", Language::Python),
            ("package.json", Language::Javascript),
        ];
        let found = files.into_iter().find(|(file, _)| folder.join(file).is_file());
        found.map(|(_, language)| language).with_context(|| {
            format!(
                "there is no plugin in {}: no Cargo.toml, pyproject.toml or package.json; hint: `quarterdeck plugin new` makes one",
                folder.display()
            )
        })
    }

    /// The file that its author begins with.
    pub(crate) const fn source(self) -> &'static str {
        match self {
            Language::Rust => "src/lib.rs",
            Language::Python => "src/plugin.py",
            Language::Javascript => "src/plugin.js",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "rust",
            Language::Python => "python",
            Language::Javascript => "javascript",
        })
    }
}

/// Builds the component of the plugin in `folder`, and says where it is.
///
/// # Errors
/// There is no plugin, a tool is missing, or it does not build: the tool has said why.
pub(crate) fn build(folder: &Path) -> Result<PathBuf> {
    match Language::of(folder)? {
        Language::Rust => rust::build(folder),
        Language::Python => python::build(folder),
        Language::Javascript => javascript::build(folder),
    }
}

/// The component that Python or JavaScript has left in a plugin's folder since; what cargo builds it knows itself.
pub(crate) fn built_since(begin: SystemTime, folder: &Path) -> Option<PathBuf> {
    let built = folder.join("build").read_dir().ok()?.flatten().map(|entry| entry.path());
    let mut built = built.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    let is_new = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).is_ok_and(|at| at > begin);
    built.find(is_new)
}

/// Runs the tests of the plugin in `folder`. Those that ask for a host get this program, which keeps what it compiles in `cache`.
///
/// # Errors
/// There is no plugin, a tool is missing, or a test fails: the tool has said which.
pub(crate) fn test(folder: &Path, cache: &Path) -> Result<()> {
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let host = [("QUARTERDECK", program), ("QUARTERDECK_CACHE_DIR", cache.to_owned())];
    match Language::of(folder)? {
        Language::Rust => rust::test(folder, host),
        Language::Python => python::test(folder, host),
        Language::Javascript => javascript::test(folder, host),
    }
}

/// Variables that tests find the host by that they ask for.
type Host = [(&'static str, PathBuf); 2];

/// Runs a tool to its end, its words to standard error.
fn run(command: &mut Command, hint: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{program} ended with {status}"),
        Err(error) => bail!("failed to run {program}: {error}; hint: {hint}"),
    }
}

/// The last line that a tool writes: where it put what it made.
fn made(command: &mut Command, hint: &str) -> Result<PathBuf> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ended: Output = match command.stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) => bail!("failed to run {program}: {error}; hint: {hint}"),
    };
    let words = String::from_utf8_lossy(&ended.stdout);
    match words.lines().last() {
        Some(path) if ended.status.success() => Ok(PathBuf::from(path)),
        _ => bail!("{program} ended with {} and no component", ended.status),
    }
}

/// The SDK that came along with a plugin, in its folder or in one above it; in this repository it stands in `sdk`.
fn sdk(folder: &Path, language: Language) -> Option<PathBuf> {
    let places = ["quarterdeck/sdk", "sdk"].map(|place| Path::new(place).join(language.to_string()));
    folder.ancestors().flat_map(|above| places.iter().map(|place| above.join(place))).find(|place| place.is_dir())
}

/// The folder, wherever it is seen from.
fn absolute(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().with_context(|| format!("failed to find {}", folder.display()))
}
