//! Which files there are, and what is laid over what.

mod look;
mod objects;
mod rest;
mod strays;

pub use look::Look;

use crate::place::{Place, push};
use crate::problem::{Problem, Problems, nearest};
use crate::settings::Settings;
use crate::tree::{Kind, Node, Places};
use crate::{alertmanager_file, doubts, meaning, read, schema, shape, variables};
use quarterdeck_model::brief;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BUILT_INS: &str = include_str!("../../../config/defaults.toml");

/// Where a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The configuration folder. Without one, the built-in configuration holds, under variables and flags.
    pub dir: Option<PathBuf>,
    /// The main file, instead of `quarterdeck.toml` in the folder. Must exist.
    pub file: Option<PathBuf>,
    /// Name of the overlay: `environments/<name>.toml`. Must exist.
    pub environment: Option<String>,
    /// Where it was named: a variable or a flag.
    pub environment_from: Option<Place>,
    /// The environment. Whatever does not start with `QUARTERDECK_` is passed over.
    pub variables: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

/// The API's word about one object: it lies over the files and the overlay, and replaces the whole object.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// `instances`, `rules` ...: see [`sections`].
    pub section: String,
    /// `http-probe/shop`.
    pub name: String,
    /// The object as a file would hold it. `None`: there is none of that name, whatever the files say.
    pub value: Option<Value>,
}

impl Word {
    /// JSON Pointer of the object.
    pub fn pointer(&self) -> String {
        push(&push("", &self.section), &self.name)
    }
}

/// A setting from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Dotted: `storage.keep-events`.
    pub path: String,
    pub value: String,
    /// As it was typed, for messages: `--listen`.
    pub name: String,
}

/// A configuration that is valid.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Where each value was written.
    pub places: Places,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// What was passed over, and what can never work: for whoever wonders why it has no effect.
    pub warnings: Vec<Problem>,
    /// `sha256:<64 hex>` of [`Loaded::value`].
    pub digest: String,
}

impl Loaded {
    /// All settings, defaults too, as JSON: what is shown, kept and compared. Made anew each time: it is several times as large as
    /// the settings are, and seldom asked for.
    pub fn value(&self) -> Value {
        serde_json::to_value(&self.settings).unwrap_or_default()
    }

    /// Where the value at a JSON Pointer was written, for a person: `config/quarterdeck.toml:3:1`. Empty where its default
    /// holds.
    pub fn place(&self, pointer: &str) -> String {
        self.places.of(pointer).map(ToString::to_string).unwrap_or_default()
    }

    /// A mistake that only another part can see (a plugin, its configuration), with the place of the value, or of what is
    /// around it where the value itself was not written.
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        Problem::at(&self.places.0.around(pointer).place, pointer, message)
    }
}

/// Reads every layer. Blocks on the disk.
///
/// # Errors
/// Everything that is wrong with any of them, at once.
pub fn load(source: Source) -> Result<Loaded, Problems> {
    Base::read(source).with(&[])
}

/// What the files hold, read once: the API's words can be laid over it again and again, whatever becomes of the files.
#[derive(Clone, Debug)]
pub struct Base {
    source: Source,
    written: Node,
    files: Vec<PathBuf>,
    main: Option<PathBuf>,
    /// Of a configuration of Alertmanager: who is behind them is known when everything is laid over the files.
    receivers: Vec<alertmanager_file::Receiver>,
    /// What can't be read.
    unreadable: Vec<Problem>,
    /// Files that look as if they were meant, and are not read.
    strays: Vec<Problem>,
}

impl Base {
    /// Reads the files. What is wrong with them is said by [`Base::with`]. Blocks on the disk.
    pub fn read(source: Source) -> Self {
        let mut problems = Vec::new();
        let mut files = Vec::new();
        let mut written = Node::table(Place::Default);
        let main = main_file(&source);
        if let Some(path) = &main {
            if let Some(node) = read::file(path, &mut problems) {
                written.merge(anchored(node, folder_of(path)));
            }
            files.push(path.clone());
        }
        if let Some(dir) = &source.dir {
            objects::read(dir, &mut written, &mut files, &mut problems);
        }
        if let Some(path) = overlay(&source, &mut problems) {
            if let Some(node) = read::file(&path, &mut problems) {
                written.merge(anchored(node, folder_of(&path)));
            }
            files.push(path);
        }
        let receivers = alertmanager_file::read(&mut written, &mut files, &mut problems);
        let strays = source.dir.as_ref().map(|dir| strays::find(dir, &files)).unwrap_or_default();
        Base { source, written, files, main, receivers, unreadable: problems, strays }
    }

    /// A configuration that holds what it is given, and stands in no file.
    pub(crate) fn of(written: Node) -> Self {
        let (files, receivers) = (Vec::new(), Vec::new());
        let (unreadable, strays) = (Vec::new(), Vec::new());
        Base { source: Source::default(), written, files, main: None, receivers, unreadable, strays }
    }

    /// Whether the files were the same when this was read, down to the places of what they say.
    pub fn same_files(&self, other: &Base) -> bool {
        (&self.written, &self.files, &self.main, &self.receivers, &self.unreadable, &self.strays)
            == (&other.written, &other.files, &other.main, &other.receivers, &other.unreadable, &other.strays)
    }

    /// Every file that was read, or could not be.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The main file, where there was one.
    pub fn main_file(&self) -> Option<&Path> {
        self.main.as_deref()
    }

    /// Lays the API's words over the files, and variables and flags over those.
    ///
    /// # Errors
    /// Everything that is wrong with any layer, at once.
    pub fn with(&self, words: &[Word]) -> Result<Loaded, Problems> {
        // What can't be read makes other things look wrong: names that are missed, keys in the wrong table.
        let mut problems = self.unreadable.clone();
        let (root, warnings) = self.lay(words, &mut problems);
        let strict = schema::strict();
        let mut shape = Vec::new();
        shape::check(&root, &strict, &mut shape);
        let said = |problem: &Problem| self.unreadable.iter().any(|broken| same_file(broken, problem));
        problems.extend(shape.into_iter().filter(|problem| !said(problem)));
        if self.unreadable.is_empty() {
            meaning::check(&root, &mut problems);
        }
        if !problems.is_empty() {
            return Err(Problems::sorted(problems));
        }
        let other =
            |message: String| Problems(vec![Problem { place: None, pointer: String::new(), message, hint: None }]);
        self.loaded(root, warnings).map_err(other)
    }

    /// All layers, one over the other, and what is passed over.
    fn lay(&self, words: &[Word], problems: &mut Vec<Problem>) -> (Node, Vec<Problem>) {
        let (source, strict) = (&self.source, schema::strict());
        let built_in = wants_built_ins(&self.written, source);
        let mut root = if built_in { built_ins(problems) } else { Node::table(Place::Default) };
        root.merge(self.written.clone());
        objects::lay(&mut root, words, source.dir.as_deref());
        let mut warnings = self.strays.clone();
        for (name, value) in &source.variables {
            warnings.extend(variables::variable(&mut root, &strict, name, value, problems));
        }
        for flag in &source.flags {
            variables::flag(&mut root, &strict, &flag.path, &flag.value, &flag.name);
        }
        warnings.extend(alertmanager_file::complete(&mut root, &self.receivers));
        (root, warnings)
    }

    /// The settings of a tree in which nothing is wrong.
    fn loaded(&self, root: Node, warnings: Vec<Problem>) -> Result<Loaded, String> {
        let settings: Settings = serde_json::from_value(root.to_value()).map_err(|error| brief(&error.to_string()))?;
        let value = serde_json::to_value(&settings).map_err(|error| error.to_string())?;
        let hash = Sha256::digest(value.to_string().as_bytes());
        let digest = hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        let places = Places(root);
        let mut loaded = Loaded { settings, places, files: self.files.clone(), warnings, digest };
        let doubts = doubts::of(&loaded);
        loaded.warnings.extend(doubts);
        Ok(loaded)
    }
}

/// What is wrong with rule groups that stand alone.
pub(crate) fn check_groups_only(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    shape::check(root, &schema::strict(), &mut problems);
    meaning::check_groups(root, &mut problems);
    problems
}

fn same_file(one: &Problem, other: &Problem) -> bool {
    match (&one.place, &other.place) {
        (Some(Place::File { path: one, .. }), Some(Place::File { path: other, .. })) => one == other,
        _ => false,
    }
}

fn main_file(source: &Source) -> Option<PathBuf> {
    let beside = || source.dir.as_ref().map(|dir| dir.join("quarterdeck.toml")).filter(|path| is_there(path));
    source.file.clone().or_else(beside)
}

/// Whether something of this name is there, be it a link that leads nowhere: that one is not the same as no file.
fn is_there(path: &Path) -> bool {
    let missing = |kind| matches!(kind, std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory);
    std::fs::symlink_metadata(path).map_or_else(|error| !missing(error.kind()), |_| true)
}

fn overlay(source: &Source, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let name = source.environment.as_deref().filter(|name| !name.is_empty())?;
    let mut complain = |message: String, hint: String| {
        let place = source.environment_from.clone();
        problems.push(Problem { place, pointer: String::new(), message, hint: Some(hint) });
        None
    };
    let Some(dir) = &source.dir else {
        return complain(
            format!("there is no environment `{name}` without a configuration folder"),
            "name one with --config-dir".to_owned(),
        );
    };
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return complain(
            format!("`{name}` is no name of an environment"),
            "an environment is called as its file in `environments`, without `.toml`".to_owned(),
        );
    }
    let folder = dir.join("environments");
    let path = folder.join(format!("{name}.toml"));
    if is_there(&path) {
        return Some(path);
    }
    let mut known: Vec<String> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
        .collect();
    known.sort();
    let foreign = ["yaml", "yml"].map(|extension| folder.join(format!("{name}.{extension}")));
    let hint = if let Some(foreign) = foreign.iter().find(|foreign| is_there(foreign)) {
        format!("an overlay is written in TOML: make {} of {}", path.display(), foreign.display())
    } else {
        match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => format!("write {}", path.display()),
            None => format!("there are {}", known.join(", ")),
        }
    };
    complain(format!("there is no environment `{name}`"), hint)
}

fn wants_built_ins(written: &Node, source: &Source) -> bool {
    let variable = source.variables.iter().rev().find(|(name, _)| name == "QUARTERDECK_BUILT_INS");
    let flag = source.flags.iter().rev().find(|flag| flag.path == "built-ins");
    let outermost = flag.map(|flag| &flag.value).or(variable.map(|(_, value)| value));
    match outermost {
        Some(text) => text.trim() != "false",
        None => written.get("built-ins").is_none_or(|node| node.to_value() != Value::Bool(false)),
    }
}

fn built_ins(problems: &mut Vec<Problem>) -> Node {
    let path: Arc<Path> = Path::new("defaults.toml").into();
    let node = read::text_as(&path, BUILT_INS, problems).unwrap_or_else(|| Node::table(Place::Default));
    Node::from_value(&Place::Default, node.to_value())
}

/// The folder that paths in a file are relative to: its own; of an overlay, the one above `environments`.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(Path::new(""));
    let above = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == "environments"));
    above.unwrap_or(folder)
}

/// Makes relative paths absolute; `~/` is the home.
fn anchored(mut node: Node, folder: &Path) -> Node {
    let anchor = |node: &mut Node| {
        let Kind::Scalar(Value::String(text)) = &mut node.kind else { return };
        let at_home = text.strip_prefix("~/").and_then(|rest| Some(std::env::home_dir()?.join(rest)));
        match at_home {
            Some(path) => *text = path.display().to_string(),
            None if !text.is_empty() && Path::new(text).is_relative() => {
                *text = folder.join(&*text).display().to_string();
            }
            None => {}
        }
    };
    if let Kind::Table(entries) = &mut node.kind {
        for key in ["data-dir", "plugins-dir"] {
            entries.get_mut(key).into_iter().for_each(anchor);
        }
        if let Some(Node { kind: Kind::Table(alerting), .. }) = entries.get_mut("alerting") {
            alerting.get_mut("file").into_iter().for_each(anchor);
        }
        if let Some(Node { kind: Kind::Table(secrets), .. }) = entries.get_mut("secrets") {
            for (_, secret) in secrets.iter_mut() {
                if let Kind::Table(source) = &mut secret.kind {
                    source.get_mut("file").into_iter().for_each(anchor);
                }
            }
        }
    }
    node
}
