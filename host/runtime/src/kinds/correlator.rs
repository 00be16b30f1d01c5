//! Which incident does this alert belong to, and how severe is it?

use super::{convert, export};
use crate::bindings::correlator::exports::quarterdeck::correlator::correlator as wit;
use crate::call::{Guest, Misfit, Reply, words};
use crate::decisions::Question;
use crate::plugin::Version;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::correlator::{AlertSummary, Correlator, OpenIncident, Placement};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};
use std::borrow::Cow;
use std::sync::Arc;

#[async_trait]
impl Correlator for Runtime {
    async fn correlate(
        &self,
        instance: &InstanceName,
        alert: &AlertSummary,
        open: &[OpenIncident],
        now: Timestamp,
    ) -> CallResult<Placement> {
        let question = Question::Correlate { alert: Cow::Borrowed(alert), open: Cow::Borrowed(open) };
        let alert = wit::Alert::from(alert);
        let open: Vec<wit::Incident> = open.iter().map(wit::Incident::from).collect();
        self.decide(Request::new(Kind::Correlator, instance).at(now), question, move |guest, version, config| {
            Box::pin(async move { self::correlate(guest, &version, &config, &alert, &open, now).await })
        })
        .await
    }
}

pub(super) async fn correlate(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    alert: &wit::Alert,
    open: &[wit::Incident],
    now: Timestamp,
) -> Reply<Placement> {
    let correlator = match export(version, |version| &version.exports.correlator, Kind::Correlator) {
        Ok(pre) => pre.instantiate_async(&mut guest.store).await?,
        Err(error) => return Ok(Err(error)),
    };
    let correlator = correlator.quarterdeck_correlator_correlator();
    let result = correlator.call_correlate(&mut guest.store, config, alert, open, now.as_millis()).await?;
    Ok(result.map_err(CallError::from).and_then(|placement| placed(placement, open)))
}

fn placed(placement: wit::Placement, open: &[wit::Incident]) -> Result<Placement, CallError> {
    match placement {
        wit::Placement::Join((incident, _)) if !open.iter().any(|known| known.id == incident) => {
            Err(Misfit::error("it joins an incident that is not open"))
        }
        wit::Placement::Join((incident, severity)) => Ok(Placement::Join { incident, severity: severity.into() }),
        wit::Placement::Open(opening) => {
            Ok(Placement::Open { key: opening.key, title: words(opening.title), severity: opening.severity.into() })
        }
        wit::Placement::Ignore(reason) => Ok(Placement::Ignore { reason: words(reason) }),
    }
}

impl From<&AlertSummary> for wit::Alert {
    fn from(alert: &AlertSummary) -> Self {
        wit::Alert {
            fingerprint: alert.fingerprint.clone(),
            name: alert.name.clone(),
            severity: alert.severity.into(),
            labels: convert::labels_in(&alert.labels),
            summary: alert.summary.clone(),
            active_at_ms: alert.active_at.as_millis(),
        }
    }
}

impl From<&OpenIncident> for wit::Incident {
    fn from(incident: &OpenIncident) -> Self {
        wit::Incident {
            id: incident.id.clone(),
            key: incident.key.clone(),
            severity: incident.severity.into(),
            opened_at_ms: incident.opened_at.as_millis(),
            alerts: incident.alerts.iter().map(wit::Alert::from).collect(),
        }
    }
}
