//! Runs programs. Each grant names a program and, optionally, argument patterns and variables. There is no shell in between.

use crate::host::Error;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Absolute path.
    pub program: String,
    /// One by one, as the program gets them.
    pub arguments: Vec<String>,
    /// Names and values. Each name has to stand in `environment` of the program's grant.
    pub environment: Vec<(String, String)>,
    /// What it can read.
    pub stdin: Option<String>,
    /// Then its whole process group is ended.
    pub timeout_ms: u64,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Absent when a signal ended it.
    pub exit_code: Option<i32>,
    /// At most 64 KiB, the end kept.
    pub stdout: String,
    /// At most 64 KiB, the end kept.
    pub stderr: String,
    /// One of the two was longer.
    pub truncated: bool,
    /// How long it ran.
    pub duration_ms: u64,
}

/// Runs a program to its end. Never run twice by the host.
pub fn run(command: &Command) -> Result<Finished, Error> {
    #[cfg(target_family = "wasm")]
    {
        use crate::mirror::Mirror;
        let command: wit::Command = command.clone().mirror();
        wit::run(&command).map(Mirror::mirror).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| match &mut host.exec {
        Some(run) => run(command),
        None => Err(Error::no_host()),
    })
}

#[cfg(target_family = "wasm")]
use crate::bindings::imports::quarterdeck::host::exec as wit;

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct Command => wit::Command { program, arguments, environment, stdin, timeout_ms }
    struct wit::Finished => Finished { exit_code, stdout, stderr, truncated, duration_ms }
}
