//! What the host does for a plugin. Each module is a capability of its own: a component imports, and so asks for, only what
//! it calls. Every function that may fail fails with
//! [`Error::Denied`] where the instance lacks the grant.
//!
//! Outside a host, that is in a native test, every function fails, unless the test runs inside a
//! [`FakeHost`](crate::testing::FakeHost).

pub mod append;
pub mod clock;
pub mod events;
pub mod exec;
pub mod files;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod process;
pub mod reveal;
pub mod secret;
pub mod system;
pub mod tcp;

use crate::Failure;

/// Why the host did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted, or outside the granted scope; names the grant that would allow it.
    Denied(String),
    /// A limit of the instance is used up.
    Limited(String),
    /// It was tried and did not work.
    Failed(String),
}

impl Error {
    /// What went wrong, whichever it is.
    pub fn message(&self) -> &str {
        match self {
            Error::Denied(message) | Error::Limited(message) | Error::Failed(message) => message,
        }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn no_host() -> Self {
        Error::Failed("not running in a host".to_owned())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// What is denied stays denied until somebody grants it; anything else may work later.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(message) => Failure::Rejected(message),
            Error::Limited(message) | Error::Failed(message) => Failure::retry(message),
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Denied(_) => std::io::ErrorKind::PermissionDenied,
            Error::Limited(_) | Error::Failed(_) => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

#[cfg(target_family = "wasm")]
impl crate::mirror::Mirror<Error> for crate::bindings::imports::quarterdeck::host::errors::Error {
    fn mirror(self) -> Error {
        use crate::bindings::imports::quarterdeck::host::errors::Error as wit;
        match self {
            wit::Denied(message) => Error::Denied(message),
            wit::Limited(message) => Error::Limited(message),
            wit::Failed(message) => Error::Failed(message),
        }
    }
}
