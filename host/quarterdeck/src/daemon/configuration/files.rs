//! The files, read again while the daemon runs.

use super::{Configuration, InForce, load, problem, unfit};
use quarterdeck_config::{Look, Problem, Word};
use quarterdeck_model::event::Event;
use quarterdeck_model::transition::Transition;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

const REFUSED: &str = "configuration.refused";
/// Mistakes that its event names; it counts them all.
const NAMED: usize = 20;

/// The files as they were last read, be it in vain.
#[derive(Default)]
pub(in super::super) struct OnDisk {
    /// Why they are not in force; nothing: they are.
    refused: Vec<Problem>,
    files: Vec<PathBuf>,
}

impl Configuration {
    fn on_disk(&self) -> MutexGuard<'_, OnDisk> {
        self.on_disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the files as they stand are not in force.
    pub(super) fn why_refused(&self) -> Vec<Problem> {
        self.on_disk().refused.clone()
    }

    /// What the files are, without reading them.
    pub(in super::super) async fn look(&self) -> Look {
        let (dir, mut files) = (self.config_dir.clone(), self.current().loaded.files.clone());
        files.extend_from_slice(&self.on_disk().files);
        tokio::task::spawn_blocking(move || Look::at(&dir, &files)).await.unwrap_or_default()
    }

    fn refusal(&self, problems: &[Problem], principal: &str) -> Event {
        let named: Vec<String> = problems.iter().take(NAMED).map(ToString::to_string).collect();
        let event = Event::new(&self.ids, self.clock.now(), REFUSED, "").principal(principal);
        event.data(json!({"count": problems.len(), "problems": named}))
    }

    /// Whether the files say something else than when they were last put in force, or can't be read.
    pub(in super::super) async fn files_differ(&self) -> bool {
        let (global, dir, before) = (self.global.clone(), self.config_dir.clone(), self.current());
        let same = move || load::read(&global, Some(dir)).is_ok_and(|base| base.same_files(&before.base));
        !tokio::task::spawn_blocking(same).await.unwrap_or(false)
    }

    /// Reads the files again. A bad one changes nothing, and neither does a main file that is gone. What was refused is shown until the
    /// files are taken again.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(in super::super) async fn reload_files(&self, principal: &str) -> Result<Value, Vec<Problem>> {
        let _one = self.changing.lock().await;
        let taken = self.take_files(principal).await;
        let refused = taken.as_ref().err().cloned().unwrap_or_default();
        let is_new = {
            let mut on_disk = self.on_disk();
            let before = std::mem::replace(&mut on_disk.refused, refused.clone());
            !refused.is_empty() && refused != before
        };
        if is_new {
            let told = Transition::new().event(self.refusal(&refused, principal));
            if let Err(error) = self.store.commit(told).await {
                warn!(%error, "the event `{REFUSED}` could not be written");
            }
        }
        taken
    }

    async fn take_files(&self, principal: &str) -> Result<Value, Vec<Problem>> {
        let before = self.current();
        let (global, dir) = (self.global.clone(), self.config_dir.clone());
        if !dir.is_dir() && !before.loaded.files.is_empty() {
            let message = format!("the folder {} is gone; what its files said stays in force", dir.display());
            return Err(vec![problem(message, Some("an empty folder says that all defaults hold"))]);
        }
        let read = tokio::task::spawn_blocking(move || load::read(&global, Some(dir)));
        let base = match read.await {
            Ok(read) => read.map_err(|problems| problems.0)?,
            Err(error) => return Err(vec![problem(error.to_string(), None)]),
        };
        self.on_disk().files = base.files().to_vec();
        if let Some(main) = before.base.main_file().filter(|_| base.main_file().is_none()) {
            let message = format!("{} is gone; what it said stays in force", main.display());
            return Err(vec![problem(message, Some("an empty file says that all defaults hold"))]);
        }
        // Without the API's words too: else the next start would not come as far as to know them.
        load::lay(&base, &[]).map_err(|problems| problems.0)?;
        let all: Vec<Word> = before.words.iter().chain(before.left_out.iter().map(|(word, _)| word)).cloned().collect();
        let (loaded, words, left_out) = match load::lay(&base, &all) {
            Ok(loaded) => (loaded, all, Vec::new()),
            Err(_) => {
                let loaded = load::lay(&base, &before.words).map_err(|problems| problems.0)?;
                (loaded, before.words.clone(), before.left_out.clone())
            }
        };
        let unfit = unfit(&*self.registry, &loaded, &self.resolved(&loaded.settings)).await;
        if !unfit.is_empty() {
            return Err(unfit);
        }
        let bereft = self.bereft(&before, &loaded);
        if !bereft.is_empty() {
            return Err(bereft);
        }
        let changed = before.loaded.digest != loaded.digest;
        let digest = loaded.digest.clone();
        let base = Arc::new(base);
        let (unfit, version) = (Vec::new(), String::new());
        let mut next = InForce { base, words, left_out, loaded, unfit, version, value: Mutex::default() };
        let told = self.grants_changed(&next, principal);
        next.version = self.keep_if_possible(&next, principal, told).await;
        self.put_in_force(next).await;
        if changed {
            info!(digest, "configuration applied");
            for setting in self.pending_restart() {
                warn!(setting, "changed in the files; takes effect at the next start");
            }
            self.warn();
        }
        Ok(json!({"changed": changed, "digest": digest}))
    }
}
