//! The newest lines that each instance has logged, in memory: to be looked at while it runs. The host's log has them all.
//!
//! Bounded twice: an instance that floods loses its own older lines, and all of them together hold no more than a fixed share of memory,
//! however many instances there are.

use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::log::{LogLevel, LogLine};
use quarterdeck_model::plugin::{Digest, InstanceName};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines of one instance.
const LINES: usize = 1_000;
/// Bytes of one instance's lines.
const BYTES: usize = 256 << 10;
/// Bytes of all lines. With many instances each gets its part.
const ALL_BYTES: usize = 32 << 20;
/// What a line costs beside its text, about.
const OVERHEAD: usize = 128;

#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<InstanceName, Own>>);

#[derive(Default)]
struct Own {
    newest: u64,
    bytes: usize,
    lines: VecDeque<LogLine>,
}

impl Lines {
    pub(crate) fn keep(&self, instance: &InstanceName, digest: &Digest, at: Timestamp, level: LogLevel, message: &str) {
        let mut all = self.lock();
        if !all.contains_key(instance) {
            all.insert(instance.clone(), Own::default());
        }
        let share = BYTES.min(ALL_BYTES / all.len().max(1));
        let Some(own) = all.get_mut(instance) else { return };
        own.newest += 1;
        own.bytes += cost(message);
        own.lines.push_back(LogLine {
            number: own.newest,
            at,
            level,
            digest: digest.clone(),
            message: message.to_owned(),
        });
        while own.lines.len() > LINES || (own.bytes > share && own.lines.len() > 1) {
            let gone = own.lines.pop_front();
            own.bytes -= gone.map_or(0, |gone| cost(&gone.message));
        }
    }

    /// Oldest first.
    pub(crate) fn of(&self, instance: &InstanceName) -> Vec<LogLine> {
        self.lock().get(instance).map(|own| own.lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// Instances that are gone leave no lines.
    pub(crate) fn retain(&self, is_there: impl Fn(&InstanceName) -> bool) {
        self.lock().retain(|instance, _| is_there(instance));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceName, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(message: &str) -> usize {
    message.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &Lines, instance: &str, message: &str) {
        let digest = Digest("sha256:00".to_owned());
        lines.keep(&InstanceName::from(instance), &digest, Timestamp::from_millis(1), LogLevel::Info, message);
    }

    #[test]
    fn the_newest_lines_of_each_instance_are_kept_and_keep_their_numbers() {
        let lines = Lines::default();
        (0..LINES + 5).for_each(|number| log(&lines, "a/one", &number.to_string()));
        log(&lines, "a/two", "alone");
        let kept = lines.of(&"a/one".into());
        assert_eq!((kept.len(), kept[0].number, kept[0].message.as_str()), (LINES, 6, "5"));
        assert_eq!(lines.of(&"a/two".into())[0].number, 1);
        assert!(lines.of(&"a/three".into()).is_empty());
        lines.retain(|instance| instance.as_str() == "a/two");
        assert!(lines.of(&"a/one".into()).is_empty() && !lines.of(&"a/two".into()).is_empty());
    }

    #[test]
    fn floods_of_any_number_of_instances_fit_into_what_there_is_for_lines() {
        let (lines, long) = (Lines::default(), "x".repeat(4096));
        for _ in 0..70 {
            for instance in 0..500 {
                log(&lines, &format!("flood/{instance}"), &long);
            }
        }
        let all: usize = lines.lock().values().map(|own| own.bytes).sum();
        assert!(all <= ALL_BYTES, "{all}");
        assert!(lines.of(&"flood/7".into()).len() > 10);
    }
}
