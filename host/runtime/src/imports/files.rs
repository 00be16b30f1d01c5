//! `files`: reads granted files. Nothing here writes, and nothing but plain files is opened: a pipe would wait for somebody, and a
//! device does things when it is read.

use crate::bindings::host::errors::Error;
use crate::bindings::host::files::{Host, Part};
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const READ_BYTES: u32 = 1 << 20;

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
    let reading = sandbox.doors.runtime.spawn_blocking(move || part(&grant, &path, offset, max));
    let read = tokio::time::timeout_at(sandbox.patience.into(), reading).await;
    let read = read.map_err(|_| Error::Failed("not read within the time of the call".to_owned()))?;
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
}
