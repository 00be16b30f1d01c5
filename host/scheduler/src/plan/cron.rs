//! Cron in a zone that puts its clocks forward and back.
//!
//! The expression is matched on the local calendar alone; what a local time means in UTC is decided here:
//! - a fixed time (one minute of one hour) that does not exist is planned for the first moment after the gap, and one that
//!   exists twice is planned once, the first time: a daily job runs once on every day;
//! - anything else (`*/15 * * * *`) goes by the clock on the wall: left out in the gap, repeated in the repeated hour.

use chrono::{DateTime, Days, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{Cron, JobType};

const DAY: i64 = 86_400;

/// The first second behind `time` (both seconds of UTC) at which the expression is due.
pub(super) fn next_after(cron: &Cron, tz: Tz, time: i64) -> Option<i64> {
    let local = local(tz, time)?;
    match cron.determine_job_type() {
        JobType::FixedTime => fixed(cron, tz, time, local),
        JobType::IntervalWildcard => wildcard(cron, tz, time, local),
    }
}

fn fixed(cron: &Cron, tz: Tz, time: i64, mut local: NaiveDateTime) -> Option<i64> {
    loop {
        local = next_local(cron, local, false)?;
        let due = match tz.from_local_datetime(&local).earliest() {
            Some(due) => due.timestamp(),
            None => gap_end(tz, local)?,
        };
        if due > time {
            return Some(due);
        }
    }
}

fn wildcard(cron: &Cron, tz: Tz, time: i64, local_now: NaiveDateTime) -> Option<i64> {
    let mut candidate = next_local(cron, local_now, false)?;
    let offset = offset_at(tz, time)?;
    // Only a change of the clock within a day can bring back local times that are past already.
    if offset_at(tz, time + DAY)? != offset {
        let change = change_between(tz, time, time + DAY)?;
        let due = candidate.and_utc().timestamp() - offset;
        if due < change {
            return Some(due);
        }
        candidate = next_local(cron, local(tz, change)?, true)?;
    }
    loop {
        let meant = tz.from_local_datetime(&candidate);
        let due = [meant.earliest(), meant.latest()].into_iter().flatten().map(|t| t.timestamp()).find(|t| *t > time);
        if due.is_some() {
            return due;
        }
        candidate = next_local(cron, candidate, false)?;
    }
}

/// The next match on the calendar, as if there were no zones.
fn next_local(cron: &Cron, local: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
    cron.find_next_occurrence(&local.and_utc(), inclusive).ok().map(|found| found.naive_utc())
}

fn local(tz: Tz, time: i64) -> Option<NaiveDateTime> {
    Some(DateTime::<Utc>::from_timestamp(time, 0)?.with_timezone(&tz).naive_local())
}

/// Seconds east of Greenwich.
fn offset_at(tz: Tz, time: i64) -> Option<i64> {
    let utc = DateTime::<Utc>::from_timestamp(time, 0)?.naive_utc();
    Some(i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
}

/// The first moment after the gap in which `local` would lie.
fn gap_end(tz: Tz, local: NaiveDateTime) -> Option<i64> {
    let before = tz.from_local_datetime(&local.checked_sub_days(Days::new(1))?).earliest()?;
    let after = tz.from_local_datetime(&local.checked_add_signed(TimeDelta::days(1))?).earliest()?;
    change_between(tz, before.timestamp(), after.timestamp())
}

/// The first second of the new offset, where the offset changes once between the two.
fn change_between(tz: Tz, mut before: i64, mut after: i64) -> Option<i64> {
    let offset = offset_at(tz, before)?;
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_at(tz, middle)? == offset {
            before = middle;
        } else {
            after = middle;
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, Timelike};
    use croner::parser::CronParser;

    /// Compares with a walk over every minute of UTC from `from` on, for `days` days: due is whatever the clock on the wall
    /// shows, in both passes of a repeated hour.
    fn check(zone: Tz, expression: &str, from: &str, days: i64, wanted: impl Fn(u32, u32) -> bool) {
        let cron = CronParser::new().parse(expression).unwrap();
        let start = DateTime::parse_from_rfc3339(from).unwrap().timestamp();
        let end = start + days * DAY;
        let due = |time: &i64| {
            let local = local(zone, *time).unwrap();
            local.second() == 0 && wanted(local.hour(), local.minute())
        };
        let expected: Vec<i64> = (start + 1..=end).filter(|time| time % 60 == 0).filter(due).collect();
        let (mut time, mut found) = (start, Vec::new());
        while let Some(next) = next_after(&cron, zone, time).filter(|next| *next <= end) {
            assert!(next > time, "{expression} in {zone} stands still at {time}");
            found.push(next);
            time = next;
        }
        assert_eq!(found, expected, "{expression} in {zone} from {from}");
        // The same from any moment between two planned times.
        for pair in expected.windows(2) {
            let middle = pair[0] + (pair[1] - pair[0]) / 2;
            assert_eq!(next_after(&cron, zone, middle), Some(pair[1]), "{expression} in {zone} from {middle}");
        }
    }

    const CHANGES: [(Tz, &str); 8] = [
        (chrono_tz::Europe::Berlin, "2025-03-29T12:00:00Z"),
        (chrono_tz::Europe::Berlin, "2025-10-25T12:00:00Z"),
        (chrono_tz::America::New_York, "2025-03-08T12:00:00Z"),
        (chrono_tz::America::New_York, "2025-11-01T12:00:00Z"),
        // By half an hour, on the other half of the year.
        (chrono_tz::Australia::Lord_Howe, "2025-04-04T12:00:00Z"),
        (chrono_tz::Australia::Lord_Howe, "2025-10-03T12:00:00Z"),
        // At midnight.
        (chrono_tz::America::Santiago, "2025-04-05T12:00:00Z"),
        (chrono_tz::America::Santiago, "2025-09-06T12:00:00Z"),
    ];

    #[test]
    fn a_repeating_expression_goes_by_the_clock_on_the_wall_in_every_zone() {
        for (zone, from) in CHANGES {
            check(zone, "*/15 * * * *", from, 3, |_, minute| minute % 15 == 0);
            check(zone, "7 * * * *", from, 3, |_, minute| minute == 7);
            check(zone, "*/20 0-3 * * *", from, 3, |hour, minute| hour <= 3 && minute % 20 == 0);
            check(zone, "0,30 1,2 * * *", from, 3, |hour, minute| (hour == 1 || hour == 2) && minute % 30 == 0);
        }
    }

    #[test]
    fn a_fixed_time_comes_once_on_every_day_in_every_zone() {
        for (zone, from) in CHANGES {
            for (hour, minute) in [(0, 0), (0, 30), (1, 30), (1, 45), (2, 0), (2, 15), (3, 0), (12, 0), (23, 30)] {
                let cron = CronParser::new().parse(&format!("{minute} {hour} * * *")).unwrap();
                let mut time = DateTime::parse_from_rfc3339(from).unwrap().timestamp();
                let mut days = Vec::new();
                for _ in 0..4 {
                    time = next_after(&cron, zone, time).unwrap();
                    days.push(local(zone, time).unwrap().day());
                }
                let mut once = days.clone();
                once.dedup();
                assert_eq!(days, once, "{hour}:{minute} in {zone} from {from}");
                let span = time - DateTime::parse_from_rfc3339(from).unwrap().timestamp();
                assert!(span <= 4 * DAY + 3600, "{hour}:{minute} in {zone} left out a day");
            }
        }
    }
}
