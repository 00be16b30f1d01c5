use super::*;
use crate::testing::{Bench, Fake, START, plugin};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::series::{LOOKBACK, Selector};

fn failure(plugin: Option<PluginRef>, seconds: u64) -> Option<Failure> {
    let since = START.plus(Span::from_secs(seconds));
    let (name, instance) = ("hot".to_owned(), "threshold/x".into());
    Some(Failure { name, instance, plugin, code: "other".to_owned(), error: "no".to_owned(), since })
}

/// Answers, with what is told at each, and since when the last failure that was told goes on.
fn check(answers: &[(Option<Failure>, Option<Told>)], since: Option<u64>) {
    let mut standing = Standing::default();
    let mut last = None;
    for (index, (failure, expected)) in answers.iter().enumerate() {
        let told;
        (standing, told) = observe(standing, failure.clone());
        assert_eq!(told, *expected, "answer {index} of {answers:?}");
        last = standing.told.as_ref().map(|told| told.since).or(last);
    }
    assert_eq!(last, since.map(|seconds| START.plus(Span::from_secs(seconds))), "{answers:?}");
}

#[test]
fn a_failure_is_told_at_its_beginning_and_at_its_end() {
    let of = |seconds| failure(Some(plugin()), seconds);
    let (failed, recovered) = (Some(Told::Failed), Some(Told::Recovered));
    check(&[(None, None), (None, None)], None);
    check(&[(of(0), failed), (of(15), None), (of(900), None), (None, recovered), (None, None)], Some(0));
    check(&[(of(0), failed), (None, recovered), (of(30), failed), (None, recovered)], Some(30));
}

#[test]
fn that_nobody_is_there_to_be_asked_is_told_when_it_lasts() {
    let (asked, unasked) = (|seconds| failure(Some(plugin()), seconds), |seconds| failure(None, seconds));
    let (failed, recovered) = (Some(Told::Failed), Some(Told::Recovered));
    check(&[(unasked(0), None), (unasked(59), None), (None, None), (unasked(70), None), (unasked(120), None)], None);
    check(&[(unasked(0), None), (unasked(60), failed), (unasked(75), None), (None, recovered)], Some(0));
    check(&[(unasked(0), None), (asked(15), failed), (unasked(30), None)], Some(0));
}

#[tokio::test]
async fn what_fails_is_a_series_that_ends_with_it_and_there_is_none_where_nothing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path(), &Fake::default(), Catalog::default(), START);
    let rules = Failing::load(bench.context.clone(), Asker::Rule).unwrap();
    let objectives = Failing::load(bench.context.clone(), Asker::Objective).unwrap();
    let figures = Figures { context: bench.context.clone(), lives: Mutex::default() };
    let alive = async || {
        bench.advance(EVERY);
        figures.append().await.unwrap();
        let selector = Selector { metric: SERIES.into(), labels: Labels::new() };
        let latest = bench.context.series.latest(&selector, bench.now(), LOOKBACK);
        let said = |labels: &Labels, name: &str| labels.get(name).unwrap_or_default().to_owned();
        let said = latest.iter().map(|sample| ["what", "name", "instance"].map(|name| said(&sample.labels, name)));
        said.map(|said| said.join(" ")).collect::<Vec<_>>()
    };
    assert!(alive().await.is_empty());
    assert!(bench.context.series.names().is_empty());
    let (plugin, instance) = (plugin(), InstanceName::from("threshold/x"));
    let failed = CallFailed { error: CallError::Other { message: "no".into() }, plugin: Some(plugin.clone()) };
    rules.note("hot", &instance, Some(Err(&failed)), bench.now()).await.unwrap();
    objectives.note("api", &"availability/x".into(), Some(Err(&failed)), bench.now()).await.unwrap();
    assert_eq!(alive().await, ["objective api availability/x", "rule hot threshold/x"]);
    rules.note("hot", &instance, Some(Ok(&plugin)), bench.now()).await.unwrap();
    assert_eq!(alive().await, ["objective api availability/x"]);
    objectives.end(|_| false).await.unwrap();
    assert!(alive().await.is_empty());
}
