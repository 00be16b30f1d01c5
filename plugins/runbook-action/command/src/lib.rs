//! Runs a program as a step of a runbook, through the host's `exec`: no shell, bounded output, ended with its whole process
//! group when it takes too long.
//!
//! An instance may fix the program and its first arguments, and leave the others to the step: then granting that instance its
//! program arms no other runbook.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::exec::{self, Command, Finished};
use quarterdeck_sdk::runbook_action::RunbookAction;
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// What to run. The configuration of `command` and the inputs of a step have the same form: what the configuration says
    /// stands, and the step adds to it.
    #[derive(Default)]
    pub struct Config {
        /// Absolute path. A step may not name another one than its instance.
        #[serde(default)]
        pub program: Option<String>,
        /// The step's stand behind the instance's.
        #[serde(default)]
        pub arguments: Vec<String>,
        /// Variables. The instance's are stronger. Each has to be named in `environment` of the grant `exec`.
        #[serde(default)]
        pub environment: BTreeMap<String, String>,
        /// What the program can read.
        #[serde(default)]
        pub stdin: Option<String>,
        /// Then it is ended. Unless given, 60; of the instance's and the step's, the smaller.
        #[serde(default)]
        pub timeout_seconds: Option<u64>,
        /// Exit codes that count as success. Unless given, 0.
        #[serde(default)]
        pub success_codes: Option<Vec<i32>>,
    }
}

/// The plugin.
pub struct RunCommand;

impl Plugin for RunCommand {
    type Config = Config;
    const NAME: &'static str = "command";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs a program";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("exec", "runs the program that the instance or the step names")]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let relative = config.program.as_ref().filter(|program| !program.starts_with('/'));
        relative.map(|program| Problem::at("/program", relative_path(program))).into_iter().collect()
    }
}

impl RunbookAction for RunCommand {
    type Inputs = Config;

    fn plan(config: &Config, inputs: &Config) -> Result<Option<String>, Failure> {
        let command = command(config, inputs)?;
        Ok(Some(format!("runs {} for at most {} s", command_line(&command), command.timeout_ms / 1000)))
    }

    fn run(config: &Config, inputs: &Config, _key: &str) -> Result<Outcome, Failure> {
        let command = command(config, inputs)?;
        let finished = exec::run(&command).map_err(|error| match error {
            Error::Denied(message) => Failure::Rejected(message),
            Error::Limited(message) => Failure::retry(message),
            Error::Failed(message) => {
                let words = format!("{}: {message}", command_line(&command));
                // Anything but this is about a program that had begun, and may have done its work or half of it: whether to run
                // it twice is for the runbook to say.
                if message.starts_with("can't start ") {
                    Failure::Other(words)
                } else {
                    Failure::Retry { message: words, after_ms: None }
                }
            }
        })?;
        let expected = inputs.success_codes.as_ref().or(config.success_codes.as_ref());
        judge(&command, &finished, expected.map_or(&[0], Vec::as_slice))
    }
}

fn command(config: &Config, inputs: &Config) -> Result<Command, Failure> {
    let program = match (&config.program, &inputs.program) {
        (Some(fixed), Some(given)) if fixed != given => {
            return Err(Failure::rejected(format!("this instance runs {fixed}, not {given}")));
        }
        (Some(program), _) | (None, Some(program)) => program,
        (None, None) => {
            return Err(Failure::rejected("no program\nhint: name one in the step's or the instance's `program`"));
        }
    };
    if !program.starts_with('/') {
        return Err(Failure::Rejected(relative_path(program)));
    }
    let environment: BTreeMap<_, _> = inputs.environment.iter().chain(&config.environment).collect();
    let timeout_seconds = match (config.timeout_seconds, inputs.timeout_seconds) {
        (Some(most), Some(wanted)) => most.min(wanted),
        (Some(seconds), None) | (None, Some(seconds)) => seconds,
        (None, None) => 60,
    };
    Ok(Command {
        program: program.clone(),
        arguments: config.arguments.iter().chain(&inputs.arguments).cloned().collect(),
        environment: environment.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        stdin: config.stdin.clone().or_else(|| inputs.stdin.clone()),
        timeout_ms: timeout_seconds.saturating_mul(1000),
    })
}

fn relative_path(program: &str) -> String {
    format!("`{program}` is not an absolute path: there is no shell that would search for it")
}

fn judge(command: &Command, finished: &Finished, success_codes: &[i32]) -> Result<Outcome, Failure> {
    if finished.exit_code.is_some_and(|code| success_codes.contains(&code)) {
        return Ok(Outcome::done()
            .with("exit_code", finished.exit_code)
            .with("stdout", &*finished.stdout)
            .with("stderr", &*finished.stderr)
            .with("truncated", finished.truncated)
            .with("duration_ms", finished.duration_ms));
    }
    let how = match finished.exit_code {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    };
    let output = if finished.stderr.trim().is_empty() { &finished.stdout } else { &finished.stderr };
    let tail = tail(output);
    let colon = if tail.is_empty() { "" } else { ": " };
    let words = format!("{} {how} after {} ms{colon}{tail}", command_line(command), finished.duration_ms);
    // A program that ended by itself has said how it ended; one that was killed has not.
    Err(if finished.exit_code.is_some() { Failure::Other(words) } else { Failure::retry(words) })
}

/// The last lines: what a program says before it gives up.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ");
    let skip = last.chars().count().saturating_sub(500);
    last.chars().skip(skip).collect()
}

/// As one would type it in a shell.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(&command.program).chain(&command.arguments);
    words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

quarterdeck_sdk::export!(RunCommand: runbook_action);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::testing::FakeHost;

    fn read(json: &str) -> Config {
        quarterdeck_sdk::serde_json::from_str(json).unwrap()
    }

    fn run(config: &str, inputs: &str, finished: Finished) -> Result<Outcome, Failure> {
        let host = FakeHost { exec: Some(Box::new(move |_| Ok(finished.clone()))), ..FakeHost::default() };
        host.run(|| RunCommand::run(&read(config), &read(inputs), "eff_1")).0
    }

    #[test]
    fn a_step_adds_its_arguments_to_those_of_the_instance() {
        let config = read(r#"{"program":"/bin/df","arguments":["-h"],"environment":{"LANG":"C"},"timeout-seconds":5}"#);
        let inputs = read(r#"{"arguments":["/var"],"environment":{"LANG":"x","A":"1"},"timeout-seconds":90}"#);
        let command = command(&config, &inputs).unwrap();
        assert_eq!(command_line(&command), "/bin/df -h /var");
        assert_eq!(command.environment, [("A".into(), "1".into()), ("LANG".into(), "C".into())]);
        assert_eq!(command.timeout_ms, 5_000);
    }

    #[test]
    fn a_step_can_not_run_another_program_than_its_instance() {
        let failure = command(&read(r#"{"program":"/bin/df"}"#), &read(r#"{"program":"/bin/rm"}"#)).unwrap_err();
        assert_eq!(failure, Failure::rejected("this instance runs /bin/df, not /bin/rm"));
        assert!(command(&read("{}"), &read("{}")).is_err());
        assert!(command(&read("{}"), &read(r#"{"program":"df"}"#)).is_err());
    }

    #[test]
    fn the_outputs_are_exit_code_and_what_was_written() {
        let finished = Finished { exit_code: Some(0), stdout: "ok\n".into(), duration_ms: 3, ..Finished::default() };
        let outcome = run("{}", r#"{"program":"/bin/true"}"#, finished).unwrap();
        let Outcome::Done(outputs) = outcome else { unreachable!() };
        assert_eq!(outputs["exit_code"], 0);
        assert_eq!(outputs["stdout"], "ok\n");
        assert_eq!(outputs["duration_ms"], 3);
    }

    #[test]
    fn another_exit_code_fails_with_the_last_words_of_the_program() {
        let finished = Finished {
            exit_code: Some(2),
            stderr: "one\ntwo\n\nthree\nfour\n".into(),
            duration_ms: 3,
            ..Finished::default()
        };
        let failure = run("{}", r#"{"program":"/bin/x","arguments":["a b"]}"#, finished.clone()).unwrap_err();
        assert_eq!(failure, Failure::other("/bin/x 'a b' ended with exit code 2 after 3 ms: two; three; four"));
        assert!(run("{}", r#"{"program":"/bin/x","success-codes":[0,2]}"#, finished).is_ok());
        let killed = Finished { exit_code: None, duration_ms: 9, ..Finished::default() };
        let failure = run("{}", r#"{"program":"/bin/x"}"#, killed).unwrap_err();
        assert_eq!(failure, Failure::retry("/bin/x was ended by a signal after 9 ms"));
    }

    #[test]
    fn a_program_that_was_cut_off_may_have_done_its_work_and_one_that_did_not_start_has_not() {
        let failed = |message: &str| {
            let message = message.to_owned();
            let host =
                FakeHost { exec: Some(Box::new(move |_| Err(Error::Failed(message.clone())))), ..FakeHost::default() };
            host.run(|| RunCommand::run(&read("{}"), &read(r#"{"program":"/bin/x"}"#), "key")).0.unwrap_err()
        };
        let killed = "`/bin/x` took longer than its 500 ms and was killed";
        assert_eq!(failed(killed), Failure::retry(format!("/bin/x: {killed}")));
        let absent = "can't start `/bin/x`: No such file or directory (os error 2)";
        assert_eq!(failed(absent), Failure::other(format!("/bin/x: {absent}")));
    }

    #[test]
    fn a_plan_says_the_command_line_and_runs_nothing() {
        let plan = RunCommand::plan(&read("{}"), &read(r#"{"program":"/bin/rm","arguments":["-r","it's"]}"#));
        assert_eq!(plan.unwrap().as_deref(), Some(r"runs /bin/rm -r 'it'\''s' for at most 60 s"));
    }
}
