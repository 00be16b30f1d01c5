//! The plugins folder as it lies on the disk: which files there are, and what they hold.

use crate::cache::digest;
use crate::catalog::Stamp;
use crate::compile::MAX_COMPONENT_BYTES;
use crate::plugin::{Header, header};
use quarterdeck_model::plugin::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that ends in the middle and was written this recently is taken to be still on its way.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) enum Read {
    Whole(Vec<u8>, Digest),
    /// It changed while it was read, or ends in the middle and is fresh.
    StillWritten,
    Unusable(String),
}

/// Whether a file of that name is meant to be a plugin: editors' and copiers' temporary files are not.
pub(super) fn is_candidate(file: &str) -> bool {
    let temporary = file.starts_with(['.', '#', '~']) || file.contains(".tmp.") || file.contains(".part.");
    file.len() > ".wasm".len() && file.ends_with(".wasm") && !temporary
}

/// The regular files (also behind links) that are meant to be plugins.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut present = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !is_candidate(&file) {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => {
                present.insert(file, stamp(&metadata));
            }
            Ok(_) => {}
            // A link that leads nowhere, or a file that is gone again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is there. Why it can't be looked at is found, and said, when it is read.
            Err(_) => {
                present.insert(file, Stamp::default());
            }
        }
    }
    Ok(present)
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified_nanos: nanos(metadata.mtime(), metadata.mtime_nsec()),
        changed_nanos: nanos(metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

/// Whether the file still has that content, as far as can be told.
pub(super) fn is_still(path: &Path, expected: Stamp) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => stamp(&metadata) == expected,
        Err(error) => error.kind() != io::ErrorKind::NotFound && expected == Stamp::default(),
    }
}

pub(super) fn read(path: &Path, expected: Stamp) -> io::Result<Read> {
    if expected.bytes > MAX_COMPONENT_BYTES {
        let reason =
            format!("{} bytes are more than the {MAX_COMPONENT_BYTES} that a component may have", expected.bytes);
        return Ok(Read::Unusable(reason));
    }
    let mut file = fs::File::open(path)?;
    if stamp(&file.metadata()?) != expected {
        return Ok(Read::StillWritten);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected.bytes).unwrap_or(0));
    // No more than there was, should it grow meanwhile.
    file.by_ref().take(expected.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    let metadata = fs::metadata(path)?;
    if stamp(&metadata) != expected || u64::try_from(bytes.len()) != Ok(expected.bytes) {
        return Ok(Read::StillWritten);
    }
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    if header(&bytes) == Header::Incomplete && age.is_some_and(|age| age < SETTLING) {
        return Ok(Read::StillWritten);
    }
    let digest = digest(&bytes);
    Ok(Read::Whole(bytes, digest))
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
