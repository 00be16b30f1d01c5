use super::*;

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

fn window(values: &[f64], exclusions: &[(i64, i64)]) -> Window {
    Window {
        from_ms: 0,
        to_ms: values.len() as i64,
        at_ms: (0..values.len() as i64).collect(),
        value: values.to_vec(),
        exclusions: exclusions.to_vec(),
    }
}

fn finish(json: &str, values: &[f64], exclusions: &[(i64, i64)]) -> Attainment {
    let config = config(json);
    let partial = Percentile::fold(&config, &window(values, exclusions), None).unwrap();
    Percentile::finish(&config, &partial).unwrap()
}

/// Figures that spread over many orders of magnitude, the same in every run.
fn figures(count: u64) -> Vec<f64> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let uniform = (seed >> 11) as f64 / (1u64 << 53) as f64;
            10f64.powf(uniform * 8.0 - 5.0)
        })
        .collect()
}

#[test]
fn every_percentile_is_within_the_relative_error_of_the_sample_of_its_rank() {
    let values = figures(10_000);
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    for error in [0.005, 0.01, 0.05] {
        let mut sketch = Sketch::new(error);
        values.iter().for_each(|value| sketch.add(*value));
        for percentile in [0.1, 1.0, 25.0, 50.0, 95.0, 99.0, 99.9, 100.0] {
            let rank = sketch::rank(percentile, 10_000);
            let exact = sorted[rank as usize - 1];
            let estimate = sketch.at_rank(rank).unwrap();
            assert!((estimate - exact).abs() <= exact * error * 1.000_001, "p{percentile}: {estimate} for {exact}");
        }
    }
}

#[test]
fn whether_the_target_is_met_is_exact_and_the_figure_does_not_contradict_it() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    for target in [94.0, 94.999, 95.0, 95.001, 96.0] {
        let result = finish(&format!(r#"{{"percentile":95,"target":{target}}}"#), &values, &[]);
        assert_eq!(result.met, Some(95.0 <= target), "{target}");
        let attained = result.adjusted.attained.unwrap();
        assert!((attained - 95.0).abs() <= 0.96, "{attained}");
        assert_eq!(result.adjusted.good, f64::floor(target));
    }
}

#[test]
fn the_budget_is_the_share_of_samples_that_may_be_beyond_the_target() {
    let mut values = vec![0.1; 980];
    values.extend([9.0; 20]);
    let result = finish(r#"{"percentile":95,"target":0.3}"#, &values, &[]);
    assert_eq!(result.met, Some(true));
    assert!((result.budget_left.unwrap() - 0.6).abs() < 1e-9);
    assert_eq!(finish(r#"{"percentile":100,"target":9}"#, &values, &[]).budget_left, None);
}

#[test]
fn excluded_samples_count_in_the_raw_figure_only() {
    let result = finish(r#"{"percentile":100,"target":1}"#, &[0.5, 7.0, 0.5], &[(1, 2)]);
    assert_eq!(result.adjusted.total, 2.0);
    assert_eq!(result.met, Some(true));
    assert_eq!(result.raw.total, 3.0);
    assert_eq!(result.raw.attained, Some(7.0));
}

#[test]
fn no_data_is_never_met() {
    let result = finish(r#"{"target":1}"#, &[f64::NAN], &[]);
    assert_eq!((result.adjusted.attained, result.met, result.budget_left), (None, None, None));
}

#[test]
fn parts_that_are_merged_equal_the_whole() {
    let config = config(r#"{"target":1}"#);
    let values = figures(3_000);
    let fold =
        |values: &[f64], partial: Option<&[u8]>| Percentile::fold(&config, &window(values, &[]), partial).unwrap();
    let whole = fold(&values, None);
    let (a, b) = values.split_at(1_234);
    assert_eq!(Percentile::merge(&config, &fold(a, None), &fold(b, None)).unwrap(), whole);
    assert_eq!(fold(b, Some(&fold(a, None))), whole);
    assert!(whole.len() < 256 * 1024);
}

#[test]
fn negative_zero_and_huge_figures_have_their_place() {
    let mut sketch = Sketch::new(0.01);
    [-100.0, -1.0, 0.0, 1.0, f64::INFINITY].into_iter().for_each(|value| sketch.add(value));
    let at = |rank| sketch.at_rank(rank).unwrap();
    assert!((at(1) + 100.0).abs() <= 1.0);
    assert!((at(2) + 1.0).abs() <= 0.01);
    assert_eq!(at(3), 0.0);
    assert!(at(5).is_finite());
}

#[test]
fn the_worst_case_fits_into_what_the_host_keeps() {
    let config = config(r#"{"target":1,"relative-error":0.005}"#);
    let values: Vec<f64> =
        (-4000..4000).map(|power| 1.01f64.powi(power) * if power % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let half = values.len() as i64 / 2;
    let partial = Percentile::fold(&config, &window(&values, &[(0, half)]), None).unwrap();
    assert!(partial.len() < 256 * 1024, "{} bytes", partial.len());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for json in [r#"{"percentile":0}"#, r#"{"percentile":101}"#, r#"{"relative-error":0.5}"#] {
        assert_eq!(Percentile::validate(&config(json)).len(), 1, "{json}");
    }
    let failure = Percentile::fold(&config("{}"), &window(&[], &[]), None).unwrap_err();
    assert!(failure.message().starts_with("`target` is missing"));
    let partial = Percentile::fold(&config(r#"{"target":1}"#), &window(&[], &[]), None).unwrap();
    assert!(Percentile::finish(&config(r#"{"target":1,"relative-error":0.02}"#), &partial).is_err());
}
