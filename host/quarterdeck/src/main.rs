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
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        // Clap names the flag, which nobody has written.
        if let Some(name) = arguments::empty_variable(&error) {
            eprintln!("error: the variable {name} is empty\nhint: give it a value, or take it away: unset {name}");
            std::process::exit(2);
        }
        error.exit()
    });
    match &arguments.command {
        // A child of the daemon: no runtime, no logs, nothing but the compiler.
        Some(Command::CompileComponent) => quarterdeck_runtime::compile_in_child(),
        None | Some(Command::Run(_)) => daemon::main(&arguments),
        Some(command) => commands::main(&arguments.global, command),
    }
}
