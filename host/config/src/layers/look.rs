//! What the files of a configuration are, without what is in them: cheap to ask every few seconds, whatever a file system tells of
//! itself. A link counts as what it leads to.

use super::objects::object_files;
use crate::meaning::object_sections;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Two that are equal were taken of the same files: none was changed, replaced, added or taken away in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Of the content, and of the rights and names: a file that may be read again has changed, too.
    times: [i64; 4],
}

impl Look {
    /// Of the files of the folder, and of `others` that the configuration names. Blocks on the disk.
    pub fn at(dir: &Path, others: &[PathBuf]) -> Self {
        let mut paths = vec![dir.join("quarterdeck.toml")];
        let folders = object_sections().into_iter().chain(["environments"]);
        // What can't be looked into is said when it is read.
        paths.extend(folders.flat_map(|folder| object_files(&dir.join(folder), &mut Vec::new())));
        paths.extend_from_slice(others);
        Look(paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect())
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: data.dev(),
            inode: data.ino(),
            size: data.len(),
            times: [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_sees_every_way_in_which_files_change_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, other) = (folder.path().join("config"), folder.path().join("alertmanager.yml"));
        std::fs::create_dir_all(dir.join("rules/deep")).unwrap();
        let look = || Look::at(&dir, std::slice::from_ref(&other));
        let mut before = look();
        let mut changed = |what: &str, change: &dyn Fn()| {
            change();
            let now = look();
            assert_ne!(now, before, "{what}");
            before = now;
        };
        let main = dir.join("quarterdeck.toml");
        changed("a file", &|| std::fs::write(&main, "a = 1\n").unwrap());
        changed("another size", &|| std::fs::write(&main, "a = 10\n").unwrap());
        changed("an object", &|| std::fs::write(dir.join("rules/deep/a.toml"), "").unwrap());
        changed("an overlay", &|| {
            std::fs::write(dir.join("environments.toml"), "")
                .and_then(|()| {
                    std::fs::create_dir(dir.join("environments"))?;
                    std::fs::rename(dir.join("environments.toml"), dir.join("environments/a.toml"))
                })
                .unwrap()
        });
        changed("a file that is named", &|| std::fs::write(&other, "").unwrap());
        changed("one that is gone", &|| std::fs::remove_file(&other).unwrap());
        changed("a link in place of it", &|| std::os::unix::fs::symlink(&main, &other).unwrap());
        std::fs::write(dir.join("notes.md"), "").unwrap();
        assert_eq!(look(), before);
    }
}
