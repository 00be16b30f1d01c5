//! Ids: ULIDs behind a prefix that names the type. Made from a handed-in time and a seeded generator, so that an
//! engine run twice over the same input makes the same ids.

use crate::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Mutex, PoisonError};
use ulid::Ulid;

/// Makes ids that sort by the time that was handed in, and within one millisecond by the order in which they were made.
#[derive(Debug)]
pub struct IdSource(Mutex<(StdRng, Ulid)>);

impl IdSource {
    /// Unpredictable ids, for the daemon.
    pub fn random() -> Self {
        IdSource(Mutex::new((StdRng::from_os_rng(), Ulid::nil())))
    }

    /// The same ids in every run, for tests and replay.
    pub fn seeded(seed: u64) -> Self {
        IdSource(Mutex::new((StdRng::seed_from_u64(seed), Ulid::nil())))
    }

    /// A UUID of version 7, for ids that other programs expect to be one. Sorts by time.
    pub fn uuid(&self, now: Timestamp) -> String {
        let bits = self.ulid(now).0;
        // Version and variant take the place of random bits.
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x7 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
    }

    fn ulid(&self, now: Timestamp) -> Ulid {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (generator, last) = &mut *state;
        let random: u128 = generator.random();
        let fresh = Ulid::from_parts(u64::try_from(now.as_millis()).unwrap_or(0), random);
        let same_time = fresh.timestamp_ms() == last.timestamp_ms();
        *last = if same_time { last.increment().unwrap_or(fresh) } else { fresh };
        *last
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub fn new(source: &IdSource, now: Timestamp) -> Self {
                $name(format!("{}{}", $prefix, source.ulid(now).to_string().to_lowercase()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }
    )*};
}

ids! {
    /// An event of the log.
    EventId = "evt_";
    /// An effect in the outbox; also the idempotency key that every attempt carries, unless the effect has another.
    EffectId = "eff_";
    IncidentId = "inc_";
    DeploymentId = "dep_";
    /// A run of a runbook.
    RunId = "run_";
    ScanId = "scan_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_time_make_the_same_id() {
        let now = Timestamp::from_millis(1_000);
        let make = || IncidentId::new(&IdSource::seeded(1), now);
        assert_eq!(make(), make());
        assert!(make().as_str().starts_with("inc_"));
    }

    #[test]
    fn ids_of_one_millisecond_sort_by_the_order_in_which_they_were_made() {
        let (ids, now) = (IdSource::seeded(1), Timestamp::from_millis(1_000));
        let made: Vec<_> = (0..100).map(|_| EventId::new(&ids, now)).collect();
        assert!(made.is_sorted());
    }

    #[test]
    fn a_uuid_is_one_of_version_7() {
        let ids = IdSource::seeded(1);
        let (first, second) = (ids.uuid(Timestamp::from_millis(1_000)), ids.uuid(Timestamp::from_millis(2_000)));
        assert!(first < second, "{first} {second}");
        assert_eq!(
            (first.len(), first.as_bytes()[14], first.starts_with("00000000-03e8-7")),
            (36, b'7', true),
            "{first}"
        );
        assert!(matches!(first.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{first}");
    }

    #[test]
    fn ids_sort_by_time() {
        let ids = IdSource::seeded(1);
        let early = EventId::new(&ids, Timestamp::from_millis(1_000));
        let late = EventId::new(&ids, Timestamp::from_millis(2_000));
        assert!(early < late);
    }
}
