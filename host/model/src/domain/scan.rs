//! Scans and findings.

use crate::id::ScanId;
use crate::plugin::{InstanceName, PluginRef};
use crate::severity::Severity;
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScanSpec {
    /// Instances of scanner rules.
    pub rules: Vec<InstanceName>,
    /// Folders and files to read, absolute or relative to the configuration folder.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Pages to fetch. Naming one here grants its origin, private and loopback addresses too.
    #[serde(default)]
    pub urls: Vec<String>,
    /// How often; absent: only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScanState {
    Running,
    Succeeded,
    /// Some rules or subjects failed; `errors` names them. What could be judged was.
    Partial,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scan {
    pub id: ScanId,
    /// Name of its specification.
    pub name: String,
    pub state: ScanState,
    pub principal: String,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub files: u64,
    pub urls: u64,
    /// Files that no rule took: too large, not readable, excluded.
    pub skipped: u64,
    /// How many of them for which reason.
    #[serde(default)]
    pub skipped_because: BTreeMap<String, u64>,
    pub findings: BTreeMap<Severity, u64>,
    pub new_findings: u64,
    pub fixed_findings: u64,
    /// Open findings in files that were met and could not be shown to their rule: too large, not a text, a link by now. They stay open.
    #[serde(default)]
    pub not_looked_at: u64,
    pub rules: Vec<PluginRef>,
    /// Pages that every rule could judge, worst first.
    #[serde(default)]
    pub pages: Vec<PageScore>,
    pub errors: Vec<String>,
    /// Rules that failed, each with its first failure.
    #[serde(default)]
    pub failed_rules: Vec<FailedRule>,
}

/// A rule that failed during a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedRule {
    pub instance: InstanceName,
    /// The version that failed. `null`: it was never asked.
    pub plugin: Option<PluginRef>,
    pub error: String,
}

/// How good a page is, by what was found in it. See `engines::scans::score`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageScore {
    pub url: String,
    /// 0 to 100.
    pub score: u32,
    /// `A+` to `F`.
    pub grade: String,
}

impl Scan {
    pub const COLLECTION: &'static str = "scans";
    pub const FINISHED: &'static str = "scan.finished";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    Open,
    /// No longer found by a later scan of the same name that looked there, or ended for another reason: see `resolution`.
    Fixed,
}

/// Id: `<scan name>/<rule instance>/<fingerprint>`, the same in every scan that sees it. Where a scan has several paths, the
/// fingerprint ends in a hash of the one that it was found below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub id: String,
    pub scan: ScanId,
    pub scan_name: String,
    pub instance: InstanceName,
    pub rule: String,
    pub title: String,
    pub severity: Severity,
    pub message: String,
    pub remediation: String,
    /// Path or URL.
    pub subject: String,
    pub line: u32,
    pub column: u32,
    pub cwe: Option<u32>,
    pub fingerprint: String,
    pub state: FindingState,
    /// Why it counts as fixed although nobody looked and saw that it is: `rule removed` or `no longer scanned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// When it was found to be fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Why the last scan could not look at the file, although it is there: it is too large, not a text, or no plain file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_looked_at: Option<String>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub plugin: PluginRef,
}

impl Finding {
    pub const COLLECTION: &'static str = "findings";
    pub const OPENED: &'static str = "finding.opened";
    pub const FIXED: &'static str = "finding.fixed";
}
