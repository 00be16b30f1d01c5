//! What a job's configuration finds: targets that it names, those of files, those behind names.

use super::files::{self, Files};
use super::job::Job;
use super::outside::{Found, Names};
use super::target::{ADDRESS, Discovered};
use quarterdeck_model::domain::scrape::DnsDiscovery;
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeMap;
use tracing::warn;

/// How often it is looked whether a file has changed, and whether a name is to be looked up again.
pub(super) const LOOK: Span = Span::from_secs(5);
const LOOK_UP: Span = Span::from_secs(30);

/// What was found, kept so that what can't be asked leaves its targets as they are.
#[derive(Default)]
pub(super) struct Discovery {
    files: Files,
    /// By the place of the configuration, and the name.
    names: BTreeMap<(usize, String), LookedUp>,
}

#[derive(Default)]
struct LookedUp {
    at: Timestamp,
    found: Vec<Discovered>,
    /// It led somewhere, if to nobody, at least once.
    answered: bool,
}

impl Discovery {
    /// Whether there is anything to look for again.
    pub(super) fn is_needed(job: &Job) -> bool {
        !job.spec.file_sd_configs.is_empty() || !job.spec.dns_sd_configs.is_empty()
    }

    /// Whether what was found is all that there is: nothing of it has been unreadable ever since the start.
    pub(super) fn is_sure(&self) -> bool {
        self.names.values().all(|name| name.answered) && files::is_sure(&self.files)
    }

    /// The job is written otherwise: what is known of names that it has still stays.
    pub(super) fn follow(&mut self, before: &Job, after: &Job) {
        let mut known = std::mem::take(&mut self.names);
        for (place, discovery) in after.spec.dns_sd_configs.iter().enumerate() {
            for name in &discovery.names {
                let mut places = before.spec.dns_sd_configs.iter().enumerate();
                let same = places.find(|(_, other)| {
                    (other.record, other.port) == (discovery.record, discovery.port) && other.names.contains(name)
                });
                if let Some(found) = same.and_then(|(at, _)| known.remove(&(at, name.clone()))) {
                    self.names.insert((place, name.clone()), found);
                }
            }
        }
    }

    /// Everything that is found now.
    pub(super) async fn refresh(&mut self, job: &Job, names: &dyn Names, now: Timestamp) -> Vec<Discovered> {
        let patterns: Vec<String> =
            job.spec.file_sd_configs.iter().flat_map(|discovery| discovery.files.iter().cloned()).collect();
        if !patterns.is_empty() {
            let before = std::mem::take(&mut self.files);
            let kept = before.clone();
            let read = tokio::task::spawn_blocking(move || files::read(&patterns, &before)).await;
            self.files = read.unwrap_or(kept);
        }
        for (place, discovery) in job.spec.dns_sd_configs.iter().enumerate() {
            for name in &discovery.names {
                self.look_up(place, discovery, name, names, now).await;
            }
        }
        let named = job.spec.static_configs.iter().flat_map(|group| {
            group.targets.iter().map(|target| {
                let mut labels: Discovered = group.labels.0.clone().into_iter().collect();
                labels.insert(ADDRESS.to_owned(), target.clone());
                labels
            })
        });
        let looked_up = self.names.values().flat_map(|name| name.found.iter().cloned());
        named.chain(files::found(&self.files).cloned()).chain(looked_up).collect()
    }

    async fn look_up(&mut self, place: usize, discovery: &DnsDiscovery, name: &str, names: &dyn Names, now: Timestamp) {
        let key = (place, name.to_owned());
        let every = discovery.refresh_interval.unwrap_or(LOOK_UP);
        if self.names.get(&key).is_some_and(|known| now.since(known.at) < every) {
            return;
        }
        match names.look_up(name, discovery.record).await {
            Ok(found) => {
                let found = found.into_iter().map(|found| of_name(name, discovery, found)).collect();
                self.names.insert(key, LookedUp { at: now, found, answered: true });
            }
            Err(error) => {
                warn!(name, error, "a name can't be looked up; what it led to before stays");
                self.names.entry(key).or_default().at = now;
            }
        }
    }
}

fn of_name(name: &str, discovery: &DnsDiscovery, found: Found) -> Discovered {
    let port = found.port.or(discovery.port).unwrap_or_default();
    let mut labels = Discovered::new();
    labels.insert(ADDRESS.to_owned(), format!("{}:{port}", found.host));
    labels.insert("__meta_dns_name".to_owned(), name.to_owned());
    if found.port.is_some() {
        labels.insert("__meta_dns_srv_record_target".to_owned(), found.host);
        labels.insert("__meta_dns_srv_record_port".to_owned(), port.to_string());
    }
    labels
}
