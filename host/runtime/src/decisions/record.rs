//! A decision as a journal keeps it: question, answer, who gave it, and how long that took.

use super::Question;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::Timestamp;
use quarterdeck_model::decisions::Answer;
use quarterdeck_model::kind::correlator::Placement;
use quarterdeck_model::kind::deployment_strategy::Decision;
use quarterdeck_model::kind::detector::Verdict;
use quarterdeck_model::kind::scanner_rule::{Interest, Reported};
use quarterdeck_model::kind::sla_calculator::Attainment;
use quarterdeck_model::plugin::{CallError, PluginRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::Cell;
use std::time::Duration;

/// Stands in front of every entry. One of another format can't be read.
const FORMAT: u8 = 1;
/// A thread's buffer is kept for its next entry, unless it has become larger than this.
const KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// The time that was handed in.
    pub(crate) now: Timestamp,
    pub(crate) plugin: Cow<'a, PluginRef>,
    /// The configuration as the call got it.
    pub(crate) config: Cow<'a, str>,
    pub(crate) question: Question<'a>,
    pub(crate) outcome: Result<Decided, Failed>,
    /// Time on the guest's thread.
    pub(crate) micros: u64,
}

/// An answer: what others go by, and what only the plugin itself does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// JSON.
    pub(crate) decision: String,
    #[serde(serialize_with = "super::question::some_at_once")]
    pub(crate) state: Option<Vec<u8>>,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) misbehaved: bool,
}

/// An answer of a kind that decides.
pub(crate) trait Outcome {
    fn decided(&self) -> Decided;
}

impl Record<'_> {
    /// Hands over what a journal keeps of it, in a buffer that the next one on this thread will use. Nothing if it can't be written,
    /// which is no reason to fail the call.
    pub(crate) fn encoded<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut buffer = BUFFER.take();
        buffer.clear();
        buffer.push(FORMAT);
        let buffer = postcard::to_extend(self, buffer).ok()?;
        let taken = take(&buffer);
        if buffer.capacity() <= KEPT_BYTES {
            BUFFER.set(buffer);
        }
        Some(taken)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'static>> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

/// Name of the plugin that decided, which stands near the front of an entry: nothing else of it is read. `None`: it can't be.
pub(crate) fn decided_by(bytes: &[u8]) -> Option<&str> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            let ((_, name), _) = postcard::take_from_bytes::<(Timestamp, &str)>(rest).ok()?;
            Some(name)
        }
        _ => None,
    }
}

impl Failed {
    /// `None`: the call never came to the plugin, or was cut off.
    pub(crate) fn of(error: &CallError) -> Option<Failed> {
        let counts = !matches!(error, CallError::Unavailable { .. } | CallError::Cancelled);
        counts.then(|| Failed {
            code: error.code().to_owned(),
            message: error.to_string(),
            misbehaved: error.is_misbehaviour(),
        })
    }

    /// Where a trap was, or after what time a call was ended, is no decision.
    pub(crate) fn is_like(&self, other: &Failed) -> bool {
        self.code == other.code && (self.misbehaved || self.message == other.message)
    }
}

/// For a person.
pub(crate) fn answer(outcome: &Result<Decided, Failed>) -> Answer {
    match outcome {
        Ok(decided) => Answer::Decision(serde_json::from_str(&decided.decision).unwrap_or(Value::Null)),
        Err(failed) => Answer::Failure(failed.message.clone()),
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn decided(decision: &impl Serialize, state: Option<&Vec<u8>>) -> Decided {
    Decided { decision: serde_json::to_string(decision).unwrap_or_default(), state: state.cloned() }
}

impl Outcome for Verdict {
    fn decided(&self) -> Decided {
        // Without derived samples as it always was, so that what older versions decided can be compared.
        if self.derived.is_empty() {
            return decided(&self.signals, self.state.as_ref());
        }
        decided(&json!({"signals": self.signals, "derived": self.derived}), self.state.as_ref())
    }
}

impl Outcome for Decision {
    fn decided(&self) -> Decided {
        decided(&json!({"next": self.next, "reason": self.reason}), self.state.as_ref())
    }
}

impl Outcome for Interest {
    fn decided(&self) -> Decided {
        decided(self, None)
    }
}

impl Outcome for Vec<Reported> {
    fn decided(&self) -> Decided {
        decided(self, None)
    }
}

impl Outcome for Placement {
    fn decided(&self) -> Decided {
        decided(self, None)
    }
}

impl Outcome for Attainment {
    fn decided(&self) -> Decided {
        decided(self, None)
    }
}

/// A partial result is what was asked for, though only the plugin can read it.
impl Outcome for Vec<u8> {
    fn decided(&self) -> Decided {
        decided(&STANDARD.encode(self), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::kind::correlator::{AlertSummary, OpenIncident};
    use quarterdeck_model::kind::deployment_strategy::{Analysis, Plan};
    use quarterdeck_model::kind::deployment_target::{Replica, ReplicaPhase};
    use quarterdeck_model::kind::detector::Window;
    use quarterdeck_model::kind::scanner_rule::Subject;
    use quarterdeck_model::kind::sla_calculator::SlaWindow;
    use quarterdeck_model::plugin::{Digest, Kind};
    use quarterdeck_model::series::SeriesData;
    use quarterdeck_model::{Labels, Severity};

    const AT: Timestamp = Timestamp::from_millis(1_763_942_400_123);

    /// One of each function.
    fn questions() -> Vec<Question<'static>> {
        let labels = Labels::new().with("host", "a");
        let series = SeriesData { name: "load".to_owned(), labels: labels.clone(), at: vec![AT], values: vec![-0.5] };
        let alert = AlertSummary {
            fingerprint: "f".to_owned(),
            name: "busy".to_owned(),
            severity: Severity::High,
            labels,
            summary: String::new(),
            active_at: AT,
        };
        let open = OpenIncident {
            id: "inc_1".to_owned(),
            key: "k".to_owned(),
            severity: Severity::Info,
            opened_at: AT,
            alerts: vec![alert.clone()],
        };
        let plan = Plan {
            service: "shop".to_owned(),
            stable: String::new(),
            candidate: "r2".to_owned(),
            replicas: 3,
            started_at: AT,
        };
        let replica = Replica {
            name: "shop-1".to_owned(),
            revision: "r2".to_owned(),
            phase: ReplicaPhase::Draining,
            weight: 256,
            responses: 7,
            failures: 1,
            message: "m".to_owned(),
        };
        let analysis = Analysis { since: AT, responses: 1, failures: 2, stable_responses: 3, stable_failures: 4 };
        let page = Subject::HttpResponse {
            url: "http://a/".to_owned(),
            status: 200,
            headers: vec![("a".to_owned(), "b".to_owned())],
            body: vec![0, 255],
        };
        let file = Subject::File { path: "a.txt".to_owned(), content: vec![1; 1000] };
        let window =
            SlaWindow { from: AT, to: AT, at: vec![AT], values: vec![1.0], exclusions: vec![(AT, Timestamp::MAX)] };
        vec![
            Question::Evaluate {
                window: Cow::Owned(Window { now: AT, from: AT, series: vec![series] }),
                state: Some(Cow::Owned(vec![9; 300])),
            },
            Question::Interests,
            Question::Scan { subjects: Cow::Owned(vec![page, file]) },
            Question::Correlate { alert: Cow::Owned(alert), open: Cow::Owned(vec![open]) },
            Question::Decide {
                plan: Cow::Owned(plan),
                replicas: Cow::Owned(vec![replica]),
                analysis: Cow::Owned(analysis),
                promoted: true,
                state: None,
            },
            Question::Fold { window: Cow::Owned(window), partial: None },
            Question::Merge { a: Cow::Owned(vec![1]), b: Cow::Owned(Vec::new()) },
            Question::Finish { partial: Cow::Owned(vec![3]) },
        ]
    }

    #[test]
    fn a_decision_of_every_function_reads_back_as_it_was_written() {
        let plugin = PluginRef {
            name: "threshold".to_owned(),
            version: "1.0.0".to_owned(),
            digest: Digest("sha256:00".to_owned()),
        };
        let failed = Failed { code: "trapped".to_owned(), message: "it panicked".to_owned(), misbehaved: true };
        let decided = Decided { decision: "[]".to_owned(), state: Some(vec![0]) };
        for question in questions() {
            assert!(question.shown().is_object() && question.kind().is_pure(), "{question:?}");
            for outcome in [Ok(decided.clone()), Err(failed.clone())] {
                let record = Record {
                    now: AT,
                    plugin: Cow::Borrowed(&plugin),
                    config: Cow::Borrowed(r#"{"a":1}"#),
                    question: question.clone(),
                    outcome,
                    micros: 17,
                };
                let bytes = record.encoded(<[u8]>::to_vec).unwrap();
                assert_eq!(decided_by(&bytes), Some("threshold"));
                assert_eq!(decided_by(&[&[FORMAT + 1], &bytes[1..]].concat()), None);
                assert_eq!(Record::decode(&bytes), Some(record));
                assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), None, "half of it is nothing");
                assert_eq!(Record::decode(&[&[FORMAT + 1], &bytes[1..]].concat()), None, "another host's format");
            }
        }
        let kinds: std::collections::BTreeSet<Kind> = questions().iter().map(Question::kind).collect();
        assert!(Kind::ALL.iter().filter(|kind| kind.is_pure()).all(|kind| kinds.contains(kind)));
    }

    #[test]
    fn failures_are_alike_by_their_words_and_misbehaviours_by_their_sort() {
        let of = |error: CallError| Failed::of(&error).unwrap();
        let trap = |reason: &str| of(CallError::Trapped { reason: reason.to_owned() });
        let rejected = |message: &str| of(CallError::Rejected { message: message.to_owned() });
        assert!(trap("at line 1").is_like(&trap("at line 2")));
        assert!(!trap("x").is_like(&of(CallError::OutOfMemory { limit_bytes: 1 })));
        assert!(rejected("a").is_like(&rejected("a")) && !rejected("a").is_like(&rejected("b")));
        assert_eq!(Failed::of(&CallError::Cancelled), None);
    }
}
