//! What is done: runs, scans, deployments, jobs, processes.

use super::Limit;
use super::values::count;
use clap::{Args, Subcommand};

/// Which findings.
#[derive(Clone, Debug, Args)]
pub(crate) struct Findings {
    /// Also those that were fixed
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those of this scan: its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) scan: Option<String>,
    /// Only those that are at least this severe
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Process {
    /// All processes
    List,
    /// The end of what a process printed
    Logs {
        /// The instance that it runs for: `haproxy/web`
        instance: String,
        /// Its name, as `process list` has it
        name: String,
        /// Lines at most
        #[arg(long, default_value_t = 100, value_parser = count, value_name = "NUMBER")]
        lines: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// All jobs
    List,
    /// One job: `collect/system/local`
    Show {
        /// Name of the job: `collect/system/local`
        name: String,
    },
    /// Run one now
    Run {
        /// Name of the job: `collect/system/local`
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignedIn {
    /// Browsers that are signed in to the console
    List(Limit),
    /// Sign one out, or all of them
    End {
        /// Id of the session, as `session list` has it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// But this one
        #[arg(long, requires = "all", value_name = "ID")]
        except: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deployment {
    /// Deployments, the newest first
    List(Limit),
    /// One deployment with its moves
    Show {
        /// Id of the deployment: `dep_...`
        id: String,
    },
    /// Go on where it waits for a person
    Promote {
        /// Id of the deployment: `dep_...`
        id: String,
        /// Skip all steps that are left, also where it does not wait
        #[arg(long)]
        full: bool,
    },
    /// Stop it and go back to the stable revision
    Abort {
        /// Id of the deployment: `dep_...`
        id: String,
        /// Why, for whoever looks at it later
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runbook {
    /// All runbooks
    List,
    /// One runbook
    Show {
        /// Name of the runbook: `system-health-check`
        slug: String,
    },
    /// Run one, and watch it
    Run {
        /// Name of the runbook: `system-health-check`
        slug: String,
        /// A value for the run; JSON, or else a text
        #[arg(long = "input", value_name = "NAME=VALUE")]
        inputs: Vec<String>,
        /// Only say what each step would do
        #[arg(long)]
        dry_run: bool,
        /// Return at once instead of watching
        #[arg(long)]
        detach: bool,
    },
    /// Runs, the newest first
    Runs(Limit),
    /// One run
    ShowRun {
        /// Id of the run: `run_...`
        id: String,
    },
    /// Stop a run
    Cancel {
        /// Id of the run: `run_...`
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scan {
    /// Scans that were made, the newest first
    List(Limit),
    /// One scan
    Show {
        /// Id of the scan: `scn_...`
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// All services, and the revisions that they run
    List,
    /// One service
    Show {
        /// Name of the service: `[services.<name>]`
        name: String,
    },
}
