//! Reading over a stretch of time: from memory if it holds all of it, else from the disk and what memory has beside it.
//!
//! Nothing is kept that does not belong to the part that is asked for, and reading ends where its budget of points does.

use super::dictionary::Entry;
use super::{Column, Head, dictionary, frames};
use crate::disk::Disk;
use quarterdeck_model::series::{Part, PartOfRange, Selector, SeriesData};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLockReadGuard};

/// What a caller wants.
pub(crate) struct Asked<'a> {
    pub(crate) selector: &'a Selector,
    /// Exclusive.
    pub(crate) from: Timestamp,
    /// Inclusive.
    pub(crate) to: Timestamp,
    pub(crate) part: &'a Part,
}

impl Asked<'_> {
    fn bounds(&self) -> (i64, i64) {
        (self.from.as_millis(), self.to.as_millis())
    }

    /// The series' place in the order of parts; `None` if it belongs to an earlier part, or was not asked for.
    fn place(&self, labels: &Labels) -> Option<String> {
        if !labels.includes(&self.selector.labels) {
            return None;
        }
        let text = labels.to_string();
        self.part.after.as_ref().is_none_or(|after| text > *after).then_some(text)
    }
}

impl Head {
    /// `None` if memory does not hold all of the range.
    pub(crate) fn range(&self, asked: &Asked<'_>) -> Result<Option<PartOfRange>, StoreError> {
        let (from, to) = asked.bounds();
        let reaches = |(_, column): (u32, &Column)| column.complete_from <= from;
        if asked.from < self.floor || !self.selected(asked.selector).all(reaches) {
            return Ok(None);
        }
        let filled = self.selected(asked.selector).filter(|(_, column)| column.between(from, to).next().is_some());
        let candidates = filled
            .filter_map(|(id, column)| Candidate::new(asked, id, &column.metric, &column.labels))
            .collect::<Vec<_>>();
        let (chosen, next) = choose(candidates, asked.part.series);
        let mut gathered = Gathered::new(asked, chosen);
        self.gather_columns(asked, &mut gathered)?;
        Ok(Some(PartOfRange { series: gathered.finish()?, next }))
    }

    fn gather_columns(&self, asked: &Asked<'_>, gathered: &mut Gathered) -> Result<(), StoreError> {
        let (from, to) = asked.bounds();
        for (id, column) in self.selected(asked.selector) {
            if !gathered.wants(id) {
                continue;
            }
            column.between(from, to).try_for_each(|(at, value)| gathered.take(id, at, value))?;
        }
        Ok(())
    }

    /// Adds what memory has to what the disk has.
    fn gather(&self, asked: &Asked<'_>, gathered: &mut Gathered) -> Result<(), StoreError> {
        self.gather_columns(asked, gathered)?;
        self.unwritten(asked).try_for_each(|point| gathered.take(point.series, point.at, point.value))
    }

    /// Samples that may be in no frame yet.
    fn unwritten(&self, asked: &Asked<'_>) -> impl Iterator<Item = &super::Point> {
        let (from, to) = asked.bounds();
        let waiting = self.writing.iter().flat_map(|writing| &writing.samples).chain(&self.pending.samples);
        waiting.filter(move |point| point.at > from && point.at <= to)
    }
}

/// A range that goes back beyond memory. Memory is asked after the disk was read, so that nothing falls between.
pub(crate) fn on_disk<'a>(
    disk: &Disk,
    head: impl Fn() -> RwLockReadGuard<'a, Head>,
    asked: &Asked<'_>,
) -> Result<PartOfRange, StoreError> {
    let mut candidates = HashMap::new();
    dictionary::of_metric(disk, &asked.selector.metric, |_, Entry { id, metric, labels, .. }| {
        candidates.extend(Candidate::new(asked, id, &metric, &labels).map(|found| (id, found)));
    })?;
    for (id, column) in head().selected(asked.selector) {
        if !candidates.contains_key(&id) {
            candidates.extend(Candidate::new(asked, id, &column.metric, &column.labels).map(|found| (id, found)));
        }
    }
    if candidates.is_empty() {
        return Ok(PartOfRange::default());
    }
    if candidates.len() > asked.part.series {
        // Which of them the part is made of depends on which have a sample at all.
        let filled = filled(disk, &head, asked, &candidates)?;
        candidates.retain(|id, _| filled.contains(id));
    }
    let (chosen, next) = choose(candidates.into_values().collect(), asked.part.series);
    let mut gathered = Gathered::new(asked, chosen);
    frames::each(disk, asked.from, asked.to, |point| gathered.take(point.series, point.at, point.value))?;
    head().gather(asked, &mut gathered)?;
    Ok(PartOfRange { series: gathered.finish()?, next })
}

/// Those of the candidates that have a sample in the range.
fn filled<'a>(
    disk: &Disk,
    head: impl Fn() -> RwLockReadGuard<'a, Head>,
    asked: &Asked<'_>,
    candidates: &HashMap<u32, Candidate>,
) -> Result<HashSet<u32>, StoreError> {
    let (from, to) = asked.bounds();
    let mut filled = HashSet::new();
    frames::each(disk, asked.from, asked.to, |point| {
        if candidates.contains_key(&point.series) {
            filled.insert(point.series);
        }
        Ok(())
    })?;
    let head = head();
    let columns = head.selected(asked.selector).filter(|(_, column)| column.between(from, to).next().is_some());
    filled.extend(columns.map(|(id, _)| id));
    filled.extend(head.unwritten(asked).map(|point| point.series).filter(|id| candidates.contains_key(id)));
    Ok(filled)
}

/// A series that a part may hold.
struct Candidate {
    id: u32,
    place: String,
    metric: Arc<str>,
    labels: Labels,
}

impl Candidate {
    fn new(asked: &Asked<'_>, id: u32, metric: &Arc<str>, labels: &Labels) -> Option<Self> {
        let place = asked.place(labels)?;
        Some(Candidate { id, place, metric: Arc::clone(metric), labels: labels.clone() })
    }
}

/// The first of them, and the place of the last one if there are more.
fn choose(mut candidates: Vec<Candidate>, limit: usize) -> (Vec<Candidate>, Option<String>) {
    candidates.sort_unstable_by(|a, b| a.place.cmp(&b.place));
    let more = candidates.len() > limit;
    candidates.truncate(limit);
    let next = candidates.last().filter(|_| more).map(|last| last.place.clone());
    (candidates, next)
}

/// Points of the series of a part, within its budget.
struct Gathered {
    series: HashMap<u32, Found>,
    step: Option<Step>,
    limit: usize,
    /// Points that are held, some of them twice, or of a step that has a later one.
    held: usize,
    /// So many are held before they are tidied, which may find that they are fewer.
    tidy_at: usize,
}

struct Found {
    candidate: Candidate,
    points: Vec<(i64, f64)>,
}

/// The range and each step of it are open at their start and closed at their end.
#[derive(Clone, Copy)]
struct Step {
    from: i64,
    millis: i64,
}

impl Step {
    fn of(self, at: i64) -> i64 {
        at.saturating_sub(self.from).saturating_sub(1) / self.millis
    }
}

impl Gathered {
    fn new(asked: &Asked<'_>, chosen: Vec<Candidate>) -> Self {
        let limit = asked.part.points;
        let step = asked.part.step.map(|step| {
            let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
            Step { from: asked.from.as_millis(), millis }
        });
        let found = |candidate: Candidate| (candidate.id, Found { candidate, points: Vec::new() });
        let series = chosen.into_iter().map(found).collect();
        Gathered { series, step, limit, held: 0, tidy_at: limit.saturating_mul(2) }
    }

    fn wants(&self, series: u32) -> bool {
        self.series.contains_key(&series)
    }

    fn take(&mut self, series: u32, at: i64, value: f64) -> Result<(), StoreError> {
        let Some(found) = self.series.get_mut(&series) else { return Ok(()) };
        if let (Some(step), Some(last)) = (self.step, found.points.last_mut())
            && step.of(last.0) == step.of(at)
        {
            // Samples mostly come in order: one by one they take the place of those before.
            if last.0 < at {
                *last = (at, value);
                return Ok(());
            }
        }
        found.points.push((at, value));
        self.held += 1;
        if self.held > self.tidy_at { self.tidy() } else { Ok(()) }
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        self.held = 0;
        for found in self.series.values_mut() {
            tidy(&mut found.points, self.step);
            self.held += found.points.len();
        }
        if self.held > self.limit {
            return Err(StoreError::TooManyPoints { limit: self.limit });
        }
        self.tidy_at = self.held.saturating_add(self.limit);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<SeriesData>, StoreError> {
        self.tidy()?;
        let mut all: Vec<Found> = self.series.into_values().filter(|found| !found.points.is_empty()).collect();
        all.sort_unstable_by(|a, b| a.candidate.place.cmp(&b.candidate.place));
        let data = |Found { candidate, points }: Found| SeriesData {
            name: candidate.metric.as_ref().to_owned(),
            labels: candidate.labels,
            at: points.iter().map(|(at, _)| Timestamp::from_millis(*at)).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
        };
        Ok(all.into_iter().map(data).collect())
    }
}

/// In order, each time once (the first that came), and of each step the last.
fn tidy(points: &mut Vec<(i64, f64)>, step: Option<Step>) {
    points.sort_by_key(|(at, _)| *at);
    points.dedup_by_key(|(at, _)| *at);
    let Some(step) = step else { return };
    points.dedup_by(|later, earlier| {
        let same = step.of(later.0) == step.of(earlier.0);
        if same {
            *earlier = *later;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_its_last_sample() {
        let mut points = vec![(12, 4.0), (1, 1.0), (10, 2.0), (11, 3.0), (35, 5.0), (12, 9.0)];
        tidy(&mut points, Some(Step { from: 0, millis: 10 }));
        assert_eq!(points, [(10, 2.0), (12, 4.0), (35, 5.0)]);
        tidy(&mut points, None);
        assert_eq!(points.len(), 3);
    }

    #[test]
    fn what_is_held_stays_near_the_budget_however_much_is_read() {
        let part = Part { points: 100, ..Part::all() };
        let gather = |step: Option<u64>, times: &mut dyn Iterator<Item = i64>| {
            let part = Part { step: step.map(quarterdeck_model::Span::from_millis), ..part.clone() };
            let selector = Selector::default();
            let asked = Asked { selector: &selector, from: Timestamp::MIN, to: Timestamp::MAX, part: &part };
            let chosen = Candidate::new(&asked, 1, &Arc::from("m"), &Labels::new()).into_iter().collect();
            let mut gathered = Gathered::new(&asked, chosen);
            for at in times {
                if let Err(error) = gathered.take(1, at, 0.0) {
                    return Err((at, error.to_string()));
                }
                assert!(gathered.held <= 201, "{}", gathered.held);
            }
            gathered.finish().map_err(|error| (0, error.to_string())).map(|all| all[0].at.len())
        };
        let full = StoreError::TooManyPoints { limit: 100 }.to_string();
        assert_eq!(gather(None, &mut (1..=1_000_000)), Err((201, full.clone())), "it does not read on");
        assert_eq!(gather(None, &mut (1..=101)), Err((0, full)));
        assert_eq!(gather(None, &mut (1..=100)), Ok(100));
        // The same times over and over, and steps whose samples come in the wrong order.
        assert_eq!(gather(None, &mut (0..10_000).map(|n| 1 + n % 100)), Ok(100));
        assert_eq!(gather(Some(1_000), &mut (1..=100_000).rev()), Ok(100));
        assert_eq!(gather(Some(1_000), &mut (1..=100_000)), Ok(100));
    }
}
