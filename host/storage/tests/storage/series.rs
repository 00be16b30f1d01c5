use super::*;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::series::{LOOKBACK, Part, Sample, Selector, Series};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span};

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
async fn late_samples_are_found_though_memory_does_not_take_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(vec![sample("cpu", 1, START, 1.0)]).await.unwrap();
    drop(store);
    let store = open(folder.path());
    let day = 86_400_000;
    store.append(vec![sample("cpu", 1, START - day, 2.0), sample("cpu", 1, START - day, 3.0)]).await.unwrap();
    for _ in 0..2 {
        let all = store.range(&selector("cpu"), Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(all[0].values, [2.0, 1.0]);
        store.close().await;
    }
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
