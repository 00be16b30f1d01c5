//! The agenda in virtual time.

use super::*;
use quarterdeck_model::domain::job::Schedule;

const START: i64 = 1_763_942_400_000;

fn ms(after_start: i64) -> Timestamp {
    Timestamp::from_millis(START + after_start)
}

fn every(name: &str, seconds: u64) -> JobSpec {
    JobSpec { at_start: false, ..JobSpec::every(name, Span::from_secs(seconds)) }
}

fn cron(name: &str, expression: &str) -> JobSpec {
    let schedule = Schedule::Cron { expression: expression.to_owned(), zone: "UTC".to_owned() };
    JobSpec { schedule, ..every(name, 1) }
}

fn agenda(specs: impl IntoIterator<Item = JobSpec>) -> Agenda<()> {
    let mut agenda = Agenda::new(1000);
    for spec in specs {
        agenda.set(spec, (), None, ms(0)).unwrap();
    }
    agenda
}

/// Moves the time to `now`; every run that starts there ends at once. Gives the planned times, from the start.
fn run(agenda: &mut Agenda<()>, now: i64) -> Vec<i64> {
    let starts = agenda.take_due(ms(now));
    starts
        .into_iter()
        .map(|start| {
            agenda.finished(start.key, Span::ZERO, Ok(()));
            start.planned.as_millis() - START
        })
        .collect()
}

/// Goes from wake to wake until `end`; gives `(when, planned)` of every run.
fn simulate(agenda: &mut Agenda<()>, end: i64) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    while let Some(wake) = agenda.next_wake() {
        let now = wake.as_millis() - START;
        if now > end {
            break;
        }
        all.extend(run(agenda, now).into_iter().map(|planned| (now, planned)));
    }
    all
}

#[test]
fn a_job_runs_at_every_planned_time() {
    let mut agenda = agenda([every("a", 15)]);
    assert_eq!(simulate(&mut agenda, 60_000), [(15_000, 15_000), (30_000, 30_000), (45_000, 45_000), (60_000, 60_000)]);
    let status = agenda.status("a").unwrap();
    assert_eq!((status.runs, status.missed, status.next_run), (4, 0, Some(ms(75_000))));
}

#[test]
fn a_run_at_start_comes_first_and_the_next_one_not_right_behind_it() {
    for (started, expected) in [(1_000, [1_000, 15_000]), (14_000, [14_000, 30_000])] {
        let mut agenda: Agenda<()> = Agenda::new(10);
        agenda.set(JobSpec::every("a", Span::from_secs(15)), (), None, ms(started)).unwrap();
        let times: Vec<i64> = simulate(&mut agenda, started + 20_000).into_iter().map(|(now, _)| now).collect();
        assert_eq!(times, expected);
    }
}

#[test]
fn setting_a_job_again_keeps_its_phase_and_its_counters() {
    let mut agenda = agenda([]);
    let spec = JobSpec::every("a", Span::from_secs(15));
    agenda.set(spec.clone(), (), None, ms(0)).unwrap();
    run(&mut agenda, 0);
    let next = agenda.status("a").unwrap().next_run;
    agenda.set(JobSpec { concurrency: 3, ..spec.clone() }, (), None, ms(7_000)).unwrap();
    let status = agenda.status("a").unwrap();
    assert_eq!((status.next_run, status.runs, status.spec.concurrency), (next, 1, 3));
    agenda.set(JobSpec::every("a", Span::from_secs(60)), (), None, ms(7_000)).unwrap();
    assert_eq!(agenda.status("a").unwrap().next_run, Some(ms(60_000)));
    assert_eq!(
        agenda.set(JobSpec { concurrency: 0, ..spec }, (), None, ms(0)),
        Err(Error::Concurrency { job: "a".to_owned() })
    );
    assert_eq!(agenda.status("a").unwrap().next_run, Some(ms(60_000)), "what was set before stays");
}

#[test]
fn a_job_that_still_runs_is_not_started_again_and_the_run_counts_as_missed() {
    let mut agenda = agenda([every("a", 15)]);
    let first = agenda.take_due(ms(15_000)).remove(0);
    assert!(agenda.take_due(ms(30_000)).is_empty());
    assert_eq!(agenda.status("a").unwrap().missed, 1);
    agenda.finished(first.key, Span::from_secs(20), Err("slow".to_owned()));
    assert_eq!(run(&mut agenda, 45_000), [45_000]);
    let status = agenda.status("a").unwrap();
    assert_eq!((status.failures, status.last_error), (1, None));
}

#[test]
fn as_many_runs_as_the_concurrency_allows_overlap() {
    let mut agenda = agenda([JobSpec { concurrency: 2, ..every("a", 15) }]);
    assert_eq!(agenda.take_due(ms(15_000)).len(), 1);
    assert_eq!(agenda.take_due(ms(30_000)).len(), 1);
    assert_eq!(agenda.take_due(ms(45_000)).len(), 0);
}

#[test]
fn run_once_makes_up_for_all_runs_missed_while_busy_with_one() {
    let mut agenda = agenda([JobSpec { missed: Missed::RunOnce, ..every("a", 15) }]);
    let first = agenda.take_due(ms(15_000)).remove(0);
    assert!(agenda.take_due(ms(30_000)).is_empty());
    assert!(agenda.take_due(ms(45_000)).is_empty());
    assert!(agenda.finished(first.key, Span::ZERO, Ok(())), "another one may start");
    assert_eq!(run(&mut agenda, 46_000), [30_000]);
    assert_eq!(run(&mut agenda, 47_000), [] as [i64; 0]);
    assert_eq!(agenda.status("a").unwrap().missed, 1);
}

#[test]
fn a_host_that_slept_leaves_missed_runs_out_or_makes_up_for_them_once() {
    let day = cron("daily", "0 1 * * *");
    let mut agenda = agenda([
        every("skip", 15),
        JobSpec { missed: Missed::RunOnce, ..every("once", 15) },
        day.clone(),
        JobSpec { name: "daily-once".to_owned(), missed: Missed::RunOnce, ..day },
    ]);
    // Woken at 03:20:07, the plan of all four is long past.
    let now = 3 * 3_600_000 + 20 * 60_000 + 7_000;
    let started = agenda.take_due(ms(now)).len();
    assert_eq!(started, 2);
    let missed = |name: &str| agenda.status(name).unwrap().missed;
    assert_eq!([missed("skip"), missed("once"), missed("daily"), missed("daily-once")], [800, 799, 1, 0]);
    assert_eq!(agenda.status("skip").unwrap().next_run, Some(ms(now + 8_000)));
}

#[test]
fn a_little_late_is_not_missed() {
    let mut agenda = agenda([every("a", 15), cron("c", "* * * * *")]);
    assert_eq!(run(&mut agenda, 19_000), [15_000]);
    assert_eq!(agenda.take_due(ms(60_900)).len(), 2);
    assert_eq!(agenda.status("a").unwrap().missed, 2, "30 s and 45 s; the one of 60 s is on time");
}

#[test]
fn what_fell_due_while_the_daemon_was_down_is_made_up_for_by_run_once_only() {
    let last = Some(ms(-3_600_000));
    for (missed, runs, left_out) in [(Missed::Skip, 0, 2), (Missed::RunOnce, 1, 1)] {
        let mut agenda: Agenda<()> = Agenda::new(10);
        let spec = JobSpec { missed, ..cron("a", "5,35 * * * *") };
        agenda.set(spec, (), last, ms(-60_000)).unwrap();
        assert_eq!(agenda.take_due(ms(-60_000)).len(), runs);
        assert_eq!(agenda.status("a").unwrap().missed, left_out);
        assert_eq!(agenda.status("a").unwrap().next_run, Some(ms(5 * 60_000)));
    }
}

#[test]
fn no_more_than_the_hosts_slots_run_and_the_longest_waiting_is_next() {
    let mut agenda: Agenda<()> = Agenda::new(2);
    for (name, seconds) in [("a", 10), ("b", 11), ("c", 12)] {
        agenda.set(every(name, seconds), (), None, ms(0)).unwrap();
    }
    let started = agenda.take_due(agenda.status("a").unwrap().next_run.unwrap().plus(Span::from_secs(9)));
    assert_eq!((started.len(), agenda.running(), agenda.queued()), (2, 2, 1));
    assert!(agenda.finished(started[0].key, Span::ZERO, Ok(())));
    assert_eq!(agenda.take_due(ms(20_000)).len(), 1);
    assert_eq!((agenda.running(), agenda.queued()), (2, agenda.queued()));
}

#[test]
fn run_now_runs_beside_the_timetable() {
    let mut agenda = agenda([every("a", 15)]);
    agenda.run_now("a", ms(1_000)).unwrap();
    let start = agenda.take_due(ms(1_000)).remove(0);
    assert_eq!(agenda.run_now("a", ms(1_001)), Err(Error::Busy { job: "a".to_owned(), running: 1 }));
    agenda.finished(start.key, Span::ZERO, Ok(()));
    assert_eq!(run(&mut agenda, 15_000), [15_000]);
    assert_eq!(agenda.run_now("b", ms(0)), Err(Error::Unknown { job: "b".to_owned() }));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_jobs() {
    let mut agenda = agenda([every("a", 15), cron("daily", "30 0 * * *"), cron("quarter", "*/15 * * * *")]);
    simulate(&mut agenda, 3_600_000);
    let back = 3_600_000 - 50 * 60_000;
    assert!(run(&mut agenda, back).is_empty());
    assert_eq!(agenda.status("a").unwrap().next_run, Some(ms(back + 15_000)));
    let cron_runs = |agenda: &Agenda<()>, name: &str| agenda.status(name).unwrap().runs;
    let before = (cron_runs(&agenda, "daily"), cron_runs(&agenda, "quarter"));
    simulate(&mut agenda, 3_600_000);
    assert_eq!(
        (cron_runs(&agenda, "daily"), cron_runs(&agenda, "quarter")),
        before,
        "not twice at the same planned times"
    );
    assert_eq!(agenda.status("daily").unwrap().next_run, Some(ms(86_400_000 + 30 * 60_000)));
    // By more than three hours it is another time altogether.
    let long = -30 * 86_400_000;
    run(&mut agenda, long);
    assert_eq!(agenda.status("daily").unwrap().next_run, Some(ms(long + 30 * 60_000)));
}

#[test]
fn a_clock_that_is_set_forward_does_not_start_everything_at_once() {
    let mut agenda =
        agenda((0..1000).map(|i| JobSpec { jitter: Span::from_secs(15), ..every(&format!("job/{i}"), 15) }));
    let started = run(&mut agenda, 86_400_000).len();
    assert!(started < 150, "{started} of 1000 started in one moment");
    assert_eq!(simulate(&mut agenda, 86_400_000 + 15_000).len(), 1000);
}

#[test]
fn a_removed_job_is_gone_and_its_last_run_ends_quietly() {
    let mut agenda = agenda([every("a", 15)]);
    let start = agenda.take_due(ms(15_000)).remove(0);
    assert!(agenda.remove("a"));
    assert!(!agenda.remove("a"));
    agenda.set(every("a", 15), (), None, ms(16_000)).unwrap();
    agenda.finished(start.key, Span::ZERO, Err("late".to_owned()));
    let status = agenda.status("a").unwrap();
    assert_eq!((status.failures, status.running, agenda.running()), (0, 0, 0));
}

#[test]
fn ten_thousand_jobs_over_an_hour_run_exactly_as_planned() {
    let mut agenda: Agenda<()> = Agenda::new(usize::MAX);
    for index in 0..10_000 {
        let spec = JobSpec { jitter: Span::from_secs(15), ..every(&format!("job/{index}"), 15) };
        agenda.set(spec, (), None, ms(0)).unwrap();
    }
    let runs = simulate(&mut agenda, 600_000);
    assert_eq!(runs.len(), 10_000 * 40);
    assert!(runs.iter().all(|(now, planned)| now == planned));
}
