//! A question to a plugin that decides: everything that goes into the call beside the configuration.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::kind::correlator::{AlertSummary, OpenIncident};
use quarterdeck_model::kind::deployment_strategy::{Analysis, Plan};
use quarterdeck_model::kind::deployment_target::Replica;
use quarterdeck_model::kind::detector::Window;
use quarterdeck_model::kind::scanner_rule::Subject;
use quarterdeck_model::kind::sla_calculator::SlaWindow;
use quarterdeck_model::plugin::Kind;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Of a content or a text, so much is shown to a person.
const SHOWN_BYTES: usize = 512;
/// Of a long list, so many.
const SHOWN_ITEMS: usize = 50;

/// Borrowed from an engine while it is asked, owned when it is read from a journal. Its variants are what journals hold: a new one goes to
/// the end, and a changed one raises `record::FORMAT`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Question<'a> {
    Evaluate {
        window: Cow<'a, Window>,
        #[serde(serialize_with = "some_at_once")]
        state: Option<Cow<'a, [u8]>>,
    },
    Interests,
    Scan {
        subjects: Cow<'a, [Subject]>,
    },
    Correlate {
        alert: Cow<'a, AlertSummary>,
        open: Cow<'a, [OpenIncident]>,
    },
    Decide {
        plan: Cow<'a, Plan>,
        replicas: Cow<'a, [Replica]>,
        analysis: Cow<'a, Analysis>,
        promoted: bool,
        #[serde(serialize_with = "some_at_once")]
        state: Option<Cow<'a, [u8]>>,
    },
    Fold {
        window: Cow<'a, SlaWindow>,
        #[serde(serialize_with = "some_at_once")]
        partial: Option<Cow<'a, [u8]>>,
    },
    Merge {
        #[serde(serialize_with = "at_once")]
        a: Cow<'a, [u8]>,
        #[serde(serialize_with = "at_once")]
        b: Cow<'a, [u8]>,
    },
    Finish {
        #[serde(serialize_with = "at_once")]
        partial: Cow<'a, [u8]>,
    },
}

/// A state may have many bytes: not byte by byte. What is written is the same.
fn at_once<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes.as_ref())
}

pub(super) fn some_at_once<B: AsRef<[u8]>, S: Serializer>(bytes: &Option<B>, serializer: S) -> Result<S::Ok, S::Error> {
    struct AtOnce<'a>(&'a [u8]);

    impl Serialize for AtOnce<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    bytes.as_ref().map(|bytes| AtOnce(bytes.as_ref())).serialize(serializer)
}

impl Question<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Question::Evaluate { .. } => Kind::Detector,
            Question::Interests | Question::Scan { .. } => Kind::ScannerRule,
            Question::Correlate { .. } => Kind::Correlator,
            Question::Decide { .. } => Kind::DeploymentStrategy,
            Question::Fold { .. } | Question::Merge { .. } | Question::Finish { .. } => Kind::SlaCalculator,
        }
    }

    /// The function of the plugin.
    pub(crate) fn function(&self) -> &'static str {
        match self {
            Question::Evaluate { .. } => "evaluate",
            Question::Interests => "interests",
            Question::Scan { .. } => "scan",
            Question::Correlate { .. } => "correlate",
            Question::Decide { .. } => "decide",
            Question::Fold { .. } => "fold",
            Question::Merge { .. } => "merge",
            Question::Finish { .. } => "finish",
        }
    }

    /// What it is about: inputs of one class stand or fall together (see `host/README.md`). `None`: about several things at once.
    pub(crate) fn class(&self) -> Option<String> {
        Some(match self {
            Question::Evaluate { window, .. } => {
                let names: BTreeSet<&str> = window.series.iter().map(|series| series.name.as_str()).collect();
                let mut common = window.series.first().map(|series| series.labels.clone()).unwrap_or_default();
                for series in &window.series {
                    common.0.retain(|name, value| series.labels.get(name) == Some(value));
                }
                format!("{}{common}", names.into_iter().collect::<Vec<_>>().join(","))
            }
            Question::Interests => "interests".to_owned(),
            Question::Scan { subjects } => match &**subjects {
                [subject] => subject.name().to_owned(),
                _ => return None,
            },
            Question::Correlate { alert, .. } => format!("{} {}", alert.name, alert.fingerprint),
            Question::Decide { plan, .. } => plan.service.clone(),
            Question::Fold { .. } | Question::Merge { .. } | Question::Finish { .. } => self.function().to_owned(),
        })
    }

    /// What it asks, by itself, about each of the several things that it is about; nothing where it is about one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Question<'_>> {
        let subjects = match self {
            Question::Scan { subjects } if subjects.len() > 1 => &**subjects,
            _ => &[],
        };
        subjects.iter().map(|subject| Question::Scan { subjects: Cow::Borrowed(std::slice::from_ref(subject)) })
    }

    /// Stands for this very question.
    pub(crate) fn digest(&self) -> Option<String> {
        let bytes = postcard::to_allocvec(self).ok()?;
        Some(Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// For a person; what is long is cut.
    pub(crate) fn shown(&self) -> Value {
        match self {
            Question::Evaluate { window, state } => {
                let series: Vec<Value> = window.series.iter().take(SHOWN_ITEMS).map(|series| {
                    json!({"name": series.name, "labels": series.labels, "at": last(&series.at), "values": last(&series.values)})
                }).collect();
                json!({"now": window.now, "from": window.from, "series": series, "state": bytes(state.as_deref())})
            }
            Question::Interests => json!({}),
            Question::Scan { subjects } => {
                json!({"subjects": subjects.iter().take(SHOWN_ITEMS).map(subject).collect::<Vec<_>>()})
            }
            Question::Correlate { alert, open } => {
                json!({"alert": alert, "open": open.iter().take(SHOWN_ITEMS).collect::<Vec<_>>()})
            }
            Question::Decide { plan, replicas, analysis, promoted, state } => json!({
                "plan": plan, "replicas": replicas.iter().take(SHOWN_ITEMS).collect::<Vec<_>>(), "analysis": analysis,
                "promoted": promoted, "state": bytes(state.as_deref()),
            }),
            Question::Fold { window, partial } => json!({
                "from": window.from, "to": window.to, "at": last(&window.at), "values": last(&window.values),
                "exclusions": window.exclusions.iter().take(SHOWN_ITEMS).collect::<Vec<_>>(), "partial": bytes(partial.as_deref()),
            }),
            Question::Merge { a, b } => json!({"a": bytes(Some(a)), "b": bytes(Some(b))}),
            Question::Finish { partial } => json!({"partial": bytes(Some(partial))}),
        }
    }
}

/// The newest of a column.
fn last<T>(column: &[T]) -> &[T] {
    column.get(column.len().saturating_sub(SHOWN_ITEMS)..).unwrap_or_default()
}

/// Not what it holds: a rule is asked about secrets, and letters are read by others than files are.
fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::File { path, content } => {
            json!({"path": path, "bytes": content.len()})
        }
        Subject::HttpResponse { url, status, headers, body } => {
            let names: Vec<_> = headers.iter().take(SHOWN_ITEMS).map(|(name, _)| name).collect();
            json!({"url": url, "status": status, "headers": names, "bytes": body.len()})
        }
    }
}

/// What only the plugin can read, in base64.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) if bytes.len() <= SHOWN_BYTES => json!(STANDARD.encode(bytes)),
        Some(bytes) => json!({"bytes": bytes.len()}),
    }
}
