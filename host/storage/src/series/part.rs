//! Reading a part of a range, by the metric's name and exact labels: series by series in the order of their labels as text, so that no
//! more is held than what is asked for.

use super::Store;
use super::active::Rows;
use super::block::index::Index;
use super::block::{Block, Chunks, Labelling};
use super::matching::matching;
use super::pattern::Pattern;
use super::select::patterns;
use quarterdeck_model::series::query::{Comparison, Matcher, NAME, is_stale};
use quarterdeck_model::series::{Part, PartOfRange, Sample, Selector, SeriesData};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Older samples are not looked for in memory.
const MEMORY: Span = Span::from_secs(3_600);

/// What a caller wants.
pub(crate) struct Asked<'a> {
    pub(crate) selector: &'a Selector,
    /// Exclusive.
    pub(crate) from: Timestamp,
    /// Inclusive.
    pub(crate) to: Timestamp,
    pub(crate) part: &'a Part,
}

/// A series that a part may hold, and where its samples are.
#[derive(Default)]
struct Candidate {
    labels: Labels,
    in_blocks: Vec<(usize, u32)>,
    in_memory: Option<u32>,
}

impl Store {
    /// The newest sample of each selected series, those left out that have ended.
    pub(crate) fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample> {
        let oldest = now.minus(lookback).max(now.minus(MEMORY)).as_millis();
        let Ok(patterns) = selected(selector) else { return Vec::new() };
        let head = self.head();
        let newest = |id: u32| {
            let series = head.get(id)?;
            let (at, value) = head.latest(series, oldest, now.as_millis()).filter(|(_, value)| !is_stale(*value))?;
            let labels = named(head.labels(series)).1;
            Some(Sample { name: selector.metric.clone(), labels, at: Timestamp::from_millis(at), value })
        };
        let mut samples: Vec<Sample> = head.matching(&patterns).into_iter().filter_map(newest).collect();
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        samples
    }

    pub(crate) fn part(&self, asked: &Asked<'_>) -> Result<PartOfRange, StoreError> {
        loop {
            let mark = self.blocks.mark();
            let part = self.try_part(asked)?;
            // Nothing has moved from memory into a block while both were read.
            if self.blocks.mark() == mark {
                return Ok(part);
            }
        }
    }

    fn try_part(&self, asked: &Asked<'_>) -> Result<PartOfRange, StoreError> {
        let patterns = selected(asked.selector)?;
        let (from, to) = (asked.from.as_millis(), asked.to.as_millis());
        let mut candidates: BTreeMap<String, Candidate> = BTreeMap::new();
        let mut note = |labels: Labels, known: &dyn Fn(&mut Candidate)| {
            let (_, labels) = named(labels);
            let place = labels.to_string();
            if asked.part.after.as_ref().is_none_or(|after| place > *after) {
                let candidate = candidates.entry(place).or_insert_with(|| Candidate { labels, ..Candidate::default() });
                known(candidate);
            }
        };
        let blocks: Vec<(Arc<Block>, Arc<Index>)> = {
            let reaching = self.blocks.reaching(from, to).into_iter();
            reaching.map(|block| self.blocks.index(&block).map(|index| (block, index))).collect::<Result<_, _>>()?
        };
        for (place, (block, index)) in blocks.iter().enumerate() {
            let mut reader = index.reader().ok_or_else(|| block.corrupt())?;
            let mut labelling = Labelling::default();
            for number in matching(&mut reader, &patterns).ok_or_else(|| block.corrupt())? {
                let entry = reader.entries.get(number).ok_or_else(|| block.corrupt())?;
                let labels = labelling.labels(&mut reader.texts, &entry.labels).ok_or_else(|| block.corrupt())?;
                note(labels, &|candidate| candidate.in_blocks.push((place, number)));
            }
        }
        {
            let head = self.head();
            for id in head.matching(&patterns) {
                let Some(series) = head.get(id).filter(|series| series.reaches(from, to)) else { continue };
                note(head.labels(series), &|candidate| candidate.in_memory = Some(id));
            }
        }
        let mut chunks: Vec<Chunks<'_>> = blocks.iter().map(|(block, index)| Chunks::new(block, index)).collect();
        let (mut found, mut points, mut last) = (PartOfRange::default(), 0, None);
        for (place, candidate) in candidates {
            if found.series.len() >= asked.part.series {
                // Whether there is another one: a single point says so.
                let step = Some(asked.to.since(asked.from));
                let one = Asked { part: &Part { step, ..Part::all() }, ..*asked };
                if !self.rows(&one, &candidate, &blocks, &mut chunks, 0)?.at.is_empty() {
                    found.next = last;
                    break;
                }
                continue;
            }
            let rows = self.rows(asked, &candidate, &blocks, &mut chunks, points)?;
            if rows.at.is_empty() {
                continue;
            }
            points += rows.at.len();
            last = Some(place);
            found.series.push(SeriesData {
                name: asked.selector.metric.clone(),
                labels: candidate.labels,
                at: rows.at.into_iter().map(Timestamp::from_millis).collect(),
                values: rows.values,
            });
        }
        Ok(found)
    }

    /// The samples of one series, in its steps, within what is left of the budget.
    fn rows(
        &self,
        asked: &Asked<'_>,
        candidate: &Candidate,
        blocks: &[(Arc<Block>, Arc<Index>)],
        chunks: &mut [Chunks<'_>],
        points: usize,
    ) -> Result<Rows, StoreError> {
        let (from, to) = (asked.from.as_millis(), asked.to.as_millis());
        let step = asked.part.step.map(|step| Step { from, millis: step.as_millis().max(1) });
        let mut rows = Rows::default();
        for (place, number) in &candidate.in_blocks {
            let Some(((block, index), chunks)) = blocks.get(*place).zip(chunks.get_mut(*place)) else { continue };
            let mut entries = index.series().ok_or_else(|| block.corrupt())?;
            let entry = entries.get(*number).ok_or_else(|| block.corrupt())?;
            chunks.read(entry, from, to, &mut rows)?;
            // One block's samples of one series are held at most beside what is kept.
            tidy(&mut rows, step);
            within(asked.part, points, &rows)?;
        }
        if let Some(id) = candidate.in_memory {
            let head = self.head();
            if let Some(series) = head.get(id) {
                head.read(series, from, to, &mut rows);
            }
        }
        tidy(&mut rows, step);
        within(asked.part, points, &rows)?;
        Ok(rows)
    }
}

fn within(part: &Part, points: usize, rows: &Rows) -> Result<(), StoreError> {
    if points.saturating_add(rows.at.len()) > part.points {
        return Err(StoreError::TooManyPoints { limit: part.points });
    }
    Ok(())
}

/// The range and each step of it are open at their start and closed at their end.
#[derive(Clone, Copy)]
struct Step {
    from: i64,
    millis: u64,
}

impl Step {
    fn of(self, at: i64) -> u64 {
        // Behind the start of the range, so never negative.
        let since = u64::try_from(i128::from(at) - i128::from(self.from) - 1).unwrap_or(0);
        since / self.millis
    }
}

/// In order, each time once, without the markers of an end, and of each step the last.
fn tidy(rows: &mut Rows, step: Option<Step>) {
    rows.settle();
    let mut kept = Rows::default();
    kept.at.reserve_exact(if step.is_some() { 0 } else { rows.at.len() });
    kept.values.reserve_exact(kept.at.capacity());
    for (at, value) in rows.at.iter().zip(&rows.values).filter(|(_, value)| !is_stale(**value)) {
        let same = step.zip(kept.at.last()).is_some_and(|(step, last)| step.of(*last) == step.of(*at));
        match (same, kept.at.last_mut(), kept.values.last_mut()) {
            (true, Some(last_at), Some(last_value)) => (*last_at, *last_value) = (*at, *value),
            _ => kept.push(*at, *value),
        }
    }
    *rows = kept;
}

/// The metric's name and exact labels, as matchers.
fn selected(selector: &Selector) -> Result<Vec<Pattern>, StoreError> {
    let equal = |label: &str, value: &str| Matcher {
        label: label.to_owned(),
        comparison: Comparison::Equal,
        value: value.to_owned(),
    };
    let labels = selector.labels.iter().map(|(label, value)| equal(label, value));
    let matchers: Vec<Matcher> = std::iter::once(equal(NAME, &selector.metric)).chain(labels).collect();
    patterns(&matchers)
}

/// The metric's name, and the other labels.
fn named(mut labels: Labels) -> (String, Labels) {
    let name = labels.0.remove(NAME).unwrap_or_default();
    (name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_its_last_sample_whatever_order_they_came_in() {
        let rows = || Rows { at: vec![12, 1, 10, 11, 35, 12], values: vec![4.0, 1.0, 2.0, 3.0, 5.0, 9.0] };
        let mut thin = rows();
        tidy(&mut thin, Some(Step { from: 0, millis: 10 }));
        assert_eq!((thin.at, thin.values), (vec![10, 12, 35], vec![2.0, 4.0, 5.0]));
        let mut all = rows();
        tidy(&mut all, None);
        assert_eq!(all.at, [1, 10, 11, 12, 35]);
    }
}
