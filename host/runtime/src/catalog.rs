//! Which versions there are, and which one is in use under each name. No I/O, no waiting: what follows from a change is done by
//! `runtime::settle`.

use crate::options::Bundled;
use crate::plugin::{Again, BUNDLED, Version};
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::{Digest, PluginState, PluginStatus};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What tells one content of a file from the next, without reading it. Of the file that a link points to. Zeros: it is there, and
/// can't be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    /// Since 1970.
    pub(crate) modified_nanos: i128,
    /// Since 1970, of the last change of content, owner or permissions: nobody can set it back.
    pub(crate) changed_nanos: i128,
}

/// A file of the plugins folder (or a bundled plugin that was refused).
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) digest: Option<Digest>,
    /// The last usable version that this file held.
    pub(crate) version: Option<Arc<Version>>,
    /// Why its present content can't be used.
    pub(crate) refused: Option<String>,
    /// When it is tried again, if it was refused for a passing reason.
    pub(crate) again: Option<Again>,
    /// What was refused, if that did not come from a file.
    pub(crate) bundled: Option<Bundled>,
    pub(crate) at: Timestamp,
    /// When it was first found missing. Gone for a moment is not deleted.
    pub(crate) missing_since: Option<Instant>,
}

/// Who waits for a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Readiness: it was there when the host started.
    Start,
    /// Whoever asks for a look at the plugins folder.
    Look,
    /// Nobody: a bundled plugin that no instance names.
    Nobody,
}

/// A file that is being read, compiled and described, or waits for that.
pub(crate) struct Loading {
    pub(crate) stamp: Stamp,
    pub(crate) since: Timestamp,
    pub(crate) awaited: Awaited,
    /// The file has a newer content: this one is of no use any more.
    pub(crate) superseded: CancellationToken,
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

impl Named {
    pub(crate) fn is_on(&self, version: &Version) -> bool {
        self.current.as_ref().is_some_and(|current| current.is(version))
    }
}

#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) names: BTreeMap<String, Named>,
    /// By file name.
    pub(crate) files: BTreeMap<String, Found>,
    /// By file name.
    pub(crate) loading: BTreeMap<String, Loading>,
    /// Files that were still being written when they were read last.
    pub(crate) written: BTreeSet<String>,
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

    /// Whether a bundled plugin of that name is still to be compiled.
    pub(crate) fn is_to_come(&self, name: &str) -> bool {
        self.loading.contains_key(&format!("{BUNDLED_FILE}{name}"))
    }

    /// Whether it is the content of a plugin that came with the binary.
    pub(crate) fn is_bundled(&self, digest: &Digest) -> bool {
        self.names.values().filter_map(|named| named.bundled.as_ref()).any(|own| own.reference.digest == *digest)
    }

    /// The files that have been missing for as long as `grace`, of those that are not `present`.
    pub(crate) fn missing(&mut self, present: impl Fn(&str, &Found) -> bool, grace: Duration) -> Vec<String> {
        let mut gone = Vec::new();
        for (file, found) in &mut self.files {
            if present(file, found) {
                found.missing_since = None;
            } else if found.missing_since.get_or_insert_with(Instant::now).elapsed() >= grace {
                gone.push(file.clone());
            }
        }
        gone
    }

    /// While nobody can tell what is there, nothing is missing.
    pub(crate) fn unknown_whether_missing(&mut self) {
        for found in self.files.values_mut() {
            found.missing_since = None;
        }
    }

    /// Whether that content of a file has to be loaded: it is new, or what kept it from being loaded may be over.
    pub(crate) fn wants_loading(&self, file: &str, stamp: &Stamp) -> bool {
        if self.loading.get(file).is_some_and(|loading| loading.stamp == *stamp) {
            return false;
        }
        let found = self.files.get(file);
        found.is_none_or(|found| found.stamp != *stamp || found.again.is_some_and(|again| again.is_due()))
    }

    /// What was refused for a passing reason is tried at the next look.
    pub(crate) fn try_again_now(&mut self) {
        for again in self.files.values_mut().filter_map(|found| found.again.as_mut()) {
            again.at = Instant::now();
        }
    }

    /// Whether a file is on its way, or missing since a moment: the next look should come soon.
    pub(crate) fn is_restless(&self) -> bool {
        !self.written.is_empty() || self.files.values().any(|found| found.missing_since.is_some())
    }

    /// The version that a name should run on. Of several files of one name the one that was modified last wins (of equally
    /// old ones the last by file name); a file wins over the bundled plugin.
    fn choose(&self, name: &str, named: &Named) -> Option<Arc<Version>> {
        self.choose_without(name, named, None)
    }

    /// What would serve under the name if that file were not there.
    pub(crate) fn without(&self, name: &str, file: &str) -> Option<Arc<Version>> {
        self.names.get(name).and_then(|named| self.choose_without(name, named, Some(file)))
    }

    /// Whether the version is in use, and out of that file.
    pub(crate) fn serves(&self, file: &str, version: &Version) -> bool {
        self.current(&version.reference.name).is_some_and(|current| current.is(version)) && self.source(version) == file
    }

    fn choose_without(&self, name: &str, named: &Named, left_out: Option<&str>) -> Option<Arc<Version>> {
        let of_name = || {
            let files = self.files.iter().filter(|(file, _)| left_out != Some(file.as_str()));
            files.filter(|(_, found)| found.version.as_ref().is_some_and(|v| v.reference.name == name))
        };
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

    /// The file that holds the version now: one that was renamed or copied is not loaded again. If there is none, the one that held it
    /// last, and holds something now that was refused; but what came out of the component store is told from there.
    pub(crate) fn source(&self, version: &Version) -> String {
        source_among(self.files.iter().map(|(file, found)| (file.as_str(), found)), version)
    }

    pub(crate) fn statuses(&self) -> Vec<PluginStatus> {
        let by_name = self.files_by_name();
        let mut statuses = Vec::new();
        for (name, named) in &self.names {
            if let Some(current) = &named.current {
                let files = by_name.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
                let mut status = current.status(state(current), self.trouble(files, named));
                status.source = source_among(files.iter().copied(), current);
                statuses.push(status);
            }
        }
        statuses.extend(self.unused());
        for version in &self.draining {
            let calls = version.in_flight();
            let reason = if calls > 0 { format!("{calls} calls in flight") } else { "instances stay on it".to_owned() };
            statuses.push(version.status(PluginState::Draining, Some(reason)));
        }
        statuses
    }

    /// Of each of the same, and nothing more: a schema is no small thing to copy.
    pub(crate) fn states(&self) -> Vec<PluginState> {
        let current = self.names.values().filter_map(|named| named.current.as_deref()).map(state);
        let draining = self.draining.iter().map(|_| PluginState::Draining);
        current.chain(self.unused().map(|unused| unused.state)).chain(draining).collect()
    }

    /// By the name of the version that they hold, else by the name that they are taken for.
    fn files_by_name(&self) -> BTreeMap<&str, Vec<(&str, &Found)>> {
        let mut by_name: BTreeMap<&str, Vec<(&str, &Found)>> = BTreeMap::new();
        for (file, found) in &self.files {
            let name = found.version.as_ref().map_or_else(|| stem(file), |version| version.reference.name.as_str());
            by_name.entry(name).or_default().push((file, found));
        }
        by_name
    }

    /// Files that hold nothing usable, or not yet. One that is named like a plugin in use is told of there.
    fn unused(&self) -> impl Iterator<Item = PluginStatus> {
        let stands_apart = move |file: &str| self.current(stem(file)).is_none();
        // A newer content of a file that is in use shows when it is in use itself, and another try changes nothing to look at.
        let is_first = move |file: &str, loading: &Loading| {
            self.files.get(file).is_none_or(|found| found.version.is_none() && found.stamp != loading.stamp)
        };
        let loading = self.loading.iter().filter(move |(file, loading)| is_first(file, loading));
        let loading = loading
            .filter(move |(file, _)| stands_apart(file))
            .map(|(file, loading)| unloaded(file, PluginState::Loading, loading.stamp.bytes, loading.since));
        let is_replaced =
            move |file: &str, found: &Found| self.loading.get(file).is_some_and(|next| next.stamp != found.stamp);
        let refused = self
            .files
            .iter()
            .filter(move |(file, found)| found.version.is_none() && !is_replaced(file, found) && stands_apart(file));
        loading.chain(refused.map(|(file, found)| refused_status(file, found)))
    }

    /// Why what the file holds is not used although nothing is wrong with it: another file of its plugin goes before it.
    pub(crate) fn passed_over(&self, file: &str) -> Option<String> {
        let found = self.files.get(file).filter(|found| found.refused.is_none())?;
        let version = found.version.as_ref()?;
        let current = self.current(&version.reference.name).filter(|current| !current.is(version))?;
        if self.names.get(&version.reference.name)?.banned.contains_key(&version.reference.digest) {
            return None;
        }
        let used = self.source(&current);
        let newer = self.files.get(&used)?.stamp.modified_nanos > found.stamp.modified_nanos;
        let why = if newer { "is newer" } else { "is as new, and later by name" };
        Some(format!(
            "`{file}` is not used: `{used}` {why}; hint: `touch` the one that is to be used, or take the other away"
        ))
    }

    /// What went wrong with newer ones of these files of a name, while the version in use goes on.
    fn trouble(&self, files: &[(&str, &Found)], named: &Named) -> Option<String> {
        let mut troubles = Vec::new();
        for (file, found) in files {
            if let Some(reason) = &found.refused {
                troubles.push(format!("`{file}` was refused: {reason}"));
            } else if let Some(reason) = found.digest.as_ref().and_then(|digest| named.banned.get(digest)) {
                troubles.push(format!("`{file}` was rolled back: {reason}"));
            } else if let Some(reason) = self.passed_over(file) {
                troubles.push(reason);
            }
        }
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

fn state(current: &Version) -> PluginState {
    if current.probation.is_active() { PluginState::Probation } else { PluginState::Active }
}

fn source_among<'a>(files: impl Iterator<Item = (&'a str, &'a Found)>, version: &Version) -> String {
    let of_version = |found: &Found| found.version.as_ref().is_some_and(|v| v.is(version));
    let files = files.filter(|(_, found)| of_version(found));
    let newest = files.max_by_key(|(file, found)| (found.refused.is_none(), found.stamp.modified_nanos, *file));
    match newest {
        Some((file, found)) if found.refused.is_none() || version.source != COMPONENT_STORE => file.to_owned(),
        _ => version.source.clone(),
    }
}

/// Marks bundled plugins that are not loaded (yet), among the files.
pub(crate) const BUNDLED_FILE: &str = "bundled/";
/// The source of a version of which no file is left, but its content.
pub(crate) const COMPONENT_STORE: &str = "component store";

/// How the name of a plugin's file ends.
pub(crate) const ENDING: &str = ".wasm";

/// What stands before the ending, in whatever case that is.
pub(crate) fn named(file: &str) -> Option<&str> {
    let (name, ending) = file.split_at_checked(file.len().checked_sub(ENDING.len())?)?;
    ending.eq_ignore_ascii_case(ENDING).then_some(name)
}

/// What a file is taken to be named while it does not say so itself.
pub(crate) fn stem(file: &str) -> &str {
    file.strip_prefix(BUNDLED_FILE).unwrap_or_else(|| named(file).unwrap_or(file))
}

fn refused_status(file: &str, found: &Found) -> PluginStatus {
    let mut status = unloaded(file, PluginState::Refused, found.stamp.bytes, found.at);
    status.digest = found.digest.clone().unwrap_or(Digest(String::new()));
    status.reason.clone_from(&found.refused);
    status
}

/// Of a file that does not say (yet) what it is.
fn unloaded(file: &str, state: PluginState, bytes: u64, at: Timestamp) -> PluginStatus {
    PluginStatus {
        name: stem(file).to_owned(),
        version: String::new(),
        summary: String::new(),
        digest: Digest(String::new()),
        kinds: Vec::new(),
        state,
        reason: None,
        source: if file.starts_with(BUNDLED_FILE) { BUNDLED.to_owned() } else { file.to_owned() },
        publisher: None,
        bytes,
        loaded_at: at,
        capabilities: Vec::new(),
        config_schema: Value::Null,
    }
}
