//! Which documents of a collection were written lately, for whoever keeps a part of all of them in memory. Only of collections that somebody
//! has asked about; and only the newest writes: who asks seldom lists the collection again.

use quarterdeck_model::store::Changed;
use std::collections::VecDeque;
use std::sync::Arc;

/// Writes of a collection that are remembered.
const WRITES: usize = 4096;

#[derive(Default)]
pub(super) struct Followed {
    /// Writes until now.
    count: u64,
    /// The newest of them.
    ids: VecDeque<Arc<str>>,
}

impl Followed {
    pub(super) fn note(&mut self, id: &Arc<str>) {
        self.count += 1;
        if self.ids.len() >= WRITES {
            self.ids.pop_front();
        }
        self.ids.push_back(Arc::clone(id));
    }

    pub(super) fn since(&self, since: Option<u64>) -> Changed {
        let missed = since.and_then(|since| usize::try_from(self.count.checked_sub(since)?).ok());
        let known = missed.filter(|missed| *missed <= self.ids.len());
        let ids = known.map(|missed| self.ids.iter().skip(self.ids.len() - missed).cloned().collect());
        Changed { now: self.count, ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_writes_are_told_and_who_missed_more_is_told_so() {
        let mut followed = Followed::default();
        assert_eq!(followed.since(None), Changed { now: 0, ids: None });
        assert_eq!(followed.since(Some(0)).ids, Some(Vec::new()));
        for id in ["a", "b", "a"] {
            followed.note(&Arc::from(id));
        }
        assert_eq!(followed.since(Some(1)), Changed { now: 3, ids: Some(vec![Arc::from("b"), Arc::from("a")]) });
        assert_eq!(followed.since(Some(4)).ids, None, "of a time that has not been");
        for _ in 0..WRITES {
            followed.note(&Arc::from("c"));
        }
        assert_eq!(followed.since(Some(2)).ids, None);
        assert_eq!(followed.since(Some(3)).ids.map(|ids| ids.len()), Some(WRITES));
    }
}
