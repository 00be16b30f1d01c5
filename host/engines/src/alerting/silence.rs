//! Silences: what may be made and changed, and which alerts they keep from being told. Pure.
//!
//! - Pending before its start, active from then on, expired from its end.
//! - The start of one that is made lies in the past at no time: it begins now.
//! - One that is active can only get another end, one that is pending another start and end as well, both in the future. Any other
//!   change ends it and makes another one. One that is expired stays as it is: a change makes another one.
//! - To expire one that is pending makes it one of no length.

use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alerting::Matcher;
use quarterdeck_model::domain::silence::{Silence, SilenceState};
use quarterdeck_model::label::Labels;
use std::collections::BTreeMap;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Of the one to be changed.
    pub id: Option<String>,
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub created_by: String,
    pub comment: String,
}

/// Why it can't be made. The words are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("silence not found")]
    NotFound,
    #[error("Failed to create silence: {0}")]
    Times(&'static str),
    #[error("silence invalid: {0}")]
    Invalid(&'static str),
    /// It is not what the caller saw.
    #[error("silence was changed meanwhile")]
    Changed,
}

/// Whether a silence is what somebody saw. Asked where nobody else changes it before the order is carried out.
pub type Still = Box<dyn FnOnce(&Silence) -> bool + Send>;

#[derive(Clone, Debug, Default)]
pub struct Silences(BTreeMap<String, Silence>);

/// What a change makes: the silence that holds now, and the one that it takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub silence: Silence,
    pub ended: Option<Silence>,
}

impl Silences {
    pub fn new(known: impl IntoIterator<Item = Silence>) -> Self {
        Silences(known.into_iter().map(|silence| (silence.id.clone(), silence)).collect())
    }

    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.0.get(id)
    }

    /// Active ones by their end, pending ones by their start, expired ones by their end, the last one first.
    pub fn sorted(&self, now: Timestamp) -> Vec<&Silence> {
        let mut all: Vec<&Silence> = self.0.values().collect();
        all.sort_by_key(|silence| {
            let state = silence.state(now);
            let order = match state {
                SilenceState::Active => silence.ends_at.as_millis(),
                SilenceState::Pending => silence.starts_at.as_millis(),
                SilenceState::Expired => silence.ends_at.as_millis().saturating_neg(),
            };
            (state, order)
        });
        all
    }

    /// Ids of those that are active and match.
    pub fn silencing(&self, labels: &Labels, now: Timestamp) -> Vec<&Silence> {
        let active = self.0.values().filter(|silence| silence.state(now) == SilenceState::Active);
        active.filter(|silence| silence.matches(labels)).collect()
    }

    /// Whether the silence of that id is still the one that somebody saw. `None`: whatever it is.
    ///
    /// # Errors
    /// It is not, or there is none.
    pub fn check_seen(&self, id: &str, still: Option<Still>) -> Result<(), Refusal> {
        let Some(still) = still else { return Ok(()) };
        let silence = self.0.get(id).ok_or(Refusal::NotFound)?;
        if still(silence) { Ok(()) } else { Err(Refusal::Changed) }
    }

    /// # Errors
    /// What is wrong with it.
    pub fn draft(&self, draft: Draft, now: Timestamp, fresh_id: impl FnOnce() -> String) -> Result<Set, Refusal> {
        if draft.starts_at >= draft.ends_at {
            return Err(Refusal::Times("start time must be before end time"));
        }
        if draft.ends_at < now {
            return Err(Refusal::Times("end time can't be in the past"));
        }
        if draft.matchers.is_empty() {
            return Err(Refusal::Invalid("at least one matcher required"));
        }
        if draft.matchers.iter().all(|matcher| matcher.matches_value("")) {
            return Err(Refusal::Invalid("at least one matcher must not match the empty string"));
        }
        let id = draft.id.filter(|id| !id.is_empty());
        let before = match &id {
            Some(id) => Some(self.0.get(id).ok_or(Refusal::NotFound)?),
            None => None,
        };
        let wanted = Silence {
            id: String::new(),
            matchers: draft.matchers,
            starts_at: draft.starts_at,
            ends_at: draft.ends_at,
            updated_at: now,
            created_by: draft.created_by,
            comment: draft.comment,
        };
        if let Some(before) = before.filter(|before| may_become(before, &wanted, now)) {
            return Ok(Set { silence: Silence { id: before.id.clone(), ..wanted }, ended: None });
        }
        let ended = before.filter(|before| before.state(now) != SilenceState::Expired);
        let starts_at = wanted.starts_at.max(now);
        Ok(Set { silence: Silence { id: fresh_id(), starts_at, ..wanted }, ended: ended.map(|one| expired(one, now)) })
    }

    /// The silence as it is then; `None` where it is expired already.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn expire(&self, id: &str, now: Timestamp) -> Result<Option<Silence>, Refusal> {
        let silence = self.0.get(id).ok_or(Refusal::NotFound)?;
        Ok((silence.state(now) != SilenceState::Expired).then(|| expired(silence, now)))
    }

    pub fn put(&mut self, silence: Silence) {
        self.0.insert(silence.id.clone(), silence);
    }

    /// Takes out those that ended long ago.
    pub fn forget(&mut self, now: Timestamp) -> Vec<String> {
        let old = self.0.values().filter(|silence| now.since(silence.ends_at) > Silence::KEEP && silence.ends_at < now);
        let ids: Vec<String> = old.map(|silence| silence.id.clone()).collect();
        ids.iter().for_each(|id| {
            self.0.remove(id);
        });
        ids
    }
}

fn expired(silence: &Silence, now: Timestamp) -> Silence {
    let starts_at = silence.starts_at.min(now);
    Silence { starts_at, ends_at: now, updated_at: now, ..silence.clone() }
}

fn may_become(before: &Silence, after: &Silence, now: Timestamp) -> bool {
    if before.matchers != after.matchers {
        return false;
    }
    let seconds = |at: Timestamp| at.as_millis().div_euclid(1000);
    match before.state(now) {
        SilenceState::Active => seconds(before.starts_at) == seconds(after.starts_at) && after.ends_at >= now,
        SilenceState::Pending => after.starts_at >= now,
        SilenceState::Expired => false,
    }
}

/// How much a silence would take away, for those who are about to make it.
///
/// In words; empty where nothing speaks against it.
pub fn warnings(matchers: &[Matcher], matched: usize, firing: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let open = |matcher: &Matcher| match matcher.comparison().is_equal() {
        true => matcher.comparison().is_regex() && ["a", "9", "-"].iter().all(|probe| matcher.matches_value(probe)),
        false => true,
    };
    if matchers.is_empty() || matchers.iter().all(open) {
        warnings.push(
            "it matches nearly everything; hint: name a value of a label, such as `alertname=\"...\"`".to_owned(),
        );
    }
    if firing > 1 && matched == firing {
        warnings.push(format!("it matches all {firing} alerts that fire now"));
    } else if matched * 2 > firing && firing >= 10 {
        warnings.push(format!("it matches {matched} of the {firing} alerts that fire now"));
    }
    if matchers.len() == 1 && matchers.iter().all(|matcher| matcher.name() == "severity") {
        warnings.push("it matches alerts of every origin, whatever their name; hint: add a second label".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn draft(id: Option<&str>, matcher: &str, from: i64, to: i64) -> Draft {
        Draft {
            id: id.map(str::to_owned),
            matchers: vec![matcher.parse().unwrap()],
            starts_at: at(from),
            ends_at: at(to),
            created_by: "ann".into(),
            comment: "work".into(),
        }
    }

    fn with(from: i64, to: i64, now: i64) -> Silences {
        let mut silences = Silences::default();
        let set = silences.draft(draft(None, "a=b", from, to), at(now), || "one".into()).unwrap();
        silences.put(set.silence);
        silences
    }

    fn refused(draft: Draft) -> String {
        Silences::default().draft(draft, at(5_000), || "x".into()).unwrap_err().to_string()
    }

    #[test]
    fn a_silence_is_pending_then_active_then_expired() {
        let silences = with(2_000, 4_000, 1_000);
        let labels: Labels = [("a", "b")].into_iter().collect();
        for (now, state, silencing) in [
            (1_999, SilenceState::Pending, 0),
            (2_000, SilenceState::Active, 1),
            (3_999, SilenceState::Active, 1),
            (4_000, SilenceState::Expired, 0),
        ] {
            assert_eq!(silences.get("one").unwrap().state(at(now)), state, "{now}");
            assert_eq!(silences.silencing(&labels, at(now)).len(), silencing, "{now}");
        }
        assert_eq!(silences.silencing(&Labels::new(), at(3_000)).len(), 0);
    }

    #[test]
    fn one_that_should_have_begun_begins_now() {
        assert_eq!(with(0, 9_000, 5_000).get("one").unwrap().starts_at, at(5_000));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_alertmanagers_words() {
        assert_eq!(refused(draft(None, "a=b", 2, 2)), "Failed to create silence: start time must be before end time");
        assert_eq!(refused(draft(None, "a=b", 2, 3)), "Failed to create silence: end time can't be in the past");
        assert_eq!(
            refused(draft(None, "a=\"\"", 0, 9_000)),
            "silence invalid: at least one matcher must not match the empty string"
        );
        assert_eq!(refused(draft(Some("two"), "a=b", 0, 9_000)), "silence not found");
    }

    #[test]
    fn an_active_one_gets_another_end_and_keeps_its_id() {
        let silences = with(1_000, 9_000, 1_000);
        let set = silences.draft(draft(Some("one"), "a=b", 1_000, 20_000), at(5_000), || "two".into()).unwrap();
        assert_eq!((set.silence.id.as_str(), set.silence.ends_at, set.ended), ("one", at(20_000), None));
    }

    #[test]
    fn a_change_is_made_to_the_silence_that_was_seen() {
        let silences = with(1_000, 9_000, 1_000);
        let until = |end: i64| -> Option<Still> { Some(Box::new(move |silence| silence.ends_at == at(end))) };
        assert_eq!(silences.check_seen("one", until(9_000)), Ok(()));
        assert_eq!(silences.check_seen("one", until(8_000)), Err(Refusal::Changed));
        assert_eq!(silences.check_seen("two", until(9_000)), Err(Refusal::NotFound));
        assert!(silences.check_seen("one", None).is_ok() && silences.check_seen("two", None).is_ok());
    }

    #[test]
    fn another_matcher_or_start_ends_an_active_one_and_makes_another() {
        let silences = with(1_000, 9_000, 1_000);
        for changed in [draft(Some("one"), "a=c", 1_000, 9_000), draft(Some("one"), "a=b", 7_000, 9_000)] {
            let set = silences.draft(changed, at(5_000), || "two".into()).unwrap();
            let ended = set.ended.unwrap();
            assert_eq!((set.silence.id.as_str(), ended.id.as_str(), ended.ends_at), ("two", "one", at(5_000)));
        }
    }

    #[test]
    fn a_pending_one_gets_another_start() {
        let silences = with(6_000, 9_000, 1_000);
        let set = silences.draft(draft(Some("one"), "a=b", 7_000, 9_000), at(5_000), || "two".into()).unwrap();
        assert_eq!((set.silence.id.as_str(), set.silence.starts_at), ("one", at(7_000)));
    }

    #[test]
    fn an_expired_one_stays_as_it_is() {
        let silences = with(1_000, 2_000, 1_000);
        let set = silences.draft(draft(Some("one"), "a=b", 1_000, 9_000), at(5_000), || "two".into()).unwrap();
        assert_eq!((set.silence.id.as_str(), set.ended), ("two", None));
    }

    #[test]
    fn expiring_ends_it_now_and_a_pending_one_gets_no_length() {
        let active = with(1_000, 9_000, 1_000).expire("one", at(5_000)).unwrap().unwrap();
        assert_eq!((active.starts_at, active.ends_at), (at(1_000), at(5_000)));
        let pending = with(6_000, 9_000, 1_000).expire("one", at(5_000)).unwrap().unwrap();
        assert_eq!((pending.starts_at, pending.ends_at), (at(5_000), at(5_000)));
        assert_eq!(with(1_000, 2_000, 1_000).expire("one", at(5_000)), Ok(None));
        assert_eq!(Silences::default().expire("one", at(5_000)), Err(Refusal::NotFound));
    }

    #[test]
    fn they_are_shown_in_the_order_of_what_matters_and_forgotten_after_five_days() {
        let mut silences = Silences::default();
        for (id, from, to) in [("old", 0, 1), ("older", 0, 0), ("late", 0, 90), ("soon", 0, 50), ("next", 20, 99)] {
            let made = draft(None, "a=b", from, to);
            silences.put(Silence {
                id: id.into(),
                matchers: made.matchers,
                starts_at: at(from),
                ends_at: at(to),
                updated_at: at(0),
                created_by: made.created_by,
                comment: made.comment,
            });
        }
        let order: Vec<&str> = silences.sorted(at(10)).iter().map(|silence| silence.id.as_str()).collect();
        assert_eq!(order, ["soon", "late", "next", "old", "older"]);
        let later = at(1).plus(Silence::KEEP);
        assert_eq!(silences.forget(later), ["older"]);
    }

    #[test]
    fn one_that_is_too_broad_is_warned_of() {
        let check = |text: &str, matched, firing, expected: usize| {
            let found = warnings(&Matcher::list(text).unwrap(), matched, firing);
            assert_eq!(found.len(), expected, "{text}: {found:?}");
        };
        check("alertname=~\".+\"", 3, 9, 1);
        check("alertname=\"Down\"", 1, 9, 0);
        check("alertname=\"Down\"", 2, 2, 1);
        check("alertname!=\"Down\"", 8, 10, 2);
        check("severity=\"low\"", 1, 9, 1);
        check("alertname=\"Down\",zone=~\".*\"", 1, 9, 0);
    }
}
