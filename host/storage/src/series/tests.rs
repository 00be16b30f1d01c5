//! Samples on their way from memory to blocks, as one thread does it: what is found must never depend on where they are.

mod bench;

use super::compact::compact;
use super::cut::cut;
use super::testing::Random;
use super::*;
use bench::{Bench, Model};
use quarterdeck_model::Labels;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, NAME, STALE};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A moment of 2025, 10:13 in UTC.
const START: i64 = 1_750_000_380_000;
const HOUR: i64 = 3_600_000;

fn labels(metric: &str, core: u64) -> Labels {
    Labels::new().with(NAME, metric).with("core", core.to_string()).with("host", format!("h{}", core % 3))
}

fn matcher(random: &mut Random) -> Matcher {
    let (label, values): (&str, &[&str]) = match random.below(4) {
        0 => (NAME, &["cpu", "mem", "cpu|mem", "c.*", "none"]),
        1 => ("core", &["1", "", "1|2|3", "[0-4]", "1.*", ".*3"]),
        2 => ("host", &["h1", "h[01]", ".+"]),
        _ => ("missing", &["", ".*", "x"]),
    };
    let all = [Comparison::Equal, Comparison::NotEqual, Comparison::Matches, Comparison::MatchesNot];
    Matcher {
        label: label.to_owned(),
        comparison: all[random.below(4) as usize],
        value: values[random.below(values.len() as u64) as usize].to_owned(),
    }
}

#[test]
fn wherever_samples_are_and_however_they_came_the_same_ones_are_found() {
    for seed in 0..3 {
        let mut random = Random::new(100 + seed);
        let mut bench = Bench::new(|options| options.out_of_order = Span::from_secs(7_200));
        let mut cut = 0;
        for round in 0..160 {
            bench.now += 1_200_000 + random.below(600_000) as i64;
            for core in 0..12 {
                // Some come and go.
                if core > 6 && (round / 10 + core) % 3 == 0 {
                    continue;
                }
                let metric = ["cpu", "mem"][(core % 2) as usize];
                let values = random.values(4);
                for (n, value) in values.into_iter().enumerate() {
                    let late = if random.below(6) == 0 { random.below(7_000_000) as i64 } else { 0 };
                    bench.append(&labels(metric, core), bench.now - 4_000 * core as i64 + n as i64 - late, value);
                }
            }
            bench.flush();
            if random.below(3) == 0 {
                cut += usize::from(bench.cut());
            }
            if random.below(12) == 0 {
                bench.compact();
            }
            if random.below(12) == 0 {
                bench.reopen();
            }
            if random.below(4) == 0 {
                let matchers: Vec<Matcher> = (0..random.below(4)).map(|_| matcher(&mut random)).collect();
                let from = START + random.below((bench.now - START) as u64) as i64;
                bench.check(&matchers, from, from + random.below(30 * HOUR as u64) as i64);
            }
        }
        assert!(cut > 10, "{cut}");
        bench.check_all();
        bench.reopen();
        bench.check_all();
        assert_eq!(bench.store.names(), ["cpu", "mem"]);
    }
}

#[test]
fn what_was_moved_twice_for_a_kill_is_found_once() {
    let mut bench = Bench::new(|_| {});
    for n in 0..600 {
        bench.now += 15_000;
        for core in 0..5 {
            bench.append(&labels("cpu", core), bench.now, n as f64);
        }
    }
    bench.flush();
    let copy = |from: &str, to: &str| {
        let (from, to) = (bench.folder.path().join(from), bench.folder.path().join(to));
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copy("series/log", "log-before");
    assert!(bench.cut());
    let blocks = bench.blocks();
    assert_eq!(blocks.len(), 1);
    bench.check_all();
    // Killed behind the mark, before the log was let go.
    copy("log-before", "series/log");
    bench.reopen();
    bench.check_all();
    // Killed before the mark, with another block half written.
    let folder = bench.folder.path().join("series/blocks");
    std::fs::remove_file(folder.join("moved")).unwrap();
    std::fs::copy(&blocks[0], folder.join("0000000099.new")).unwrap();
    bench.reopen();
    bench.check_all();
    assert!(!folder.join("0000000099.new").exists());
    assert!(bench.cut(), "it is moved again");
    bench.check_all();
    // Killed behind a merge, before what it was made of was removed.
    let before: Vec<(PathBuf, Vec<u8>)> =
        bench.blocks().into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert_eq!(before.len(), 2);
    bench.now += 2 * DAY;
    bench.cut();
    assert!(bench.compact() > 0);
    bench.check_all();
    let merged = bench.blocks();
    before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    bench.reopen();
    assert_eq!(bench.blocks(), merged);
    bench.check_all();
}

#[test]
fn what_waits_for_the_log_during_a_cut_is_explained_there() {
    let mut bench = Bench::new(|_| {});
    for n in 0..500 {
        bench.now += 15_000;
        bench.append(&labels("cpu", 1), bench.now, n as f64);
        bench.append(&labels("cpu", 2), bench.now, n as f64);
    }
    bench.flush();
    bench.now += 2 * HOUR;
    bench.append(&labels("cpu", 1), bench.now, 7.0);
    assert!(bench.cut());
    bench.append(&labels("cpu", 1), bench.now + 1, 8.0);
    bench.flush();
    bench.reopen();
    bench.check_all();
}

#[test]
fn a_cut_that_is_ended_or_finds_no_room_leaves_all_in_memory() {
    let mut bench = Bench::new(|_| {});
    for n in 0..400 {
        bench.now += 15_000;
        (0..200).for_each(|core| bench.append(&labels("cpu", core), bench.now, n as f64));
    }
    bench.flush();
    bench.now += HOUR;
    bench.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(cut(&bench.store, bench.now(), &bench.upkeep()), Err(StoreError::Closed)));
    bench.stopping.store(false, std::sync::atomic::Ordering::Relaxed);
    bench.check_all();
    let full = Space::new(bench.folder.path().to_owned(), u64::MAX, bench.options.faults.clone());
    let upkeep = Upkeep { space: &full, stopping: &bench.stopping };
    assert!(matches!(cut(&bench.store, bench.now(), &upkeep), Err(StoreError::DiskFull { .. })));
    assert_eq!(bench.blocks(), Vec::<PathBuf>::new());
    bench.check_all();
    assert!(bench.cut());
    bench.check_all();
    bench.reopen();
    bench.check_all();
}

#[test]
fn series_without_a_sample_for_some_hours_do_not_count() {
    let mut bench = Bench::new(|options| options.max_series = 10);
    for generation in 0..5u64 {
        for core in 0..10 {
            bench.append(&labels("cpu", generation * 10 + core), bench.now, 1.0);
        }
        let one_more = bench.sample(&labels("cpu", 999), bench.now, 1.0);
        assert_eq!(bench.store.append(&[one_more], bench.now()).unwrap().0, Refused { new: 1, ..Refused::default() });
        bench.flush();
        bench.now += 3 * HOUR;
        assert!(bench.cut());
        assert_eq!(bench.store.active(), 0);
        bench.check_all();
    }
    bench.reopen();
    bench.check_all();
}

#[test]
fn a_clock_that_was_far_ahead_does_not_keep_all_in_memory() {
    let mut bench = Bench::new(|_| {});
    bench.now += 100 * DAY;
    bench.append(&labels("cpu", 1), bench.now, 1.0);
    bench.now += 2 * HOUR;
    assert!(bench.cut());
    bench.now = START;
    bench.model.clear();
    bench.append(&labels("mem", 1), START, 2.0);
    bench.flush();
    bench.now += 3 * HOUR;
    assert!(bench.cut());
    assert_eq!(bench.store.active(), 0);
    assert!(!bench.cut());
    let found = bench.select(&[], 0, START + HOUR);
    assert_eq!(found, bench.model);
    bench.reopen();
    assert_eq!(bench.select(&[], 0, START + HOUR), bench.model);
}

#[test]
fn names_and_values_of_labels_are_any_text() {
    let mut bench = Bench::new(|_| {});
    let texts = ["grüß", "日本\u{1F600}", "a\0b", "\"{}=,\\\n", " ", "\u{7f}\u{85}", "Z", "__name_", "__name__x"];
    for (n, text) in texts.into_iter().enumerate() {
        let labels = Labels::new().with(NAME, text).with(text, format!("{text}{n}")).with("x", "y");
        bench.append(&labels, START + n as i64, n as f64);
    }
    bench.flush();
    for moved in [false, true] {
        bench.now += 3 * HOUR;
        assert!(!moved || bench.cut());
        bench.check_all();
        for text in texts {
            let equal = |label: &str, value: &str| Matcher {
                label: label.to_owned(),
                comparison: Comparison::Equal,
                value: value.to_owned(),
            };
            bench.check(&[equal(NAME, text)], 0, i64::MAX - 1);
        }
        bench.reopen();
        bench.check_all();
    }
}

#[test]
fn a_day_becomes_one_block_and_old_days_go() {
    let mut bench = Bench::new(|_| {});
    for hour in 0..72 {
        for n in 0..60 {
            bench.now += 60_000;
            bench.append(&labels("cpu", 1), bench.now, (hour * 60 + n) as f64);
        }
        bench.flush();
        bench.cut();
        bench.compact();
    }
    let blocks = bench.store.blocks.all();
    let days: Vec<i64> = blocks.iter().map(|block| block.tail.first.div_euclid(DAY)).collect();
    assert!(blocks.len() <= 2 + 9, "{days:?}");
    assert!(blocks.iter().all(|block| block.tail.last.div_euclid(DAY) == block.tail.first.div_euclid(DAY)));
    assert_eq!(days.iter().filter(|day| **day == days[0]).count(), 1);
    bench.check_all();
    // The log has not grown beyond what memory has.
    let log = std::fs::read_dir(bench.folder.path().join("series/log")).unwrap().count();
    assert!(log <= 4, "{log}");
    bench.now += 14 * DAY;
    bench.cut();
    bench.compact();
    let oldest = bench.now - 15 * DAY;
    let first_day = oldest.div_euclid(DAY) * DAY;
    bench.model.values_mut().for_each(|rows| rows.retain(|at, _| *at >= first_day));
    assert!(bench.model.values().all(|rows| !rows.is_empty()));
    bench.check_all();
    bench.reopen();
    bench.check_all();
    bench.now += 20 * DAY;
    bench.cut();
    bench.compact();
    assert_eq!((bench.blocks(), bench.store.names()), (Vec::new(), Vec::new()));
}

#[test]
fn old_days_are_thinned_to_the_last_sample_of_each_step() {
    let step = 300_000;
    let mut bench = Bench::new(|options| {
        let thinning = Thinning { after: Span::from_secs(2 * 86_400), step: Span::from_millis(step as u64) };
        options.retention.thinning = Some(thinning);
    });
    for n in 0..6_000 {
        bench.now += 30_000;
        let value = if n == 500 { f64::from_bits(STALE) } else { f64::from(n) };
        bench.append(&labels("cpu", 1), bench.now, value);
        if n % 100 == 0 {
            bench.flush();
            bench.cut();
            bench.compact();
        }
    }
    bench.flush();
    bench.check_all();
    bench.now += DAY;
    bench.cut();
    bench.compact();
    assert_eq!(bench.compact(), 0, "once");
    let end = (bench.now - 2 * DAY).div_euclid(DAY) * DAY;
    for rows in bench.model.values_mut() {
        let all: Vec<i64> = rows.keys().copied().collect();
        for pair in all.windows(2).filter(|pair| pair[0] < end && pair[0].div_euclid(step) == pair[1].div_euclid(step))
        {
            rows.remove(&pair[0]);
        }
    }
    bench.check_all();
    bench.reopen();
    assert_eq!(bench.compact(), 0);
    bench.check_all();
}

#[test]
fn a_broken_block_is_named_and_never_read_as_something_else() {
    let mut bench = Bench::new(|_| {});
    for n in 0..500 {
        bench.now += 15_000;
        bench.append(&labels("cpu", 1), bench.now, f64::from(n) / 7.0);
    }
    bench.flush();
    bench.now += 2 * HOUR;
    assert!(bench.cut());
    let path = bench.blocks().remove(0);
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut broken = whole.clone();
        broken[place] ^= 1 << (place % 8);
        std::fs::write(&path, &broken).unwrap();
        let opened = Store::open(&bench.options, &bench.disk, bench.now());
        let read = opened.and_then(|store| {
            store.select(&[], Timestamp::MIN, Timestamp::MAX, &Budget::of_samples(usize::MAX)).map(|_| ())
        });
        let Err(StoreError::Corrupt(text)) = read else { panic!("{place}: {read:?}") };
        assert!(text.contains(".block") && text.contains("hint: "), "{text}");
    }
    std::fs::write(&path, &whole).unwrap();
    bench.reopen();
    bench.check_all();
}

#[test]
fn what_an_older_version_kept_in_frames_is_found_in_blocks() {
    let mut bench = Bench::new(|_| {});
    let entry = |id: u32, core: &str| dictionary::Entry {
        id,
        metric: Arc::from("cpu"),
        labels: Labels::new().with("core", core).with("empty", ""),
    };
    for (id, core) in [(1, "one"), (2, "two")] {
        dictionary::put(&bench.disk, &entry(id, core));
    }
    let mut expected = Model::new();
    let mut points = Vec::new();
    for n in 0..5_000i64 {
        let (at, series) = (START - 3 * DAY + n * 50_000, 1 + (n % 2) as u32);
        points.push(Point { series, at, value: n as f64 });
        let core = ["one", "two"][(n % 2) as usize];
        let labels = Labels::new().with(NAME, "cpu").with("core", core);
        expected.entry(labels).or_default().insert(at, (n as f64).to_bits());
    }
    // Too old to be kept.
    points.push(Point { series: 1, at: START - 20 * DAY, value: 0.0 });
    frames::written::put(&bench.disk, &points).unwrap();
    bench.model = expected;
    for _ in 0..2 {
        bench.reopen();
        bench.check_all();
        assert_eq!(bench.disk.tree.scan_prefix([crate::keys::SAMPLES]).count(), 0);
        assert_eq!(bench.disk.tree.scan_prefix([crate::keys::DICTIONARY]).count(), 0);
    }
    bench.cut();
    bench.compact();
    bench.check_all();
}
