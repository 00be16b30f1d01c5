//! Times that come again: intervals of the week and the year, and planned work. Pure.
//!
//! - A moment is in an interval if it fits everything that the interval says, by the clocks of its zone.
//! - Days of the month may be counted from its end; a range that the month does not have ends with the month.
//! - Planned work goes on for its duration after each time of its cron expression, or as long as one of its intervals does.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use quarterdeck_model::domain::alerting::{
    AlertingSpec, MaintenanceMode, MaintenanceSpec, Matcher, TimeInterval, all_match,
};
use quarterdeck_model::domain::job::{JobSpec, Schedule};
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::plan::Timetable;
use std::collections::BTreeMap;

/// Both ends are in it.
type Range = (i64, i64);

/// An interval that can be read.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Minutes of the day; the end is not in it.
    times: Vec<Range>,
    weekdays: Vec<Range>,
    days_of_month: Vec<Range>,
    months: Vec<Range>,
    years: Vec<Range>,
    zone: Tz,
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// What is wrong with a part: its key, its place in the list, and why.
pub type Mistake = (String, String);

impl Interval {
    /// # Errors
    /// A pointer to the part that can't be read, and what is wrong with it.
    pub fn new(spec: &TimeInterval) -> Result<Self, Mistake> {
        let zone = match &spec.location {
            None => Tz::UTC,
            Some(name) => name.parse().map_err(|_| ("/location".to_owned(), format!("there is no zone `{name}`")))?,
        };
        let ranges = |key: &str, texts: &[String], read: &dyn Fn(&str) -> Option<i64>, expected: &str| {
            let each = texts.iter().enumerate().map(|(index, text)| {
                let wrong = || (format!("/{key}/{index}"), format!("expected {expected}, found {text:?}"));
                let (from, to) = text.split_once(':').unwrap_or((text, text));
                match (read(&from.trim().to_lowercase()), read(&to.trim().to_lowercase())) {
                    (Some(from), Some(to)) if from <= to || (from > 0 && to < 0) => Ok((from, to)),
                    _ => Err(wrong()),
                }
            });
            each.collect::<Result<Vec<Range>, Mistake>>()
        };
        let within = |from: i64, to: i64| move |text: &str| text.parse().ok().filter(|n| (from..=to).contains(n));
        let named = |names: &'static [&'static str], first: i64| {
            move |text: &str| {
                let by_name = names.iter().zip(first..).find(|(name, _)| **name == text).map(|(_, number)| number);
                by_name.or_else(|| text.parse().ok().filter(|n| first == 1 && (1..=12).contains(n)))
            }
        };
        let day = |text: &str| text.parse().ok().filter(|n: &i64| (1..=31).contains(&n.abs()));
        let times = spec.times.iter().enumerate().map(|(index, time)| {
            let wrong =
                || (format!("/times/{index}"), "expected times such as `09:00`, the first one earlier".to_owned());
            match (minute(&time.start_time), minute(&time.end_time)) {
                (Some(from), Some(to)) if from < to => Ok((from, to)),
                _ => Err(wrong()),
            }
        });
        Ok(Interval {
            times: times.collect::<Result<_, _>>()?,
            weekdays: ranges("weekdays", &spec.weekdays, &named(&WEEKDAYS, 0), "days such as `monday:friday`")?,
            days_of_month: ranges("days-of-month", &spec.days_of_month, &day, "days such as `1:5` or `-3:-1`")?,
            months: ranges("months", &spec.months, &named(&MONTHS, 1), "months such as `january:march` or `1:3`")?,
            years: ranges("years", &spec.years, &within(1970, 9999), "years such as `2026:2028`")?,
            zone,
        })
    }

    pub fn holds(&self, at: Timestamp) -> bool {
        let Some(utc) = DateTime::<Utc>::from_timestamp_millis(at.as_millis()) else { return false };
        let local = utc.with_timezone(&self.zone);
        let fits = |ranges: &[Range], value: i64| {
            ranges.is_empty() || ranges.iter().any(|(from, to)| (*from..=*to).contains(&value))
        };
        let minute = i64::from(local.hour() * 60 + local.minute());
        let in_times = self.times.is_empty() || self.times.iter().any(|(from, to)| (*from..*to).contains(&minute));
        let weekday = i64::from(local.weekday().num_days_from_sunday());
        let (day, length) = (i64::from(local.day()), days_in_month(local.year(), local.month()));
        let in_days = self.days_of_month.is_empty()
            || self.days_of_month.iter().any(|(from, to)| {
                let counted = |n: i64| if n < 0 { length + n + 1 } else { n };
                (counted(*from).max(1)..=counted(*to).min(length)).contains(&day)
            });
        in_times
            && in_days
            && fits(&self.weekdays, weekday)
            && fits(&self.months, i64::from(local.month()))
            && fits(&self.years, i64::from(local.year()))
    }
}

fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let two =
        |text: &str| text.parse::<i64>().ok().filter(|_| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()));
    let (hour, minute) = (two(hour)?, two(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= 24 * 60).then_some(minutes)
}

fn days_in_month(year: i32, month: u32) -> i64 {
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let last = NaiveDate::from_ymd_opt(year, month, 1).and_then(|first| first.pred_opt());
    last.map_or(31, |last| i64::from(last.day()))
}

// The order of days is chrono's; a week here begins as Alertmanager's does.
const _: () = assert!(Weekday::Sun.num_days_from_sunday() == 0);

/// Intervals by name.
pub type Intervals = BTreeMap<String, Vec<Interval>>;

/// The intervals that can be read.
pub fn intervals(spec: &AlertingSpec) -> Intervals {
    let each = spec.time_intervals.iter();
    each.map(|(name, parts)| (name.clone(), parts.iter().filter_map(|part| Interval::new(part).ok()).collect()))
        .collect()
}

/// Whether one of those intervals holds, and which.
pub fn holding<'a>(intervals: &Intervals, names: &'a [String], at: Timestamp) -> Option<&'a str> {
    let holds = |name: &&'a String| intervals.get(*name).is_some_and(|parts| parts.iter().any(|part| part.holds(at)));
    names.iter().find(holds).map(String::as_str)
}

/// Planned work.
#[derive(Clone, Debug)]
pub struct Window {
    pub spec: MaintenanceSpec,
    times: Option<Timetable>,
}

/// It goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// When it began, where that follows from its cron expression.
    pub since: Option<Timestamp>,
    /// When it ends, likewise.
    pub until: Option<Timestamp>,
}

impl Window {
    /// # Errors
    /// A pointer to the part that can't be read, and what is wrong with it.
    pub fn new(name: &str, spec: &MaintenanceSpec) -> Result<Self, Mistake> {
        let wrong = |pointer: &str, message: &str| (pointer.to_owned(), message.to_owned());
        let times = match (&spec.cron, spec.duration) {
            (Some(expression), Some(duration)) if duration > Span::ZERO => {
                let zone = spec.zone.clone().unwrap_or_else(|| "UTC".to_owned());
                let schedule = Schedule::Cron { expression: expression.clone(), zone };
                let job = JobSpec { schedule, at_start: false, ..JobSpec::every(name, Span::from_secs(60)) };
                Some(Timetable::new(&job).map_err(|error| ("/cron".to_owned(), error.to_string()))?)
            }
            (Some(_), _) => return Err(wrong("", "`cron` says when it begins; expected `duration` as well")),
            (None, _) if spec.time_intervals.is_empty() => {
                return Err(wrong("", "expected `cron` and `duration`, or `time-intervals`"));
            }
            (None, _) => None,
        };
        Ok(Window { spec: spec.clone(), times })
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        all_match(&self.spec.matchers, labels)
    }

    pub fn open(&self, intervals: &Intervals, at: Timestamp) -> Option<Open> {
        if let (Some(times), Some(duration)) = (&self.times, self.spec.duration) {
            // The last beginning that is not over yet: later ones lengthen it.
            let mut begun = times.next_after(at.minus(duration)).filter(|first| *first <= at)?;
            let since = begun;
            while let Some(next) = times.next_after(begun).filter(|next| *next <= at) {
                begun = next;
            }
            return Some(Open { since: Some(since), until: Some(begun.plus(duration)) });
        }
        holding(intervals, &self.spec.time_intervals, at).map(|_| Open { since: None, until: None })
    }

    pub fn consolidates(&self) -> bool {
        self.spec.mode == MaintenanceMode::Consolidate
    }

    pub fn matchers(&self) -> &[Matcher] {
        &self.spec.matchers
    }
}

/// Planned work that can be read, by name.
pub fn windows(spec: &AlertingSpec) -> BTreeMap<String, Window> {
    let readable = |(name, spec): (&String, &MaintenanceSpec)| Some((name.clone(), Window::new(name, spec).ok()?));
    spec.maintenance.iter().filter_map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn check(spec: Value, moments: &[(&str, bool)]) {
        let interval = Interval::new(&serde_json::from_value(spec.clone()).unwrap()).unwrap();
        for (at, expected) in moments {
            assert_eq!(interval.holds(time(at)), *expected, "{spec} {at}");
        }
    }

    #[test]
    fn a_moment_fits_everything_that_an_interval_says() {
        let office = json!({"weekdays": ["monday:friday"], "times": [{"start-time": "09:00", "end-time": "17:00"}]});
        check(
            office,
            &[
                ("2025-11-24T09:00:00Z", true),
                ("2025-11-24T08:59:59Z", false),
                ("2025-11-24T16:59:59Z", true),
                ("2025-11-24T17:00:00Z", false),
                ("2025-11-23T12:00:00Z", false),
            ],
        );
        check(json!({}), &[("2025-11-24T09:00:00Z", true)]);
        check(
            json!({"weekdays": ["Saturday", "sunday"]}),
            &[("2025-11-23T12:00:00Z", true), ("2025-11-24T12:00:00Z", false)],
        );
        check(
            json!({"months": ["november:december"], "years": ["2025"]}),
            &[("2025-11-24T12:00:00Z", true), ("2026-11-24T12:00:00Z", false), ("2025-10-24T12:00:00Z", false)],
        );
        check(json!({"months": ["1:3"]}), &[("2025-02-24T12:00:00Z", true), ("2025-04-24T12:00:00Z", false)]);
        check(json!({"times": [{"start-time": "22:00", "end-time": "24:00"}]}), &[("2025-02-24T23:59:00Z", true)]);
    }

    #[test]
    fn days_are_counted_from_the_end_of_the_month_too() {
        check(
            json!({"days-of-month": ["-1"]}),
            &[("2024-02-29T12:00:00Z", true), ("2024-02-28T12:00:00Z", false), ("2025-02-28T12:00:00Z", true)],
        );
        check(json!({"days-of-month": ["28:-1"]}), &[("2025-11-29T12:00:00Z", true), ("2025-11-27T12:00:00Z", false)]);
        check(json!({"days-of-month": ["30:31"]}), &[("2025-02-28T12:00:00Z", false)]);
    }

    #[test]
    fn an_interval_goes_by_the_clocks_of_its_zone() {
        let spec = json!({"times": [{"start-time": "09:00", "end-time": "10:00"}], "location": "Europe/Berlin"});
        check(spec, &[("2025-01-10T08:30:00Z", true), ("2025-07-10T07:30:00Z", true), ("2025-07-10T08:30:00Z", false)]);
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let wrong = |spec: Value| Interval::new(&serde_json::from_value(spec).unwrap()).unwrap_err().0;
        assert_eq!(wrong(json!({"weekdays": ["monday", "someday"]})), "/weekdays/1");
        assert_eq!(wrong(json!({"weekdays": ["friday:monday"]})), "/weekdays/0");
        assert_eq!(wrong(json!({"times": [{"start-time": "9:00", "end-time": "10:00"}]})), "/times/0");
        assert_eq!(wrong(json!({"times": [{"start-time": "10:00", "end-time": "09:00"}]})), "/times/0");
        assert_eq!(wrong(json!({"days-of-month": ["0"]})), "/days-of-month/0");
        assert_eq!(wrong(json!({"months": ["13"]})), "/months/0");
        assert_eq!(wrong(json!({"years": ["-5"]})), "/years/0");
        assert_eq!(wrong(json!({"location": "Mars"})), "/location");
    }

    #[test]
    fn planned_work_goes_on_for_its_duration_after_each_beginning() {
        let spec = json!({"cron": "0 2 * * *", "zone": "Europe/Berlin", "duration": "1h"});
        let window = Window::new("backup", &serde_json::from_value(spec).unwrap()).unwrap();
        let open = |at: &str| window.open(&Intervals::new(), time(at));
        assert_eq!(open("2025-01-10T00:59:59Z"), None);
        let expected = Open { since: Some(time("2025-01-10T01:00:00Z")), until: Some(time("2025-01-10T02:00:00Z")) };
        assert_eq!(open("2025-01-10T01:00:00Z"), Some(expected));
        assert_eq!(open("2025-01-10T01:59:59.999Z"), Some(expected));
        assert_eq!(open("2025-01-10T02:00:00Z"), None);
        assert!(open("2025-07-10T00:30:00Z").is_some(), "by the clocks of its zone");
    }

    #[test]
    fn planned_work_can_follow_intervals() {
        let spec = json!({"time-intervals": {"weekends": [{"weekdays": ["saturday", "sunday"]}]},
            "maintenance": {"quiet": {"time-intervals": ["weekends"], "matchers": ["team=db"]}}});
        let spec: AlertingSpec = serde_json::from_value(spec).unwrap();
        let (intervals, windows) = (intervals(&spec), windows(&spec));
        assert!(windows["quiet"].open(&intervals, time("2025-11-23T12:00:00Z")).is_some());
        assert_eq!(windows["quiet"].open(&intervals, time("2025-11-24T12:00:00Z")), None);
        assert!(!windows["quiet"].matches(&Labels::new()));
        for bad in [json!({}), json!({"cron": "0 2 * * *"}), json!({"cron": "x", "duration": "1h"})] {
            assert!(Window::new("x", &serde_json::from_value(bad).unwrap()).is_err());
        }
    }
}
