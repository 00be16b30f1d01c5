//! The system's clock.

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;

/// UTC as the operating system has it. It may jump, in both directions: whoever waits has to look again.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }
}
