//! Every operation on the daemon, over its HTTP API: one file per noun.

mod alerts;
mod authoring;
mod configuration;
mod console;
mod decisions;
mod deliveries;
mod deployments;
mod events;
mod incidents;
mod metrics;
mod plugins;
mod query;
mod rules;
mod runbooks;
mod runs;
mod scans;
mod sessions;
mod signing;
mod silences;
mod status;
mod views;

use crate::arguments::{Arguments, Command, Global};
use crate::client::Client;
use crate::output::{Output, print_line};
use anyhow::Result;
use clap::CommandFactory;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) struct Session {
    pub(crate) client: Client,
    /// For who has to find the daemon anew.
    pub(crate) global: Global,
    pub(crate) output: Output,
}

/// How often a command that watches asks again.
const WATCH: Duration = Duration::from_millis(250);

pub(crate) fn main(global: &Global, command: &Command) -> ExitCode {
    let done = match command {
        Command::Init { folder } => configuration::init(global, folder.as_deref()),
        Command::Config(crate::arguments::Config::Check) => configuration::check(global),
        Command::Config(crate::arguments::Config::Schema) => configuration::schema(),
        Command::Completions { shell } => {
            completions(*shell);
            Ok(ExitCode::SUCCESS)
        }
        Command::Rules(rules) => match rules::local(global, rules) {
            Some(done) => done,
            None => remote(global, command),
        },
        Command::Plugin(plugin) => match authoring::local(global, plugin) {
            Some(done) => done,
            None => remote(global, command),
        },
        command => remote(global, command),
    };
    done.unwrap_or_else(|error| {
        Output { json: global.json }.error(&error);
        ExitCode::from(1)
    })
}

/// Written at once: a reader who leaves early is no defect.
fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "quarterdeck", &mut script);
    let _ = std::io::stdout().write_all(&script);
}

fn remote(global: &Global, command: &Command) -> Result<ExitCode> {
    let output = Output { json: global.json };
    let session = Session { client: Client::new(global)?, global: global.clone(), output };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(dispatch(&session, command))
}

async fn dispatch(session: &Session, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Status => status::show(session).await,
        Command::Console => console::link(session).await,
        Command::Session(command) => sessions::signed_in(session, command).await,
        Command::Plugin(command) => plugins::plugin(session, command).await,
        Command::Instance(command) => plugins::instance(session, command).await,
        Command::Process(command) => plugins::process(session, command).await,
        Command::Job(command) => status::job(session, command).await,
        Command::Metric(command) => metrics::metric(session, command).await,
        Command::Query(query) => query::query(session, query).await,
        Command::Events(command) => events::events(session, command).await,
        Command::Alert(command) => alerts::alert(session, command).await,
        Command::Silence(command) => silences::silence(session, command).await,
        Command::Rules(command) => rules::remote(session, command).await,
        Command::Slo(command) => alerts::slo(session, command).await,
        Command::Incident(command) => incidents::incident(session, command).await,
        Command::Scan { past: Some(command), .. } => scans::past(session, command).await,
        Command::Scan { name, fail_on, past: None } => scans::scan(session, name, fail_on.as_deref()).await,
        Command::Findings(wanted) => scans::findings(session, wanted).await,
        Command::Deploy { service, revision, detach, patience } => {
            let patience = (!detach).then(|| Duration::from_secs(*patience));
            deployments::deploy(session, service, revision, patience).await
        }
        Command::Deployment(command) => deployments::deployment(session, command).await,
        Command::Service(command) => deployments::service(session, command).await,
        Command::Notification(command) => deliveries::notification(session, command).await,
        Command::DeadLetter(command) => deliveries::dead_letter(session, command).await,
        Command::Runbook(command) => runbooks::runbook(session, command).await,
        Command::Config(command) => configuration::remote(session, command).await,
        // Handled before a client was made.
        Command::Run(_) | Command::Init { .. } | Command::Completions { .. } | Command::CompileComponent => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// One thing: what matters to a person, or all of it as JSON.
pub(crate) fn show(session: &Session, value: &Value, view: impl Fn(&Value) -> Vec<String>) {
    if session.output.json {
        session.output.one(value);
    } else {
        view(value).iter().for_each(|line| print_line(line));
    }
}

/// A field's text; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Asks until `finished` says so, and hands each answer to `seen` on the way.
pub(crate) async fn watch(
    session: &Session,
    path: &str,
    finished: impl Fn(&Value) -> bool,
    mut seen: impl FnMut(&Value),
) -> Result<Value> {
    loop {
        let value = session.client.get(path, &[]).await?;
        seen(&value);
        if finished(&value) {
            return Ok(value);
        }
        tokio::time::sleep(WATCH).await;
    }
}

/// Parameters of a list: these states only.
pub(crate) fn states(states: &[&str]) -> Vec<(&'static str, String)> {
    states.iter().map(|state| ("state", (*state).to_owned())).collect()
}

/// 0 when it went well, 1 when not: what scripts ask for.
pub(crate) fn exit_code(good: bool) -> ExitCode {
    ExitCode::from(u8::from(!good))
}
