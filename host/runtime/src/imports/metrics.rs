//! `metrics`: the host's series, newest samples only.

use crate::bindings::host::errors::Error;
use crate::bindings::host::metrics::{Host, Point};
use crate::bindings::types::Label;
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use quarterdeck_model::series::{LOOKBACK, Sample, Selector};

impl Host for Sandbox {
    async fn latest(&mut self, name: String, matching: Vec<Label>) -> wasmtime::Result<Result<Vec<Point>, Error>> {
        let asked =
            self.ask(Capability::Metrics, String::new, |grants| policy::flag(grants.metrics, Capability::Metrics));
        if let Err(refusal) = asked {
            return Ok(Err(refusal));
        }
        let labels = matching.into_iter().map(|label| (label.name, label.value)).collect();
        let (series, now) = (self.doors.series.clone(), self.now);
        let selector = Selector { metric: name, labels };
        let samples = self.doors.runtime.spawn_blocking(move || series.latest(&selector, now, LOOKBACK));
        let samples = match samples.await {
            Ok(samples) => samples,
            Err(error) => return Ok(Err(Error::Failed(error.to_string()))),
        };
        let bytes = samples.iter().map(size).fold(0, u64::saturating_add);
        Ok(self.count_bytes(bytes, 0).map_err(Error::Limited).map(|()| samples.into_iter().map(point).collect()))
    }
}

fn size(sample: &Sample) -> u64 {
    sample.labels.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>().saturating_add(16)
}

fn point(sample: Sample) -> Point {
    let labels = sample.labels.0.into_iter().map(|(name, value)| Label { name, value }).collect();
    Point { labels, at_ms: sample.at.as_millis(), value: sample.value }
}
