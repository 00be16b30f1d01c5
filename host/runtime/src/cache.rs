//! The component store (what was accepted, by digest) and the cache of machine code compiled from it.
//!
//! Whoever can write the cache can run code in the host. So the folders are the owner's alone, each artefact has a MAC beside
//! it under a key that is made here and never leaves, and nothing from outside is ever taken for an artefact. An artefact is
//! mapped, not read: a component that nobody calls costs address space and next to no memory. So a file that is there is never
//! written to, only replaced.
//!
//! Both folders are bounded: what was used longest ago goes first. An artefact that goes costs a compilation; a component
//! that goes can't be rolled back to.

use crate::error::Error;
use quarterdeck_model::plugin::Digest;
use sha2::Digest as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use wasmtime::Engine;
use wasmtime::component::Component;

const KEY_BYTES: usize = 32;
/// What each of the two folders may hold.
const FOLDER_BYTES: u64 = 2 << 30;

pub(crate) struct Cache {
    components: PathBuf,
    aot: PathBuf,
    key: [u8; KEY_BYTES],
    engine_hash: String,
    /// Makes names of files that are being written unique within the process.
    serial: AtomicU64,
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in sha2::Sha256::digest(bytes) {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    Digest(text)
}

impl Cache {
    /// `artefacts`: where the machine code is; unless given, beside the components. Several hosts may share it: a file there is only ever
    /// replaced, and one of another key is compiled anew.
    pub(crate) fn open(folder: &Path, artefacts: Option<&Path>, engine_hash: String) -> Result<Self, Error> {
        let components = folder.join("components");
        let aot = artefacts.map_or_else(|| folder.join("aot"), Path::to_owned);
        for path in [folder, &components, &aot] {
            private_folder(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        }
        let key_path = aot.join("key");
        let key = key(&key_path).map_err(|source| Error::Folder { path: key_path, source })?;
        Ok(Cache { components, aot, key, engine_hash, serial: AtomicU64::new(0) })
    }

    /// Keeps the bytes of an accepted component. A file that was damaged is written anew.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let path = self.component_path(digest);
        if self.component(digest).is_some() {
            touch(&path);
            return Ok(());
        }
        self.write(&path, &[bytes])?;
        // Unlike an artefact it can't be made again: it is what a rollback goes back to.
        File::open(&path)?.sync_all()?;
        bound(&self.components, FOLDER_BYTES);
        Ok(())
    }

    /// The bytes of a component that was accepted earlier; nothing if they are gone or were changed.
    pub(crate) fn component(&self, wanted: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.component_path(wanted)).ok()?;
        (digest(&bytes) == *wanted).then_some(bytes)
    }

    /// How large a component is that was accepted earlier.
    pub(crate) fn component_bytes(&self, wanted: &Digest) -> u64 {
        fs::metadata(self.component_path(wanted)).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn store_artefact(&self, digest: &Digest, artefact: &[u8]) -> io::Result<()> {
        let path = self.artefact_path(digest);
        let mac = self.mac(digest, artefact)?;
        self.write(&path, &[artefact])?;
        self.write(&mac_path(&path), &[mac.as_bytes()])?;
        bound(&self.aot, FOLDER_BYTES);
        Ok(())
    }

    /// The compiled component, if it is there, for this engine, and unchanged.
    pub(crate) fn artefact(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.artefact_path(digest);
        let file = File::open(&path).ok()?;
        let mac: [u8; blake3::OUT_LEN] = fs::read(mac_path(&path)).ok()?.try_into().ok()?;
        if self.mac(digest, &file).ok()? != blake3::Hash::from_bytes(mac) {
            tracing::warn!(path = %path.display(), "an artefact in the cache was changed: it is compiled anew");
            return None;
        }
        match map(engine, &file, &path) {
            Ok(component) => {
                touch(&path);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an artefact in the cache can't be used: it is compiled anew");
                None
            }
        }
    }

    /// Whether there is an artefact; whether it can be used shows when it is taken.
    pub(crate) fn may_hold(&self, digest: &Digest) -> bool {
        self.artefact_path(digest).exists()
    }

    fn mac(&self, digest: &Digest, artefact: impl Read) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.0.as_bytes());
        hasher.update(self.engine_hash.as_bytes());
        hasher.update_reader(artefact)?;
        Ok(hasher.finalize())
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.components.join(format!("{}.wasm", hex(digest)))
    }

    fn artefact_path(&self, digest: &Digest) -> PathBuf {
        self.aot.join(format!("{}-{}.cwasm", hex(digest), self.engine_hash))
    }

    /// Where the digests of versions that proved themselves are kept.
    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.components.join("good.json")
    }

    /// Writes a new file and renames it: a reader sees the old one or the new one, whole.
    pub(crate) fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{serial}.new", std::process::id()));
        let result = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            for part in parts {
                file.write_all(part)?;
            }
            fs::rename(&temporary, path)
        })();
        if result.is_err() {
            // It may not exist; what matters is reported by `result`.
            let _ = fs::remove_file(&temporary);
        }
        result
    }
}

/// Turns bytes that this host's own compiler made into a component.
#[expect(
    unsafe_code,
    reason = "wasmtime can't check machine code: callers pass what our compiler made, verified by its MAC"
)]
pub(crate) fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `artefact` comes from `Engine::precompile_component`, straight from the compiler or from our cache, where its
    // MAC under a key that only this user can read was just verified.
    unsafe { Component::deserialize(engine, artefact) }
}

/// As [`deserialize`], out of a file whose MAC was just verified.
#[expect(
    unsafe_code,
    reason = "wasmtime can't check machine code: callers pass what our compiler made, verified by its MAC"
)]
fn map(engine: &Engine, file: &File, path: &Path) -> wasmtime::Result<Component> {
    // The file that was verified, whatever the path leads to by now.
    let opened = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let path = if opened.exists() { opened.as_path() } else { path };
    // SAFETY: as for `deserialize`; and the file is in a folder of the owner's alone, where files are replaced, never changed.
    unsafe { Component::deserialize_file(engine, path) }
}

fn mac_path(artefact: &Path) -> PathBuf {
    artefact.with_extension("mac")
}

/// It was used now: see [`bound`].
fn touch(path: &Path) {
    let used = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = used {
        tracing::debug!(path = %path.display(), %error, "the time of use can't be noted");
    }
}

/// Removes what was used longest ago until the rest fits.
fn bound(folder: &Path, limit_bytes: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let is_bulk = path.extension().is_some_and(|extension| extension == "wasm" || extension == "cwasm");
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), path)).filter(|_| is_bulk)
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in files {
        if total <= limit_bytes {
            return;
        }
        // Gone already is as good.
        let _ = fs::remove_file(&path);
        let _ = fs::remove_file(mac_path(&path));
        total = total.saturating_sub(bytes);
    }
}

fn hex(digest: &Digest) -> &str {
    digest.0.strip_prefix("sha256:").unwrap_or(&digest.0)
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Reads the key, or makes one. A new key makes every artefact stale, which costs a compilation.
fn key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if let Ok(mut file) = fs::File::open(path)
        && file.read_exact(&mut key).is_ok()
    {
        return Ok(key);
    }
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut key);
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&key)?;
    fs::rename(&temporary, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artefact_that_was_changed_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = crate::engine::compiler().unwrap();
        let cache = Cache::open(folder.path(), None, crate::engine::hash(&engine)).unwrap();
        let bytes = wat::parse_str("(component)").unwrap();
        let name = digest(&bytes);
        cache.store_artefact(&name, &engine.precompile_component(&bytes).unwrap()).unwrap();
        assert!(cache.artefact(&engine, &name).is_some());

        let path = cache.artefact_path(&name);
        let mut changed = fs::read(&path).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(cache.artefact(&engine, &name).is_none());
    }

    #[test]
    fn an_artefact_goes_on_working_when_its_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let engine = crate::engine::compiler().unwrap();
        let cache = Cache::open(folder.path(), None, crate::engine::hash(&engine)).unwrap();
        let bytes = wat::parse_str("(component)").unwrap();
        let artefact = engine.precompile_component(&bytes).unwrap();
        cache.store_artefact(&digest(&bytes), &artefact).unwrap();
        let component = cache.artefact(&engine, &digest(&bytes)).unwrap();
        cache.store_artefact(&digest(&bytes), &artefact).unwrap();
        assert_eq!(component.component_type().exports(&engine).len(), 0);
        assert!(cache.artefact(&engine, &digest(&bytes)).is_some());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        for (age, name) in [(3, "old.wasm"), (2, "older-but-used.wasm"), (1, "new.wasm"), (4, "good.json")] {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let at = SystemTime::now() - std::time::Duration::from_secs(age * 60);
            File::open(&path).unwrap().set_modified(at).unwrap();
        }
        touch(&folder.path().join("older-but-used.wasm"));
        bound(folder.path(), 250);
        let left = |name: &str| folder.path().join(name).exists();
        assert!(!left("old.wasm"));
        assert!(left("older-but-used.wasm") && left("new.wasm") && left("good.json"));
    }

    #[test]
    fn the_key_and_the_folders_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path(), None, String::new()).unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("aot"), 0o700);
        assert_eq!(mode("components"), 0o700);
        assert_eq!(mode("aot/key"), 0o600);
    }

    #[test]
    fn a_kept_component_is_given_back_only_if_it_still_has_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), None, String::new()).unwrap();
        let name = digest(b"bytes");
        cache.keep(&name, b"bytes").unwrap();
        assert_eq!(cache.component(&name).as_deref(), Some(b"bytes".as_slice()));
        fs::write(cache.component_path(&name), b"other").unwrap();
        assert_eq!(cache.component(&name), None);
        cache.keep(&name, b"bytes").unwrap();
        assert_eq!(cache.component(&name).as_deref(), Some(b"bytes".as_slice()), "a damaged file is mended");
    }
}
