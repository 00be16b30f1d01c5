//! The plugins folder as it lies on the disk: which files there are, and what they hold.

use crate::cache::digest;
use crate::catalog::{ENDING, Stamp, named};
use crate::compile::MAX_COMPONENT_BYTES;
use crate::plugin::{Header, header};
use quarterdeck_model::plugin::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
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

/// Whether a file of that name is a plugin: editors' and copiers' temporary files are not.
pub(super) fn is_candidate(file: &str) -> bool {
    file.ends_with(ENDING) && is_meant(file)
}

/// Whether a file of that name is meant to be a plugin: as it ends in `.WASM`, it is told that it is none.
pub(super) fn is_meant(file: &str) -> bool {
    let temporary = file.starts_with(['.', '#', '~']) || file.contains(".tmp.") || file.contains(".part.");
    !temporary && named(file).is_some_and(|name| !name.is_empty())
}

/// What there is in the folder that is meant to be a plugin.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) files: BTreeMap<String, Stamp>,
    /// Links that lead nowhere. What they led to may be gone for a moment, or for good.
    pub(super) dangling: BTreeMap<String, Stamp>,
}

/// Whatever is not a regular file, also behind a link, is listed as well: it is refused when it is read.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !is_meant(&file) {
            continue;
        }
        match look_at(&entry.path()) {
            Ok((stamp, Some(DANGLING))) => {
                listing.dangling.insert(file, stamp);
            }
            Ok((stamp, _)) => {
                listing.files.insert(file, stamp);
            }
            // Gone again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is there. Why it can't be looked at is found, and said, when it is read.
            Err(_) => {
                listing.files.insert(file, Stamp::default());
            }
        }
    }
    Ok(listing)
}

pub(super) const DANGLING: &str = "a link that leads nowhere";

/// What stands at the path, and what it is instead if it is no regular file. Nothing is opened for that: whoever opens a pipe waits for
/// its other end, and a device may do anything.
fn look_at(path: &Path) -> io::Result<(Stamp, Option<&'static str>)> {
    let (metadata, odd) = match fs::metadata(path) {
        Ok(metadata) => {
            let kind = metadata.file_type();
            let odd = match () {
                () if kind.is_file() => None,
                () if kind.is_dir() => Some("a folder"),
                () if kind.is_fifo() => Some("a pipe"),
                () if kind.is_socket() => Some("a socket"),
                () => Some("a device"),
            };
            (metadata, odd)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let metadata = fs::symlink_metadata(path)?;
            // Something else may have come there meanwhile.
            let odd = metadata.is_symlink().then_some(DANGLING);
            (metadata, odd)
        }
        Err(error) => return Err(error),
    };
    // What goes on in a folder or a pipe makes no other content of it.
    let same = |of: Stamp| Stamp { device: of.device, inode: of.inode, ..Stamp::default() };
    Ok((if odd.is_some() { same(stamp(&metadata)) } else { stamp(&metadata) }, odd))
}

/// What stands at the path, if there is something and it is no regular file.
pub(super) fn odd(path: &Path) -> io::Result<Option<&'static str>> {
    match look_at(path) {
        Ok((_, odd)) => Ok(odd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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
    match look_at(path) {
        Ok((stamp, _)) => stamp == expected,
        Err(error) => error.kind() != io::ErrorKind::NotFound && expected == Stamp::default(),
    }
}

pub(super) fn read(path: &Path, expected: Stamp) -> io::Result<Read> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let (false, Some(stem)) = (is_candidate(name), named(name)) {
        return Ok(Read::Unusable(format!("a plugin's name ends in `{ENDING}`; hint: rename it to `{stem}{ENDING}`")));
    }
    if let Some(odd) = odd(path)? {
        return Ok(Read::Unusable(format!("it is {odd}, and no file; hint: put the component itself there")));
    }
    if expected.bytes > MAX_COMPONENT_BYTES {
        let reason =
            format!("{} bytes are more than the {MAX_COMPONENT_BYTES} that a component may have", expected.bytes);
        return Ok(Read::Unusable(reason));
    }
    // It may have become a pipe since.
    let mut file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
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
    use super::{is_candidate, is_meant};

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
            assert!(!is_candidate(file) && !is_meant(file), "{file}");
        }
        assert!(!is_candidate("a.WASM") && is_meant("a.WASM") && !is_meant(".WASM"));
    }
}
