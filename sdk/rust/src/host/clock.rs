//! The time of day. Always granted: a component asks WASI for it, and imports its clock only if it calls this.

/// UTC, milliseconds since 1970. In a kind that decides it is the time that its input says, and stands still for the whole call; in one that
/// acts it is the host's. In a native test it is what the [`FakeHost`](crate::testing::FakeHost) around it says, and the machine's own without
/// one or where that says nothing.
pub fn now_ms() -> i64 {
    #[cfg(not(target_family = "wasm"))]
    if let Some(now_ms) = crate::testing::now_ms() {
        return now_ms;
    }
    machine_ms()
}

/// What the clock below says: the machine's, or that of WASI.
pub(crate) fn machine_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::now_ms;
    use crate::testing::FakeHost;

    #[test]
    fn a_test_sets_the_time_and_lets_it_go_on() {
        let fake = FakeHost { now_ms: Some(1_000), ..FakeHost::default() };
        let (first, mut fake) = fake.run(|| (now_ms(), now_ms()));
        assert_eq!(first, (1_000, 1_000), "it stands still");
        fake.advance(60_000);
        let (second, mut fake) = fake.run(now_ms);
        assert_eq!(second, 61_000);
        fake.advance(-61_001);
        assert_eq!(fake.run(now_ms).0, -1, "clocks are set back, too");
    }

    #[test]
    fn without_a_time_it_is_that_of_the_machine() {
        let (inside, mut fake) = FakeHost::default().run(now_ms);
        assert!(inside > 1_600_000_000_000 && now_ms() >= inside);
        fake.advance(3_600_000);
        assert!(fake.run(now_ms).0 >= inside + 3_600_000);
    }
}
