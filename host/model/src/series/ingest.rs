//! A way in for callers that send the same series again and again: they resolve a series once and then send rows that are three
//! numbers. Names and maps of labels cost more than all the rest of taking a sample in.

use crate::store::StoreError;

/// Stands for a series as long as the store has it in memory; never again for another one. It does not survive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

/// Labels of a series with [`super::query::NAME`], in the order of their names, each name once. Those with an empty value are as if
/// they were missing.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// What became of a series that was to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    Series(SeriesRef),
    /// It is new, and the store has all that it may.
    TooMany,
    /// No metric's name, out of order, or too long.
    Hopeless,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub series: SeriesRef,
    /// Milliseconds since 1970.
    pub at: i64,
    pub value: f64,
}

/// What became of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    pub taken: usize,
    /// There is one of that series and time. The first one stays.
    pub duplicates: usize,
    /// Older than the newest of the series by more than the store takes out of order, or older than what it keeps.
    pub too_old: usize,
    /// Over ten minutes in the future.
    pub too_new: usize,
    /// Places of the rows whose series the store does not have in memory any more: resolve them again, and send these once more.
    pub gone: Vec<usize>,
}

/// The fast way in. Everything is of the calling thread, and short: a few thousand rows at once are fine anywhere.
pub trait Ingest: Send + Sync + 'static {
    /// In the order of what was asked. A series that gets no sample is forgotten after a while.
    ///
    /// # Errors
    /// The store's.
    fn resolve(&self, series: &[Pairs<'_>]) -> Result<Vec<Resolved>, StoreError>;

    /// Visible to readers on return, durable within a second; [`super::Series::sync`] waits for that.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and the store's others: then nothing of this call was taken.
    fn append_refs(&self, rows: &[Row]) -> Result<Appended, StoreError>;
}
