//! The timetable of one job: at which times is it planned? Pure; the time is handed in.
//!
//! An interval's planned times are the multiples of the interval since 1970, plus the job's share of the jitter: the same in
//! every run of the daemon, whenever it was started. A cron job's are the times of its expression in its zone, plus the jitter.

mod cron;

use crate::Error;
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use quarterdeck_model::domain::job::{JobSpec, Schedule};
use quarterdeck_model::{Span, Timestamp};
use std::str::FromStr;

/// Planned times that passed unnoticed are counted one by one up to here only.
const COUNTED: u64 = 1000;

const SHORTEST: Span = Span::from_millis(10);

/// A first run "right away" is spread over this much at most.
const START_SPREAD_MS: u64 = 1000;

#[derive(Clone, Debug)]
enum Rhythm {
    Every(i64),
    Cron(Box<Cron>, Tz),
}

#[derive(Clone, Debug)]
pub struct Timetable {
    rhythm: Rhythm,
    /// This job's share of the jitter, milliseconds.
    offset: i64,
    start_offset: Span,
}

/// Planned times between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    pub count: u64,
    pub latest: Timestamp,
}

impl Timetable {
    /// # Errors
    /// The schedule can't be understood, or never falls due.
    pub fn new(spec: &JobSpec) -> Result<Self, Error> {
        let hash = spread(&spec.name);
        let jitter = spec.jitter.as_millis();
        let rhythm = match &spec.schedule {
            Schedule::Every(interval) if *interval < SHORTEST => {
                return Err(Error::Interval { job: spec.name.clone(), interval: *interval });
            }
            Schedule::Every(interval) => Rhythm::Every(signed(interval.as_millis())),
            Schedule::Cron { expression, zone } => {
                let tz = Tz::from_str(zone).map_err(|_| Error::Zone { job: spec.name.clone(), zone: zone.clone() })?;
                let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
                let cron = parser.parse(expression).map_err(|e| Error::Cron {
                    job: spec.name.clone(),
                    expression: expression.clone(),
                    reason: e.to_string(),
                })?;
                Rhythm::Cron(Box::new(cron), tz)
            }
        };
        let timetable = Timetable {
            rhythm,
            offset: signed(hash % (jitter.saturating_add(1))),
            start_offset: Span::from_millis(hash % (jitter.min(START_SPREAD_MS) + 1)),
        };
        match &spec.schedule {
            Schedule::Cron { expression, .. } if timetable.next_after(Timestamp::MIN).is_none() => {
                Err(Error::Never { job: spec.name.clone(), expression: expression.clone() })
            }
            _ => Ok(timetable),
        }
    }

    /// The first planned time behind `time`. `None`: there is none.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let base = time.as_millis().saturating_sub(self.offset);
        let next = match &self.rhythm {
            Rhythm::Every(interval) => base.div_euclid(*interval).checked_add(1)?.checked_mul(*interval)?,
            Rhythm::Cron(cron, tz) => cron::next_after(cron, *tz, base.div_euclid(1000))?.checked_mul(1000)?,
        };
        next.checked_add(self.offset).map(Timestamp::from_millis).filter(|next| *next <= Timestamp::MAX)
    }

    /// When a job that is to run at start runs: right away, but not all of them in the same millisecond.
    pub fn at_start(&self, now: Timestamp) -> Timestamp {
        now.plus(self.start_offset)
    }

    /// The first planned time behind a run at start: not so soon that the two are one upon the other.
    pub fn after_start(&self, started: Timestamp) -> Option<Timestamp> {
        match self.rhythm {
            Rhythm::Every(interval) => {
                self.next_after(Timestamp::from_millis(started.as_millis().saturating_add(interval / 2)))
            }
            Rhythm::Cron(..) => self.next_after(started),
        }
    }

    /// The planned times from `due`, which is one of them, to `now`. Counts up to a thousand of a cron job.
    pub fn passed(&self, due: Timestamp, now: Timestamp) -> Passed {
        match &self.rhythm {
            Rhythm::Every(interval) => {
                let further = now.as_millis().saturating_sub(due.as_millis()).max(0) / interval;
                Passed {
                    count: u64::try_from(further).unwrap_or(0) + 1,
                    latest: Timestamp::from_millis(due.as_millis() + further * interval),
                }
            }
            Rhythm::Cron(..) => {
                let mut passed = Passed { count: 1, latest: due };
                while passed.count < COUNTED {
                    match self.next_after(passed.latest) {
                        Some(next) if next <= now => passed = Passed { count: passed.count + 1, latest: next },
                        _ => break,
                    }
                }
                passed
            }
        }
    }

    /// How late the only run that is due may be until it counts as missed.
    pub fn grace(&self) -> Span {
        const MINUTE: i64 = 60_000;
        let millis = match self.rhythm {
            Rhythm::Every(interval) => interval.min(MINUTE),
            Rhythm::Cron(..) => MINUTE,
        };
        Span::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    pub(crate) const fn is_cron(&self) -> bool {
        matches!(self.rhythm, Rhythm::Cron(..))
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// An evenly spread number that is always the same for one name: FNV-1a with a finisher, since names differ in their last digit.
fn spread(name: &str) -> u64 {
    let mut hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::domain::job::Missed;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn cron(expression: &str, zone: &str) -> JobSpec {
        JobSpec {
            name: "job".to_owned(),
            schedule: Schedule::Cron { expression: expression.to_owned(), zone: zone.to_owned() },
            jitter: Span::ZERO,
            concurrency: 1,
            missed: Missed::Skip,
            at_start: false,
        }
    }

    /// Planned times behind `from`, one after the other.
    fn check(spec: &JobSpec, from: &str, expected: &[&str]) {
        let timetable = Timetable::new(spec).expect("a good schedule");
        let mut time = at(from);
        for wanted in expected {
            time = timetable.next_after(time).expect("a next time");
            assert_eq!(time, at(wanted), "behind {from}");
        }
    }

    #[test]
    fn an_interval_is_planned_at_its_multiples_whenever_the_daemon_was_started() {
        let spec = JobSpec::every("job", Span::from_secs(15));
        check(&spec, "2025-11-24T10:00:00Z", &["2025-11-24T10:00:15Z", "2025-11-24T10:00:30Z"]);
        check(&spec, "2025-11-24T10:00:07.123Z", &["2025-11-24T10:00:15Z"]);
        check(&spec, "2025-11-24T10:00:14.999Z", &["2025-11-24T10:00:15Z"]);
    }

    #[test]
    fn jitter_spreads_jobs_evenly_and_is_the_same_for_one_name() {
        let interval = Span::from_secs(15);
        let mut tenths = [0_u32; 10];
        for index in 0..10_000 {
            let spec = JobSpec { jitter: interval, ..JobSpec::every(format!("collect/{index}"), interval) };
            let first = Timetable::new(&spec).unwrap().next_after(Timestamp::from_millis(150_000)).unwrap();
            assert_eq!(Timetable::new(&spec).unwrap().next_after(Timestamp::from_millis(150_000)), Some(first));
            tenths[usize::try_from(first.as_millis() % 15_000).unwrap() / 1500] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_daily_job_keeps_its_local_time_over_both_changes_of_the_clock() {
        check(
            &cron("0 8 * * *", "Europe/Berlin"),
            "2025-03-29T00:00:00Z",
            &["2025-03-29T07:00:00Z", "2025-03-30T06:00:00Z", "2025-03-31T06:00:00Z"],
        );
        check(
            &cron("0 8 * * *", "Europe/Berlin"),
            "2025-10-25T00:00:00Z",
            &["2025-10-25T06:00:00Z", "2025-10-26T07:00:00Z", "2025-10-27T07:00:00Z"],
        );
    }

    #[test]
    fn a_time_that_the_spring_gap_swallows_runs_right_after_it() {
        check(
            &cron("30 2 * * *", "Europe/Berlin"),
            "2025-03-29T00:00:00Z",
            &["2025-03-29T01:30:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"],
        );
    }

    #[test]
    fn a_time_that_autumn_has_twice_runs_once() {
        check(
            &cron("30 2 * * *", "Europe/Berlin"),
            "2025-10-25T00:00:00Z",
            &["2025-10-25T00:30:00Z", "2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"],
        );
    }

    #[test]
    fn every_quarter_of_an_hour_goes_on_through_the_hour_that_autumn_repeats() {
        check(
            &cron("*/30 * * * *", "Europe/Berlin"),
            "2025-10-26T00:00:00Z",
            &["2025-10-26T00:30:00Z", "2025-10-26T01:00:00Z", "2025-10-26T01:30:00Z", "2025-10-26T02:00:00Z"],
        );
        check(
            &cron("*/30 * * * *", "Europe/Berlin"),
            "2025-03-30T00:30:00Z",
            &["2025-03-30T01:00:00Z", "2025-03-30T01:30:00Z"],
        );
    }

    #[test]
    fn the_last_day_of_a_month_and_leap_days_are_found() {
        check(&cron("0 0 L * *", "UTC"), "2024-02-01T00:00:00Z", &["2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"]);
        check(&cron("0 0 29 2 *", "UTC"), "2025-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
    }

    #[test]
    fn a_schedule_that_is_wrong_is_refused_with_a_hint() {
        let refused = |spec: JobSpec| Timetable::new(&spec).expect_err("a bad schedule").to_string();
        let message = refused(cron("61 * * * *", "UTC"));
        assert!(message.starts_with("job `job`: `61 * * * *` is not a cron expression: "), "{message}");
        assert!(message.contains("hint: five fields"), "{message}");
        let seconds = refused(cron("*/5 * * * * *", "UTC"));
        assert!(seconds.contains("is not a cron expression"), "{seconds}");
        assert_eq!(
            refused(cron("0 * * * *", "Berlin")),
            "job `job`: `Berlin` is not a time zone; hint: write an IANA name such as `UTC` or `Europe/Berlin`"
        );
        assert_eq!(
            refused(cron("0 0 30 2 *", "UTC")),
            "job `job`: `0 0 30 2 *` never falls due; hint: is there such a day in any month?"
        );
        assert!(refused(JobSpec::every("job", Span::ZERO)).contains("the shortest is 10ms"));
    }

    #[test]
    fn planned_times_that_passed_are_counted() {
        let minutely = Timetable::new(&cron("* * * * *", "UTC")).unwrap();
        let passed = minutely.passed(at("2025-11-24T10:00:00Z"), at("2025-11-24T10:03:30Z"));
        assert_eq!(passed, Passed { count: 4, latest: at("2025-11-24T10:03:00Z") });
        let every = Timetable::new(&JobSpec::every("job", Span::from_secs(15))).unwrap();
        let passed = every.passed(at("2025-11-24T10:00:00Z"), at("2025-11-24T10:01:05Z"));
        assert_eq!(passed, Passed { count: 5, latest: at("2025-11-24T10:01:00Z") });
    }
}
