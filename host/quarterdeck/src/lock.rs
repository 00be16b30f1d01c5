//! The lock file: which plugins a host has, exactly, and what they may touch. The daemon writes `plugins.lock` into its data folder whenever
//! one is installed, dropped in, removed, gone back on or granted something; `quarterdeck plugin install --locked` brings another host, or the same one
//! later, to what it says. What was installed leaves it only by a removal, or by what somebody puts in its place by name.

use anyhow::{Context, Result, anyhow, bail};
use quarterdeck_model::brief;
use quarterdeck_model::plugin::publisher::PublisherKey;
use quarterdeck_model::plugin::{Digest, Grants, InstanceName};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

pub(crate) const LOCK_FILE: &str = "plugins.lock";
const VERSION: u32 = 1;
const HEAD: &str =
    "# Written by Quarterdeck. `quarterdeck plugin install --locked <this file>` brings exactly what it names.\n\n";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// Of this format.
    pub(crate) version: u32,
    #[serde(default, rename = "plugin")]
    pub(crate) plugins: Vec<Locked>,
}

/// A file of the plugins folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    /// Where it was installed from. Absent: it was dropped in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Instances whose grants this content has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) granted: Vec<Granted>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Granted {
    pub(crate) instance: InstanceName,
    /// The publisher whose key they were given to. Absent: they were given to this content, and are given to no other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PublisherKey>,
    pub(crate) grants: Grants,
}

impl Lock {
    pub(crate) fn of(plugins: Vec<Locked>) -> Self {
        Lock { version: VERSION, plugins }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        // As a whole, the error would show the lines of the file.
        let wrong = |error: toml::de::Error| anyhow!("{} is no lock file: {}", path.display(), brief(error.message()));
        let lock: Lock = toml::from_str(&text).map_err(wrong)?;
        if lock.version != VERSION {
            bail!("{} has the format {}, and this program reads {VERSION}", path.display(), lock.version);
        }
        Ok(lock)
    }

    /// Replaces the file as a whole, and durably; leaves one alone that says the same.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEAD}{}", toml::to_string_pretty(self)?);
        if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        let temporary = path.with_extension("lock.new");
        let write = || {
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let grants: Grants = serde_json::from_value(serde_json::json!({
            "http": ["https://example.com"], "exec": [{"program": "/bin/df", "arguments": ["-h"]}]}))
        .unwrap();
        let plugin = |file: &str, source: Option<&str>, granted| Locked {
            file: file.to_owned(),
            name: "wave".to_owned(),
            version: "1.0.0".to_owned(),
            digest: Digest(format!("sha256:{}", "0".repeat(64))),
            source: source.map(str::to_owned),
            granted,
        };
        let given =
            |instance: &str, key| Granted { instance: InstanceName::from(instance), key, grants: grants.clone() };
        let granted = vec![given("wave/first", None), given("wave/second", Some(PublisherKey([7; 32])))];
        let lock = Lock::of(vec![
            plugin("a.wasm", None, Vec::new()),
            plugin("b.wasm", Some("https://example.com/b.wasm"), granted),
        ]);
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        Lock::of(Vec::new()).write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap().plugins, []);
        std::fs::write(&path, "version = 2\n").unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("has the format 2"));
        std::fs::write(&path, "version = 1\nplugins = 3\n").unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("is no lock file"));
    }
}
