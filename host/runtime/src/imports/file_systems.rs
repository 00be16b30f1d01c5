//! What is mounted, and what it holds. A file system whose server is gone lets nobody go who asks it, so each is asked on a thread of the
//! reading, which is left behind where it hangs: the reading goes on without that mount, on another thread, and asks it no more until
//! the one that was left behind comes back.
//!
//! - `mounts`: which there are, and which device has how much input and output

mod mounts;

pub(super) use mounts::{Mount, Traffic};

use crate::bindings::host::system as wit;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FRESH_FOR: Duration = Duration::from_secs(5);
/// A file system that does not answer within this hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// Whoever asks gets what there is after this.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Threads that may be left behind. With so many nothing more is asked.
const MOST_STUCK: usize = 16;

/// What came of asking a file system.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Space(wit::Space),
    /// It does not answer any more.
    Silent,
    /// It holds nothing, or not for us.
    Nothing,
}

/// How mounts are found and asked.
struct Source {
    mounts: Box<dyn Fn() -> Vec<Mount> + Send + Sync>,
    space: Box<dyn Fn(&Mount) -> Found + Send + Sync>,
    patience: Duration,
    fresh_for: Duration,
}

/// What is mounted, as last read.
#[derive(Clone)]
pub(super) struct FileSystems(Arc<Shared>);

struct Shared {
    source: Source,
    state: Mutex<State>,
    over: Condvar,
}

/// Those of one reading, in the order of their mounts.
pub(super) type Reading = Arc<Vec<(Mount, Option<wit::Space>)>>;

#[derive(Default)]
struct State {
    last: Option<(Instant, Reading)>,
    turn: Option<Turn>,
    turns: u64,
    /// Mounts that somebody still waits for.
    stuck: BTreeSet<u64>,
}

/// A reading under way.
struct Turn {
    /// Of the thread that reads. One that was left behind has an older number.
    number: u64,
    left: Vec<Mount>,
    asked: Option<(Mount, Instant)>,
    read: Vec<(Mount, Option<wit::Space>)>,
}

impl Default for FileSystems {
    fn default() -> Self {
        FileSystems::over(Source {
            mounts: Box::new(mounts::mounted),
            space: Box::new(space),
            patience: PATIENCE,
            fresh_for: FRESH_FOR,
        })
    }
}

impl FileSystems {
    fn over(source: Source) -> Self {
        FileSystems(Arc::new(Shared { source, state: Mutex::default(), over: Condvar::new() }))
    }

    /// Blocks while it is read, for some seconds at most. Those that do not answer have no space.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn read(&self) -> Result<Reading, std::io::Error> {
        let until = Instant::now() + LONGEST_WAIT;
        let mut state = self.0.state();
        if let Some((at, last)) = &state.last
            && at.elapsed() < self.0.source.fresh_for
        {
            return Ok(last.clone());
        }
        if state.turn.is_none() {
            state.turns += 1;
            let number = state.turns;
            state.turn = Some(Turn { number, left: Vec::new(), asked: None, read: Vec::new() });
            self.0.spawn(&mut state, number, true)?;
        }
        loop {
            let now = Instant::now();
            let Some(turn) = state.turn.as_ref().filter(|_| now < until) else { break };
            let hangs_at = turn.asked.as_ref().map_or(until, |(_, since)| *since + self.0.source.patience);
            if now >= hangs_at {
                self.0.pass_over(&mut state)?;
                continue;
            }
            let wait = hangs_at.min(until).saturating_duration_since(now);
            state = self.0.over.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state.known())
    }
}

impl State {
    /// What is known now: the last reading, without the space of those that hang.
    fn known(&self) -> Reading {
        let Some((_, last)) = &self.last else {
            return Arc::new(self.turn.as_ref().map_or_else(Vec::new, |turn| turn.read.clone()));
        };
        if last.iter().all(|(mount, space)| space.is_none() || !self.stuck.contains(&mount.id)) {
            return last.clone();
        }
        let without = |(mount, space): &(Mount, Option<wit::Space>)| {
            (mount.clone(), space.filter(|_| !self.stuck.contains(&mount.id)))
        };
        Arc::new(last.iter().map(without).collect())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, state: &mut State, number: u64, is_first: bool) -> Result<(), std::io::Error> {
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("file-systems".to_owned());
        let spawned = thread.spawn(move || {
            if is_first {
                let mounts = (shared.source.mounts)();
                if let Some(turn) = shared.state().turn.as_mut().filter(|turn| turn.number == number) {
                    turn.left = mounts;
                    turn.left.reverse();
                }
            }
            while shared.ask_next(number) {}
        });
        if spawned.is_err() {
            state.turn = None;
        }
        spawned.map(|_| ())
    }

    /// False: there is none left, or another thread reads on.
    fn ask_next(&self, number: u64) -> bool {
        let mount = {
            let mut state = self.state();
            let State { turn, stuck, last, .. } = &mut *state;
            let Some(turn) = turn.as_mut().filter(|turn| turn.number == number) else { return false };
            let Some(mount) = turn.left.pop() else {
                let read = std::mem::take(&mut turn.read);
                state.turn = None;
                state.last = Some((Instant::now(), Arc::new(read)));
                self.over.notify_all();
                return false;
            };
            if stuck.contains(&mount.id) {
                turn.read.push((mount, None));
                return true;
            }
            if stuck.len() >= MOST_STUCK {
                // As it was, where that is known.
                let before = last.iter().flat_map(|(_, last)| last.iter()).find(|(known, _)| known.id == mount.id);
                turn.read.extend(before.cloned());
                return true;
            }
            turn.asked = Some((mount.clone(), Instant::now()));
            // From now on there is something to lose patience with.
            self.over.notify_all();
            mount
        };
        let found = (self.source.space)(&mount);
        let mut state = self.state();
        // It answers, however late.
        state.stuck.remove(&mount.id);
        let Some(turn) = state.turn.as_mut().filter(|turn| turn.number == number) else { return false };
        turn.asked = None;
        match found {
            Found::Space(space) => turn.read.push((mount, Some(space))),
            Found::Silent => turn.read.push((mount, None)),
            Found::Nothing => {}
        }
        true
    }

    /// Leaves the thread behind that waits, and reads on without what it waits for.
    fn pass_over(self: &Arc<Self>, state: &mut State) -> Result<(), std::io::Error> {
        state.turns += 1;
        let number = state.turns;
        let Some(turn) = state.turn.as_mut() else { return Ok(()) };
        let Some((mount, _)) = turn.asked.take() else { return Ok(()) };
        turn.number = number;
        tracing::warn!(
            mount = mount.path,
            device = mount.device,
            "a file system does not answer; it is read no more until it does"
        );
        state.stuck.insert(mount.id);
        turn.read.push((mount, None));
        self.spawn(state, number, false)
    }
}

fn space(mount: &Mount) -> Found {
    match rustix::fs::statvfs(&*mount.path) {
        Ok(about) if about.f_blocks > 0 => {
            let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
            Found::Space(wit::Space {
                total_bytes: bytes(about.f_blocks),
                free_bytes: bytes(about.f_bfree),
                available_bytes: bytes(about.f_bavail),
                inodes_total: about.f_files,
                inodes_free: about.f_ffree,
            })
        }
        // What is left of a network file system, or of one in user space whose program has ended.
        Err(Errno::IO | Errno::NOTCONN | Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH) => {
            Found::Silent
        }
        Ok(_) | Err(_) => Found::Nothing,
    }
}

#[cfg(test)]
mod tests;
