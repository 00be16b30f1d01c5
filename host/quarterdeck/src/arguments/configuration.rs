//! The configuration.

use super::values::{count, section};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Read the files, ask the plugins, and say what is wrong, without a daemon
    Check,
    /// What the daemon works with: as TOML, or as JSON with --json
    ///
    /// quarterdeck config show rules cpu-high
    Show {
        /// Only this section: `rules`
        section: Option<String>,
        /// Only this object of it: `cpu-high`
        name: Option<String>,
    },
    /// Have the daemon read its files again
    Reload,
    /// Objects that are in force, and where they come from
    Objects {
        /// Only those of this section: rules
        section: Option<String>,
        /// Only those that were set or unset here
        #[arg(long)]
        api: bool,
    },
    /// Set an object, over what the files say
    ///
    /// quarterdeck config set instances log/second 'plugin = "log"'
    Set {
        #[arg(help = section())]
        section: String,
        /// Name of the object: `log/second`
        name: String,
        /// The object in TOML, or in JSON; `-` reads it from standard input
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// A file that holds it, in TOML, YAML or JSON
        #[arg(long, conflicts_with = "value")]
        file: Option<PathBuf>,
    },
    /// Take an object away, also where files declare it
    Unset {
        #[arg(help = section())]
        section: String,
        /// Name of the object: `log/second`
        name: String,
    },
    /// Take back what was set or unset: what the files say holds again
    Reset {
        #[arg(help = section())]
        section: String,
        /// Name of the object: `log/second`
        name: String,
    },
    /// Every configuration that was in force, the newest first
    Versions {
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = count, value_name = "NUMBER")]
        limit: usize,
    },
    /// What is different between two versions
    Diff {
        /// The one before; what was in force before the newest one unless given
        from: Option<String>,
        /// The one after; what is in force now unless given
        to: Option<String>,
    },
    /// Make every object what it was in a version
    Restore {
        /// Id of the version: `cfg_...`
        version: String,
    },
    /// Print the effective configuration as a file, or write it into a folder
    Export {
        /// A folder that is new or empty
        folder: Option<PathBuf>,
    },
    /// The JSON Schema of the configuration
    Schema,
}
