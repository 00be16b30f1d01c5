//! What may go wrong with a query.

use quarterdeck_model::store::StoreError;

/// The first is the asker's mistake, the others depend on the data. Texts that people know from Prometheus are Prometheus's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query is none: with line and column of the place, where it is known.
    #[error("invalid query: {0}")]
    Parse(String),
    /// The query can't be evaluated over this data: series that can't be told apart, a parameter that is not a number, ...
    #[error("{0}")]
    Evaluation(String),
    /// More would be read or held than the caller allows, or it has ended the query, or the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    pub(crate) fn evaluation(message: impl Into<String>) -> Self {
        Error::Evaluation(message.into())
    }

    /// Two series of a result have the same labels at the same time.
    pub(crate) fn same_labels() -> Self {
        Error::evaluation("vector cannot contain metrics with the same labelset")
    }
}
