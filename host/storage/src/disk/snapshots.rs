//! sled's snapshots: tables of pages that spare it reading its whole log at a start. They hold nothing that is not in the log, so none
//! of them may keep the store from opening.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BEGINNING: &str = "snap.";
/// The end of the name of one that is being written. sled takes it for a snapshot at the next start, and for the newest one, whatever
/// it holds: nothing, after a disk was full.
const UNFINISHED: &str = ".generating";
/// Behind the table stand its length and its checksum.
const TAIL: usize = 12;
const CHECKSUM: usize = 4;

/// Removes those that were never finished. Whoever calls holds the lock: nobody is writing one.
pub(super) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    all(folder)?.iter().filter(|path| name(path).ends_with(UNFINISHED)).try_for_each(fs::remove_file)
}

/// Removes those that are not what was written, and gives how many there were.
pub(super) fn remove_broken(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for path in all(folder)? {
        if !is_whole(&fs::read(&path)?) {
            fs::remove_file(&path)?;
            count += 1;
        }
    }
    Ok(count)
}

fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| name(path).starts_with(BEGINNING)).collect())
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn is_whole(bytes: &[u8]) -> bool {
    let table = bytes.len().checked_sub(TAIL).filter(|length| *length > 0).and_then(|length| bytes.get(..length));
    let Some((table, (_, checksum))) = table.zip(bytes.split_last_chunk::<CHECKSUM>()) else { return false };
    crc32fast::hash(table) == u32::from_le_bytes(*checksum)
}
