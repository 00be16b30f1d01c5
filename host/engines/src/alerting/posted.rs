//! Alerts that other programs have made and sent here. Pure.
//!
//! - Its label set is its identity. A label without a value is none.
//! - Without a start it has begun now, or when it ended. Without an end it is over if nobody sends it again for the resolve time-out.
//! - What is sent while the one before goes on is the same alert: the earliest start holds, and the newest annotations; the latest end,
//!   unless that was a time-out's.
//! - An end that is past resolves it.

use super::key::fingerprint;
use crate::monitoring::rule_files::Rule;
use crate::size::encoded;
use quarterdeck_model::domain::alert::{Alert, AlertState, Posted};
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Span, Timestamp};

/// A resolved one is kept for so long: what is sent of it late finds it.
pub const KEEP_RESOLVED: Span = Span::from_secs(15 * 60);
/// Labels and annotations of one alert together, in bytes of JSON: it stands in several documents, some of it twice.
const LARGEST: usize = 64 << 10;

/// An alert as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
    pub generator_url: String,
}

/// Alertmanager's words, where it has the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("start time must be before end time")]
    Times,
    #[error("at least one label pair required")]
    NoLabels,
    #[error("invalid label set: invalid name {0:?}")]
    Label(String),
    #[error("invalid annotations: invalid name {0:?}")]
    Annotation(String),
    #[error("labels and annotations have {0} bytes in JSON, more than {LARGEST}")]
    TooLarge(usize),
}

/// Whether it may be the name of a label.
pub(super) fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// # Errors
/// What is wrong with it.
pub fn check(mut incoming: Incoming) -> Result<Incoming, Refusal> {
    incoming.labels.0.retain(|_, value| !value.is_empty());
    if let (Some(from), Some(to)) = (incoming.starts_at, incoming.ends_at)
        && to < from
    {
        return Err(Refusal::Times);
    }
    if let Some((name, _)) = incoming.labels.iter().find(|(name, _)| !is_name(name)) {
        return Err(Refusal::Label(name.to_owned()));
    }
    if incoming.labels.is_empty() {
        return Err(Refusal::NoLabels);
    }
    if let Some((name, _)) = incoming.annotations.iter().find(|(name, _)| !is_name(name)) {
        return Err(Refusal::Annotation(name.to_owned()));
    }
    let size = encoded(&incoming.labels) + encoded(&incoming.annotations) + encoded(&incoming.generator_url);
    if size > LARGEST {
        return Err(Refusal::TooLarge(size));
    }
    Ok(incoming)
}

/// The alert that an accepted one makes of what is known of it. `None`: it was over before anybody knew of it.
pub fn receive(known: Option<&Alert>, incoming: Incoming, resolve_timeout: Span, now: Timestamp) -> Option<Alert> {
    let starts_at = incoming.starts_at.or(incoming.ends_at).unwrap_or(now);
    let by_timeout = incoming.ends_at.is_none();
    let ends_at = incoming.ends_at.unwrap_or_else(|| now.plus(resolve_timeout));
    let (starts_at, ends_at, by_timeout) = match known.and_then(|known| Some((known, known.posted.as_ref()?))) {
        Some((known, posted)) if overlaps((starts_at, ends_at), (known.active_at, posted.ends_at)) => {
            let start = starts_at.min(known.active_at);
            let both_over = ends_at <= now && posted.ends_at <= now;
            let longer = posted.ends_at > ends_at && (both_over || (ends_at > now && !posted.by_timeout));
            if longer { (start, posted.ends_at, posted.by_timeout) } else { (start, ends_at, by_timeout) }
        }
        _ => (starts_at, ends_at, by_timeout),
    };
    let is_over = ends_at <= now;
    if is_over && known.is_none() {
        return None;
    }
    let said = |name: &str| incoming.annotations.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = incoming.labels.get("alertname").unwrap_or_default().to_owned();
    let acknowledged = known.filter(|known| known.state == AlertState::Firing && !is_over);
    Some(Alert {
        fingerprint: fingerprint(&incoming.labels),
        rule: name.clone(),
        group: None,
        state: if is_over { AlertState::Resolved } else { AlertState::Firing },
        severity: Rule::severity(&incoming.labels),
        metric: None,
        target: None,
        summary: said("summary").or_else(|| said("description")).unwrap_or(name),
        reason: if is_over { "its end was sent".to_owned() } else { String::new() },
        value: f64::NAN,
        active_at: starts_at,
        fired_at: Some(starts_at),
        resolved_at: is_over.then_some(ends_at),
        missing_since: None,
        no_data: false,
        blind: None,
        source: Labels::new(),
        last_evaluated: now,
        plugin: None,
        acknowledged_by: acknowledged.and_then(|known| known.acknowledged_by.clone()),
        runbook: said("runbook"),
        posted: Some(Posted { ends_at, by_timeout, updated_at: now, generator_url: incoming.generator_url }),
        annotations: incoming.annotations,
        labels: incoming.labels,
    })
}

/// Whether what is sent goes on where the known one was.
fn overlaps(sent: (Timestamp, Timestamp), known: (Timestamp, Timestamp)) -> bool {
    (sent.1 > known.0 && sent.1 < known.1) || (sent.0 > known.0 && sent.0 < known.1) || sent.0 == known.0
}

/// Its end has come, and nobody has sent it again.
pub fn over(alert: &Alert, reason: &str, now: Timestamp) -> Alert {
    let mut over = Alert {
        state: AlertState::Resolved,
        resolved_at: Some(now),
        reason: reason.to_owned(),
        last_evaluated: now,
        ..alert.clone()
    };
    if let Some(posted) = &mut over.posted {
        posted.ends_at = posted.ends_at.min(now);
    }
    over
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// One that fires since then.
    pub(crate) fn alert(labels: &[(&str, &str)], since: i64) -> Alert {
        let at = Timestamp::from_millis(since);
        let incoming = Incoming {
            labels: labels.iter().copied().collect(),
            annotations: [("summary", "it is down")].into_iter().collect(),
            starts_at: Some(at),
            ends_at: None,
            generator_url: "http://prometheus/graph".into(),
        };
        receive(None, incoming, Span::from_secs(300), at).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn incoming(starts: Option<i64>, ends: Option<i64>) -> Incoming {
        Incoming {
            labels: [("alertname", "Down"), ("job", "api")].into_iter().collect(),
            starts_at: starts.map(at),
            ends_at: ends.map(at),
            ..Incoming::default()
        }
    }

    fn send(known: Option<&Alert>, starts: Option<i64>, ends: Option<i64>, now: i64) -> Option<Alert> {
        receive(known, check(incoming(starts, ends)).unwrap(), Span::from_secs(300), at(now))
    }

    fn ends(alert: &Alert) -> Timestamp {
        alert.posted.as_ref().unwrap().ends_at
    }

    #[test]
    fn without_times_it_has_begun_now_and_ends_by_the_time_out() {
        let alert = send(None, None, None, 100).unwrap();
        assert_eq!((alert.active_at, ends(&alert), alert.state), (at(100), at(400), AlertState::Firing));
        assert_eq!(alert.fingerprint, "c89fba827b26e2d5");
    }

    #[test]
    fn the_earliest_start_and_the_newest_annotations_hold() {
        let first = send(None, Some(50), None, 100).unwrap();
        let mut again = incoming(Some(60), None);
        again.annotations.insert("summary", "new");
        let again = receive(Some(&first), again, Span::from_secs(300), at(160)).unwrap();
        assert_eq!((again.active_at, ends(&again), again.summary.as_str()), (at(50), at(460), "new"));
        let earlier = send(Some(&again), Some(10), Some(300), 170).unwrap();
        assert_eq!(earlier.active_at, at(10));
    }

    #[test]
    fn the_latest_end_holds_unless_it_was_a_time_outs() {
        let explicit = send(None, Some(50), Some(900), 100).unwrap();
        assert_eq!(ends(&send(Some(&explicit), Some(60), None, 110).unwrap()), at(900));
        let by_timeout = send(None, Some(50), None, 100).unwrap();
        assert_eq!(ends(&send(Some(&by_timeout), Some(60), Some(300), 110).unwrap()), at(300));
    }

    #[test]
    fn an_end_that_is_past_resolves_it() {
        let known = send(None, Some(50), None, 100).unwrap();
        let over = send(Some(&known), Some(50), Some(110), 120).unwrap();
        assert_eq!((over.state, over.resolved_at), (AlertState::Resolved, Some(at(110))));
        assert_eq!(send(None, Some(50), Some(110), 120), None, "nobody has known of it");
        // It begins anew after that.
        let anew = send(Some(&over), Some(130), None, 140).unwrap();
        assert_eq!((anew.state, anew.active_at, anew.resolved_at), (AlertState::Firing, at(130), None));
    }

    #[test]
    fn an_acknowledgement_stays_until_the_end() {
        let mut known = send(None, Some(50), None, 100).unwrap();
        known.acknowledged_by = Some("ann".into());
        assert_eq!(send(Some(&known), Some(50), None, 110).unwrap().acknowledged_by.as_deref(), Some("ann"));
        let over = send(Some(&known), Some(50), Some(110), 120).unwrap();
        assert_eq!(send(Some(&over), Some(130), None, 140).unwrap().acknowledged_by, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |incoming: Incoming| check(incoming).unwrap_err();
        assert_eq!(refused(incoming(Some(20), Some(10))), Refusal::Times);
        assert_eq!(refused(Incoming::default()), Refusal::NoLabels);
        let empty = Incoming { labels: [("a", "")].into_iter().collect(), ..Incoming::default() };
        assert_eq!(refused(empty), Refusal::NoLabels);
        let mut named = incoming(None, None);
        named.labels.insert("a-b", "c");
        assert_eq!(refused(named), Refusal::Label("a-b".into()));
        let mut large = incoming(None, None);
        large.annotations.insert("a", "x".repeat(100_000));
        assert!(matches!(refused(large), Refusal::TooLarge(_)));
        // As it is written, and not as it is read.
        let mut controls = incoming(None, None);
        controls.annotations.insert("a", "\u{1}".repeat(20_000));
        assert!(matches!(refused(controls), Refusal::TooLarge(120_000..)));
    }
}
