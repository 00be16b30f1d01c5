//! The component store (what was accepted, by digest) and the cache of machine code compiled from it.
//!
//! Whoever can write the cache can run code in the host. So the folders are the owner's alone, each artefact carries a MAC
//! under a key that is made here and never leaves, and nothing from outside is ever taken for an artefact.

use crate::error::Error;
use quarterdeck_model::plugin::Digest;
use sha2::Digest as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

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
    pub(crate) fn open(folder: &Path, engine_hash: String) -> Result<Self, Error> {
        let components = folder.join("components");
        let aot = folder.join("aot");
        for path in [folder, &components, &aot] {
            private_folder(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        }
        let key_path = aot.join("key");
        let key = key(&key_path).map_err(|source| Error::Folder { path: key_path, source })?;
        Ok(Cache { components, aot, key, engine_hash, serial: AtomicU64::new(0) })
    }

    /// Keeps the bytes of an accepted component.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let path = self.component_path(digest);
        if path.exists() { Ok(()) } else { self.write(&path, &[bytes]) }
    }

    /// The bytes of a component that was accepted earlier; nothing if they are gone or were changed.
    pub(crate) fn component(&self, wanted: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.component_path(wanted)).ok()?;
        (digest(&bytes) == *wanted).then_some(bytes)
    }

    pub(crate) fn store_artefact(&self, digest: &Digest, artefact: &[u8]) -> io::Result<()> {
        self.write(&self.artefact_path(digest), &[self.mac(digest, artefact).as_bytes(), artefact])
    }

    /// The compiled component, if it is there, for this engine, and unchanged.
    pub(crate) fn artefact(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.artefact_path(digest);
        let bytes = fs::read(&path).ok()?;
        let (mac, artefact) = bytes.split_at_checked(MAC_BYTES)?;
        let mac: [u8; MAC_BYTES] = mac.try_into().ok()?;
        if blake3::Hash::from_bytes(mac) != self.mac(digest, artefact) {
            tracing::warn!(path = %path.display(), "an artefact in the cache was changed: it is compiled anew");
            return None;
        }
        match deserialize(engine, artefact) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an artefact in the cache can't be used: it is compiled anew");
                None
            }
        }
    }

    fn mac(&self, digest: &Digest, artefact: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.0.as_bytes());
        hasher.update(self.engine_hash.as_bytes());
        hasher.update(artefact);
        hasher.finalize()
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
        let cache = Cache::open(folder.path(), crate::engine::hash(&engine)).unwrap();
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
    fn the_key_and_the_folders_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path(), String::new()).unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("aot"), 0o700);
        assert_eq!(mode("components"), 0o700);
        assert_eq!(mode("aot/key"), 0o600);
    }

    #[test]
    fn a_kept_component_is_given_back_only_if_it_still_has_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), String::new()).unwrap();
        let name = digest(b"bytes");
        cache.keep(&name, b"bytes").unwrap();
        assert_eq!(cache.component(&name).as_deref(), Some(b"bytes".as_slice()));
        fs::write(cache.component_path(&name), b"other").unwrap();
        assert_eq!(cache.component(&name), None);
    }
}
