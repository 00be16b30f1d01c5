//! Who used what: once an hour the log is told which instances have used most.

use super::Runtime;
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
}

impl Totals {
    fn less(self, before: Totals) -> Totals {
        Totals {
            calls: self.calls.saturating_sub(before.calls),
            guest_micros: self.guest_micros.saturating_sub(before.guest_micros),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            host_calls: self.host_calls.saturating_sub(before.host_calls),
        }
    }

    fn plus(self, other: Totals) -> Totals {
        Totals {
            calls: self.calls.saturating_add(other.calls),
            guest_micros: self.guest_micros.saturating_add(other.guest_micros),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
            host_calls: self.host_calls.saturating_add(other.host_calls),
        }
    }

    fn shown(self) -> Value {
        json!({
            "calls": self.calls, "guest_micros": self.guest_micros, "bytes_out": self.bytes_out, "host_calls": self.host_calls,
        })
    }
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
            .filter(|(_, used)| used.calls > 0)
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
    use crate::testing::Bench;
    use crate::testing::guests::{Does, collector};
    use quarterdeck_model::kind::collector::Collector;
    use quarterdeck_model::{Span, Timestamp};
    use serde_json::json;

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
        let data = bench.event("instance.usage").await.event.data;
        let calls: Vec<_> =
            data["most"].as_array().unwrap().iter().map(|one| (&one["instance"], &one["calls"])).collect();
        assert_eq!(calls, [(&json!("guest/busy"), &json!(100)), (&json!("guest/seldom"), &json!(1))]);
        assert_eq!((&data["all"]["calls"], &data["instances"]), (&json!(101), &json!(2)));
        assert_ne!(data["since"], data["until"]);

        bench.runtime.tell_usage(told);
        bench.collect(&"guest/idle".into(), NOW).await.unwrap();
        assert_eq!(bench.events("instance.usage").len(), 1, "nobody was called");
    }
}
