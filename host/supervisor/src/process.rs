//! Pids that can't be mistaken, exits, and signals.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often `/proc` is looked through for a marker, while some process has no environment to tell by.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// More than the environment of a process mostly has.
const ENVIRONMENT_BYTES: usize = 256 << 10;
/// Where the marker of a [`crate::Record`] stands in the environment of its process.
pub(crate) const MARKER_VARIABLE: &str = "QUARTERDECK_PROCESS";

/// Pids come round again; a pid with its start time within one boot does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Clock ticks since boot, from `/proc/<pid>/stat`.
    pub start_ticks: u64,
    pub boot_id: String,
}

/// How a process ended, as far as that can be known: an adopted one is not our child, so the kernel doesn't tell us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
}

struct Stat {
    state: char,
    group: u32,
    start_ticks: u64,
}

impl Identity {
    /// Of a process that runs now, or that has ended and was not waited for.
    pub(crate) fn of(pid: u32) -> Option<Identity> {
        let stat = stat(pid)?;
        Some(Identity { pid, start_ticks: stat.start_ticks, boot_id: boot_id() })
    }

    fn matching(&self) -> Option<Stat> {
        let stat = stat(self.pid)?;
        (stat.start_ticks == self.start_ticks && self.boot_id == boot_id()).then_some(stat)
    }

    /// Whether it still runs. A zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        self.matching().is_some_and(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))
    }

    fn raw(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
    }

    /// Signals the whole group, if the pid is still that of this process; says whether it did.
    pub(crate) fn signal_group(&self, signal: Signal) -> bool {
        let Some(stat) = self.matching() else { return false };
        // Should it have moved to a group that is not its own, that group holds processes that are none of ours.
        let Some(pid) = self.raw() else { return false };
        if stat.group == self.pid {
            rustix::process::kill_process_group(pid, signal).is_ok()
        } else {
            rustix::process::kill_process(pid, signal).is_ok()
        }
    }

    /// Returns when it has ended; at once if it has already.
    pub(crate) async fn ended(&self) {
        if let Some(pid) = self.raw()
            && let Ok(descriptor) = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)
            && let Ok(descriptor) = registered(descriptor)
        {
            // Asked behind the opening: the descriptor may be of a later process with the same pid.
            if !self.is_alive() {
                return;
            }
            if descriptor.readable().await.is_ok() {
                return;
            }
        }
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends what is left of its group and takes its exit status, behind [`Identity::ended`].
    pub(crate) fn reap(&self, marker: &str) -> Exit {
        // As long as our child is a zombie, its pid and so its group's number can't be taken by anybody else.
        if !self.signal_group(Signal::KILL) {
            kill_stragglers(self.pid, marker);
        }
        let status = self.raw().map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG));
        match status {
            Some(Ok(Some((_, status)))) => Exit { code: status.exit_status() },
            Some(Err(Errno::CHILD) | Ok(None)) | None => Exit { code: None },
            Some(Err(error)) => {
                tracing::warn!(pid = self.pid, %error, "the exit status of a process can't be read");
                Exit { code: None }
            }
        }
    }
}

#[expect(unsafe_code, reason = "the only registration that tokio does not call unsound; the descriptor is owned")]
fn registered(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, is never replaced, and lives in the `AsyncFd` for all of its life.
    unsafe { Ok(AsyncFd::register_with_interest(descriptor, Interest::READABLE)?) }
}

/// Members of a group whose leader is gone, as far as they carry the marker.
fn kill_stragglers(group: u32, marker: &str) {
    for pid in pids() {
        if stat(pid).is_some_and(|stat| stat.group == group)
            && has_marker(pid, marker)
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended meanwhile, which is what is wanted.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// The leader of a group that carries the marker: a process that was started and never written down. Blocks for a moment where one is
/// just becoming another program: until that has begun its environment reads as empty, and to take it for lost would start it twice.
pub(crate) fn find_marked(marker: &str) -> Option<Identity> {
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        let mut is_certain = true;
        for pid in pids().filter(|pid| stat(*pid).is_some_and(|stat| stat.group == *pid && stat.state != 'Z')) {
            let Ok(environment) = environment(pid) else { continue };
            is_certain &= !environment.is_empty();
            if holds(&environment, marker)
                && let Some(identity) = Identity::of(pid).filter(Identity::is_alive)
            {
                return Some(identity);
            }
        }
        if is_certain {
            break;
        }
    }
    None
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
}

fn has_marker(pid: u32, marker: &str) -> bool {
    environment(pid).is_ok_and(|environment| holds(&environment, marker))
}

/// Read at once: a process that becomes another program between two reads has nothing more to read, and what was read before would look
/// whole.
fn environment(pid: u32) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(format!("/proc/{pid}/environ"))?;
    let mut bytes = vec![0; ENVIRONMENT_BYTES];
    let length = file.read(&mut bytes)?;
    bytes.truncate(length);
    if length == ENVIRONMENT_BYTES {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn holds(environment: &[u8], marker: &str) -> bool {
    let wanted = format!("{MARKER_VARIABLE}={marker}");
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field, the program's name, stands in brackets and may hold spaces and brackets itself.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let _parent = fields.next()?;
    let group = fields.next()?.parse().ok()?;
    // Field 22 of proc(5); state is field 3.
    let start_ticks = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, group, start_ticks })
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// 122 random bits from the kernel.
pub(crate) fn new_marker(id: &str) -> std::io::Result<String> {
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(format!("{id}:{}", random.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_brackets_in_its_name_has_its_start_time_read() {
        let stat = parse_stat("7 (a ) b)) S 1 9 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 200");
        assert_eq!(stat.map(|s| (s.state, s.group, s.start_ticks)), Some(('S', 9, 4242)));
    }

    /// Its environment is empty for a moment meanwhile. A child that has not become its first program yet has that of its parent, which
    /// is over long before another host looks.
    #[test]
    fn a_process_that_is_just_becoming_another_program_is_found_by_its_marker() -> std::io::Result<()> {
        use std::os::unix::process::CommandExt;
        for _ in 0..50 {
            let marker = new_marker("becoming")?;
            let mut shell = std::process::Command::new("/bin/sh");
            let shell = shell.args(["-c", "exec sleep 60"]).env(MARKER_VARIABLE, &marker).process_group(0);
            let mut child = shell.spawn()?;
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while !has_marker(child.id(), &marker) && std::time::Instant::now() < until {}
            let found = [(); 3].map(|()| find_marked(&marker).map(|identity| identity.pid));
            child.kill()?;
            child.wait()?;
            assert_eq!(found, [Some(child.id()); 3]);
        }
        Ok(())
    }

    #[test]
    fn a_pid_with_another_start_time_is_not_signalled() {
        let Some(own) = Identity::of(std::process::id()) else { return };
        let other = Identity { start_ticks: own.start_ticks + 1, ..own.clone() };
        assert!(own.is_alive());
        assert!(!other.is_alive());
        assert!(!other.signal_group(Signal::KILL));
        let other_boot = Identity { boot_id: "another".to_owned(), ..own };
        assert!(!other_boot.signal_group(Signal::KILL));
    }
}
