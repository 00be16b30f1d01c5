use super::*;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::series::ingest::{Appended, Ingest, Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, Querier, STALE};
use quarterdeck_model::series::{LOOKBACK, Part, Sample, Selector, Series};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

fn sample(name: &str, core: u32, at: i64, value: f64) -> Sample {
    let labels = Labels::new().with("core", core.to_string()).with("host", "a");
    Sample { name: name.to_owned(), labels, at: Timestamp::from_millis(at), value }
}

fn selector(metric: &str) -> Selector {
    Selector { metric: metric.to_owned(), labels: Labels::new() }
}

fn millis(at: i64) -> Timestamp {
    Timestamp::from_millis(at)
}

#[tokio::test]
async fn samples_are_there_on_return_and_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    for opened in 0..2 {
        let store = open(folder.path());
        if opened == 0 {
            let samples =
                (0..40).map(|n| sample("cpu", n % 4, START - 40_000 + i64::from(n) * 1_000, f64::from(n) / 3.0));
            store.append(samples.collect()).await.unwrap();
            // The second sample of a series and time.
            store.append(vec![sample("cpu", 0, START - 40_000, 99.0)]).await.unwrap();
        }
        assert_eq!(store.names(), ["cpu"]);
        let latest = store.latest(&selector("cpu"), millis(START), LOOKBACK);
        assert_eq!(latest.iter().map(|s| s.value * 3.0).collect::<Vec<_>>(), [36.0, 37.0, 38.0, 39.0]);
        assert_eq!(store.latest(&selector("cpu"), millis(START + 600_000), LOOKBACK), []);
        let one = Selector { metric: "cpu".into(), labels: Labels::new().with("core", "0") };
        let range = store.range(&one, millis(START - 40_000), millis(START)).unwrap();
        assert_eq!(range.len(), 1);
        assert_eq!(
            range[0].values.iter().map(|v| (v * 3.0).round()).collect::<Vec<_>>(),
            [4., 8., 12., 16., 20., 24., 28., 32., 36.]
        );
        assert_eq!(range[0].at[0], millis(START - 36_000));
        let all = store.range(&one, Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!((all[0].values.len(), all[0].values[0]), (10, 0.0));
    }
}

#[tokio::test]
async fn a_range_goes_back_over_what_memory_has_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let options = || Options { clock: clock.clone(), ..options(folder.path()) };
    let store = Database::open(options()).unwrap();
    let mut expected = Vec::new();
    // Two hours, every 4 s: more than the 400 samples that stay in memory.
    for n in 0..1_800 {
        let at = clock.now().as_millis();
        store.append(vec![sample("cpu", 1, at, f64::from(n)), sample("mem", 1, at, 1.0)]).await.unwrap();
        expected.push((millis(at), f64::from(n)));
        clock.advance(Span::from_secs(4));
    }
    let check = |store: &Database, from: usize, to: usize| {
        let (from_at, to_at) = (expected[from].0, expected[to].0);
        let range = store.range(&selector("cpu"), from_at, to_at).unwrap();
        let found: Vec<_> = range[0].at.iter().copied().zip(range[0].values.iter().copied()).collect();
        assert_eq!(found, expected[from + 1..=to], "{from} to {to}");
    };
    for (from, to) in [(0, 1_799), (1_500, 1_799), (10, 20), (1_000, 1_600), (880, 1_799)] {
        check(&store, from, to);
    }
    drop(store);
    let store = Database::open(options()).unwrap();
    for (from, to) in [(0, 1_799), (1_500, 1_799), (10, 20)] {
        check(&store, from, to);
    }
    // A silent series leaves memory, and comes back under its old id.
    clock.advance(Span::from_secs(86_400));
    drop(store);
    let store = Database::open(options()).unwrap();
    assert_eq!(store.latest(&selector("cpu"), clock.now(), Span::from_secs(10 * 86_400)), []);
    check(&store, 0, 1_799);
    store.append(vec![sample("cpu", 1, clock.now().as_millis(), 7.0)]).await.unwrap();
    assert_eq!(store.range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap()[0].at.len(), 1_801);
}

#[tokio::test]
async fn samples_from_the_future_or_with_hopeless_names_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut long = sample("cpu", 1, START, 1.0);
    long.labels.insert("text", "x".repeat(5_000));
    let samples = vec![
        sample("cpu", 1, START + 601_000, 1.0),
        sample("cpu", 1, START + 599_000, 2.0),
        sample("", 1, START, 3.0),
        long,
    ];
    store.append(samples).await.unwrap();
    assert_eq!(store.refused_samples(), 3);
    let all = store.range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].values, [2.0]);
}

#[tokio::test]
async fn late_samples_are_found_within_the_window_and_refused_and_counted_beyond_it() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400_000;
    let open = |out_of_order: u64| {
        Database::open(Options { out_of_order: Span::from_secs(out_of_order), ..options(folder.path()) }).unwrap()
    };
    let store = open(600);
    store.append(vec![sample("cpu", 1, START, 1.0)]).await.unwrap();
    drop(store);
    let store = open(600);
    store.append(vec![sample("cpu", 1, START - 600_001, 9.0), sample("cpu", 1, START - 600_000, 0.5)]).await.unwrap();
    assert_eq!(store.refused_samples(), 1);
    // Older than samples are kept at all, though the series is new.
    store.append(vec![sample("old", 1, START - 16 * day, 9.0)]).await.unwrap();
    assert_eq!((store.refused_samples(), store.names()), (2, vec!["cpu".to_owned()]));
    drop(store);
    let store = open(2 * 86_400);
    store.append(vec![sample("cpu", 1, START - day, 2.0), sample("cpu", 1, START - day, 3.0)]).await.unwrap();
    for _ in 0..2 {
        let all = store.range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(all[0].values, [2.0, 0.5, 1.0]);
        store.close().await;
    }
    drop(store);
    let all = open(600).range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(all[0].values, [2.0, 0.5, 1.0]);
}

#[tokio::test]
async fn many_series_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let samples: Vec<Sample> = (0..20_000).map(|n| sample("wide", n, START - 1_000, f64::from(n) * 1.1)).collect();
    store.append(samples).await.unwrap();
    drop(store);
    let store = open(folder.path());
    let latest = store.latest(&selector("wide"), millis(START), LOOKBACK);
    assert_eq!(latest.len(), 20_000);
    assert!(latest.iter().all(|s| s.value == s.labels.get("core").unwrap().parse::<f64>().unwrap() * 1.1));
}

#[tokio::test]
async fn new_series_beyond_the_limit_are_refused_and_known_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { max_series: 10, ..options(folder.path()) };
    for round in 0..2 {
        let store = Database::open(options()).unwrap();
        let samples = (0..15).map(|n| sample("wide", n, START + round, 1.0)).collect();
        let error = store.append(samples).await.unwrap_err();
        assert!(matches!(error, StoreError::TooManySeries { limit: 10, refused: 5 }), "{error}");
        assert!(error.to_string().contains("`storage.max-series`"), "{error}");
        assert_eq!(store.refused_samples(), 5);
        assert_eq!(store.latest(&selector("wide"), millis(START + round), LOOKBACK).len(), 10);
        store.append(vec![sample("wide", 3, START + 10 + round, 1.0)]).await.unwrap();
    }
}

#[tokio::test]
async fn samples_that_the_disk_does_not_keep_up_with_are_pushed_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    let batch = |at: i64| (0..100_000).map(|n| sample("wide", n % 1_000, at + i64::from(n / 1_000), 1.0)).collect();
    let held = faults.hold_syncs();
    // The writer may take one batch with it into the sync that hangs.
    let mut pushed_back = None;
    for n in 0..7 {
        if let Err(error) = store.append(batch(START - 100_000 * n)).await {
            pushed_back = Some(error);
        }
    }
    let error = pushed_back.unwrap();
    assert!(matches!(error, StoreError::Busy { limit: 500_000, .. }), "{error}");
    let too_many: Vec<Sample> = (0..500_001).map(|n| sample("wide", 1, START - n, 1.0)).collect();
    let error = store.append(too_many).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)) && error.to_string().contains("hint: split"), "{error}");
    drop(held);
    assert!(store.failure().is_none());
}

/// Walks all parts of a range: the core of each series, and how many points it has.
fn walk(store: &Database, from: i64, part: &Part) -> Vec<(String, usize)> {
    let (mut seen, mut part) = (Vec::new(), part.clone());
    loop {
        let found = store.part_of_range(&selector("wide"), millis(from), millis(START + 1_000), &part).unwrap();
        assert!(found.series.len() <= part.series);
        seen.extend(found.series.iter().map(|data| (data.labels.get("core").unwrap().to_owned(), data.at.len())));
        match found.next {
            Some(next) => part.after = Some(next),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn a_range_is_read_in_parts_and_only_up_to_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let day = 86_400_000;
    // Of the odd ones there is only something that is older.
    let samples = (0..40u32).flat_map(|core| {
        let old = (0..100).map(move |n| sample("wide", core, START - day + n * 1_000, 1.0));
        let new = (0..100).map(move |n| sample("wide", core, START - 100_000 + n * 1_000, 2.0));
        old.chain(new.filter(move |_| core % 2 == 0))
    });
    store.append(samples.collect()).await.unwrap();
    let text = |cores: &[u32], points: usize| {
        let mut cores: Vec<_> = cores.iter().map(|core| (core.to_string(), points)).collect();
        cores.sort();
        cores
    };
    let all: Vec<u32> = (0..40).collect();
    let even: Vec<u32> = (0..40).step_by(2).collect();
    let pages = Part { series: 7, points: 1_400, ..Part::all() };
    let thin = Part { step: Some(Span::from_secs(50)), points: 28, ..pages.clone() };
    for written in [false, true] {
        let from = START - day - 1_000;
        // From memory, and from the disk though the newest lies in memory.
        assert_eq!(walk(&store, START - 101_000, &Part { points: 700, ..pages.clone() }), text(&even, 100));
        assert_eq!(walk(&store, START - day + 200_000, &pages), text(&even, 100));
        assert_eq!(
            walk(&store, START - day + 200_000, &Part { series: 100, points: 2_000, ..Part::all() }),
            text(&even, 100)
        );
        let both = walk(&store, from, &pages);
        assert_eq!(both.iter().map(|(core, _)| core.clone()).collect::<Vec<_>>(), {
            text(&all, 0).into_iter().map(|(core, _)| core).collect::<Vec<_>>()
        });
        assert!(both.iter().all(|(core, points)| *points == 200 - core.parse::<usize>().unwrap() % 2 * 100));
        assert_eq!(walk(&store, START - 100_001, &Part { points: 14, ..thin.clone() }), text(&even, 2));
        assert_eq!(walk(&store, START - day + 200_000, &thin).len(), 20, "steps are made while reading");
        for (from, part) in
            [(START - 101_000, Part { points: 699, ..pages.clone() }), (from, Part { points: 999, ..pages.clone() })]
        {
            let error = store.part_of_range(&selector("wide"), millis(from), millis(START), &part).unwrap_err();
            assert!(matches!(error, StoreError::TooManyPoints { .. }), "{error}");
        }
        if !written {
            store.sync().await.unwrap();
        }
    }
}

#[tokio::test]
async fn rows_by_handles_are_as_samples_by_labels_and_a_handle_that_is_gone_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let labels: Vec<(&str, &str)> = vec![("__name__", "cpu"), ("core", "1"), ("host", "a")];
    let odd: [&[(&str, &str)]; 4] = [&[("core", "1")], &[("b", "1"), ("__name__", "x")], &[("__name__", "")], &[]];
    let resolved = store.resolve(&[&labels, &labels, odd[0], odd[1], odd[2], odd[3]]).unwrap();
    assert_eq!(resolved[0], resolved[1]);
    assert!(resolved[2..].iter().all(|one| *one == Resolved::Hopeless), "{resolved:?}");
    let Resolved::Series(series) = resolved[0] else { panic!("{resolved:?}") };
    store.append(vec![sample("cpu", 1, START - 2_000, 1.0)]).await.unwrap();
    let row = |at: i64, value: f64| Row { series, at, value };
    let stranger = Row { series: SeriesRef(77), at: START, value: 1.0 };
    let rows = [
        row(START, 2.0),
        row(START, 3.0),
        row(START - 601_000, 4.0),
        row(START + 601_000, 5.0),
        stranger,
        row(START - 1, 6.0),
    ];
    let appended = store.append_refs(&rows).unwrap();
    let expected = Appended { taken: 2, duplicates: 1, too_old: 1, too_new: 1, gone: vec![4] };
    assert_eq!(appended, expected);
    assert_eq!(store.refused_samples(), 2);
    let all = store.range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!((all.len(), all[0].values.clone()), (1, vec![1.0, 6.0, 2.0]));
    store.sync().await.unwrap();
    drop(store);
    assert_eq!(open(folder.path()).range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap(), all);
}

#[tokio::test]
async fn a_source_of_a_million_series_is_refused_at_the_limit_and_those_that_are_known_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::open(Options { max_series: 20_000, ..options(folder.path()) }).unwrap();
    store.append(vec![sample("well", 1, START - 1_000, 1.0)]).await.unwrap();
    let mut refused = 0;
    for round in 0..20u32 {
        let samples = (0..50_000).map(|n| sample("hostile", round * 50_000 + n, START, 1.0)).collect();
        match store.append(samples).await {
            Err(StoreError::TooManySeries { limit: 20_000, refused: more }) => refused += more,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, store.active_series()), (1_000_000 - 19_999, 20_000));
    store.append(vec![sample("well", 1, START, 2.0)]).await.unwrap();
    store.sync().await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.latest(&selector("well"), millis(START), LOOKBACK)[0].value, 2.0);
    assert_eq!(store.latest(&selector("hostile"), millis(START), LOOKBACK).len(), 19_999);
}

#[tokio::test]
async fn a_query_finds_by_any_comparison_keeps_markers_bit_by_bit_and_stops_at_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let stale = f64::from_bits(STALE);
    let samples = (0..100u32)
        .flat_map(|core| (0..10).map(move |n| sample("cpu", core, START - 9_000 + n * 1_000, f64::from(core))));
    store.append(samples.collect()).await.unwrap();
    store.append(vec![sample("cpu", 7, START + 1, stale), sample("mem", 7, START, 1.0)]).await.unwrap();
    let matcher = |label: &str, comparison: Comparison, value: &str| Matcher {
        label: label.to_owned(),
        comparison,
        value: value.to_owned(),
    };
    for _ in 0..2 {
        let budget = Budget::of_samples(10_000);
        let select =
            |matchers: &[Matcher]| store.select(matchers, millis(START - 5_000), millis(START + 10), &budget).unwrap();
        let seven =
            select(&[matcher("core", Comparison::Equal, "7"), matcher("__name__", Comparison::NotEqual, "mem")]);
        assert_eq!(seven.len(), 1);
        assert_eq!(seven[0].labels.to_string(), r#"{__name__="cpu",core="7",host="a"}"#);
        assert_eq!(seven[0].at, [-4_000, -3_000, -2_000, -1_000, 0, 1].map(|n| START + n));
        assert_eq!(seven[0].values[5].to_bits(), STALE);
        assert_eq!(
            select(&[matcher("core", Comparison::Matches, "[0-9]"), matcher("none", Comparison::Equal, "")]).len(),
            11
        );
        assert_eq!(select(&[matcher("core", Comparison::MatchesNot, "[0-9]|1.*")]).len(), 80);
        // One that has ended is not there now.
        assert_eq!(store.latest(&selector("cpu"), millis(START + 1), LOOKBACK).len(), 99);
        assert_eq!(store.latest(&selector("cpu"), millis(START), LOOKBACK).len(), 100);
        let few = Budget::of_samples(400);
        let all = [matcher("__name__", Comparison::Equal, "cpu")];
        let error = store.select(&all, Timestamp::MIN, Timestamp::MAX, &few).unwrap_err();
        assert!(matches!(error, StoreError::TooManyPoints { limit: 400 }), "{error}");
        let stopped = Budget::of_samples(10_000);
        stopped.stop();
        assert!(matches!(store.select(&all, Timestamp::MIN, Timestamp::MAX, &stopped), Err(StoreError::Stopped)));
        let series = Querier::series(&*store, &all, millis(START), millis(START + 1), 1_000).unwrap();
        assert_eq!(series.len(), 1, "{series:?}");
        assert_eq!(Querier::series(&*store, &all, Timestamp::MIN, Timestamp::MAX, 30).unwrap().len(), 30);
        store.sync().await.unwrap();
    }
}

/// What one series was appended, its number as its value.
fn numbers(at: &[i64], values: &[f64], step: i64) {
    assert!(at.iter().enumerate().all(|(n, at)| *at == START + n as i64 * step), "{} samples", at.len());
    assert!(values.iter().enumerate().all(|(n, value)| *value == n as f64), "{} samples", at.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_while_samples_move_into_blocks_never_misses_one() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = Database::open(Options { clock: clock.clone(), ..options(folder.path()) }).unwrap();
    let step = 20_000;
    let written = Arc::new(AtomicI64::new(-1));
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, written, done) = (Arc::clone(&store), Arc::clone(&written), Arc::clone(&done));
        tokio::spawn(async move {
            let mut n = 0;
            while !done.load(Ordering::SeqCst) {
                let at = START + n * step;
                store.append((0..20).map(|core| sample("cpu", core, at, n as f64)).collect()).await.unwrap();
                written.store(n, Ordering::SeqCst);
                n += 1;
                clock.advance(Span::from_millis(step as u64));
                tokio::task::yield_now().await;
            }
        })
    };
    let blocks = || std::fs::read_dir(folder.path().join("series/blocks")).unwrap().count();
    let (deadline, mut reads) = (Instant::now() + Duration::from_secs(60), 0);
    // Until some have been made and merged.
    while reads < 20 || blocks() < 4 {
        assert!(Instant::now() < deadline, "nothing was moved into blocks");
        let known = written.load(Ordering::SeqCst);
        let budget = Budget::of_samples(usize::MAX);
        let core = 3 + reads % 10;
        let matcher = Matcher { label: "core".into(), comparison: Comparison::Equal, value: core.to_string() };
        let found = store.select(&[matcher], Timestamp::MIN, Timestamp::MAX, &budget).unwrap();
        if known >= 0 {
            assert!(found[0].at.len() as i64 > known, "{known}: {}", found[0].at.len());
            numbers(&found[0].at, &found[0].values, step);
            let one = Selector { metric: "cpu".into(), labels: Labels::new().with("core", core.to_string()) };
            let range = store.range(&one, Timestamp::MIN, Timestamp::MAX).unwrap();
            let at: Vec<i64> = range[0].at.iter().map(|at| at.as_millis()).collect();
            assert!(at.len() as i64 > known);
            numbers(&at, &range[0].values, step);
            reads += 1;
        }
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_in_the_log_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(vec![sample("cpu", 1, START, 1.0)]).await.unwrap();
    let log = || {
        let files = std::fs::read_dir(folder.path().join("series/log")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while log() == 0 {
        assert!(Instant::now() < deadline, "nothing was written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // As a power cut would leave it.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(copy.path().join("series/log")).unwrap();
    for file in std::fs::read_dir(folder.path().join("series/log")).unwrap().map(|file| file.unwrap()) {
        std::fs::copy(file.path(), copy.path().join("series/log").join(file.file_name())).unwrap();
    }
    let all = open(copy.path()).range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(all[0].values, [1.0]);
}
