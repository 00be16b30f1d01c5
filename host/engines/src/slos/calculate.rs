//! Folds, merges and finishes with the calculator. Partial results of chunks that are over are kept in memory and in documents:
//! they outlive the samples that they were made of.
//!
//! A partial is known by its recipe: the calculator, what it reads of the configuration, the series, the exclusions. What a
//! calculator marks in its schema with `"x-finish-only": true` is read when the figures are made of partials, and never before: a
//! change of it, such as another target, leaves the past as it is. Any other change makes the partials anew as far as samples reach.
//! Those that can't be made anew are left out, and stay in the store: who takes the change back has them again.
//!
//! Another version of the calculator makes the partials anew as well, where all of their samples are there. Those whose samples are
//! gone stay as they are, if the new version takes them (it is asked to merge each with itself), and are left out else.

use super::chunks::{Piece, Stretch, chunk_length, chunks_of, plan};
use crate::{Context, Error, belongings, to_value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::slo::SloSpec;
use quarterdeck_model::kind::sla_calculator::{Attainment, SlaWindow};
use quarterdeck_model::plugin::{CallError, CallFailed, CallResult, PluginRef};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Id: `<objective>/<length of the chunk in ms>/<start in ms>`.
const PARTIALS: &str = "slo-partials";
/// Marks, in a calculator's schema, what it reads in `finish` alone.
const FINISH_ONLY: &str = "x-finish-only";
/// Chunks folded before the first result is shown for a while: a long history is caught up with in several runs.
const FOLDS_PER_COMMIT: usize = 64;

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    made: Made,
    /// `None`: there were no samples.
    partial: Option<String>,
}

/// How a partial was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    /// Of everything that the partial was made with but its samples and the version of the calculator.
    recipe: String,
    /// The version that made it, or takes it as its own.
    #[serde(default)]
    by: String,
}

/// A chunk that can't be calculated.
#[derive(Clone)]
struct Lost {
    made: Made,
    /// There is a partial of a version before, which this one does not take.
    refused: bool,
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
    chunks: BTreeMap<Stretch, (Made, Partial)>,
    blocks: BTreeMap<Stretch, (Made, Partial)>,
    /// Chunks with a partial that was made otherwise and no samples to make this one of.
    lost: BTreeMap<Stretch, Lost>,
    /// Documents of chunks of another length, as another window had them, with their ends.
    strays: Vec<(String, Timestamp)>,
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
    /// What came before could not be calculated.
    pub(super) complete_since: Option<Timestamp>,
    /// Why, where it was not the configuration that changed.
    pub(super) problem: Option<String>,
}

struct Calculation<'a> {
    context: &'a Context,
    cache: &'a Cache,
    spec: &'a SloSpec,
    plugin: PluginRef,
    /// What folding and merging read of the configuration.
    config: Map<String, Value>,
    now: Timestamp,
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
    let absent = || {
        let message = format!("there is no calculator `{}`", spec.calculator);
        CallFailed::from(CallError::Unavailable { message })
    };
    let instance = context.registry.instance(&spec.calculator).ok_or_else(absent)?;
    let plugin = instance.plugin.ok_or_else(absent)?;
    let mut config = instance.spec.config.clone();
    config.extend(spec.config.clone());
    let finish_only = finish_only(context, &plugin);
    config.retain(|key, _| !finish_only.contains(key));
    cache.load(context, chunk_length(spec.window).as_millis())?;
    let record = Transition::new();
    let mut calculation = Calculation { context, cache, spec, plugin, config, now, record, folds: 0 };
    calculation.run().await
}

/// Keys of the configuration that the plugin reads in `finish` alone, as its schema says.
fn finish_only(context: &Context, plugin: &PluginRef) -> BTreeSet<String> {
    let plugins = context.registry.plugins();
    let schema = plugins.into_iter().find(|known| known.digest == plugin.digest).map(|known| known.config_schema);
    let properties = schema.as_ref().and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let marked =
        properties.into_iter().flatten().filter(|(_, property)| property.get(FINISH_ONLY) == Some(&true.into()));
    marked.map(|(key, _)| key.clone()).collect()
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
    async fn run(&mut self) -> Result<Calculated, Error> {
        let now = self.now;
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
        let (complete_since, problem) = self.complete_since()?;
        let Some(whole) = whole else {
            let (attainment, plugin) = (Attainment::default(), self.plugin.clone());
            return Ok(Calculated { attainment, plugin, complete_since, problem });
        };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.finish(&spec.calculator, &spec.config, &whole, now).await;
        let attainment = self.take(called)?;
        self.commit().await?;
        Ok(Calculated { attainment, plugin: self.plugin.clone(), complete_since, problem })
    }

    /// The end of the last chunk that could not be calculated, and what people have to know of it.
    fn complete_since(&self) -> Result<(Option<Timestamp>, Option<String>), Error> {
        let lost = self.cache.with(|state| state.lost.clone());
        for (stretch, lost) in lost.into_iter().rev() {
            if lost.made == self.made(stretch)? {
                let problem = lost.refused.then(|| {
                    format!(
                        "version {} of `{}` does not take the figures of the version before: those until {} are left out, as their \
                         samples are gone; hint: the version before still has them",
                        self.plugin.version, self.plugin.name, stretch.to
                    )
                });
                return Ok((Some(stretch.to), problem));
            }
        }
        Ok((None, None))
    }

    async fn block(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let made = self.made(stretch)?;
        let known = self.cache.with(|state| state.blocks.get(&stretch).cloned());
        if let Some((_, partial)) = known.filter(|(with, _)| *with == made) {
            return Ok(partial);
        }
        let mut whole: Partial = None;
        for chunk in chunks_of(stretch, chunk_length(self.spec.window)) {
            let partial = self.chunk(chunk).await?;
            whole = self.merge(whole, partial).await?;
        }
        self.cache.with(|state| state.blocks.insert(stretch, (made, whole.clone())));
        Ok(whole)
    }

    async fn chunk(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let made = self.made(stretch)?;
        let known = self.cache.with(|state| state.chunks.get(&stretch).cloned());
        if let Some((with, partial)) = &known
            && *with == made
        {
            return Ok(partial.clone());
        }
        if self.cache.with(|state| state.lost.get(&stretch).is_some_and(|lost| lost.made == made)) {
            return Ok(None);
        }
        let folded = self.fold(stretch).await?;
        let partial = match known {
            Some((with, Some(before))) if with.recipe == made.recipe => {
                self.of_the_version_before(stretch, before, folded).await?
            }
            Some((_, Some(_))) if folded.is_none() => Err(Lost { made: made.clone(), refused: false }),
            _ => Ok(folded),
        };
        let partial = match partial {
            Ok(partial) => partial,
            Err(lost) => {
                self.cache.with(|state| state.lost.insert(stretch, lost));
                return Ok(None);
            }
        };
        let kept = Kept { made: made.clone(), partial: partial.as_ref().map(|bytes| STANDARD.encode(bytes)) };
        let id = self.cache.id(stretch);
        self.record = std::mem::take(&mut self.record).put(PARTIALS, &id, Expected::Any, to_value(&kept)?);
        self.cache.with(|state| state.chunks.insert(stretch, (made, partial.clone())));
        self.folds += 1;
        if self.folds.is_multiple_of(FOLDS_PER_COMMIT) {
            self.commit().await?;
        }
        Ok(partial)
    }

    /// What another version of the calculator has made, or what this one makes of the samples if they are all there: if some are older.
    async fn of_the_version_before(
        &mut self,
        stretch: Stretch,
        before: Vec<u8>,
        folded: Partial,
    ) -> Result<Result<Partial, Lost>, Error> {
        let older = Stretch { from: stretch.from.minus(chunk_length(self.spec.window)), to: stretch.from };
        if folded.is_some() && !self.samples(older).await?.0.is_empty() {
            return Ok(Ok(folded));
        }
        let spec = self.spec;
        let calculator = &self.context.plugins.sla_calculator;
        let called = calculator.merge(&spec.calculator, &spec.config, &before, &before, self.now).await;
        let refuses = |error: &CallError| {
            matches!(error, CallError::Rejected { .. } | CallError::Other { .. } | CallError::Trapped { .. })
        };
        Ok(match called {
            Err(failed) if refuses(&failed.error) => match folded {
                Some(folded) => Ok(Some(folded)),
                None => Err(Lost { made: self.made(stretch)?, refused: true }),
            },
            called => {
                self.take(called)?;
                Ok(Some(before))
            }
        })
    }

    /// `None` where there are no samples: nothing to ask a plugin for.
    async fn fold(&mut self, stretch: Stretch) -> Result<Partial, Error> {
        let (at, values) = self.samples(stretch).await?;
        if at.is_empty() {
            return Ok(None);
        }
        let exclusions = self.exclusions(stretch);
        let window = SlaWindow { from: stretch.from, to: stretch.to, at, values, exclusions };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.fold(&spec.calculator, &spec.config, &window, None).await;
        self.take(called).map(Some)
    }

    async fn samples(&self, stretch: Stretch) -> Result<(Vec<Timestamp>, Vec<f64>), Error> {
        let (series, select) = (self.context.series.clone(), self.spec.select.clone());
        let read = tokio::task::spawn_blocking(move || series.range(&select, stretch.from, stretch.to)).await;
        Ok(together(read.map_err(|_| StoreError::Closed)??))
    }

    async fn merge(&mut self, a: Partial, b: Partial) -> Result<Partial, Error> {
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return Ok(a.or(b)),
        };
        let spec = self.spec;
        let called = self.context.plugins.sla_calculator.merge(&spec.calculator, &spec.config, &a, &b, self.now).await;
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

    /// How a partial of this stretch is made now.
    fn made(&self, stretch: Stretch) -> Result<Made, Error> {
        let spec = self.spec;
        let parts = (&spec.calculator, &self.plugin.name, &self.config, &spec.select, self.exclusions(stretch));
        let mut text = String::new();
        for byte in Sha256::digest(to_value(&parts)?.to_string()).iter().take(16) {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Made { recipe: text, by: self.plugin.digest.0.clone() })
    }

    /// Forgets what lies before the window.
    fn drop_old(&mut self, start: Timestamp) {
        let old: Vec<Stretch> = self.cache.with(|state| {
            state.blocks.retain(|stretch, _| stretch.from >= start);
            state.lost.retain(|stretch, _| stretch.from >= start);
            let old: Vec<_> = state.chunks.keys().copied().take_while(|stretch| stretch.from < start).collect();
            for stretch in &old {
                state.chunks.remove(stretch);
            }
            old
        });
        let (ended, left) =
            self.cache.with(|state| std::mem::take(&mut state.strays)).into_iter().partition(|(_, to)| *to <= start);
        self.cache.with(|state| state.strays = left);
        let ended: Vec<(String, Timestamp)> = ended;
        let ids = old.into_iter().map(|stretch| self.cache.id(stretch)).chain(ended.into_iter().map(|(id, _)| id));
        for id in ids.collect::<Vec<_>>() {
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
        let prefix = format!("{}/", self.name);
        let (mut chunks, mut strays) = (BTreeMap::new(), Vec::new());
        for document in context.store.list(PARTIALS, &Page { prefix: prefix.clone(), ..Page::all() })? {
            let parts = document.id.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
            let parts = parts.and_then(|(length, start)| Some((length.parse::<u64>().ok()?, start.parse().ok()?)));
            let Some((own, start)) = parts else { continue };
            let from = Timestamp::from_millis(start);
            let to = from.plus(quarterdeck_model::Span::from_millis(own));
            if own != length {
                strays.push((document.id, to));
                continue;
            }
            // One that can't be read is made again.
            let Ok(kept) = document.decode::<Kept>() else { continue };
            let Ok(partial) = kept.partial.map(|text| STANDARD.decode(text)).transpose() else { continue };
            chunks.insert(Stretch { from, to }, (kept.made, partial));
        }
        self.with(|state| {
            (state.chunks, state.strays) = (chunks, strays);
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
