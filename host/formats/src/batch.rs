//! Series with samples, in few allocations: texts in one, labels and samples in one each.

use crate::{Error, canonical};

/// Samples of one request, at most.
pub(crate) const SAMPLES: usize = 1_000_000;
/// Labels of one request, at most.
pub(crate) const LABELS: usize = 4_000_000;
/// Bytes of all names and values of one request, at most: a format may repeat a label for each sample.
pub(crate) const TEXT: usize = 64 << 20;
/// Descriptions of metrics in one request, at most.
const METADATA: usize = 100_000;

/// One sample of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: i64,
    pub value: f64,
}

/// What is said of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub name: String,
    /// In Prometheus's words: `counter`, `gauge`, `histogram`, `summary`, `unknown`.
    pub kind: &'static str,
    pub help: String,
    pub unit: String,
}

/// A series of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// In the order of their names, each name once; the metric's name as `__name__`.
    pub labels: Vec<(&'a str, &'a str)>,
    pub samples: &'a [Sample],
}

/// Where a text stands.
type Span = (u32, u32);

/// What a request brought.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    text: String,
    labels: Vec<(Span, Span)>,
    samples: Vec<Sample>,
    /// Where the labels and the samples of each series end.
    series: Vec<(usize, usize)>,
    pub metadata: Vec<Metadata>,
    /// Samples of series that can't be what they say to be: they were sent, and are not here.
    pub refused: usize,
    /// Why, of the first series that was refused.
    pub reason: Option<String>,
}

impl Batch {
    /// Adds a series: its labels in any order, those without a value left out.
    ///
    /// # Errors
    /// A label that is there twice, a name that is empty or has a NUL, no name of a metric; and more than a request may hold.
    pub fn add<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<(), Error> {
        let before = (self.labels.len(), self.samples.len(), self.text.len());
        let added = self.try_add(labels, samples);
        if added.is_err() {
            self.labels.truncate(before.0);
            self.samples.truncate(before.1);
            self.text.truncate(before.2);
        }
        added
    }

    fn try_add<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<(), Error> {
        let first = self.labels.len();
        for (name, value) in labels {
            if value.is_empty() {
                continue;
            }
            if self.labels.len() >= LABELS {
                return Err(Error::TooLarge(format!("there are more than {LABELS} labels; hint: send less at once")));
            }
            let span = (self.keep(name)?, self.keep(value)?);
            self.labels.push(span);
        }
        let (text, added) = (&self.text, self.labels.get_mut(first..).unwrap_or_default());
        let name_of = |(name, _): &(Span, Span)| of(text, *name);
        added.sort_by(|a, b| name_of(a).cmp(name_of(b)));
        check(added.iter().map(name_of))?;
        for Sample { at, value } in samples {
            if self.samples.len() >= SAMPLES {
                return Err(Error::TooLarge(format!("there are more than {SAMPLES} samples; hint: send less at once")));
            }
            self.samples.push(Sample { at, value: canonical(value) });
        }
        self.series.push((self.labels.len(), self.samples.len()));
        Ok(())
    }

    /// Adds what is said of a metric.
    ///
    /// # Errors
    /// More than a request may hold.
    pub fn describe(&mut self, metadata: Metadata) -> Result<(), Error> {
        if self.metadata.len() >= METADATA {
            return Err(Error::TooLarge(format!(
                "more than {METADATA} metrics are described; hint: send less at once"
            )));
        }
        self.metadata.push(metadata);
        Ok(())
    }

    /// Counts what was left out of the request.
    pub(crate) fn refuse(&mut self, samples: usize, why: impl FnOnce() -> String) {
        self.refused = self.refused.saturating_add(samples);
        if self.reason.is_none() {
            self.reason = Some(why());
        }
    }

    /// In the order in which they were added.
    pub fn series(&self) -> impl Iterator<Item = Series<'_>> {
        let mut from = (0, 0);
        self.series.iter().map(move |to| {
            let (labels, samples) = (self.labels.get(from.0..to.0), self.samples.get(from.1..to.1));
            from = *to;
            let pair = |(name, value): &(Span, Span)| (of(&self.text, *name), of(&self.text, *value));
            Series { labels: labels.into_iter().flatten().map(pair).collect(), samples: samples.unwrap_or_default() }
        })
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn keep(&mut self, text: &str) -> Result<Span, Error> {
        let too_large = || Error::TooLarge("there is too much text; hint: send less at once".to_owned());
        let start = self.text.len();
        if start.saturating_add(text.len()) > TEXT {
            return Err(too_large());
        }
        self.text.push_str(text);
        let span = (u32::try_from(start), u32::try_from(self.text.len()));
        let (Ok(start), Ok(end)) = span else { return Err(too_large()) };
        Ok((start, end))
    }
}

fn of(text: &str, (start, end): Span) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}

/// Names in their order.
fn check<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let (mut before, mut named) = (None, false);
    for name in names {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::malformed(format!("{name:?} is not a label's name")));
        }
        if before == Some(name) {
            return Err(Error::malformed(format!("the label `{name}` is there twice in one series")));
        }
        named |= name == "__name__";
        before = Some(name);
    }
    if named { Ok(()) } else { Err(Error::malformed("a series has no metric's name, the label `__name__`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_out_in_order_and_without_empty_ones() {
        let mut batch = Batch::default();
        let sample = Sample { at: 1, value: f64::from_bits(0x7ff8_dead_beef_0000) };
        batch.add([("job", "a"), ("__name__", "up"), ("gone", "")], [sample]).unwrap();
        batch.add([("__name__", "down")], []).unwrap();
        let series: Vec<_> = batch.series().collect();
        assert_eq!(series[0].labels, [("__name__", "up"), ("job", "a")]);
        assert_eq!(series[0].samples[0].value.to_bits(), crate::NAN);
        assert_eq!(
            (series[1].labels.as_slice(), series[1].samples),
            ([("__name__", "down")].as_slice(), [].as_slice())
        );
    }

    #[test]
    fn what_is_no_series_is_refused() {
        for (labels, why) in [
            (vec![("a", "b")], "no metric's name"),
            (vec![("__name__", "up"), ("a", "b"), ("a", "c")], "twice"),
            (vec![("__name__", "up"), ("", "c")], "not a label's name"),
        ] {
            let refused = Batch::default().add(labels, []).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_long_label_that_is_repeated_again_and_again_is_refused_before_it_takes_memory() {
        let mut batch = Batch::default();
        let long = "x".repeat(1 << 20);
        let add = |batch: &mut Batch| batch.add([("__name__", "up"), ("job", &long)], [Sample { at: 1, value: 1.0 }]);
        let taken = (0..1_000).take_while(|_| add(&mut batch).is_ok()).count();
        assert_eq!(taken, 63);
        assert!(matches!(add(&mut batch), Err(Error::TooLarge(_))));
        assert!(batch.text.len() <= TEXT && batch.text.capacity() <= 2 * TEXT);
        assert_eq!(batch.series().count(), taken, "what was taken before stays whole");
    }

    #[test]
    fn the_end_of_a_series_keeps_its_payload() {
        assert_eq!(canonical(f64::from_bits(crate::STALE)).to_bits(), crate::STALE);
        assert_eq!(canonical(-f64::NAN).to_bits(), crate::NAN);
        assert_eq!(canonical(1.5), 1.5);
    }
}
