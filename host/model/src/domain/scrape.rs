//! What is scraped, as Prometheus's scrape configurations say it; and what anybody may send.
//!
//! Keys are written as Prometheus writes them, so that a configuration means the same in its file, in TOML and over the API.

use crate::domain::is_yes;
use crate::label::Labels;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Targets that are scraped alike. Its name is the label `job` of what they give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScrapeConfig {
    /// As its file calls it. Unless given: as the object is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// How often each target is asked. Unless given: `15s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Span>,
    /// How long one may take, at most its interval. Unless given: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<Span>,
    /// Unless given: `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_path: Option<String>,
    #[serde(skip_serializing_if = "Scheme::is_default")]
    pub scheme: Scheme,
    /// Parameters of the URL.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// Labels of the page go before those of the target. Else they are called `exported_...` where both have one.
    #[serde(skip_serializing_if = "is_no")]
    pub honor_labels: bool,
    /// Times of the page hold. Else all samples are of the time of the scrape.
    #[serde(skip_serializing_if = "is_yes")]
    pub honor_timestamps: bool,
    /// Where else the page may be.
    #[serde(skip_serializing_if = "is_yes")]
    pub follow_redirects: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<TargetGroup>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file_sd_configs: Vec<FileDiscovery>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_sd_configs: Vec<DnsDiscovery>,
    /// What becomes of the labels of a target before it is scraped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<Relabel>,
    /// What becomes of the labels of a series before it is stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel_configs: Vec<Relabel>,
    /// Samples of one page, after relabelling; 0: any number. With more, nothing of it is stored.
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_limit: u32,
    /// Labels of one series; 0: any number.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_limit: u32,
    /// Bytes of a label's name; 0: any number.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_name_length_limit: u32,
    /// Bytes of a label's value; 0: any number.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_value_length_limit: u32,
    /// Bytes of a page, uncompressed: `10MB`. Unless given: `64MB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<String>,
    // Not as a choice with `null`: what is wrong inside would have no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BasicAuth")]
    pub basic_auth: Option<BasicAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Authorization")]
    pub authorization: Option<Authorization>,
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(skip_serializing_if = "is_yes")]
    pub enabled: bool,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        ScrapeConfig {
            job_name: None,
            scrape_interval: None,
            scrape_timeout: None,
            metrics_path: None,
            scheme: Scheme::default(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            follow_redirects: true,
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            dns_sd_configs: Vec::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            sample_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            body_size_limit: None,
            basic_auth: None,
            authorization: None,
            tls_config: TlsConfig::default(),
            enabled: true,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_no(value: &bool) -> bool {
    !*value
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
    fn is_default(&self) -> bool {
        *self == Scheme::Http
    }
}

/// Addresses, and the labels that all of them have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// `<host>:<port>` each.
    #[serde(default)]
    pub targets: Vec<String>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Files of target groups, in YAML or JSON, that are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDiscovery {
    /// Paths; the last part may hold `*`.
    pub files: Vec<String>,
    /// How often they are read even if nothing says that they changed. Unless given: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<Span>,
}

/// Names that are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsDiscovery {
    pub names: Vec<String>,
    /// Unless given: `SRV`.
    #[serde(default, rename = "type")]
    pub record: Record,
    /// Of the targets; records of type SRV have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How often they are looked up. Unless given: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Record {
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[default]
    #[serde(rename = "SRV")]
    Srv,
}

/// One step of relabelling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Relabel {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// Between the values of the source labels. Unless given: `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// RE2's syntax, of the whole. Unless given: `(.*)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// Unless given: `$1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    pub action: RelabelAction,
}

/// Read in any case, as Prometheus does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    #[default]
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl RelabelAction {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];
    /// In the same order.
    const NAMES: [&'static str; 11] = [
        "replace",
        "keep",
        "drop",
        "keepequal",
        "dropequal",
        "hashmod",
        "labelmap",
        "labeldrop",
        "labelkeep",
        "lowercase",
        "uppercase",
    ];
}

impl<'de> Deserialize<'de> for RelabelAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().zip(Self::NAMES).find(|(_, name)| text.eq_ignore_ascii_case(name));
        known.map(|(action, _)| action).ok_or_else(|| serde::de::Error::unknown_variant(&text, &Self::NAMES))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    pub username: String,
    /// A file that holds the password; it is read at each scrape.
    pub password_file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Unless given: `Bearer`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// A file that holds the token; it is read at each scrape.
    pub credentials_file: PathBuf,
}

/// How the target's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Certificates of authorities, in PEM, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Any certificate is fine.
    #[serde(skip_serializing_if = "is_no")]
    pub insecure_skip_verify: bool,
}

impl TlsConfig {
    fn is_default(&self) -> bool {
        *self == TlsConfig::default()
    }
}

/// What each source of samples may send: who writes over the API, the `source` of a push, the job of a scrape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct IngestLimits {
    /// Samples per second in the long run; 0 refuses nothing. What is pushed beyond it is answered with when to try again.
    pub samples_per_second: u64,
    /// Series of a day. Samples of new ones beyond it are refused, those of known ones go on.
    pub series: u64,
    /// Labels of one series.
    pub labels: u32,
    /// Bytes of a label's name.
    pub label_name_bytes: u32,
    /// Bytes of a label's value.
    pub label_value_bytes: u32,
    /// Other limits for single sources, by name.
    pub sources: BTreeMap<String, SourceLimits>,
}

impl Default for IngestLimits {
    fn default() -> Self {
        IngestLimits {
            samples_per_second: 0,
            series: 500_000,
            labels: 64,
            label_name_bytes: 256,
            label_value_bytes: 4_096,
            sources: BTreeMap::new(),
        }
    }
}

/// What one source may send, where it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SourceLimits {
    /// Samples per second in the long run; 0 refuses nothing.
    pub samples_per_second: Option<u64>,
    /// Series of a day.
    pub series: Option<u64>,
}

impl IngestLimits {
    /// Samples per second of a source; 0: any number.
    pub fn rate(&self, source: &str) -> u64 {
        self.sources.get(source).and_then(|own| own.samples_per_second).unwrap_or(self.samples_per_second)
    }

    /// Series of a source.
    pub fn series_of(&self, source: &str) -> u64 {
        self.sources.get(source).and_then(|own| own.series).unwrap_or(self.series)
    }
}
