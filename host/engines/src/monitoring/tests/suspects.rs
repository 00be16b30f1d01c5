//! Series that make a detector misbehave.

use super::*;
use crate::monitoring::suspects::{AGAIN, LIMITED};
use std::sync::{Arc, Mutex};

/// Abnormal is what is above 90; the detector traps over what is below zero. Which hosts each call was about.
fn fragile() -> (Fake, Arc<Mutex<Vec<Vec<String>>>>) {
    let (fake, calls) = (Fake::default(), Arc::new(Mutex::new(Vec::new())));
    let asked = calls.clone();
    fake.with(|fake| {
        fake.detect = Some(Box::new(move |window, state| {
            let hosts = window.series.iter().map(|series| series.labels.get("host").unwrap().to_owned());
            asked.lock().unwrap().push(hosts.collect());
            let last = |series: &quarterdeck_model::series::SeriesData| *series.values.last().unwrap();
            if window.series.iter().any(|series| last(series) < 0.0) {
                return Err(CallError::Trapped { reason: "below zero".into() });
            }
            let signals = window.series.iter().enumerate().filter(|(_, series)| last(series) > 90.0);
            let signals = signals.map(|(index, series)| Signal {
                series: index,
                severity: Severity::High,
                value: last(series),
                expected: None,
                reason: "> 90".into(),
            });
            let count = state.map_or(0, |state| state[0]);
            Ok(Verdict { signals: signals.collect(), state: Some(vec![count + 1]), ..Verdict::default() })
        }));
    });
    (fake, calls)
}

/// The rule's job has run, about nothing, and does not run again within the hour.
async fn begun(calls: &Mutex<Vec<Vec<String>>>) {
    until("the first run", || !calls.lock().unwrap().is_empty()).await;
    calls.lock().unwrap().clear();
}

async fn samples(bench: &Bench, handle: &Handle, values: [f64; 4]) {
    let sample = |(host, value): (&str, f64)| Sample {
        name: "cpu".into(),
        labels: Labels::new().with("host", host),
        at: bench.now(),
        value,
    };
    handle.push(["a", "b", "c", "d"].into_iter().zip(values).map(sample).collect()).await.unwrap();
}

fn states(handle: &Handle) -> Vec<(String, AlertState)> {
    let mut states: Vec<_> =
        handle.alerts().iter().map(|alert| (alert.labels.get("host").unwrap().to_owned(), alert.state)).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

#[tokio::test]
async fn a_series_that_makes_a_detector_trap_is_left_out_and_the_others_of_its_rule_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, calls) = fragile();
    let rule = json!({"every": "1h", "no-data": "normal", "window": "1m"});
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(rule), START).await;
    begun(&calls).await;
    let asked = || std::mem::take(&mut *calls.lock().unwrap());
    let firing = |host: &str| (host.to_owned(), AlertState::Firing);
    samples(&bench, &handle, [95.0, 20.0, 95.0, 20.0]).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!((states(&handle), asked().len()), (vec![firing("a"), firing("c")], 1));

    // What is known of `a` stays; of the others is known what is new.
    bench.advance(Span::from_secs(15));
    samples(&bench, &handle, [-1.0, 95.0, 20.0, 20.0]).await;
    let error = handle.evaluate("hot").await.unwrap_err().to_string();
    assert!(error.contains("1 of its series are left out") && error.contains("host=\"a\""), "{error}");
    assert!(error.contains("below zero"), "{error}");
    let resolved = ("c".to_owned(), AlertState::Resolved);
    assert_eq!(states(&handle), [firing("a"), firing("b"), resolved.clone()]);
    let expected = [&["a", "b", "c", "d"][..], &["a", "b"], &["c", "d"], &["a"], &["b"], &["b", "c", "d"]];
    assert_eq!(asked(), expected, "a call that traps has a good one beside it");

    // From then on a call is one call, until the series is tried again by itself.
    bench.advance(Span::from_secs(15));
    samples(&bench, &handle, [20.0, 95.0, 20.0, 20.0]).await;
    handle.evaluate("hot").await.unwrap_err();
    assert_eq!(asked(), [["b", "c", "d"]]);
    bench.advance(AGAIN);
    samples(&bench, &handle, [-1.0, 95.0, 20.0, 20.0]).await;
    handle.evaluate("hot").await.unwrap_err();
    assert_eq!(asked(), [&["a"][..], &["b", "c", "d"]]);
    assert_eq!(states(&handle)[0], firing("a"));
    bench.advance(AGAIN);
    samples(&bench, &handle, [20.0, 95.0, 20.0, 20.0]).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!(asked(), [&["a"][..], &["a", "b", "c", "d"]]);
    assert_eq!(states(&handle)[0], ("a".to_owned(), AlertState::Resolved));
}

#[tokio::test]
async fn a_detector_that_traps_over_every_series_or_over_none_by_itself_fails_its_rule() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, calls) = fragile();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    begun(&calls).await;
    samples(&bench, &handle, [-1.0, -1.0, -1.0, -1.0]).await;
    let error = handle.evaluate("hot").await.unwrap_err().to_string();
    assert!(error.contains("trapped: below zero") && !error.contains("left out"), "{error}");
    assert_eq!(calls.lock().unwrap().len(), 7);

    fake.with(|fake| {
        fake.detect = Some(Box::new(|window, _| match window.series.len() {
            0..4 => Ok(Verdict::default()),
            _ => Err(CallError::Trapped { reason: "too many".into() }),
        }));
    });
    let error = handle.evaluate("hot").await.unwrap_err().to_string();
    assert!(error.contains("trapped: too many") && !error.contains("left out"), "{error}");
}

/// A detector that takes too long, or too much memory, over series for which that is said of their last values, and over more than so many.
fn limited(fake: &Fake, fails: impl Fn(&[f64]) -> Option<CallError> + Send + 'static) -> Arc<AtomicU32> {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    fake.with(|fake| {
        fake.detect = Some(Box::new(move |window, _| {
            count.fetch_add(1, Ordering::SeqCst);
            let last: Vec<f64> = window.series.iter().map(|series| *series.values.last().unwrap()).collect();
            fails(&last).map_or_else(|| Ok(Verdict::default()), Err)
        }));
    });
    asked
}

#[tokio::test]
async fn a_series_on_which_a_detector_runs_into_a_limit_is_left_out_as_well() {
    for limit in [
        CallError::Deadline { budget: Span::from_secs(1) },
        CallError::OutOfMemory { limit_bytes: 1 << 20 },
        CallError::Limited { message: "too much of it".to_owned() },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (fake, calls) = fragile();
        let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
        begun(&calls).await;
        let said = limit.to_string();
        let asked = limited(&fake, move |last| last.iter().any(|value| *value < 0.0).then(|| limit.clone()));
        samples(&bench, &handle, [1.0, 1.0, -1.0, 1.0]).await;
        let error = handle.evaluate("hot").await.unwrap_err().to_string();
        assert!(error.contains("1 of its series are left out") && error.contains(&said), "{error}");
        assert_eq!(asked.swap(0, Ordering::SeqCst), 6);
        bench.advance(Span::from_secs(15));
        handle.evaluate("hot").await.unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 1, "from then on a call is one call");
    }
}

#[tokio::test]
async fn a_detector_that_is_slow_itself_is_waited_for_a_few_times_and_not_at_each_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, calls) = fragile();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    begun(&calls).await;
    let deadline = CallError::Deadline { budget: Span::from_secs(1) };
    let asked = limited(&fake, move |_| Some(deadline.clone()));
    let push = async || {
        let sample = |number: u32| Sample {
            name: "cpu".into(),
            labels: Labels::new().with("host", format!("host-{number}")),
            at: bench.now(),
            value: 1.0,
        };
        handle.push((0..1_000).map(sample).collect()).await.unwrap();
    };
    push().await;
    let error = handle.evaluate("hot").await.unwrap_err().to_string();
    assert!(error.contains("longer than its budget") && !error.contains("left out"), "{error}");
    let first = asked.swap(0, Ordering::SeqCst);
    assert_eq!(usize::try_from(first).unwrap(), 1 + LIMITED);
    bench.advance(Span::from_secs(15));
    handle.evaluate("hot").await.unwrap_err();
    assert_eq!(asked.swap(0, Ordering::SeqCst), 1);
    bench.advance(AGAIN);
    push().await;
    handle.evaluate("hot").await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), first);
}
