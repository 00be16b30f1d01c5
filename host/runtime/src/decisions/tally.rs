//! Counts how a candidate's answers compare with those that were given, and keeps samples of the differences.

use super::record::{answer, micros};
use super::{Decided, Failed, Record};
use quarterdeck_model::decisions::{Comparison, Difference, Durations};
use quarterdeck_model::plugin::InstanceName;
use std::collections::VecDeque;
use std::time::Duration;

/// Durations that quantiles are read from: the newest ones.
const TIMES: usize = 1 << 18;

/// A question that was asked again.
pub(crate) struct Asked<'a> {
    pub(crate) instance: &'a InstanceName,
    pub(crate) record: &'a Record<'a>,
    pub(crate) now: Result<Decided, Failed>,
    pub(crate) busy: Duration,
}

/// Which differences are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    First(usize),
    Newest(usize),
}

pub(crate) struct Tally {
    pub(crate) comparison: Comparison,
    keep: Keep,
    samples: VecDeque<Difference>,
    then: Times,
    now: Times,
}

impl Tally {
    pub(crate) fn first(samples: usize) -> Self {
        Tally::new(Keep::First(samples))
    }

    pub(crate) fn newest(samples: usize) -> Self {
        Tally::new(Keep::Newest(samples))
    }

    fn new(keep: Keep) -> Self {
        let comparison = Comparison::default();
        Tally { comparison, keep, samples: VecDeque::new(), then: Times::default(), now: Times::default() }
    }

    /// True: the answers differ.
    pub(crate) fn count(&mut self, asked: &Asked<'_>) -> bool {
        let (then, now) = (&asked.record.outcome, &asked.now);
        self.then.push(asked.record.micros);
        self.now.push(micros(asked.busy));
        let comparison = &mut self.comparison;
        comparison.decisions += 1;
        comparison.misbehaved += u64::from(now.as_ref().is_err_and(|failed| failed.misbehaved));
        let differs = match (then, now) {
            (Ok(then), Ok(now)) => {
                comparison.other_state += u64::from(then.decision == now.decision && then.state != now.state);
                then.decision != now.decision
            }
            (Err(then), Err(now)) => !then.is_like(now),
            (Ok(_), Err(_)) => {
                comparison.new_failures += 1;
                true
            }
            (Err(_), Ok(_)) => {
                comparison.answered_now += 1;
                true
            }
        };
        comparison.same += u64::from(!differs);
        comparison.differ += u64::from(differs);
        if differs {
            self.sample(asked);
        }
        differs
    }

    fn sample(&mut self, asked: &Asked<'_>) {
        match self.keep {
            Keep::First(limit) if self.samples.len() >= limit => return,
            Keep::Newest(0) => return,
            Keep::Newest(limit) if self.samples.len() >= limit => drop(self.samples.pop_front()),
            _ => {}
        }
        let record = asked.record;
        self.samples.push_back(Difference {
            instance: asked.instance.clone(),
            at: record.now,
            function: record.question.function().to_owned(),
            input: record.question.shown(),
            config: serde_json::from_str(&record.config).unwrap_or_default(),
            plugin: record.plugin.clone().into_owned(),
            then: answer(&record.outcome),
            now: answer(&asked.now),
        });
    }

    /// Takes in what another one has counted.
    pub(crate) fn absorb(&mut self, other: Tally) {
        let (own, more) = (&mut self.comparison, other.comparison);
        own.decisions += more.decisions;
        own.same += more.same;
        own.other_state += more.other_state;
        own.differ += more.differ;
        own.new_failures += more.new_failures;
        own.answered_now += more.answered_now;
        own.misbehaved += more.misbehaved;
        self.then.absorb(&other.then);
        self.now.absorb(&other.now);
        self.samples.extend(other.samples);
    }

    /// Of the version that decided, and of the candidate.
    pub(crate) fn durations(&self) -> (Durations, Durations) {
        (self.then.durations(), self.now.durations())
    }

    /// The differences that were kept: the first ones in order, or the newest first.
    pub(crate) fn samples(&self) -> Vec<Difference> {
        let mut samples: Vec<Difference> = self.samples.iter().cloned().collect();
        samples.sort_by_key(|difference| difference.at);
        match self.keep {
            Keep::First(limit) => samples.truncate(limit),
            Keep::Newest(_) => samples.reverse(),
        }
        samples
    }
}

#[derive(Default)]
struct Times {
    newest: Vec<u32>,
    /// Where the next one goes, once there are enough.
    next: usize,
    count: u64,
    sum: u64,
}

impl Times {
    fn push(&mut self, micros: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        if self.newest.len() < TIMES {
            self.newest.push(micros);
        } else if let Some(oldest) = self.newest.get_mut(self.next) {
            *oldest = micros;
            self.next = (self.next + 1) % TIMES;
        }
    }

    fn absorb(&mut self, other: &Times) {
        let (count, sum) = (self.count + other.count, self.sum.saturating_add(other.sum));
        other.newest.iter().for_each(|micros| self.push(u64::from(*micros)));
        (self.count, self.sum) = (count, sum);
    }

    fn durations(&self) -> Durations {
        let mut sorted = self.newest.clone();
        sorted.sort_unstable();
        let quantile = |hundredths: usize| {
            let index = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().map_or(0, u64::from)
        };
        Durations {
            p50_micros: quantile(50),
            p99_micros: quantile(99),
            mean_micros: self.sum.checked_div(self.count).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::Question;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::plugin::{Digest, PluginRef};
    use std::borrow::Cow;

    type Given = Result<Decided, Failed>;

    fn decided(decision: &str, state: u8) -> Given {
        Ok(Decided { decision: decision.to_owned(), state: Some(vec![state]) })
    }

    fn failed(code: &str, misbehaved: bool) -> Given {
        Err(Failed { code: code.to_owned(), message: code.to_owned(), misbehaved })
    }

    fn count(tally: &mut Tally, second: i64, then: &Given, now: &Given) -> bool {
        let plugin = PluginRef { name: "a".to_owned(), version: "1".to_owned(), digest: Digest("sha256:0".to_owned()) };
        let record = Record {
            now: Timestamp::from_millis(second * 1000),
            plugin: Cow::Owned(plugin),
            config: Cow::Borrowed("{}"),
            question: Question::Interests,
            outcome: then.clone(),
            micros: 10,
        };
        let instance = InstanceName::from("a/b");
        let busy = Duration::from_micros(30);
        tally.count(&Asked { instance: &instance, record: &record, now: now.clone(), busy })
    }

    #[test]
    fn only_what_others_go_by_makes_a_difference() {
        let mut tally = Tally::first(9);
        let (a, b, trap, word) = (decided("1", 0), decided("2", 0), failed("trapped", true), failed("rejected", false));
        for (then, now, differs) in [
            (&a, &a, false),
            (&a, &decided("1", 7), false),
            (&a, &b, true),
            (&a, &trap, true),
            (&trap, &a, true),
            (&trap, &trap, false),
            (&trap, &word, true),
        ] {
            assert_eq!(count(&mut tally, 1, then, now), differs, "{then:?} {now:?}");
        }
        let expected = Comparison {
            decisions: 7,
            same: 3,
            other_state: 1,
            differ: 4,
            new_failures: 1,
            answered_now: 1,
            misbehaved: 2,
        };
        assert_eq!((tally.comparison, tally.samples().len()), (expected, 4));
        let (then, now) = tally.durations();
        assert_eq!((then.p50_micros, now.p99_micros, now.mean_micros), (10, 30, 30));
        let mut other = Tally::first(9);
        other.absorb(tally);
        assert_eq!((other.comparison, other.durations().1.mean_micros), (expected, 30));
    }

    #[test]
    fn so_many_samples_are_kept_the_first_or_the_newest_ones() {
        for (mut tally, expected) in [(Tally::first(2), [1, 2]), (Tally::newest(2), [5, 4])] {
            for second in 1..=5 {
                count(&mut tally, second, &decided("1", 0), &decided("2", 0));
            }
            let seconds: Vec<i64> = tally.samples().iter().map(|sample| sample.at.as_millis() / 1000).collect();
            assert_eq!(seconds, expected);
        }
    }
}
