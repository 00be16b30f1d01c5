//! The files below some paths. Blocking: for a thread that may block.
//!
//! Symbolic links are never followed, except where a path that is given is one itself, so nothing outside of what was given is read.
//! What a link inside points to is met under its own name, if it is inside too. That holds for what is swapped for a link between
//! being met and being read, too: a file is opened from its root on, folder by folder, and read only if what was opened is a file.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders that hold what others made.
const LEFT_OUT: [&str; 3] = [".git", "target", "node_modules"];
/// A NUL among so many first bytes: not a text.
const TEXT_PROBE: usize = 1024;
const DEPTH: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The root, without links.
    pub(super) base: Arc<Path>,
    /// Below the root, with `/`: what rules see.
    pub(super) relative: String,
    /// The root as it was given, and what is below: what people see.
    pub(super) subject: String,
    /// Which of the paths that were given.
    pub(super) root: usize,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Walked {
    /// In the order of their names.
    pub(super) entries: Vec<Entry>,
    /// Links, and what is neither file nor folder.
    pub(super) skipped: u64,
    /// Those of them that are subjects of known findings, or lie above such ones.
    pub(super) others: Vec<Entry>,
    pub(super) errors: Vec<String>,
}

/// `known`: subjects of known findings.
pub(super) fn walk(roots: &[String], known: &BTreeSet<String>, limits: Limits) -> Walked {
    let mut walked = Walked::default();
    let mut bytes: u64 = 0;
    for (index, given) in roots.iter().enumerate() {
        let root = match fs::canonicalize(given) {
            Ok(root) => Arc::<Path>::from(root),
            Err(error) => {
                walked.errors.push(format!("`{given}` can't be read: {error}"));
                continue;
            }
        };
        // Last in, first out: what comes first by name is pushed last.
        let mut stack = vec![(root.to_path_buf(), 0)];
        let entry = |subject: String, bytes: u64| {
            let relative = subject.strip_prefix(given.trim_end_matches('/')).unwrap_or("").trim_start_matches('/');
            // A file that was given itself is known by its name.
            let (path, relative) = match (relative, root.file_name()) {
                ("", Some(name)) => (root.to_path_buf(), name.to_string_lossy().into_owned()),
                _ => (root.join(relative), relative.to_owned()),
            };
            Entry { path, base: root.clone(), relative, subject, root: index, bytes }
        };
        while let Some((path, depth)) = stack.pop() {
            let kind = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                // Gone since its folder was read; it may be about to come back.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let subject = subject(given, &relative(&root, &path));
                    walked.others.extend(at_or_below(known, &subject).map(|subject| entry(subject.clone(), 0)));
                    continue;
                }
                Err(error) => {
                    walked.errors.push(unreadable(given, &root, &path, &error));
                    continue;
                }
            };
            if kind.is_dir() {
                if depth >= DEPTH {
                    walked.errors.push(format!("`{}` is nested too deeply", subject(given, &relative(&root, &path))));
                    continue;
                }
                match below(&path) {
                    Ok(children) => stack.extend(children.into_iter().rev().map(|child| (child, depth + 1))),
                    Err(error) => walked.errors.push(unreadable(given, &root, &path, &error)),
                }
                continue;
            }
            if !kind.is_file() {
                walked.skipped += 1;
                let subject = subject(given, &relative(&root, &path));
                walked.others.extend(at_or_below(known, &subject).map(|subject| entry(subject.clone(), 0)));
                continue;
            }
            bytes = bytes.saturating_add(kind.len());
            if walked.entries.len() >= limits.files || bytes > limits.bytes {
                walked.errors.push(format!(
                    "there are more than {} files or {} bytes, what comes behind `{}` was left out; hint: scan narrower paths",
                    limits.files,
                    limits.bytes,
                    subject(given, &relative(&root, &path))
                ));
                return walked;
            }
            let subject = subject(given, &relative(&root, &path));
            walked.entries.push(Entry { path, ..entry(subject, kind.len()) });
        }
    }
    walked
}

fn at_or_below<'a>(known: &'a BTreeSet<String>, subject: &str) -> impl Iterator<Item = &'a String> {
    let folder = format!("{subject}/");
    let below = known.range(folder.clone()..).take_while(move |known| known.starts_with(&folder));
    known.get(subject).into_iter().chain(below)
}

fn below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for child in fs::read_dir(folder)? {
        let child = child?;
        let left_out = child.file_type()?.is_dir() && LEFT_OUT.iter().any(|name| child.file_name() == *name);
        if !left_out {
            children.push(child.path());
        }
    }
    children.sort_unstable();
    Ok(children)
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn subject(given: &str, relative: &str) -> String {
    match relative {
        "" => given.to_owned(),
        _ => format!("{}/{relative}", given.trim_end_matches('/')),
    }
}

fn unreadable(given: &str, root: &Path, path: &Path, error: &std::io::Error) -> String {
    format!("`{}` can't be read: {error}", subject(given, &relative(root, path)))
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(Vec<u8>),
    Binary,
    /// It has grown beyond measure since it was met.
    TooLarge,
    /// It is gone, or was replaced by something else since it was met.
    Other,
}

/// # Errors
/// Why it can't be read.
pub(super) fn read(entry: &Entry, max_bytes: u64) -> Result<Content, String> {
    let failed = |error: std::io::Error| format!("`{}` can't be read: {error}", entry.subject);
    let file = match open(entry) {
        Ok(file) => file,
        // Gone; a link, or a folder on the way that is none or a link; a socket.
        Err(Errno::NOENT | Errno::LOOP | Errno::MLINK | Errno::NOTDIR | Errno::NXIO) => return Ok(Content::Other),
        Err(error) => return Err(failed(error.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(Content::Other);
    }
    let mut content = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > max_bytes {
        return Ok(Content::TooLarge);
    }
    if content.iter().take(TEXT_PROBE).any(|byte| *byte == 0) {
        return Ok(Content::Binary);
    }
    Ok(Content::Text(content))
}

/// Opens without following a link anywhere below the root, and without waiting for whoever might write to what is no file.
fn open(entry: &Entry) -> Result<fs::File, Errno> {
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let below = entry.path.strip_prefix(&entry.base).unwrap_or(Path::new(""));
    let mut parts: Vec<_> = below.components().map(|part| part.as_os_str()).collect();
    let Some(name) = parts.pop() else {
        // The root is a file.
        return Ok(rustix::fs::openat(CWD, &*entry.base, FILE, Mode::empty())?.into());
    };
    let mut folder = rustix::fs::openat(CWD, &*entry.base, FOLDER, Mode::empty())?;
    for part in parts {
        folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
    }
    Ok(rustix::fs::openat(&folder, name, FILE, Mode::empty())?.into())
}

/// Which of these subjects are not there any more. Those that lie below none of the roots are left alone.
pub(super) fn gone(roots: &[String], subjects: Vec<String>) -> Vec<String> {
    let is_gone = |subject: &String| {
        // A root that is missing itself may just not be mounted.
        let rooted =
            || roots.iter().any(|root| Path::new(root).exists() && subject.starts_with(root.trim_end_matches('/')));
        is_below(roots, subject)
            && rooted()
            && fs::symlink_metadata(subject).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    subjects.into_iter().filter(is_gone).collect()
}

/// Whether a subject is one of the roots, or lies below one.
pub(super) fn is_below(roots: &[String], subject: &str) -> bool {
    roots.iter().any(|root| {
        let root = root.trim_end_matches('/');
        subject.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { files: 1000, bytes: 1 << 20 };

    fn walk(roots: &[String], limits: Limits) -> Walked {
        super::walk(roots, &BTreeSet::new(), limits)
    }

    fn write(folder: &Path, name: &str, content: &[u8]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn names(walked: &Walked) -> Vec<&str> {
        walked.entries.iter().map(|entry| entry.relative.as_str()).collect()
    }

    #[test]
    fn files_come_in_order_and_what_others_made_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/z.txt", "a/y.txt", ".git/config", "x/node_modules/m.js", "target/out", ".env"] {
            write(folder.path(), name, b"text");
        }
        let given = folder.path().to_str().unwrap().to_owned();
        let walked = walk(std::slice::from_ref(&given), LIMITS);
        assert_eq!(names(&walked), [".env", "a/y.txt", "a/z.txt", "b.txt"]);
        assert_eq!(walked.entries[1].subject, format!("{given}/a/y.txt"));
        assert!(walked.errors.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn no_link_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), "secret.txt", b"text");
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "real/a.txt", b"text");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.txt"), folder.path().join("file")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let link = outside.path().join("root");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let walked = walk(&[link.to_str().unwrap().to_owned()], LIMITS);
        assert_eq!(names(&walked), ["real/a.txt"], "a root that is a link itself is followed");
        assert_eq!(walked.skipped, 3);
    }

    #[test]
    fn a_file_may_be_given_itself_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.txt", b"text");
        let given = folder.path().join("a.txt").to_str().unwrap().to_owned();
        let walked = walk(&[given.clone(), "/no/such/folder".to_owned()], LIMITS);
        assert_eq!(names(&walked), ["a.txt"]);
        assert_eq!(walked.entries[0].subject, given);
        assert!(walked.errors[0].starts_with("`/no/such/folder` can't be read: "), "{:?}", walked.errors);
    }

    #[test]
    fn a_walk_ends_at_its_limits_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..10 {
            write(folder.path(), &format!("{number}.txt"), &[b'x'; 100]);
        }
        let given = [folder.path().to_str().unwrap().to_owned()];
        let walked = walk(&given, Limits { files: 4, bytes: 1 << 20 });
        assert_eq!((walked.entries.len(), walked.errors.len()), (4, 1));
        assert_eq!(walk(&given, Limits { files: 100, bytes: 350 }).entries.len(), 3);
    }

    #[test]
    fn only_texts_of_a_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.bin", b"ab\0c");
        write(folder.path(), "b.txt", b"text");
        let walked = walk(&[folder.path().to_str().unwrap().to_owned()], LIMITS);
        assert_eq!(read(&walked.entries[0], 100), Ok(Content::Binary));
        assert_eq!(read(&walked.entries[1], 100), Ok(Content::Text(b"text".to_vec())));
        assert_eq!(read(&walked.entries[1], 3), Ok(Content::TooLarge));
        fs::remove_file(&walked.entries[1].path).unwrap();
        assert_eq!(read(&walked.entries[1], 100), Ok(Content::Other));
    }

    /// What is met, swapped, and then read.
    fn swapped(name: &str, swap: impl FnOnce(&Path, &Path)) -> Result<Content, String> {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(folder.path(), name, b"text");
        write(outside.path(), "b.txt", b"a secret of others");
        let walked = walk(&[folder.path().to_str().unwrap().to_owned()], LIMITS);
        swap(folder.path(), outside.path());
        read(&walked.entries[0], 100)
    }

    #[test]
    fn a_file_that_is_swapped_for_a_link_before_it_is_read_is_not_read() {
        let swap = |folder: &Path, outside: &Path| {
            fs::remove_file(folder.join("b.txt")).unwrap();
            std::os::unix::fs::symlink(outside.join("b.txt"), folder.join("b.txt")).unwrap();
        };
        assert_eq!(swapped("b.txt", swap), Ok(Content::Other));
        let swap = |folder: &Path, outside: &Path| {
            fs::remove_dir_all(folder.join("a")).unwrap();
            std::os::unix::fs::symlink(outside, folder.join("a")).unwrap();
        };
        assert_eq!(swapped("a/b.txt", swap), Ok(Content::Other), "nor is one in a folder that is swapped for a link");
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let swap = |folder: &Path, _: &Path| {
            let path = folder.join("b.txt");
            fs::remove_file(&path).unwrap();
            let (kind, mode) = (rustix::fs::FileType::Fifo, Mode::RUSR.union(Mode::WUSR));
            rustix::fs::mknodat(CWD, &path, kind, mode, 0).unwrap();
        };
        // Nobody ever opens its other end.
        assert_eq!(swapped("b.txt", swap), Ok(Content::Other));
    }

    #[test]
    fn what_is_known_and_no_file_any_more_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "real/a.txt", b"text");
        std::os::unix::fs::symlink("real", folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink("real/a.txt", folder.path().join("file")).unwrap();
        let given = folder.path().to_str().unwrap().to_owned();
        let known = ["file", "file2", "out/a.txt", "out/sub/b.txt", "real/a.txt"].map(|name| format!("{given}/{name}"));
        let walked = super::walk(&[given], &known.into(), LIMITS);
        let others: Vec<_> = walked.others.iter().map(|entry| entry.relative.as_str()).collect();
        assert_eq!(others, ["file", "out/a.txt", "out/sub/b.txt"]);
    }

    #[test]
    fn only_what_was_below_a_root_that_is_still_there_can_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "here.txt", b"text");
        let root = folder.path().to_str().unwrap().to_owned();
        let subjects = vec![format!("{root}/here.txt"), format!("{root}/gone.txt"), "/elsewhere/x".to_owned()];
        assert_eq!(gone(std::slice::from_ref(&root), subjects), [format!("{root}/gone.txt")]);
        assert!(gone(&["/not/mounted".to_owned()], vec!["/not/mounted/x".to_owned()]).is_empty());
    }
}
