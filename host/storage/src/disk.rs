//! The folder on disk: lock, sled, schema version, and the sync behind it.

mod snapshots;

use crate::keys;
use crate::options::Options;
use quarterdeck_model::store::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};
use tracing::warn;

/// Raised whenever an older program could misread what this one writes.
///
/// 2: further parts of documents lie in two places. 3: samples are in files of their own. 4: what was acknowledged
/// may stand in the write-ahead log only.
const SCHEMA: u64 = 4;
/// Pages of the tree that stay in memory. sled spreads them over 256 shards: each must hold a whole page.
const CACHE_BYTES: u64 = 32 << 20;
/// How long a lock is waited for that is held: a daemon that is just ending, or a process that is just being started and still has
/// what its parent had open.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct Disk {
    pub(crate) tree: sled::Db,
    file: File,
    /// Held as long as the store is open.
    _lock: File,
}

impl Disk {
    pub(crate) fn open(options: &Options) -> Result<Self, StoreError> {
        let dir = &options.dir;
        std::fs::create_dir_all(dir).map_err(|e| at(dir, &e))?;
        let lock = lock(dir)?;
        let inside = dir.join("store");
        let config = sled::Config::new().path(&inside).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        snapshots::remove_unfinished(&inside).map_err(|e| at(&inside, &e))?;
        let open = || patiently(|| config.open(), is_locked);
        let tree = match open() {
            Err(error @ sled::Error::Corruption { .. }) => {
                // The log may be as good as ever.
                let broken = snapshots::remove_broken(&inside).map_err(|e| at(&inside, &e))?;
                if broken == 0 {
                    return Err(failure(error));
                }
                warn!(folder = %inside.display(), "a snapshot of the store can't be read; it is made anew from the log");
                open()
            }
            opened => opened,
        }
        .map_err(|error| match error {
            sled::Error::Io(error) => at(&inside, &error),
            other => failure(other),
        })?;
        // sled writes this file and never fsyncs it.
        let db = inside.join("db");
        let file = File::open(&db).map_err(|e| at(&db, &e))?;
        let disk = Disk { tree, file, _lock: lock };
        disk.check_schema(dir)?;
        disk.sync()?;
        for path in [inside.join("conf"), inside, dir.clone()] {
            sync_entry(&path).map_err(|e| at(&path, &e))?;
        }
        sync_ancestors(dir)?;
        Ok(disk)
    }

    fn check_schema(&self, dir: &Path) -> Result<(), StoreError> {
        let key = keys::meta("schema");
        match self.get(&key)? {
            None => self.put(key, SCHEMA.to_be_bytes().to_vec()),
            Some(bytes) => {
                let found = bytes.as_ref().try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
                if found < SCHEMA {
                    return self.put(key, SCHEMA.to_be_bytes().to_vec());
                }
                if found == SCHEMA {
                    return Ok(());
                }
                Err(StoreError::Invalid(format!(
                    "`{}` was written by a newer version (schema {found}, this program knows {SCHEMA}); hint: run the newer version, or start with another data folder",
                    dir.display()
                )))
            }
        }
    }

    /// Returns when everything put before is on the disk: sled hands its buffers to the system, fdatasync does the rest.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.tree.flush().map_err(failure)?;
        self.file.sync_data().map_err(|e| StoreError::Io(format!("fdatasync failed: {e}")))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.tree.get(key).map_err(failure)
    }

    pub(crate) fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        debug_assert!(value.len() <= keys::VALUE_BYTES + 64, "value of {} bytes", value.len());
        self.tree.insert(key, value).map_err(failure)?;
        Ok(())
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.remove(key).map_err(failure)?;
        Ok(())
    }

    pub(crate) fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |data| data.len())
    }
}

fn sync_entry(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// A folder stands in its parent, and a new one is lost in a power cut with all that was acknowledged in it, unless the parent
/// is synced too. Who made it, and how far up, isn't known here: all of them are, which costs nothing where nothing is new.
fn sync_ancestors(dir: &Path) -> Result<(), StoreError> {
    let whole = std::fs::canonicalize(dir).map_err(|e| at(dir, &e))?;
    for (height, ancestor) in whole.ancestors().skip(1).enumerate() {
        match sync_entry(ancestor) {
            // Further up are folders that this user may not open, or that can't be synced: nor were they made just now.
            Err(_) if height > 0 => break,
            // A parent that may not be read: the daemon's user can't have made anything in it either.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
            synced => synced.map_err(|e| at(ancestor, &e))?,
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| at(&path, &e))?;
    let take = || flock(&file, FlockOperation::NonBlockingLockExclusive);
    match patiently(take, |error| *error == rustix::io::Errno::WOULDBLOCK) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Invalid(format!(
            "`{}` is in use by another daemon; hint: stop that one, or choose another data folder",
            dir.display()
        ))),
        Err(error) => Err(at(&path, &error.into())),
    }
}

/// sled says it in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Tries again for a moment while `is_held`.
fn patiently<T, E>(attempt: impl Fn() -> Result<T, E>, is_held: impl Fn(&E) -> bool) -> Result<T, E> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match attempt() {
            Err(error) if is_held(&error) && Instant::now() < until => std::thread::sleep(LOCK_AGAIN),
            result => return result,
        }
    }
}

/// What went wrong with a file or a folder, and what to do where that is known.
pub(crate) fn at(path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.display();
    let hint = if is_full(error) { format!("; hint: free space on the disk of {path}") } else { String::new() };
    StoreError::Io(format!("{path}: {error}{hint}"))
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

pub(crate) fn failure(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Corrupt(error.to_string()),
        sled::Error::Io(full) if is_full(&full) => {
            StoreError::Io(format!("{full}; hint: free space on the disk of the data folder"))
        }
        other => StoreError::Io(other.to_string()),
    }
}
