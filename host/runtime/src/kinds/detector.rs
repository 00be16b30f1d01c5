//! Is this series abnormal?

pub(crate) mod previous;

use super::{convert, export};
use crate::bindings::detector::exports::quarterdeck::detector::detector as wit;
use crate::call::{Guest, Misfit, Reply, words};
use crate::decisions::Question;
use crate::plugin::{DetectorExport, Version};
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::kind::detector::{DERIVED_OF_A_SERIES, Derived, Detector, Signal, Verdict, Window};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

#[async_trait]
impl Detector for Runtime {
    async fn evaluate(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        window: &Window,
        state: Option<&[u8]>,
    ) -> CallResult<Verdict> {
        let samples: usize = window.series.iter().map(|series| series.values.len()).sum();
        let request =
            Request::new(Kind::Detector, instance).at(window.now).over(config).bytes(samples.saturating_mul(16));
        let question = Question::Evaluate { window: Cow::Borrowed(window), state: state.map(Cow::Borrowed) };
        let window = wit::Window::from(window);
        let state = state.map(<[u8]>::to_vec);
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::evaluate(guest, &version, &config, &window, state.as_deref()).await })
        })
        .await
    }
}

pub(super) async fn evaluate(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    window: &wit::Window,
    state: Option<&[u8]>,
) -> Reply<Verdict> {
    let result = match export(version, |version| &version.exports.detector, Kind::Detector) {
        Ok(DetectorExport::Current(pre)) => {
            let detector = pre.instantiate_async(&mut guest.store).await?;
            detector.quarterdeck_detector_detector().call_evaluate(&mut guest.store, config, window, state).await?
        }
        Ok(DetectorExport::Previous(previous)) => previous.evaluate(guest, config, window, state).await?,
        Err(error) => return Ok(Err(error)),
    };
    Ok(result.map_err(CallError::from).and_then(|verdict| judged(verdict, window.series.len())))
}

fn judged(verdict: wit::Verdict, series: usize) -> Result<Verdict, CallError> {
    let index = |given: u32| {
        let index = usize::try_from(given).ok().filter(|index| *index < series);
        index.ok_or_else(|| Misfit::error(format!("it judges series {given}, and the window has {series}")))
    };
    let most = series.saturating_mul(DERIVED_OF_A_SERIES);
    if verdict.derived.len() > most {
        let count = verdict.derived.len();
        return Err(Misfit::error(format!("it derives {count} samples from {series} series, which may give {most}")));
    }
    let derived = verdict.derived.into_iter().map(|derived| {
        Ok(Derived { series: index(derived.series)?, metric: words(derived.metric), value: derived.value })
    });
    let derived = derived.collect::<Result<_, CallError>>()?;
    let signals = verdict.signals.into_iter().map(|signal| {
        Ok(Signal {
            series: index(signal.series)?,
            severity: signal.severity.into(),
            value: signal.value,
            expected: signal.expected,
            reason: words(signal.reason),
        })
    });
    Ok(Verdict { signals: signals.collect::<Result<_, CallError>>()?, state: convert::state(verdict.state)?, derived })
}

impl From<&Window> for wit::Window {
    fn from(window: &Window) -> Self {
        wit::Window {
            now_ms: window.now.as_millis(),
            from_ms: window.from.as_millis(),
            series: window
                .series
                .iter()
                .map(|series| wit::Series {
                    labels: convert::labels_in(&series.labels),
                    at_ms: series.at.iter().map(|at| at.as_millis()).collect(),
                    value: series.values.clone(),
                })
                .collect(),
        }
    }
}
