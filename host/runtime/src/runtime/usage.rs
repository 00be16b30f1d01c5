//! Who used what: once an hour the log is told which instances have used most.

use super::Runtime;
use crate::instance::{CODES, UP_TO_MICROS, buckets, named};
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::InstanceName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) const INSTANCE_USAGE: &str = "instance.usage";
const EVERY: Duration = Duration::from_secs(3600);
/// Instances that are named, those that took most time first.
const NAMED: usize = 20;

/// What was used since some time; all of it only ever grows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) guest_micros: u64,
    pub(crate) bytes_out: u64,
    pub(crate) host_calls: u64,
    pub(crate) log_lines: u64,
    /// The most that one call had, since the instance began.
    pub(crate) memory_high_water_bytes: u64,
    /// By [`CODES`] as an index; those of calls that did not begin are among them, too.
    pub(crate) failures: [u64; CODES.len()],
    /// Each call in one bucket of [`UP_TO_MICROS`], or in none.
    pub(crate) latency: [u64; UP_TO_MICROS.len()],
}

impl Totals {
    fn less(self, before: Totals) -> Totals {
        Totals {
            calls: self.calls.saturating_sub(before.calls),
            guest_micros: self.guest_micros.saturating_sub(before.guest_micros),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            host_calls: self.host_calls.saturating_sub(before.host_calls),
            log_lines: self.log_lines.saturating_sub(before.log_lines),
            memory_high_water_bytes: self.memory_high_water_bytes,
            failures: each(self.failures, before.failures, u64::saturating_sub),
            latency: each(self.latency, before.latency, u64::saturating_sub),
        }
    }

    fn plus(self, other: Totals) -> Totals {
        Totals {
            calls: self.calls.saturating_add(other.calls),
            guest_micros: self.guest_micros.saturating_add(other.guest_micros),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
            host_calls: self.host_calls.saturating_add(other.host_calls),
            log_lines: self.log_lines.saturating_add(other.log_lines),
            memory_high_water_bytes: self.memory_high_water_bytes.max(other.memory_high_water_bytes),
            failures: each(self.failures, other.failures, u64::saturating_add),
            latency: each(self.latency, other.latency, u64::saturating_add),
        }
    }

    fn is_nothing(&self) -> bool {
        self.calls == 0 && self.failures.iter().all(|failures| *failures == 0)
    }

    /// In the words of the API.
    fn shown(self) -> Value {
        json!({
            "calls": self.calls, "guest_micros": self.guest_micros, "bytes_out": self.bytes_out, "host_calls": self.host_calls,
            "log_lines": self.log_lines, "memory_high_water_bytes": self.memory_high_water_bytes,
            "failures": named(&CODES, self.failures), "latency": buckets(self.calls, self.latency),
        })
    }
}

fn each<const LENGTH: usize>(
    ours: [u64; LENGTH],
    theirs: [u64; LENGTH],
    both: impl Fn(u64, u64) -> u64,
) -> [u64; LENGTH] {
    let mut theirs = theirs.into_iter();
    ours.map(|our| both(our, theirs.next().unwrap_or(0)))
}

/// What every instance had used when the log was last told.
pub(super) struct Told {
    at: Timestamp,
    totals: BTreeMap<InstanceName, Totals>,
}

pub(super) async fn run(runtime: Weak<Runtime>, shutdown: CancellationToken) {
    let Some(mut told) = runtime.upgrade().map(|runtime| runtime.used()) else { return };
    while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let Some(runtime) = runtime.upgrade() else { return };
        told = runtime.tell_usage(told);
    }
}

impl Runtime {
    pub(super) fn used(&self) -> Told {
        let instances = self.all_instances();
        let totals = instances.iter().map(|(name, instance)| (name.clone(), instance.meter.totals())).collect();
        Told { at: self.clock.now(), totals }
    }

    /// Tells the log what was used since; nothing where nobody was called.
    pub(super) fn tell_usage(&self, before: Told) -> Told {
        let now = self.used();
        let since = |name: &InstanceName, totals: &Totals| {
            // An instance that was removed and came again counts from its new beginning.
            let earlier = before.totals.get(name).copied().filter(|earlier| earlier.calls <= totals.calls);
            totals.less(earlier.unwrap_or_default())
        };
        let mut used: Vec<(&InstanceName, Totals)> = now
            .totals
            .iter()
            .map(|(name, totals)| (name, since(name, totals)))
            .filter(|(_, used)| !used.is_nothing())
            .collect();
        if !used.is_empty() {
            used.sort_by(|(a, x), (b, y)| y.guest_micros.cmp(&x.guest_micros).then_with(|| a.cmp(b)));
            let all = used.iter().fold(Totals::default(), |sum, (_, used)| sum.plus(*used));
            let most: Vec<Value> = used
                .iter()
                .take(NAMED)
                .map(|(name, used)| {
                    let mut shown = used.shown();
                    if let Some(fields) = shown.as_object_mut() {
                        fields.insert("instance".to_owned(), json!(name));
                    }
                    shown
                })
                .collect();
            let data = json!({
                "since": before.at, "until": now.at, "all": all.shown(), "instances": used.len(), "most": most,
            });
            self.announcer.say(INSTANCE_USAGE, "instances", None, data);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::guests::{Does, collector};
    use crate::testing::{Bench, eventually, one, spec};
    use quarterdeck_model::kind::collector::Collector;
    use quarterdeck_model::plugin::Registry;
    use quarterdeck_model::{Span, Timestamp};
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_millis(5_000);

    #[tokio::test]
    async fn the_log_is_told_who_used_most_since_it_was_told_last_and_nothing_of_those_who_were_not_called() {
        let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
        bench.use_plugin(&["guest/busy", "guest/seldom", "guest/idle"], "guest").await;
        bench.collect(&"guest/seldom".into(), NOW).await.unwrap();
        let told = bench.runtime.used();
        for _ in 0..100 {
            bench.collect(&"guest/busy".into(), NOW).await.unwrap();
        }
        bench.collect(&"guest/seldom".into(), NOW).await.unwrap();
        bench.clock.advance(Span::from_secs(3600));
        let told = bench.runtime.tell_usage(told);
        let data = bench.event("instance.usage").await.event.data.clone();
        let calls: Vec<_> =
            data["most"].as_array().unwrap().iter().map(|one| (&one["instance"], &one["calls"])).collect();
        assert_eq!(calls, [(&json!("guest/busy"), &json!(100)), (&json!("guest/seldom"), &json!(1))]);
        assert_eq!((&data["all"]["calls"], &data["instances"]), (&json!(101), &json!(2)));
        assert_ne!(data["since"], data["until"]);
        // A guest of two pages, which logs nothing.
        for used in [&data["all"], &data["most"][0], &data["most"][1]] {
            assert_eq!(
                (&used["memory_high_water_bytes"], &used["log_lines"]),
                (&json!(131_072), &json!(0)),
                "{used:#}"
            );
        }
        // None failed, and all but what was far too slow are in the last bucket.
        let last = |used: &Value| used["latency"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&data["all"]["failures"], &data["most"][0]["failures"]), (&json!({}), &json!({})));
        assert_eq!(last(&data["all"]), json!({"up_to_micros": 10_000_000, "calls": 101}));
        assert_eq!(last(&data["most"][1]), json!({"up_to_micros": 10_000_000, "calls": 1}));

        bench.runtime.tell_usage(told);
        bench.collect(&"guest/idle".into(), NOW).await.unwrap();
        assert_eq!(bench.events("instance.usage").len(), 1, "nobody was called");
    }

    #[tokio::test]
    async fn the_log_is_told_how_much_was_logged_since() {
        let bench = Bench::with(vec![collector("guest", "1.0.0", Does::CallTheHost)]).await;
        bench.use_plugin(&["guest/loud"], "guest").await;
        bench.collect(&"guest/loud".into(), NOW).await.unwrap_err();
        let told = bench.runtime.used();
        bench.collect(&"guest/loud".into(), NOW).await.unwrap_err();
        bench.runtime.tell_usage(told);
        let data = bench.event("instance.usage").await.event.data.clone();
        let all = bench.instance(&"guest/loud".into()).unwrap().usage.log_lines;
        let (since, of_one) =
            (data["all"]["log_lines"].as_u64().unwrap(), data["most"][0]["log_lines"].as_u64().unwrap());
        assert!(since > 0 && since == of_one && since < all, "{since} of {all}");
    }

    #[tokio::test]
    async fn the_log_is_told_how_calls_failed_also_of_those_that_were_not_let_in() {
        let bench =
            Bench::with(vec![collector("guest", "1.0.0", Does::LoopAt(9_000)), collector("bad", "1.0.0", Does::Trap)])
                .await;
        let mut specs = one("guest/late", spec("guest"));
        specs.extend(one("bad/one", spec("bad")));
        bench.configure(specs).await;
        bench.collect(&"guest/late".into(), NOW).await.unwrap();
        let told = bench.runtime.used();
        bench.collect(&"guest/late".into(), NOW).await.unwrap();
        bench.collect(&"guest/late".into(), Timestamp::from_millis(9_000)).await.unwrap_err();
        for _ in 0..7 {
            bench.collect(&"bad/one".into(), NOW).await.unwrap_err();
        }
        let told = bench.runtime.tell_usage(told);
        let data = bench.event("instance.usage").await.event.data.clone();
        let of =
            |name: &str| data["most"].as_array().unwrap().iter().find(|used| used["instance"] == name).unwrap().clone();
        assert_eq!((&of("guest/late")["calls"], &of("guest/late")["failures"]), (&json!(2), &json!({"deadline": 1})));
        // After five it is left alone.
        assert_eq!(
            (&of("bad/one")["calls"], &of("bad/one")["failures"]),
            (&json!(5), &json!({"trapped": 5, "unavailable": 2}))
        );
        assert_eq!(data["all"]["failures"], json!({"deadline": 1, "trapped": 5, "unavailable": 2}));
        // The one that looped took its 200 ms; the other one is in every bucket that it is in.
        let latency = of("guest/late")["latency"].clone();
        let up_to = |micros: u64| {
            latency.as_array().unwrap().iter().find(|bucket| bucket["up_to_micros"] == micros).unwrap()["calls"].clone()
        };
        assert!(up_to(100_000).as_u64().unwrap() <= 1 && up_to(10_000_000) == 2, "{latency:#}");

        bench.collect(&"bad/one".into(), NOW).await.unwrap_err();
        bench.runtime.tell_usage(told);
        let events =
            eventually("a second one", || Some(bench.events("instance.usage")).filter(|events| events.len() == 2))
                .await;
        let data = &events[1].event.data;
        assert_eq!((&data["all"]["calls"], &data["all"]["failures"]), (&json!(0), &json!({"unavailable": 1})));
        assert_eq!(data["all"]["latency"], json!([]));
    }
}
