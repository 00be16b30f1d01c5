//! A new plugin's folder.

use super::language::Language;
use anyhow::{Context, Result, bail};
use quarterdeck_model::plugin::Kind;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/along.rs"));

/// Writes a plugin that builds, with a test that passes, into a folder that is not there yet (or empty). The SDK and the
/// interfaces come along, so that nothing but its dependencies has to be fetched.
///
/// # Errors
/// The name is none, or there is something in the folder already.
pub(crate) fn new(name: &str, kind: Kind, language: Language, folder: &Path) -> Result<()> {
    if !is_kebab_case(name) {
        bail!(
            "`{name}` is no name for a plugin; hint: lower-case letters, digits and single dashes, at most 64, as in http-probe"
        );
    }
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("there is something in {} already; hint: name another folder with --folder", folder.display());
    }
    let root = format!("sdk/templates/{language}/");
    let templates: Vec<(&str, &str)> = TEMPLATES
        .iter()
        .filter_map(|(path, content)| Some((target(path.strip_prefix(&root)?, kind)?, *content)))
        .collect();
    let words = Words::of(name, kind, &templates);
    for (path, content) in templates {
        write(&folder.join(path), &words.fill(content))?;
    }
    let along = match language {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::Javascript => JAVASCRIPT,
    };
    for (path, content) in along {
        write(&folder.join("quarterdeck").join(path), content)?;
    }
    Ok(())
}

/// Where a template goes; `None`: it is of another kind. Below `src` and `tests` what has the name of a kind is of that one.
fn target(template: &'static str, kind: Kind) -> Option<&'static str> {
    let (folder, file) = template.split_once('/').unwrap_or(("", template));
    let of = file.split_once('.').and_then(|(name, _)| Kind::ALL.into_iter().find(|kind| kind.as_str() == name));
    match (folder, file.rsplit_once('.').map_or("", |(_, extension)| extension)) {
        ("src" | "tests", _) if of.is_some_and(|of| of != kind) => None,
        ("src", "rs") => Some("src/lib.rs"),
        ("tests", "py") if file == "component.py" => Some("tests/test_component.py"),
        ("tests", "js") if file == "component.js" => Some("tests/component.test.js"),
        ("src", "py") => Some("src/plugin.py"),
        ("tests", "py") => Some("tests/test_plugin.py"),
        ("src", "js") => Some("src/plugin.js"),
        ("tests", "js") => Some("tests/plugin.test.js"),
        _ if template == "gitignore" => Some(".gitignore"),
        _ => Some(template.strip_suffix(".template").unwrap_or(template)),
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    made.with_context(|| format!("failed to write {}", path.display()))
}

/// What stands in a template's double braces.
struct Words([(&'static str, String); 8]);

impl Words {
    fn of(name: &str, kind: Kind, templates: &[(&str, &str)]) -> Self {
        let camel = name.split('-').map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        });
        let mut camel: String = camel.collect();
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        if templates.iter().any(|(_, content)| content.split(|letter| !is_word(letter)).any(|word| word == camel)) {
            // A plugin named `collector` is no second `Collector`.
            camel.push_str("Plugin");
        }
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
        // Nobody else calls a collector.
        let every = if kind == Kind::Collector { "\nevery = \"5s\"" } else { "" };
        let snake = name.replace('-', "_");
        Words([
            ("{{name}}", name.to_owned()),
            ("{{type}}", camel),
            ("{{snake}}", snake.clone()),
            ("{{file}}", snake),
            ("{{example}}", example.to_owned()),
            ("{{kind}}", kind.to_string()),
            ("{{config}}", config.to_owned()),
            ("{{every}}", every.to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_template_in_every_language_and_nothing_is_left_to_fill_in() {
        for (language, source, manifest) in [
            (Language::Rust, "src/lib.rs", "Cargo.toml"),
            (Language::Rust, "tests/component.rs", "Cargo.toml"),
            (Language::Python, "src/plugin.py", "pyproject.toml"),
            (Language::Python, "tests/test_plugin.py", "tests/test_component.py"),
            (Language::Javascript, "src/plugin.js", "package.json"),
            (Language::Javascript, "tests/plugin.test.js", "tests/component.test.js"),
        ] {
            for kind in Kind::ALL {
                let folder = tempfile::tempdir().unwrap();
                let folder = folder.path().join("a-plugin");
                new("a-plugin", kind, language, &folder).unwrap();
                for file in [source, manifest, "README.md", ".gitignore"] {
                    let text = std::fs::read_to_string(folder.join(file)).unwrap();
                    assert!(!text.contains("{{"), "{language} {kind}: {file} has a gap: {text}");
                    assert!(!text.contains("<<<<<<<"), "{language} {kind}: {file} was not merged: {text}");
                }
                let guide = std::fs::read_to_string(folder.join("README.md")).unwrap();
                assert!(guide.contains("quarterdeck plugin install "), "{language} {kind}: {guide}");
                assert_eq!(guide.contains("every = \"5s\""), kind == Kind::Collector, "{language} {kind}: {guide}");
                assert_eq!(Language::of(&folder).unwrap(), language);
                assert!(folder.join("quarterdeck/wit/host/host.wit").is_file());
                assert!(new("a-plugin", kind, language, &folder).is_err(), "nothing is overwritten");
            }
        }
    }

    #[test]
    fn a_rust_plugin_exports_its_kind_and_its_sdk_stands_alone() {
        for kind in Kind::ALL {
            let folder = tempfile::tempdir().unwrap();
            new("a-plugin", kind, Language::Rust, folder.path()).unwrap();
            let source = std::fs::read_to_string(folder.path().join("src/lib.rs")).unwrap();
            let export = format!("quarterdeck_sdk::export!(APlugin: {});", kind.as_str().replace('-', "_"));
            assert!(source.contains(&export), "{kind}: {source}");
            for manifest in ["Cargo.toml", "macros/Cargo.toml"] {
                let path = folder.path().join("quarterdeck/sdk/rust").join(manifest);
                let manifest = std::fs::read_to_string(path).unwrap();
                assert!(!manifest.contains("workspace"), "the SDK stands alone: {manifest}");
            }
        }
    }

    #[test]
    fn a_name_that_the_host_would_refuse_is_refused_here() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "Wave", "a--b", "-a", "a_b", "9a", "../a"] {
            assert!(new(bad, Kind::Collector, Language::Rust, &folder.path().join("x")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_plugin_that_is_named_as_its_kind_has_a_type_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        new("collector", Kind::Collector, Language::Python, folder.path()).unwrap();
        let source = std::fs::read_to_string(folder.path().join("src/plugin.py")).unwrap();
        assert!(source.contains("class CollectorPlugin(Collector[Config])"), "{source}");
    }
}
