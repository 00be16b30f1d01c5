//! What is not told now, and why.

use super::Machine;
use crate::alerting::inhibit::Inhibited;
use crate::alerting::route::Route;
use crate::alerting::windows;
use quarterdeck_model::Timestamp;
use quarterdeck_model::label::Labels;

/// Why an alert is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Muted {
    Silenced(Vec<String>),
    Inhibited(Inhibited),
    /// Name of the planned work.
    Maintenance(String),
}

/// In words, for people.
pub fn in_words(machine: &Machine, muted: &Muted) -> String {
    match muted {
        Muted::Silenced(ids) => format!("silenced by {}", ids.join(", ")),
        Muted::Inhibited(Inhibited { by, rule }) => {
            let by = machine.member_of(*by).map(|by| format!("{} {}", by.alert.rule, by.alert.labels));
            format!("inhibited by {} (inhibit rule {})", by.unwrap_or_default(), rule + 1)
        }
        Muted::Maintenance(name) => format!("under planned work `{name}`"),
    }
}

impl Machine {
    /// The interval that keeps a whole route from telling anything, or the words for its being in none.
    pub fn route_muted(&self, route: &Route, now: Timestamp) -> Option<String> {
        if let Some(name) = windows::holding(&self.intervals, &route.mute_time_intervals, now) {
            return Some(format!("muted in the time interval `{name}`"));
        }
        let outside = !route.active_time_intervals.is_empty()
            && windows::holding(&self.intervals, &route.active_time_intervals, now).is_none();
        outside.then(|| format!("told only in {}", route.active_time_intervals.join(", ")))
    }

    /// Why an alert with these labels is not told now.
    pub fn muted(&self, labels: &Labels, now: Timestamp) -> Option<Muted> {
        if let Some(inhibited) = self.inhibitor.inhibited(labels) {
            return Some(Muted::Inhibited(inhibited));
        }
        let silencing = self.silences.silencing(labels, now);
        if !silencing.is_empty() {
            return Some(Muted::Silenced(silencing.iter().map(|silence| silence.id.clone()).collect()));
        }
        self.maintained(labels).map(|name| Muted::Maintenance(name.to_owned()))
    }

    /// The planned work that the labels are under.
    pub fn maintained(&self, labels: &Labels) -> Option<&str> {
        let matches = |name: &&String| self.windows.get(*name).is_some_and(|window| window.matches(labels));
        self.open.keys().find(matches).map(String::as_str)
    }

    pub fn open_since(&self, window: &str) -> Option<Timestamp> {
        self.open.get(window).copied()
    }
}
