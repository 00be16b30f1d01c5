//! Prometheus's remote write 1.0: a `prometheus.WriteRequest`, in a snappy block. Exemplars and native histograms are passed over;
//! series that bring nothing else are left out. A series that can't be one - a label twice, no name, what is not UTF-8 - is refused by
//! itself: senders don't send a request again of which they hear that it is wrong, and what else it brings would be lost.

use crate::wire::{Message, Value};
use crate::{Batch, Error, Metadata, Sample, compressed};

/// Reads the body of a request. `limit`: bytes of it uncompressed, at most.
///
/// # Errors
/// What can't be decoded, and what is more than is taken at once. Series that are wrong in themselves are counted in
/// [`Batch::refused`].
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
                let (other, wrong) = series(value.message()?, &mut labels, &mut samples)?;
                if samples.is_empty() && other {
                    continue;
                }
                let added = match wrong {
                    None => batch.add(labels.iter().copied(), samples.iter().copied()),
                    Some(why) => Err(Error::Malformed(why)),
                };
                match added {
                    Err(Error::Malformed(why)) => batch.refuse(samples.len(), || of(&labels, &why)),
                    added => added?,
                }
            }
            3 => batch.describe(metadata(value.message()?)?)?,
            _ => {}
        }
    }
    Ok(batch)
}

/// The reason, and the series' name as far as it is known.
fn of(labels: &[(&str, &str)], why: &str) -> String {
    match labels.iter().find(|(name, value)| *name == "__name__" && !value.is_empty()) {
        Some((_, name)) => format!("`{}`: {why}", crate::exposition::shortened(name)),
        None => why.to_owned(),
    }
}

/// Whether there was anything but labels and samples, and what is wrong with the labels, which leaves the message readable.
fn series<'a>(
    mut message: Message<'a>,
    labels: &mut Vec<(&'a str, &'a str)>,
    samples: &mut Vec<Sample>,
) -> Result<(bool, Option<String>), Error> {
    let (mut other, mut wrong) = (false, None);
    while let Some((number, value)) = message.field()? {
        match number {
            1 => match label(value.message()?)? {
                Ok(label) => labels.push(label),
                Err(why) => wrong = wrong.or(Some(why)),
            },
            2 => samples.push(sample(value.message()?)?),
            _ => other = true,
        }
        if labels.len() > crate::batch::LABELS || samples.len() > crate::batch::SAMPLES {
            return Err(Error::TooLarge("a series has too many labels or samples; hint: send less at once".to_owned()));
        }
    }
    Ok((other, wrong))
}

/// A label, or why it is none.
fn label(mut message: Message<'_>) -> Result<Result<(&str, &str), String>, Error> {
    let (mut name, mut text) = (Ok(""), Ok(""));
    while let Some((number, value)) = message.field()? {
        match number {
            1 => name = value.utf8("a label's name")?,
            2 => text = value.utf8("a label's value")?,
            _ => {}
        }
    }
    Ok(name.and_then(|name| Ok((name, text?))))
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
            (2, value) => metadata.name = words(value)?,
            (4, value) => metadata.help = words(value)?,
            (5, value) => metadata.unit = words(value)?,
            _ => {}
        }
    }
    Ok(metadata)
}

/// For people, and worth no sample: what is not UTF-8 in it is replaced.
fn words(value: Value<'_>) -> Result<String, Error> {
    value.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
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
    fn a_series_that_is_none_is_left_out_and_counted_and_those_beside_it_are_taken() {
        type Labels<'a> = &'a [(&'a [u8], &'a [u8])];
        let cases: [(Labels<'_>, &str); 7] = [
            (&[(b"__name__", b"bad"), (b"a", b"ok\xff")], "`bad`: a label's value is not UTF-8 from its byte 2 on"),
            (&[(b"__name__", b"bad"), (b"a\xff", b"b")], "`bad`: a label's name is not UTF-8 from its byte 1 on"),
            (&[(b"__name__", b"\xc3"), (b"a", b"b")], "a label's value is not UTF-8"),
            (&[(b"a", b"b")], "no metric's name"),
            (&[(b"__name__", b""), (b"a", b"b")], "no metric's name"),
            (&[(b"__name__", b"bad"), (b"a", b"b"), (b"a", b"c")], "`bad`: the label `a` is there twice"),
            (&[(b"__name__", b"bad"), (b"", b"b")], "`bad`: \"\" is not a label's name"),
        ];
        for (bad, why) in cases {
            let good = |name: &'static [u8]| request(&[(b"__name__", name)], &[(1, 1.0)]);
            let bytes = [good(b"first"), request(bad, &[(1, 1.0), (2, 2.0)]), good(b"last")].concat();
            let batch = message(&bytes).unwrap();
            let names: Vec<_> = batch.series().map(|series| series.labels[0].1).collect();
            assert_eq!(names, ["first", "last"], "{why}");
            assert_eq!((batch.samples(), batch.refused), (2, 2), "{why}");
            assert!(batch.reason.as_ref().unwrap().contains(why), "{:?}, not {why}", batch.reason);
        }
    }

    #[test]
    fn the_reason_is_that_of_the_first_series_that_is_refused() {
        let bytes = [request(&[(b"a", b"b")], &[(1, 1.0)]), request(&[(b"__name__", b"\xff")], &[(1, 1.0)])].concat();
        let batch = message(&bytes).unwrap();
        assert_eq!(batch.refused, 2);
        assert!(batch.reason.unwrap().contains("no metric's name"));
    }

    #[test]
    fn what_is_said_of_a_metric_costs_no_sample() {
        let mut said = Vec::new();
        write::bytes(&mut said, 2, b"up");
        write::bytes(&mut said, 4, b"\xff Whether it is.");
        let mut bytes = request(&[(b"__name__", b"up")], &[(1, 1.0)]);
        write::bytes(&mut bytes, 3, &said);
        let batch = message(&bytes).unwrap();
        assert_eq!((batch.samples(), batch.metadata[1].help.as_str()), (1, "\u{fffd} Whether it is."));
    }

    #[test]
    fn what_can_not_be_decoded_is_refused_as_a_whole() {
        let mut bytes = request(&[(b"__name__", b"up")], &[(1, 1.0)]);
        // A label that is a number.
        let mut series = Vec::new();
        write::number(&mut series, 1, 1);
        write::bytes(&mut bytes, 1, &series);
        assert!(matches!(message(&bytes), Err(Error::Malformed(_))));
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
