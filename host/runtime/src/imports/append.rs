//! `append`: adds lines to granted files. Each line opens its file anew, so that it may be moved away between two (logrotate), is written
//! at once, and is on the disk before it is answered.

use crate::bindings::host::append::Host;
use crate::bindings::host::errors::Error;
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const LINE_BYTES: usize = 256 << 10;
/// Files that are written at one time.
const MOST_FILES: usize = 64;

/// One line after the other for each file. A disk that hangs holds one thread for each of its files, however many lines there are to write.
#[derive(Default)]
pub(super) struct Lanes(Mutex<BTreeMap<String, Lane>>);

type Lane = Arc<tokio::sync::Mutex<()>>;

impl Lanes {
    fn of(&self, path: &str) -> Result<Lane, Error> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        if lanes.len() >= MOST_FILES && !lanes.contains_key(path) {
            return Err(Error::Limited(format!("lines are being added to {MOST_FILES} files; hint: try again later")));
        }
        Ok(lanes.entry(path.to_owned()).or_default().clone())
    }
}

impl Host for Sandbox {
    async fn line(&mut self, path: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(line(self, path, bytes).await)
    }
}

async fn line(sandbox: &mut Sandbox, path: String, mut bytes: Vec<u8>) -> Result<(), Error> {
    let grants = sandbox.grants.clone();
    let grant = policy::file_grant(&grants.append, &path, Capability::Append);
    sandbox.ask(Capability::Append, || path.clone(), |_| grant.clone().map(|_| ()))?;
    let grant = grant.map_err(Error::Denied)?.to_owned();
    if bytes.len() > LINE_BYTES {
        return Err(Error::Failed(format!("a line of {} bytes; hint: {LINE_BYTES} are the limit", bytes.len())));
    }
    if bytes.contains(&b'\n') {
        return Err(Error::Failed("a line end inside of a line; hint: append the lines one by one".to_owned()));
    }
    sandbox.count_bytes(0, bytes.len() as u64).map_err(Error::Limited)?;
    bytes.push(b'\n');
    let late = |_| Error::Failed(format!("`{path}` was not written within the time of the call"));
    let patience: tokio::time::Instant = sandbox.patience.into();
    let lane = tokio::time::timeout_at(patience, sandbox.doors.lanes.of(&path)?.lock_owned()).await.map_err(late)?;
    let (act, target) = (sandbox.caller().begin(Capability::Append, path.clone()).await?, path.clone());
    let writing = sandbox.doors.runtime.spawn_blocking(move || {
        let written = write(&grant, &target, &bytes);
        drop(lane);
        // Here, since it may be done after nobody waits for it any more.
        act.end(if written.is_ok() { "done" } else { "failed" });
        written
    });
    let written = tokio::time::timeout_at(patience, writing).await.map_err(late)?;
    written.map_err(|error| Error::Failed(error.to_string()))?
}

fn write(grant: &str, path: &str, line: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("`{path}`: {error}"));
    let place = place(grant, path)?;
    if place.symlink_metadata().is_ok_and(|about| !about.is_file()) {
        let real = std::fs::canonicalize(&place).unwrap_or(place);
        return Err(Error::Failed(format!(
            "`{path}` is a link, or no plain file; hint: grants.append = [\"{}\"] if that is meant",
            real.display()
        )));
    }
    let (mut file, is_new) = open(&place).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(Error::Failed(format!("`{path}` is no plain file")));
    }
    let mut last = [0];
    // What a crash has left of a line must not swallow this one.
    let is_torn = about.len() > 0 && file.read_at(&mut last, about.len() - 1).map_err(failed)? == 1 && last != *b"\n";
    let whole = if is_torn { [&b"\n"[..], line].concat() } else { line.to_vec() };
    if let Err(error) = file.write_all(&whole) {
        // Half of a line is none. Others may have written behind it: then it stays.
        let length = file.metadata().map_or(0, |about| about.len());
        if length > about.len() && length < about.len() + whole.len() as u64 {
            let _ = file.set_len(about.len());
        }
        return Err(failed(error));
    }
    file.sync_data().map_err(failed)?;
    if is_new && let Some(folder) = place.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Where the file is, its folder without links.
fn place(grant: &str, path: &str) -> Result<PathBuf, Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("the folder of `{path}`: {error}"));
    let name = Path::new(path).file_name().filter(|_| !path.ends_with('/'));
    let (Some(name), Some(folder)) = (name, Path::new(path).parent()) else {
        return Err(Error::Failed(format!("`{path}` is no file")));
    };
    let folder = std::fs::canonicalize(folder).map_err(failed)?;
    // Whoever may write into a granted folder could lead out of it.
    if grant != path && !std::fs::canonicalize(grant).is_ok_and(|granted| folder.starts_with(granted)) {
        let place = folder.join(name);
        return Err(Error::Denied(format!(
            "`{path}` leads out of the granted folder, to `{0}`; hint: grants.append = [\"{0}\"]",
            place.display()
        )));
    }
    Ok(folder.join(name))
}

/// And whether it was made. Not through a link, nor waiting for the other end of a pipe that was put there since.
fn open(place: &Path) -> std::io::Result<(File, bool)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(place, flags, Mode::empty()) {
        Ok(descriptor) => Ok((File::from(descriptor), false)),
        Err(rustix::io::Errno::NOENT) => {
            let made = rustix::fs::open(place, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR)?;
            Ok((File::from(made), true))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};
    use std::os::unix::fs::PermissionsExt;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn path(&self, name: &str) -> String {
            format!("{}/{name}", self.0.path().canonicalize().unwrap().display())
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap()
        }
    }

    fn folder() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("told")).unwrap();
        folder
    }

    #[tokio::test]
    async fn lines_are_appended_to_a_file_that_is_made_for_its_owner_and_may_be_moved_away() {
        let folder = folder();
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.append = vec![folder.path("alerts")]));
        let mut add = async |line: &str| super::line(&mut sandbox, folder.path("alerts"), line.into()).await;
        add("one").await.unwrap();
        add("two").await.unwrap();
        assert_eq!(folder.text("alerts"), "one\ntwo\n");
        let mode = std::fs::metadata(folder.path("alerts")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::rename(folder.path("alerts"), folder.path("alerts.1")).unwrap();
        add("three").await.unwrap();
        assert_eq!((folder.text("alerts.1").as_str(), folder.text("alerts").as_str()), ("one\ntwo\n", "three\n"));
        std::fs::write(folder.path("alerts"), "half of a li").unwrap();
        add("whole").await.unwrap();
        assert_eq!(folder.text("alerts"), "half of a li\nwhole\n", "what a crash left swallows no line");
        assert_eq!(sandbox.usage.bytes_out, 16);
        let (path, audited) = (folder.path("alerts"), fixture.audit().await);
        assert!(audited.iter().all(|line| *line == format!("audit.append {path}: done")), "{audited:?}");
        assert!(!audited.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_granted_is_denied_and_what_is_no_plain_file_is_refused() {
        let folder = folder();
        std::fs::create_dir(folder.path("other")).unwrap();
        std::fs::write(folder.path("secret"), "hidden").unwrap();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(folder.path(to), folder.path(at)).unwrap();
        link("secret", "told/way-out");
        link("other", "told/folder-out");
        link("secret", "named");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path("told/pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let fixture = Fixture::new();
        let granted = vec![folder.path("told/"), folder.path("named")];
        let mut sandbox = fixture.sandbox(grants(|grants| grants.append = granted));
        let mut add = async |name: &str, line: &[u8]| line_of(&mut sandbox, folder.path(name), line).await;
        add("told/new", b"x").await.unwrap();
        for name in ["told/way-out", "told/pipe", "named"] {
            let refused = add(name, b"x").await;
            assert!(
                matches!(&refused, Err(Error::Failed(text)) if text.contains("no plain file")),
                "{name}: {refused:?}"
            );
        }
        let out = add("told/folder-out/x", b"x").await;
        assert!(matches!(&out, Err(Error::Denied(text)) if text.contains("leads out")), "{out:?}");
        for name in ["secret", "told/../secret", "told"] {
            let denied = add(name, b"x").await;
            assert!(
                matches!(&denied, Err(Error::Denied(text)) if text.contains("grants.append")),
                "{name}: {denied:?}"
            );
        }
        for line in [b"a\nb".to_vec(), vec![b'x'; LINE_BYTES + 1]] {
            assert!(matches!(add("told/new", &line).await, Err(Error::Failed(_))));
        }
        assert!(matches!(add("told/", b"x").await, Err(Error::Failed(_))), "a folder is no file");
        assert!(matches!(add("told/no/such", b"x").await, Err(Error::Failed(_))), "folders are not made");
        assert_eq!((folder.text("secret").as_str(), folder.text("told/new").as_str()), ("hidden", "x\n"));
        let audited = fixture.audit().await;
        assert!(audited.contains(&format!("audit.append {}: denied", folder.path("secret"))), "{audited:?}");
    }

    async fn line_of(sandbox: &mut Sandbox, path: String, line: &[u8]) -> Result<(), Error> {
        super::line(sandbox, path, line.to_vec()).await
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_holds_up_its_own_lines_only() {
        let folder = folder();
        let fixture = Fixture::new();
        let lane = fixture.doors.lanes.of(&folder.path("told/slow")).unwrap().lock_owned().await;
        let mut sandbox = fixture.sandbox(grants(|grants| grants.append = vec![folder.path("told/")]));
        sandbox.patience = std::time::Instant::now() + std::time::Duration::from_millis(50);
        let late = line_of(&mut sandbox, folder.path("told/slow"), b"x").await;
        assert!(matches!(late, Err(Error::Failed(text)) if text.contains("within the time")));
        let mut sandbox = fixture.sandbox(grants(|grants| grants.append = vec![folder.path("told/")]));
        line_of(&mut sandbox, folder.path("told/quick"), b"x").await.unwrap();
        drop(lane);
        line_of(&mut sandbox, folder.path("told/slow"), b"y").await.unwrap();
        assert_eq!((folder.text("told/slow").as_str(), folder.text("told/quick").as_str()), ("y\n", "x\n"));
    }
}
