//! Gathers alerts that share labels in one incident: an incident per value of the labels that it groups by.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

use quarterdeck_sdk::correlator::{Alert, Correlator, Incident, Placement};
use quarterdeck_sdk::{Failure, Plugin, Problem};

quarterdeck_sdk::config! {
    /// Configuration of `by-labels`.
    pub struct Config {
        /// Alerts with the same values of these labels belong together. One that has none of them belongs to those of its
        /// name.
        #[serde(default = "instance")]
        pub group_by: Vec<String>,
        /// An alert that starts so long after the last one of an incident, or later, opens one of its own. Unless given,
        /// incidents take alerts as long as they are open.
        #[serde(default)]
        pub append_window_minutes: Option<u32>,
    }
}

fn instance() -> Vec<String> {
    vec!["instance".to_owned()]
}

/// The plugin.
pub struct ByLabels;

impl Plugin for ByLabels {
    type Config = Config;
    const NAME: &'static str = "by-labels";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "An incident per value of the labels that alerts share";

    fn validate(config: &Config) -> Vec<Problem> {
        let empty = config.group_by.iter().position(String::is_empty);
        empty.map(|index| Problem::at(format!("/group-by/{index}"), "is empty, expected a label")).into_iter().collect()
    }
}

impl Correlator for ByLabels {
    fn correlate(config: &Config, alert: &Alert, open: &[Incident], now_ms: i64) -> Result<Placement, Failure> {
        let join = |incident: &Incident| Placement::Join { incident: incident.id.clone(), severity: alert.severity };
        // Told twice of one alert, it goes where it is.
        let own = open.iter().find(|incident| incident.alerts.iter().any(|own| own.fingerprint == alert.fingerprint));
        if let Some(incident) = own {
            return Ok(join(incident));
        }
        let key = key(config, alert);
        let newest = open.iter().rev().find(|incident| incident.key == key && takes(config, incident, now_ms));
        Ok(match newest {
            Some(incident) => join(incident),
            None => Placement::Open { title: title(config, alert), key, severity: alert.severity },
        })
    }
}

fn takes(config: &Config, incident: &Incident, now_ms: i64) -> bool {
    let Some(minutes) = config.append_window_minutes else { return true };
    let newest = incident.alerts.iter().map(|alert| alert.active_at_ms).fold(incident.opened_at_ms, i64::max);
    now_ms.saturating_sub(newest) < i64::from(minutes) * 60_000
}

/// The labels to group by that the alert has, in the order of the configuration.
fn group<'a>(config: &'a Config, alert: &'a Alert) -> impl Iterator<Item = (&'a str, &'a str)> {
    let value = |name: &'a String| Some((name.as_str(), alert.labels.get(name).filter(|value| !value.is_empty())?));
    config.group_by.iter().filter_map(value)
}

fn key(config: &Config, alert: &Alert) -> String {
    let mut key = String::new();
    for (name, value) in group(config, alert) {
        // Quoted, so that no value can pass for two labels.
        key.push_str(&format!("{name}={value:?} "));
    }
    if key.is_empty() {
        return format!("alertname={:?}", alert.name);
    }
    key.truncate(key.trim_end().len());
    key
}

fn title(config: &Config, alert: &Alert) -> String {
    let group: Vec<String> = group(config, alert)
        .filter(|(name, _)| *name != "alertname")
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if group.is_empty() { alert.name.clone() } else { format!("{} on {}", alert.name, group.join(", ")) }
}

quarterdeck_sdk::export!(ByLabels: correlator);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::{Labels, Severity};

    fn config(json: &str) -> Config {
        quarterdeck_sdk::serde_json::from_str(json).unwrap()
    }

    fn alert(name: &str, labels: &[(&str, &str)]) -> Alert {
        Alert {
            fingerprint: format!("{name}{labels:?}"),
            name: name.into(),
            severity: Severity::High,
            labels: labels.iter().copied().collect::<Labels>().with("alertname", name),
            summary: String::new(),
            active_at_ms: 0,
        }
    }

    fn incident(id: &str, key: &str, opened_at_ms: i64) -> Incident {
        Incident { id: id.into(), key: key.into(), severity: Severity::Low, opened_at_ms, alerts: Vec::new() }
    }

    fn place(json: &str, alert: &Alert, open: &[Incident], now_ms: i64) -> Placement {
        ByLabels::correlate(&config(json), alert, open, now_ms).unwrap()
    }

    fn join(id: &str) -> Placement {
        Placement::Join { incident: id.into(), severity: Severity::High }
    }

    #[test]
    fn the_first_alert_opens_an_incident_and_the_next_of_the_same_label_joins_it() {
        let cpu = alert("HighCpu", &[("instance", "a:1"), ("core", "0")]);
        let opened = place("{}", &cpu, &[], 0);
        let Placement::Open { key, title, severity } = opened else { panic!("{opened:?}") };
        assert_eq!((title.as_str(), severity), ("HighCpu on instance a:1", Severity::High));
        let open = [incident("inc_1", &key, 0)];
        assert_eq!(place("{}", &alert("DiskFull", &[("instance", "a:1")]), &open, 0), join("inc_1"));
        assert!(matches!(place("{}", &alert("DiskFull", &[("instance", "b:1")]), &open, 0), Placement::Open { .. }));
    }

    #[test]
    fn alerts_without_the_labels_gather_by_their_name() {
        let opened = place("{}", &alert("Backup", &[("job", "x")]), &[], 0);
        assert!(
            matches!(opened, Placement::Open { key, title, .. } if key == "alertname=\"Backup\"" && title == "Backup")
        );
    }

    #[test]
    fn no_value_passes_for_two_labels() {
        let json = r#"{"group-by": ["a", "b"]}"#;
        let tricky = key(&config(json), &alert("x", &[("a", "1\" b=\"2")]));
        let honest = key(&config(json), &alert("x", &[("a", "1"), ("b", "2")]));
        assert_ne!(tricky, honest);
    }

    #[test]
    fn behind_the_window_a_new_incident_opens_and_later_alerts_join_the_newer() {
        let json = r#"{"append-window-minutes": 10}"#;
        let cpu = alert("HighCpu", &[("instance", "a")]);
        let key = key(&config(json), &cpu);
        let old = incident("inc_1", &key, 0);
        assert_eq!(place(json, &cpu, std::slice::from_ref(&old), 599_999), join("inc_1"));
        assert!(matches!(place(json, &cpu, std::slice::from_ref(&old), 600_000), Placement::Open { .. }));
        assert_eq!(place(json, &cpu, &[old, incident("inc_2", &key, 500_000)], 600_000), join("inc_2"));
    }

    #[test]
    fn told_twice_of_one_alert_it_goes_where_it_is() {
        let cpu = alert("HighCpu", &[("instance", "a")]);
        let mut other = incident("inc_1", "merged by hand", 0);
        other.alerts.push(cpu.clone());
        assert_eq!(place("{}", &cpu, &[other], 0), join("inc_1"));
    }
}
