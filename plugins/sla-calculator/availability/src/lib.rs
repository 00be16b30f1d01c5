//! Share of good samples: of all samples in the window, how many fulfil a condition. Never an average of averages, so that two
//! parts of a period weigh as much as they have samples.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::condition::Condition;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::sla_calculator::{Attainment, Figure, SlaCalculator, Window};
use quarterdeck_sdk::{Failure, Plugin, Problem, serde_json};

quarterdeck_sdk::config! {
    /// Configuration of `availability`. As a rule the instance's is empty, and each objective brings its own.
    pub struct Config {
        /// The share of good samples to attain, 0 to 1.
        #[serde(default = "three_nines")]
        #[schema("x-finish-only" = true)]
        pub target: f64,
        /// What makes a sample good.
        #[serde(default = "up")]
        pub good_when: String,
    }
}

fn three_nines() -> f64 {
    0.999
}

fn up() -> String {
    ">= 1".to_owned()
}

/// The plugin.
pub struct Availability;

impl Plugin for Availability {
    type Config = Config;
    const NAME: &'static str = "availability";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Share of samples that fulfil a condition";

    fn validate(config: &Config) -> Vec<Problem> {
        let condition = config.good_when.parse::<Condition>().err().map(|error| Problem::at("/good-when", error));
        let target = check(config).err().map(|failure| Problem::at("/target", failure.message()));
        condition.into_iter().chain(target).collect()
    }
}

/// Counts of good and of all samples, outside exclusions and inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
struct Counts {
    good: u64,
    total: u64,
    excluded_good: u64,
    excluded_total: u64,
}

impl SlaCalculator for Availability {
    fn fold(config: &Config, window: &Window, partial: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let condition: Condition = config.good_when.parse().map_err(Failure::Rejected)?;
        let mut counts = partial.map_or_else(|| Ok(Counts::default()), read)?;
        // What is not a number was not measured.
        for (_, value, excluded) in window.samples().filter(|(_, value, _)| !value.is_nan()) {
            let good = u64::from(condition.holds(value));
            if excluded {
                counts.excluded_good += good;
                counts.excluded_total += 1;
            } else {
                counts.good += good;
                counts.total += 1;
            }
        }
        write(&counts)
    }

    fn merge(_config: &Config, a: &[u8], b: &[u8]) -> Result<Vec<u8>, Failure> {
        let (a, b) = (read(a)?, read(b)?);
        write(&Counts {
            good: a.good + b.good,
            total: a.total + b.total,
            excluded_good: a.excluded_good + b.excluded_good,
            excluded_total: a.excluded_total + b.excluded_total,
        })
    }

    fn finish(config: &Config, partial: &[u8]) -> Result<Attainment, Failure> {
        check(config)?;
        let counts = read(partial)?;
        let adjusted = figure(counts.good, counts.total);
        let allowed = adjusted.total * (1.0 - config.target);
        let bad = adjusted.total - adjusted.good;
        Ok(Attainment {
            adjusted,
            raw: figure(counts.good + counts.excluded_good, counts.total + counts.excluded_total),
            met: adjusted.attained.map(|attained| attained >= config.target),
            budget_left: (allowed > 0.0).then(|| 1.0 - bad / allowed),
        })
    }
}

fn check(config: &Config) -> Result<(), Failure> {
    if (0.0..=1.0).contains(&config.target) {
        return Ok(());
    }
    Err(Failure::Rejected(format!("`target` is {}, expected a share between 0 and 1, as 0.999", config.target)))
}

fn figure(good: u64, total: u64) -> Figure {
    let (good, total) = (good as f64, total as f64);
    Figure { good, total, attained: (total > 0.0).then(|| good / total) }
}

fn read(bytes: &[u8]) -> Result<Counts, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Other(format!("the partial figures can't be read: {error}")))
}

fn write(counts: &Counts) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(counts).map_err(|error| Failure::Other(error.to_string()))
}

quarterdeck_sdk::export!(Availability: sla_calculator);

#[cfg(test)]
mod tests {
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

    fn attained(json: &str, values: &[f64], exclusions: &[(i64, i64)]) -> Attainment {
        let config = config(json);
        let partial = Availability::fold(&config, &window(values, exclusions), None).unwrap();
        Availability::finish(&config, &partial).unwrap()
    }

    #[test]
    fn one_bad_sample_of_ten_is_ninety_percent_and_spends_half_of_a_budget_of_twenty() {
        let result = attained(r#"{"target":0.8}"#, &[1., 1., 1., 1., 0., 1., 1., 1., 1., 1.], &[]);
        assert_eq!(result.adjusted, Figure { good: 9.0, total: 10.0, attained: Some(0.9) });
        assert_eq!(result.met, Some(true));
        assert!((result.budget_left.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn an_excluded_sample_counts_in_the_raw_figure_only() {
        let result = attained("{}", &[1.0, 0.0, 1.0], &[(1, 2)]);
        assert_eq!(result.adjusted, Figure { good: 2.0, total: 2.0, attained: Some(1.0) });
        assert_eq!(result.raw.total, 3.0);
        assert_eq!(result.raw.good, 2.0);
        assert_eq!(result.met, Some(true));
    }

    #[test]
    fn no_data_is_never_met() {
        for (values, exclusions) in [(&[][..], &[][..]), (&[0.0], &[(0, 1)]), (&[f64::NAN], &[])] {
            let result = attained("{}", values, exclusions);
            assert_eq!((result.adjusted.attained, result.met, result.budget_left), (None, None, None));
        }
    }

    #[test]
    fn a_target_of_one_has_no_budget() {
        let result = attained(r#"{"target":1}"#, &[1.0, 0.0], &[]);
        assert_eq!((result.met, result.budget_left), (Some(false), None));
    }

    #[test]
    fn parts_that_are_merged_equal_the_whole() {
        let config = config(r#"{"good-when":"< 0.5"}"#);
        let values: Vec<f64> = (0..100).map(|index| f64::from(index % 7) / 7.0).collect();
        let whole = Availability::fold(&config, &window(&values, &[]), None).unwrap();
        let (a, b) = values.split_at(33);
        let fold = |values: &[f64]| Availability::fold(&config, &window(values, &[]), None).unwrap();
        assert_eq!(Availability::merge(&config, &fold(a), &fold(b)).unwrap(), whole);
        assert_eq!(Availability::fold(&config, &window(b, &[]), Some(&fold(a))).unwrap(), whole);
    }

    #[test]
    fn the_target_is_marked_as_one_that_leaves_partial_figures_as_they_are() {
        let schema =
            serde_json::from_str::<serde_json::Value>(&quarterdeck_sdk::config_schema::<Availability>()).unwrap();
        assert_eq!(schema["properties"]["target"]["x-finish-only"], true);
        assert!(schema["properties"]["good-when"].get("x-finish-only").is_none());
    }

    #[test]
    fn a_target_in_percent_is_refused() {
        let problems = Availability::validate(&config(r#"{"target":99.9,"good-when":"up"}"#));
        assert_eq!(problems.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), ["/good-when", "/target"]);
    }
}
