//! Which effect is next: in order within an ordering key, in turn between instances, no instance with more than its share.

use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::Effect;
use quarterdeck_model::id::EffectId;
use quarterdeck_model::plugin::InstanceName;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// What has to be known of an effect to find its turn; the document is read when its turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: EffectId,
    pub key: String,
    pub instance: InstanceName,
    /// How often in a row there was nothing to call.
    pub absences: u32,
}

impl From<&Effect> for Entry {
    fn from(effect: &Effect) -> Self {
        Entry {
            id: effect.id.clone(),
            key: effect.ordering_key.clone(),
            instance: effect.instance.clone(),
            absences: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    /// Keys whose first effect is of this instance and is not in flight, by when it is due.
    ready: BTreeSet<(Timestamp, u64, String)>,
    in_flight: usize,
}

#[derive(Debug)]
pub struct Queue {
    share: usize,
    known: HashSet<EffectId>,
    /// Those that take a part of their instance's share.
    calling: HashSet<EffectId>,
    keys: HashMap<String, VecDeque<Entry>>,
    lines: HashMap<InstanceName, Line>,
    /// Instances, the one whose turn is next in front.
    turns: VecDeque<InstanceName>,
    sequence: u64,
}

impl Queue {
    /// `share`: effects in flight of one instance.
    pub fn new(share: usize) -> Self {
        Queue {
            share: share.max(1),
            known: HashSet::new(),
            calling: HashSet::new(),
            keys: HashMap::new(),
            lines: HashMap::new(),
            turns: VecDeque::new(),
            sequence: 0,
        }
    }

    /// Effects that are not finished, those in flight included.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Effects whose calls are in flight.
    pub fn calling(&self) -> usize {
        self.calling.len()
    }

    pub fn knows(&self, id: &str) -> bool {
        self.known.contains(&EffectId::from(id))
    }

    /// Puts an effect behind those of its key. One that is known already is left where it is.
    pub fn add(&mut self, entry: Entry, due: Timestamp) {
        if !self.known.insert(entry.id.clone()) {
            return;
        }
        let line = self.keys.entry(entry.key.clone()).or_default();
        line.push_back(entry.clone());
        if line.len() == 1 {
            self.ready(&entry, due);
        }
    }

    /// The next one that is due and whose instance has room. It is in flight until `finished` or `again`, and takes room of its instance
    /// until then, or until `called`.
    pub fn take(&mut self, now: Timestamp) -> Option<Entry> {
        for _ in 0..self.turns.len() {
            let instance = self.turns.pop_front()?;
            let taken = self.lines.get_mut(&instance).filter(|line| line.in_flight < self.share).and_then(|line| {
                let due = line.ready.first().is_some_and(|(due, _, _)| *due <= now);
                let (_, _, key) = due.then(|| line.ready.pop_first()).flatten()?;
                line.in_flight += 1;
                Some(key)
            });
            self.turns.push_back(instance);
            if let Some(entry) = taken.and_then(|key| self.keys.get(&key)?.front().cloned()) {
                self.calling.insert(entry.id.clone());
                return Some(entry);
            }
        }
        None
    }

    /// When the next one is due for which there is room.
    pub fn next_due(&self) -> Option<Timestamp> {
        let free = self.lines.values().filter(|line| line.in_flight < self.share);
        free.filter_map(|line| line.ready.first().map(|(due, _, _)| *due)).min()
    }

    /// Its call is over. What came of it is being written: those behind it wait for that, and other effects of the instance don't.
    pub fn called(&mut self, entry: &Entry) {
        if self.calling.remove(&entry.id)
            && let Some(line) = self.lines.get_mut(&entry.instance)
        {
            line.in_flight = line.in_flight.saturating_sub(1);
        }
    }

    /// It has ended: the next one of its key may go, from `now`.
    pub fn finished(&mut self, entry: &Entry, now: Timestamp) {
        self.called(entry);
        self.known.remove(&entry.id);
        let Some(line) = self.keys.get_mut(&entry.key) else { return };
        line.retain(|other| other.id != entry.id);
        match line.front().cloned() {
            Some(next) => self.ready(&next, now),
            None => {
                self.keys.remove(&entry.key);
            }
        }
        self.sweep(&entry.instance);
    }

    /// It goes on at `due`; those behind it wait.
    pub fn again(&mut self, entry: &Entry, absences: u32, due: Timestamp) {
        self.called(entry);
        if let Some(first) = self.keys.get_mut(&entry.key).and_then(VecDeque::front_mut) {
            first.absences = absences;
        }
        self.ready(entry, due);
    }

    fn ready(&mut self, entry: &Entry, due: Timestamp) {
        self.sequence += 1;
        if !self.lines.contains_key(&entry.instance) {
            self.turns.push_back(entry.instance.clone());
        }
        let line = self.lines.entry(entry.instance.clone()).or_default();
        line.ready.insert((due, self.sequence, entry.key.clone()));
    }

    /// Forgets an instance that has nothing to do.
    fn sweep(&mut self, instance: &InstanceName) {
        if self.lines.get(instance).is_some_and(|line| line.ready.is_empty() && line.in_flight == 0) {
            self.lines.remove(instance);
            self.turns.retain(|other| other != instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, key: &str, instance: &str) -> Entry {
        Entry { id: id.into(), key: key.to_owned(), instance: instance.into(), absences: 0 }
    }

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn effects_of_one_key_go_one_after_another() {
        let mut queue = Queue::new(8);
        queue.add(entry("a", "k", "i/1"), at(0));
        queue.add(entry("b", "k", "i/1"), at(0));
        let first = queue.take(at(0)).unwrap();
        assert_eq!(first.id, "a".into());
        assert_eq!(queue.take(at(0)), None);
        queue.again(&first, 0, at(10));
        assert_eq!(queue.take(at(9)), None);
        assert_eq!(queue.next_due(), Some(at(10)));
        let first = queue.take(at(10)).unwrap();
        queue.finished(&first, at(11));
        assert_eq!(queue.take(at(11)).unwrap().id, "b".into());
    }

    #[test]
    fn an_instance_with_much_to_do_leaves_turns_to_the_others() {
        let mut queue = Queue::new(2);
        for n in 0..100 {
            queue.add(entry(&format!("busy{n}"), &format!("busy{n}"), "i/busy"), at(0));
        }
        queue.add(entry("quiet", "quiet", "i/quiet"), at(5));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(at(5))).map(|entry| entry.id.0).collect();
        assert_eq!(taken, ["busy0", "quiet", "busy1"]);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn an_answer_that_is_being_written_takes_no_room_and_holds_back_those_of_its_key() {
        let mut queue = Queue::new(1);
        for (id, key) in [("a", "k"), ("b", "k"), ("c", "l"), ("d", "m")] {
            queue.add(entry(id, key, "i/1"), at(0));
        }
        let first = queue.take(at(0)).unwrap();
        assert_eq!((queue.take(at(0)), queue.calling()), (None, 1));
        queue.called(&first);
        queue.called(&first);
        assert_eq!(queue.take(at(0)).unwrap().id, "c".into());
        assert_eq!((queue.take(at(0)), queue.calling()), (None, 1), "counted once");
        queue.finished(&first, at(0));
        assert_eq!(queue.take(at(0)), None);
        queue.called(&entry("c", "l", "i/1"));
        assert_eq!(queue.take(at(0)).unwrap().id, "d".into());
    }

    #[test]
    fn an_effect_that_is_known_is_not_added_twice_and_nothing_is_left_at_the_end() {
        let mut queue = Queue::new(2);
        queue.add(entry("a", "k", "i/1"), at(0));
        queue.add(entry("a", "k", "i/1"), at(0));
        let taken = queue.take(at(0)).unwrap();
        queue.add(entry("a", "k", "i/1"), at(0));
        queue.finished(&taken, at(0));
        assert_eq!(queue.len(), 0);
        assert!(queue.keys.is_empty() && queue.lines.is_empty() && queue.turns.is_empty());
        assert_eq!(queue.calling(), 0);
    }
}
