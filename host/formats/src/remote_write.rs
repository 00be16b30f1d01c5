//! Prometheus's remote write 1.0: a `prometheus.WriteRequest`, in a snappy block. Exemplars and native histograms are passed over;
//! series that bring nothing else are left out.

use crate::wire::{Message, Value};
use crate::{Batch, Error, Metadata, Sample, compressed};

/// Reads the body of a request. `limit`: bytes of it uncompressed, at most.
///
/// # Errors
/// What is malformed, and what is more than is taken at once.
pub fn read(body: &[u8], limit: usize) -> Result<Batch, Error> {
    message(&compressed::snappy(body, limit)?)
}

/// Reads the message itself.
///
/// # Errors
/// As [`read`].
pub fn message(bytes: &[u8]) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    let mut request = Message::new(bytes);
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    while let Some((number, value)) = request.field()? {
        match number {
            1 => {
                labels.clear();
                samples.clear();
                let other = series(value.message()?, &mut labels, &mut samples)?;
                if !samples.is_empty() || !other {
                    batch.add(labels.iter().copied(), samples.iter().copied())?;
                }
            }
            3 => batch.describe(metadata(value.message()?)?)?,
            _ => {}
        }
    }
    Ok(batch)
}

/// Whether there was anything but labels and samples.
fn series<'a>(
    mut message: Message<'a>,
    labels: &mut Vec<(&'a str, &'a str)>,
    samples: &mut Vec<Sample>,
) -> Result<bool, Error> {
    let mut other = false;
    while let Some((number, value)) = message.field()? {
        match number {
            1 => labels.push(label(value.message()?)?),
            2 => samples.push(sample(value.message()?)?),
            _ => other = true,
        }
        if labels.len() > crate::batch::LABELS || samples.len() > crate::batch::SAMPLES {
            return Err(Error::TooLarge("a series has too many labels or samples; hint: send less at once".to_owned()));
        }
    }
    Ok(other)
}

fn label(mut message: Message<'_>) -> Result<(&str, &str), Error> {
    let (mut name, mut text) = ("", "");
    while let Some((number, value)) = message.field()? {
        match number {
            1 => name = value.text("a label's name")?,
            2 => text = value.text("a label's value")?,
            _ => {}
        }
    }
    Ok((name, text))
}

fn sample(mut message: Message<'_>) -> Result<Sample, Error> {
    let mut sample = Sample { at: 0, value: 0.0 };
    while let Some((number, value)) = message.field()? {
        match (number, value) {
            (1, value) => sample.value = value.double()?,
            (2, value) => sample.at = value.signed()?,
            _ => {}
        }
    }
    Ok(sample)
}

fn metadata(mut message: Message<'_>) -> Result<Metadata, Error> {
    let mut metadata = Metadata { kind: "unknown", ..Metadata::default() };
    while let Some((number, value)) = message.field()? {
        match (number, value) {
            (1, Value::Varint(kind)) => {
                metadata.kind = match kind {
                    1 => "counter",
                    2 => "gauge",
                    3 => "histogram",
                    4 => "gaugehistogram",
                    5 => "summary",
                    6 => "info",
                    7 => "stateset",
                    _ => "unknown",
                }
            }
            (2, value) => value.text("a metric's name")?.clone_into(&mut metadata.name),
            (4, value) => value.text("a metric's help")?.clone_into(&mut metadata.help),
            (5, value) => value.text("a metric's unit")?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write::bytes(&mut out, 1, name);
        write::bytes(&mut out, 2, value);
        out
    }

    fn request(labels: &[(&[u8], &[u8])], samples: &[(i64, f64)]) -> Vec<u8> {
        let mut series = Vec::new();
        for (name, value) in labels {
            write::bytes(&mut series, 1, &pair(name, value));
        }
        for (at, value) in samples {
            let mut sample = Vec::new();
            write::fixed(&mut sample, 1, value.to_bits());
            write::number(&mut sample, 2, at.cast_unsigned());
            write::bytes(&mut series, 2, &sample);
        }
        let mut out = Vec::new();
        write::bytes(&mut out, 1, &series);
        let mut described = Vec::new();
        write::number(&mut described, 1, 1);
        write::bytes(&mut described, 2, b"up");
        write::bytes(&mut described, 4, b"Whether it is.");
        write::bytes(&mut out, 3, &described);
        out
    }

    #[test]
    fn series_samples_and_what_is_said_of_metrics_are_read() {
        let bytes = request(&[(b"__name__", b"up"), (b"job", b"a")], &[(-5, 1.0), (1_790_000_000_000, f64::NAN)]);
        let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let batch = read(&packed, 1 << 20).unwrap();
        let series: Vec<_> = batch.series().collect();
        assert_eq!(series[0].labels, [("__name__", "up"), ("job", "a")]);
        assert_eq!((series[0].samples[0].at, series[0].samples[1].value.to_bits()), (-5, crate::NAN));
        assert_eq!((batch.metadata[0].name.as_str(), batch.metadata[0].kind), ("up", "counter"));
    }

    #[test]
    fn every_cut_of_a_message_is_an_error_or_less_of_it() {
        let bytes = request(&[(b"__name__", b"up"), (b"job", b"a")], &[(1, 1.0), (2, 2.0)]);
        for length in 0..bytes.len() {
            if let Ok(batch) = message(&bytes[..length]) {
                assert!(batch.samples() == 0 || batch.samples() == 2, "{length}");
            }
        }
    }

    #[test]
    fn names_that_are_not_text_are_refused() {
        for labels in
            [[(b"__name__".as_slice(), b"up".as_slice()), (b"a\xff", b"b")], [(b"__name__", b"\xc3"), (b"a", b"b")]]
        {
            let refused = message(&request(&labels, &[(1, 1.0)])).unwrap_err().to_string();
            assert!(refused.contains("not UTF-8"), "{refused}");
        }
    }

    #[test]
    fn more_samples_than_a_request_may_hold_are_refused() {
        // A sample of nothing takes two bytes.
        let mut series = Vec::new();
        write::bytes(&mut series, 1, &pair(b"__name__", b"up"));
        for _ in 0..=crate::batch::SAMPLES {
            write::bytes(&mut series, 2, b"");
        }
        let mut bytes = Vec::new();
        write::bytes(&mut bytes, 1, &series);
        assert!(matches!(message(&bytes), Err(Error::TooLarge(_))));
    }
}
