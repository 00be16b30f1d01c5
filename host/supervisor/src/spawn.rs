//! Starting a program.

use crate::output;
use crate::process::{Identity, MARKER_VARIABLE};
use crate::record::Record;
use quarterdeck_model::Timestamp;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Forks and executes; blocks for about a millisecond, so run it on a blocking thread.
pub(crate) fn spawn(record: &Record, log_dir: &Path, at: Timestamp) -> Result<Identity, String> {
    let path = output::path(log_dir, &record.owner, &record.spec.name);
    let file = output::open(&path).map_err(|e| format!("can't open the log file `{}`: {e}", path.display()))?;
    let second = file.try_clone().map_err(|e| format!("can't open the log file `{}`: {e}", path.display()))?;
    let spec = &record.spec;
    // A log without that line is still a log.
    let _ = (&file).write_all(output::started(&occupant(record), &at.to_string()).as_bytes());
    let child = Command::new(&spec.program)
        .args(&spec.arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", std::env::var_os("HOME").unwrap_or_else(|| "/".into()))
        .env("LANG", "C.UTF-8")
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .env(MARKER_VARIABLE, &record.marker)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(second)
        .process_group(0)
        .spawn()
        .map_err(|e| format!("can't start `{}`: {e}", spec.program))?;
    // The handle is dropped without waiting: exits are taken by pid, the same way for children and adopted processes.
    // Until then even one that ended at once is a zombie, so that its start time can be read.
    Identity::of(child.id()).ok_or_else(|| format!("the start time of `{}` can't be read from /proc", spec.program))
}

/// Who has the name now: what its target calls it, where it says so, and its command line.
fn occupant(record: &Record) -> String {
    let spec = &record.spec;
    let replica = spec.environment.iter().find(|(name, _)| *name == "REPLICA").map(|(_, replica)| replica.as_str());
    let words = replica.into_iter().chain([spec.program.as_str()]).chain(spec.arguments.iter().map(String::as_str));
    words.collect::<Vec<_>>().join(" ")
}
