//! Percentile of samples against a target: "95 % of the answers within 300 ms".
//!
//! Whether the target is met is exact: samples within it are counted. The percentile that is shown comes from a mergeable
//! sketch, at most `relative-error` (unless given, 1 %) away from the sample of that rank, and on the same side of the target.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

pub mod sketch;

use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::sla_calculator::{Attainment, Figure, SlaCalculator, Window};
use quarterdeck_sdk::{Failure, Plugin, Problem, serde_json};
use sketch::Sketch;

quarterdeck_sdk::config! {
    /// Configuration of `percentile`. As a rule the instance's is empty, and each objective brings its own.
    pub struct Config {
        /// 0 to 100.
        #[serde(default = "ninety_five")]
        #[schema("x-finish-only" = true)]
        pub percentile: f64,
        /// The percentile must be at most this.
        #[serde(default)]
        pub target: Option<f64>,
        /// How far the percentile that is shown may be from the true one, as a share of it.
        #[serde(default = "one_percent")]
        pub relative_error: f64,
    }
}

fn ninety_five() -> f64 {
    95.0
}

fn one_percent() -> f64 {
    0.01
}

/// The plugin.
pub struct Percentile;

impl Plugin for Percentile {
    type Config = Config;
    const NAME: &'static str = "percentile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Percentile of samples, such as the p95 of a latency";

    fn validate(config: &Config) -> Vec<Problem> {
        check(config).err().map(|(pointer, message)| Problem::at(pointer, message)).into_iter().collect()
    }
}

/// Samples outside exclusions, and inside.
#[derive(Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
struct Partial {
    within: u64,
    excluded_within: u64,
    sketch: Sketch,
    excluded: Sketch,
}

impl SlaCalculator for Percentile {
    fn fold(config: &Config, window: &Window, partial: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let target = target(config)?;
        let mut partial = match partial {
            Some(bytes) => read(bytes, config)?,
            None => Partial {
                within: 0,
                excluded_within: 0,
                sketch: Sketch::new(config.relative_error),
                excluded: Sketch::new(config.relative_error),
            },
        };
        // What is not a number was not measured.
        for (_, value, excluded) in window.samples().filter(|(_, value, _)| !value.is_nan()) {
            let within = u64::from(value <= target);
            if excluded {
                partial.excluded.add(value);
                partial.excluded_within += within;
            } else {
                partial.sketch.add(value);
                partial.within += within;
            }
        }
        write(&partial)
    }

    fn merge(config: &Config, a: &[u8], b: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut a, b) = (read(a, config)?, read(b, config)?);
        a.within += b.within;
        a.excluded_within += b.excluded_within;
        a.sketch.merge(&b.sketch);
        a.excluded.merge(&b.excluded);
        write(&a)
    }

    fn finish(config: &Config, partial: &[u8]) -> Result<Attainment, Failure> {
        let target = target(config)?;
        let Partial { within, excluded_within, sketch, excluded } = read(partial, config)?;
        let mut all = sketch.clone();
        all.merge(&excluded);
        let adjusted = figure(config, target, within, &sketch);
        let bad = adjusted.total - adjusted.good;
        let allowed = adjusted.total * (1.0 - config.percentile / 100.0);
        Ok(Attainment {
            adjusted,
            raw: figure(config, target, within + excluded_within, &all),
            met: adjusted.attained.map(|attained| attained <= target),
            budget_left: (allowed > 0.0).then(|| 1.0 - bad / allowed),
        })
    }
}

fn figure(config: &Config, target: f64, within: u64, sketch: &Sketch) -> Figure {
    let rank = sketch::rank(config.percentile, sketch.count());
    let attained = sketch.at_rank(rank).map(|estimate| {
        // The sample of that rank is within the target exactly if so many samples are. What is shown does not contradict it.
        if within >= rank { estimate.min(target) } else { estimate.max(target.next_up()) }
    });
    Figure { good: within as f64, total: sketch.count() as f64, attained }
}

fn check(config: &Config) -> Result<(), (&'static str, String)> {
    if !(config.percentile > 0.0 && config.percentile <= 100.0) {
        return Err((
            "/percentile",
            format!("`percentile` is {}, expected more than 0, at most 100", config.percentile),
        ));
    }
    if !(0.005..=0.2).contains(&config.relative_error) {
        return Err(("/relative-error", format!("is {}, expected 0.005 to 0.2", config.relative_error)));
    }
    match config.target {
        Some(target) if !target.is_finite() => Err(("/target", "is not a finite number".to_owned())),
        _ => Ok(()),
    }
}

fn target(config: &Config) -> Result<f64, Failure> {
    check(config).map_err(|(_, message)| Failure::Rejected(message))?;
    config
        .target
        .ok_or_else(|| Failure::rejected("`target` is missing\nhint: give the objective one, as in `target: 0.3`"))
}

fn read(bytes: &[u8], config: &Config) -> Result<Partial, Failure> {
    let partial: Partial = serde_json::from_slice(bytes)
        .map_err(|error| Failure::Other(format!("the partial figures can't be read: {error}")))?;
    if !partial.sketch.fits(config.relative_error) || !partial.excluded.fits(config.relative_error) {
        return Err(Failure::rejected("the partial figures were made with another relative error"));
    }
    Ok(partial)
}

fn write(partial: &Partial) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(partial).map_err(|error| Failure::Other(error.to_string()))
}

quarterdeck_sdk::export!(Percentile: sla_calculator);

#[cfg(test)]
mod tests;
