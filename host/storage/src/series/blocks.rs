//! Which blocks there are. A new one appears under its name when it is whole and on the disk, and takes the place of those that it was
//! made of; a kill between leaves both, and opening drops the old ones.

use super::active::Rows;
use super::block::index::Index;
use super::block::packed::Effort;
use super::block::writer::Writer;
use super::block::{Block, Tail, Texts};
use crate::disk::at;
use quarterdeck_model::store::StoreError;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const ENDING: &str = ".block";
/// Of a file that is being written.
const NEW: &str = ".new";
/// How far the log has been moved into blocks.
const MARK: &str = "moved";
/// Indexes that are kept in memory for those who ask next, in bytes.
const HELD_BYTES: usize = 16 << 20;

pub(crate) struct Blocks {
    folder: PathBuf,
    list: RwLock<Arc<Vec<Arc<Block>>>>,
    next: AtomicU64,
    mark: Mutex<Mark>,
    held: Mutex<VecDeque<(u64, Arc<Index>)>>,
}

/// What the segments before one have up to a time is in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u32,
    pub(crate) up_to: i64,
}

impl Blocks {
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let (mut found, mut next) = (Vec::new(), 1);
        for entry in std::fs::read_dir(folder).map_err(|e| at(folder, &e))? {
            let path = entry.map_err(|e| at(folder, &e))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(NEW) {
                std::fs::remove_file(&path).map_err(|e| at(&path, &e))?;
            } else if let Some(number) = name.strip_suffix(ENDING).and_then(|name| name.parse::<u64>().ok()) {
                next = next.max(number + 1);
                found.push(Arc::new(Block::open(&path, number)?));
            }
        }
        let replaced: HashSet<u64> = found.iter().flat_map(|block| block.tail.replaces.iter().copied()).collect();
        for block in found.iter().filter(|block| replaced.contains(&block.number)) {
            block.remove()?;
        }
        found.retain(|block| !replaced.contains(&block.number));
        found.sort_by_key(|block| (block.tail.place, block.number));
        Ok(Blocks {
            folder: folder.to_owned(),
            list: RwLock::new(Arc::new(found)),
            next: AtomicU64::new(next),
            mark: Mutex::new(read_mark(folder)?),
            held: Mutex::default(),
        })
    }

    /// In the order in which their samples came.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<Block>>> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn reaching(&self, from: i64, to: i64) -> Vec<Arc<Block>> {
        self.all().iter().filter(|block| block.reaches(from, to)).cloned().collect()
    }

    /// The index of a block, from memory if it was asked for lately.
    pub(crate) fn index(&self, block: &Block) -> Result<Arc<Index>, StoreError> {
        let index = block.index()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(number, _)| *number != block.number);
        held.push_back((block.number, Arc::clone(&index)));
        while held.len() > 1 && held.iter().map(|(_, index)| index.len()).sum::<usize>() > HELD_BYTES {
            held.pop_front();
        }
        Ok(index)
    }

    /// Names of metrics.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.all().iter().flat_map(|block| block.names.iter().cloned()).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.all().iter().map(|block| block.bytes).sum()
    }

    pub(crate) fn mark(&self) -> Mark {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mark(&self, mark: Mark) -> Result<(), StoreError> {
        let path = self.folder.join(MARK);
        let new = self.folder.join(format!("{MARK}{NEW}"));
        let bytes = [&mark.segment.to_le_bytes()[..], &mark.up_to.to_le_bytes()].concat();
        let bytes = [&*bytes, &crc32fast::hash(&bytes).to_le_bytes()].concat();
        std::fs::write(&new, bytes)
            .and_then(|()| File::open(&new)?.sync_all())
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|e| at(&path, &e))?;
        self.sync()?;
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|e| at(&self.folder, &e))
    }

    pub(crate) fn draft(&self, texts: Texts, effort: Effort) -> Result<Draft, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number:010}{NEW}"));
        let writer = Some(Writer::new(&path, texts, effort).map_err(|e| at(&path, &e))?);
        Ok(Draft { number, path, writer, done: false })
    }

    /// Finishes the drafts and shows them; what they replace goes. Drafts without a sample only replace.
    pub(crate) fn publish(&self, drafts: Vec<(Draft, Tail)>, replaced: &[u64]) -> Result<(), StoreError> {
        let mut new = Vec::new();
        for (mut draft, tail) in drafts {
            let Some(writer) = draft.writer.take().filter(|writer| !writer.is_empty()) else { continue };
            writer.finish(tail).map_err(|e| at(&draft.path, &e))?;
            let path = draft.path.with_extension("block");
            std::fs::rename(&draft.path, &path).map_err(|e| at(&path, &e))?;
            draft.done = true;
            new.push(Arc::new(Block::open(&path, draft.number)?));
        }
        self.sync()?;
        let gone: Vec<Arc<Block>> = {
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            let (gone, mut left): (Vec<_>, Vec<_>) =
                list.iter().cloned().partition(|block| replaced.contains(&block.number));
            left.extend(new);
            left.sort_by_key(|block| (block.tail.place, block.number));
            *list = Arc::new(left);
            gone
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| !replaced.contains(number));
        gone.iter().try_for_each(|block| block.remove())
    }
}

fn read_mark(folder: &Path) -> Result<Mark, StoreError> {
    let path = folder.join(MARK);
    let none = Mark { segment: 0, up_to: i64::MIN };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(none),
        Err(error) => return Err(at(&path, &error)),
    };
    let read = || {
        let (rest, checksum) = bytes.split_last_chunk::<4>()?;
        let (segment, up_to) = rest.split_first_chunk::<4>()?;
        let up_to = i64::from_le_bytes(up_to.try_into().ok()?);
        let whole = crc32fast::hash(rest) == u32::from_le_bytes(*checksum);
        whole.then_some(Mark { segment: u32::from_le_bytes(*segment), up_to })
    };
    // Without it the log is read as a whole: what is in blocks, too, is found twice and counts once.
    Ok(read().unwrap_or(none))
}

/// A block that is being made. Dropped before it is shown, its file goes.
pub(crate) struct Draft {
    pub(crate) number: u64,
    path: PathBuf,
    writer: Option<Writer>,
    done: bool,
}

impl Draft {
    pub(crate) fn push(&mut self, labels: &[(u32, u32)], rows: &Rows) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.push(labels, rows).map_err(|e| at(&self.path, &e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // What stays behind goes when the store is opened.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
