//! Whether a message goes now, and when what was held back does. Pure.
//!
//! Quiet hours come first: in them only what is severe enough goes. Then a digest, which everything waits for. Then the rate: what is above it
//! waits until there is room, and so does what comes behind it.

use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use quarterdeck_model::domain::delivery::{Day, DeliverySpec, QuietHours, RateLimit, TimeOfDay};
use quarterdeck_model::{Severity, Timestamp};
use std::fmt;

/// Why a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    QuietHours,
    Digest,
    RateLimit,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::QuietHours => "quiet hours",
            Reason::Digest => "gathered for a digest",
            Reason::RateLimit => "above the rate limit",
        })
    }
}

/// It waits, as far as is known until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub reason: Reason,
    pub until: Timestamp,
}

/// What happened to an instance lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// When messages were sent, the oldest first.
    pub sent: Vec<Timestamp>,
    /// Since when one is held back.
    pub held_since: Option<Timestamp>,
}

/// Whether a message that has just come waits.
pub fn arrival(spec: &DeliverySpec, severity: Severity, lately: &Lately, now: Timestamp) -> Option<Hold> {
    if let Some(until) = quiet_until(&spec.quiet_hours, severity, now) {
        return Some(Hold { reason: Reason::QuietHours, until });
    }
    if let Some(span) = spec.digest {
        let until = lately.held_since.unwrap_or(now).plus(span);
        return Some(Hold { reason: Reason::Digest, until });
    }
    let limit = spec.rate_limit.as_ref()?;
    let until = room_at(limit, &lately.sent, now);
    // What is held goes first: nothing overtakes it.
    (until > now || lately.held_since.is_some()).then_some(Hold { reason: Reason::RateLimit, until })
}

/// Whether what is held back goes on waiting. `since`: the oldest of it, `worst`: the most severe.
pub fn release(
    spec: &DeliverySpec,
    worst: Severity,
    since: Timestamp,
    sent: &[Timestamp],
    now: Timestamp,
) -> Option<Hold> {
    if let Some(until) = quiet_until(&spec.quiet_hours, worst, now) {
        return Some(Hold { reason: Reason::QuietHours, until });
    }
    let until = since.plus(spec.digest.unwrap_or_default());
    if until > now {
        return Some(Hold { reason: Reason::Digest, until });
    }
    let until = room_at(spec.rate_limit.as_ref()?, sent, now);
    (until > now).then_some(Hold { reason: Reason::RateLimit, until })
}

/// When one more message is within the rate: now, if it is already.
fn room_at(limit: &RateLimit, sent: &[Timestamp], now: Timestamp) -> Timestamp {
    let messages = usize::try_from(limit.messages.get()).unwrap_or(usize::MAX);
    let counted: Vec<Timestamp> = sent.iter().copied().filter(|at| at.plus(limit.per) > now).collect();
    let frees = counted.len().checked_sub(messages).and_then(|over| counted.get(over));
    frees.map_or(now, |at| at.plus(limit.per))
}

/// When the quiet hours are over that this severity does not break through: `None`, if it is in none. Hours that begin before others are
/// over lengthen them.
pub fn quiet_until(hours: &[QuietHours], severity: Severity, now: Timestamp) -> Option<Timestamp> {
    let mut until = now;
    // As many times as there are hours, each may go on where another ends; a week without an end in it ends somewhere.
    for _ in 0..=hours.len() * 7 {
        let holding = hours.iter().filter(|hours| hours.minimum_severity.is_none_or(|minimum| severity > minimum));
        let Some(end) = holding.filter_map(|hours| end_of(hours, until)).max().filter(|end| *end > until) else {
            break;
        };
        until = end;
    }
    (until > now).then_some(until)
}

/// When these hours are over, if they have begun.
fn end_of(hours: &QuietHours, now: Timestamp) -> Option<Timestamp> {
    let zone = hours.zone.0;
    let today = DateTime::<Utc>::from_timestamp_millis(now.as_millis())?.with_timezone(&zone).date_naive();
    // They may have begun yesterday.
    [today.checked_sub_days(Days::new(1))?, today]
        .into_iter()
        .filter_map(|day| span_from(hours, zone, day))
        .find_map(|(from, to)| (from <= now && now < to).then_some(to))
}

/// From the first time that clocks show `from` on this day to the last that they show `to`.
fn span_from(hours: &QuietHours, zone: Tz, day: NaiveDate) -> Option<(Timestamp, Timestamp)> {
    let weekday = usize::try_from(day.weekday().num_days_from_monday()).ok()?;
    let named = Day::ALL.get(weekday)?;
    if !hours.days.is_empty() && !hours.days.contains(named) {
        return None;
    }
    let last = if hours.to > hours.from { day } else { day.checked_add_days(Days::new(1))? };
    let (from, _) = moments(zone, day, hours.from)?;
    let (_, to) = moments(zone, last, hours.to)?;
    Some((from, to))
}

/// The first and the last moment at which clocks show it. One that they leap over is taken for the moment of the leap.
fn moments(zone: Tz, day: NaiveDate, time: TimeOfDay) -> Option<(Timestamp, Timestamp)> {
    let local: NaiveDateTime = day.and_hms_opt(u32::from(time.hour), u32::from(time.minute), 0)?;
    // No leap is longer than a day; a step of a minute finds its end.
    for minutes in 0..=24 * 60 {
        let shown = zone.from_local_datetime(&local.checked_add_signed(Duration::minutes(minutes))?);
        if let (Some(first), Some(last)) = (shown.earliest(), shown.latest()) {
            let at = |moment: DateTime<Tz>| Timestamp::from_millis(moment.timestamp_millis());
            return Some((at(first), at(last)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Span;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn spec(value: Value) -> DeliverySpec {
        serde_json::from_value(value).unwrap()
    }

    /// When the quiet hours end that hold at `now`.
    fn check_quiet(hours: Value, severity: Severity, now: &str, expected: Option<&str>) {
        let spec = spec(json!({"quiet-hours": [hours]}));
        assert_eq!(quiet_until(&spec.quiet_hours, severity, at(now)), expected.map(at), "{now}");
    }

    fn nights() -> Value {
        json!({"from": "22:00", "to": "07:00", "zone": "Europe/Berlin", "minimum-severity": "critical"})
    }

    #[test]
    fn a_night_goes_on_into_the_next_day() {
        let end = Some("2026-01-14T06:00:00Z");
        check_quiet(nights(), Severity::High, "2026-01-13T20:59:59Z", None);
        check_quiet(nights(), Severity::High, "2026-01-13T21:00:00Z", end);
        check_quiet(nights(), Severity::High, "2026-01-14T05:59:59Z", end);
        check_quiet(nights(), Severity::High, "2026-01-14T06:00:00Z", None);
    }

    #[test]
    fn what_is_severe_enough_breaks_through() {
        check_quiet(nights(), Severity::Critical, "2026-01-14T01:00:00Z", None);
        let total = json!({"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"});
        check_quiet(total, Severity::Critical, "2026-01-14T01:00:00Z", Some("2026-01-14T06:00:00Z"));
    }

    #[test]
    fn a_night_belongs_to_the_day_that_it_begins_on() {
        // 2026-01-16 is a Friday.
        let hours = json!({"days": ["fri"], "from": "22:00", "to": "07:00"});
        check_quiet(hours.clone(), Severity::Info, "2026-01-17T03:00:00Z", Some("2026-01-17T07:00:00Z"));
        check_quiet(hours.clone(), Severity::Info, "2026-01-16T03:00:00Z", None);
        check_quiet(hours, Severity::Info, "2026-01-17T22:30:00Z", None);
    }

    #[test]
    fn hours_that_meet_are_one_stretch() {
        let weekend = json!({"days": ["sat", "sun"], "from": "00:00", "to": "00:00"});
        let nights = json!({"from": "22:00", "to": "07:00"});
        let spec = spec(json!({"quiet-hours": [weekend, nights]}));
        let until = quiet_until(&spec.quiet_hours, Severity::Info, at("2026-01-16T23:00:00Z"));
        assert_eq!(until, Some(at("2026-01-19T07:00:00Z")));
    }

    #[test]
    fn hours_that_never_end_do_not_keep_anybody_looking() {
        let spec = spec(json!({"quiet-hours": [{"from": "00:00", "to": "00:00"}]}));
        let until = quiet_until(&spec.quiet_hours, Severity::Info, at("2026-01-16T23:00:00Z")).unwrap();
        assert!(until > at("2026-01-17T00:00:00Z"));
    }

    #[test]
    fn where_clocks_change_a_night_begins_at_the_first_such_time_and_ends_at_the_last() {
        // In Berlin on 2025-10-26 the hour from 02:00 comes twice; on 2025-03-30 it does not come.
        let hours = json!({"from": "02:15", "to": "02:45", "zone": "Europe/Berlin"});
        check_quiet(hours.clone(), Severity::Info, "2025-10-26T00:15:00Z", Some("2025-10-26T01:45:00Z"));
        check_quiet(hours.clone(), Severity::Info, "2025-10-26T01:30:00Z", Some("2025-10-26T01:45:00Z"));
        check_quiet(hours, Severity::Info, "2025-03-30T01:00:00Z", None);
        let over = json!({"from": "22:00", "to": "02:30", "zone": "Europe/Berlin"});
        check_quiet(over, Severity::Info, "2025-03-29T23:00:00Z", Some("2025-03-30T01:00:00Z"));
    }

    fn lately(sent: &[i64], held_since: Option<i64>) -> Lately {
        let times = |millis: &i64| Timestamp::from_millis(*millis);
        Lately { sent: sent.iter().map(times).collect(), held_since: held_since.as_ref().map(times) }
    }

    fn hold(reason: Reason, until: i64) -> Option<Hold> {
        Some(Hold { reason, until: Timestamp::from_millis(until) })
    }

    #[test]
    fn what_is_above_the_rate_waits_until_the_oldest_is_forgotten() {
        let spec = spec(json!({"rate-limit": {"messages": 2, "per": "1s"}}));
        let arrives =
            |sent: &[i64], held, now| arrival(&spec, Severity::Info, &lately(sent, held), Timestamp::from_millis(now));
        assert_eq!(arrives(&[], None, 0), None);
        assert_eq!(arrives(&[0], None, 100), None);
        assert_eq!(arrives(&[0, 100], None, 200), hold(Reason::RateLimit, 1000));
        assert_eq!(arrives(&[0, 100, 150], None, 200), hold(Reason::RateLimit, 1100));
        assert_eq!(arrives(&[0, 100], None, 1000), None);
        // Nothing overtakes what is held.
        assert_eq!(arrives(&[0], Some(50), 100), hold(Reason::RateLimit, 100));
    }

    #[test]
    fn a_digest_is_told_when_its_first_message_has_waited_long_enough() {
        let spec = spec(json!({"digest": "5s"}));
        let now = Timestamp::from_millis(3000);
        assert_eq!(arrival(&spec, Severity::Critical, &lately(&[], None), now), hold(Reason::Digest, 8000));
        assert_eq!(arrival(&spec, Severity::Critical, &lately(&[], Some(1000)), now), hold(Reason::Digest, 6000));
        let released =
            |now| release(&spec, Severity::Info, Timestamp::from_millis(1000), &[], Timestamp::from_millis(now));
        assert_eq!(released(5999), hold(Reason::Digest, 6000));
        assert_eq!(released(6000), None);
    }

    #[test]
    fn a_digest_respects_the_night_and_the_rate() {
        let spec =
            spec(json!({"digest": "1m", "rate-limit": {"messages": 1, "per": "10m"}, "quiet-hours": [nights()]}));
        let since = at("2026-01-13T20:59:30Z");
        let now = at("2026-01-13T21:00:30Z");
        let night = Some(Hold { reason: Reason::QuietHours, until: at("2026-01-14T06:00:00Z") });
        assert_eq!(release(&spec, Severity::High, since, &[], now), night);
        assert_eq!(release(&spec, Severity::Critical, since, &[], now), None);
        let morning = at("2026-01-14T06:00:00Z");
        let sent = [morning.minus(Span::from_secs(60))];
        let rate = Some(Hold { reason: Reason::RateLimit, until: at("2026-01-14T06:09:00Z") });
        assert_eq!(release(&spec, Severity::High, since, &sent, morning), rate);
    }

    #[test]
    fn without_settings_nothing_waits() {
        let spec = DeliverySpec::default();
        let now = Timestamp::from_millis(1000);
        assert_eq!(arrival(&spec, Severity::Info, &lately(&[0; 100], Some(0)), now), None);
        assert_eq!(release(&spec, Severity::Info, now, &[], now), None);
    }
}
