//! What the API says about single objects: a layer of its own over the files, kept in the store, a document an object.

use super::{Configuration, InForce, load, mistakes, unfit};
use quarterdeck_api::{IfMatch, Mistake, Object, Order, Refused, Said, WORDS};
use quarterdeck_config::{Base, Loaded, Problem, Word};
use quarterdeck_model::store::{Page, Store};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
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

impl InForce {
    /// What the API has said about each object, by section and name; and why it does not hold where it is left out.
    fn said(&self) -> BTreeMap<(&str, &str), (&Word, Option<&String>)> {
        let left_out = self.left_out.iter().map(|(word, reason)| (word, Some(reason)));
        // Those in force last: where there are both, they are what counts.
        let all = left_out.chain(self.words.iter().map(|word| (word, None)));
        all.map(|(word, reason)| ((word.section.as_str(), word.name.as_str()), (word, reason))).collect()
    }

    /// `in_force`: the value of the whole configuration.
    fn object(
        &self,
        in_force: &Value,
        section: &str,
        name: &str,
        said: Option<(&Word, Option<&String>)>,
    ) -> Option<Object> {
        let value = in_force.get(section).and_then(|objects| objects.get(name)).cloned();
        if value.is_none() && said.is_none() {
            return None;
        }
        let pointer = Word { section: section.to_owned(), name: name.to_owned(), value: None }.pointer();
        Some(Object {
            section: section.to_owned(),
            name: name.to_owned(),
            origin: value.as_ref().map(|_| self.loaded.place(&pointer)),
            value,
            api: said.map(|(word, _)| if word.value.is_some() { Said::Set } else { Said::Deleted }),
            problem: said.and_then(|(_, reason)| reason.cloned()),
        })
    }
}

/// Every object that is in force, or that the API has said something about.
pub(super) fn all(current: &Arc<InForce>) -> Vec<Object> {
    let (said, in_force) = (current.said(), current.value());
    let mut names: BTreeSet<(&str, &str)> = said.keys().copied().collect();
    for section in quarterdeck_config::sections() {
        let objects = in_force.get(section).and_then(Value::as_object);
        names.extend(objects.into_iter().flatten().map(|(name, _)| (section, name.as_str())));
    }
    let object = |object: (&str, &str)| current.object(&in_force, object.0, object.1, said.get(&object).copied());
    let mut objects: Vec<Object> =
        names.into_iter().filter(|(section, _)| is_section(section)).filter_map(object).collect();
    // As lists are walked: by the whole key.
    objects.sort_by_cached_key(|object| format!("{}/{}", object.section, object.name));
    objects
}

pub(super) fn one(current: &Arc<InForce>, section: &str, name: &str) -> Option<Object> {
    if !is_section(section) {
        return None;
    }
    let is_it = |word: &&Word| word.section == section && word.name == name;
    let left_out = current.left_out.iter().map(|(word, reason)| (word, Some(reason))).find(|(word, _)| is_it(word));
    let said = current.words.iter().find(is_it).map(|word| (word, None)).or(left_out);
    current.object(&current.value(), section, name, said)
}

fn is_section(section: &str) -> bool {
    quarterdeck_config::sections().any(|known| known == section)
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
        if !is_section(section) {
            let known: Vec<&str> = quarterdeck_config::sections().collect();
            let detail = format!("there is no section `{section}`; hint: there are {}", known.join(", "));
            return Err(Refused::Invalid(vec![Mistake { path: String::new(), detail }]));
        }
        let object = one(&current, section, name);
        if_match.admit(object.as_ref())?;
        if object.is_none() && !matches!(order, Order::Set(_)) {
            return Err(Refused::Unknown(format!(
                "there is no `{name}` in the section `{section}`; hint: list `configuration/objects` to see what there is"
            )));
        }
        let word = |value| Word { section: section.to_owned(), name: name.to_owned(), value };
        let is_it = |word: &Word| word.section == section && word.name == name;
        let mut words: Vec<Word> = current.words.iter().filter(|word| !is_it(word)).cloned().collect();
        match order {
            Order::Set(value) => words.push(word(Some(Value::Object(value)))),
            Order::Delete => {
                // Only what stands below has to be covered.
                let below = load::lay(&current.base, &[]).map_err(|problems| super::Invalid::from(problems).0)?;
                if below.value().get(section).and_then(|objects| objects.get(name)).is_some() {
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
        let mut fresh: Vec<Problem> = unfit.iter().filter(|problem| !known(&current.unfit, problem)).cloned().collect();
        fresh.extend(self.bereft(current, &loaded));
        if !fresh.is_empty() {
            return Err(Refused::Invalid(mistakes(fresh)));
        }
        let base = Arc::clone(&current.base);
        let mut next =
            InForce { base, words, left_out, loaded, unfit, version: String::new(), value: Mutex::default() };
        let mut said = self.changed_words(current, &next);
        said.absorb(self.grants_changed(&next, PRINCIPAL));
        next.version = self.keep(&next, PRINCIPAL, said).await.map_err(Refused::Store)?;
        let digest = next.loaded.digest.clone();
        self.put_in_force(next).await;
        info!(digest, "configuration applied, as the API said");
        Ok(self.current())
    }

    /// The documents that make the store keep what `next` is made of.
    fn changed_words(&self, current: &InForce, next: &InForce) -> Transition {
        let (old, new) = (current.said(), next.said());
        let id = |(section, name): &(&str, &str)| format!("{section}/{name}");
        let mut transition = Transition::new();
        for (object, (word, _)) in &new {
            if old.get(object).is_none_or(|(before, _)| before != word) {
                let value = json!({"value": word.value, "principal": PRINCIPAL, "at": self.clock.now()});
                transition = transition.put(WORDS, &id(object), Expected::Any, value);
            }
        }
        for object in old.keys().filter(|object| !new.contains_key(*object)) {
            transition = transition.delete(WORDS, &id(object), Expected::Any);
        }
        transition
    }
}

fn known(problems: &[Problem], problem: &Problem) -> bool {
    problems.iter().any(|known| known.pointer == problem.pointer && known.message == problem.message)
}
