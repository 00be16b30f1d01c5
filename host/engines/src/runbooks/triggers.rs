//! Runs that events start: for each event that a runbook names in `on`, once.
//!
//! The id of such a run follows from the event and the runbook, so an event that is read twice starts nothing twice.
//!
//! Runs may be started by what other runs and their steps publish, but not for ever: a runbook's own runs don't start it, nor do runs that it led to;
//! and a chain has at most [`DEEPEST`] runs behind its first. What is refused for that is told by an event, which starts nothing.

use super::template::{Missing, Scope, descend, fill};
use super::{Shell, StartRun, machine};
use crate::Error;
use crate::place::Place;
use crate::results::{patiently, put_aside};
use crate::started::started_by;
use quarterdeck_model::domain::runbook::{Run, RunbookSpec, Trigger};
use quarterdeck_model::event::{Event, EventFilter, StoredEvent};
use quarterdeck_model::id::RunId;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::Transition;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{error, info, warn};

pub(super) const CONSUMER: &str = "runbooks-on";
const BATCH: usize = 256;
/// Runs that may stand behind the first one of a chain.
const DEEPEST: usize = 5;

pub(super) async fn run(shell: Arc<Shell>) {
    let context = &shell.context;
    // Everything is looked at, whatever the catalog names now: otherwise a runbook that is added later would be started for
    // events of long ago.
    let mut consumer = match context.bus.consumer(CONSUMER, EventFilter::default()) {
        Ok(consumer) => consumer,
        Err(error) => return error!(consumer = CONSUMER, %error, "can't read the log"),
    };
    let mut place = Place::new(CONSUMER, consumer.position());
    let mut catalog = context.catalog.clone();
    loop {
        let batch = tokio::select! {
            () = context.shutdown.cancelled() => return place.write(context).await,
            () = place.due() => {
                place.write(context).await;
                continue;
            }
            batch = consumer.next(BATCH) => match batch {
                Ok(batch) => batch,
                Err(error) => return error!(consumer = CONSUMER, %error, "can't read the log"),
            },
        };
        let changed = catalog.has_changed().unwrap_or(false);
        let current = catalog.borrow_and_update().clone();
        let mut started = false;
        for event in &batch.events {
            for (slug, spec) in &current.runbooks {
                let Some(trigger) = wanting(slug, spec, &event.event) else { continue };
                match patiently(context, || shell.trigger(slug, spec, trigger, event)).await {
                    Ok(()) => started = true,
                    Err(
                        failure @ Error::Store(StoreError::Closed | StoreError::Io(_) | StoreError::DiskFull { .. }),
                    ) => {
                        return error!(consumer = CONSUMER, error = %failure, "can't go on");
                    }
                    Err(failure) => {
                        warn!(runbook = slug, event = %event.event.id, error = %failure, "an event can't start its runbook");
                        let reason = format!("runbook `{slug}`: {failure}");
                        if let Err(failure) = put_aside(context, &consumer, event, &reason).await {
                            return error!(consumer = CONSUMER, error = %failure, "can't put an event aside");
                        }
                    }
                }
            }
        }
        place.handled(batch.next);
        if started || changed || place.is_due() {
            place.write(context).await;
        }
    }
}

impl Shell {
    async fn trigger(
        &self,
        slug: &str,
        spec: &RunbookSpec,
        trigger: &Trigger,
        event: &StoredEvent,
    ) -> Result<(), Error> {
        let now = self.context.now();
        let ancestors = self.ancestors(&event.event)?;
        if let Some(reason) = endless(slug, &ancestors) {
            return self.refuse(slug, &event.event, &ancestors, &reason).await;
        }
        let request = StartRun {
            inputs: inputs(trigger, &event.event).map_err(Error::invalid)?,
            cause: Some(event.event.subject.clone()),
            ancestors,
            principal: event.event.principal.clone(),
            ..StartRun::default()
        };
        let run = machine::prepare(run_id(&event.event, slug), slug, spec, request, now)?;
        let mut change = machine::begin(run, now, &self.context.ids);
        change.events = change.events.into_iter().map(|begun| begun.caused_by(&event.event)).collect();
        for effect in &mut change.effects {
            effect.correlation = Some(event.event.correlation.clone().unwrap_or_else(|| event.event.id.clone()));
        }
        // Several runbooks may want the event, so it is acknowledged with none of them: a second reading meets the run.
        match self.create(change, Transition::new()).await {
            Ok(run) => {
                info!(run = %run.id, runbook = slug, event = event.event.event_type, "an event has started a run")
            }
            Err(Error::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Shell {
    /// The runbooks that led to the event, if it is one of a run, or one that a step of a run has led to. Read from the run itself: it
    /// can't be made up by who publishes.
    fn ancestors(&self, event: &Event) -> Result<Vec<String>, Error> {
        let run = match &event.run {
            Some(run) => run.as_str(),
            None if event.topic() == "run" => &event.subject,
            None => return Ok(Vec::new()),
        };
        let run = self.context.read::<Run>(Run::COLLECTION, run)?;
        Ok(run.map_or_else(Vec::new, |run| run.ancestors.into_iter().chain([run.runbook]).collect()))
    }

    async fn refuse(&self, slug: &str, event: &Event, ancestors: &[String], reason: &str) -> Result<(), Error> {
        warn!(runbook = slug, event = event.event_type, cause = event.subject, reason, "a run is refused");
        let data = json!({
            "severity": "medium",
            "title": format!("runbook `{slug}` was not started: {reason}"),
            "runbook": slug, "cause": event.subject, "ancestors": ancestors, "reason": reason,
        });
        let refused = self.context.event(Run::REFUSED, slug).data(data).caused_by(event);
        self.context.commit(Transition::new().event(refused)).await?;
        Ok(())
    }
}

/// Why a run of this runbook might lead to one more of itself, and so on.
fn endless(slug: &str, ancestors: &[String]) -> Option<String> {
    let chain = || ancestors.iter().map(String::as_str).chain([slug]).collect::<Vec<_>>().join(" -> ");
    if ancestors.iter().any(|ancestor| ancestor == slug) {
        return Some(format!("its own run led to this one: {}", chain()));
    }
    (ancestors.len() > DEEPEST).then(|| format!("{} runs have started each other: {}", ancestors.len(), chain()))
}

/// The trigger of the runbook that wants the event: the first one that does.
fn wanting<'a>(slug: &str, spec: &'a RunbookSpec, event: &Event) -> Option<&'a Trigger> {
    let trigger = spec.on.iter().find(|trigger| fits(trigger, event))?;
    let field = |name: &str| event.data.get(name).and_then(|value| value.as_str());
    let own = match event.topic() {
        "run" => event.event_type == Run::REFUSED || field("runbook") == Some(slug),
        // What every step leaves behind: a runbook that listens to it would feed itself.
        "effect" | "audit" | "notification" => true,
        _ => false,
    };
    (!own).then_some(trigger)
}

fn fits(trigger: &Trigger, event: &Event) -> bool {
    if !EventFilter::types([trigger.event()]).matches(event) {
        return false;
    }
    match trigger {
        Trigger::Plain(_) => true,
        Trigger::Chosen(chosen) => chosen.conditions.iter().all(|(path, wanted)| {
            let found = descend(&event.data, Some(path)).unwrap_or_default();
            match wanted {
                Value::Array(any) => any.iter().any(|wanted| is(&found, wanted)),
                wanted => is(&found, wanted),
            }
        }),
    }
}

/// Compared as text where one of them is one: labels are texts, whatever they count.
fn is(found: &Value, wanted: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    };
    match (text(found), text(wanted)) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => found == wanted,
    }
}

/// What the trigger hands to the run.
fn inputs(trigger: &Trigger, event: &Event) -> Result<BTreeMap<String, Value>, String> {
    let Trigger::Chosen(chosen) = trigger else { return Ok(BTreeMap::new()) };
    match fill(&chosen.inputs, Scope::Event(event), Missing::Refuse)? {
        Value::Object(inputs) => Ok(inputs.into_iter().collect()),
        _ => Ok(BTreeMap::new()),
    }
}

fn run_id(event: &Event, slug: &str) -> RunId {
    started_by(&event.id, event.time, slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::id::IdSource;

    fn event(event_type: &str, subject: &str) -> Event {
        Event::new(&IdSource::seeded(4), Timestamp::from_millis(1_700_000_000_000), event_type, subject)
    }

    fn runbook(on: &[&str]) -> RunbookSpec {
        triggered(json!(on))
    }

    fn triggered(on: Value) -> RunbookSpec {
        serde_json::from_value(json!({"title": "t", "steps": [{"name": "a", "action": "x/y"}], "on": on})).unwrap()
    }

    fn wants(slug: &str, spec: &RunbookSpec, event: &Event) -> bool {
        wanting(slug, spec, event).is_some()
    }

    #[test]
    fn an_event_and_a_runbook_make_one_id() {
        let fired = event("alert.firing", "a1");
        assert_eq!(run_id(&fired, "a"), run_id(&fired, "a"));
        assert_ne!(run_id(&fired, "a"), run_id(&fired, "b"));
        let usual = RunId::new(&IdSource::seeded(1), fired.time);
        assert_eq!(run_id(&fired, "a").as_str().len(), usual.as_str().len());
        assert_eq!(run_id(&fired, "a").as_str().get(..14), usual.as_str().get(..14), "the same moment in front");
    }

    #[test]
    fn a_runbook_wants_the_types_that_it_names() {
        assert!(wants("r", &runbook(&["alert.firing"]), &event("alert.firing", "a")));
        assert!(wants("r", &runbook(&["incident"]), &event("incident.opened", "i")));
        assert!(!wants("r", &runbook(&["alert.firing"]), &event("alert.resolved", "a")));
        assert!(!wants("r", &runbook(&[]), &event("alert.firing", "a")), "none named is none wanted");
    }

    #[test]
    fn a_run_does_not_start_its_own_runbook_again() {
        let finished = event("run.finished", "run_1").data(json!({"runbook": "r"}));
        assert!(!wants("r", &runbook(&["run.finished"]), &finished));
        assert!(wants("other", &runbook(&["run.finished"]), &finished));
        assert!(!wants("r", &runbook(&["effect."]), &event("effect.done", "run_1")));
        let refused = event("run.refused", "x").data(json!({"runbook": "x"}));
        assert!(!wants("r", &runbook(&["run"]), &refused), "what is refused starts nothing");
    }

    #[test]
    fn a_trigger_looks_into_the_event_and_hands_over_what_it_holds() {
        let spec = triggered(json!([
            {"event": "incident.opened", "where": {"severity": ["high", "critical"], "labels.instance": "http-probe/shop", "labels.zone": ""},
                "inputs": {"target": "{{ data.labels.instance }}", "count": "{{data.members}}",
                    "what": "{{event.type}} of {{event.subject}}"}},
            "incident.resolved",
        ]));
        let opened = |severity: &str, instance: &str| {
            let data = json!({"severity": severity, "labels": {"instance": instance}, "members": 2});
            event("incident.opened", "inc_1").data(data)
        };
        let wanted = opened("high", "http-probe/shop");
        let trigger = wanting("r", &spec, &wanted).unwrap();
        let given = inputs(trigger, &wanted).unwrap();
        assert_eq!(json!(given), json!({"target": "http-probe/shop", "count": 2, "what": "incident.opened of inc_1"}));
        assert!(!wants("r", &spec, &opened("low", "http-probe/shop")));
        assert!(!wants("r", &spec, &opened("high", "http-probe/other")));
        assert!(!wants("r", &spec, &event("incident.opened", "inc_1")));
        let resolved = event("incident.resolved", "inc_1");
        assert!(inputs(wanting("r", &spec, &resolved).unwrap(), &resolved).unwrap().is_empty());
        let number = triggered(json!([{"event": "custom", "where": {"code": "7"}}]));
        assert!(wants("r", &number, &event("custom.x", "s").data(json!({"code": 7}))));
        let lacking = triggered(json!([{"event": "custom", "inputs": {"x": "{{data.x.y}}"}}]));
        let error = inputs(&lacking.on[0], &event("custom.x", "s")).unwrap_err();
        assert!(error.starts_with("`{{data.x.y}}` has no value"), "{error}");
    }

    #[test]
    fn a_chain_ends_where_a_runbook_comes_again_and_at_its_length() {
        let chain = |slugs: &[&str]| slugs.iter().map(|slug| (*slug).to_owned()).collect::<Vec<_>>();
        assert_eq!(endless("b", &chain(&["a"])), None);
        let reason = endless("a", &chain(&["a", "b"])).unwrap();
        assert_eq!(reason, "its own run led to this one: a -> b -> a");
        assert_eq!(endless("f", &chain(&["a", "b", "c", "d", "e"])), None);
        assert!(endless("g", &chain(&["a", "b", "c", "d", "e", "f"])).unwrap().starts_with("6 runs"));
    }
}
