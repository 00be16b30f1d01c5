//! One look at the plugins folder: what is new, changed or gone. Looking waits for nothing; what is found is loaded beside it.

use super::Runtime;
use super::folder::{Listing, list};
use super::loading::Job;
use crate::catalog::{Awaited, BUNDLED_FILE, Found, Loading};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A file has to be missing for this long: editors and copiers move the old file away, or delete it, before the new one is there.
const GRACE: Duration = Duration::from_millis(800);

/// When a file that is still on its way is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// For how long someone who asks waits for files that are still being written: one that grows for ever has no end to wait for.
const WRITTEN: Duration = Duration::from_secs(10);
/// For how long someone who asks waits at all: a file that takes minutes to compile is shown as being loaded instead.
pub(super) const QUIET: Duration = Duration::from_secs(20);

impl Runtime {
    /// Looks at the folder until everything there is in use or refused, or the time for that is over.
    pub(super) async fn scan_until_quiet(&self) {
        let until = Instant::now() + WRITTEN;
        let quiet = async {
            loop {
                self.scan().await;
                self.awaited_loads_over().await;
                if !self.catalog().is_restless() || Instant::now() >= until {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(QUIET, quiet).await.is_err() {
            tracing::warn!("plugins of the folder are still being compiled: they come into use later");
        }
    }

    /// The first look. Files that vanished while the host was down were removed: they leave nothing to go back to.
    pub(super) async fn first_scan(&self) {
        if let Some(present) = self.look() {
            let _changing = self.changing.lock().await;
            self.forget_files(|file| present.files.contains_key(file));
        }
        self.look_for_work(Awaited::Start);
        self.awaited_loads_over().await;
    }

    /// Looks at the folder once.
    pub(super) async fn scan(&self) {
        if self.look_for_work(Awaited::Look) {
            self.remove_missing().await;
        }
    }

    /// Begins to load what is new or changed. True: files are gone for good.
    pub(super) fn look_for_work(&self, awaited: Awaited) -> bool {
        let (jobs, any_gone) = {
            // Two looks at once could take the older one's findings for the newer.
            let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            let present = self.look();
            let mut catalog = self.catalog();
            let mut jobs: Vec<Job> = Vec::new();
            for (file, found) in &catalog.files {
                if let Some(bundled) = found.bundled.as_ref().filter(|_| catalog.wants_loading(file, &found.stamp)) {
                    jobs.push(Job::bundled(file, found.stamp, bundled));
                }
            }
            let mut any_gone = false;
            // What was still being written is found again, if it is still to be loaded.
            catalog.written.clear();
            match &present {
                Some(present) => {
                    any_gone = !catalog.missing(is_present(present), GRACE).is_empty();
                    // What a link led to is told as missing where it was in use, and as refused where it never was.
                    let holds_nothing =
                        |file: &str| catalog.files.get(file).is_none_or(|found| found.version.is_none());
                    let nowhere = present.dangling.iter().filter(|(file, _)| holds_nothing(file));
                    let wanted = present.files.iter().chain(nowhere);
                    let wanted = wanted.filter(|(file, stamp)| catalog.wants_loading(file, stamp));
                    jobs.extend(wanted.map(|(file, stamp)| Job::file(file, *stamp)));
                }
                None => catalog.unknown_whether_missing(),
            }
            let now = self.clock.now();
            for job in &jobs {
                job.enter(&mut catalog, now, awaited);
            }
            (jobs, any_gone)
        };
        for job in jobs {
            self.begin_loading(job);
        }
        any_gone
    }

    /// What there is in the folder. That it can't be read is said once, and that it can be again.
    fn look(&self) -> Option<Listing> {
        let folder = self.plugins_dir.as_deref()?;
        let listing = list(folder);
        let was_unreadable = self.unreadable.swap(listing.is_err(), Ordering::Relaxed);
        match listing {
            Err(error) if !was_unreadable => {
                tracing::warn!(folder = %folder.display(), %error, "the plugins folder can't be read: what is in use stays in use");
                None
            }
            Err(_) => None,
            Ok(listing) => {
                if was_unreadable {
                    tracing::info!(folder = %folder.display(), "the plugins folder can be read again");
                }
                Some(listing)
            }
        }
    }

    /// Lets go of what files held that are gone.
    async fn remove_missing(&self) {
        let _changing = self.changing.lock().await;
        // One of them may have come back while others changed something.
        let Some(present) = self.look() else { return };
        let gone = self.catalog().missing(is_present(&present), GRACE);
        self.forget_files(|file| !gone.iter().any(|gone| gone == file));
        for name in self.let_go(gone) {
            self.settle(&name, None).await;
            if self.catalog().current(&name).is_none() {
                self.forget(&name);
            }
        }
    }

    /// Returns when nothing is being loaded that somebody waits for.
    pub(super) async fn awaited_loads_over(&self) {
        self.loads_over(|_, loading| loading.awaited != Awaited::Nobody).await;
    }

    /// Returns when none of these files is being loaded.
    pub(super) async fn loads_over(&self, concerned: impl Fn(&str, &Loading) -> bool) {
        loop {
            // Made before the look: an end in between is not missed.
            let ended = self.load_ended.notified();
            if !self.catalog().loading.iter().any(|(file, loading)| concerned(file, loading)) {
                return;
            }
            ended.await;
        }
    }
}

fn is_present(present: &Listing) -> impl Fn(&str, &Found) -> bool {
    |file, found| {
        let leads_nowhere = found.version.is_none() && present.dangling.contains_key(file);
        file.starts_with(BUNDLED_FILE) || present.files.contains_key(file) || leads_nowhere
    }
}
