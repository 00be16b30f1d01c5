//! Folds, merges and finishes with the calculator. Partial results of chunks that are over are kept in memory and in documents:
//! they outlive the samples that they were made of.

use super::chunks::{Piece, Stretch, chunk_length, chunks_of, plan};
use crate::{Context, Error, belongings, to_value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::slo::SloSpec;
use quarterdeck_model::kind::sla_calculator::{Attainment, SlaWindow};
use quarterdeck_model::plugin::{CallResult, PluginRef};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Id: `<objective>/<length of the chunk in ms>/<start in ms>`.
const PARTIALS: &str = "slo-partials";
/// Chunks folded before the first result is shown for a while: a long history is caught up with in several runs.
const FOLDS_PER_COMMIT: usize = 64;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of everything that the partial was made with but its samples.
    recipe: String,
    /// `None`: there were no samples.
    partial: Option<String>,
}

/// A partial result; `None` where there were no samples.
type Partial = Option<Vec<u8>>;

/// What is known of one objective's past.
pub(super) struct Cache {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    chunks: BTreeMap<Stretch, (String, Partial)>,
    blocks: BTreeMap<Stretch, (String, Partial)>,
}

impl Cache {
    pub(super) fn new(name: &str) -> Self {
        Cache { name: name.to_owned(), state: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) struct Calculated {
    pub(super) attainment: Attainment,
    pub(super) plugin: PluginRef,
}

struct Calculation<'a> {
    context: &'a Context,
    cache: &'a Cache,
    spec: &'a SloSpec,
    plugin: PluginRef,
    /// What the calls wrote, and the new partials.
    record: Transition,
    folds: usize,
}

pub(super) async fn calculate(
    context: &Context,
    cache: &Cache,
    spec: &SloSpec,
    now: Timestamp,
) -> Result<Calculated, Error> {
    let plugin = context.registry.instance(&spec.calculator).and_then(|instance| instance.plugin);
    let plugin = plugin.ok_or_else(|| Error::not_found(format!("calculator `{}`", spec.calculator)))?;
    cache.load(context, chunk_length(spec.window).as_millis())?;
    let record = Transition::new();
    let mut calculation = Calculation { context, cache, spec, plugin, record, folds: 0 };
    calculation.run(now).await
}

/// Forgets the partial results of an objective that is gone.
pub(super) async fn forget(context: &Context, name: &str) -> Result<(), Error> {
    let page = Page { prefix: format!("{name}/"), ..Page::all() };
    let mut transition = Transition::new();
    for document in context.store.list(PARTIALS, &page)? {
        transition = transition.delete(PARTIALS, &document.id, Expected::Any);
    }
    context.commit(transition).await?;
    Ok(())
}

impl Calculation<'_> {
    async fn run(&mut self, now: Timestamp) -> Result<Calculated, Error> {
        let pieces = plan(self.spec.window, now);
        let mut whole: Partial = None;
        for piece in &pieces {
            let partial = match piece {
                Piece::Ragged(stretch) => self.fold(*stretch).await?,
                Piece::Chunk(stretch) => self.chunk(*stretch).await?,
                Piece::Block(stretch) => self.block(*stretch).await?,
            };
            whole = self.merge(whole, partial).await?;
        }
        let start = pieces.first().map_or(now, |piece| piece.stretch().from);
        self.drop_old(start);
        self.commit().await?;
        let Some(whole) = whole else {
            return Ok(Calculated { attainment: Attainment::default(), plugin: self.plugin.clone() });
        };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.finish(&spec.calculator, &spec.config, &whole).await;
        let attainment = self.take(called)?;
        self.commit().await?;
        Ok(Calculated { attainment, plugin: self.plugin.clone() })
    }

    async fn block(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let recipe = self.recipe(stretch)?;
        let known = self.cache.with(|state| state.blocks.get(&stretch).cloned());
        if let Some((_, partial)) = known.filter(|(made_with, _)| *made_with == recipe) {
            return Ok(partial);
        }
        let mut whole: Partial = None;
        for chunk in chunks_of(stretch, chunk_length(self.spec.window)) {
            let partial = self.chunk(chunk).await?;
            whole = self.merge(whole, partial).await?;
        }
        self.cache.with(|state| state.blocks.insert(stretch, (recipe, whole.clone())));
        Ok(whole)
    }

    async fn chunk(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let recipe = self.recipe(stretch)?;
        let known = self.cache.with(|state| state.chunks.get(&stretch).cloned());
        if let Some((_, partial)) = known.filter(|(made_with, _)| *made_with == recipe) {
            return Ok(partial);
        }
        let partial = self.fold(stretch).await?;
        let kept = Kept { recipe: recipe.clone(), partial: partial.as_ref().map(|bytes| STANDARD.encode(bytes)) };
        let id = self.cache.id(stretch);
        self.record = std::mem::take(&mut self.record).put(PARTIALS, &id, Expected::Any, to_value(&kept)?);
        self.cache.with(|state| state.chunks.insert(stretch, (recipe, partial.clone())));
        self.folds += 1;
        if self.folds.is_multiple_of(FOLDS_PER_COMMIT) {
            self.commit().await?;
        }
        Ok(partial)
    }

    /// `None` where there are no samples: nothing to ask a plugin for.
    async fn fold(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let (series, select) = (self.context.series.clone(), self.spec.select.clone());
        let read = tokio::task::spawn_blocking(move || series.range(&select, stretch.from, stretch.to)).await;
        let (at, values) = together(read.map_err(|_| StoreError::Closed)??);
        if at.is_empty() {
            return Ok(None);
        }
        let exclusions = self.exclusions(stretch);
        let window = SlaWindow { from: stretch.from, to: stretch.to, at, values, exclusions };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.fold(&spec.calculator, &spec.config, &window, None).await;
        self.take(called).map(Some)
    }

    async fn merge(&mut self, a: Partial, b: Partial) -> Result<Partial, Error> {
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return Ok(a.or(b)),
        };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.merge(&spec.calculator, &spec.config, &a, &b).await;
        self.take(called).map(Some)
    }

    fn take<T>(&mut self, called: CallResult<T>) -> Result<T, Error> {
        let mut called = called?;
        self.record.absorb(belongings(&mut called));
        if called.plugin.digest != self.plugin.digest {
            // Swapped in the middle: partials of two versions are not mixed.
            return Err(Error::conflict(
                "the calculator was replaced meanwhile; it is calculated again at the next run",
            ));
        }
        Ok(called.value)
    }

    fn exclusions(&self, stretch: Stretch) -> Vec<(Timestamp, Timestamp)> {
        let clip = |from: Timestamp, to: Timestamp| (from.max(stretch.from), to.min(stretch.to.plus(ONE)));
        let clipped = self.spec.exclusions.iter().map(|exclusion| clip(exclusion.from, exclusion.to));
        clipped.filter(|(from, to)| from < to).collect()
    }

    /// Of everything that a partial of this stretch is made with, but its samples.
    fn recipe(&self, stretch: Stretch) -> Result<String, Error> {
        let spec = self.spec;
        let parts = (&spec.calculator, &self.plugin.digest, &spec.config, &spec.select, self.exclusions(stretch));
        let mut text = String::new();
        for byte in Sha256::digest(to_value(&parts)?.to_string()).iter().take(16) {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(text)
    }

    /// Forgets what lies before the window.
    fn drop_old(&mut self, start: Timestamp) {
        let old: Vec<Stretch> = self.cache.with(|state| {
            state.blocks.retain(|stretch, _| stretch.from >= start);
            let old: Vec<_> = state.chunks.keys().copied().take_while(|stretch| stretch.from < start).collect();
            for stretch in &old {
                state.chunks.remove(stretch);
            }
            old
        });
        for stretch in old {
            let id = self.cache.id(stretch);
            self.record = std::mem::take(&mut self.record).delete(PARTIALS, &id, Expected::Any);
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let record = std::mem::take(&mut self.record);
        self.context.commit(record).await?;
        Ok(())
    }
}

/// A stretch includes its last millisecond, an exclusion ends before its own.
const ONE: quarterdeck_model::Span = quarterdeck_model::Span::from_millis(1);

impl Cache {
    fn load(&self, context: &Context, length: u64) -> Result<(), Error> {
        if self.with(|state| state.loaded) {
            return Ok(());
        }
        let prefix = format!("{}/{length}/", self.name);
        let mut chunks = BTreeMap::new();
        for document in context.store.list(PARTIALS, &Page { prefix: prefix.clone(), ..Page::all() })? {
            let start = document.id.strip_prefix(&prefix).and_then(|start| start.parse().ok());
            // One that can't be read is made again.
            let (Some(start), Ok(kept)) = (start, document.decode::<Kept>()) else { continue };
            let from = Timestamp::from_millis(start);
            let to = from.plus(quarterdeck_model::Span::from_millis(length));
            let Ok(partial) = kept.partial.map(|text| STANDARD.decode(text)).transpose() else { continue };
            chunks.insert(Stretch { from, to }, (kept.recipe, partial));
        }
        self.with(|state| {
            state.chunks = chunks;
            state.loaded = true;
        });
        Ok(())
    }

    fn id(&self, stretch: Stretch) -> String {
        format!("{}/{}/{}", self.name, stretch.to.since(stretch.from).as_millis(), stretch.from.as_millis())
    }
}

/// Several series as one, oldest sample first.
fn together(series: Vec<SeriesData>) -> (Vec<Timestamp>, Vec<f64>) {
    let mut only = series;
    if only.len() == 1
        && let Some(one) = only.pop()
    {
        return (one.at, one.values);
    }
    let mut samples: Vec<(Timestamp, f64)> =
        only.into_iter().flat_map(|one| one.at.into_iter().zip(one.values)).collect();
    samples.sort_by_key(|(at, _)| *at);
    samples.into_iter().unzip()
}
