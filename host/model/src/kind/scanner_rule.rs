//! What is wrong with this subject?

use crate::plugin::{CallResult, InstanceName};
use crate::severity::Severity;
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    File,
    HttpResponse,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    pub kinds: Vec<SubjectKind>,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub max_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    File {
        path: String,
        #[serde(serialize_with = "at_once")]
        content: Vec<u8>,
    },
    HttpResponse {
        url: String,
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(serialize_with = "at_once")]
        body: Vec<u8>,
    },
}

/// A content has a megabyte: not byte by byte.
fn at_once<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Subject {
    pub fn name(&self) -> &str {
        match self {
            Subject::File { path, .. } => path,
            Subject::HttpResponse { url, .. } => url,
        }
    }
}

/// What a rule reported; `subject` is an index into the subjects of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub subject: usize,
    pub rule: String,
    pub title: String,
    pub severity: Severity,
    pub message: String,
    pub remediation: String,
    pub line: u32,
    pub column: u32,
    pub cwe: Option<u32>,
    pub fingerprint: String,
}

#[async_trait]
pub trait ScannerRule: Send + Sync + 'static {
    /// `now`, here and below: what clocks inside the sandbox show.
    async fn interests(&self, instance: &InstanceName, now: Timestamp) -> CallResult<Interest>;

    async fn scan(&self, instance: &InstanceName, subjects: &[Subject], now: Timestamp) -> CallResult<Vec<Reported>>;
}
