//! Gives memory back: what the allocator keeps free - reading a configuration takes several times what is left of it afterwards, and
//! the C library returns only what lies at the end of its arenas - and code that nobody runs at the moment, of plugins and, after the start, of the program itself.

use quarterdeck_runtime::Runtime;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// When a start with all that it reads is over, and when the first one of all has compiled what nobody waits for, too.
const AT_FIRST: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(35)];
const EVERY: Duration = Duration::from_secs(300);

pub(super) async fn run(runtime: Arc<Runtime>, shutdown: CancellationToken) {
    let mut at_first = AT_FIRST.into_iter();
    loop {
        let wait = at_first.next();
        let first = wait.is_some();
        if shutdown.run_until_cancelled(tokio::time::sleep(wait.unwrap_or(EVERY))).await.is_none() {
            return;
        }
        // It walks through all arenas: some milliseconds where there is much.
        let runtime = runtime.clone();
        let work = move || {
            give_back();
            runtime.give_back_pages();
            if first {
                unmap_code();
            }
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            return;
        }
    }
}

/// The C library makes up to eight arenas for each processor, and what one of them has free another can't use: as many as there are
/// processors, but two at least. To be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn bound_arenas() {
    let processors = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let arenas = libc::c_int::try_from(processors).unwrap_or(libc::c_int::MAX);
    #[expect(unsafe_code, reason = "a function of the C library that takes two numbers; no other thread allocates yet")]
    // SAFETY: see the reason.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
}

/// Other allocators have no arenas.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn bound_arenas() {}

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

/// The kernel maps code in pieces that are many times larger than what is run of them, and a start runs a bit of everything. What is
/// run from now on comes back from the page cache, in microseconds.
#[cfg(target_os = "linux")]
fn unmap_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Ok(program) = std::env::current_exe() else { return };
    for (from, to) in maps.lines().filter_map(|line| code_of(line, &program.to_string_lossy())) {
        #[expect(
            unsafe_code,
            reason = "the mapping is private, of a file, and not writable: its pages come back as they were when they are next used"
        )]
        // SAFETY: see the reason.
        let refused = unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        if refused != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "the program's code stays in memory");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn unmap_code() {}

/// The ends of a mapping, if it is code of the program: not its tables of addresses, which were written at the start.
#[cfg(target_os = "linux")]
fn code_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    (rest.starts_with("r-xp ") && rest.ends_with(&format!(" {program}"))).then_some((address(from)?, address(to)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_unmapped() {
        let line = |mode: &str, path: &str| format!("55d0c000-55d0f000 {mode} 00001000 fe:00 12   {path}");
        assert_eq!(code_of(&line("r-xp", "/usr/bin/q"), "/usr/bin/q"), Some((0x55d0_c000, 0x55d0_f000)));
        for (mode, path) in [("r--p", "/usr/bin/q"), ("rw-p", "/usr/bin/q"), ("r-xp", "/usr/lib/q"), ("r-xp", "")] {
            assert_eq!(code_of(&line(mode, path), "/usr/bin/q"), None, "{mode} {path}");
        }
    }

    #[test]
    fn the_program_runs_on_when_its_code_was_unmapped() {
        unmap_code();
        assert_eq!("still".len(), 5);
    }
}
