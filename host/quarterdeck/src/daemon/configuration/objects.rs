//! What the API says about single objects: a layer of its own over the files, kept in the store, a document an object.

use super::{Configuration, InForce, load, mistakes, unfit};
use quarterdeck_api::{IfMatch, Mistake, Object, Order, Refused, Said, WORDS};
use quarterdeck_config::{Base, Loaded, Problem, Word};
use quarterdeck_model::store::{Page, Store};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::{error, info};

const PRINCIPAL: &str = "operator";

/// What the store has kept; and what of it can't be read any more.
pub(super) fn kept(store: &dyn Store) -> (Vec<Word>, Vec<LeftOut>) {
    let documents = store.list(WORDS, &Page::all()).unwrap_or_else(|error| {
        error!(%error, "what the API has said about objects can't be read");
        Vec::new()
    });
    let (mut words, mut unreadable) = (Vec::new(), Vec::new());
    for document in documents {
        let (section, name) = document.id.split_once('/').unwrap_or((&document.id, ""));
        let mut word = Word { section: section.to_owned(), name: name.to_owned(), value: None };
        match document.value.get("value") {
            Some(Value::Object(value)) => word.value = Some(Value::Object(value.clone())),
            Some(Value::Null) => {}
            _ => {
                unreadable.push((word, "what was kept of it can't be read".to_owned()));
                continue;
            }
        }
        words.push(word);
    }
    (words, unreadable)
}

/// A word that does not fit, and why.
pub(super) type LeftOut = (Word, String);

/// Lays as many of the words over the files as can be: those that a mistake is in are left out, then those that take something
/// away, then all. `None`: the files are wrong by themselves.
pub(super) fn lay_what_fits(base: &Base, mut words: Vec<Word>) -> Option<(Loaded, Vec<Word>, Vec<LeftOut>)> {
    let mut left_out = Vec::new();
    loop {
        let problems = match load::lay(base, &words) {
            Ok(loaded) => return Some((loaded, words, left_out)),
            Err(_) if words.is_empty() => return None,
            Err(problems) => problems.0,
        };
        let blame = |word: &Word| {
            let (itself, below) = (word.pointer(), format!("{}/", word.pointer()));
            problems.iter().find(|problem| problem.pointer == itself || problem.pointer.starts_with(&below))
        };
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        let any_blamed = words.iter().any(|word| blame(word).is_some());
        let any_deleted = words.iter().any(|word| word.value.is_none());
        let mut kept = Vec::new();
        for word in words {
            match blame(&word) {
                Some(problem) => left_out.push((word, problem.to_string())),
                None if !any_blamed && (word.value.is_none() || !any_deleted) => left_out.push((word, first.clone())),
                None => kept.push(word),
            }
        }
        words = kept;
    }
}

/// Every object that is in force, or that the API has said something about.
pub(super) fn all(current: &InForce) -> Vec<Object> {
    let mut names: BTreeSet<(String, String)> = BTreeSet::new();
    for section in quarterdeck_config::sections() {
        let objects = current.loaded.value.get(section).and_then(Value::as_object);
        names.extend(objects.into_iter().flatten().map(|(name, _)| (section.to_owned(), name.clone())));
    }
    let said = current.words.iter().chain(current.left_out.iter().map(|(word, _)| word));
    names.extend(said.map(|word| (word.section.clone(), word.name.clone())));
    let mut objects: Vec<Object> = names.iter().filter_map(|(section, name)| one(current, section, name)).collect();
    // As lists are walked: by the whole key.
    objects.sort_by_key(|object| format!("{}/{}", object.section, object.name));
    objects
}

pub(super) fn one(current: &InForce, section: &str, name: &str) -> Option<Object> {
    if !quarterdeck_config::sections().any(|known| known == section) {
        return None;
    }
    let is_it = |word: &Word| word.section == section && word.name == name;
    let value = current.loaded.value.get(section).and_then(|objects| objects.get(name)).cloned();
    let left_out = current.left_out.iter().find(|(word, _)| is_it(word));
    let word = current.words.iter().find(|word| is_it(word)).or(left_out.map(|(word, _)| word));
    if value.is_none() && word.is_none() {
        return None;
    }
    let pointer = Word { section: section.to_owned(), name: name.to_owned(), value: None }.pointer();
    Some(Object {
        section: section.to_owned(),
        name: name.to_owned(),
        origin: value.as_ref().map(|_| current.loaded.place(&pointer)),
        value,
        api: word.map(|word| if word.value.is_some() { Said::Set } else { Said::Deleted }),
        problem: left_out.map(|(_, reason)| reason.clone()),
    })
}

impl Configuration {
    pub(super) async fn change_object(
        &self,
        section: &str,
        name: &str,
        order: Order,
        if_match: &IfMatch,
    ) -> Result<(), Refused> {
        let _one = self.changing.lock().await;
        let current = self.current();
        if !quarterdeck_config::sections().any(|known| known == section) {
            let known: Vec<&str> = quarterdeck_config::sections().collect();
            let detail = format!("there is no section `{section}`; hint: there are {}", known.join(", "));
            return Err(Refused::Invalid(vec![Mistake { path: String::new(), detail }]));
        }
        let object = one(&current, section, name);
        if_match.admit(object.as_ref())?;
        if object.is_none() && !matches!(order, Order::Set(_)) {
            return Err(Refused::Unknown(format!("there is no `{name}` in the section `{section}`")));
        }
        let word = |value| Word { section: section.to_owned(), name: name.to_owned(), value };
        let is_it = |word: &Word| word.section == section && word.name == name;
        let mut words: Vec<Word> = current.words.iter().filter(|word| !is_it(word)).cloned().collect();
        match order {
            Order::Set(value) => words.push(word(Some(Value::Object(value)))),
            Order::Delete => {
                // Only what stands below has to be covered.
                let below = load::lay(&current.base, &[]).map_err(|problems| super::Invalid::from(problems).0)?;
                if below.value.get(section).and_then(|objects| objects.get(name)).is_some() {
                    words.push(word(None));
                }
            }
            Order::Reset => {}
        }
        let left_out = current.left_out.iter().filter(|(word, _)| !is_it(word)).cloned().collect();
        self.take_words(&current, words, left_out).await.map(|_| ())
    }

    /// Puts the words in force, kept and as a whole, or not at all. Returns what is in force then.
    pub(super) async fn take_words(
        &self,
        current: &InForce,
        words: Vec<Word>,
        left_out: Vec<(Word, String)>,
    ) -> Result<Arc<InForce>, Refused> {
        let loaded = load::lay(&current.base, &words).map_err(|problems| super::Invalid::from(problems).0)?;
        let unfit = unfit(&*self.registry, &loaded, &self.resolved(&loaded.settings)).await;
        // What was wrong before is not this change's fault.
        let fresh: Vec<Problem> = unfit.iter().filter(|problem| !known(&current.unfit, problem)).cloned().collect();
        if !fresh.is_empty() {
            return Err(Refused::Invalid(mistakes(fresh)));
        }
        let base = Arc::clone(&current.base);
        let next = InForce { base, words, left_out, loaded, unfit, version: current.version.clone() };
        let (next, mut transition) = self.numbered(next, PRINCIPAL);
        transition.absorb(self.changed_words(current, &next));
        self.store_version(transition).await.map_err(Refused::Store)?;
        let digest = next.loaded.digest.clone();
        self.put_in_force(next).await;
        info!(digest, "configuration applied, as the API said");
        Ok(self.current())
    }

    /// The documents that make the store keep what `next` is made of.
    fn changed_words(&self, current: &InForce, next: &InForce) -> Transition {
        fn every(state: &InForce) -> impl Iterator<Item = &Word> {
            state.words.iter().chain(state.left_out.iter().map(|(word, _)| word))
        }
        let id = |word: &Word| format!("{}/{}", word.section, word.name);
        let mut transition = Transition::new();
        for word in every(next).filter(|word| !every(current).any(|old| old == *word)) {
            let value = json!({"value": word.value, "principal": PRINCIPAL, "at": self.clock.now()});
            transition = transition.put(WORDS, &id(word), Expected::Any, value);
        }
        for word in every(current) {
            let stays = every(next).any(|new| new.section == word.section && new.name == word.name);
            if !stays {
                transition = transition.delete(WORDS, &id(word), Expected::Any);
            }
        }
        transition
    }
}

fn known(problems: &[Problem], problem: &Problem) -> bool {
    problems.iter().any(|known| known.pointer == problem.pointer && known.message == problem.message)
}
