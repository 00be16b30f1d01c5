//! What asks another version of a plugin what the one in use was asked.

use super::values::{count, duration};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Ask another version what a plugin's instances were asked, and compare; exits with 1 if anything would have been decided otherwise, or nothing was compared
///
/// The past is what the journals of its instances hold: an instance has one if its configuration says `journal = { keep = "7d" }`. The
/// component runs in the daemon, without grants, and changes nothing.
#[derive(Clone, Debug, Args)]
pub(crate) struct Replay {
    /// Name of the plugin, or of one instance: `threshold`, `threshold/default`
    pub(crate) name: String,
    /// The other version
    #[arg(long, value_name = "FILE")]
    pub(crate) with: PathBuf,
    /// How far back: `90s`, `7d` [default: all that is kept]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) since: Option<Duration>,
    /// At most so many decisions, from the oldest on
    #[arg(long, value_parser = count, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Differences that are shown
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    pub(crate) samples: u64,
}

/// Ask a candidate beside the version in use, or show how it does
///
/// It is asked what the plugin's instances are asked, after they have answered; what it says is compared, and nothing else. A candidate
/// survives a restart of the daemon; what was counted does not.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shadow {
    /// Name of the plugin: `threshold` [default: all candidates]
    pub(crate) plugin: Option<String>,
    /// The candidate
    #[arg(long, value_name = "FILE", requires = "plugin")]
    pub(crate) with: Option<PathBuf>,
    /// Do not ask it any more
    #[arg(long, conflicts_with = "with", requires = "plugin")]
    pub(crate) stop: bool,
}
