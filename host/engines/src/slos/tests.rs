use super::*;
use crate::testing::{Bench, Fake, START};
use quarterdeck_model::domain::job::Schedule;
use quarterdeck_model::plugin::Kind;
use quarterdeck_model::series::{Part, PartOfRange, Selector, Series, SeriesData};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn catalog(objective: Value) -> Catalog {
    let mut whole = json!({"calculator": "availability/x", "select": {"metric": "up"}, "config": {"target": 0.9}});
    whole.as_object_mut().unwrap().extend(objective.as_object().unwrap().clone());
    serde_json::from_value(json!({"slos": {"api": whole}})).unwrap()
}

fn fake() -> Fake {
    let fake = Fake::default();
    fake.add_instance("availability/x", Kind::SlaCalculator);
    fake
}

async fn bench(folder: &Path, fake: &Fake, catalog: Catalog, now: Timestamp) -> (Bench, Tasks, Handle) {
    let bench = Bench::open(folder, fake, catalog, now);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

/// A sample a minute for some hours, the newest one now; the clock moves along.
async fn samples(bench: &Bench, hours: u64, value: f64) {
    for _ in 0..hours {
        let mut batch = Vec::new();
        for _ in 0..60 {
            bench.advance(Span::from_secs(60));
            batch.push(Sample { name: "up".into(), labels: Labels::new(), at: bench.now(), value });
        }
        bench.context.series.append(batch).await.unwrap();
    }
}

fn told(bench: &Bench) -> Vec<String> {
    bench.events(&["slo."]).into_iter().map(|event| event.event_type).collect()
}

#[tokio::test]
async fn an_objective_without_samples_is_neither_met_nor_breached() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({})), START).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().state, SloState::NoData);
    assert!(told(&bench).is_empty());
    assert!(matches!(handle.calculate("none").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_new_objective_is_calculated_each_second_until_its_first_sample_is_there() {
    let interval = |bench: &Bench| bench.context.scheduler.get("slo/api").unwrap().spec.schedule;
    for has_samples in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({})), START).await;
        handle.calculate("api").await.unwrap();
        handle.0.settle("api", bench.now());
        assert_eq!(interval(&bench), Schedule::Every(EVERY_AT_FIRST));
        if has_samples {
            samples(&bench, 1, 1.0).await;
        } else {
            bench.advance(AT_FIRST);
        }
        handle.calculate("api").await.unwrap();
        handle.0.settle("api", bench.now());
        assert_eq!(interval(&bench), Schedule::Every(EVERY), "with samples: {has_samples}");
    }
}

#[tokio::test]
async fn a_breach_and_a_recovery_are_told_and_the_pieces_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"window": "4days"})), START).await;
    samples(&bench, 50, 1.0).await;
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Met, 3000.0));
    samples(&bench, 10, 0.0).await;
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Breached, 3600.0));
    assert_eq!(status.attainment.adjusted.good, 3000.0);
    // The window moves on, exactly: what is older than four days counts no more.
    samples(&bench, 96, 1.0).await;
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Met, 96.0 * 60.0));
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
    let stored: SloStatus = bench.context.read(SloStatus::COLLECTION, "api").unwrap().unwrap();
    assert_eq!(stored.state, SloState::Met);
}

#[tokio::test]
async fn the_first_failures_of_a_new_objective_are_told_when_there_is_enough_to_tell_by() {
    let folder = tempfile::tempdir().unwrap();
    let objective = json!({"window": "10m", "minimum-samples": 8, "severity": "low", "labels": {"team": "a"}});
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(objective), START).await;
    let sample = async |minutes: u64, value: f64| {
        bench.advance(Span::from_secs(60 * minutes));
        let sample = Sample { name: "up".into(), labels: Labels::new(), at: bench.now(), value };
        bench.context.series.append(vec![sample]).await.unwrap();
        handle.calculate("api").await.unwrap();
        handle.get("api").unwrap()
    };
    for value in [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0] {
        let status = sample(1, value).await;
        assert_eq!((status.state, status.at_risk), (SloState::Breached, false));
    }
    assert!(told(&bench).is_empty());
    assert!(sample(1, 1.0).await.at_risk, "eight samples");
    let event = bench.events(&["slo."]).remove(0);
    assert_eq!((&event.data["severity"], &event.data["labels"]["team"]), (&json!("low"), &json!("a")));
    for _ in 0..10 {
        sample(1, 1.0).await;
    }
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
    // Seldom sampled, but looked at for a whole window.
    sample(9, 1.0).await;
    assert!(sample(5, 0.0).await.at_risk);
}

#[tokio::test]
async fn what_was_folded_once_is_not_folded_again_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let objective = || catalog(json!({"window": "4days"}));
    let (first, tasks, handle) = bench(folder.path(), &fake, objective(), START).await;
    samples(&first, 90, 1.0).await;
    handle.calculate("api").await.unwrap();
    fake.with(|fake| (fake.folds, fake.merges) = (0, 0));
    handle.calculate("api").await.unwrap();
    let (folds, merges) = fake.with(|fake| (fake.folds, fake.merges));
    assert!(folds <= 2, "{folds} folds");
    assert!(merges <= 50, "{merges} merges");
    let now = first.now();
    drop((tasks, handle));
    first.kill().await;
    fake.with(|fake| fake.folds = 0);
    let (_second, _tasks, handle) = bench(folder.path(), &fake, objective(), now).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().attainment.adjusted.total, 5400.0);
    let folds = fake.with(|fake| fake.folds);
    // Its scheduled run may be in the middle of the same.
    assert!(folds <= 4, "{folds} folds");
}

/// The database's series: from a moment on only, and refusing samples, if it is told to.
struct Limited {
    series: Arc<dyn Series>,
    from: Mutex<Timestamp>,
    refuses: AtomicBool,
}

#[async_trait]
impl Series for Limited {
    async fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::TooManySeries { limit: 1, refused: samples.len() });
        }
        self.series.append(samples).await
    }

    fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample> {
        self.series.latest(selector, now, lookback)
    }

    fn range(&self, selector: &Selector, from: Timestamp, to: Timestamp) -> Result<Vec<SeriesData>, StoreError> {
        let first = *self.from.lock().unwrap();
        if to <= first { Ok(Vec::new()) } else { self.series.range(selector, from.max(first), to) }
    }

    fn part_of_range(
        &self,
        selector: &Selector,
        from: Timestamp,
        to: Timestamp,
        part: &Part,
    ) -> Result<PartOfRange, StoreError> {
        let first = *self.from.lock().unwrap();
        self.series.part_of_range(selector, from.max(first), to, part)
    }

    fn names(&self) -> Vec<String> {
        self.series.names()
    }
}

async fn limited(folder: &Path, fake: &Fake, catalog: Catalog) -> (Bench, Arc<Limited>, Tasks, Handle) {
    let mut bench = Bench::open(folder, fake, catalog, START);
    let series = bench.context.series.clone();
    let limited = Arc::new(Limited { series, from: Mutex::new(Timestamp::MIN), refuses: AtomicBool::new(false) });
    bench.context.series = limited.clone();
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    (bench, limited, tasks, handle)
}

#[tokio::test]
async fn another_target_leaves_the_past_as_it_is_although_its_samples_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| fake.schema = Some(json!({"properties": {"target": {"x-finish-only": true}}})));
    let objective = |target: f64| catalog(json!({"window": "4days", "config": {"target": target}}));
    let (bench, limited, _tasks, handle) = limited(folder.path(), &fake, objective(0.9)).await;
    samples(&bench, 40, 0.0).await;
    samples(&bench, 50, 1.0).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().state, SloState::Breached);
    *limited.from.lock().unwrap() = bench.now().minus(Span::from_secs(5 * 3600));
    bench.catalog.send_replace(Arc::new(objective(0.5)));
    crate::testing::until("the change", || handle.0.with(|state| state["api"].spec.config["target"] == json!(0.5)))
        .await;
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Met, 5400.0));
    assert_eq!(status.complete_since, None);
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
}

#[tokio::test]
async fn another_calculation_reaches_as_far_as_samples_do_and_says_so_and_taking_it_back_brings_the_past_back() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let objective = |good: &str| catalog(json!({"window": "4days", "config": {"target": 0.9, "good-when": good}}));
    let (bench, limited, _tasks, handle) = limited(folder.path(), &fake, objective(">= 1")).await;
    samples(&bench, 90, 1.0).await;
    handle.calculate("api").await.unwrap();
    *limited.from.lock().unwrap() = bench.now().minus(Span::from_secs(5 * 3600));
    let change = async |good: &str| {
        bench.catalog.send_replace(Arc::new(objective(good)));
        crate::testing::until("the change", || {
            handle.0.with(|state| state["api"].spec.config["good-when"] == json!(good))
        })
        .await;
        handle.calculate("api").await.unwrap();
        handle.get("api").unwrap()
    };
    let status = change("> 0.5").await;
    assert_eq!(status.attainment.adjusted.total, 300.0, "the samples of five hours");
    assert_eq!(status.complete_since, Some(bench.now().minus(Span::from_secs(5 * 3600))));
    let status = change(">= 1").await;
    assert_eq!((status.attainment.adjusted.total, status.complete_since), (5400.0, None));
}

#[tokio::test]
async fn a_store_that_takes_no_more_series_does_not_keep_a_breach_from_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, limited, _tasks, handle) = limited(folder.path(), &fake(), catalog(json!({}))).await;
    samples(&bench, 1, 0.0).await;
    limited.refuses.store(true, Ordering::SeqCst);
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!(status.state, SloState::Breached);
    assert!(status.error.unwrap().starts_with("the figures can't be kept as series: "));
    assert_eq!(told(&bench), ["slo.breached"]);
    limited.refuses.store(false, Ordering::SeqCst);
    bench.advance(Span::from_secs(1));
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().error, None);
}

#[tokio::test]
async fn a_recovery_is_told_only_to_those_who_were_told_of_a_breach() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"window": "1h"})), START).await;
    handle.calculate("api").await.unwrap();
    samples(&bench, 1, 1.0).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().state, SloState::Met);
    assert!(told(&bench).is_empty(), "it was never at risk");
    samples(&bench, 1, 0.0).await;
    handle.calculate("api").await.unwrap();
    // Nothing is known for a while: neither an end nor another beginning.
    bench.advance(Span::from_secs(2 * 3600));
    handle.calculate("api").await.unwrap();
    assert_eq!(handle.get("api").unwrap().state, SloState::NoData);
    samples(&bench, 1, 0.0).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(told(&bench), ["slo.breached"]);
    samples(&bench, 1, 1.0).await;
    handle.calculate("api").await.unwrap();
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
}

#[tokio::test]
async fn an_exclusion_that_is_added_makes_only_its_own_chunks_anew() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"window": "4days"})), START).await;
    samples(&bench, 90, 1.0).await;
    handle.calculate("api").await.unwrap();
    let from = START.plus(Span::from_secs(10 * 3600 + 60));
    let exclusion =
        json!({"from": from, "to": from.plus(Span::from_secs(1800)), "author": "ann", "reason": "maintenance"});
    bench.catalog.send_replace(Arc::new(catalog(json!({"window": "4days", "exclusions": [exclusion]}))));
    crate::testing::until("the change", || handle.0.with(|state| !state["api"].spec.exclusions.is_empty())).await;
    fake.with(|fake| fake.folds = 0);
    handle.calculate("api").await.unwrap();
    let folds = fake.with(|fake| fake.folds);
    assert!((1..=6).contains(&folds), "{folds} folds");
}

#[tokio::test]
async fn a_calculator_that_is_away_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({})), START).await;
    samples(&bench, 1, 0.0).await;
    handle.calculate("api").await.unwrap();
    fake.with(|fake| fake.instances.clear());
    assert!(handle.calculate("api").await.is_err());
    let status = handle.get("api").unwrap();
    assert_eq!(status.state, SloState::Breached);
    assert_eq!(status.error.as_deref(), Some("there is no calculator `availability/x`"));
    assert_eq!(told(&bench), ["slo.breached"]);
}

#[tokio::test]
async fn an_objective_that_is_taken_out_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"window": "4days"})), START).await;
    samples(&bench, 5, 0.0).await;
    handle.calculate("api").await.unwrap();
    bench.catalog.send_replace(Arc::new(Catalog::default()));
    let empty = |collection| bench.context.store.list(collection, &Page::all()).unwrap().is_empty();
    crate::testing::until("the end", || handle.list().is_empty() && empty("slos") && empty("slo-partials")).await;
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
}

#[tokio::test]
async fn another_version_of_the_calculator_keeps_the_past_whose_samples_are_gone_and_makes_the_rest_anew() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, limited, _tasks, handle) = limited(folder.path(), &fake, catalog(json!({"window": "4days"}))).await;
    samples(&bench, 40, 0.0).await;
    samples(&bench, 50, 1.0).await;
    handle.calculate("api").await.unwrap();
    // In the middle of a chunk.
    *limited.from.lock().unwrap() = bench.now().minus(Span::from_secs(5 * 3600 + 1800));
    fake.replace();
    fake.with(|fake| fake.folds = 0);
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Breached, 5400.0));
    assert_eq!((status.complete_since, status.error), (None, None));
    let folds = fake.with(|fake| fake.folds);
    assert!((5..=8).contains(&folds), "{folds} folds");
    assert_eq!(told(&bench), ["slo.breached"]);
}

#[tokio::test]
async fn a_version_that_refuses_the_figures_of_the_one_before_says_so_and_no_recovery_is_told_of_a_shorter_past() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, limited, _tasks, handle) = limited(folder.path(), &fake, catalog(json!({"window": "4days"}))).await;
    samples(&bench, 40, 0.0).await;
    samples(&bench, 50, 1.0).await;
    handle.calculate("api").await.unwrap();
    let cut = bench.now().minus(Span::from_secs(5 * 3600));
    *limited.from.lock().unwrap() = cut;
    fake.replace();
    fake.with(|fake| fake.strict = true);
    for _ in 0..3 {
        handle.calculate("api").await.unwrap();
        let status = handle.get("api").unwrap();
        assert_eq!((status.state, status.attainment.adjusted.total), (SloState::Met, 300.0));
        assert_eq!((status.complete_since, status.at_risk), (Some(cut), true));
        assert!(status.error.unwrap().contains("does not take the figures of the version before"));
        bench.advance(Span::from_secs(1));
    }
    assert_eq!(told(&bench), ["slo.breached"], "what was bad is only out of sight");
    // What can't be calculated has left the window.
    samples(&bench, 92, 1.0).await;
    handle.calculate("api").await.unwrap();
    let status = handle.get("api").unwrap();
    assert_eq!((status.complete_since, status.error, status.at_risk), (None, None, false));
    assert_eq!(told(&bench), ["slo.breached", "slo.recovered"]);
}

#[tokio::test]
async fn an_objective_that_can_not_be_calculated_is_told_once_and_once_more_when_it_is() {
    use quarterdeck_model::domain::failure::Failure;
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (first, tasks, handle) = bench(folder.path(), &fake, catalog(json!({"window": "4days"})), START).await;
    samples(&first, 2, 1.0).await;
    handle.calculate("api").await.unwrap();
    let told = |bench: &Bench| {
        let events = bench.events(&["calculation."]);
        events.into_iter().map(|event| event.event_type).collect::<Vec<_>>()
    };
    assert!(told(&first).is_empty());
    fake.with(|fake| fake.rejects = true);
    samples(&first, 1, 1.0).await;
    for _ in 0..3 {
        assert!(handle.calculate("api").await.is_err());
    }
    assert_eq!(told(&first), [Failure::CALCULATION_FAILED]);
    let failed = first.events(&["calculation."]).remove(0);
    assert_eq!((failed.subject.as_str(), failed.plugin), ("api", Some(crate::testing::plugin())));
    assert_eq!((&failed.data["objective"], &failed.data["error"]), (&json!("api"), &json!("no such target")));
    assert_eq!(handle.get("api").unwrap().state, SloState::Met, "what could not be calculated changes nothing");
    let now = first.now();
    drop((tasks, handle));
    first.kill().await;

    let (second, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"window": "4days"})), now).await;
    assert!(handle.calculate("api").await.is_err());
    fake.with(|fake| fake.rejects = false);
    handle.calculate("api").await.unwrap();
    handle.calculate("api").await.unwrap();
    assert_eq!(told(&second), [Failure::CALCULATION_FAILED, Failure::CALCULATION_RECOVERED]);
    fake.with(|fake| fake.rejects = true);
    assert!(handle.calculate("api").await.is_err());
    second.catalog.send_replace(Arc::new(Catalog::default()));
    crate::testing::until("its end", || told(&second).len() == 4).await;
    let ended = second.events(&[Failure::CALCULATION_RECOVERED]).remove(1);
    assert_eq!(ended.data["reason"], "the objective was removed");
}
