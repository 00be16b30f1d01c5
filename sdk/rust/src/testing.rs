//! A host for native tests of a plugin's logic, and [`Component`] for tests of the built component in the real one.
//!
//! ```
//! use quarterdeck_sdk::host::kv;
//! use quarterdeck_sdk::testing::FakeHost;
//!
//! let (value, host) = FakeHost::default().run(|| {
//!     kv::set("seen", b"yes").unwrap();
//!     kv::get("seen").unwrap()
//! });
//! assert_eq!(value.as_deref(), Some(b"yes".as_slice()));
//! assert_eq!(host.kv.len(), 1);
//! ```
//!
//! A plugin that reads the time with [`clock::now_ms`](crate::host::clock::now_ms) sees the one that the test sets:
//!
//! ```
//! use quarterdeck_sdk::host::clock;
//! use quarterdeck_sdk::testing::FakeHost;
//!
//! let (before, mut host) = FakeHost { now_ms: Some(1_767_225_600_000), ..FakeHost::default() }.run(clock::now_ms);
//! host.advance(60_000);
//! assert_eq!(host.run(clock::now_ms).0, before + 60_000);
//! ```

mod component;
mod windows;

pub use component::{Component, Error as ComponentError};
pub use windows::{bears_odd_windows, odd_windows};

use crate::host::Error;
use crate::host::clock;
use crate::host::exec::{Command, Finished};
use crate::host::log::Level;
use crate::host::metrics::Point;
use crate::host::process::{Spec, Status};
use crate::host::system::{FileSystem, Snapshot};
use crate::host::tcp::{Address, Certificate};
use crate::http;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// What a fake TCP connection reads from and writes to.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Runs a program.
pub type Exec = Box<dyn FnMut(&Command) -> Result<Finished, Error>>;
/// Answers a request.
pub type Fetch = Box<dyn FnMut(&http::Request) -> Result<http::Response, http::Error>>;
/// Opens a stream.
pub type Connect = Box<dyn FnMut(&Address) -> Result<Box<dyn Stream>, Error>>;
/// Makes a MAC: the secret's name, the message.
pub type Hmac = Box<dyn FnMut(&str, &[u8]) -> Result<Vec<u8>, Error>>;

/// What the functions of [`host`](crate::host) and [`http`] see inside [`FakeHost::run`]. What is `None` fails.
#[derive(Default)]
pub struct FakeHost {
    /// Lines that were written.
    pub log: Vec<(Level, String)>,
    /// The instance's key-value space.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// Names and newest samples of series.
    pub metrics: Vec<(String, Point)>,
    /// Type, subject and data of what was published.
    pub events: Vec<(String, String, String)>,
    /// The machine.
    pub system: Option<Snapshot>,
    /// What is mounted.
    pub file_systems: Option<Vec<FileSystem>>,
    /// Runs programs.
    pub exec: Option<Exec>,
    /// Answers requests.
    pub http: Option<Fetch>,
    /// Opens streams.
    pub tcp: Option<Connect>,
    /// Hosts that connections went on with in TLS. What is written stays as it is.
    pub tls: Vec<String>,
    /// By host and port.
    pub certificates: BTreeMap<(String, u16), Certificate>,
    /// Processes that were started, and how they are.
    pub processes: BTreeMap<String, (Spec, Status)>,
    /// Makes MACs.
    pub hmac: Option<Hmac>,
    /// Secrets that are revealed.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Identities and contents of files, by path.
    pub files: BTreeMap<String, (u64, Vec<u8>)>,
    /// Paths and lines that were appended.
    pub lines: Vec<(String, Vec<u8>)>,
    /// What [`clock::now_ms`](crate::host::clock::now_ms) says: UTC, milliseconds since 1970. It stands still. `None`: the machine's clock.
    pub now_ms: Option<i64>,
}

thread_local! {
    static CURRENT: RefCell<Option<FakeHost>> = const { RefCell::new(None) };
}

impl FakeHost {
    /// Runs `body` on this thread inside the host; gives back the host as `body` left it.
    pub fn run<T>(self, body: impl FnOnce() -> T) -> (T, FakeHost) {
        let outer = CURRENT.with(|current| current.replace(Some(self)));
        let value = body();
        let own = CURRENT.with(|current| current.replace(outer));
        (value, own.unwrap_or_default())
    }

    /// Sets the clock that much on, or back where that is negative; from the machine's time where none was set.
    pub fn advance(&mut self, by_ms: i64) {
        let now_ms = self.now_ms.unwrap_or_else(clock::machine_ms);
        self.now_ms = Some(now_ms.saturating_add(by_ms));
    }
}

pub(crate) fn with<T>(act: impl FnOnce(&mut FakeHost) -> Result<T, Error>) -> Result<T, Error> {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(host) => act(host),
        None => Err(Error::no_host()),
    })
}

/// The time that the host around this says, if there is one and it says any. What a test scripts is called while the host is in use, and may
/// ask for the time, too: it is told the machine's.
pub(crate) fn now_ms() -> Option<i64> {
    CURRENT.with(|current| current.try_borrow().ok()?.as_ref()?.now_ms)
}
