//! What was attained?

use quarterdeck_sdk::sla_calculator::{Attainment, Figure, SlaCalculator, Window};
use quarterdeck_sdk::{Failure, Plugin};

quarterdeck_sdk::config! {
    /// What an objective is configured with, laid over what its instance has.
    pub struct Config {
        /// The share of samples that has to be above zero. Unless given, 0.99.
        #[serde(default = "two_nines")]
        pub target: f64,
    }
}

fn two_nines() -> f64 {
    0.99
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "The share of samples above zero";
}

/// Good and total, of all samples and of those outside of exclusions: what parts of a period are put together from.
#[derive(Clone, Copy, Default)]
struct Counts([u64; 4]);

impl Counts {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let mut counts = Counts::default();
        if bytes.len() != 32 {
            return Err(Failure::rejected("a partial result has 32 bytes"));
        }
        for (count, part) in counts.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *count = u64::from_le_bytes(part.try_into().unwrap_or_default());
        }
        Ok(counts)
    }

    fn write(self) -> Vec<u8> {
        self.0.iter().flat_map(|count| count.to_le_bytes()).collect()
    }
}

impl SlaCalculator for {{type}} {
    fn fold(_config: &Config, window: &Window, partial: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let mut counts = partial.map_or(Ok(Counts::default()), Counts::read)?;
        for (_, value, is_excluded) in window.samples() {
            let is_good = u64::from(value > 0.0);
            let outside = u64::from(!is_excluded);
            for (count, more) in counts.0.iter_mut().zip([is_good, 1, is_good * outside, outside]) {
                *count = count.saturating_add(more);
            }
        }
        Ok(counts.write())
    }

    fn merge(_config: &Config, a: &[u8], b: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut counts = Counts::read(a)?;
        for (count, more) in counts.0.iter_mut().zip(Counts::read(b)?.0) {
            *count = count.saturating_add(more);
        }
        Ok(counts.write())
    }

    fn finish(config: &Config, partial: &[u8]) -> Result<Attainment, Failure> {
        let [good, total, adjusted_good, adjusted_total] = Counts::read(partial)?.0.map(|count| count as f64);
        let figure = |good: f64, total: f64| Figure { good, total, attained: (total > 0.0).then(|| good / total) };
        let adjusted = figure(adjusted_good, adjusted_total);
        let allowed = 1.0 - config.target;
        Ok(Attainment {
            adjusted,
            raw: figure(good, total),
            met: adjusted.attained.map(|attained| attained >= config.target),
            budget_left: adjusted.attained.filter(|_| allowed > 0.0).map(|attained| 1.0 - (1.0 - attained) / allowed),
        })
    }
}

quarterdeck_sdk::export!({{type}}: sla_calculator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_merged_are_the_whole() {
        let config = Config { target: 0.5 };
        let fold = |values: &[f64]| {
            let at_ms = (0..values.len() as i64).collect();
            let window = Window { at_ms, value: values.to_vec(), ..Window::default() };
            {{type}}::fold(&config, &window, None).unwrap()
        };
        let merged = {{type}}::merge(&config, &fold(&[1.0, 0.0]), &fold(&[1.0, 1.0])).unwrap();
        assert_eq!(merged, fold(&[1.0, 0.0, 1.0, 1.0]));
        let attainment = {{type}}::finish(&config, &merged).unwrap();
        assert_eq!((attainment.adjusted.attained, attainment.met), (Some(0.75), Some(true)));
    }
}
