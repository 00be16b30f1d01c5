//! Which versions there are, and which one is in use under each name. No I/O, no waiting: what follows from a change is done by
//! `runtime::settle`.

use crate::plugin::Version;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::{Digest, PluginState, PluginStatus};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What tells one content of a file from the next, without reading it. Of the file that a link points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    /// Since 1970.
    pub(crate) modified_nanos: i128,
}

/// A file of the plugins folder (or a bundled plugin that was refused).
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) digest: Option<Digest>,
    /// The last usable version that this file held.
    pub(crate) version: Option<Arc<Version>>,
    /// Why its present content can't be used.
    pub(crate) refused: Option<String>,
    pub(crate) at: Timestamp,
    /// When it was first found missing. Gone for a moment is not deleted.
    pub(crate) missing_since: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Named {
    pub(crate) bundled: Option<Arc<Version>>,
    pub(crate) current: Option<Arc<Version>>,
    /// The last version that proved itself, for going back to.
    pub(crate) previous: Option<Arc<Version>>,
    /// What stands in for files that were rolled back.
    pub(crate) fallback: Option<Arc<Version>>,
    /// Versions that failed their probation, and how.
    pub(crate) banned: BTreeMap<Digest, String>,
}

#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) names: BTreeMap<String, Named>,
    /// By file name.
    pub(crate) files: BTreeMap<String, Found>,
    /// Old versions whose calls are still running, or which an instance stays on.
    pub(crate) draining: Vec<Arc<Version>>,
}

/// A change of what is in use under a name.
pub(crate) struct Swap {
    pub(crate) old: Option<Arc<Version>>,
    pub(crate) new: Option<Arc<Version>>,
}

impl Catalog {
    pub(crate) fn current(&self, name: &str) -> Option<Arc<Version>> {
        self.names.get(name).and_then(|named| named.current.clone())
    }

    /// A loaded version of that content, wherever it came from.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<Arc<Version>> {
        let named = self
            .names
            .values()
            .flat_map(|named| [&named.current, &named.bundled, &named.previous, &named.fallback].into_iter().flatten());
        let found = self.files.values().filter_map(|found| found.version.as_ref());
        named.chain(found).chain(&self.draining).find(|version| version.reference.digest == *digest).cloned()
    }

    /// The files that have been missing for as long as `grace`, of those that are not `present`; and whether others are missing
    /// for less long.
    pub(crate) fn missing(&mut self, present: impl Fn(&str) -> bool, grace: Duration) -> (Vec<String>, bool) {
        let (mut gone, mut waiting) = (Vec::new(), false);
        for (file, found) in &mut self.files {
            if present(file) {
                found.missing_since = None;
            } else if found.missing_since.get_or_insert_with(Instant::now).elapsed() >= grace {
                gone.push(file.clone());
            } else {
                waiting = true;
            }
        }
        (gone, waiting)
    }

    /// The version that a name should run on. Of several files of one name the one that was modified last wins (of equally
    /// old ones the last by file name); a file wins over the bundled plugin.
    fn choose(&self, name: &str, named: &Named) -> Option<Arc<Version>> {
        let of_name =
            || self.files.iter().filter(|(_, found)| found.version.as_ref().is_some_and(|v| v.reference.name == name));
        let newest = of_name()
            .filter_map(|(file, found)| Some((found.stamp.modified_nanos, file, found.version.as_ref()?)))
            .filter(|(_, _, version)| !named.banned.contains_key(&version.reference.digest))
            .max_by_key(|(modified, file, _)| (*modified, *file));
        match newest {
            Some((_, _, version)) => Some(Arc::clone(version)),
            None if of_name().next().is_some() => named.fallback.clone().or_else(|| named.bundled.clone()),
            None => named.bundled.clone(),
        }
    }

    /// Puts the right version in use. `None`: it is already.
    pub(crate) fn settle(&mut self, name: &str) -> Option<Swap> {
        self.names.entry(name.to_owned()).or_default();
        let new = self.names.get(name).and_then(|named| self.choose(name, named));
        let has_files =
            self.files.values().any(|found| found.version.as_ref().is_some_and(|v| v.reference.name == name));
        let named = self.names.entry(name.to_owned()).or_default();
        if !has_files {
            named.fallback = None;
            named.previous = None;
            named.banned.clear();
        }
        let same = match (&named.current, &new) {
            (Some(old), Some(new)) => old.is(new),
            (None, None) => true,
            _ => false,
        };
        if same {
            if named.current.is_none() && named.bundled.is_none() && !has_files {
                self.names.remove(name);
            }
            return None;
        }
        let old = std::mem::replace(&mut named.current, new.clone());
        if let Some(old) = &old {
            if !old.probation.is_active() && !named.banned.contains_key(&old.reference.digest) {
                named.previous = Some(Arc::clone(old));
            }
            old.set_draining(true);
            self.draining.push(Arc::clone(old));
        }
        if let Some(new) = &new {
            new.set_draining(false);
            self.draining.retain(|version| !version.is(new));
        }
        if named.current.is_none() && named.bundled.is_none() && !has_files {
            self.names.remove(name);
        }
        Some(Swap { old, new })
    }

    /// The file that holds the version now: one that was renamed or copied is not loaded again.
    pub(crate) fn source(&self, version: &Version) -> String {
        let holding = |found: &Found| found.refused.is_none() && found.version.as_ref().is_some_and(|v| v.is(version));
        let files = self.files.iter().filter(|(_, found)| holding(found));
        let newest = files.max_by_key(|(file, found)| (found.stamp.modified_nanos, *file));
        newest.map_or_else(|| version.source.clone(), |(file, _)| file.clone())
    }

    pub(crate) fn statuses(&self) -> Vec<PluginStatus> {
        let mut statuses = Vec::new();
        for (name, named) in &self.names {
            if let Some(current) = &named.current {
                let state = if current.probation.is_active() { PluginState::Probation } else { PluginState::Active };
                let mut status = current.status(state, self.trouble(name, named));
                status.source = self.source(current);
                statuses.push(status);
            }
        }
        for version in &self.draining {
            let calls = version.in_flight();
            let reason = if calls > 0 { format!("{calls} calls in flight") } else { "instances stay on it".to_owned() };
            statuses.push(version.status(PluginState::Draining, Some(reason)));
        }
        for (file, found) in self.files.iter().filter(|(_, found)| found.version.is_none()) {
            statuses.push(refused(file, found));
        }
        statuses
    }

    /// What went wrong with newer files of the name, while the version in use goes on.
    fn trouble(&self, name: &str, named: &Named) -> Option<String> {
        let of_name = self
            .files
            .iter()
            .filter(|(_, found)| found.version.as_ref().is_some_and(|version| version.reference.name == name));
        let mut troubles = Vec::new();
        for (file, found) in of_name {
            if let Some(reason) = &found.refused {
                troubles.push(format!("`{file}` was refused: {reason}"));
            } else if let Some(reason) = found.digest.as_ref().and_then(|digest| named.banned.get(digest)) {
                troubles.push(format!("`{file}` was rolled back: {reason}"));
            }
        }
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

fn refused(file: &str, found: &Found) -> PluginStatus {
    let stem = file.strip_suffix(".wasm").unwrap_or(file);
    PluginStatus {
        name: stem.to_owned(),
        version: String::new(),
        summary: String::new(),
        digest: found.digest.clone().unwrap_or(Digest(String::new())),
        kinds: Vec::new(),
        state: PluginState::Refused,
        reason: found.refused.clone(),
        source: file.to_owned(),
        bytes: found.stamp.bytes,
        loaded_at: found.at,
        capabilities: Vec::new(),
        config_schema: Value::Null,
    }
}
