//! `exec`: programs, without a shell, each in a process group of its own that ends with the call.

use crate::bindings::host::errors::Error;
use crate::bindings::host::exec::{Command, Finished, Host};
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::process::Child;
use tokio_util::task::AbortOnDropHandle;

/// Of stdout and stderr, each; the end is kept.
const OUTPUT_BYTES: usize = 64 << 10;
/// How long output is still read once the program has ended: what it left behind may hold the pipes open.
const DRAIN: Duration = Duration::from_millis(500);

impl Host for Sandbox {
    async fn run(&mut self, command: Command) -> wasmtime::Result<Result<Finished, Error>> {
        Ok(run(self, command).await)
    }
}

async fn run(sandbox: &mut Sandbox, command: Command) -> Result<Finished, Error> {
    let target = format!("{} {}", command.program, command.arguments.join(" "));
    sandbox.ask(
        Capability::Exec,
        || target.clone(),
        |grants| {
            let Command { program, arguments, environment, .. } = &command;
            policy::program_allowed(&grants.exec, program, arguments, environment, "exec")
        },
    )?;
    let stdin = command.stdin.as_ref().map_or(0, String::len) as u64;
    let given = started_with(&command.program, &command.arguments, &command.environment);
    sandbox.count_bytes(0, given.saturating_add(stdin)).map_err(Error::Limited)?;
    let caller = sandbox.caller();
    // Back-pressure, not an error: the call's own time bounds the wait.
    let _permit =
        caller.doors.programs.clone().acquire_owned().await.map_err(|error| Error::Failed(error.to_string()))?;
    let act = caller.begin(Capability::Exec, target).await?;
    // In a task of the host's runtime, which knows about children; dropping this future ends it, and the group with it.
    let finished = AbortOnDropHandle::new(sandbox.doors.runtime.spawn(execute(command, sandbox.patience))).await;
    let finished = finished.unwrap_or_else(|error| Err(error.to_string()));
    act.end(match &finished {
        Ok(Finished { exit_code: Some(code), .. }) => format!("exit {code}"),
        Ok(_) => "signal".to_owned(),
        Err(_) => "failed".to_owned(),
    });
    let finished = finished.map_err(Error::Failed)?;
    let output = (finished.stdout.len() + finished.stderr.len()) as u64;
    sandbox.count_bytes(output, 0).map_err(Error::Limited)?;
    Ok(finished)
}

/// Bytes that a program is handed when it starts.
pub(super) fn started_with(program: &str, arguments: &[String], environment: &[(String, String)]) -> u64 {
    let arguments: usize = arguments.iter().map(String::len).sum();
    let environment: usize = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    (program.len() + arguments + environment) as u64
}

/// Kills the group on drop, as long as the leader was not waited for: until then nobody else can have its number.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // All of it may have ended already.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn execute(command: Command, patience: Instant) -> Result<Finished, String> {
    let began = Instant::now();
    let time = Duration::from_millis(command.timeout_ms).min(patience.saturating_duration_since(began));
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", std::env::var_os("HOME").unwrap_or_else(|| "/".into()))
        .env("LANG", "C.UTF-8")
        .envs(command.environment)
        .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("can't start `{}`: {error}", command.program))?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let text = command.stdin;
    let feed = async move {
        if let (Some(mut input), Some(text)) = (input, text) {
            // A program need not read what it is given.
            let _ = input.write_all(text.as_bytes()).await;
        }
        std::future::pending::<()>().await;
    };
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let status = {
        let reading = async { tokio::join!(stdout.read(output), stderr.read(errors)) };
        let ending = end(&mut child, &mut group);
        tokio::pin!(feed, reading, ending);
        let timeout = tokio::time::sleep(time);
        tokio::pin!(timeout);
        let mut all_read = false;
        let status = loop {
            tokio::select! {
                status = &mut ending => break status,
                _ = &mut reading, if !all_read => all_read = true,
                () = &mut feed => {}
                () = &mut timeout => return Err(format!(
                    "`{}` took longer than its {} ms and was killed", command.program, time.as_millis()
                )),
            }
        };
        if !all_read {
            // A time-out here means that something outside of the group holds the pipe.
            let _ = tokio::time::timeout(DRAIN, &mut reading).await;
        }
        status.map_err(|error| format!("the end of `{}` can't be seen: {error}", command.program))?
    };
    let truncated = stdout.truncated || stderr.truncated;
    Ok(Finished {
        exit_code: status.code(),
        stdout: stdout.into_text(),
        stderr: stderr.into_text(),
        truncated,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Waits for the leader, kills what is left of its group, and only then takes its exit status.
async fn end(child: &mut Child, group: &mut Group) -> std::io::Result<ExitStatus> {
    if let Some(pid) = group.0
        && let Ok(descriptor) = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)
        && let Ok(descriptor) = registered(descriptor)
    {
        // An error leaves the waiting to the line below.
        let ended = descriptor.readable().await.is_ok();
        if ended {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
    let status = child.wait().await;
    group.0 = None;
    status
}

#[expect(unsafe_code, reason = "the only registration that tokio does not call unsound; the descriptor is owned")]
fn registered(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, is never replaced, and lives in the `AsyncFd` for all of its life.
    unsafe { Ok(AsyncFd::register_with_interest(descriptor, Interest::READABLE)?) }
}

/// The end of a stream.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Tail {
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read) = stream.read(&mut buffer).await {
            let Some(new) = buffer.get(..read).filter(|new| !new.is_empty()) else { return };
            self.bytes.extend_from_slice(new);
            // Twice the bound, so that bytes are not moved for every read.
            if self.bytes.len() > 2 * OUTPUT_BYTES {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(OUTPUT_BYTES);
        if excess > 0 {
            self.bytes.drain(..excess);
            self.truncated = true;
        }
    }

    fn into_text(mut self) -> String {
        self.cut();
        if self.truncated {
            // Not in the middle of a character.
            let start = self.bytes.iter().take(4).take_while(|byte| **byte & 0xc0 == 0x80).count();
            self.bytes.drain(..start);
        }
        String::from_utf8(self.bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};
    use quarterdeck_model::plugin::ProgramGrant;

    fn shell(script: &str) -> Command {
        Command {
            program: "/bin/sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("GREETING".to_owned(), "hello".to_owned())],
            stdin: None,
            timeout_ms: 10_000,
        }
    }

    /// It may run any script.
    fn sandbox(fixture: &Fixture) -> Sandbox {
        fixture.sandbox(grants(|grants| {
            grants.exec = vec![ProgramGrant {
                program: "/bin/sh".to_owned(),
                arguments: vec!["-c".to_owned(), "*".to_owned()],
                environment: vec!["GREETING".to_owned()],
            }];
        }))
    }

    async fn ask(command: Command) -> Result<Finished, Error> {
        run(&mut sandbox(&Fixture::new()), command).await
    }

    fn runs(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
    }

    async fn until_gone(pid: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while runs(pid) {
            assert!(Instant::now() < deadline, "{pid} still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_runs_with_a_bare_environment_and_its_output_comes_back() {
        let finished = ask(shell("echo $GREETING; env | sort | cut -d= -f1 | tr '\\n' ' ' >&2; exit 3")).await.unwrap();
        assert_eq!(finished.exit_code, Some(3));
        assert_eq!(finished.stdout, "hello\n");
        for name in finished.stderr.split_whitespace() {
            assert!(["GREETING", "HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "_"].contains(&name), "{name}");
        }
        assert!(!finished.truncated);
        let fed = ask(Command { stdin: Some("abc".to_owned()), ..shell("tr a-z A-Z") }).await.unwrap();
        assert_eq!(fed.stdout, "ABC");
        assert_eq!(ask(shell("kill -9 $$")).await.unwrap().exit_code, None);
    }

    #[tokio::test]
    async fn what_is_not_granted_does_not_run() {
        let other = Command { program: "/bin/ls".to_owned(), ..shell("") };
        assert!(matches!(ask(other).await, Err(Error::Denied(_))));
        for name in ["LD_PRELOAD", "TAR_OPTIONS", "HOME", "XDG_CONFIG_HOME", "greeting"] {
            let with = Command { environment: vec![(name.to_owned(), "/x".to_owned())], ..shell("true") };
            assert!(matches!(ask(with).await, Err(Error::Denied(_))), "{name}");
        }
    }

    #[tokio::test]
    async fn what_ran_is_on_the_record_with_its_end_and_so_is_what_was_not_allowed_to() {
        let fixture = Fixture::new();
        let mut sandbox = sandbox(&fixture);
        run(&mut sandbox, shell("exit 3")).await.unwrap();
        run(&mut sandbox, shell("kill -9 $$")).await.unwrap();
        let late = run(&mut sandbox, Command { timeout_ms: 50, ..shell("sleep 301") }).await;
        assert!(matches!(late, Err(Error::Failed(_))), "{late:?}");
        let other = run(&mut sandbox, Command { program: "/bin/ls".to_owned(), ..shell("x") }).await;
        assert!(matches!(other, Err(Error::Denied(_))), "{other:?}");
        let dropped = tokio::time::timeout(Duration::from_millis(50), run(&mut sandbox, shell("sleep 302"))).await;
        assert!(dropped.is_err(), "it should still run");
        let expected = [
            "audit.exec /bin/ls -c x: denied",
            "audit.exec /bin/sh -c exit 3: exit 3",
            "audit.exec /bin/sh -c kill -9 $$: signal",
            "audit.exec /bin/sh -c sleep 301: failed",
            "audit.exec /bin/sh -c sleep 302: interrupted",
        ];
        assert_eq!(fixture.audit().await, expected);
    }

    #[tokio::test]
    async fn what_a_program_is_started_with_goes_out_as_well_as_what_it_reads() {
        let fixture = Fixture::new();
        let mut sandbox = sandbox(&fixture);
        run(&mut sandbox, Command { stdin: Some("abc".to_owned()), ..shell("true") }).await.unwrap();
        assert_eq!(sandbox.usage.bytes_out, ("/bin/sh".len() + "-ctrue".len() + "GREETINGhello".len() + 3) as u64);
        let limits = quarterdeck_model::plugin::Limits { io_bytes: 100, ..Default::default() };
        sandbox.limits = std::sync::Arc::new(limits);
        let long = run(&mut sandbox, shell(&format!(": {}", "x".repeat(100)))).await;
        assert!(matches!(long, Err(Error::Limited(_))), "{long:?}");
    }

    #[tokio::test]
    async fn long_output_keeps_its_end() {
        let finished = ask(shell("yes 0123456789 | head -c 1000000; echo end")).await.unwrap();
        assert!(finished.truncated);
        assert!(finished.stdout.len() <= OUTPUT_BYTES);
        assert!(finished.stdout.ends_with("end\n"));
    }

    #[tokio::test]
    async fn a_time_out_kills_the_whole_group() {
        let began = Instant::now();
        let file = std::env::temp_dir().join(format!("qd-exec-timeout-{}", std::process::id()));
        let script = format!("sleep 300 & echo $! > {}; wait", file.display());
        let error = ask(Command { timeout_ms: 500, ..shell(&script) }).await.unwrap_err();
        assert!(matches!(error, Error::Failed(text) if text.contains("500 ms")));
        assert!(began.elapsed() < Duration::from_secs(8));
        let child = std::fs::read_to_string(&file).unwrap();
        until_gone(child.trim()).await;
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_is_ended_with_it() {
        let began = Instant::now();
        let finished = ask(shell("sleep 300 & echo $!")).await.unwrap();
        assert_eq!(finished.exit_code, Some(0));
        assert!(began.elapsed() < Duration::from_secs(8));
        until_gone(finished.stdout.trim()).await;
    }

    #[tokio::test]
    async fn a_dropped_call_kills_the_group() {
        let file = std::env::temp_dir().join(format!("qd-exec-drop-{}", std::process::id()));
        let script = format!("sleep 300 & echo $! > {}; wait", file.display());
        let call = ask(shell(&script));
        let written = async {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                match std::fs::read_to_string(&file) {
                    Ok(pid) if pid.ends_with('\n') => return pid,
                    _ if Instant::now() > deadline => panic!("the program did not start"),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let pid = tokio::select! {
            _ = call => panic!("it should still run"),
            pid = written => pid,
        };
        until_gone(pid.trim()).await;
        std::fs::remove_file(file).unwrap();
    }
}
