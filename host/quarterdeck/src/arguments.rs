//! The command line.

mod alerts;
mod configuration;
mod decisions;
mod operations;
mod plugins;
mod query;
mod rules;
mod values;
mod variables;

pub(crate) use alerts::{Alert, DeadLetter, Events, Incident, Metric, Notification, Silence, Slo};
pub(crate) use configuration::Config;
pub(crate) use decisions::{Replay, Shadow};
pub(crate) use operations::{Deployment, Findings, Job, Process, Runbook, Scan, Service, SignedIn};
pub(crate) use plugins::{
    Configure, Given, Install, Instance, Key, Logs, Plugin, PluginLanguage, Remove, Rollback, Sign,
};
pub(crate) use query::Query;
pub(crate) use rules::Rules;
pub(crate) use variables::empty_variable;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use values::count;

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
    /// Sessions: browsers that are signed in to the console
    #[command(subcommand)]
    Session(SignedIn),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_value_may_be_negative_and_is_what_the_api_takes() {
        let push = |arguments: &[&str]| {
            let all = [&["quarterdeck", "metric", "push", "temp"][..], arguments].concat();
            let parsed = Arguments::try_parse_from(all).map_err(|error| error.to_string())?;
            let Some(Command::Metric(Metric::Push { value, labels, .. })) = parsed.command else {
                panic!("{arguments:?}")
            };
            Ok::<_, String>((value, labels))
        };
        let infinite = f64::INFINITY;
        for (text, expected) in
            [("-3", -3.0), ("-0.5", -0.5), ("4", 4.0), ("1e3", 1e3), ("+Inf", infinite), ("-Inf", -infinite)]
        {
            assert_eq!(push(&[text]).unwrap().0, expected);
            for order in [["--label", "a=b", text], [text, "--label", "a=b"]] {
                assert_eq!(push(&order), Ok((expected, vec!["a=b".to_owned()])), "{order:?}");
            }
        }
        assert!(push(&["NaN"]).unwrap().0.is_nan());
        for text in ["nan", "inf", "Inf", "-inf", "infinity", "1e999", "four", "--labels"] {
            push(&[text]).unwrap_err();
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
