//! The folders of declarative objects beside the main file: `rules/`, `slos/`, `runbooks/` ...
//!
//! A file holds many objects under their section (`[rules.cpu-high]`), or one, which is then named as the file is:
//! `runbooks/restart.yaml`, `instances/http-probe/api.toml`. Only `.toml`, `.yaml` and `.yml` count, and no hidden file.
//!
//! A YAML file in `rules/` that holds `groups` is one of Prometheus's: its groups are objects of `rule-groups`. So is one in `scrape/`
//! that holds `scrape_configs`; one that is a list holds targets, and is none of the configuration.

use crate::layers::{Word, anchored};
use crate::meaning::object_sections;
use crate::place::{Place, push};
use crate::problem::Problem;
use crate::read;
use crate::rule_file;
use crate::scrape_file;
use crate::tree::{Kind, Node, Table};
use std::path::{Path, PathBuf};

/// Adds what the folders hold to what the main file holds.
pub(super) fn read(dir: &Path, written: &mut Node, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
    for section in object_sections() {
        let folder = dir.join(section);
        for path in object_files(&folder, problems) {
            if let Some(text) = read::text(&path, problems) {
                let (section, objects) = match of_prometheus(section, &folder, &path, &text, problems) {
                    Some(found) => found,
                    None => match read::text_as(&path.as_path().into(), &text, problems) {
                        Some(node) => (section, objects(section, &folder, &path, node, problems)),
                        None => (section, Table::new()),
                    },
                };
                add(section, objects, written, problems);
            }
            files.push(path);
        }
    }
}

/// What a file in Prometheus's format holds, and in which section that belongs; none if it is another file.
fn of_prometheus(
    section: &'static str,
    folder: &Path,
    path: &Path,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<(&'static str, Table)> {
    if !read::is_yaml(path) || !matches!(section, "rules" | scrape_file::SECTION) {
        return None;
    }
    let mut own = Vec::new();
    // What can't be read at all is said when it is read as any other file.
    let root = read::texts(&path.into(), text, &mut own)?;
    let found = match section {
        "rules" if rule_file::is_one(&root) => {
            problems.append(&mut own);
            (rule_file::SECTION, rule_file::groups(&name_of(folder, path), root, problems))
        }
        scrape_file::SECTION if scrape_file::is_one(&root) => {
            problems.append(&mut own);
            (section, scrape_file::jobs(path.parent().unwrap_or(folder), root, problems))
        }
        scrape_file::SECTION if scrape_file::is_of_targets(&root) => (section, Vec::new()),
        _ => return None,
    };
    Some((found.0, found.1.into_iter().collect()))
}

/// As the file is called, below its folder.
fn name_of(folder: &Path, path: &Path) -> String {
    let name = path.strip_prefix(folder).unwrap_or(path).with_extension("");
    name.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Lays the API's words on what the files hold: each replaces the object of its name, or takes it away.
pub(super) fn lay(root: &mut Node, words: &[Word], dir: Option<&Path>) {
    for word in words {
        let Kind::Table(sections) = &mut root.kind else { return };
        let Some(value) = &word.value else {
            if let Some(Node { kind: Kind::Table(objects), .. }) = sections.get_mut(&word.section) {
                objects.remove(&word.name);
            }
            continue;
        };
        let mut object = Node::table(Place::Api);
        object.kind = Kind::of(word.name.clone(), Node::from_value(&Place::Api, value.clone()));
        let mut layer = Node::table(Place::Api);
        layer.kind = Kind::of(word.section.clone(), object);
        let layer = anchored(layer, dir.unwrap_or(Path::new("")));
        let laid = sections.entry(word.section.clone()).or_insert_with(|| Node::table(Place::Api));
        if let (Kind::Table(below), Some(Node { kind: Kind::Table(objects), .. })) =
            (&mut laid.kind, layer.get(&word.section).cloned())
        {
            for (name, object) in objects {
                below.insert(name, object);
            }
        }
    }
}

/// Files that hold objects, in the folder and in those in it.
pub(super) fn object_files(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(problem) = broken_link(folder) {
        problems.push(problem);
        return found;
    }
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error)
                if depth == 0
                    && matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => {
                let place = Place::File { path: folder.as_path().into(), line: 1, column: 1 };
                problems.push(Problem::at(&place, "", format!("failed to read the folder: {error}")));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let wanted = path.extension().is_some_and(|e| e == "toml" || e == "yaml" || e == "yml");
            if hidden {
            } else if path.is_dir() && depth == 0 {
                folders.push((path, depth + 1));
            } else if wanted && path.is_file() {
                found.push(path);
            } else if wanted || (depth == 0 && path.extension().is_none()) {
                problems.extend(broken_link(&path));
            }
        }
    }
    found.sort();
    found
}

/// A link that leads nowhere is not the same as no file.
fn broken_link(path: &Path) -> Option<Problem> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    let error = std::fs::metadata(path).err().filter(|_| is_link)?;
    let place = Place::File { path: path.into(), line: 1, column: 1 };
    Some(Problem::at(&place, "", format!("the link leads nowhere: {error}")).hint("mend it, or take it away"))
}

/// The objects of one file, by name.
fn objects(section: &str, folder: &Path, path: &Path, node: Node, problems: &mut Vec<Problem>) -> Table {
    let has_section = node.get(section).is_some_and(|inner| matches!(inner.kind, Kind::Table(_)));
    let Node { kind: Kind::Table(mut entries), key, place } = node else {
        problems.push(Problem::at(&node.place, "", "expected a table"));
        return Table::new();
    };
    // A scan has `rules` too, but those are a list.
    if has_section {
        let inner = entries.remove(section);
        for (other, node) in entries {
            let problem = Problem::at(&node.key, &push("", &other), "unknown key");
            problems.push(
                problem.hint(format!(
                    "a file in `{section}` holds `{section}` only; `{other}` goes into quarterdeck.toml"
                )),
            );
        }
        return match inner {
            Some(Node { kind: Kind::Table(objects), .. }) => objects,
            _ => Table::new(),
        };
    }
    if entries.is_empty() {
        return Table::new();
    }
    [(name_of(folder, path), Node { kind: Kind::Table(entries), key, place })].into_iter().collect()
}

fn add(section: &str, objects: Table, written: &mut Node, problems: &mut Vec<Problem>) {
    for (name, node) in objects {
        if let Some(first) = written.get(section).and_then(|existing| existing.get(&name)) {
            let problem = Problem::at(&node.key, &push(&push("", section), &name), "declared twice");
            problems.push(problem.hint(format!("the first one is at {}", first.key)));
            continue;
        }
        let (key, place) = (node.key.clone(), node.place.clone());
        let Kind::Table(root) = &mut written.kind else { return };
        let entry = root.entry(section.to_owned());
        let table = entry.or_insert_with(|| Node { key, place, kind: Kind::Table(Table::new()) });
        // A section of the wrong type in the main file is reported as that.
        if let Kind::Table(existing) = &mut table.kind {
            existing.insert(name, node);
        }
    }
}
