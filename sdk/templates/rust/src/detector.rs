//! Is this series abnormal?

use quarterdeck_sdk::detector::{Detector, Signal, Verdict, Window, words};
use quarterdeck_sdk::statistics::median;
use quarterdeck_sdk::{Failure, Plugin, Severity};

quarterdeck_sdk::config! {
    /// What a rule is configured with, laid over what its instance has.
    pub struct Config {
        /// A sample that is so many times the median of those before it is abnormal. Unless given, 3.
        #[serde(default = "three")]
        pub factor: f64,
    }
}

fn three() -> f64 {
    3.0
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Series that jump";
}

impl Detector for {{type}} {
    // Pure: everything that counts is handed in, the time too, and the same input gives the same output.
    fn evaluate(config: &Config, window: &Window, _state: Option<&[u8]>) -> Result<Verdict, Failure> {
        let mut verdict = Verdict::default();
        for (index, series) in window.series.iter().enumerate() {
            let Some((&last, before)) = series.value.split_last() else { continue };
            // Of the finite samples: none, where there is none yet.
            let Some(usual) = median(&mut before.to_vec()) else { continue };
            if last.is_finite() && last > usual * config.factor {
                verdict.signals.push(Signal {
                    series: index,
                    severity: Severity::High,
                    value: last,
                    expected: Some(usual),
                    reason: format!("is {}, and was {} before", words::figure(last), words::figure(usual)),
                });
            }
        }
        Ok(verdict)
    }
}

quarterdeck_sdk::export!({{type}}: detector);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::detector::Series;
    use quarterdeck_sdk::testing::bears_odd_windows;

    #[test]
    fn a_jump_is_abnormal_and_a_steady_series_is_not() {
        let series = |value: &[f64]| Series { value: value.to_vec(), ..Series::default() };
        let window = Window { series: vec![series(&[1.0, 1.0, 9.0]), series(&[1.0, 1.0, 1.0])], ..Window::default() };
        let verdict = {{type}}::evaluate(&Config { factor: 3.0 }, &window, None).unwrap();
        assert_eq!(verdict.signals.iter().map(|signal| signal.series).collect::<Vec<_>>(), [0]);
        // Whatever else a series may hold is borne.
        bears_odd_windows::<{{type}}>("{}");
    }
}
