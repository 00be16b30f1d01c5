//! What an operator does with plugins over their whole life.

use super::values::kinds;
use super::{Replay, Shadow};
use clap::{Args, Subcommand, ValueEnum};
use quarterdeck_model::plugin::Kind;
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

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// All plugins
    List,
    /// One plugin
    Show {
        /// Name of the plugin: `http-probe`
        name: String,
    },
    /// Look at the plugins folder again, now
    Reload,
    Install(Install),
    Remove(Remove),
    Rollback(Rollback),
    /// Let an instance run
    Enable {
        /// The instance: `http-probe/api`
        instance: String,
    },
    /// Let an instance rest: nothing calls it
    Disable {
        /// The instance: `http-probe/api`
        instance: String,
    },
    Config(Configure),
    Logs(Logs),
    /// The key that a publisher signs with
    #[command(subcommand)]
    Key(Key),
    Sign(Sign),
    /// Give an instance's grants to the content that waits for them, after showing what it asks for; exits with 1 if it waits on
    Grant {
        /// The instance: `http-probe/api`
        instance: String,
        /// Only if that is what waits: `sha256:...`
        #[arg(long)]
        digest: Option<String>,
        /// What the instance may touch from now on, laid over what it may already: JSON, or @FILE
        #[arg(long, value_name = "JSON")]
        grants: Option<String>,
    },
    Replay(Replay),
    Shadow(Shadow),
    /// Put a plugin's candidate into the plugins folder, in place of the version in use
    Promote {
        /// Name of the plugin: `threshold`
        plugin: String,
    },
    /// What is kept of the decisions of instances, for `replay`
    Journal {
        /// Name of the plugin: `threshold` [default: all plugins]
        plugin: Option<String>,
    },
    /// Take an instance's grants from a content again
    Revoke {
        /// The instance: `http-probe/api`
        instance: String,
        /// Of this content only [default: of every one]
        #[arg(long)]
        digest: Option<String>,
    },
    /// Make the folder of a new plugin, with a test that passes
    New {
        /// In kebab-case: `http-probe`
        name: String,
        /// What it is to be
        #[arg(long, value_parser = kinds())]
        kind: Kind,
        /// What it is to be written in
        #[arg(long, value_enum, default_value = "rust")]
        language: PluginLanguage,
        /// Where to [default: a folder of its name]
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Build the component of a plugin, and print where it is
    Build {
        /// The plugin's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Run a plugin's tests, build it, and check the component
    Test {
        /// The plugin's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        #[command(flatten)]
        given: Given,
    },
    /// Judge a component before it is trusted; exits with 1 if it fails, and with 2 if it could not be judged
    Check {
        /// The component
        file: PathBuf,
        #[command(flatten)]
        given: Given,
    },
    /// Call a component once, without a daemon, and print its answer as JSON
    Run {
        /// The component
        file: PathBuf,
        /// `collect`, `evaluate`, `scan`, ... [default: what its kind is for]
        function: Option<String>,
        /// What the function is given: JSON, @FILE, or - for standard input
        #[arg(long, default_value = "{}", value_name = "JSON")]
        input: String,
        /// What the call may use, as under `limits` of an instance: JSON, or @FILE
        #[arg(long, default_value = "{}", value_name = "JSON")]
        limits: String,
        #[command(flatten)]
        given: Given,
    },
}

/// What a component is given when it is tried.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Given {
    /// Configuration of the instance: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub(crate) config: Option<String>,
    /// What the instance may touch, as under `grants` in the configuration: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub(crate) grants: Option<String>,
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginLanguage {
    Rust,
    Python,
    #[value(alias = "typescript")]
    Javascript,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Instance {
    /// All instances
    List,
    /// Who uses what: within the hour, or the window of the instance's budget
    Top {
        /// What the list is sorted by; `cpu` is the time for which its code ran, by the clock
        #[arg(long, default_value = "cpu", value_parser = ["cpu", "calls", "bytes-out", "host-calls"])]
        by: String,
    },
    /// One instance: `http-probe/self`
    Show {
        /// Name of the instance: `plugin/name`
        name: String,
    },
}
