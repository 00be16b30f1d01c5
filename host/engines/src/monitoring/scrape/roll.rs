//! Who is scraped: whether anybody expects series with certain labels still. Pure.

use super::job::Job;
use quarterdeck_model::Labels;
use std::collections::HashMap;
use std::sync::Arc;

/// Targets by the labels that tell them apart most, as they are known at one time.
#[derive(Debug, Default)]
pub(in crate::monitoring) struct Roll {
    by_instance: HashMap<String, Vec<Arc<Labels>>>,
    by_job: HashMap<String, Vec<Arc<Labels>>>,
    /// Jobs of which not all targets are known: they have just begun, or what names their targets can't be read.
    unknown: Vec<Unknown>,
}

#[derive(Debug)]
enum Unknown {
    /// Whatever its targets are, this is their label `job`.
    Job(String),
    /// They may have any labels.
    Any,
}

impl Roll {
    pub(super) fn add(&mut self, target: &Labels) {
        let labels = Arc::new(target.clone());
        for (name, index) in [("instance", &mut self.by_instance), ("job", &mut self.by_job)] {
            if let Some(value) = labels.get(name) {
                index.entry(value.to_owned()).or_default().push(labels.clone());
            }
        }
    }

    pub(super) fn add_unknown(&mut self, job: &Job) {
        let spec = &job.spec;
        let named = spec.static_configs.iter().all(|group| group.labels.get("job").is_none());
        let is_told = job.of_targets.is_empty() && spec.file_sd_configs.is_empty() && named;
        self.unknown.push(if is_told { Unknown::Job(job.name.clone()) } else { Unknown::Any });
    }

    /// A job that is not at work yet.
    pub(super) fn add_job_to_come(&mut self) {
        self.unknown.push(Unknown::Any);
    }

    /// Of a series: what it has of the labels of a target that it can be of. Nothing for a series of none.
    pub(in crate::monitoring) fn target(&self, series: &Labels) -> Option<Labels> {
        let target = self
            .candidates(series)?
            .iter()
            .find(|target| target.iter().all(|(name, value)| series.get(name).is_none_or(|own| own == value)))?;
        Some(series.iter().filter(|(name, _)| target.get(name).is_some()).collect())
    }

    /// Whether somebody has these labels, or may have.
    pub(in crate::monitoring) fn has(&self, labels: &Labels) -> bool {
        self.candidates(labels).is_some_and(|targets| targets.iter().any(|target| target.includes(labels)))
            || self.unknown.iter().any(|unknown| match unknown {
                Unknown::Job(name) => labels.get("job").is_none_or(|job| job == name),
                Unknown::Any => true,
            })
    }

    fn candidates(&self, labels: &Labels) -> Option<&Vec<Arc<Labels>>> {
        match labels.get("instance") {
            Some(instance) => self.by_instance.get(instance),
            None => self.by_job.get(labels.get("job")?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_series_is_of_the_target_whose_labels_it_has_as_far_as_it_has_them() {
        let mut roll = Roll::default();
        roll.add(&labels(&[("job", "j"), ("instance", "a:1"), ("zone", "x")]));
        roll.add(&labels(&[("job", "k"), ("instance", "a:1")]));
        let of = |pairs: &[(&str, &str)]| roll.target(&labels(pairs));
        let whole = labels(&[("instance", "a:1"), ("job", "j"), ("zone", "x")]);
        assert_eq!(of(&[("job", "j"), ("instance", "a:1"), ("zone", "x"), ("disk", "1")]), Some(whole));
        assert_eq!(of(&[("job", "j"), ("disk", "1")]), Some(labels(&[("job", "j")])));
        assert_eq!(of(&[("job", "j"), ("instance", "a:1"), ("zone", "y")]), None);
        assert_eq!(of(&[("job", "other"), ("instance", "a:1")]), None);
        assert_eq!(of(&[("zone", "x")]), None, "others may have such labels, too");
    }

    #[test]
    fn what_is_not_known_yet_may_be_there() {
        let job = |spec| Job::read("j", &serde_json::from_value(spec).unwrap()).unwrap();
        let (gone, other) = (labels(&[("job", "j"), ("instance", "a:1")]), labels(&[("job", "k")]));
        let mut roll = Roll::default();
        assert!(!roll.has(&gone));
        roll.add_unknown(&job(json!({})));
        assert!(roll.has(&gone) && !roll.has(&other));
        roll.add_unknown(&job(json!({"relabel_configs": [{"target_label": "job", "replacement": "k"}]})));
        assert!(roll.has(&other));
    }
}
