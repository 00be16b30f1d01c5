//! Gives memory back: what the allocator keeps free - reading a configuration takes several times what is left of it afterwards, and
//! the C library returns only what lies at the end of its arenas - and code that nobody runs at the moment, of plugins and of the
//! program itself.

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
        if shutdown.run_until_cancelled(tokio::time::sleep(wait.unwrap_or(EVERY))).await.is_none() {
            return;
        }
        // It walks through all arenas: some milliseconds where there is much.
        let runtime = runtime.clone();
        let work = move || {
            give_back();
            runtime.give_back_pages();
            unmap_program();
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            return;
        }
    }
}

/// The C library makes up to eight arenas for each processor, and what one of them has free another can't use. Four for each: with one,
/// threads wait for each other in a storm of alerts (`tests/bench/README.md` has figures). To be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn bound_arenas() {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let arenas = libc::c_int::try_from(processors.saturating_mul(4)).unwrap_or(libc::c_int::MAX);
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

/// The kernel maps the program in pieces that are many times larger than what is used of them - of a file that was copied to its place,
/// in pieces of up to two megabytes - and a start uses a bit of everything. What is used from now on comes back from the page cache, in
/// microseconds.
#[cfg(target_os = "linux")]
fn unmap_program() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Ok(program) = std::env::current_exe() else { return };
    for (from, to) in unwritten(&maps, &program.to_string_lossy()) {
        #[expect(
            unsafe_code,
            reason = "the mapping is private, of a file, and not writable: its pages come back as they were when they are next used"
        )]
        // SAFETY: see the reason.
        let refused = unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        if refused != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "the program stays in memory");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn unmap_program() {}

/// The ends of the mappings of the program that nobody has ever written to: its code, and its constants where they lie before that, as
/// the linker of Rust puts them. What lies behind and can't be written any more are tables of addresses, which were written at the
/// start.
#[cfg(target_os = "linux")]
fn unwritten(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.ends_with(&format!(" {program}"))) {
        let Some((range, mode)) = line.split_once(' ') else { continue };
        let is_code = mode.starts_with("r-xp ");
        if !is_code && !mode.starts_with("r--p ") {
            break;
        }
        let address = |text| usize::from_str_radix(text, 16).ok();
        found.extend(range.split_once('-').and_then(|(from, to)| Some((address(from)?, address(to)?))));
        if is_code {
            return found;
        }
    }
    // Not what is known here.
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn constants_and_code_of_the_program_itself_are_unmapped_and_nothing_behind_them() {
        let maps = "\
            1000-2000 r-xp 00000000 fe:00 11   /usr/lib/q\n\
            55d0c000-55d0f000 r--p 00000000 fe:00 12   /usr/bin/q\n\
            55d0f000-55d1f000 r-xp 00003000 fe:00 12   /usr/bin/q\n\
            55d1f000-55d2f000 r--p 00013000 fe:00 12   /usr/bin/q\n\
            55d2f000-55d3f000 rw-p 00023000 fe:00 12   /usr/bin/q\n\
            7f000000-7f001000 r--p 00000000 00:00 0\n";
        assert_eq!(unwritten(maps, "/usr/bin/q"), [(0x55d0_c000, 0x55d0_f000), (0x55d0_f000, 0x55d1_f000)]);
        let written_first = maps.replace("r--p 00000000 fe:00 12", "rw-p 00000000 fe:00 12");
        assert_eq!(unwritten(&written_first, "/usr/bin/q"), []);
        assert_eq!(unwritten("", "/usr/bin/q"), []);
    }

    #[test]
    fn the_program_runs_on_when_it_was_unmapped() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let program = std::env::current_exe().unwrap();
        assert!(unwritten(&maps, &program.to_string_lossy()).len() >= 2, "{maps}");
        unmap_program();
        assert_eq!("still".len(), 5);
    }
}
