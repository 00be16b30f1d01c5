//! The data folder: private, and with what the command line needs to find the daemon.

use crate::client::{ADDRESS_FILE, STARTING_FILE, TOKEN_FILE};
use anyhow::{Context, Result, bail};
use rand::TryRngCore;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(super) struct Folders {
    pub(super) data: PathBuf,
    /// Compiled plugins: may be deleted at any time.
    pub(super) cache: PathBuf,
    /// Where machine code is, if not below `cache`.
    pub(super) artefacts: Option<PathBuf>,
}

impl Folders {
    /// Makes what is missing, readable by the daemon's user only.
    pub(super) fn prepare(data: &Path) -> Result<Self> {
        check_ours(data)?;
        let cache = std::env::var_os("QUARTERDECK_CACHE_DIR").map_or_else(|| data.join("cache"), PathBuf::from);
        for folder in [data, &cache] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
                format!("failed to make {}; hint: name another folder with --data-dir", folder.display())
            })?;
        }
        // One that was there already may have been made by a service manager, for everybody to read.
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).with_context(|| {
            format!("failed to make {} private; hint: does it belong to this user?", data.display())
        })?;
        Ok(Folders { data: data.to_owned(), cache, artefacts: None })
    }

    /// The token that changes need; made at the first start.
    pub(super) fn token(&self) -> Result<String> {
        let path = self.data.join(TOKEN_FILE);
        if let Ok(token) = std::fs::read_to_string(&path)
            && token.trim().len() >= 32
        {
            return Ok(token.trim().to_owned());
        }
        let mut bytes = [0_u8; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes).context("the system gives no randomness")?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&path, &token)?;
        Ok(token)
    }

    /// Says that a daemon starts in this folder, for as long as the file is held: its lock goes with the process, however that ends.
    pub(super) fn starting(&self) -> Result<std::fs::File> {
        let path = self.data.join(STARTING_FILE);
        let hold = || {
            let file = std::fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            // Who asks holds it for a moment.
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        hold().with_context(|| format!("failed to lock {}", path.display()))
    }

    pub(super) fn announce(&self, url: &str) -> Result<()> {
        write_private(&self.data.join(ADDRESS_FILE), url)
    }

    pub(super) fn withdraw(&self) {
        let _ = std::fs::remove_file(self.data.join(ADDRESS_FILE));
    }
}

/// A data folder is taken away from everybody else: one that holds something of others is not, nor one that is everybody's.
fn check_ours(data: &Path) -> Result<()> {
    let (Ok(found), Ok(entries)) = (std::fs::metadata(data), std::fs::read_dir(data)) else { return Ok(()) };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).filter(|name| name != "lost+found").collect();
    let is_known = |name: &std::ffi::OsString| {
        // What a daemon makes, and what people put there before its first start.
        [TOKEN_FILE, STARTING_FILE, "lock", "store", "cache", "plugins", "config"].iter().any(|known| name == known)
    };
    let is_everybodys = found.permissions().mode() & 0o1000 != 0 && !names.iter().any(|name| name == TOKEN_FILE);
    if !is_everybodys && (names.is_empty() || names.iter().any(is_known)) {
        return Ok(());
    }
    let why = if is_everybodys { "everybody has files in it" } else { "there are other files in it" };
    bail!(
        "{} can't be the data folder: {why}; hint: name another with --data-dir, one that is empty or not there yet",
        data.display()
    )
}

/// Written beside its place and renamed, so that nobody reads half of it.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(mode: u32, names: &[&str]) -> (Result<(), String>, u32) {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for name in names {
            std::fs::create_dir(data.join(name)).unwrap();
        }
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
        let prepared = Folders::prepare(&data).map(drop).map_err(|error| error.to_string());
        (prepared, std::fs::metadata(&data).unwrap().permissions().mode() & 0o7777)
    }

    #[test]
    fn a_folder_becomes_private_and_one_that_is_others_stays_as_it_is() {
        for (mode, names) in [
            (0o755, &[][..]),
            (0o777, &["lost+found"]),
            (0o755, &["plugins"]),
            (0o2775, &["config", "notes"]),
            (0o1777, &["token", "store"]),
        ] {
            let (prepared, now) = prepared(mode, names);
            assert_eq!((prepared, now & 0o777), (Ok(()), 0o700), "{mode:o} {names:?}");
        }
        for (mode, names, why) in
            [(0o755, &["nginx", "dpkg"][..], "other files in it"), (0o1777, &[], "everybody has files in it")]
        {
            let (prepared, now) = prepared(mode, names);
            assert!(prepared.unwrap_err().contains(why));
            assert_eq!(now, mode, "{names:?}");
        }
    }
}
