//! The compiler in a child process: this test is its own child, so it has no harness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    unreachable_pub,
    reason = "a test may panic"
)]

#[path = "support/ports.rs"]
mod ports;

use quarterdeck_model::plugin::{PluginState, PluginStatus, Registry};
use quarterdeck_runtime::{Compiler, Runtime, compile_in_child};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("compile") => compile_in_child(),
        Some("hang") => {
            std::thread::sleep(Duration::from_secs(60));
            ExitCode::FAILURE
        }
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                a_child_compiles_what_the_host_can_load().await;
                too_little_memory_is_a_refusal_with_a_reason().await;
                a_child_that_hangs_is_ended().await;
                the_exit_code_says_whether_the_component_is_to_blame();
            });
            println!("test result: ok. 4 passed");
            ExitCode::SUCCESS
        }
    }
}

/// What becomes of a component that exports nothing: compiled and then refused for that, or refused before.
async fn refusal(folder: &Path, mode: &str, memory_bytes: u64, timeout: Duration) -> PluginStatus {
    let plugins = folder.join("plugins");
    fs::create_dir_all(&plugins).unwrap();
    let component = wat::parse_str("(component (core module (func (result i32) i32.const 1)))").unwrap();
    fs::write(plugins.join("guest.wasm"), component).unwrap();
    let mut options = ports::options(folder);
    options.plugins_dir = Some(plugins);
    let program = std::env::current_exe().unwrap();
    options.compiler = Compiler::Child { program, arguments: vec![mode.to_owned()], memory_bytes, timeout };
    let shutdown = options.shutdown.clone();
    let runtime = Runtime::start(options).await.unwrap();
    let statuses = runtime.reload().await;
    shutdown.cancel();
    runtime.shutdown(Duration::from_secs(1)).await;
    let status = statuses.into_iter().next().unwrap();
    assert_eq!(status.state, PluginState::Refused);
    status
}

async fn a_child_compiles_what_the_host_can_load() {
    let folder = tempfile::tempdir().unwrap();
    let status = refusal(folder.path(), "compile", 4 << 30, Duration::from_secs(30)).await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("does not export `quarterdeck:plugin/plugin@0.1`"), "{reason}");
    let artefacts = fs::read_dir(folder.path().join("cache/aot")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(artefacts.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).count(), 1);
}

async fn too_little_memory_is_a_refusal_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let status = refusal(folder.path(), "compile", 32 << 20, Duration::from_secs(30)).await;
    let reason = status.reason.unwrap();
    assert!(reason.starts_with("it can't be compiled"), "{reason}");
}

async fn a_child_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let status = refusal(folder.path(), "hang", 4 << 30, Duration::from_millis(300)).await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("compiling took longer than 0.3 s"), "{reason}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// What the host tries again for, and what not.
fn the_exit_code_says_whether_the_component_is_to_blame() {
    let exit_code = |component: &[u8], memory_bytes: &str, output: Stdio| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("compile")
            .env("QUARTERDECK_COMPILE_MEMORY_BYTES", memory_bytes)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // One that can't begin reads nothing.
        let _ = child.stdin.take().unwrap().write_all(component);
        child.wait().unwrap().code()
    };
    let good = wat::parse_str("(component)").unwrap();
    let enough = (4u64 << 30).to_string();
    assert_eq!(exit_code(&good, &enough, Stdio::null()), Some(0));
    assert_eq!(exit_code(b"no component", &enough, Stdio::null()), Some(1));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(exit_code(&good, &enough, full.into()), Some(2), "nowhere to write it to");
    assert_ne!(exit_code(&good, &(1u64 << 20).to_string(), Stdio::null()), Some(1), "no memory to begin with");
}
