//! Which incident does this alert belong to, and how severe is it?

use crate::{Failure, Labels, Plugin, Severity};

/// Gathers alerts in incidents. Pure: the same input gives the same output.
pub trait Correlator: Plugin {
    /// Called once for each alert that starts to fire, with every open incident, oldest first. `now_ms`: milliseconds since
    /// 1970, UTC.
    fn correlate(config: &Self::Config, alert: &Alert, open: &[Incident], now_ms: i64) -> Result<Placement, Failure>;
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its identity.
    pub fingerprint: String,
    /// The rule's name.
    pub name: String,
    /// The rule's, or the detector's.
    pub severity: Severity,
    /// With `alertname`.
    pub labels: Labels,
    /// One line.
    pub summary: String,
    /// When the series became abnormal.
    pub active_at_ms: i64,
}

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its identity.
    pub id: String,
    /// What [`Placement::Open`] gave when it was opened.
    pub key: String,
    /// The worst so far.
    pub severity: Severity,
    /// Milliseconds since 1970.
    pub opened_at_ms: i64,
    /// Its members.
    pub alerts: Vec<Alert>,
}

/// Where an alert goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into this incident, which takes that severity if it is worse than its own.
    Join {
        /// The incident's id.
        incident: String,
        /// The alert's part in it.
        severity: Severity,
    },
    /// Into a new one.
    Open {
        /// What belongs together has the same key.
        key: String,
        /// One line.
        title: String,
        /// To begin with.
        severity: Severity,
    },
    /// Worth no incident; the reason is kept.
    Ignore(String),
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Alert, Correlator, Incident, Placement};
    use crate::bindings::correlator::exports::quarterdeck::correlator::correlator as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        struct wit::Alert => Alert { fingerprint, name, severity, labels, summary, active_at_ms }
        struct wit::Incident => Incident { id, key, severity, opened_at_ms, alerts }
    }

    impl Mirror<wit::Placement> for Placement {
        fn mirror(self) -> wit::Placement {
            match self {
                Placement::Join { incident, severity } => wit::Placement::Join((incident, severity.mirror())),
                Placement::Open { key, title, severity } => {
                    wit::Placement::Open(wit::Opening { key, title, severity: severity.mirror() })
                }
                Placement::Ignore(reason) => wit::Placement::Ignore(reason),
            }
        }
    }

    impl<P: Correlator> wit::Guest for Component<P> {
        fn correlate(
            text: String,
            alert: wit::Alert,
            open: Vec<wit::Incident>,
            now_ms: i64,
        ) -> Result<wit::Placement, wit::Failure> {
            let open: Vec<Incident> = open.mirror();
            P::correlate(&config::<P>(&text)?, &alert.mirror(), &open, now_ms)
                .map(Mirror::mirror)
                .map_err(Mirror::mirror)
        }
    }
}
