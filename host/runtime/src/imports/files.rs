//! `files`: reads granted files. Nothing here writes, and nothing but plain files is opened: a pipe would wait for somebody, and a
//! device does things when it is read.
//!
//! A mount whose server is gone lets nobody go who asks it. The call ends with its time, its thread stays: so no more than a few read below
//! one grant, and the others wait.

use crate::bindings::host::errors::Error;
use crate::bindings::host::files::{Host, Part};
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const READ_BYTES: u32 = 1 << 20;
/// Threads that read below one grant at one time, and below all of them.
const BELOW_ONE: usize = 4;
const BELOW_ALL: usize = 128;

/// Who may read now.
pub(super) struct Readers {
    all: Arc<Semaphore>,
    by_grant: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Default for Readers {
    fn default() -> Self {
        Readers { all: Arc::new(Semaphore::new(BELOW_ALL)), by_grant: Mutex::default() }
    }
}

impl Readers {
    /// Places of a thread that reads below the grant; it gives them back when it is done. First that of the grant: who waits there keeps
    /// nobody else waiting. `None`: never.
    async fn enter(&self, grant: &str) -> Option<[OwnedSemaphorePermit; 2]> {
        let below = {
            let mut by_grant = self.by_grant.lock().unwrap_or_else(PoisonError::into_inner);
            by_grant.retain(|_, places| Arc::strong_count(places) > 1);
            let places = by_grant.entry(grant.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(BELOW_ONE)));
            Arc::clone(places)
        };
        let own = below.acquire_owned().await.ok()?;
        Some([own, Arc::clone(&self.all).acquire_owned().await.ok()?])
    }
}

impl Host for Sandbox {
    async fn read(&mut self, path: String, offset: u64, max: u32) -> wasmtime::Result<Result<Option<Part>, Error>> {
        Ok(read(self, path, offset, max).await)
    }
}

async fn read(sandbox: &mut Sandbox, path: String, offset: u64, max: u32) -> Result<Option<Part>, Error> {
    let allowed = |grants: &quarterdeck_model::plugin::Grants| {
        policy::file_grant(&grants.files, &path, Capability::Files).map(|_| ())
    };
    sandbox.ask(Capability::Files, || path.clone(), allowed)?;
    let grant = policy::file_grant(&sandbox.grants.files, &path, Capability::Files).map_err(Error::Denied)?.to_owned();
    let late = |_| Error::Failed("not read within the time of the call".to_owned());
    let patience: tokio::time::Instant = sandbox.patience.into();
    let places = tokio::time::timeout_at(patience, sandbox.doors.readers.enter(&grant)).await.map_err(late)?;
    let reading = sandbox.doors.runtime.spawn_blocking(move || {
        let read = part(&grant, &path, offset, max);
        drop(places);
        read
    });
    let read = tokio::time::timeout_at(patience, reading).await.map_err(late)?;
    let part = read.map_err(|error| Error::Failed(error.to_string()))??;
    let length = part.as_ref().map_or(0, |part| part.bytes.len() as u64);
    sandbox.count_bytes(length, 0).map_err(Error::Limited)?;
    Ok(part)
}

fn part(grant: &str, path: &str, offset: u64, max: u32) -> Result<Option<Part>, Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("`{path}`: {error}"));
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Whoever may write into a granted folder could lead out of it; a file that is granted by its own name may be a link.
    if grant != path && !std::fs::canonicalize(grant).is_ok_and(|folder| real.starts_with(folder)) {
        return Err(Error::Denied(format!(
            "`{path}` leads out of the granted folder, to `{0}`; hint: grants.files = [\"{0}\"]",
            real.display()
        )));
    }
    let Some(file) = open(&real).map_err(failed)? else { return Ok(None) };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(Error::Failed(format!("`{path}` is no plain file")));
    }
    let mut bytes = vec![0; usize::try_from(max.min(READ_BYTES)).unwrap_or_default()];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    bytes.truncate(length);
    Ok(Some(Part { bytes, size_bytes: about.size(), identity: about.ino() }))
}

/// `None`: it went away meanwhile.
fn open(real: &Path) -> std::io::Result<Option<File>> {
    // Without waiting for the other end of a pipe, and not through a link that was put there since.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(real, flags, Mode::empty()) {
        Ok(descriptor) => Ok(Some(File::from(descriptor))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};

    #[tokio::test]
    async fn granted_files_are_read_in_parts_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| format!("{}/{name}", folder.path().display());
        std::fs::create_dir(file("logs")).unwrap();
        std::fs::write(file("logs/app.log"), "one\ntwo\n").unwrap();
        std::fs::write(file("secret"), "hidden").unwrap();
        std::os::unix::fs::symlink(file("secret"), file("logs/way-out")).unwrap();
        std::os::unix::fs::symlink(file("secret"), file("named")).unwrap();
        let fixture = Fixture::new();
        let mut sandbox =
            fixture.sandbox(grants(|grants| grants.files = vec![file("logs/"), file("named"), file("logs")]));
        let mut ask = async |name: &str, offset, max| read(&mut sandbox, file(name), offset, max).await;
        let part = ask("logs/app.log", 4, 100).await.unwrap().unwrap();
        assert_eq!((part.bytes.as_slice(), part.size_bytes), (&b"two\n"[..], 8));
        assert_eq!(ask("logs/app.log", 0, 3).await.unwrap().unwrap().bytes, b"one");
        assert_eq!(ask("logs/app.log", 99, 3).await.unwrap().unwrap().bytes, b"");
        std::fs::rename(file("logs/app.log"), file("logs/app.log.1")).unwrap();
        assert_eq!(ask("logs/app.log.1", 0, 1).await.unwrap().unwrap().identity, part.identity);
        assert!(ask("logs/app.log", 0, 1).await.unwrap().is_none());
        assert_eq!(ask("named", 0, 100).await.unwrap().unwrap().bytes, b"hidden");
        assert!(matches!(ask("logs/way-out", 0, 1).await, Err(Error::Denied(text)) if text.contains("leads out")));
        assert!(matches!(ask("logs/../secret", 0, 1).await, Err(Error::Denied(_))));
        assert!(matches!(ask("secret", 0, 1).await, Err(Error::Denied(text)) if text.contains("grants.files")));
        assert!(matches!(ask("logs", 0, 1).await, Err(Error::Failed(text)) if text.contains("no plain file")));
    }

    #[tokio::test]
    async fn a_mount_that_hangs_holds_a_few_threads_and_nobody_elses_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        for name in ["hangs", "well"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(&format!("{name}/file")), name).unwrap();
        }
        let granted = || grants(|grants| grants.files = vec![path("hangs/"), path("well/")]);
        let fixture = Fixture::new();
        // As many as may be are held there by the kernel.
        let mut held = Vec::new();
        for _ in 0..BELOW_ONE {
            held.push(fixture.doors.readers.enter(&path("hangs/")).await.unwrap());
        }
        let mut sandbox = fixture.sandbox(granted());
        sandbox.patience = std::time::Instant::now() + std::time::Duration::from_millis(50);
        let late = read(&mut sandbox, path("hangs/file"), 0, 9).await;
        assert!(matches!(&late, Err(Error::Failed(text)) if text.contains("within the time")), "{late:?}");
        assert_eq!(fixture.doors.readers.all.available_permits(), BELOW_ALL - BELOW_ONE, "it has begun nothing");
        let mut sandbox = fixture.sandbox(granted());
        assert_eq!(read(&mut sandbox, path("well/file"), 0, 9).await.unwrap().unwrap().bytes, b"well");
        held.clear();
        assert_eq!(read(&mut sandbox, path("hangs/file"), 0, 9).await.unwrap().unwrap().bytes, b"hangs");
    }
}
