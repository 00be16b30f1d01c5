//! What the runtime is started with.

use crate::imports::DoorsOptions;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::journal::Journals;
use quarterdeck_model::plugin::Digest;
use quarterdeck_model::plugin::publisher::Trust;
use quarterdeck_model::store::Store;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub struct Options {
    /// Accepted components and what was compiled from them. Made if it is not there; owner only.
    pub cache_dir: PathBuf,
    /// Where compiled components are kept, for a host that shares those of another one and nothing else. Made if it is not there; owner only.
    /// `None`: below `cache_dir`.
    pub artefacts_dir: Option<PathBuf>,
    /// Watched for `.wasm` files. Made if it is not there. `None`: bundled plugins only.
    pub plugins_dir: Option<PathBuf>,
    pub bundled: Vec<Bundled>,
    /// Names of the bundled plugins that the start waits for where they have to be compiled. The others are compiled after it, one after
    /// another, or as soon as an instance of theirs is configured. `None`: all are waited for.
    pub bundled_first: Option<BTreeSet<String>>,
    /// Which files may be plugins.
    pub trust: Trust,
    pub doors: DoorsOptions,
    pub store: Arc<dyn Store>,
    /// Where decisions are kept. `None`: none are, whatever instances ask for.
    pub journals: Option<Arc<dyn Journals>>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub compiler: Compiler,
    /// Threads for guests; as many again, at a lower priority, take over what computes for long. 0: one per core.
    pub guest_threads: usize,
    /// Calls of instances that are known to be quick begin on the caller's thread, and leave it at the first tick of the epoch
    /// (a millisecond at most). False: every call runs on the guests' threads, which costs it about as much again.
    pub quick_calls_inline: bool,
    /// Sandboxes at once. One more call waits.
    pub sandboxes: u32,
    /// Calls for which a new version is watched. 0: it is trusted at once.
    pub probation_calls: u32,
    /// Misbehaviours in a row after which an instance is quarantined.
    pub quarantine_after: u32,
    pub shutdown: CancellationToken,
}

impl Options {
    /// Defaults for what has one.
    pub fn new(
        cache_dir: PathBuf,
        doors: DoorsOptions,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Self {
        Options {
            cache_dir,
            artefacts_dir: None,
            plugins_dir: None,
            bundled: Vec::new(),
            bundled_first: None,
            trust: Trust::default(),
            doors,
            store,
            journals: None,
            clock,
            ids,
            compiler: Compiler::InProcess,
            guest_threads: 0,
            quick_calls_inline: true,
            sandboxes: 200,
            probation_calls: 20,
            quarantine_after: 5,
            shutdown: CancellationToken::new(),
        }
    }
}

/// A plugin that came with the binary.
#[derive(Clone)]
pub struct Bundled {
    /// Its own name, which is its folder's, too.
    pub name: String,
    /// Of `bytes`. Known from the build, so that a start with a warm cache does not read them.
    pub digest: Digest,
    pub bytes: Cow<'static, [u8]>,
}

impl Bundled {
    /// With the digest that the bytes have.
    pub fn new(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let bytes = bytes.into();
        Bundled { name: name.to_owned(), digest: crate::cache::digest(&bytes), bytes }
    }
}

/// Where components are compiled. Compiling is no security boundary: what comes from a folder belongs into a child.
#[derive(Clone, Debug)]
pub enum Compiler {
    InProcess,
    /// `program arguments...` calls [`crate::compile_in_child`].
    Child {
        program: PathBuf,
        arguments: Vec<String>,
        /// Address space of the child.
        memory_bytes: u64,
        /// Wall and CPU time of the child.
        timeout: Duration,
    },
}
