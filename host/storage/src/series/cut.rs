//! Moves what is old in memory into a block, and lets go of the part of the log that held it.

use super::active::{Rows, WINDOW};
use super::block::packed::Effort;
use super::block::{Tail, Texts};
use super::blocks::{Draft, Mark};
use super::head::Survey;
use super::{DAY, Store, Upkeep};
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// So much stays in memory at least: an hour, which is what is asked for most, and what a query looks back before it.
const KEEP: Span = Span::from_secs(3_900);
/// A block is made of so much: an hour, two windows of chunks.
const STRETCH: i64 = 2 * WINDOW;
/// Series that are gathered under one lock.
const TOGETHER: usize = 64;

/// True if there was something to do.
pub(crate) fn cut(store: &Store, now: Timestamp, upkeep: &Upkeep<'_>) -> Result<bool, StoreError> {
    let up_to = now.minus(KEEP).as_millis().div_euclid(STRETCH) * STRETCH - 1;
    let before = store.blocks.mark().up_to;
    // A clock that was far ahead once must not keep all that comes in memory until it is right.
    if up_to <= before && before <= now.as_millis() {
        return Ok(false);
    }
    // More than what the samples will take, which are packed more loosely in the log.
    let bytes = store.log_bytes();
    upkeep.space.check(bytes)?;
    let (segment, (texts, survey)) = {
        let segment = store.head_mut().pending.rotate();
        (segment, store.head().survey())
    };
    let (texts, order) = sorted(&texts, survey);
    let written = gather(store, &texts, &order, up_to, upkeep).and_then(|drafts| {
        let tail = |draft: &Draft| Tail { place: draft.number, ..Tail::default() };
        let drafts = drafts.into_values().map(|draft| {
            let tail = tail(&draft);
            (draft, tail)
        });
        store.blocks.publish(drafts.collect(), &[])
    });
    let written = written.and_then(|()| store.blocks.set_mark(Mark { segment, up_to }));
    upkeep.space.settled(bytes);
    for series in order.series.chunks(TOGETHER * 16) {
        let ids: Vec<u32> = series.iter().map(|(id, _)| *id).collect();
        store.head_mut().moved(&ids, written.is_ok());
    }
    written?;
    store.let_go(segment, up_to)?;
    Ok(true)
}

/// What all series have up to a time, in a block for each day.
fn gather(
    store: &Store,
    texts: &Texts,
    order: &Survey,
    up_to: i64,
    upkeep: &Upkeep<'_>,
) -> Result<BTreeMap<i64, Draft>, StoreError> {
    let mut drafts = BTreeMap::new();
    for series in order.series.chunks(TOGETHER) {
        upkeep.go_on()?;
        let mut gathered = Vec::with_capacity(series.len());
        {
            let mut head = store.head_mut();
            for (id, labels) in series {
                let mut rows = Rows::default();
                head.move_out(*id, up_to, &mut rows);
                gathered.push((order.labels(labels), rows));
            }
        }
        for (labels, mut rows) in gathered {
            rows.settle();
            let mut start = 0;
            for day in rows.at.chunk_by(|a, b| a.div_euclid(DAY) == b.div_euclid(DAY)) {
                let values = rows.values.get(start..start + day.len()).unwrap_or_default().to_vec();
                start += day.len();
                let Some(number) = day.first().map(|at| at.div_euclid(DAY)) else { continue };
                let draft = match drafts.entry(number) {
                    std::collections::btree_map::Entry::Occupied(draft) => draft.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(store.blocks.draft(Arc::clone(texts), Effort::Quick)?)
                    }
                };
                draft.push(labels, &Rows { at: day.to_vec(), values })?;
            }
        }
    }
    Ok(drafts)
}

/// The texts that labels use in their order, and the series in that of their labels, which are places of these texts from here on.
fn sorted(texts: &[Arc<str>], mut survey: Survey) -> (Texts, Survey) {
    let mut used = vec![false; texts.len()];
    for symbol in survey.labels.iter().flat_map(|(name, value)| [name, value]) {
        if let Some(used) = used.get_mut(*symbol as usize) {
            *used = true;
        }
    }
    let mut symbols: Vec<(usize, &Arc<str>)> = texts.iter().enumerate().collect();
    symbols.retain(|(symbol, _)| used.get(*symbol).copied().unwrap_or(false));
    symbols.sort_unstable_by_key(|(_, text)| *text);
    let mut places = vec![0u32; texts.len()];
    for (place, (symbol, _)) in symbols.iter().enumerate() {
        if let Some(slot) = places.get_mut(*symbol) {
            *slot = place as u32;
        }
    }
    let metric = symbols.binary_search_by(|(_, text)| (***text).cmp(NAME)).map_or(u32::MAX, |place| place as u32);
    let place = |symbol: u32| places.get(symbol as usize).copied().unwrap_or(0);
    survey.labels.iter_mut().for_each(|(name, value)| (*name, *value) = (place(*name), place(*value)));
    let Survey { mut labels, mut series } = survey;
    for (_, of) in &series {
        let labels = labels.get_mut(of.clone()).unwrap_or_default();
        if let Some(first) = labels.iter().position(|(name, _)| *name == metric) {
            labels.get_mut(..=first).unwrap_or_default().rotate_right(1);
        }
    }
    let of = |range: &Range<usize>| labels.get(range.clone()).unwrap_or_default();
    series.sort_unstable_by(|(_, a), (_, b)| of(a).cmp(of(b)));
    (Arc::new(symbols.into_iter().map(|(_, text)| Arc::clone(text)).collect()), Survey { labels, series })
}
