//! The state as its documents have it.

use super::{ENDED, GROUPS, OPEN, OpenWindow, PAST, State, TOLD, moment};
use crate::alerting::groups::{GroupRecord, Kept, Machine, ToldRecord};
use crate::alerting::key::{GroupId, Key};
use crate::alerting::past::{Left, Past};
use crate::alerting::silence::Silences;
use crate::{Context, Error};
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::Acknowledgement;
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::store::Page;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

impl State {
    pub(crate) fn load(context: &Context) -> Result<Self, Error> {
        let mut kept = Kept::default();
        let mut posted = HashMap::new();
        // Nobody could send them again while the host was down: that they were not sent says nothing before they had the time to.
        let in_time = context.now().plus(context.catalog().alerting.resolve_timeout);
        for document in context.store.list(Alert::COLLECTION, &Page::all())? {
            let mut alert: Alert = document.decode()?;
            if let Some(posted) = alert.posted.as_mut().filter(|_| alert.state == AlertState::Firing) {
                posted.ends_at = posted.ends_at.max(in_time);
            }
            let alert = Arc::new(alert);
            if alert.posted.is_some() {
                posted.insert(Key::of(&alert.fingerprint), alert.clone());
            }
            match alert.state {
                AlertState::Firing => kept.alerts.push(alert),
                AlertState::Resolved => kept.resolved.push(alert),
                AlertState::Pending => {}
            }
        }
        kept.ended = context.read_all::<Alert>(ENDED, &Page::all())?.into_iter().map(Arc::new).collect();
        let mut told: HashMap<String, ToldRecord> = HashMap::new();
        for document in context.store.list(TOLD, &Page::all())? {
            told.insert(document.id.clone(), document.decode()?);
        }
        for document in context.store.list(GROUPS, &Page::all())? {
            let Some(id) = GroupId::parse(&document.id) else { continue };
            kept.groups.push((id, document.decode::<GroupRecord>()?, told.remove(&document.id)));
        }
        for document in context.store.list(Acknowledgement::COLLECTION, &Page::all())? {
            let acknowledgement: Acknowledgement = document.decode()?;
            let mut alerts = kept.alerts.iter();
            if alerts.any(|a| a.fingerprint == document.id && a.active_at == acknowledgement.active_at) {
                kept.acknowledged.insert(document.id, acknowledgement.until);
            }
        }
        for document in context.store.list(OPEN, &Page::all())? {
            let open: OpenWindow = document.decode()?;
            kept.open.insert(document.id, open.since);
        }
        kept.silences = Silences::new(context.read_all::<Silence>(Silence::COLLECTION, &Page::all())?);
        let mut past: Vec<(String, Left)> = Vec::new();
        for document in context.store.list(PAST, &Page::all())? {
            past.push((document.id.clone(), document.decode()?));
        }
        let mut past = Past::new(past);
        past.wait_no_longer(context.now());
        kept.silent = past.silent();
        // They left their groups, whatever was told then.
        kept.resolved.retain(|alert| {
            let is_it = |until| alert.resolved_at.is_none_or(|at| at == until);
            !past.of(&alert.fingerprint).iter().any(|(_, over)| is_it(over.until))
        });
        let read_up_to = context.store.head();
        let spec = Arc::new(context.catalog().alerting.clone());
        let machine = Machine::new(spec, kept, context.now());
        let ends = posted.iter().filter_map(|(key, alert)| Some(Reverse((moment(alert)?, *key)))).collect();
        Ok(State { machine, posted, ends, past, read_up_to })
    }
}
