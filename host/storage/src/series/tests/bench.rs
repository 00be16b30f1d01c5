//! A store of samples without its threads, and what is expected to be found in it.

use super::*;

pub(crate) type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) disk: Disk,
    pub(crate) space: Space,
    pub(crate) stopping: AtomicBool,
    pub(crate) now: i64,
    pub(crate) store: Store,
    pub(crate) model: Model,
}

impl Bench {
    pub(crate) fn new(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
        let mut options = Options { free_space_floor_bytes: 0, ..Options::new(folder.path(), clock) };
        change(&mut options);
        let disk = Disk::open(&options).unwrap();
        let space = Space::new(folder.path().to_owned(), 0, options.faults.clone());
        let store = Store::open(&options, &disk, Timestamp::from_millis(START)).unwrap();
        let (stopping, model) = (AtomicBool::new(false), Model::new());
        Bench { folder, options, disk, space, stopping, now: START, store, model }
    }

    pub(crate) fn reopen(&mut self) {
        self.store = Store::open(&self.options, &self.disk, self.now()).unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub(crate) fn sample(&self, labels: &Labels, at: i64, value: f64) -> Sample {
        let mut labels = labels.clone();
        let name = labels.0.remove(NAME).unwrap();
        Sample { name, labels, at: Timestamp::from_millis(at), value }
    }

    /// Appends and expects it to be found from here on.
    pub(crate) fn append(&mut self, labels: &Labels, at: i64, value: f64) {
        let (refused, _) = self.store.append(&[self.sample(labels, at, value)], self.now()).unwrap();
        assert_eq!(refused, Refused::default());
        self.model.entry(labels.clone()).or_default().entry(at).or_insert(value.to_bits());
    }

    pub(crate) fn flush(&self) {
        assert_eq!(self.store.flush(&self.space).unwrap().map(|(lost, _)| lost), None);
    }

    pub(crate) fn upkeep(&self) -> Upkeep<'_> {
        Upkeep { space: &self.space, stopping: &self.stopping }
    }

    pub(crate) fn cut(&self) -> bool {
        cut(&self.store, self.now(), &self.upkeep()).unwrap()
    }

    pub(crate) fn compact(&self) -> usize {
        (0..).take_while(|_| compact(&self.store, self.now(), &self.upkeep()).unwrap()).count()
    }

    pub(crate) fn blocks(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("series/blocks")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "block")).collect()
    }

    pub(crate) fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Model {
        let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
        let found = self.store.select(matchers, from, to, &Budget::of_samples(usize::MAX)).unwrap();
        let series = self.store.series(matchers, from, to, usize::MAX).unwrap();
        let mut model = Model::new();
        for columns in found {
            assert!(columns.at.is_sorted_by(|a, b| a < b));
            assert!(series.contains(&columns.labels));
            let rows = columns.at.iter().copied().zip(columns.values.iter().map(|value| value.to_bits()));
            assert!(model.insert((*columns.labels).clone(), rows.collect()).is_none());
        }
        model
    }

    /// All that is expected, by any matcher.
    #[track_caller]
    pub(crate) fn check(&self, matchers: &[Matcher], from: i64, to: i64) {
        let takes = |labels: &Labels| {
            matchers.iter().all(|matcher| {
                let pattern = pattern::Pattern::new(matcher).unwrap();
                pattern.takes(labels.get(&matcher.label).unwrap_or(""))
            })
        };
        let mut expected = Model::new();
        for (labels, rows) in self.model.iter().filter(|(labels, _)| takes(labels)) {
            let within: BTreeMap<i64, u64> = rows.range(from + 1..=to).map(|(at, bits)| (*at, *bits)).collect();
            if !within.is_empty() {
                expected.insert(labels.clone(), within);
            }
        }
        let found = self.select(matchers, from, to);
        assert_eq!(found.len(), expected.len(), "{matchers:?}");
        for (labels, rows) in &expected {
            assert_eq!(found.get(labels).map(|found| found == rows), Some(true), "{labels} {from} {to}");
        }
    }

    #[track_caller]
    pub(crate) fn check_all(&self) {
        self.check(&[], 0, i64::MAX - 1);
    }
}
