//! One look at the plugins folder: what is new, changed or gone, and what follows from it.

use super::Runtime;
use super::announce::PLUGIN_REFUSED;
use crate::cache::digest;
use crate::catalog::{Found, Stamp};
use crate::compile::MAX_COMPONENT_BYTES;
use crate::plugin::{Header, Version, header};
use quarterdeck_model::plugin::Digest;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Marks bundled plugins that were refused, among the files.
pub(super) const BUNDLED: &str = "bundled/";

/// A file that ends in the middle and was written this recently is taken to be still on its way.
const SETTLING: Duration = Duration::from_secs(2);

/// A file has to be missing for this long: editors and copiers move the old file away, or delete it, before the new one is there.
const GRACE: Duration = Duration::from_millis(800);

/// When a file that is still on its way is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a file turned out to hold.
struct Content {
    file: String,
    stamp: Stamp,
    digest: Option<Digest>,
    result: Result<Arc<Version>, String>,
}

enum Read {
    Whole(Vec<u8>),
    /// It changed while it was read, or ends in the middle and is fresh.
    StillWritten,
    Unusable(String),
}

impl Runtime {
    /// Looks at the folder until no file is on its way any more.
    pub(super) async fn scan_until_quiet(&self) {
        while self.scan().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Looks at the folder once. True: a file is still being written, or missing since a moment: look again soon.
    pub(super) async fn scan(&self) -> bool {
        let Some(folder) = &self.plugins_dir else { return false };
        let _changing = self.changing.lock().await;
        let present = match list(folder) {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the plugins folder can't be read");
                return false;
            }
        };
        let (changed, gone, waiting): (Vec<(String, Stamp)>, Vec<String>, bool) = {
            let mut catalog = self.catalog();
            let is_present = |file: &str| file.starts_with(BUNDLED) || present.contains_key(file);
            let (gone, waiting) = catalog.missing(is_present, GRACE);
            let is_new = |file: &str, stamp: &Stamp| catalog.files.get(file).is_none_or(|found| found.stamp != *stamp);
            let changed = present.iter().filter(|(file, stamp)| is_new(file, stamp));
            (changed.map(|(file, stamp)| (file.clone(), *stamp)).collect(), gone, waiting)
        };
        if changed.is_empty() && gone.is_empty() {
            return waiting;
        }
        let asked = changed.len();
        let loads = changed.into_iter().map(|(file, stamp)| self.content(folder, file, stamp));
        let contents: Vec<Content> = futures::future::join_all(loads).await.into_iter().flatten().collect();
        let look_again = waiting || contents.len() < asked;
        for name in self.take_over(contents, gone) {
            self.settle(&name, None).await;
            if self.catalog().current(&name).is_none() {
                self.forget(&name);
            }
        }
        look_again
    }

    /// Reads and loads a file. `None`: it is still being written.
    async fn content(&self, folder: &Path, file: String, stamp: Stamp) -> Option<Content> {
        let path = folder.join(&file);
        let read = tokio::task::spawn_blocking(move || read(&path, stamp)).await;
        let bytes = match read {
            Ok(Ok(Read::Whole(bytes))) => bytes,
            Ok(Ok(Read::StillWritten)) => return None,
            Ok(Ok(Read::Unusable(reason))) => return Some(Content { file, stamp, digest: None, result: Err(reason) }),
            // Gone in between: the next look finds that.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Ok(Err(error)) => {
                let result = Err(format!("it can't be read: {error}"));
                return Some(Content { file, stamp, digest: None, result });
            }
            Err(error) => {
                let result = Err(format!("it can't be read: {error}"));
                return Some(Content { file, stamp, digest: None, result });
            }
        };
        let digest = digest(&bytes);
        let loaded = self.catalog().by_digest(&digest);
        let result = match loaded {
            Some(version) => Ok(version),
            None => {
                let now = self.clock.now();
                self.loader.load(&self.ground, bytes.into(), digest.clone(), file.clone(), now).await
            }
        };
        Some(Content { file, stamp, digest: Some(digest), result })
    }

    /// Notes what the files hold. Gives back the names whose version may have to change.
    fn take_over(&self, contents: Vec<Content>, gone: Vec<String>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut catalog = self.catalog();
        for file in gone {
            let version = catalog.files.remove(&file).and_then(|found| found.version);
            names.extend(version.map(|version| version.reference.name.clone()));
        }
        for Content { file, stamp, digest, result } in contents {
            let before = catalog.files.remove(&file);
            let old = before.as_ref().and_then(|found| found.version.clone());
            let at = self.clock.now();
            let found = match result {
                Ok(version) => {
                    names.insert(version.reference.name.clone());
                    names.extend(old.map(|old| old.reference.name.clone()));
                    Found { stamp, digest, version: Some(version), refused: None, at, missing_since: None }
                }
                Err(reason) => {
                    let subject = old.as_ref().map_or_else(|| stem(&file), |old| &old.reference.name).to_owned();
                    let data = json!({"file": file, "reason": reason, "digest": digest,
                        "goes-on": old.as_ref().map(|old| &old.reference)});
                    self.announcer.say(PLUGIN_REFUSED, &subject, old.as_ref().map(|old| old.reference.clone()), data);
                    Found { stamp, digest, version: old, refused: Some(reason), at, missing_since: None }
                }
            };
            catalog.files.insert(file, found);
        }
        names
    }
}

fn stem(file: &str) -> &str {
    file.strip_suffix(".wasm").unwrap_or(file)
}

/// Whether a file of that name is meant to be a plugin: editors' and copiers' temporary files are not.
pub(super) fn is_candidate(file: &str) -> bool {
    let temporary = file.starts_with(['.', '#', '~']) || file.contains(".tmp.") || file.contains(".part.");
    file.len() > ".wasm".len() && file.ends_with(".wasm") && !temporary
}

/// The regular files (also behind links) that are meant to be plugins.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut present = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !is_candidate(&file) {
            continue;
        }
        // A link that leads nowhere, or a file that is gone again.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_file() {
            present.insert(file, stamp(&metadata));
        }
    }
    Ok(present)
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified_nanos: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
    }
}

fn read(path: &Path, expected: Stamp) -> io::Result<Read> {
    if expected.bytes > MAX_COMPONENT_BYTES {
        let reason =
            format!("{} bytes are more than the {MAX_COMPONENT_BYTES} that a component may have", expected.bytes);
        return Ok(Read::Unusable(reason));
    }
    let bytes = fs::read(path)?;
    let metadata = fs::metadata(path)?;
    if stamp(&metadata) != expected || u64::try_from(bytes.len()) != Ok(expected.bytes) {
        return Ok(Read::StillWritten);
    }
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    if header(&bytes) == Header::Incomplete && age.is_some_and(|age| age < SETTLING) {
        return Ok(Read::StillWritten);
    }
    Ok(Read::Whole(bytes))
}

#[cfg(test)]
mod tests {
    use super::is_candidate;

    #[test]
    fn temporary_files_are_no_plugins() {
        for file in ["a.wasm", "http-probe.v2.wasm"] {
            assert!(is_candidate(file), "{file}");
        }
        let temporary = [
            ".a.wasm",
            ".a.wasm.swp",
            "a.wasm~",
            "#a.wasm#",
            "a.wasm.tmp",
            "a.wasm.part",
            "a.tmp.wasm",
            ".wasm",
            "a.txt",
        ];
        for file in temporary {
            assert!(!is_candidate(file), "{file}");
        }
    }
}
