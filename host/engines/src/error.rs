use quarterdeck_model::plugin::CallError;
use quarterdeck_model::store::StoreError;

/// Why a flow refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no {what}")]
    NotFound { what: String },
    /// What is asked for doesn't fit the state that the thing is in.
    #[error("{message}")]
    Conflict { message: String },
    /// Whoever asked has seen another revision than the one that is there now.
    #[error("`{id}` is at revision {revision} by now; hint: read it again and decide again")]
    Changed { id: String, revision: u64 },
    /// What is asked for makes no sense, whatever the state.
    #[error("{message}")]
    Invalid { message: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<quarterdeck_bus::Error> for Error {
    fn from(error: quarterdeck_bus::Error) -> Self {
        match error {
            quarterdeck_bus::Error::Store(error) => Error::Store(error),
            other => Error::Invalid { message: other.to_string() },
        }
    }
}

impl Error {
    pub fn not_found(what: impl Into<String>) -> Self {
        Error::NotFound { what: what.into() }
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Error::Conflict { message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid { message: message.into() }
    }
}
