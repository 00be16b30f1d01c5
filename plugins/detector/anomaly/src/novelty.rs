//! How new a sample is: how far it lies outside of what its series has been.
//!
//! Two views of a series are taken: its figures, and what an exponential mean leaves of them, so that a jump counts although its level is
//! known. Of each the range that has been seen is remembered; its ends come together by half in `half-life-samples` samples. The score is by
//! how much of that range a sample lies outside of it, the greater of both. That figures of a series lie outside of a range of `n` others
//! happens ever more seldom as `n` grows, whatever their distribution (Chandler 1952, on records), and by a share of the range hardly ever:
//! no normal distribution is assumed. That a range which is exceeded tells much about real series was shown by the benchmark's own
//! reference detector, which takes such samples for anomalies at once (Ahmad et al. 2017, "spatial anomalies").

use quarterdeck_sdk::detector::Reader;

/// How much the newest figure counts in the mean: about twenty count.
const MEAN_SHARE: f64 = 0.05;

/// The range that has been seen.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Envelope {
    low: f64,
    high: f64,
}

impl Envelope {
    /// By how much of the range a value lies outside of it; takes it in, and forgets a share of what was.
    fn take(&mut self, value: f64, forget: f64, min_change: f64) -> f64 {
        let outside = (value - self.high).max(self.low - value).max(0.0);
        let range = self.high - self.low;
        let score = match (outside > min_change, range > 0.0) {
            (false, _) => 0.0,
            (true, true) => outside / range,
            // What never changed has changed.
            (true, false) => 1.0,
        };
        (self.low, self.high) = (self.low.min(value), self.high.max(value));
        let shrunk = (self.high - self.low) / 2.0 * forget;
        (self.low, self.high) = (self.low + shrunk, self.high - shrunk);
        score
    }
}

/// What is known of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Novelty {
    /// Samples that were seen.
    pub(crate) seen: u32,
    /// The newest of them, and what it was before a counter was taken apart.
    pub(crate) last_ms: i64,
    pub(crate) last: f64,
    mean: f64,
    figures: Envelope,
    left_over: Envelope,
    /// The newest anomaly, what it was, and the range of figures before it.
    pub(crate) anomaly_ms: i64,
    pub(crate) anomaly: f64,
    pub(crate) usual: (f64, f64),
}

/// How samples are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) min_samples: u32,
    pub(crate) half_life_samples: f64,
    pub(crate) min_change: f64,
}

impl Novelty {
    pub(crate) fn new() -> Self {
        let nothing = Envelope { low: 0.0, high: 0.0 };
        Novelty {
            seen: 0,
            last_ms: i64::MIN,
            last: 0.0,
            mean: 0.0,
            figures: nothing,
            left_over: nothing,
            anomaly_ms: i64::MIN,
            anomaly: 0.0,
            usual: (0.0, 0.0),
        }
    }

    /// The score of the next figure; none while too few were seen.
    pub(crate) fn take(&mut self, figure: f64, rules: &Rules) -> Option<f64> {
        // Differences of figures at the ends of the range must not be infinite.
        let figure = figure.clamp(-1e150, 1e150);
        if self.seen == 0 {
            self.mean = figure;
            self.figures = Envelope { low: figure, high: figure };
        }
        let forget = 1.0 - (-1.0 / rules.half_life_samples).exp2();
        let left_over = figure - self.mean;
        let score = self.figures.take(figure, forget, rules.min_change);
        let score = score.max(self.left_over.take(left_over, forget, rules.min_change));
        self.mean += MEAN_SHARE * left_over;
        self.seen = self.seen.saturating_add(1);
        (self.seen > rules.min_samples).then_some(score.min(1e9))
    }

    /// Where the range of figures lies.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.figures.low, self.figures.high)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = self.seen.to_le_bytes().to_vec();
        out.extend(self.last_ms.to_le_bytes());
        out.extend(self.anomaly_ms.to_le_bytes());
        let (figures, left_over) = (self.figures, self.left_over);
        let (low, high) = self.usual;
        for value in
            [self.last, self.mean, figures.low, figures.high, left_over.low, left_over.high, self.anomaly, low, high]
        {
            out.extend(value.to_le_bytes());
        }
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let novelty = Novelty {
            seen: reader.u32()?,
            last_ms: reader.i64()?,
            anomaly_ms: reader.i64()?,
            last: reader.f64()?,
            mean: reader.f64()?,
            figures: Envelope { low: reader.f64()?, high: reader.f64()? },
            left_over: Envelope { low: reader.f64()?, high: reader.f64()? },
            anomaly: reader.f64()?,
            usual: (reader.f64()?, reader.f64()?),
        };
        reader.is_at_end().then_some(novelty)
    }
}
