//! The steps that an expression is evaluated at.

use super::Times;
use crate::error::Error;
use crate::expression::{At, Shift};

/// `steps` times from `start` on, `step` milliseconds from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    start: i64,
    step: i64,
    steps: usize,
}

impl Grid {
    /// # Errors
    /// [`Error::Parse`] for no step, an end before its start, and more steps than `most`.
    pub(super) fn of(times: Times, most: usize) -> Result<Self, Error> {
        let (start, end, step) = match times {
            Times::Instant(at) => return Ok(Grid { start: at.as_millis(), step: 1, steps: 1 }),
            Times::Range { start, end, step } => (start.as_millis(), end.as_millis(), step.as_millis()),
        };
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        if step == 0 {
            return Err(Error::Parse("zero or negative query resolution step widths are not accepted".to_owned()));
        }
        if end < start {
            return Err(Error::Parse("end timestamp must not be before start time".to_owned()));
        }
        let grid = Grid::between(start, end, step);
        if grid.steps > most {
            return Err(Error::Parse(format!(
                "exceeded maximum resolution of {most} points per timeseries; hint: try decreasing the query resolution (?step=XX)"
            )));
        }
        Ok(grid)
    }

    /// From `start` to `end`, both inclusive; empty if `end` is the earlier one.
    pub(super) fn between(start: i64, end: i64, step: i64) -> Self {
        let length = end.saturating_sub(start);
        let steps = if length < 0 { 0 } else { usize::try_from(length / step.max(1)).unwrap_or(usize::MAX - 1) + 1 };
        Grid { start, step, steps }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn is_instant(&self) -> bool {
        self.steps == 1
    }

    pub(super) fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let Grid { start, step, steps } = *self;
        (0..steps as i64).map(move |index| start.saturating_add(step.saturating_mul(index)))
    }

    pub(super) fn first(&self) -> i64 {
        self.start
    }

    pub(super) fn last(&self) -> i64 {
        let behind = i64::try_from(self.steps.saturating_sub(1)).unwrap_or(i64::MAX);
        self.start.saturating_add(self.step.saturating_mul(behind))
    }
}

/// `@` and `offset`, with the moments known that they refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shifted {
    at: Option<i64>,
    offset: i64,
}

impl Shifted {
    pub(super) fn of(shift: &Shift, start: i64, end: i64) -> Self {
        let at = shift.at.map(|at| match at {
            At::Start => start,
            At::End => end,
            At::Millis(millis) => millis,
        });
        Shifted { at, offset: shift.offset }
    }

    /// Which moment is read at a step.
    pub(super) fn apply(&self, time: i64) -> i64 {
        self.at.unwrap_or(time).saturating_sub(self.offset)
    }
}
