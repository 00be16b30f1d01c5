//! What is known of the series of a page, by the text that stands before their values: in the order of the page, since the next page
//! mostly has the same lines. Pure.

use hashbrown::HashTable;
use quarterdeck_model::series::ingest::SeriesRef;
use std::hash::{BuildHasher, RandomState};

/// Texts that nobody has seen for a page are let go once they are more than those that are seen, and this many.
const SLACK: usize = 1_000;

/// What becomes of a line's sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Series(SeriesRef),
    /// Relabelling takes it out.
    Dropped,
    /// There are as many series as there may be.
    Full,
    /// It can't be stored.
    Hopeless,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its text stands.
    start: u32,
    end: u32,
    to: To,
    /// The round in which it was seen last. 0: none, or its end was marked.
    seen: u32,
    /// It was there in the round before.
    went_on: bool,
    /// Its samples have times of their own: nothing is known about its end.
    timed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    text: String,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: RandomState,
    round: u32,
    /// Comes next, if the page is like the one before.
    next: usize,
    /// Entries seen in this round.
    seen: usize,
}

impl Cache {
    /// Before the first line of a page.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.next = 0;
        self.seen = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The text of the line that comes next, if the page is like the one before, and its place.
    #[inline]
    pub(super) fn expected(&self) -> Option<(usize, &str)> {
        let entry = self.entries.get(self.next)?;
        Some((self.next, self.text.get(entry.start as usize..entry.end as usize)?))
    }

    pub(super) fn find(&self, text: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(text);
        let found = self.index.find(hash, |place| self.text_of(*place as usize) == Some(text));
        found.map(|place| *place as usize)
    }

    /// A text that is not known yet. `None`: there is no room for it.
    pub(super) fn insert(&mut self, text: &str, to: To) -> Option<usize> {
        let (start, place) = (u32::try_from(self.text.len()).ok()?, u32::try_from(self.entries.len()).ok()?);
        let end = start.checked_add(u32::try_from(text.len()).ok()?)?;
        self.text.push_str(text);
        self.entries.push(Entry { start, end, to, seen: 0, went_on: false, timed: false });
        let hash = self.hasher.hash_one(text);
        let (texts, entries, hasher) = (&self.text, &self.entries, &self.hasher);
        self.index.insert_unique(hash, place, |place| {
            let entry = entries.get(*place as usize);
            hasher.hash_one(
                entry.and_then(|entry| texts.get(entry.start as usize..entry.end as usize)).unwrap_or_default(),
            )
        });
        Some(place as usize)
    }

    /// The line at a place was there. Gives what becomes of its sample.
    #[inline]
    pub(super) fn mark(&mut self, place: usize, timed: bool) -> To {
        self.next = place + 1;
        let Some(entry) = self.entries.get_mut(place) else { return To::Hopeless };
        if entry.seen != self.round {
            entry.went_on = entry.seen != 0 && entry.seen + 1 == self.round;
            entry.seen = self.round;
            entry.timed = timed;
            self.seen += 1;
        }
        entry.to
    }

    /// The text at a place.
    pub(super) fn text_of(&self, place: usize) -> Option<&str> {
        let entry = self.entries.get(place)?;
        self.text.get(entry.start as usize..entry.end as usize)
    }

    /// What becomes of the samples of the line at a place.
    pub(super) fn to(&self, place: usize) -> Option<To> {
        self.entries.get(place).map(|entry| entry.to)
    }

    pub(super) fn set(&mut self, place: usize, to: To) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.to = to;
        }
    }

    /// Behind the last line: series that were there in the round before, and are not any more.
    pub(super) fn vanished(&mut self) -> Vec<SeriesRef> {
        if self.seen == self.entries.len() {
            return Vec::new();
        }
        let round = self.round;
        self.end(|entry| entry.seen + 1 == round)
    }

    /// Instead of a page: series that were there in the round before. What was seen in this round was not.
    pub(super) fn failed(&mut self) -> Vec<SeriesRef> {
        let round = self.round;
        for entry in self.entries.iter_mut().filter(|entry| entry.seen == round) {
            entry.seen = if entry.went_on { round - 1 } else { 0 };
        }
        self.seen = 0;
        self.end(|entry| entry.seen + 1 == round)
    }

    /// Everything that was there lately: the target leaves.
    pub(super) fn all(&mut self) -> Vec<SeriesRef> {
        self.end(|_| true)
    }

    fn end(&mut self, ended: impl Fn(&Entry) -> bool) -> Vec<SeriesRef> {
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.seen != 0 && ended(entry)) {
            entry.seen = 0;
            if let (To::Series(series), false) = (entry.to, entry.timed) {
                gone.push(series);
            }
        }
        gone
    }

    /// Lets go of texts that are not seen any more, if there are many. Gives how many series went with them.
    pub(super) fn tidy(&mut self) -> usize {
        if self.entries.len() - self.seen.min(self.entries.len()) < self.seen + SLACK {
            return 0;
        }
        let before = std::mem::take(self);
        self.round = before.round;
        self.hasher = before.hasher.clone();
        let mut gone = 0;
        for entry in &before.entries {
            if entry.seen != before.round {
                gone += usize::from(matches!(entry.to, To::Series(_)));
                continue;
            }
            let text = before.text.get(entry.start as usize..entry.end as usize).unwrap_or_default();
            if let Some(place) = self.insert(text, entry.to)
                && let Some(kept) = self.entries.get_mut(place)
            {
                (kept.seen, kept.went_on, kept.timed) = (entry.seen, entry.went_on, entry.timed);
            }
        }
        self.seen = self.entries.len();
        gone
    }

    /// Series that are known.
    pub(super) fn series(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.to, To::Series(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a page; gives how many lines were expected.
    fn read(cache: &mut Cache, page: &[&str]) -> usize {
        cache.begin();
        let mut expected = 0;
        for line in page {
            let place = match cache.expected() {
                Some((place, text)) if text == *line => {
                    expected += 1;
                    place
                }
                _ => cache.find(line).unwrap_or_else(|| {
                    let series = SeriesRef(line.parse().unwrap());
                    cache.insert(line, To::Series(series)).unwrap()
                }),
            };
            assert_eq!(cache.mark(place, false), To::Series(SeriesRef(line.parse().unwrap())));
        }
        expected
    }

    fn refs(numbers: &[u32]) -> Vec<SeriesRef> {
        numbers.iter().map(|number| SeriesRef(*number)).collect()
    }

    #[test]
    fn lines_that_come_again_are_expected_and_those_that_do_not_have_ended_once() {
        let mut cache = Cache::default();
        assert_eq!(read(&mut cache, &["1", "2", "3"]), 0);
        assert_eq!(cache.vanished(), []);
        assert_eq!(read(&mut cache, &["1", "2", "3"]), 3);
        // One is gone, one is new: what follows is expected again.
        assert_eq!(read(&mut cache, &["1", "3", "4"]), 1);
        assert_eq!(cache.vanished(), refs(&[2]));
        assert_eq!(read(&mut cache, &["1", "3", "4"]), 2);
        assert_eq!(cache.vanished(), []);
        assert_eq!(read(&mut cache, &["1", "2", "3", "4"]), 4);
        assert_eq!(cache.all(), refs(&[1, 2, 3, 4]));
    }

    #[test]
    fn a_page_that_fails_half_way_ends_what_was_there_before_it_and_nothing_else() {
        let mut cache = Cache::default();
        read(&mut cache, &["1", "2"]);
        read(&mut cache, &["1", "5"]);
        assert_eq!(cache.failed(), refs(&[1, 2]));
        cache.begin();
        assert_eq!(cache.failed(), []);
        read(&mut cache, &["1", "5"]);
        assert_eq!(cache.vanished(), []);
    }

    #[test]
    fn texts_that_come_and_go_are_let_go() {
        let mut cache = Cache::default();
        let mut gone = 0;
        for round in 0..100_u32 {
            let page: Vec<String> = (round * 100..round * 100 + 100).map(|number| number.to_string()).collect();
            read(&mut cache, &page.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(cache.vanished().len(), if round == 0 { 0 } else { 100 });
            gone += cache.tidy();
            assert!(cache.len() <= 1_300 && cache.text.len() < 20_000, "{}", cache.len());
        }
        assert_eq!(gone + cache.series(), 10_000);
    }
}
