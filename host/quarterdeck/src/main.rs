//! `quarterdeck`: the daemon, and every operation on it over its HTTP API.
//!
//! Layout
//! - `arguments`: the command line, as clap reads it
//! - `daemon`: wires store, bus, scheduler, runtime, engines and API together, and ends them in order
//! - `client`: finds the daemon and its token, speaks to the API; `output`: tables for people, JSON for tools
//! - `commands::*`: one file per noun
//! - `fetch`: components, from files, URLs and registries; `lock`: the lock file
//! - `workbench`: what an author does with a component before a daemon has it

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod arguments;
mod client;
mod commands;
mod daemon;
mod fetch;
mod lock;
mod output;
mod workbench;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match &arguments.command {
        // A child of the daemon: no runtime, no logs, nothing but the compiler.
        Some(Command::CompileComponent) => quarterdeck_runtime::compile_in_child(),
        None | Some(Command::Run(_)) => daemon::main(&arguments),
        Some(command) => commands::main(&arguments.global, command),
    }
}

/// What clap has to say: help and the version are no mistakes, and whoever wants JSON gets it for mistakes as well.
fn refuse(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    // Clap names the flag, which nobody has written.
    let empty = arguments::empty_variable(error)
        .map(|name| format!("the variable {name} is empty\nhint: give it a value, or take it away: unset {name}"));
    if empty.is_none() && (!error.use_stderr() || !wants_json) {
        error.exit();
    }
    let said = empty.unwrap_or_else(|| error.render().to_string().trim().trim_start_matches("error: ").to_owned());
    output::Output { json: wants_json }.error(&anyhow::Error::msg(said));
    ExitCode::from(2)
}
