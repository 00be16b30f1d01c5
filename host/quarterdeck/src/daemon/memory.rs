//! Gives memory back that the allocator keeps free: reading a configuration takes several times what is left of it afterwards, and
//! the C library returns only what lies at the end of its arenas.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// When the start, with all that it reads and compiles, is over.
const AT_FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(300);

pub(super) async fn run(shutdown: CancellationToken) {
    let mut wait = AT_FIRST;
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        // It walks through all arenas: some milliseconds where there is much.
        if tokio::task::spawn_blocking(give_back).await.is_err() {
            return;
        }
        wait = EVERY;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    #[expect(
        unsafe_code,
        reason = "a function of the C library without arguments to get wrong; it locks what it touches"
    )]
    // SAFETY: see the reason.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
