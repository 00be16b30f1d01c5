//! Series that make their rule's detector trap. A detector judges all series of a rule in one call, with one state; where that call traps, parts
//! of it are asked about, and what they say is thrown away, until it is known which series are to blame. Those are left out of the call, and
//! tried by themselves from time to time; the others are judged as ever.
//!
//! Only for traps, which cost little: a detector that runs into a limit does so with half of the series, too, or would have to be waited for
//! again and again.

use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{CallError, CallFailed, CallResult, Called, InstanceName};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// When a series that was left out is tried again.
pub(super) const AGAIN: Span = Span::from_secs(5 * 60);
/// Calls by which one evaluation finds out what is to blame. Enough for four among ten thousand; beyond that it is the detector.
const CALLS: usize = 128;
/// Series that are named to a person.
const NAMED: usize = 3;

/// What is left out of a rule's calls, by the labels of the series.
pub(super) type LeftOut = BTreeMap<Labels, Suspect>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    again: Timestamp,
    reason: String,
}

/// What a rule asks of its detector at a time.
pub(super) struct Ask<'a> {
    pub(super) detector: &'a dyn Detector,
    pub(super) instance: &'a InstanceName,
    pub(super) config: &'a Map<String, Value>,
    pub(super) state: Option<&'a [u8]>,
    pub(super) from: Timestamp,
    pub(super) now: Timestamp,
}

impl Ask<'_> {
    /// Judges what is not left out. Gives what was judged, too.
    ///
    /// # Errors
    /// The call failed, and no series of several is to blame.
    pub(super) async fn judge(
        &self,
        series: Vec<SeriesData>,
        left_out: &mut LeftOut,
    ) -> Result<(Window, Called<Verdict>), CallFailed> {
        left_out.retain(|labels, _| series.iter().any(|one| one.labels == *labels));
        for suspect in &series {
            let is_due = left_out.get(&suspect.labels).is_some_and(|known| known.again <= self.now);
            if is_due {
                match self.about(std::slice::from_ref(suspect)).await {
                    Ok(_) => left_out.remove(&suspect.labels),
                    Err(failed) => left_out.insert(suspect.labels.clone(), self.suspect(&failed)),
                };
            }
        }
        let mut window = Window { from: self.from, now: self.now, series };
        window.series.retain(|one| !left_out.contains_key(&one.labels));
        let failed = match self.whole(&window).await {
            Ok(called) => return Ok((window, called)),
            Err(failed) => failed,
        };
        let to_blame = if traps(&failed) { self.to_blame(&window.series).await } else { LeftOut::new() };
        // Where it is all of them it is none of them.
        if to_blame.is_empty() || to_blame.len() >= window.series.len() {
            return Err(failed);
        }
        left_out.extend(to_blame);
        window.series.retain(|one| !left_out.contains_key(&one.labels));
        let called = self.whole(&window).await?;
        Ok((window, called))
    }

    /// Which of them trap by themselves; none where it can't be found out. One half after the other, then their halves: so a call that traps has
    /// a good one beside it, and nobody takes it for the end of the detector.
    async fn to_blame(&self, series: &[SeriesData]) -> LeftOut {
        let (mut to_blame, mut waiting) = (LeftOut::new(), VecDeque::new());
        split(series, &mut waiting);
        for _ in 0..CALLS {
            let Some(part) = waiting.pop_front() else { return to_blame };
            match (self.about(part).await, part) {
                (Ok(_), _) => {}
                (Err(failed), [one]) if traps(&failed) => {
                    to_blame.insert(one.labels.clone(), self.suspect(&failed));
                }
                (Err(failed), _) if traps(&failed) => split(part, &mut waiting),
                (Err(_), _) => return LeftOut::new(),
            }
        }
        if waiting.is_empty() { to_blame } else { LeftOut::new() }
    }

    async fn about(&self, series: &[SeriesData]) -> CallResult<Verdict> {
        self.whole(&Window { from: self.from, now: self.now, series: series.to_vec() }).await
    }

    async fn whole(&self, window: &Window) -> CallResult<Verdict> {
        self.detector.evaluate(self.instance, self.config, window, self.state).await
    }

    fn suspect(&self, failed: &CallFailed) -> Suspect {
        Suspect { again: self.now.plus(AGAIN), reason: failed.error.to_string() }
    }
}

fn split<'a>(series: &'a [SeriesData], waiting: &mut VecDeque<&'a [SeriesData]>) {
    if series.len() > 1 {
        let (first, second) = series.split_at(series.len() / 2);
        waiting.extend([first, second]);
    }
}

fn traps(failed: &CallFailed) -> bool {
    matches!(failed.error, CallError::Trapped { .. })
}

/// For a person, if anything is left out.
pub(super) fn told(left_out: &LeftOut) -> Option<String> {
    let (_, Suspect { reason, .. }) = left_out.iter().next()?;
    let named: Vec<String> = left_out.keys().take(NAMED).map(Labels::to_string).collect();
    let more = if left_out.len() > NAMED { ", ..." } else { "" };
    let named = named.join(", ");
    Some(format!(
        "{} of its series are left out, which make the detector trap: {named}{more}: {reason}",
        left_out.len()
    ))
}
