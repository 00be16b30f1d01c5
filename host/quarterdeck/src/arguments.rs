//! The command line.

mod decisions;
mod plugins;
mod query;
mod rules;
mod variables;

pub(crate) use decisions::{Replay, Shadow};
pub(crate) use plugins::{Configure, Install, Key, Logs, Remove, Rollback, Sign};
pub(crate) use query::Query;
pub(crate) use rules::Rules;
pub(crate) use variables::empty_variable;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use quarterdeck_model::plugin::Kind;
use std::path::PathBuf;

/// A self-hosted operations platform: a minimal host, and every capability a WebAssembly component.
#[derive(Debug, Parser)]
#[command(name = "quarterdeck", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Without a command the daemon runs.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder that holds all of the daemon's data [default: ~/.local/share/quarterdeck]
    #[arg(long, global = true, env = "QUARTERDECK_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder of the configuration [default: ~/.config/quarterdeck or /etc/quarterdeck, where one holds a quarterdeck.toml, else
    /// `config` in the data folder]
    #[arg(long, global = true, env = "QUARTERDECK_CONFIG_DIR", value_name = "FOLDER")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Name of the overlay in `environments/`
    #[arg(long, global = true, env = "QUARTERDECK_ENVIRONMENT", value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// Address to listen on [default: 127.0.0.1:7700]
    #[arg(long, global = true, env = "QUARTERDECK_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Where the daemon answers [default: what the daemon wrote into its data folder]
    #[arg(long, global = true, env = "QUARTERDECK_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// File that holds the token for changes [default: `token` in the data folder]
    #[arg(long, global = true, env = "QUARTERDECK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon (also what happens without a command)
    Run(RunDaemon),
    /// Write a commented configuration
    Init {
        /// Where to [default: the folder that the daemon reads: --config-dir, else ~/.config/quarterdeck]
        folder: Option<PathBuf>,
    },
    /// How the daemon is
    Status,
    /// Print a link that signs a browser in to the console, once and within ten minutes
    Console,
    /// Plugins: files and the versions in use
    #[command(subcommand)]
    Plugin(Plugin),
    /// Instances: plugins put to use
    #[command(subcommand)]
    Instance(Instance),
    /// Processes that the daemon runs for instances
    #[command(subcommand)]
    Process(Process),
    /// What runs on a schedule
    #[command(subcommand)]
    Job(Job),
    /// Series
    #[command(subcommand)]
    Metric(Metric),
    /// Ask a query in PromQL
    ///
    /// quarterdeck query 'sum by (job) (rate(requests_total[5m]))' --since 1h
    Query(Query),
    /// The log of everything that happened
    #[command(subcommand)]
    Events(Events),
    /// Alerts
    #[command(subcommand)]
    Alert(Alert),
    /// Alerts that nobody wants to hear of for a while
    #[command(subcommand)]
    Silence(Silence),
    /// Rules in Prometheus's format
    #[command(subcommand)]
    Rules(Rules),
    /// Incidents
    #[command(subcommand)]
    Incident(Incident),
    /// Scan now, and print what was found
    #[command(args_conflicts_with_subcommands = true)]
    Scan {
        /// Name of the scan
        #[arg(default_value = "default")]
        name: String,
        /// Exit with 1 if there are open findings at least this severe
        #[arg(long, value_name = "SEVERITY")]
        fail_on: Option<String>,
        #[command(subcommand)]
        past: Option<Scan>,
    },
    /// What scans found, the worst first
    Findings(Findings),
    /// Deploy a revision of a service, and watch it
    ///
    /// Ends with 0 when the revision has succeeded, with 1 when it was rolled back or has failed, and with 3 when it waits: for a person,
    /// or for traffic longer than `--patience`. What waits goes on by `quarterdeck deployment promote`, or back by `... abort`.
    Deploy {
        /// Name of the service: `[services.<name>]`
        service: String,
        /// What is deployed, as its target knows it: `r2`
        revision: String,
        /// Return at once instead of watching
        #[arg(long)]
        detach: bool,
        /// How long nothing but holding may be decided until this ends with 3; the deployment itself goes on
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        patience: u64,
    },
    /// Deployments
    #[command(subcommand)]
    Deployment(Deployment),
    /// Runbooks and their runs
    #[command(subcommand)]
    Runbook(Runbook),
    /// What can be deployed
    #[command(subcommand)]
    Service(Service),
    /// Messages to people, and whether they arrived
    #[command(subcommand)]
    Notification(Notification),
    /// What was given up on, with the reason
    #[command(subcommand)]
    DeadLetter(DeadLetter),
    /// Service level objectives
    #[command(subcommand)]
    Slo(Slo),
    /// The configuration
    #[command(subcommand)]
    Config(Config),
    /// Print the completion script of a shell
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Compile a component, as a child of the daemon with limits of its own
    #[command(hide = true)]
    CompileComponent,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunDaemon {}

/// How much of a list is fetched.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Limit {
    /// At most so many; how many are left is said
    #[arg(long, default_value_t = 100, value_parser = count, value_name = "NUMBER")]
    pub(crate) limit: usize,
}

fn section() -> String {
    format!("Section of the object: {}", quarterdeck_config::sections().collect::<Vec<_>>().join(", "))
}

/// Nothing that is asked for is as old, and longer spans lead out of the calendar.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(50 * 365 * 86_400);

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let expected = "expected a duration such as `90s`, `15m` or `1h 30m`";
    let duration = humantime::parse_duration(text).map_err(|_| expected.to_owned())?;
    if duration > LONGEST { Err(format!("{expected}, of 50 years at most")) } else { Ok(duration) }
}

/// How many of something: to see none of it nobody has to ask.
fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number of 1 or more".to_owned())
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a number such as `4.5`; neither infinity nor what is no number".to_owned())
}

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

/// A kind of plugin, by its name.
fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
        .try_map(|name| Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or("it is no kind of plugin"))
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
        /// What was measured: `4.5`
        #[arg(value_parser = number, allow_negative_numbers = true)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_value_may_be_negative() {
        for (text, expected) in [("-3", -3.0), ("-0.5", -0.5), ("4", 4.0)] {
            let parsed = Arguments::try_parse_from(["quarterdeck", "metric", "push", "temp", text]).unwrap();
            let Some(Command::Metric(Metric::Push { value, .. })) = parsed.command else { panic!("{text}") };
            assert_eq!(value, expected);
        }
    }

    /// Arguments without a description, below this command.
    fn undescribed(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let bare = command.get_arguments().filter(|argument| argument.get_help().is_none());
        found.extend(bare.map(|argument| format!("{path} {}", argument.get_id())));
        for below in command.get_subcommands() {
            undescribed(below, &path, found);
        }
    }

    #[test]
    fn every_argument_says_what_it_is_and_the_global_ones_stand_apart() {
        let mut found = Vec::new();
        undescribed(&Arguments::command(), "", &mut found);
        assert_eq!(found, [] as [String; 0]);
        let mut command = Arguments::command();
        command.build();
        let deploy = command.find_subcommand_mut("deploy").unwrap();
        let help = deploy.render_long_help().to_string();
        let (own, global) = help.split_once("Global options:").unwrap();
        assert!(own.contains("--detach") && !own.contains("--data-dir"), "{help}");
        assert!(global.contains("--data-dir") && global.contains("--json") && !global.contains("--detach"), "{help}");
    }

    #[test]
    fn every_section_of_the_configuration_is_named_where_one_is_asked_for() {
        let mut command = Arguments::command();
        let config = command.find_subcommand_mut("config").unwrap();
        for name in ["set", "unset", "reset"] {
            let help = config.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            for section in quarterdeck_config::sections() {
                assert!(help.contains(section), "{name}: {section}");
            }
        }
    }

    #[test]
    fn a_value_that_is_none_is_answered_with_what_was_expected() {
        for (words, expected) in [
            (["metric", "range", "up", "--since=banana"], "expected a duration such as `90s`"),
            (["metric", "range", "up", "--since=99999999999years"], "of 50 years at most"),
            (["metric", "push", "up", "abc"], "expected a number such as `4.5`"),
            (["metric", "push", "up", "nan"], "expected a number such as `4.5`"),
            (["metric", "push", "up", "inf"], "expected a number such as `4.5`"),
            (["alert", "list", "--limit", "0"], "expected a whole number of 1 or more"),
            (["events", "list", "--limit", "0"], "expected a whole number of 1 or more"),
            (["config", "versions", "--limit", "0"], "expected a whole number of 1 or more"),
            (["plugin", "logs", "--limit", "0"], "expected a whole number of 1 or more"),
            (["plugin", "replay", "threshold", "--limit=0"], "expected a whole number of 1 or more"),
        ] {
            let error = Arguments::try_parse_from([&["quarterdeck"][..], &words].concat()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
