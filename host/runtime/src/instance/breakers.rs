//! Quarantine by instance and class of input: one bad target does not silence the rest.
//!
//! A class is what a call is about: a series, a file, a service (`Request::class`). One that makes the plugin misbehave again and again
//! is left alone, and tried again from time to time. An input that was tried in vain, unchanged, is poison: that very input is not offered
//! any more until somebody says so; another one of its class is (a file that was mended, the next window of a series). Where many
//! classes misbehave, without a good call between them, it is the plugin: then the instance is left alone.

use super::circuit::{Admission, Change, Circuit};
use quarterdeck_model::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Trips of its class after which an input is poison, if it was the same one: the first, and two failed trials.
const POISON: u32 = 3;
/// Inputs of one class that are remembered as poison. With more of them it is the class.
const POISONS: usize = 16;
/// Classes in trouble that are told apart. Further ones count for the instance alone.
const CLASSES: usize = 1_000;

pub(crate) struct Breakers {
    after: u32,
    whole: Circuit,
    /// False: no class is in trouble, and the last call was good. Spares good calls the lock.
    troubled: AtomicBool,
    classes: Mutex<Classes>,
}

#[derive(Default)]
struct Classes {
    by_name: HashMap<String, Class>,
    /// Those that have misbehaved since the last good call.
    row: BTreeSet<String>,
}

#[derive(Default)]
struct Class {
    /// In trouble now.
    tried: Option<Tried>,
    /// Inputs that are not offered, the newest last.
    poison: Vec<Poison>,
}

#[derive(Clone)]
struct Poison {
    /// Its digest.
    input: String,
    reason: String,
}

impl Class {
    fn add(&mut self, input: &str, reason: &str) {
        self.poison.retain(|known| known.input != input);
        if self.poison.len() >= POISONS {
            self.poison.remove(0);
        }
        self.poison.push(Poison { input: input.to_owned(), reason: reason.to_owned() });
    }
}

/// Why that input is not offered, if it is poison. A digest is worth taking only where there is poison at all.
fn poison_among(poison: &[Poison], input: impl Fn() -> Option<String>) -> Option<String> {
    if poison.is_empty() {
        return None;
    }
    let input = input()?;
    poison.iter().find(|poison| poison.input == input).map(|poison| poison.reason.clone())
}

struct Tried {
    circuit: Circuit,
    /// Digest of the input that made the plugin misbehave last, and how often in a row it did.
    input: Option<String>,
    same: u32,
}

/// What was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) class: Option<String>,
    whole: Admission,
    own: Admission,
}

/// A change that others are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Instance(Change),
    /// Of the class of the call.
    Class(Change),
    /// That input is not offered any more.
    Poison {
        input: String,
        reason: String,
    },
}

impl Breakers {
    pub(crate) fn new(after: u32) -> Self {
        let classes = Mutex::default();
        Breakers { after: after.max(1), whole: Circuit::new(after), troubled: AtomicBool::new(false), classes }
    }

    /// `class`: asked for only where something is in trouble. `None`: the call is about nothing in particular. `input`: its digest, asked
    /// for only where its class has poison.
    ///
    /// # Errors
    /// Why there is no call now, for a person.
    pub(crate) fn admit(
        &self,
        class: impl Fn() -> Option<String>,
        input: impl Fn() -> Option<String>,
        now: Timestamp,
    ) -> Result<Admitted, String> {
        let mut admitted = Admitted { class: None, whole: Admission::Ordinary, own: Admission::Ordinary };
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(admitted);
        }
        admitted.class = class();
        if let Some(name) = &admitted.class {
            // A large input takes its time to digest, which the instance's other calls don't wait for.
            let poison = self.lock().by_name.get(name).map(|class| class.poison.clone()).unwrap_or_default();
            if let Some(reason) = poison_among(&poison, input) {
                return Err(poisoned(name, &reason));
            }
            if let Some(Class { tried: Some(Tried { circuit, .. }), .. }) = self.lock().by_name.get(name) {
                admitted.own = circuit.admit(now).map_err(|reason| format!("`{name}` is {reason}"))?;
            }
        }
        match self.whole.admit(now) {
            Ok(whole) => Ok(Admitted { whole, ..admitted }),
            Err(reason) => {
                self.abandon_own(&admitted, now);
                Err(reason)
            }
        }
    }

    /// Why an input of that class is not offered, if so: for calls about many.
    pub(crate) fn refuses(&self, class: &str, input: impl Fn() -> Option<String>, now: Timestamp) -> Option<String> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        let (poison, quarantine) = {
            let classes = self.lock();
            let class = classes.by_name.get(class)?;
            let tried = class.tried.as_ref();
            (class.poison.clone(), tried.and_then(|tried| tried.circuit.quarantine_at(now)))
        };
        match poison_among(&poison, input) {
            Some(reason) => Some(poisoned(class, &reason)),
            None => quarantine.map(|reason| format!("`{class}` is quarantined: {reason}")),
        }
    }

    /// `misbehaviour`: what the call did wrong; `None`: it ended in order. `class`, `input`: of the call, asked for only where they matter.
    pub(crate) fn record(
        &self,
        admitted: &Admitted,
        class: impl Fn() -> Option<String>,
        input: impl Fn() -> Option<String>,
        misbehaviour: Option<String>,
        now: Timestamp,
    ) -> Vec<News> {
        if misbehaviour.is_none() && !self.troubled.load(Ordering::Acquire) {
            return Vec::new();
        }
        let class = admitted.class.clone().or_else(class);
        let mut classes = self.lock();
        let mut news = Vec::new();
        let counts = match (&misbehaviour, &class) {
            (Some(_), Some(class)) => classes.row.insert(class.clone()),
            (Some(_), None) => true,
            (None, _) => {
                classes.row.clear();
                true
            }
        };
        if let Some(class) = &class {
            news.extend(self.record_own(&mut classes, class, input, admitted.own, misbehaviour.clone(), now));
        }
        // A trial of the instance is decided by its call, whatever that was about.
        if counts || admitted.whole == Admission::Trial {
            news.extend(self.whole.record(admitted.whole, misbehaviour, now).map(News::Instance));
        }
        let in_trouble = !classes.by_name.is_empty() || !classes.row.is_empty() || self.whole.is_troubled();
        self.troubled.store(in_trouble, Ordering::Release);
        news
    }

    fn record_own(
        &self,
        classes: &mut Classes,
        class: &str,
        input: impl Fn() -> Option<String>,
        own: Admission,
        misbehaviour: Option<String>,
        now: Timestamp,
    ) -> Option<News> {
        let has_room = classes.by_name.len() < CLASSES || classes.by_name.contains_key(class);
        if misbehaviour.is_some() && has_room {
            let class = classes.by_name.entry(class.to_owned()).or_default();
            class.tried.get_or_insert_with(|| Tried { circuit: Circuit::new(self.after), input: None, same: 0 });
        }
        let known = classes.by_name.get_mut(class)?;
        let tried = known.tried.as_mut()?;
        if misbehaviour.is_some() {
            let input = input();
            tried.same = if input.is_some() && input == tried.input { tried.same + 1 } else { 1 };
            tried.input = input;
        }
        let change = tried.circuit.record(own, misbehaviour.clone(), now);
        if let (Some(reason), Some(input)) = (misbehaviour, &tried.input)
            && tried.circuit.trips() >= POISON
            && tried.same >= POISON
        {
            let input = input.clone();
            known.add(&input, &reason);
            known.tried = None;
            return Some(News::Poison { input, reason });
        }
        if !tried.circuit.is_troubled() {
            known.tried = None;
            if known.poison.is_empty() {
                classes.by_name.remove(class);
            }
        }
        change.map(News::Class)
    }

    /// The trial found nothing out (it was cancelled): the next call is one.
    pub(crate) fn abandon(&self, admitted: &Admitted, now: Timestamp) {
        if admitted.whole == Admission::Trial {
            self.whole.abandon_trial(now);
        }
        self.abandon_own(admitted, now);
    }

    fn abandon_own(&self, admitted: &Admitted, now: Timestamp) {
        if let (Some(class), Admission::Trial) = (&admitted.class, admitted.own)
            && let Some(Class { tried: Some(Tried { circuit, .. }), .. }) = self.lock().by_name.get(class)
        {
            circuit.abandon_trial(now);
        }
    }

    /// It was found to be poison in an earlier life of the host.
    pub(crate) fn poison(&self, class: &str, input: &str, reason: &str) {
        self.lock().by_name.entry(class.to_owned()).or_default().add(input, reason);
        self.troubled.store(true, Ordering::Release);
    }

    /// That input is offered again.
    pub(crate) fn release(&self, class: &str, input: &str) {
        let mut classes = self.lock();
        if let Some(known) = classes.by_name.get_mut(class) {
            known.poison.retain(|poison| poison.input != input);
            if known.poison.is_empty() && known.tried.is_none() {
                classes.by_name.remove(class);
            }
        }
    }

    /// A new version or configuration: a fresh start.
    pub(crate) fn reset(&self) {
        let mut classes = self.lock();
        *classes = Classes::default();
        self.whole.reset();
        self.troubled.store(false, Ordering::Release);
    }

    /// Why the instance is quarantined, if it is.
    pub(crate) fn quarantine(&self) -> Option<String> {
        self.whole.quarantine()
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.whole.is_quarantined()
    }

    fn lock(&self) -> MutexGuard<'_, Classes> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn poisoned(class: &str, reason: &str) -> String {
    format!("`{class}` is poison: {reason}; hint: it lies among the dead letters, `dead-letter retry` offers it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Span;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::MIN.plus(Span::from_secs(seconds))
    }

    /// A call about `class`, if it is admitted. The input is always the same one.
    fn call(breakers: &Breakers, class: &str, traps: bool, seconds: u64) -> Result<Vec<News>, String> {
        call_with(breakers, (class, "same"), traps, seconds)
    }

    fn call_with(
        breakers: &Breakers,
        (class, input): (&str, &str),
        traps: bool,
        seconds: u64,
    ) -> Result<Vec<News>, String> {
        let class = || Some(class.to_owned()).filter(|class| !class.is_empty());
        let input = || Some(input.to_owned());
        let admitted = breakers.admit(class, input, at(seconds))?;
        Ok(breakers.record(&admitted, class, input, traps.then(|| "it panicked".to_owned()), at(seconds)))
    }

    #[test]
    fn one_bad_class_is_left_alone_and_the_others_go_on() {
        let breakers = Breakers::new(3);
        for round in 0..10 {
            assert_eq!(call(&breakers, "good", false, 0).unwrap(), []);
            let news = call(&breakers, "bad", true, 0);
            match round {
                0 | 1 => assert_eq!(news.unwrap(), []),
                2 => assert!(matches!(news.unwrap()[..], [News::Class(Change::Quarantined { .. })])),
                _ => assert!(news.unwrap_err().starts_with("`bad` is quarantined")),
            }
        }
        assert_eq!(breakers.quarantine(), None);
        assert_eq!(call(&breakers, "new", false, 0).unwrap(), []);
    }

    #[test]
    fn a_class_recovers_by_a_good_trial_and_its_input_is_poison_after_two_bad_ones() {
        let breakers = Breakers::new(2);
        let trip = |seconds| (0..2).for_each(|_| drop(call(&breakers, "bad", true, seconds).unwrap()));
        trip(0);
        assert_eq!(call(&breakers, "bad", false, 5).unwrap(), [News::Class(Change::Recovered)]);
        trip(10);
        assert_eq!(call(&breakers, "bad", true, 15).unwrap(), []);
        call(&breakers, "bad", true, 16).unwrap_err();
        let news = call(&breakers, "bad", true, 25).unwrap();
        assert_eq!(news, [News::Poison { input: "same".to_owned(), reason: "it panicked".to_owned() }]);
        let reason = call(&breakers, "bad", false, 100_000).unwrap_err();
        assert!(reason.starts_with("`bad` is poison: it panicked; hint:"), "{reason}");
        let of = |input: &str| breakers.refuses("bad", || Some(input.to_owned()), at(100_000));
        assert_eq!((of("same"), of("mended")), (Some(reason), None));
        assert_eq!(call_with(&breakers, ("bad", "mended"), false, 100_000).unwrap(), []);
        call(&breakers, "bad", false, 100_000).unwrap_err();
        breakers.release("bad", "same");
        assert_eq!(call(&breakers, "bad", false, 100_001).unwrap(), []);
        breakers.poison("bad", "same", "as before");
        call(&breakers, "bad", false, 100_002).unwrap_err();
        breakers.reset();
        assert_eq!(call(&breakers, "bad", false, 100_003).unwrap(), []);
    }

    #[test]
    fn several_inputs_of_a_class_are_poison_beside_each_other_and_each_is_released_by_itself() {
        let breakers = Breakers::new(2);
        for (input, begin) in [("one", 0), ("other", 100)] {
            for seconds in [0, 0, 5, 15] {
                drop(call_with(&breakers, ("bad", input), true, begin + seconds).unwrap());
            }
        }
        let offered = |input: &str| call_with(&breakers, ("bad", input), false, 100_000).is_ok();
        assert_eq!((offered("one"), offered("other"), offered("third")), (false, false, true));
        breakers.release("bad", "one");
        assert_eq!((offered("one"), offered("other")), (true, false));
    }

    #[test]
    fn a_class_whose_inputs_change_is_tried_for_ever() {
        let breakers = Breakers::new(2);
        let mut now = 0;
        let windows: Vec<String> = (0..12).map(|window| window.to_string()).collect();
        for window in &windows {
            let news = call_with(&breakers, ("series", window), true, now).unwrap();
            assert!(!matches!(news[..], [News::Poison { .. }]), "{news:?}");
            now += 300;
        }
        assert_eq!(call_with(&breakers, ("series", "good"), false, now).unwrap(), [News::Class(Change::Recovered)]);
    }

    #[test]
    fn many_bad_classes_without_a_good_call_between_them_are_the_plugin_s_fault() {
        let breakers = Breakers::new(3);
        for class in ["a", "a", "b", "b"] {
            call(&breakers, class, true, 0).unwrap();
        }
        assert_eq!(breakers.quarantine(), None);
        let news = call(&breakers, "c", true, 0).unwrap();
        assert!(matches!(news[..], [News::Instance(Change::Quarantined { .. })]), "{news:?}");
        call(&breakers, "d", false, 0).unwrap_err();
        assert_eq!(call(&breakers, "d", false, 5).unwrap(), [News::Instance(Change::Recovered)]);
        assert_eq!(call(&breakers, "e", false, 5).unwrap(), []);
    }

    #[test]
    fn calls_about_nothing_in_particular_count_for_the_instance() {
        let breakers = Breakers::new(2);
        call(&breakers, "", true, 0).unwrap();
        let news = call(&breakers, "", true, 0).unwrap();
        assert!(matches!(news[..], [News::Instance(Change::Quarantined { .. })]), "{news:?}");
        call(&breakers, "other", false, 1).unwrap_err();
    }

    #[test]
    fn a_trial_of_the_instance_that_is_cancelled_leaves_the_next_call_as_the_trial() {
        let breakers = Breakers::new(1);
        call(&breakers, "", true, 0).unwrap();
        let admitted = breakers.admit(|| None, || None, at(5)).unwrap();
        breakers.admit(|| None, || None, at(5)).unwrap_err();
        breakers.abandon(&admitted, at(5));
        breakers.admit(|| None, || None, at(5)).unwrap();
    }
}
