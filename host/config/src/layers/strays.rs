//! Files in the configuration's folder that look as if they were meant, and are not read: a name of a section with a slip in it, an
//! ending that is none of ours, a folder too deep. Warnings: whoever put them there may know.

use super::BUILT_INS;
use crate::meaning::object_sections;
use crate::place::Place;
use crate::problem::{Problem, nearest};
use crate::scrape_file;
use std::path::{Path, PathBuf};

/// Who has more of them looks at the first ones.
const MOST: usize = 20;
/// Folders in folders that are looked into.
const DEEPEST: usize = 4;
const MAIN: &str = "quarterdeck.toml";
const OVERLAYS: &str = "environments";
const PLUGINS: &str = "plugins";

/// `files`: those that are read.
pub(super) fn find(dir: &Path, files: &[PathBuf]) -> Vec<Problem> {
    let mut found = Vec::new();
    for path in entries(dir) {
        let name = name(&path);
        match (path.is_dir(), name.as_str()) {
            (true, PLUGINS) => {}
            (true, OVERLAYS) => entries(&path).iter().for_each(|path| found.extend(overlay(path))),
            (true, section) if object_sections().contains(section) => objects(section, &path, &mut found),
            (true, _) => found.extend(folder(&path, &name)),
            (false, _) if files.contains(&path) => {}
            (false, _) => found.extend(file(&path, &name)),
        }
    }
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    if more > 0 {
        found.push(at(dir, format!("{more} more files and folders are not read")));
    }
    found
}

/// What is hidden, a reminder, or left behind by an editor, is nobody's configuration.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let passed_over = |name: &str| name.starts_with(['.', '#']) || name.ends_with('~') || name.starts_with("README");
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut listed: Vec<PathBuf> = listed.filter(|path| !passed_over(&name(path))).collect();
    listed.sort();
    listed
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn at(path: &Path, message: impl Into<String>) -> Problem {
    Problem::at(&Place::File { path: path.into(), line: 1, column: 1 }, "", message)
}

/// A folder in the configuration's own that is none of those that are read.
fn folder(path: &Path, name: &str) -> Option<Problem> {
    let known: Vec<&str> = object_sections().into_iter().chain([OVERLAYS, PLUGINS]).collect();
    match nearest(name, known.iter().copied()) {
        Some(meant) => holds(path, 0, &|_| true)
            .then(|| at(path, "nothing in this folder is read").hint(format!("did you mean `{meant}`?"))),
        // YAML may be anybody's.
        None => holds(path, 0, &|ending| ending == "toml").then(|| {
            at(path, "nothing in this folder is read").hint(format!("folders that are read: {}", known.join(", ")))
        }),
    }
}

/// A file beside the main one.
fn file(path: &Path, name: &str) -> Option<Problem> {
    let unread = || at(path, "this file is not read");
    if object_sections().contains(name) {
        return Some(unread().hint("a folder is expected, with files in it"));
    }
    let (stem, ending) = (path.file_stem()?.to_string_lossy(), ending(path)?);
    let is_builtin = || name == "defaults.toml" && std::fs::read_to_string(path).is_ok_and(|text| text == BUILT_INS);
    if name == MAIN || !matches!(ending.as_str(), "toml" | "yaml" | "yml" | "json") || is_builtin() {
        return None;
    }
    if nearest(&stem, ["quarterdeck"]).is_some() {
        return Some(unread().hint(format!("the main file is written in TOML, and called `{MAIN}`")));
    }
    if let Some(section) = nearest(&stem, object_sections()) {
        return Some(unread().hint(format!("objects are read from files in the folder `{section}`: move it there")));
    }
    // Of other formats there may be any in a folder: targets, templates, what other programs read.
    let hint = format!("`{MAIN}` is, and the folders beside it: move it to the one that its objects belong to");
    (ending == "toml").then(|| unread().hint(hint))
}

fn overlay(path: &Path) -> Option<Problem> {
    if path.is_dir() {
        return holds(path, 0, &|_| true)
            .then(|| at(path, "nothing in this folder is read").hint(format!("move its files up to `{OVERLAYS}`")));
    }
    let is_read = path.extension().is_some_and(|extension| extension == "toml");
    let wrong = !is_read && ending(path).is_some();
    wrong.then(|| at(path, "this file is not read").hint("an overlay is written in TOML, and its name ends in `.toml`"))
}

fn objects(section: &str, folder: &Path, found: &mut Vec<Problem>) {
    // Files of targets and secrets themselves may stand there: how they are called, and where, is said elsewhere.
    let has_others = matches!(section, scrape_file::SECTION | "secrets");
    for path in entries(folder) {
        if !path.is_dir() {
            found.extend(object(&path, has_others));
            continue;
        }
        for path in entries(&path) {
            if !path.is_dir() {
                found.extend(object(&path, has_others));
            } else if !has_others && holds(&path, 0, &|_| true) {
                let problem = at(&path, "nothing in this folder is read");
                found.push(problem.hint(format!("folders in a folder of `{section}` are too deep: move the files up")));
            }
        }
    }
}

fn object(path: &Path, has_others: bool) -> Option<Problem> {
    let written = path.extension()?.to_str()?;
    if matches!(written, "toml" | "yaml" | "yml") {
        return None;
    }
    let hint = match ending(path)?.as_str() {
        "json" if has_others => return None,
        "json" => "JSON is YAML: let its name end in `.yaml`".to_owned(),
        meant => format!("let its name end in `.{meant}`"),
    };
    Some(at(path, "this file is not read").hint(hint))
}

/// The ending that a file's name has, or was to have: of ours, or JSON's.
fn ending(path: &Path) -> Option<String> {
    let written = path.extension()?.to_str()?.to_lowercase();
    if matches!(written.as_str(), "toml" | "yaml" | "yml" | "json") {
        return Some(written);
    }
    nearest(&written, ["toml", "yaml"]).map(str::to_owned)
}

/// Whether there is a file in the folder, at any depth, that looks like one of a configuration.
fn holds(folder: &Path, depth: usize, wanted: &dyn Fn(&str) -> bool) -> bool {
    depth < DEEPEST
        && entries(folder).iter().any(|path| {
            if path.is_dir() {
                holds(path, depth + 1, wanted)
            } else {
                ending(path).is_some_and(|found| wanted(&found))
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = format!("{}/", dir.path().display());
        let read: Vec<PathBuf> = vec![dir.path().join("alertmanager.toml")];
        find(dir.path(), &read).iter().map(|problem| problem.to_string().replace(&root, "")).collect()
    }

    #[test]
    fn files_that_look_meant_and_are_not_read_are_named_with_what_was_meant() {
        let wrong = [
            "rulez/a.toml",
            "rules/a.json",
            "rules/a.TOML",
            "rules/b.yamll",
            "instances/a/b/c.toml",
            "environments/s.yaml",
            "Quarterdeck.yml",
            "routes.toml",
            "slos",
            "more/a.toml",
        ];
        let expected = [
            "Quarterdeck.yml:1:1: this file is not read; hint: the main file is written in TOML, and called `quarterdeck.toml`",
            "environments/s.yaml:1:1: this file is not read; hint: an overlay is written in TOML, and its name ends in `.toml`",
            "instances/a/b:1:1: nothing in this folder is read; hint: folders in a folder of `instances` are too deep: move the files up",
            "more:1:1: nothing in this folder is read; hint: folders that are read: ",
            "routes.toml:1:1: this file is not read; hint: objects are read from files in the folder `routes`: move it there",
            "rules/a.TOML:1:1: this file is not read; hint: let its name end in `.toml`",
            "rules/a.json:1:1: this file is not read; hint: JSON is YAML: let its name end in `.yaml`",
            "rules/b.yamll:1:1: this file is not read; hint: let its name end in `.yaml`",
            "rulez:1:1: nothing in this folder is read; hint: did you mean `rules`?",
            "slos:1:1: this file is not read; hint: a folder is expected, with files in it",
        ];
        let said = said(&wrong);
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn what_is_read_and_what_is_nobodys_configuration_is_passed_over() {
        let fine = [
            "quarterdeck.toml",
            "alertmanager.toml",
            "alertmanager.yml",
            "targets.json",
            "plugins/a.toml",
            "rules/a.toml",
            "rules/deep/a.yml",
            "rules/.a.toml.swp",
            "rules/a.toml~",
            "rules/#a.toml#",
            "rules/4913",
            "rules/a.toml.bak",
            "rules/README.md",
            "rules/notes.md",
            "rules/mail.tmpl",
            "rules/page.html",
            "scrape/targets/deep/a.yml",
            "scrape/targets.json",
            "templates/a.yml",
            "environments/production.toml",
            "..2024_01_01/rulez/a.toml",
        ];
        assert_eq!(said(&fine), [] as [String; 0]);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        assert!(find(&own, &[]).is_empty(), "{:?}", find(&own, &[]));
    }

    #[test]
    fn very_many_are_counted() {
        let many: Vec<String> = (0..50).map(|number| format!("rules/{number}.json")).collect();
        let said = said(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.len() == MOST + 1 && said[MOST].ends_with("30 more files and folders are not read"), "{said:?}");
    }
}
