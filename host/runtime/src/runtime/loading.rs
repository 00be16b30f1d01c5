//! Loads what was found, each file on its own and beside everything else, and puts it in use when it is whole.

use super::Runtime;
use super::announce::PLUGIN_REFUSED;
use super::folder::{self, Read, is_still};
use crate::catalog::{Awaited, Catalog, Found, Loading, Stamp, stem};
use crate::compile::MAX_COMPONENT_BYTES;
use crate::options::Bundled;
use crate::plugin::{Again, BUNDLED, Refusal, Version};
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::Digest;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Bytes of components in memory at once, in MiB: a folder full of the largest ones does not fill it.
pub(super) const LOADING_MEBIBYTES: u32 = 256;

/// A content that has to be loaded.
pub(super) struct Job {
    file: String,
    stamp: Stamp,
    /// It came with the binary, not from the folder.
    bundled: Option<Bundled>,
    superseded: CancellationToken,
}

impl Job {
    pub(super) fn file(file: &str, stamp: Stamp) -> Self {
        Job { file: file.to_owned(), stamp, bundled: None, superseded: CancellationToken::new() }
    }

    pub(super) fn bundled(file: &str, stamp: Stamp, bundled: &Bundled) -> Self {
        Job { bundled: Some(bundled.clone()), ..Job::file(file, stamp) }
    }

    /// From now on it is known to be under way. One of an older content of the file is given up.
    pub(super) fn enter(&self, catalog: &mut Catalog, since: Timestamp, awaited: Awaited) {
        catalog.written.remove(&self.file);
        let superseded = self.superseded.clone();
        let loading = Loading { stamp: self.stamp, since, awaited, superseded };
        if let Some(older) = catalog.loading.insert(self.file.clone(), loading) {
            older.superseded.cancel();
        }
    }
}

/// What a file turned out to hold.
struct Content {
    digest: Option<Digest>,
    result: Result<Arc<Version>, Refusal>,
    /// What the file held in an earlier life of the host, where its present content is refused.
    earlier: Option<Arc<Version>>,
}

/// Takes the mark of a load away, however that ends.
struct Underway<'a>(&'a Runtime, &'a Job);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let Underway(runtime, job) = self;
        {
            let mut catalog = runtime.catalog();
            // Whoever put another mark in its place has cancelled this one.
            if !job.superseded.is_cancelled() {
                catalog.loading.remove(&job.file);
            }
        }
        runtime.load_ended.notify_waiters();
    }
}

impl Runtime {
    pub(super) fn begin_loading(&self, job: Job) {
        let Some(this) = self.this.upgrade() else { return };
        self.spawn(async move { this.load(&job).await });
    }

    pub(super) async fn load(&self, job: &Job) {
        let _underway = Underway(self, job);
        let content = tokio::select! {
            content = self.content(job) => content,
            () = job.superseded.cancelled() => return,
        };
        let Some(content) = content else {
            self.catalog().written.insert(job.file.clone());
            return;
        };
        let _changing = self.changing.lock().await;
        // A newer content wins, whichever is loaded first.
        if job.superseded.is_cancelled() {
            return;
        }
        let is_newest = match &self.plugins_dir {
            Some(folder) if job.bundled.is_none() => is_still(&folder.join(&job.file), job.stamp),
            _ => true,
        };
        if !is_newest {
            self.catalog().written.insert(job.file.clone());
            return;
        }
        for name in self.take_over(job, content) {
            self.settle(&name, None).await;
        }
        let passed_over = self.catalog().passed_over(&job.file);
        if let Some(reason) = passed_over {
            tracing::warn!(file = job.file, reason, "a file of the plugins folder is not used");
        }
    }

    /// Reads and loads what the job is about. `None`: it is still being written, or gone again.
    async fn content(&self, job: &Job) -> Option<Content> {
        if let Some(Bundled { bytes, digest, .. }) = &job.bundled {
            let result = self.version(bytes.clone(), digest, BUNDLED).await;
            return Some(Content { digest: Some(digest.clone()), result, earlier: None });
        }
        let mut content = self.held(job).await?;
        let holds_nothing = || self.catalog().files.get(&job.file).is_none_or(|found| found.version.is_none());
        if let Err(refusal) = &mut content.result
            && holds_nothing()
        {
            match self.earlier_version(&job.file).await {
                Ok(earlier) => content.earlier = earlier,
                // Another try of the file is another try of that.
                Err(earlier) => refusal.passing |= earlier.passing,
            }
        }
        Some(content)
    }

    /// What the file holds now.
    async fn held(&self, job: &Job) -> Option<Content> {
        let _room = self.room(job.stamp.bytes).await;
        let path = self.plugins_dir.as_ref()?.join(&job.file);
        let stamp = job.stamp;
        let read = tokio::task::spawn_blocking(move || folder::read(&path, stamp)).await;
        let (digest, result) = match read {
            Ok(Ok(Read::Whole(bytes, digest))) => {
                let result = self.version(bytes.into(), &digest, &job.file).await;
                (Some(digest), result)
            }
            Ok(Ok(Read::StillWritten)) => return None,
            Ok(Ok(Read::Unusable(reason))) => (None, Err(reason.into())),
            // Gone in between: the next look finds that.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Ok(Err(error)) => (None, Err(Refusal::passing(format!("it can't be read: {error}")))),
            Err(error) => (None, Err(Refusal::passing(format!("it can't be read: {error}")))),
        };
        Some(Content { digest, result, earlier: None })
    }

    /// Room for a component of that size. What is too large to be one is refused unread, and takes none.
    pub(super) async fn room(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let read = if bytes > MAX_COMPONENT_BYTES { 0 } else { bytes };
        let mebibytes = u32::try_from(read >> 20).unwrap_or(u32::MAX).saturating_add(1).min(LOADING_MEBIBYTES);
        // Never closed; without a permit it would only cost memory.
        self.loading_room.acquire_many(mebibytes).await.ok()
    }

    pub(super) async fn version(
        &self,
        bytes: Cow<'static, [u8]>,
        digest: &Digest,
        source: &str,
    ) -> Result<Arc<Version>, Refusal> {
        let loaded = self.catalog().by_digest(digest);
        match loaded {
            Some(version) => Ok(version),
            None => {
                let now = self.clock.now();
                self.loader.load(&self.ground, bytes, digest.clone(), source.to_owned(), now).await
            }
        }
    }

    /// Notes what a file holds. Gives back the names whose version may have to change.
    fn take_over(&self, job: &Job, content: Content) -> BTreeSet<String> {
        let Content { digest, result, earlier } = content;
        if let (Ok(version), None) = (&result, &job.bundled) {
            self.remember_file(&job.file, &version.reference);
        }
        let mut names = BTreeSet::new();
        let mut catalog = self.catalog();
        let before = catalog.files.remove(&job.file);
        let old = before.as_ref().and_then(|found| found.version.clone()).or(earlier);
        names.extend(old.as_ref().map(|old| old.reference.name.clone()));
        let (stamp, at) = (job.stamp, self.clock.now());
        let mut found =
            Found { stamp, digest, version: None, refused: None, again: None, bundled: None, at, missing_since: None };
        match result {
            Ok(version) => {
                // Another file of the same content may have been loaded meanwhile.
                let version = catalog.by_digest(&version.reference.digest).unwrap_or(version);
                names.insert(version.reference.name.clone());
                if job.bundled.is_some() {
                    let name = version.reference.name.clone();
                    catalog.names.entry(name).or_default().bundled = Some(version);
                    return names;
                }
                found.version = Some(version);
            }
            Err(Refusal { reason, passing }) => {
                let tried = before.filter(|before| before.stamp == stamp);
                let said = tried.as_ref().is_some_and(|tried| tried.refused.as_ref() == Some(&reason));
                if !said {
                    self.say_refused(&job.file, &reason, &found, old.as_ref());
                }
                let again = || Again::after(tried.and_then(|tried| tried.again), Instant::now());
                found.again = passing.then(again);
                found.refused = Some(reason);
                found.bundled.clone_from(&job.bundled);
                found.version = old;
            }
        }
        catalog.files.insert(job.file.clone(), found);
        names
    }

    fn say_refused(&self, file: &str, reason: &str, found: &Found, old: Option<&Arc<Version>>) {
        let goes_on = old.map(|old| &old.reference);
        let subject = goes_on.map_or_else(|| stem(file), |old| &old.name);
        let data = json!({"file": file, "reason": reason, "digest": found.digest, "goes-on": goes_on});
        self.announcer.say(PLUGIN_REFUSED, subject, goes_on.cloned(), data);
    }

    /// Forgets what these files hold. Gives back the names whose version may have to change.
    pub(super) fn let_go(&self, gone: Vec<String>) -> BTreeSet<String> {
        let mut catalog = self.catalog();
        let found = gone.into_iter().filter_map(|file| catalog.files.remove(&file));
        found.filter_map(|found| Some(found.version?.reference.name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use futures::FutureExt;

    #[tokio::test]
    async fn components_wait_for_each_other_where_they_would_take_too_much_memory() {
        let bench = Bench::with(Vec::new()).await;
        let take = || bench.room(MAX_COMPONENT_BYTES).now_or_never().flatten();
        let rooms: Vec<_> = std::iter::from_fn(take).collect();
        assert!(rooms.len() >= 2 && rooms.len() * 64 <= usize::try_from(LOADING_MEBIBYTES).unwrap(), "{}", rooms.len());
        assert!(bench.room(u64::MAX).now_or_never().is_some(), "what is refused unread waits for nobody");
        drop(rooms);
        assert!(take().is_some());
    }
}
