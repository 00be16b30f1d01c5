//! What an operator does with plugins over their whole life.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Install a plugin: it is verified before it replaces anything, and in use when this ends
#[derive(Clone, Debug, Args)]
pub(crate) struct Install {
    /// The component: a file, https://..., or oci://registry/repository:tag (or @sha256:...); with --locked a lock file [default: the
    /// daemon's own]
    #[arg(required_unless_present = "locked")]
    pub(crate) source: Option<String>,
    /// What the file is called in the plugins folder [default: as the source is]
    #[arg(long, value_name = "FILE")]
    pub(crate) name: Option<String>,
    /// Only if that is its content: `sha256:...`
    #[arg(long)]
    pub(crate) digest: Option<String>,
    /// Also where the file holds another plugin, which has no file then
    #[arg(long)]
    pub(crate) replace: bool,
    /// Bring what the lock file names, exactly that, with the grants that it had
    #[arg(long, conflicts_with_all = ["name", "digest", "replace"])]
    pub(crate) locked: bool,
    /// With --locked: remove what it does not name
    #[arg(long, short, requires = "locked")]
    pub(crate) yes: bool,
}

/// Take a plugin's file out of the plugins folder
#[derive(Clone, Debug, Args)]
pub(crate) struct Remove {
    /// The file, `http-probe.wasm`, or the plugin's name
    pub(crate) name: String,
    /// Don't ask, also where instances lose their plugin
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Go back to an earlier version of a plugin
#[derive(Clone, Debug, Args)]
pub(crate) struct Rollback {
    /// Name of the plugin: `http-probe`
    pub(crate) name: String,
    /// A version, or a digest [default: the version that was in use before]
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
}
/// Show or change what an instance is configured with
#[derive(Clone, Debug, Args)]
pub(crate) struct Configure {
    /// The instance: `http-probe/api`
    pub(crate) instance: String,
    /// Keys and their values, JSON or text: `timeout=5s`, `headers.accept="*/*"`
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Everything at once, out of a file: TOML, YAML or JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "unset"])]
    pub(crate) file: Option<PathBuf>,
    /// Take a key away: the plugin's default holds
    #[arg(long, value_name = "KEY")]
    pub(crate) unset: Vec<String>,
}

/// What an instance's plugin has logged
#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// The instance: `http-probe/api` [default: all]
    pub(crate) instance: Option<String>,
    /// Go on with what comes, until it is interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Lines at most, the newest of each instance
    #[arg(long, default_value_t = 100, value_parser = super::count, value_name = "NUMBER")]
    pub(crate) limit: usize,
    /// Only lines at least as loud
    #[arg(long, value_parser = ["trace", "debug", "info", "warn", "error"])]
    pub(crate) level: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Key {
    /// Make one, and print the public half
    New {
        /// Where to keep it: `publisher.pem`
        file: PathBuf,
    },
    /// Print the public half
    Show {
        /// Where it is kept
        file: PathBuf,
    },
}

/// Sign a component
#[derive(Clone, Debug, Args)]
pub(crate) struct Sign {
    /// The component
    pub(crate) component: PathBuf,
    /// The key: what `plugin key new` has made
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Where the signed component goes [default: in its place]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
