use super::http::Http;
use super::jobs::Scrapes;
use super::outside::{Answer, Ask, Found, Names, Outside, Targets};
use super::turn::Health;
use crate::monitoring::intake::Intake;
use crate::testing::{Bench, Fake, START, until};
use async_trait::async_trait;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::job::Schedule;
use quarterdeck_model::domain::scrape::{Authorization, BasicAuth, Record, TlsConfig};
use quarterdeck_model::series::ingest::{Appended, Ingest, Pairs, Resolved, Row};
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, NAME, is_stale};
use quarterdeck_model::store::StoreError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is outside, as the test wants it.
#[derive(Default)]
struct Script {
    pages: Mutex<BTreeMap<String, Result<String, String>>>,
    names: Mutex<BTreeMap<String, Result<Vec<Found>, String>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Targets for Script {
    async fn ask(&self, ask: &Ask) -> Result<Answer, String> {
        self.asked.lock().unwrap().push(ask.url.clone());
        let page = self.pages.lock().unwrap().get(&ask.url).cloned();
        let page = page.unwrap_or_else(|| Err("connection refused".to_owned()))?;
        Ok(Answer { body: page.into_bytes(), content_type: None })
    }
}

#[async_trait]
impl Names for Script {
    async fn look_up(&self, name: &str, _: Record) -> Result<Vec<Found>, String> {
        self.names.lock().unwrap().get(name).cloned().unwrap_or_else(|| Ok(Vec::new()))
    }
}

struct World {
    bench: Bench,
    scrapes: Arc<Scrapes>,
    intake: Arc<Intake>,
    script: Arc<Script>,
    _folder: TempDir,
}

fn catalog(jobs: Value) -> Catalog {
    serde_json::from_value(json!({"scrape": jobs})).unwrap()
}

impl World {
    /// Targets are asked by [`World::turn`] alone.
    async fn new(jobs: Value) -> World {
        World::over(catalog(jobs), |ingest| ingest).await
    }

    async fn over(catalog: Catalog, ingest: impl FnOnce(Arc<dyn Ingest>) -> Arc<dyn Ingest>) -> World {
        let world = World::scheduled(catalog, ingest).await;
        for job in world.bench.context.scheduler.list() {
            world.bench.context.scheduler.remove(&job.spec.name);
        }
        world
    }

    /// They are asked on their schedule as well.
    async fn scheduled(catalog: Catalog, ingest: impl FnOnce(Arc<dyn Ingest>) -> Arc<dyn Ingest>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Bench::open(folder.path(), &Fake::default(), catalog.clone(), START);
        let script = Arc::new(Script::default());
        bench.context.outside = Outside { targets: script.clone(), names: script.clone() };
        bench.context.ingest = ingest(bench.context.ingest.clone());
        let intake = Arc::new(Intake::default());
        let scrapes = Arc::new(Scrapes::new(bench.context.clone(), intake.clone()));
        scrapes.sync(&catalog).await;
        World { bench, scrapes, intake, script, _folder: folder }
    }

    /// Another configuration, and targets that are asked by [`World::turn`] alone still.
    async fn sync(&self, jobs: Value) {
        self.scrapes.sync(&catalog(jobs)).await;
        for job in self.bench.context.scheduler.list() {
            self.bench.context.scheduler.remove(&job.spec.name);
        }
    }

    fn page(&self, url: &str, page: Result<&str, &str>) {
        let page = page.map(str::to_owned).map_err(str::to_owned);
        self.script.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    /// Asks every target once, 15 seconds later. What went wrong, if anything did.
    async fn turn(&self) -> Option<String> {
        self.bench.clock.advance(Span::from_secs(15));
        let mut wrong = None;
        for turn in self.scrapes.turns() {
            if let Err(error) = turn.scrape(self.bench.now()).await {
                wrong = Some(error);
            }
        }
        wrong
    }

    /// Samples of a metric by labels: how many turns after the start, and the value.
    fn samples(&self, metric: &str) -> BTreeMap<String, Vec<(i64, String)>> {
        let matchers = [Matcher { label: NAME.to_owned(), comparison: Comparison::Equal, value: metric.to_owned() }];
        let (from, to) = (START.minus(Span::from_secs(3600)), START.plus(Span::from_secs(86_400)));
        let found = self.bench.context.querier.select(&matchers, from, to, &Budget::of_samples(10_000)).unwrap();
        let shown = |value: &f64| if is_stale(*value) { "end".to_owned() } else { value.to_string() };
        let series = found.into_iter().map(|series| {
            let mut labels = (*series.labels).clone();
            labels.0.remove(NAME);
            let times = series.at.iter().map(|at| (at - START.as_millis()) / 15_000);
            (labels.to_string(), times.zip(series.values.iter().map(shown)).collect())
        });
        series.collect()
    }

    #[track_caller]
    fn check(&self, metric: &str, expected: &[(&str, &[(i64, &str)])]) {
        let expected = expected.iter().map(|(labels, samples)| {
            ((*labels).to_owned(), samples.iter().map(|(turn, value)| (*turn, (*value).to_owned())).collect())
        });
        assert_eq!(self.samples(metric), expected.collect(), "{metric}");
    }
}

const A: &str = "http://a:1/metrics";
const OF_A: &str = r#"{instance="a:1",job="j"}"#;

fn one() -> Value {
    json!({"j": {"static_configs": [{"targets": ["a:1"]}]}})
}

#[tokio::test]
async fn what_a_page_says_is_stored_and_what_it_says_no_more_ends() {
    let world = World::new(one()).await;
    world.page(A, Ok("# TYPE m counter\nm{x=\"1\"} 1\nm{x=\"2\"} 2\n"));
    assert_eq!(world.turn().await, None);
    world.page(A, Ok("# TYPE m counter\nm{x=\"1\"} 3\nm{x=\"3\"} 4\n"));
    assert_eq!(world.turn().await, None);
    assert_eq!(world.turn().await, None);
    world.page(A, Err("connection refused"));
    assert_eq!(world.turn().await.as_deref(), Some("connection refused"));
    assert_eq!(world.turn().await.as_deref(), Some("connection refused"));
    world.page(A, Ok("m{x=\"1\"} 5\n"));
    assert_eq!(world.turn().await, None);
    world.check(
        "m",
        &[
            (r#"{instance="a:1",job="j",x="1"}"#, &[(1, "1"), (2, "3"), (3, "3"), (4, "end"), (6, "5")]),
            (r#"{instance="a:1",job="j",x="2"}"#, &[(1, "2"), (2, "end")]),
            (r#"{instance="a:1",job="j",x="3"}"#, &[(2, "4"), (3, "4"), (4, "end")]),
        ],
    );
    world.check("up", &[(OF_A, &[(1, "1"), (2, "1"), (3, "1"), (4, "0"), (5, "0"), (6, "1")])]);
    let scraped: &[(i64, &str)] = &[(1, "2"), (2, "2"), (3, "2"), (4, "0"), (5, "0"), (6, "1")];
    world.check("scrape_samples_scraped", &[(OF_A, scraped)]);
    let added: &[(i64, &str)] = &[(1, "2"), (2, "1"), (3, "0"), (4, "0"), (5, "0"), (6, "0")];
    world.check("scrape_series_added", &[(OF_A, added)]);
    assert_eq!(world.samples("scrape_duration_seconds")[OF_A].len(), 6);
    let status = &world.scrapes.targets()[0];
    assert_eq!((status.health, status.error.as_deref(), status.url.as_str()), (Health::Up, None, A));
}

#[tokio::test]
async fn a_malformed_page_stores_nothing_of_itself_and_leaves_what_is_stored() {
    let world = World::new(one()).await;
    for (turn, (page, why)) in [
        ("m 1\n", ""),
        ("m 2\nm{\n", "line 2: the labels are not closed"),
        ("new 1\nm one\n", "line 2: `one` is not a number"),
        ("m{a=\"b\",a=\"c\"} 1\n", "twice"),
        ("m 3\n", ""),
    ]
    .into_iter()
    .enumerate()
    {
        world.page(A, Ok(page));
        let wrong = world.turn().await.unwrap_or_default();
        assert!(wrong.contains(why) && wrong.is_empty() == why.is_empty(), "{turn}: {wrong}");
    }
    world.check("m", &[(OF_A, &[(1, "1"), (2, "end"), (5, "3")])]);
    world.check("new", &[]);
    world.check("up", &[(OF_A, &[(1, "1"), (2, "0"), (3, "0"), (4, "0"), (5, "1")])]);
}

#[tokio::test]
async fn labels_of_the_page_and_of_the_target_meet_as_the_job_says() {
    let jobs = |honor: bool| json!({"j": {"honor_labels": honor, "static_configs": [{"targets": ["a:1"], "labels": {"zone": "x"}}]}});
    let page = "m{job=\"theirs\",exported_job=\"e\",zone=\"\"} 1\n";
    let world = World::new(jobs(false)).await;
    world.page(A, Ok(page));
    world.turn().await;
    let renamed = r#"{exported_exported_job="theirs",exported_job="e",instance="a:1",job="j",zone="x"}"#;
    world.check("m", &[(renamed, &[(1, "1")])]);
    let world = World::new(jobs(true)).await;
    world.page(A, Ok(page));
    world.turn().await;
    world.check("m", &[(r#"{exported_job="e",instance="a:1",job="theirs",zone="x"}"#, &[(1, "1")])]);
}

#[tokio::test]
async fn series_are_relabelled_once_and_dropped_ones_are_counted_as_scraped() {
    let jobs = json!({"j": {"static_configs": [{"targets": ["a:1"]}], "metric_relabel_configs": [
        {"source_labels": ["__name__"], "regex": "go_.*", "action": "drop"},
        {"source_labels": ["__name__"], "regex": "old_(.*)", "replacement": "new_$1", "target_label": "__name__"},
    ]}});
    let world = World::new(jobs).await;
    world.page(A, Ok("go_x 1\nold_m 2\nm 3\n"));
    world.turn().await;
    world.turn().await;
    world.check("go_x", &[]);
    world.check("new_m", &[(OF_A, &[(1, "2"), (2, "2")])]);
    world.check("scrape_samples_scraped", &[(OF_A, &[(1, "3"), (2, "3")])]);
    world.check("scrape_samples_post_metric_relabeling", &[(OF_A, &[(1, "2"), (2, "2")])]);
}

#[tokio::test]
async fn a_page_beyond_a_limit_of_its_job_is_refused_as_a_whole() {
    for (limit, value, page, why) in [
        ("sample_limit", 2, "a 1\nb 1\nc 1\n", "raise `sample_limit`"),
        ("label_limit", 3, "a{x=\"1\"} 1\n", "raise `label_limit`"),
        ("label_name_length_limit", 8, "a{a_long_name=\"1\"} 1\n", "raise `label_name_length_limit`"),
        ("label_value_length_limit", 8, "a{x=\"a long value\"} 1\n", "raise `label_value_length_limit`"),
    ] {
        let world = World::new(json!({"j": {"static_configs": [{"targets": ["a:1"]}], limit: value}})).await;
        world.page(A, Ok(page));
        let wrong = world.turn().await.unwrap();
        assert!(wrong.contains(why), "{wrong}");
        world.check("a", &[]);
        world.check("up", &[(OF_A, &[(1, "0")])]);
    }
}

#[tokio::test]
async fn a_job_with_too_many_series_keeps_those_that_it_has_and_is_told_how_to_raise_the_limit() {
    let mut catalog = catalog(json!({"j": {"static_configs": [{"targets": ["a:1", "b:1"]}]}}));
    catalog.ingest.series = 3;
    let world = World::over(catalog, |ingest| ingest).await;
    world.page(A, Ok("m{x=\"1\"} 1\nm{x=\"2\"} 1\n"));
    world.page("http://b:1/metrics", Ok("m{x=\"1\"} 1\nm{x=\"2\"} 1\n"));
    let wrong = world.turn().await.unwrap();
    assert!(wrong.contains("`j` has 3 series") && wrong.contains("[ingest.sources.\"j\"] series"), "{wrong}");
    assert_eq!(world.samples("m").len(), 3);
    world.turn().await;
    assert!(world.samples("m").values().all(|samples| samples.len() == 2));
    assert_eq!(world.intake.tally.refused.load(Ordering::Relaxed), 2);
    assert!(world.samples("up").values().all(|samples| samples.iter().all(|(_, value)| value == "1")));
    // Once there is room, the next page has it.
    let mut raised = (*world.bench.context.catalog()).clone();
    raised.ingest.series = 10;
    world.bench.catalog.send_replace(Arc::new(raised));
    assert_eq!(world.turn().await, None);
    assert_eq!(world.samples("m").len(), 4);
}

#[tokio::test]
async fn a_million_series_of_one_page_end_at_the_limit() {
    let mut catalog = catalog(one());
    catalog.ingest.series = 1_000;
    let world = World::over(catalog, |ingest| ingest).await;
    let page: String = (0..1_000_000).map(|n| format!("m{{x=\"{n}\"}} 1\n")).collect();
    world.page(A, Ok(&page));
    let wrong = world.turn().await.unwrap();
    assert!(wrong.contains("`j` has 1000 series"), "{wrong}");
    assert_eq!(world.samples("m").len(), 1_000);
}

#[tokio::test]
async fn times_of_a_page_hold_where_they_are_honoured_and_those_from_afar_are_counted() {
    let now = START.as_millis();
    let page = format!("m 1 {}\nn 1 {}\np NaN\n", now - 15_000, now + 3_600_000);
    let world = World::new(one()).await;
    world.page(A, Ok(&page));
    world.turn().await;
    world.page(A, Ok("p NaN\n"));
    world.turn().await;
    // No end: the page says by itself when a sample is of.
    world.check("m", &[(OF_A, &[(-1, "1")])]);
    world.check("n", &[]);
    world.check("p", &[(OF_A, &[(1, "NaN"), (2, "NaN")])]);
    assert_eq!(world.intake.tally.too_new.load(Ordering::Relaxed), 1);
    let world = World::new(json!({"j": {"honor_timestamps": false, "static_configs": [{"targets": ["a:1"]}]}})).await;
    world.page(A, Ok(&page));
    world.turn().await;
    world.check("m", &[(OF_A, &[(1, "1")])]);
    world.check("n", &[(OF_A, &[(1, "1")])]);
}

#[tokio::test]
async fn targets_of_files_come_and_go_with_what_the_files_say() {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    write("one.json", r#"[{"targets": ["a:1"], "labels": {"port": "7"}}]"#);
    write("two.yml", "- targets: [b:1, c:1]\n");
    let pattern = |name: &str| files.path().join(name).display().to_string();
    let jobs = json!({"j": {"file_sd_configs": [{"files": [pattern("*.json"), pattern("two.yml")]}],
        "relabel_configs": [{"source_labels": ["__address__"], "regex": "c:1", "action": "drop"}]}});
    let world = World::scheduled(catalog(jobs), |ingest| ingest).await;
    let urls = || world.scrapes.targets().into_iter().map(|target| target.url).collect::<Vec<_>>();
    until("the files are read", || urls() == [A, "http://b:1/metrics"]).await;
    let (dropped, counts) = world.scrapes.dropped();
    assert_eq!((dropped.len(), counts["j"], dropped[0].discovered.get("__address__")), (1, 1, Some("c:1")));
    world.page(A, Ok("m 1\n"));
    world.turn().await;
    // One is gone, one is new; a file that is broken keeps what it said.
    write("one.json", r#"[{"targets": ["d:1"]}]"#);
    write("two.yml", "- targets: [b:1\n");
    until("what changed is followed", || {
        world.bench.clock.advance(Span::from_secs(5));
        urls() == ["http://b:1/metrics", "http://d:1/metrics"]
    })
    .await;
    let of_a = r#"{instance="a:1",job="j",port="7"}"#;
    until("its series end", || world.samples("m")[of_a].last().is_some_and(|(_, value)| value == "end")).await;
    assert_eq!(world.samples("up")[of_a].last().map(|(_, value)| value.clone()).as_deref(), Some("end"));
    std::fs::remove_file(files.path().join("one.json")).unwrap();
    until("a file that is gone has no targets", || {
        world.bench.clock.advance(Span::from_secs(5));
        urls() == ["http://b:1/metrics"]
    })
    .await;
    world.scrapes.clear();
}

#[tokio::test]
async fn names_are_looked_up_again_and_one_that_can_not_be_keeps_its_targets() {
    let found = |host: &str, port| Found { host: host.to_owned(), port };
    let jobs = json!({"j": {"dns_sd_configs": [{"names": ["_m._tcp.x"]}, {"names": ["y"], "type": "A", "port": 7}]}});
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(folder.path(), &Fake::default(), catalog(jobs.clone()), START);
    let script = Arc::new(Script::default());
    let say =
        |name: &str, found: Result<Vec<Found>, String>| script.names.lock().unwrap().insert(name.to_owned(), found);
    say("_m._tcp.x", Ok(vec![found("srv", Some(9))]));
    say("y", Ok(vec![found("10.0.0.1", None)]));
    bench.context.outside = Outside { targets: script.clone(), names: script.clone() };
    let scrapes = Arc::new(Scrapes::new(bench.context.clone(), Arc::default()));
    scrapes.sync(&catalog(jobs)).await;
    let urls = || scrapes.targets().into_iter().map(|target| target.url).collect::<Vec<_>>();
    until("names are looked up", || urls() == ["http://10.0.0.1:7/metrics", "http://srv:9/metrics"]).await;
    let of_srv = scrapes.targets().remove(1).discovered;
    assert_eq!(of_srv.get("__meta_dns_srv_record_target"), Some("srv"));
    say("_m._tcp.x", Err("no server answers".to_owned()));
    say("y", Ok(vec![found("10.0.0.2", None)]));
    until("names are looked up again", || {
        bench.clock.advance(Span::from_secs(10));
        urls() == ["http://10.0.0.2:7/metrics", "http://srv:9/metrics"]
    })
    .await;
    scrapes.clear();
}

#[tokio::test]
async fn a_target_is_asked_at_its_interval_until_its_job_is_gone() {
    let world = World::scheduled(catalog(one()), |ingest| ingest).await;
    world.page(A, Ok("m 1\n"));
    let scheduler = &world.bench.context.scheduler;
    let job = scheduler.list().remove(0).spec;
    assert!(job.name.starts_with("scrape/j/a:1/"), "{}", job.name);
    assert_eq!((job.schedule, job.jitter), (Schedule::Every(Span::from_secs(15)), Span::from_secs(15)));
    for turn in 1..4 {
        world.bench.clock.advance(Span::from_secs(15));
        scheduler.run_now(&job.name).unwrap();
        until("it is asked", || world.samples("m").get(OF_A).is_some_and(|samples| samples.len() >= turn)).await;
    }
    world.bench.clock.advance(Span::from_secs(1));
    world.scrapes.sync(&Catalog::default()).await;
    assert!(world.scrapes.targets().is_empty());
    assert_eq!(world.samples("m")[OF_A].last().map(|(_, value)| value.as_str()), Some("end"));
    assert!(world.bench.context.scheduler.list().is_empty());
    // A target that is asked elsewhere now is another; one that is not goes on.
    world.scrapes.sync(&catalog(one())).await;
    let before = world.scrapes.turns();
    world.scrapes.sync(&catalog(one())).await;
    assert!(Arc::ptr_eq(&before[0], &world.scrapes.turns()[0]));
    let changed = json!({"j": {"static_configs": [{"targets": ["a:1"]}], "metrics_path": "/other"}});
    world.scrapes.sync(&catalog(changed)).await;
    assert_eq!(world.scrapes.targets()[0].url, "http://a:1/other");
    world.scrapes.clear();
}

#[tokio::test]
async fn a_job_that_changes_ends_the_series_of_no_target_that_it_has_still() {
    let world = World::new(one()).await;
    world.page(A, Ok("m 1\n"));
    world.page("http://b:1/metrics", Ok("m 2\n"));
    world.turn().await;
    let before = world.scrapes.turns();
    let job = |more: Value| {
        let mut job = json!({"static_configs": [{"targets": ["a:1", "b:1"]}]});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"j": job})
    };
    world.sync(job(json!({}))).await;
    world.turn().await;
    // Of what is asked otherwise, too.
    world.sync(job(json!({"scrape_interval": "1m", "scrape_timeout": "5s", "sample_limit": 10}))).await;
    world.turn().await;
    let status = world.scrapes.targets().remove(0);
    assert_eq!((status.interval, status.timeout), (Span::from_secs(60), Span::from_secs(5)));
    assert!(Arc::ptr_eq(&before[0], &world.scrapes.turns()[0]));
    // Only one that is gone ends.
    world.bench.clock.advance(Span::from_secs(15));
    world.sync(json!({"j": {"static_configs": [{"targets": ["b:1"]}]}})).await;
    let of_b = r#"{instance="b:1",job="j"}"#;
    world.check("m", &[(OF_A, &[(1, "1"), (2, "1"), (3, "1"), (4, "end")]), (of_b, &[(2, "2"), (3, "2")])]);
    world.check("up", &[(OF_A, &[(1, "1"), (2, "1"), (3, "1"), (4, "end")]), (of_b, &[(2, "1"), (3, "1")])]);
}

#[tokio::test]
async fn a_target_of_a_job_that_changed_is_asked_at_the_moment_of_its_interval_as_before() {
    let world = World::scheduled(catalog(one()), |ingest| ingest).await;
    let of_a = || {
        let jobs = world.bench.context.scheduler.list();
        jobs.into_iter().find(|job| job.spec.name.starts_with("scrape/j/a:1/")).unwrap()
    };
    let before = of_a();
    world.bench.clock.advance(Span::from_secs(1));
    world.scrapes.sync(&catalog(json!({"j": {"static_configs": [{"targets": ["a:1", "b:1"]}]}}))).await;
    assert_eq!((of_a().spec, of_a().next_run), (before.spec, before.next_run));
    world
        .scrapes
        .sync(&catalog(json!({"j": {"scrape_interval": "1m", "static_configs": [{"targets": ["a:1"]}]}})))
        .await;
    assert_eq!(of_a().spec.schedule, Schedule::Every(Span::from_secs(60)));
    world.scrapes.clear();
}

#[tokio::test]
async fn a_job_that_relabels_otherwise_ends_the_series_that_it_makes_no_more_and_those_alone() {
    let mut limited = catalog(one());
    limited.ingest.series = 2;
    let world = World::over(limited, |ingest| ingest).await;
    world.page(A, Ok("m 1\nn 2\n"));
    world.turn().await;
    let steps = json!([{"source_labels": ["__name__"], "regex": "n", "target_label": "__name__", "replacement": "o"}]);
    let relabelled = json!({"j": {"static_configs": [{"targets": ["a:1"]}], "metric_relabel_configs": steps}});
    world.sync(relabelled).await;
    assert_eq!(world.turn().await, None, "what is read no more counts no more");
    world.turn().await;
    world.check("m", &[(OF_A, &[(1, "1"), (2, "1"), (3, "1")])]);
    world.check("n", &[(OF_A, &[(1, "2"), (2, "end")])]);
    world.check("o", &[(OF_A, &[(2, "2"), (3, "2")])]);
    // A page that fails ends what the one before it had, whoever read that.
    world.sync(one()).await;
    world.page(A, Err("connection refused"));
    world.turn().await;
    world.check("m", &[(OF_A, &[(1, "1"), (2, "1"), (3, "1"), (4, "end")])]);
    world.check("o", &[(OF_A, &[(2, "2"), (3, "2"), (4, "end")])]);
}

#[tokio::test]
async fn a_file_of_targets_that_is_empty_keeps_what_it_said_where_it_is_json() {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    write("one.json", r#"[{"targets": ["a:1"]}]"#);
    write("two.yml", "- targets: [b:1]\n");
    let pattern = |name: &str| files.path().join(name).display().to_string();
    let jobs = json!({"j": {"file_sd_configs": [{"files": [pattern("one.json"), pattern("two.yml")]}]}});
    let world = World::scheduled(catalog(jobs), |ingest| ingest).await;
    let urls = || world.scrapes.targets().into_iter().map(|target| target.url).collect::<Vec<_>>();
    until("the files are read", || urls() == [A, "http://b:1/metrics"]).await;
    write("one.json", "");
    write("two.yml", "");
    until("what changed is followed", || {
        world.bench.clock.advance(Span::from_secs(5));
        urls() == [A]
    })
    .await;
    write("one.json", "[]");
    until("a list of none is one", || {
        world.bench.clock.advance(Span::from_secs(5));
        urls().is_empty()
    })
    .await;
    world.scrapes.clear();
}

/// Says once that it does not know any series any more.
struct Forgetful(Arc<dyn Ingest>, AtomicBool);

impl Ingest for Forgetful {
    fn resolve(&self, series: &[Pairs<'_>]) -> Result<Vec<Resolved>, StoreError> {
        self.0.resolve(series)
    }

    fn append_refs(&self, rows: &[Row]) -> Result<Appended, StoreError> {
        if self.1.swap(false, Ordering::SeqCst) {
            return Ok(Appended { gone: (0..rows.len()).collect(), ..Appended::default() });
        }
        self.0.append_refs(rows)
    }
}

#[tokio::test]
async fn series_that_the_store_has_forgotten_are_resolved_again() {
    let forgetful = Arc::new(Mutex::new(None));
    let made = forgetful.clone();
    let world = World::over(catalog(one()), move |ingest| {
        let ingest = Arc::new(Forgetful(ingest, AtomicBool::new(false)));
        *made.lock().unwrap() = Some(ingest.clone());
        ingest
    })
    .await;
    world.page(A, Ok("m 1\nn 2\n"));
    world.turn().await;
    forgetful.lock().unwrap().as_ref().unwrap().1.store(true, Ordering::SeqCst);
    world.turn().await;
    world.check("m", &[(OF_A, &[(1, "1"), (2, "1")])]);
    world.check("n", &[(OF_A, &[(1, "2"), (2, "2")])]);
}

#[tokio::test]
async fn pages_say_what_their_metrics_are() {
    let world = World::new(one()).await;
    world.page(A, Ok("# HELP m Some.\n# TYPE m counter\nm 1\n"));
    world.turn().await;
    world.turn().await;
    let (target, metrics) = world.scrapes.metadata().remove(0);
    assert_eq!((target.to_string().as_str(), metrics[0].kind, metrics[0].help.as_str()), (OF_A, "counter", "Some."));
    world.page(A, Ok("# HELP m Another.\n# TYPE m gauge\nm 1\n# TYPE n summary\n"));
    world.turn().await;
    let metrics = world.scrapes.metadata().remove(0).1;
    assert_eq!((metrics.len(), metrics[0].kind, metrics[0].help.as_str()), (2, "gauge", "Another."));
}

/// A server that gives one answer to every request, and keeps what was asked.
async fn server(answer: Vec<u8>) -> (String, Arc<Mutex<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(String::new()));
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            *heard.lock().unwrap() = String::from_utf8(request).unwrap();
            let _ = stream.write_all(&answer).await;
            if answer.is_empty() {
                // Never answers.
                std::future::pending::<()>().await;
            }
        }
    });
    (url, asked)
}

fn ask(url: &str) -> Ask {
    Ask {
        url: url.to_owned(),
        within: Span::from_secs(10),
        limit: 1_000,
        follow_redirects: true,
        basic_auth: None,
        authorization: None,
        tls: TlsConfig::default(),
    }
}

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    [format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn a_target_is_asked_as_prometheus_asks_it_and_its_page_may_be_packed() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"m 1\n").unwrap();
    let packed = encoder.finish().unwrap();
    let head = "200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip";
    let (url, asked) = server(response(head, &packed)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "hush\n").unwrap();
    let http = Http::default();
    let credentials = Authorization { scheme: None, credentials_file: file.clone() };
    let answer = http.ask(&Ask { authorization: Some(credentials), ..ask(&url) }).await.unwrap();
    assert_eq!(
        (answer.body.as_slice(), answer.content_type.as_deref()),
        (b"m 1\n".as_slice(), Some("text/plain; version=0.0.4"))
    );
    let request = asked.lock().unwrap().to_lowercase();
    for part in [
        "authorization: bearer hush\r\n",
        "accept: application/openmetrics-text",
        "x-prometheus-scrape-timeout-seconds: 10\r\n",
    ] {
        assert!(request.contains(part), "{request}");
    }
    let basic = BasicAuth { username: "me".to_owned(), password_file: file };
    http.ask(&Ask { basic_auth: Some(basic), ..ask(&url) }).await.unwrap();
    assert!(asked.lock().unwrap().to_lowercase().contains("authorization: basic bwu6ahvzaa==\r\n"));
    let absent = BasicAuth { username: "me".to_owned(), password_file: "/nothing/here".into() };
    assert!(http.ask(&Ask { basic_auth: Some(absent), ..ask(&url) }).await.unwrap_err().contains("/nothing/here"));
}

#[tokio::test]
async fn a_target_that_gives_no_page_is_told_by_its_reason() {
    let http = Http::default();
    let (down, _) = server(response("503 Service Unavailable", b"busy")).await;
    assert_eq!(http.ask(&ask(&down)).await.unwrap_err(), "the target answered with 503 Service Unavailable");
    let (large, _) = server(response("200 OK", &[b'a'; 2_000])).await;
    assert!(http.ask(&ask(&large)).await.unwrap_err().contains("raise `body_size_limit`"));
    // Without a length, and small while it is packed.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&[b'a'; 100_000]).unwrap();
    let (bomb, _) = server(response("200 OK\r\nContent-Encoding: gzip", &encoder.finish().unwrap())).await;
    assert!(http.ask(&ask(&bomb)).await.unwrap_err().contains("raise `body_size_limit`"));
    let (silent, _) = server(Vec::new()).await;
    let hasty = Ask { within: Span::from_millis(50), ..ask(&silent) };
    assert!(http.ask(&hasty).await.unwrap_err().contains("did not answer within 50ms"));
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(http.ask(&ask(&format!("http://{closed}/"))).await.is_err());
    let (moved, _) = server(response("302 Found\r\nLocation: /elsewhere", b"")).await;
    let stay = Ask { follow_redirects: false, ..ask(&moved) };
    assert_eq!(http.ask(&stay).await.unwrap_err(), "the target answered with 302 Found");
}
