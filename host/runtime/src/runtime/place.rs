//! Puts files into the plugins folder and takes them away: whole, and durable before anybody is told.

use super::folder::is_candidate;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// Names of files that are being written begin with a dot, so that nobody takes them for plugins, and end like this.
const ON_ITS_WAY: &str = ".installing";
const LONGEST_NAME: usize = 128;

/// Whether a file of that name may be put into the folder: it names a plugin, and nothing outside.
pub(super) fn check_name(file: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_name = file.len() <= LONGEST_NAME && file.bytes().all(plain) && is_candidate(file);
    if is_name {
        return Ok(());
    }
    Err(format!(
        "`{}` can't be a file of the plugins folder; hint: letters, digits, `.`, `-` and `_`, at most {LONGEST_NAME}, with `.wasm` at the end: `http-probe.wasm`",
        file.chars().take(LONGEST_NAME).collect::<String>().escape_debug()
    ))
}

/// Writes the file beside its place and renames it: whoever looks sees the old content or the new one. Returns when both the content and
/// the name are on the disk.
pub(super) fn put(folder: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
    sweep(folder);
    let temporary = folder.join(format!(".{file}{ON_ITS_WAY}"));
    let written = (|| {
        let mut written = File::options().write(true).create(true).truncate(true).open(&temporary)?;
        written.write_all(bytes)?;
        // The one that was modified last wins, and the kernel's own times are the same for some milliseconds.
        written.set_modified(SystemTime::now())?;
        written.sync_all()?;
        fs::rename(&temporary, folder.join(file))?;
        sync(folder)
    })();
    if written.is_err() {
        // What matters is told by `written`.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Returns when it is gone for good.
pub(super) fn remove(folder: &Path, file: &str) -> io::Result<()> {
    fs::remove_file(folder.join(file))?;
    sync(folder)
}

/// The content as it is on the disk now. `None`: there is no such file.
pub(super) fn content(folder: &Path, file: &str, at_most: u64) -> io::Result<Option<Vec<u8>>> {
    // Whoever opens a pipe otherwise waits for its other end.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(folder.join(file));
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    opened.take(at_most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What an end in the middle left behind. One file is put at a time, so nobody writes to these.
fn sweep(folder: &Path) {
    let left = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(ON_ITS_WAY))
    });
    for entry in left {
        // It takes room, and does nothing else.
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_folder_or_is_no_plugins_is_refused() {
        for good in ["a.wasm", "http-probe.wasm", "Wave_2.v1.wasm"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = format!("{}.wasm", "a".repeat(LONGEST_NAME));
        for bad in [
            "",
            "a",
            ".wasm",
            "../a.wasm",
            "/a.wasm",
            "a/b.wasm",
            "..",
            "a\\b.wasm",
            ".a.wasm",
            "a\0.wasm",
            "a.wasm.part",
            "a b.wasm",
            "ä.wasm",
            "a.tmp.wasm",
            &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        fs::write(folder.path().join(".b.wasm.installing"), b"half").unwrap();
        fs::write(folder.path().join(".hidden"), b"of somebody else").unwrap();
        put(folder.path(), "a.wasm", b"one").unwrap();
        put(folder.path(), "a.wasm", b"two").unwrap();
        assert_eq!(content(folder.path(), "a.wasm", 100).unwrap().as_deref(), Some(b"two".as_slice()));
        assert_eq!(names(), [".hidden", "a.wasm"]);
        remove(folder.path(), "a.wasm").unwrap();
        assert_eq!(content(folder.path(), "a.wasm", 100).unwrap(), None);
        assert!(remove(folder.path(), "a.wasm").is_err());
    }

    #[test]
    fn a_file_that_cannot_take_its_place_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a.wasm")).unwrap();
        put(folder.path(), "a.wasm", b"one").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
