//! The system's clock.

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use std::time::{Duration, SystemTime};

/// UTC as the operating system has it. It may jump, in both directions: whoever waits has to look again.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }

    fn until(&self, at: Timestamp) -> Duration {
        let at = u64::try_from(at.as_millis()).map_or(Duration::ZERO, Duration::from_millis);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        at.saturating_sub(now)
    }
}
