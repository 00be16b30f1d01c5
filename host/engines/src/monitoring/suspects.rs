//! Series that make their rule's detector misbehave. A detector judges all series of a rule in one call, with one state; where that call traps or
//! runs into a limit, parts of it are asked about, and what they say is thrown away, until it is known which series are to blame. Those are
//! left out of the call, and tried by themselves from time to time; the others are judged as ever.
//!
//! A trap costs little. A limit of time has to be waited for each time, so only a few such calls are made, and where they found nothing out (the
//! detector is slow, and no series is to blame) none for a while.

use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{CallError, CallFailed, CallResult, Called, InstanceName};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// When a series that was left out is tried again, and when it is looked for one again after that was in vain.
pub(super) const AGAIN: Span = Span::from_secs(5 * 60);
/// Calls by which one evaluation finds out what is to blame. Enough for four among ten thousand; beyond that it is the detector.
const CALLS: usize = 128;
/// Of those, such as may run into a limit. Enough for one among thirty thousand, and for two among two hundred.
pub(super) const LIMITED: usize = 16;
/// Series that were left out and are tried again in one evaluation.
const TRIED: usize = 4;
/// Series that are named to a person.
const NAMED: usize = 3;

/// What is left out of a rule's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// By the labels of the series.
    series: BTreeMap<Labels, Suspect>,
    /// Looked for in vain: not again before that.
    not_before: Option<Timestamp>,
}

impl LeftOut {
    pub(super) fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.keys()
    }

    fn has(&self, series: &SeriesData) -> bool {
        self.series.contains_key(&series.labels)
    }
}

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
        left_out.series.retain(|labels, _| series.iter().any(|one| one.labels == *labels));
        let is_due = |one: &&SeriesData| left_out.series.get(&one.labels).is_some_and(|known| known.again <= self.now);
        let due: Vec<&SeriesData> = series.iter().filter(is_due).take(TRIED).collect();
        for suspect in due {
            match self.about(std::slice::from_ref(suspect)).await {
                Ok(_) => left_out.series.remove(&suspect.labels),
                Err(failed) => left_out.series.insert(suspect.labels.clone(), self.suspect(&failed)),
            };
        }
        let mut window = Window { from: self.from, now: self.now, series };
        window.series.retain(|one| !left_out.has(one));
        let failed = match self.whole(&window).await {
            Ok(called) => return Ok((window, called)),
            Err(failed) => failed,
        };
        let is_limit = failed.error.is_misbehaviour() && !traps(&failed);
        let is_in_vain = is_limit && left_out.not_before.is_some_and(|at| self.now < at);
        if !failed.error.is_misbehaviour() || is_in_vain {
            return Err(failed);
        }
        let to_blame = self.to_blame(&window.series).await;
        // Where it is all of them it is none of them.
        if to_blame.is_empty() || to_blame.len() >= window.series.len() {
            left_out.not_before = is_limit.then(|| self.now.plus(AGAIN));
            return Err(failed);
        }
        left_out.series.extend(to_blame);
        left_out.not_before = None;
        window.series.retain(|one| !left_out.has(one));
        let called = self.whole(&window).await?;
        Ok((window, called))
    }

    /// Which of them misbehave by themselves; none where it can't be found out. One half after the other, then their halves: so a call that
    /// misbehaves has a good one beside it, and nobody takes it for the end of the detector.
    async fn to_blame(&self, series: &[SeriesData]) -> BTreeMap<Labels, Suspect> {
        let (mut to_blame, mut waiting, mut limited) = (BTreeMap::new(), VecDeque::new(), 0);
        split(series, &mut waiting);
        for _ in 0..CALLS {
            let Some(part) = waiting.pop_front() else { return to_blame };
            let failed = match self.about(part).await {
                Ok(_) => continue,
                Err(failed) if failed.error.is_misbehaviour() => failed,
                Err(_) => return BTreeMap::new(),
            };
            match part {
                [one] => {
                    to_blame.insert(one.labels.clone(), self.suspect(&failed));
                }
                _ => split(part, &mut waiting),
            }
            limited += usize::from(!traps(&failed));
            if limited >= LIMITED {
                break;
            }
        }
        if waiting.is_empty() { to_blame } else { BTreeMap::new() }
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
    let (_, Suspect { reason, .. }) = left_out.series.iter().next()?;
    let named: Vec<String> = left_out.labels().take(NAMED).map(Labels::to_string).collect();
    let count = left_out.series.len();
    let more = if count > NAMED { ", ..." } else { "" };
    let named = named.join(", ");
    Some(format!("{count} of its series are left out, on which the detector fails: {named}{more}: {reason}"))
}
