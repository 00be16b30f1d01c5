//! Judges `anomaly` and `adaptive-threshold` on the Numenta Anomaly Benchmark, beside plain rules of so many standard deviations:
//!
//! ```sh
//! NAB=<checkout of numenta/NAB> cargo run --release -p quarterdeck-plugin-anomaly --example nab
//! ```
//!
//! `ADAPTIVE` may hold another configuration of `adaptive-threshold`. Every detector sees one sample after the other, as its rule would call it, with the state that it handed back. The table is the one in
//! `plugins/detector/README.md`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a benchmark may end with a panic"
)]

mod data;
mod scorer;

use data::Recorded;
use quarterdeck_plugin_adaptive_threshold::AdaptiveThreshold;
use quarterdeck_plugin_anomaly::Anomaly;
use quarterdeck_sdk::detector::{Detector, Series, Verdict, Window};
use quarterdeck_sdk::json;
use scorer::{Labelled, Outcome};
use std::cell::Cell;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var_os("NAB").ok_or("NAB does not name a checkout of numenta/NAB")?);
    let (series, labels) = data::corpus(&folder)?;
    let samples: usize = series.iter().map(|series| series.value.len()).sum();
    println!("{} series, {samples} samples\n", series.len());
    println!("| Detector | NAB score | on the other half | found | precision | threshold |\n|---|---|---|---|---|---|");

    let outcome = |name: &str, scores: &[Vec<f64>]| {
        let best = scorer::best(&labels, scores);
        row(name, &best, Some(other_half(&labels, scores)));
    };
    let of_all = |score: &dyn Fn(&Recorded) -> Vec<f64>| series.iter().map(score).collect::<Vec<_>>();

    let anomaly = of_all(&|series| run::<Anomaly>("{}", series, |verdict| derived(verdict, "anomaly_score")));
    outcome("`anomaly`", &anomaly);
    row("`anomaly` as it comes (0.06)", &scorer::at(&labels, &anomaly, 0.06), None);

    let config = std::env::var("ADAPTIVE").unwrap_or_else(|_| r#"{"season": "day"}"#.to_owned());
    let adaptive = of_all(&|series| alerts(&config, series));
    outcome("`adaptive-threshold` (hours of the day), where an alert begins", &adaptive);
    row("`adaptive-threshold` as it comes (5 spreads)", &scorer::at(&labels, &adaptive, 0.0), None);

    let sigmas = of_all(&|series| sigmas(&series.value));
    row("3 sigma", &scorer::at(&labels, &sigmas, 3.0), None);
    outcome("sigmas, threshold tuned", &sigmas);
    let alerts = of_all(&|series| begins(&self::sigmas(&series.value), 3.0));
    outcome("sigmas, threshold tuned, where an alert begins", &alerts);
    row("3 sigma, where an alert begins", &scorer::at(&labels, &alerts, 3.0), None);

    println!("\nPublished by the benchmark, scored here from its result files:\n");
    for detector in ["numenta", "htmjava", "knncad", "relativeEntropy", "windowedGaussian", "skyline", "null"] {
        match data::published(&folder, detector, &series) {
            Ok(scores) => row(detector, &scorer::best(&labels, &scores), None),
            Err(error) => println!("{detector}: {error}"),
        }
    }
    Ok(())
}

fn row(name: &str, outcome: &Outcome, other_half: Option<f64>) {
    let other_half = other_half.map(|score| format!("{score:.1}")).unwrap_or_default();
    println!(
        "| {name} | {:.1} | {other_half} | {} of {} | {:.2} | {:.3} |",
        outcome.score,
        outcome.found,
        outcome.windows,
        outcome.precision(),
        outcome.threshold
    );
}

/// The score when the threshold of each half of the series (every second one) is the best of the other half: what tuning it on the
/// series that are scored is worth.
fn other_half(labels: &[Labelled], scores: &[Vec<f64>]) -> f64 {
    let half = |odd: usize| -> (Vec<Labelled>, Vec<Vec<f64>>) {
        let of = labels.iter().zip(scores).enumerate().filter(|(index, _)| index % 2 == odd);
        of.map(|(_, (labels, scores))| {
            (Labelled { samples: labels.samples, windows: labels.windows.clone() }, scores.clone())
        })
        .unzip()
    };
    let halves = [half(0), half(1)];
    let scored = |own: usize, other: usize| {
        let threshold = scorer::best(&halves[other].0, &halves[other].1).threshold;
        let outcome = scorer::at(&halves[own].0, &halves[own].1, threshold);
        (outcome.score * outcome.windows as f64, outcome.windows as f64)
    };
    let (a, b) = (scored(0, 1), scored(1, 0));
    (a.0 + b.0) / (a.1 + b.1)
}

/// A detector on a series, called with each sample as it comes; the score that is made of each verdict.
fn run<D: Detector>(config: &str, series: &Recorded, score: impl Fn(&Verdict) -> f64) -> Vec<f64> {
    let config: D::Config = json::from_str(config).unwrap_or_else(|error| panic!("the configuration: {error}"));
    let mut state: Option<Vec<u8>> = None;
    let samples = series.at_ms.iter().zip(&series.value);
    samples
        .map(|(&at, &value)| {
            let sample = Series { at_ms: vec![at], value: vec![value], ..Series::default() };
            let window = Window { now_ms: at, from_ms: at - 300_000, series: vec![sample] };
            let verdict = D::evaluate(&config, &window, state.as_deref()).unwrap_or_else(|error| panic!("{error}"));
            let score = score(&verdict);
            state = verdict.state;
            score
        })
        .collect()
}

/// The deviation of each sample with which an alert of `adaptive-threshold` begins. The recordings are of two weeks, which is no time for hours of
/// the week.
fn alerts(config: &str, series: &Recorded) -> Vec<f64> {
    let was = Cell::new(false);
    run::<AdaptiveThreshold>(config, series, |verdict| {
        let is_raised = !verdict.signals.is_empty();
        let begins = is_raised && !was.replace(is_raised);
        was.set(is_raised);
        if begins { derived(verdict, "adaptive_threshold_deviation").abs() } else { 0.0 }
    })
}

fn derived(verdict: &Verdict, metric: &str) -> f64 {
    verdict.derived.iter().find(|derived| derived.metric == metric).map_or(0.0, |derived| derived.value)
}

/// How many standard deviations each sample lies from the mean of all before it.
fn sigmas(values: &[f64]) -> Vec<f64> {
    let (mut count, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
    let score = |value: &f64| {
        let deviation = if count > 10.0 { (squares / count).sqrt() } else { 0.0 };
        let score = if deviation > 0.0 { (value - mean).abs() / deviation } else { 0.0 };
        count += 1.0;
        let before = value - mean;
        mean += before / count;
        squares += before * (value - mean);
        score
    };
    values.iter().map(score).collect()
}

/// Only the first sample of each stretch beyond a level, with the score that it has: what begins an alert.
fn begins(scores: &[f64], level: f64) -> Vec<f64> {
    let mut was = false;
    let score = |score: &f64| {
        let begins = *score > level && !was;
        was = *score > level;
        if begins { *score } else { 0.0 }
    };
    scores.iter().map(score).collect()
}
