//! The scorer of the benchmark, on small labels that are made up here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")]

#[path = "../examples/nab/scorer.rs"]
mod scorer;

use scorer::{FALSE_POSITIVE, Labelled, at, best};

/// 100 samples, of which 15 are in probation; a window of ten and one of twenty.
fn labels() -> Vec<Labelled> {
    vec![Labelled { samples: 100, windows: vec![(40, 49), (70, 89)] }]
}

fn flagged(indices: &[usize]) -> Vec<Vec<f64>> {
    vec![(0..100).map(|index| if indices.contains(&index) { 1.0 } else { 0.0 }).collect()]
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

#[test]
fn nothing_is_0_and_everything_found_at_once_is_100() {
    let nothing = at(&labels(), &flagged(&[]), 1.0);
    assert_eq!((nothing.score, nothing.found, nothing.windows), (0.0, 0, 2));
    let perfect = at(&labels(), &flagged(&[40, 70]), 1.0);
    close(perfect.score, 100.0);
    assert_eq!((perfect.precision(), perfect.found, perfect.threshold), (1.0, 2, 1.0));
}

#[test]
fn the_later_a_window_is_found_the_less_it_earns_and_more_of_it_earns_nothing() {
    let sigmoid = |position: f64| 2.0 / (1.0 + (5.0 * position).exp()) - 1.0;
    // One of two windows, half-way: the sixth of ten samples stands at -0.5.
    let half = (1.0 + sigmoid(-0.5) / sigmoid(-1.0)) / 4.0 * 100.0;
    close(at(&labels(), &flagged(&[45]), 1.0).score, half);
    close(at(&labels(), &flagged(&[45, 46, 47, 49]), 1.0).score, half);
}

#[test]
fn false_alarms_cost_their_weight_and_less_right_behind_a_window() {
    let far = at(&labels(), &flagged(&[20]), 1.0);
    close(far.score, -FALSE_POSITIVE / 4.0 * 100.0);
    assert_eq!((far.inside, far.outside, far.precision()), (0, 1, 0.0));
    let behind = at(&labels(), &flagged(&[50]), 1.0).score;
    assert!(behind < 0.0 && behind > far.score / 2.0, "{behind}");
    // Three widths behind and more is far again.
    close(
        at(&[Labelled { samples: 100, windows: vec![(20, 24)] }], &flagged(&[60]), 1.0).score,
        -FALSE_POSITIVE * 50.0,
    );
}

#[test]
fn what_is_flagged_in_probation_does_not_count() {
    close(at(&labels(), &flagged(&[0, 7, 14]), 1.0).score, 0.0);
    assert!(at(&labels(), &flagged(&[15]), 1.0).score < 0.0);
    let long = vec![Labelled { samples: 100_000, windows: vec![(5000, 6000)] }];
    let mut scores = vec![vec![0.0; 100_000]];
    scores[0][749] = 1.0;
    close(at(&long, &scores, 1.0).score, 0.0);
    scores[0][750] = 1.0;
    assert!(at(&long, &scores, 1.0).score < 0.0, "750 samples at most");
}

#[test]
fn the_threshold_is_the_one_that_scores_best_over_all_series() {
    let series = [labels(), labels()].into_iter().flatten().collect::<Vec<_>>();
    let mut scores = vec![vec![0.0; 100], vec![0.0; 100]];
    // Right at 0.6 and more; a hundred false alarms below.
    (scores[0][40], scores[1][70]) = (0.9, 0.6);
    scores[0][50..70].fill(0.5);
    scores[1][50..70].fill(0.3);
    let found = best(&series, &scores);
    assert_eq!((found.threshold, found.found, found.windows, found.outside), (0.6, 2, 4, 0));
    close(found.score, 50.0);
    assert_eq!(at(&series, &scores, 0.6), found);
    assert!(at(&series, &scores, 0.1).score < found.score);
    // Where every threshold costs more than it brings, nothing is flagged.
    let useless = best(&labels(), &flagged(&(16..40).collect::<Vec<_>>()));
    assert_eq!((useless.score, useless.inside + useless.outside), (0.0, 0));
}
