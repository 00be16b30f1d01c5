//! What keeps the runtime from starting. A plugin that can't be used is no error: it is refused, with its reason.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the wasm engine can't start: {reason}")]
    Engine { reason: String },
    #[error("{path} can't be used for plugins: {source}; hint: the daemon's user needs to read and write there")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("threads for guests can't be started: {0}")]
    Threads(std::io::Error),
    #[error("the doors of the host can't be set up: {reason}")]
    Doors { reason: String },
}
