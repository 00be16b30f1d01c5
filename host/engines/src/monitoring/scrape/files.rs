//! Files of targets: which there are, and what they hold.

use super::target::{ADDRESS, Discovered};
use quarterdeck_model::brief;
use quarterdeck_model::domain::scrape::TargetGroup;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tracing::warn;

/// Nobody lists more by hand, nor should a program.
const LARGEST: u64 = 64 << 20;

/// A file, as it was read last.
#[derive(Clone, Debug)]
pub(super) struct File {
    written: Option<SystemTime>,
    bytes: u64,
    targets: Vec<Discovered>,
    /// It could be read, now or before.
    is_sure: bool,
}

pub(super) type Files = BTreeMap<PathBuf, File>;

/// Reads what is new or has changed. A file that can't be read, or is no list of targets, leaves what it held before. Blocks on the
/// disk.
pub(super) fn read(patterns: &[String], before: &Files) -> Files {
    let mut files = Files::new();
    for path in patterns.iter().flat_map(|pattern| matching(pattern)) {
        let known = before.get(&path);
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let (written, bytes) = (metadata.modified().ok(), metadata.len());
        if let Some(known) = known.filter(|known| known.written == written && known.bytes == bytes) {
            files.insert(path, known.clone());
            continue;
        }
        match targets(&path, bytes) {
            Ok(targets) => {
                files.insert(path, File { written, bytes, targets, is_sure: true });
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "a file of targets can't be read; what it held before stays");
                let (targets, is_sure) = known.map(|known| (known.targets.clone(), known.is_sure)).unwrap_or_default();
                files.insert(path, File { written, bytes, targets, is_sure });
            }
        }
    }
    files
}

pub(super) fn found(files: &Files) -> impl Iterator<Item = &Discovered> {
    files.values().flat_map(|file| &file.targets)
}

/// Whether each of them could be read at least once.
pub(super) fn is_sure(files: &Files) -> bool {
    files.values().all(|file| file.is_sure)
}

fn matching(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    if !name.contains('*') {
        return vec![path.to_owned()];
    }
    let Ok(glob) = globset::Glob::new(name).map(|glob| glob.compile_matcher()) else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| glob.is_match(entry.file_name())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// YAML, which JSON is.
fn targets(path: &Path, bytes: u64) -> Result<Vec<Discovered>, String> {
    if bytes > LARGEST {
        return Err(format!("it has {bytes} bytes, more than the {LARGEST} that are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let groups: Vec<TargetGroup> = if text.trim().is_empty() {
        if is_json {
            // As Prometheus reads it. A file that is being written is empty for a moment.
            return Err("it is empty, which is no JSON; hint: a list of no targets is `[]`".to_owned());
        }
        Vec::new()
    } else {
        let value = quarterdeck_config::parse_texts(path, &text).map_err(|problems| problems.to_string())?;
        serde_json::from_value(value).map_err(|error| brief(&error.to_string()))?
    };
    let mut found = Vec::new();
    for group in groups {
        for target in &group.targets {
            let mut labels: Discovered = group.labels.0.clone().into_iter().collect();
            labels.insert(ADDRESS.to_owned(), target.clone());
            labels.insert("__meta_filepath".to_owned(), path.display().to_string());
            found.push(labels);
        }
    }
    Ok(found)
}
