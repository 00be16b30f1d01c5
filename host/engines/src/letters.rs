//! Dead letters: how many there are, and the way back.
//!
//! How many the last hour has left is a series, so that a rule can watch what would be told to nobody. The last hour's, and not all: an
//! alert that lasts for as long as a letter is kept would hide the next one. A letter that is taken up again does not count any more.
//!
//! What is taken up again is the effect as it was, under its id and with its key: whoever did get it the first time can tell.

use crate::{Asked, Context, Error, to_value};
use async_trait::async_trait;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::effect::{Action, DEAD_LETTERS, DeliveryClass, Effect};
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

pub(crate) const SERIES: &str = "quarterdeck_dead_letters_last_hour";
const JOB: &str = "dead-letters";
const EVERY: Span = Span::from_secs(15);
const RECENT: Span = Span::from_secs(3600);
/// Documents and events that are read in one step.
const STEP: usize = 200;
/// More than so many are not told apart.
const COUNTED: usize = 1_000;
/// What is taken up again may be tried for so long.
const EXPIRES: Span = Span::from_secs(3600);

#[derive(Clone)]
pub struct Handle {
    context: Context,
}

impl Handle {
    /// Lets an input that was poison to a plugin be offered to it again, and gives the instance. `None`: the letter is no input.
    ///
    /// # Errors
    /// There is no such letter, or it is at another revision.
    pub async fn release(&self, id: &str, asked: impl Into<Asked<'_>>) -> Result<Option<InstanceName>, Error> {
        let (asked, context) = (asked.into(), &self.context);
        let document =
            context.find(DEAD_LETTERS, id)?.ok_or_else(|| Error::not_found(format!("dead letter `{id}`")))?;
        let of = |key: &str| document.value.get(key).and_then(Value::as_str);
        let ("input", Some(instance), Some(class)) = (of("kind").unwrap_or_default(), of("instance"), of("class"))
        else {
            return Ok(None);
        };
        asked.check(id, document.revision)?;
        let instance = InstanceName::from(instance);
        let data = json!({"kind": "input", "instance": instance, "class": class});
        let retried = context.event("dead-letter.retried", id).data(data).principal(asked.principal);
        let expected = Expected::Revision(document.revision);
        match context.commit(Transition::new().delete(DEAD_LETTERS, id, expected).event(retried)).await {
            Ok(_) => context.registry.release(&instance, class, of("digest").unwrap_or_default()),
            Err(StoreError::Conflict { .. }) => {
                return Err(Error::conflict(format!("dead letter `{id}` is being taken up again by somebody else")));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Some(instance))
    }

    /// Takes up again what was given up on, and gives it as it waits now. What is no delivery needs `force`: nobody waits for it any more.
    ///
    /// # Errors
    /// There is no such letter, it is at another revision, or it can't be taken up again.
    pub async fn retry(&self, id: &str, asked: impl Into<Asked<'_>>, force: bool) -> Result<Effect, Error> {
        let (asked, context) = (asked.into(), &self.context);
        let document =
            context.find(DEAD_LETTERS, id)?.ok_or_else(|| Error::not_found(format!("dead letter `{id}`")))?;
        asked.check(id, document.revision)?;
        let mut effect = repeatable(id, &document.value, force)?;
        effect.expires = context.now().plus(EXPIRES);
        let data =
            json!({"kind": "effect", "owner": effect.owner, "purpose": effect.purpose, "instance": effect.instance});
        let retried = context.event("dead-letter.retried", id).data(data).principal(asked.principal);
        let mut transition = Transition::new()
            .delete(DEAD_LETTERS, id, Expected::Revision(document.revision))
            .effect(effect.clone())
            .event(retried);
        if let Some(document) = context.store.get(Notification::COLLECTION, effect.id.as_str())? {
            let told = document.decode::<Notification>()?;
            let pending =
                Notification { state: DeliveryState::Pending, finished_at: None, attempts: 0, error: None, ..told };
            let expected = Expected::Revision(document.revision);
            transition = transition.put(Notification::COLLECTION, &document.id, expected, to_value(&pending)?);
        }
        match context.commit(transition).await {
            Ok(_) => Ok(effect),
            Err(StoreError::Conflict { .. }) => {
                Err(Error::conflict(format!("dead letter `{id}` is being taken up again by somebody else")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The effect of a letter, if it may be carried out again.
fn repeatable(id: &str, letter: &Value, force: bool) -> Result<Effect, Error> {
    if letter.get("kind").and_then(Value::as_str) == Some("group") {
        return Err(Error::conflict(format!(
            "dead letter `{id}` is a message about a group of alerts that could not be kept; hint: the group is told again when something of it changes"
        )));
    }
    if letter.get("kind").and_then(Value::as_str) != Some("effect") {
        return Err(Error::conflict(format!(
            "dead letter `{id}` is no effect; hint: an event that could not be handled can be published again"
        )));
    }
    let effect = letter.get("effect").and_then(|effect| Effect::deserialize(effect).ok()).ok_or_else(|| {
        Error::conflict(format!(
            "dead letter `{id}` was not kept as a whole, because of its size; nothing can be done with it"
        ))
    })?;
    match (&effect.action, effect.class) {
        (Action::ApplyStep { .. }, _) => Err(Error::conflict(format!(
            "dead letter `{id}` is a step of a deployment that has gone on without it; hint: deploy again"
        ))),
        (Action::Notify { .. }, DeliveryClass::AtLeastOnce) => Ok(effect),
        _ if force => Ok(effect),
        _ => Err(Error::conflict(format!(
            "dead letter `{id}` is no delivery: its run has gone on without it, and doing it now may do harm; hint: `force` does it all the same"
        ))),
    }
}

pub(crate) fn start(context: &Context, tasks: &mut crate::Tasks) -> Handle {
    let handle = Handle { context: context.clone() };
    let count = Count { context: context.clone(), seen: Mutex::new(None) };
    let spec = JobSpec { at_start: false, ..JobSpec::every(JOB, EVERY) };
    if let Err(error) = context.scheduler.set(spec, Arc::new(count)) {
        warn!(%error, "dead letters can't be counted");
    }
    let context = context.clone();
    tasks.spawn("dead letters", async move {
        context.shutdown.cancelled().await;
        // The job holds what holds the scheduler: nobody would ever let go.
        context.scheduler.remove(JOB);
    });
    handle
}

struct Count {
    context: Context,
    /// `None`: what an earlier host left is not read yet.
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone, Default)]
struct Seen {
    /// The log is read up to here.
    up_to: Offset,
    /// Letters of the last hour, by id.
    recent: BTreeMap<String, Timestamp>,
}

#[derive(Deserialize)]
struct Letter {
    at: Timestamp,
}

#[async_trait]
impl Job for Count {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.count().await.map_err(|error| error.to_string())
    }
}

impl Count {
    async fn count(&self) -> Result<(), Error> {
        let (context, now) = (&self.context, self.context.now());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut seen = match seen {
            Some(seen) => seen,
            None => self.left().await?,
        };
        self.follow(&mut seen).await?;
        seen.recent.retain(|_, at| at.plus(RECENT) > now);
        if seen.recent.len() <= COUNTED {
            let mut there = BTreeMap::new();
            for (id, at) in seen.recent {
                if context.store.get(DEAD_LETTERS, &id)?.is_some() {
                    there.insert(id, at);
                }
            }
            seen.recent = there;
        }
        let value = f64::from(u32::try_from(seen.recent.len()).unwrap_or(u32::MAX));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        let sample = Sample { name: SERIES.to_owned(), labels: Labels::new(), at: now, value };
        context.series.append(vec![sample]).await?;
        Ok(())
    }

    /// What lies there at the start.
    async fn left(&self) -> Result<Seen, Error> {
        let mut seen = Seen { up_to: self.context.store.head(), ..Seen::default() };
        let mut page = Page { limit: STEP, ..Page::all() };
        loop {
            let documents = self.context.store.list(DEAD_LETTERS, &page)?;
            let Some(last) = documents.last() else { return Ok(seen) };
            page.after = Some(last.id.clone());
            let letters = documents.iter().filter_map(|document| Some((document, document.decode::<Letter>().ok()?)));
            seen.recent.extend(letters.map(|(document, letter)| (document.id.clone(), letter.at)));
            seen.recent.retain(|_, at| at.plus(RECENT) > self.context.now());
            tokio::task::yield_now().await;
        }
    }

    /// What has come since.
    async fn follow(&self, seen: &mut Seen) -> Result<(), Error> {
        let filter = EventFilter::types(["dead-letter.added"]);
        loop {
            let batch = self.context.store.events(seen.up_to, &filter, STEP)?;
            seen.recent.extend(batch.events.iter().map(|stored| (stored.event.subject.clone(), stored.event.time)));
            if batch.next <= seen.up_to {
                return Ok(());
            }
            seen.up_to = batch.next;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, Fake, START};
    use quarterdeck_model::effect::{OUTBOX, Pending};
    use quarterdeck_model::kind::notifier::Message;

    #[tokio::test]
    async fn letters_of_the_last_hour_that_still_lie_there_are_counted_also_those_of_an_earlier_host() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(folder.path(), &Fake::default(), Default::default(), START);
        let context = &bench.context;
        let add = async |id: &str| {
            let letter = json!({"kind": "effect", "at": context.now()});
            let added = context.event("dead-letter.added", id);
            let transition = Transition::new().put(DEAD_LETTERS, id, Expected::Any, letter).event(added);
            context.commit(transition).await.unwrap();
        };
        let counted = async |count: &Count| {
            count.count().await.unwrap();
            let seen = count.seen.lock().unwrap().clone().unwrap();
            seen.recent.into_keys().collect::<Vec<_>>()
        };
        let count = || Count { context: context.clone(), seen: Mutex::new(None) };
        let first = count();
        assert!(counted(&first).await.is_empty(), "a fresh host is quiet");
        add("eff_1").await;
        assert_eq!(counted(&first).await, ["eff_1"]);
        bench.advance(Span::from_secs(1800));
        add("evt_2").await;
        assert_eq!(counted(&first).await, ["eff_1", "evt_2"]);
        assert_eq!(counted(&count()).await, ["eff_1", "evt_2"], "as another host finds them");
        context.commit(Transition::new().delete(DEAD_LETTERS, "evt_2", Expected::Any)).await.unwrap();
        assert_eq!(counted(&first).await, ["eff_1"], "one was taken up again");
        bench.advance(Span::from_secs(1800));
        assert!(counted(&first).await.is_empty() && counted(&count()).await.is_empty(), "an hour later");
    }

    #[tokio::test]
    async fn a_delivery_is_taken_up_again_as_it_was_and_what_may_do_harm_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(folder.path(), &Fake::default(), Default::default(), START);
        let context = &bench.context;
        let handle = Handle { context: context.clone() };
        let message = Message {
            event_type: "custom.a".to_owned(),
            subject: "s".to_owned(),
            title: "t".to_owned(),
            body: String::new(),
            severity: quarterdeck_model::Severity::High,
            labels: Labels::new(),
            at: START,
            url: String::new(),
            data: json!({}),
        };
        let put = async |effect: Value| {
            let letter = json!({"kind": "effect", "at": START, "effect": effect});
            let put = Transition::new().put(DEAD_LETTERS, "eff_1", Expected::Any, letter);
            context.commit(put).await.unwrap().revisions[0]
        };
        let effect = |action: Action| {
            let mut effect = Effect::new(&context.ids, START, "run_1", "webhook/a".into(), action);
            effect.id = "eff_1".into();
            effect.key = Some("key".to_owned());
            effect
        };
        let refused = async |force: bool| handle.retry("eff_1", "ann", force).await.unwrap_err().to_string();
        let delivery = effect(Action::Notify { message });
        let revision = put(json!(delivery)).await;
        bench.advance(Span::from_secs(7200));
        let seen = Asked { principal: "ann", seen: Some(&[revision + 1]) };
        assert!(matches!(handle.retry("eff_1", seen, false).await, Err(Error::Changed { .. })));
        let taken = handle.retry("eff_1", "ann", false).await.unwrap();
        let expires = context.now().plus(EXPIRES);
        assert_eq!(taken, Effect { expires, ..delivery });
        let pending: Pending = context.read(OUTBOX, "eff_1").unwrap().unwrap();
        assert_eq!((&*pending.effect, pending.attempts), (&taken, 0));
        assert_eq!(bench.events(&["dead-letter.retried"])[0].principal, "ann");
        assert!(refused(false).await.contains("dead letter `eff_1`"), "it lies there no more");

        context.commit(Transition::new().delete(OUTBOX, "eff_1", Expected::Any)).await.unwrap();
        put(json!(effect(Action::RunStep { inputs: json!({}) }))).await;
        assert!(refused(false).await.contains("hint: `force`"));
        handle.retry("eff_1", "ann", true).await.unwrap();
        put(json!({"id": "eff_1", "bytes": 1_000_000, "action-begins": "{"})).await;
        assert!(refused(true).await.contains("not kept as a whole"));
        context
            .commit(Transition::new().put(DEAD_LETTERS, "eff_1", Expected::Any, json!({"kind": "event"})))
            .await
            .unwrap();
        assert!(refused(true).await.contains("is no effect"));
    }

    #[tokio::test]
    async fn an_input_that_was_poison_is_released_once_with_its_letter_gone() {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::default();
        let bench = Bench::open(folder.path(), &fake, Default::default(), START);
        let context = &bench.context;
        let handle = Handle { context: context.clone() };
        let letter = json!({"kind": "input", "at": START, "instance": "words/one", "class": "bad.txt", "digest": "abc", "reason": "it trapped"});
        let put = Transition::new().put(DEAD_LETTERS, "input.words/one.1", Expected::Any, letter);
        let revision = context.commit(put).await.unwrap().revisions[0];
        let released = || fake.with(|fake| fake.released.clone());

        let stale = Asked { principal: "ann", seen: Some(&[revision + 1]) };
        assert!(matches!(handle.release("input.words/one.1", stale).await, Err(Error::Changed { .. })));
        assert!(released().is_empty(), "somebody has seen another letter");
        let instance = handle.release("input.words/one.1", "ann").await.unwrap();
        assert_eq!(instance, Some("words/one".into()));
        assert_eq!(released(), [("words/one".into(), "bad.txt".to_owned(), "abc".to_owned())]);
        assert!(context.store.get(DEAD_LETTERS, "input.words/one.1").unwrap().is_none());
        let told = &bench.events(&["dead-letter.retried"])[0];
        assert_eq!((told.principal.as_str(), &told.data["class"]), ("ann", &json!("bad.txt")));
        let again = handle.release("input.words/one.1", "ann").await;
        assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");

        // What is no input is for `retry`, and stays.
        let put = Transition::new().put(DEAD_LETTERS, "eff_1", Expected::Any, json!({"kind": "effect"}));
        context.commit(put).await.unwrap();
        assert_eq!(handle.release("eff_1", "ann").await.unwrap(), None);
        assert!(context.store.get(DEAD_LETTERS, "eff_1").unwrap().is_some());
        assert_eq!(released().len(), 1);
    }
}
