//! Which incidents are open, and which alerts are in them: so that an event of an alert costs the same, however many are open.
//!
//! It is told of a change before that is on the disk, and it is not told that a member has made room. So it may name what is not so, or
//! not any more: the document says what is.

use quarterdeck_model::domain::incident::Incident;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Index {
    /// Ids of incidents, with the fingerprints of what is in them.
    members: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// The other way round.
    incidents: HashMap<Arc<str>, Vec<Arc<str>>>,
}

#[derive(Default)]
pub(super) struct Known(Mutex<Index>);

impl Known {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is open, or about to be, and has these members.
    pub(super) fn add(&self, incident: &Incident) {
        let mut index = self.index();
        let id: Arc<str> = Arc::from(incident.id.as_str());
        for member in &incident.members {
            let fingerprint = member.alert.fingerprint.as_str();
            if index.incidents.get(fingerprint).is_some_and(|ids| ids.contains(&id)) {
                continue;
            }
            let fingerprint: Arc<str> = Arc::from(fingerprint);
            index.incidents.entry(fingerprint.clone()).or_default().push(id.clone());
            index.members.entry(id.clone()).or_default().push(fingerprint);
        }
        index.members.entry(id).or_default();
    }

    /// It is resolved.
    pub(super) fn remove(&self, id: &str) {
        let mut index = self.index();
        for fingerprint in index.members.remove(id).unwrap_or_default() {
            if let Some(ids) = index.incidents.get_mut(&fingerprint) {
                ids.retain(|other| **other != *id);
                if ids.is_empty() {
                    index.incidents.remove(&fingerprint);
                }
            }
        }
    }

    /// The oldest first.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.index().members.keys().cloned().collect()
    }

    /// Those that the alert may be in.
    pub(super) fn of(&self, fingerprint: &str) -> Vec<Arc<str>> {
        self.index().incidents.get(fingerprint).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::incident;
    use quarterdeck_model::kind::correlator::AlertSummary;
    use quarterdeck_model::label::Labels;
    use quarterdeck_model::{Severity, Timestamp};

    fn with(id: &str, fingerprints: &[&str]) -> Incident {
        let now = Timestamp::from_millis(1);
        let mut opened = incident::open(id.into(), "k".into(), "t".into(), Severity::High, "", now);
        for fingerprint in fingerprints {
            let alert = AlertSummary {
                fingerprint: (*fingerprint).to_owned(),
                name: "disk".into(),
                severity: Severity::High,
                labels: Labels::new(),
                summary: String::new(),
                active_at: now,
            };
            incident::join(&mut opened, &alert, Severity::High, None, now);
        }
        opened
    }

    fn of(known: &Known, fingerprint: &str) -> Vec<String> {
        known.of(fingerprint).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_alert_is_found_in_each_incident_that_it_joined_until_that_is_resolved() {
        let known = Known::default();
        known.add(&with("inc_1", &["a"]));
        known.add(&with("inc_2", &["b"]));
        known.add(&with("inc_1", &["a", "b"]));
        assert_eq!(
            (of(&known, "a"), of(&known, "b")),
            (vec!["inc_1".to_owned()], vec!["inc_2".into(), "inc_1".into()])
        );
        known.remove("inc_1");
        assert_eq!((of(&known, "a"), of(&known, "b")), (Vec::new(), vec!["inc_2".to_owned()]));
        known.remove("inc_1");
        known.remove("inc_2");
        let index = known.index();
        assert!(index.members.is_empty() && index.incidents.is_empty(), "nothing is left");
    }
}
