//! Rules in Prometheus's format.

use super::values::duration;
use clap::Subcommand;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// Read rule files in Prometheus's format, and say everything that is wrong with them, without a daemon
    Check {
        /// Rule files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Say when an alert would have fired over what the daemon has stored, and for how long
    Backtest {
        /// Name of the alert
        alert: String,
        /// The group that it is in: `node/alerts` [default: the first one that has such an alert]
        #[arg(long)]
        group: Option<String>,
        /// A rule file that holds it, instead of the daemon's configuration
        #[arg(long)]
        file: Option<PathBuf>,
        /// How far back
        #[arg(long, default_value = "1d", value_parser = duration, value_name = "DURATION")]
        since: Duration,
        /// From one evaluation to the next [default: the group's interval]
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        step: Option<Duration>,
    },
    /// Run unit tests of rules in promtool's format, in virtual time and without a daemon
    ///
    /// Ends with 0 if all is as expected, else with 1, and says what was found instead.
    Test {
        /// Files of tests: `promtool test rules` takes the same
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What becomes of a firing alert when nothing is there any more of what its rule reads: as in Prometheus (normal), or by
        /// the policies that the daemon has unless they are set (keep)
        #[arg(long, default_value = "normal", value_parser = ["normal", "keep"])]
        no_data: String,
    },
}
