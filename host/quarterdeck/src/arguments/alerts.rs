//! Figures, events, alerts, and who is told of them.

use super::Limit;
use super::values::{count, duration, number};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Metric {
    /// Names of all metrics
    List,
    /// The newest samples of one
    Latest {
        /// Name of the metric: `cpu_usage_percent`
        metric: String,
        /// Only series with this label
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
    },
    /// Samples over time
    Range {
        /// Name of the metric: `cpu_usage_percent`
        metric: String,
        /// Only series with this label
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// How far back: `90s`, `1h 30m`, `2days`
        #[arg(long, default_value = "15m", value_parser = duration, value_name = "DURATION")]
        since: std::time::Duration,
    },
    /// Hand in a sample
    Push {
        /// Name of the metric: `backup_bytes`
        metric: String,
        /// What was measured: `4.5`, or `NaN`, `+Inf`, `-Inf`
        #[arg(value_parser = number, allow_hyphen_values = true)]
        value: f64,
        /// Labels of its series
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// The newest events
    List {
        /// Types, prefixes that end in `.`, or topics
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Only what is about this: an id or a name
        #[arg(long)]
        subject: Option<String>,
        /// Also what is written down of each thing that plugins did (`audit.`), which is left out unless types are named
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = count, value_name = "NUMBER")]
        limit: usize,
    },
    /// Print events as they happen
    Tail {
        /// Types, prefixes that end in `.`, or topics
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Also what is written down of each thing that plugins did (`audit.`), which is left out unless types are named
        #[arg(long)]
        all: bool,
        /// Begin behind this offset instead of at the end
        #[arg(long)]
        after: Option<u64>,
    },
    /// Publish an event of a type that starts with `custom.`
    Publish {
        /// Type of the event: `custom.backup-done`
        event_type: String,
        /// What it is about: an id or a name
        subject: String,
        /// A JSON object
        #[arg(default_value = "{}")]
        data: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Alert {
    /// Alerts that are pending or firing
    List {
        /// Also those that were resolved
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// One alert
    Show {
        /// Fingerprint of the alert, as `alert list --json` has it
        fingerprint: String,
    },
    /// Say that someone looks at it: it is not told again until it ends
    #[command(visible_alias = "acknowledge")]
    Ack {
        /// Fingerprint of the alert, as `alert list --json` has it
        fingerprint: String,
        /// Tell of it again after so long, if it still fires: `4h`
        #[arg(long = "for", value_name = "DURATION")]
        span: Option<String>,
    },
    /// Why somebody was told of it, or was not, step by step
    Why {
        /// Fingerprint of the alert, as `alert list --json` has it
        fingerprint: String,
    },
    /// End it by hand; what is still abnormal fires anew
    Resolve {
        /// Fingerprint of the alert, as `alert list --json` has it
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Silence {
    /// Silences that are active, and those to come
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Make one
    Add {
        /// Conditions on labels, all of which have to match: `team="db"`, `severity=~"low|info"`
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        /// How long it lasts
        #[arg(long = "for", value_name = "DURATION", default_value = "1h")]
        span: String,
        /// Why
        #[arg(long)]
        comment: String,
        /// Who wants it
        #[arg(long)]
        author: Option<String>,
        /// Make it although it seems to match more than is meant
        #[arg(long)]
        broad: bool,
    },
    /// Which alerts one would match now
    Preview {
        /// Conditions on labels, all of which have to match
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
    },
    /// End one now
    Expire {
        /// Id of the silence
        id: String,
    },
    /// Planned work of the configuration, and whether it goes on
    Windows,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Incident {
    /// Incidents that are not resolved
    List {
        /// Also those that were resolved
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// One incident with its time line
    Show {
        /// Id of the incident: `inc_...`
        id: String,
    },
    /// Say that someone works on it
    Ack {
        /// Id of the incident: `inc_...`
        id: String,
    },
    /// Close it
    Resolve {
        /// Id of the incident: `inc_...`
        id: String,
        /// For the time line
        #[arg(long, default_value = "")]
        note: String,
        /// Also while alerts of it fire still
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Slo {
    /// All objectives with what was attained
    List,
    /// One objective
    Show {
        /// Name of the objective: `self-availability`
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Notification {
    /// Messages, the newest first
    List {
        /// Only those in this state: pending, delivered, failed, held, digested or fallen-back
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetter {
    /// Dead letters
    List(Limit),
    /// One dead letter, whole
    Show {
        /// Id of the dead letter, as `dead-letter list` has it
        id: String,
    },
    /// Carry out again what was given up on
    Retry {
        /// Id of the dead letter, as `dead-letter list` has it
        id: String,
        /// Also a step of a run, which has gone on without it
        #[arg(long)]
        force: bool,
    },
}
