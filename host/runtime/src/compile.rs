//! From component bytes to machine code, in this process or in a child with bounds on memory and time.

use crate::engine;
use crate::options::Compiler;
use crate::plugin::Refusal;
pub(crate) use quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES;
use rustix::process::{Pid, Resource, Rlimit, setpriority_process, setrlimit};
use std::io::{Read, Write};
use std::process::{ExitCode, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::Engine;

/// An artefact is a few times as large as its component.
const MAX_ARTEFACT_BYTES: u64 = 1 << 30;
/// How much of the child's complaint is kept.
const MAX_MESSAGE_BYTES: u64 = 16 << 10;

/// The child's exit code where the component is to blame. Any other end (a signal, a panic for want of threads) may be the machine's.
const UNFIT: u8 = 1;
/// The child's exit code where the machine is.
const UNABLE: u8 = 2;

const MEMORY_VARIABLE: &str = "QUARTERDECK_COMPILE_MEMORY_BYTES";
const CPU_VARIABLE: &str = "QUARTERDECK_COMPILE_CPU_SECONDS";

/// Niceness of the child where nobody waits for what it compiles.
const UNHURRIED_NICENESS: i32 = 10;

tokio::task_local! {
    static UNHURRIED: ();
}

/// What is compiled in this leaves the processors to what somebody waits for, other compilers among that.
pub(crate) async fn unhurried<T>(work: impl Future<Output = T>) -> T {
    UNHURRIED.scope((), work).await
}

/// The serialized artefact, or why there is none.
pub(crate) async fn compile(compiler: &Compiler, engine: &Engine, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    match compiler {
        Compiler::InProcess => {
            let engine = engine.clone();
            let compiled = tokio::task::spawn_blocking(move || compile_bytes(&engine, &bytes))
                .await
                .map_err(|error| format!("the compiler failed: {error}"))?;
            Ok(compiled?)
        }
        Compiler::Child { program, arguments, memory_bytes, timeout } => {
            let mut command = tokio::process::Command::new(program);
            command
                .args(arguments)
                .env(MEMORY_VARIABLE, memory_bytes.to_string())
                .env(CPU_VARIABLE, timeout.as_secs().max(1).to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            match tokio::time::timeout(*timeout, in_child(command, bytes)).await {
                Ok(result) => result,
                Err(_) => Err(Refusal::passing(format!("compiling took longer than {} s", timeout.as_secs_f64()))),
            }
        }
    }
}

fn compile_bytes(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(bytes).map_err(|error| format!("{error:#}"))
}

async fn in_child(mut command: tokio::process::Command, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let lost = |what: &str, error: std::io::Error| Refusal::passing(format!("the compiler's process {what}: {error}"));
    let mut child = command.spawn().map_err(|error| lost("can't be started", error))?;
    if UNHURRIED.try_with(|()| ()).is_ok()
        && let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()))
        && let Err(error) = setpriority_process(Some(pid), UNHURRIED_NICENESS)
    {
        tracing::debug!(%error, "the compiler keeps its priority");
    }
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Refusal::passing("the compiler's process has no pipes".to_owned()));
    };
    let write = async move {
        // A child that died early says why on its standard error; the broken pipe says less.
        let _ = stdin.write_all(&bytes).await;
        drop(stdin);
    };
    let (mut artefact, mut message) = (Vec::new(), Vec::new());
    let mut bounded_out = stdout.take(MAX_ARTEFACT_BYTES);
    let mut bounded_err = stderr.take(MAX_MESSAGE_BYTES);
    let ((), out, err) =
        tokio::join!(write, bounded_out.read_to_end(&mut artefact), bounded_err.read_to_end(&mut message));
    out.and(err).map_err(|error| lost("can't be read", error))?;
    let status = child.wait().await.map_err(|error| lost("is lost", error))?;
    if status.success() {
        return Ok(artefact);
    }
    let message = String::from_utf8_lossy(&message);
    let reason = match message.trim() {
        "" => format!("compiling needed more memory or time than it is given ({status})"),
        message => message.to_owned(),
    };
    Err(Refusal { reason, passing: status.code() != Some(i32::from(UNFIT)) })
}

/// The other end of [`Compiler::Child`]: reads a component from standard input, writes the artefact to standard output.
/// What is wrong goes to standard error, and the exit code is 1 if the component is to blame, 2 if the machine is.
pub fn compile_in_child() -> ExitCode {
    let Err(Refusal { reason, passing }) = child() else { return ExitCode::SUCCESS };
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{reason}");
    ExitCode::from(if passing { UNABLE } else { UNFIT })
}

fn child() -> Result<(), Refusal> {
    limit(Resource::As, MEMORY_VARIABLE)?;
    limit(Resource::Cpu, CPU_VARIABLE)?;
    let engine = engine::compiler().map_err(|error| Refusal::passing(error.to_string()))?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_COMPONENT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Refusal::passing(format!("the component can't be read: {error}")))?;
    let artefact = compile_bytes(&engine, &bytes)?;
    std::io::stdout()
        .write_all(&artefact)
        .map_err(|error| Refusal::passing(format!("the artefact can't be written: {error}")))
}

fn limit(resource: Resource, variable: &str) -> Result<(), Refusal> {
    let Some(value) = std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok()) else { return Ok(()) };
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(|error| Refusal::passing(format!("{variable} can't be applied: {error}")))
}
