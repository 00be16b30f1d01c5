//! Which incident does this alert belong to, and how severe is it?

use quarterdeck_sdk::correlator::{Alert, Correlator, Incident, Placement};
use quarterdeck_sdk::{Failure, Plugin};

quarterdeck_sdk::config! {
    /// What an instance is configured with.
    pub struct Config {
        /// Alerts with the same value of this label belong together. Unless given, instance.
        #[serde(default = "instance")]
        pub label: String,
    }
}

fn instance() -> String {
    "instance".to_owned()
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Alerts of one place make one incident";
}

impl Correlator for {{type}} {
    fn correlate(config: &Config, alert: &Alert, open: &[Incident], _now_ms: i64) -> Result<Placement, Failure> {
        let key = alert.labels.get(&config.label).unwrap_or("nowhere");
        Ok(match open.iter().find(|incident| incident.key == key) {
            Some(incident) => Placement::Join { incident: incident.id.clone(), severity: alert.severity },
            None => Placement::Open { key: key.to_owned(), title: alert.summary.clone(), severity: alert.severity },
        })
    }
}

quarterdeck_sdk::export!({{type}}: correlator);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::{Labels, Severity};

    #[test]
    fn the_first_alert_opens_an_incident_and_the_next_one_joins_it() {
        let config = Config { label: instance() };
        let alert = Alert {
            fingerprint: "f1".to_owned(),
            name: "down".to_owned(),
            severity: Severity::High,
            labels: Labels::new().with("instance", "web-1"),
            summary: "web-1 is down".to_owned(),
            active_at_ms: 0,
        };
        let first = {{type}}::correlate(&config, &alert, &[], 0).unwrap();
        assert!(matches!(&first, Placement::Open { key, .. } if key == "web-1"), "{first:?}");
        let open = Incident {
            id: "inc_1".to_owned(),
            key: "web-1".to_owned(),
            severity: Severity::High,
            opened_at_ms: 0,
            alerts: vec![alert.clone()],
        };
        let second = {{type}}::correlate(&config, &alert, &[open], 0).unwrap();
        assert!(matches!(second, Placement::Join { .. }), "{second:?}");
    }
}
