//! Metrics of OpenTelemetry (OTLP 1.x), as protobuf and as JSON, made into series as Prometheus's own OTLP endpoint does.
//!
//! Gauges and cumulative sums become samples, explicit histograms `_bucket`, `_sum` and `_count`, summaries their quantiles. What has
//! no place in cumulative series - delta temporality, exponential histograms - is rejected by the point, and said.

mod json;
mod model;
mod protobuf;
mod translate;

use crate::wire::write;
use crate::{Batch, Error, Metadata, STALE, Sample};
use model::{Attribute, Histogram, Kind, Metric, Number, Point, Request, Summary, Temporality};
use std::collections::BTreeMap;

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub batch: Batch,
    /// Data points that are not taken.
    pub rejected: u64,
    /// Why, each reason once, a few of them.
    pub reasons: Vec<String>,
}

/// Reasons that are told, at most.
const REASONS: usize = 8;

/// Reads an `ExportMetricsServiceRequest` in protobuf.
///
/// # Errors
/// What is malformed, and what is more than is taken at once.
pub fn protobuf(bytes: &[u8]) -> Result<Read, Error> {
    translated(&protobuf::read(bytes)?)
}

/// Reads the same in JSON.
///
/// # Errors
/// As [`protobuf`].
pub fn json(bytes: &[u8]) -> Result<Read, Error> {
    translated(&json::read(bytes)?)
}

/// An `ExportMetricsServiceResponse` in protobuf. Where nothing was rejected it is empty.
pub fn answer(rejected: u64, message: &str) -> Vec<u8> {
    let (mut partial, mut out) = (Vec::new(), Vec::new());
    if rejected > 0 {
        write::number(&mut partial, 1, rejected);
        write::bytes(&mut partial, 2, message.as_bytes());
        write::bytes(&mut out, 1, &partial);
    }
    out
}

/// A `google.rpc.Status` in protobuf: what is answered instead where a request fails. `code`: of gRPC.
pub fn status(code: u32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::number(&mut out, 1, code.into());
    write::bytes(&mut out, 2, message.as_bytes());
    out
}

fn translated(request: &Request) -> Result<Read, Error> {
    let mut read = Read::default();
    for resource in &request.resource_metrics {
        let target = translate::target(&resource.resource.attributes);
        let mut newest = None;
        for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            read.metric(metric, &target, &mut newest)?;
        }
        let info = translate::info(&resource.resource.attributes);
        if let (Some(at), false, false) = (newest, target.is_empty(), info.is_empty()) {
            let labels = info.iter().chain(&target).map(|(name, value)| (name.as_str(), value.as_str()));
            let sample = Sample { at, value: 1.0 };
            read.batch.add(labels.chain([("__name__", "target_info")]), [sample])?;
        }
    }
    Ok(read)
}

type Texts = BTreeMap<String, String>;

impl Read {
    fn metric(&mut self, metric: &Metric, target: &Texts, newest: &mut Option<i64>) -> Result<(), Error> {
        let (kind, points) = match &metric.kind {
            Some(Kind::Gauge(points)) => ("gauge", points.data_points.len()),
            Some(Kind::Sum(sum)) if sum.is_monotonic => ("counter", sum.data_points.len()),
            Some(Kind::Sum(sum)) => ("gauge", sum.data_points.len()),
            Some(Kind::Histogram(histogram)) => ("histogram", histogram.data_points.len()),
            Some(Kind::ExponentialHistogram(points)) => ("", points.data_points.len()),
            Some(Kind::Summary(summary)) => ("summary", summary.data_points.len()),
            None => return Ok(()),
        };
        let of = &metric.name;
        if of.is_empty() {
            self.reject(points, "a metric has no name".to_owned());
            return Ok(());
        }
        let temporality = match &metric.kind {
            Some(Kind::Sum(sum)) => sum.aggregation_temporality,
            Some(Kind::Histogram(histogram)) => histogram.aggregation_temporality,
            Some(Kind::ExponentialHistogram(_)) => {
                self.reject(points, format!(
                    "`{of}` is an exponential histogram, which is not supported; hint: let the SDK aggregate into explicit buckets"
                ));
                return Ok(());
            }
            _ => Temporality::Cumulative,
        };
        if temporality != Temporality::Cumulative {
            self.reject(points, format!(
                "`{of}` has {} temporality; hint: set the exporter's temporality preference to cumulative, or use the \
                 collector's `deltatocumulative` processor",
                if temporality == Temporality::Delta { "delta" } else { "no" }
            ));
            return Ok(());
        }
        let name = translate::metric(of, &metric.unit, kind);
        self.batch.describe(Metadata {
            name: name.clone(),
            kind,
            help: metric.description.clone(),
            unit: metric.unit.clone(),
        })?;
        match &metric.kind {
            Some(Kind::Gauge(points)) => self.numbers(&name, &points.data_points, target, newest),
            Some(Kind::Sum(sum)) => self.numbers(&name, &sum.data_points, target, newest),
            Some(Kind::Histogram(histogram)) => self.histograms(&name, &histogram.data_points, target, newest),
            Some(Kind::Summary(summary)) => self.summaries(&name, &summary.data_points, target, newest),
            _ => Ok(()),
        }
    }

    fn numbers(
        &mut self,
        name: &str,
        points: &[Number],
        target: &Texts,
        newest: &mut Option<i64>,
    ) -> Result<(), Error> {
        for point in points {
            let labels = labels(&point.attributes, target);
            let at = noted(&point.point, newest);
            #[expect(clippy::cast_precision_loss, reason = "values are floats here")]
            let value = point.as_double.or(point.as_int.map(|value| value as f64));
            match value {
                _ if point.point.is_gone() => self.sample(name, &labels, None, at, f64::from_bits(STALE))?,
                Some(value) => self.sample(name, &labels, None, at, value)?,
                None => self.reject(1, format!("a point of `{name}` has no value")),
            }
        }
        Ok(())
    }

    fn histograms(
        &mut self,
        name: &str,
        points: &[Histogram],
        target: &Texts,
        newest: &mut Option<i64>,
    ) -> Result<(), Error> {
        let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
        for point in points {
            let labels = labels(&point.attributes, target);
            let at = noted(&point.point, newest);
            let ends = point.point.is_gone();
            let counts = &point.bucket_counts;
            let fits = counts.is_empty() && point.explicit_bounds.is_empty()
                || counts.len() == point.explicit_bounds.len() + 1;
            if !fits {
                self.reject(1, format!("the buckets of `{name}` don't fit their bounds"));
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "values are floats here")]
            let shown = |value: u64| if ends { f64::from_bits(STALE) } else { value as f64 };
            if let Some(value) = point.sum {
                self.sample(&sum, &labels, None, at, if ends { f64::from_bits(STALE) } else { value })?;
            }
            self.sample(&count, &labels, None, at, shown(point.count))?;
            let mut up_to = 0_u64;
            for (bound, in_it) in point.explicit_bounds.iter().zip(counts) {
                up_to = up_to.saturating_add(*in_it);
                self.sample(&bucket, &labels, Some(("le", &translate::number(*bound))), at, shown(up_to))?;
            }
            self.sample(&bucket, &labels, Some(("le", "+Inf")), at, shown(point.count))?;
        }
        Ok(())
    }

    fn summaries(
        &mut self,
        name: &str,
        points: &[Summary],
        target: &Texts,
        newest: &mut Option<i64>,
    ) -> Result<(), Error> {
        let (sum, count) = (format!("{name}_sum"), format!("{name}_count"));
        for point in points {
            let labels = labels(&point.attributes, target);
            let at = noted(&point.point, newest);
            let shown = |value: f64| if point.point.is_gone() { f64::from_bits(STALE) } else { value };
            self.sample(&sum, &labels, None, at, shown(point.sum))?;
            #[expect(clippy::cast_precision_loss, reason = "values are floats here")]
            self.sample(&count, &labels, None, at, shown(point.count as f64))?;
            for value in &point.quantile_values {
                let quantile = translate::number(value.quantile);
                self.sample(name, &labels, Some(("quantile", &quantile)), at, shown(value.value))?;
            }
        }
        Ok(())
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &Texts,
        more: Option<(&str, &str)>,
        at: i64,
        value: f64,
    ) -> Result<(), Error> {
        let own = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // The bucket's or quantile's label is the format's own: it goes before one of the same name.
        let own = own.filter(|(label, _)| more.is_none_or(|(name, _)| name != *label) && *label != "__name__");
        self.batch.add(own.chain(more).chain([("__name__", name)]), [Sample { at, value }])
    }

    fn reject(&mut self, points: usize, why: String) {
        self.rejected += points as u64;
        if self.reasons.len() < REASONS && !self.reasons.contains(&why) {
            self.reasons.push(why);
        }
    }
}

fn noted(point: &Point, newest: &mut Option<i64>) -> i64 {
    let at = i64::try_from(point.time_unix_nano / 1_000_000).unwrap_or(i64::MAX);
    *newest = (*newest).max(Some(at));
    at
}

/// The target's labels are the format's own: they go over a point's.
fn labels(attributes: &[Attribute], target: &Texts) -> Texts {
    let mut labels = translate::labels(attributes);
    labels.extend(target.iter().map(|(name, value)| (name.clone(), value.clone())));
    labels
}

#[cfg(test)]
mod tests;
