//! What can be set. The comments are what the JSON Schema says about each key.

use quarterdeck_model::Shared;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::RuleSpec;
use quarterdeck_model::domain::alerting::AlertingSpec;
use quarterdeck_model::domain::dashboard::DashboardSpec;
use quarterdeck_model::domain::deployment::ServiceSpec;
use quarterdeck_model::domain::incident::CorrelationSpec;
use quarterdeck_model::domain::notification::RouteSpec;
use quarterdeck_model::domain::rule_group::{RuleGroup, RulePolicies};
use quarterdeck_model::domain::runbook::RunbookSpec;
use quarterdeck_model::domain::scan::ScanSpec;
use quarterdeck_model::domain::scrape::{IngestLimits, ScrapeConfig};
use quarterdeck_model::domain::slo::SloSpec;
use quarterdeck_model::plugin::publisher::Trust;
use quarterdeck_model::plugin::{InstanceName, InstanceSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Address and port of the HTTP API.
    #[schemars(schema_with = "crate::schema::socket_address")]
    pub listen: SocketAddr,
    /// Everything that the host keeps.
    pub data_dir: PathBuf,
    /// Where plugins are dropped. Unless given: `plugins` beside this file if it exists, else `plugins` in the data folder.
    pub plugins_dir: Option<PathBuf>,
    /// Which files may be plugins, and whose.
    pub plugins: Trust,
    /// The instances, rules, objectives, dashboard, scan and runbook that work without any configuration.
    pub built_ins: bool,
    pub storage: StorageSettings,
    pub runtime: RuntimeSettings,
    pub events: EventSettings,
    pub api: ApiSettings,
    pub log: LogSettings,
    /// Where secrets are, by name. Instances use those that their grants name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Plugins put to use, by name: `http-probe/api`.
    pub instances: BTreeMap<InstanceName, Shared<InstanceSpec>>,
    /// Alert rules, by name.
    pub rules: BTreeMap<String, RuleSpec>,
    /// Groups of rules in Prometheus's format, by name: those of `rules/node.yml` are called `node/<name of the group>`.
    pub rule_groups: BTreeMap<String, RuleGroup>,
    /// What becomes of their alerts where data is missing.
    pub rule_policies: RulePolicies,
    /// What is scraped, by the job's name: what files in `scrape/` hold, in Prometheus's format.
    pub scrape: BTreeMap<String, ScrapeConfig>,
    /// What each source of samples may send.
    pub ingest: IngestLimits,
    /// How alerts become incidents.
    pub correlation: CorrelationSpec,
    /// Who is told what, by name. All routes that match are taken.
    pub routes: BTreeMap<String, RouteSpec>,
    /// How alerts are grouped, told and kept back, as Alertmanager does it. Beside `routes`, which tell of events of every kind.
    pub alerting: AlertingSpec,
    /// Scans, by name.
    pub scans: BTreeMap<String, ScanSpec>,
    /// Runbooks, by slug.
    pub runbooks: BTreeMap<String, RunbookSpec>,
    /// Services that can be deployed, by name.
    pub services: BTreeMap<String, ServiceSpec>,
    /// Objectives, by name.
    pub slos: BTreeMap<String, SloSpec>,
    /// Dashboards of the console, by name.
    pub dashboards: BTreeMap<String, DashboardSpec>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7700)),
            data_dir: default_data_dir(),
            plugins_dir: None,
            plugins: Trust::default(),
            built_ins: true,
            storage: StorageSettings::default(),
            runtime: RuntimeSettings::default(),
            events: EventSettings::default(),
            api: ApiSettings::default(),
            log: LogSettings::default(),
            secrets: BTreeMap::new(),
            instances: BTreeMap::new(),
            rules: BTreeMap::new(),
            rule_groups: BTreeMap::new(),
            rule_policies: RulePolicies::default(),
            scrape: BTreeMap::new(),
            ingest: IngestLimits::default(),
            correlation: CorrelationSpec::default(),
            routes: BTreeMap::new(),
            alerting: AlertingSpec::default(),
            scans: BTreeMap::new(),
            runbooks: BTreeMap::new(),
            services: BTreeMap::new(),
            slos: BTreeMap::new(),
            dashboards: BTreeMap::new(),
        }
    }
}

/// `$XDG_DATA_HOME/quarterdeck`, else `~/.local/share/quarterdeck`, else (without a home) `/var/lib/quarterdeck`.
fn default_data_dir() -> PathBuf {
    let absolute = |path: &PathBuf| path.is_absolute();
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(absolute)
        .or_else(|| std::env::home_dir().filter(absolute).map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("quarterdeck")
}

impl Settings {
    /// Those of the host itself: without what there can be thousands of.
    pub fn without_objects(&self) -> Settings {
        Settings {
            instances: BTreeMap::new(),
            rules: BTreeMap::new(),
            rule_groups: BTreeMap::new(),
            scrape: BTreeMap::new(),
            routes: BTreeMap::new(),
            scans: BTreeMap::new(),
            runbooks: BTreeMap::new(),
            services: BTreeMap::new(),
            slos: BTreeMap::new(),
            dashboards: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// What the engines work on: without what is switched off.
    pub fn catalog(&self) -> Catalog {
        Catalog {
            rules: only(&self.rules, |rule| rule.enabled),
            rule_groups: only(&self.rule_groups, |group| group.enabled),
            rule_policies: self.rule_policies.clone(),
            scrape: only(&self.scrape, |config| config.enabled),
            ingest: self.ingest.clone(),
            correlation: self.correlation.clone(),
            routes: only(&self.routes, |route| route.enabled),
            alerting: self.alerting.clone(),
            scans: only(&self.scans, |scan| scan.enabled),
            runbooks: only(&self.runbooks, |runbook| runbook.enabled),
            services: self.services.clone(),
            slos: only(&self.slos, |slo| slo.enabled),
            dashboards: only(&self.dashboards, |dashboard| dashboard.enabled),
            keep_ended: self.storage.keep_ended,
        }
    }

    /// The plugins folder: the one that is set, else `plugins` in the configuration folder if that exists, else `plugins` in the
    /// data folder.
    pub fn plugins_folder(&self, config_dir: Option<&Path>) -> PathBuf {
        let beside = config_dir.map(|dir| dir.join("plugins")).filter(|dir| dir.is_dir());
        self.plugins_dir.clone().or(beside).unwrap_or_else(|| self.data_dir.join("plugins"))
    }
}

fn only<T: Clone>(objects: &BTreeMap<String, T>, wanted: impl Fn(&T) -> bool) -> BTreeMap<String, T> {
    objects.iter().filter(|(_, object)| wanted(object)).map(|(name, object)| (name.clone(), object.clone())).collect()
}

/// How much is kept. What is over goes, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StorageSettings {
    /// With less free space on the disk, writes are refused.
    pub free_space_floor_bytes: u64,
    /// How long events are kept.
    pub keep_events: Span,
    /// How long samples are kept.
    pub keep_samples: Span,
    /// How large the event log may grow; twice as large where a consumer in the host has not read it.
    pub keep_log_bytes: u64,
    /// How long what has ended is kept: runs, scans, findings that were fixed, incidents that were resolved, deployments, dead
    /// letters, versions of the configuration (of which there are 200 at most). Zero keeps it for ever.
    pub keep_ended: Span,
    /// Samples of days that are all older than this are thinned: of each step the last one stays. Zero thins none.
    pub thin_samples_after: Span,
    /// The step.
    pub thin_samples_to: Span,
    /// How many series there may be that had a sample in the last hours. Samples of new ones beyond it are refused.
    pub max_series: u64,
    /// How much older than the newest one of its series a sample may be. Older ones are refused.
    pub out_of_order: Span,
}

impl Default for StorageSettings {
    fn default() -> Self {
        StorageSettings {
            free_space_floor_bytes: 256 << 20,
            keep_events: Span::from_secs(7 * 86_400),
            keep_samples: Span::from_secs(15 * 86_400),
            keep_log_bytes: 1 << 30,
            // Three months of 30.44 days each, which is what `3months` means.
            keep_ended: Span::from_secs(3 * 2_630_016),
            thin_samples_after: Span::ZERO,
            thin_samples_to: Span::from_secs(300),
            max_series: 1_000_000,
            out_of_order: Span::from_secs(600),
        }
    }
}

/// How plugins are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RuntimeSettings {
    /// Threads that run guests. Unless given, one for each core.
    pub guest_threads: Option<u32>,
    /// Sandboxes at once, over all plugins.
    pub sandboxes: u32,
    /// How long the compilation of one plugin may take.
    pub compile_timeout: Span,
    /// How much memory it may use.
    pub compile_memory_bytes: u64,
    /// So many first calls of a new version are watched; if too many of them fail, the version before comes back.
    pub probation_calls: u32,
    /// An instance that misbehaved so many times in a row is quarantined.
    pub quarantine_after: u32,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        RuntimeSettings {
            guest_threads: None,
            sandboxes: 256,
            compile_timeout: Span::from_secs(120),
            compile_memory_bytes: 2 << 30,
            probation_calls: 20,
            quarantine_after: 5,
        }
    }
}

/// Limits of who publishes and who reads events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EventSettings {
    /// Events per second that one producer may publish in the long run; 0 refuses nothing.
    pub producer_rate: u32,
    /// Events that it may publish at once after a silence.
    pub producer_burst: u32,
    /// Events that wait for a slow reader of the stream before it is cut off, 256 KiB of them at most.
    pub stream_buffer: u32,
}

impl Default for EventSettings {
    fn default() -> Self {
        EventSettings { producer_rate: 1_000, producer_burst: 5_000, stream_buffer: 1_024 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ApiSettings {
    /// Larger bodies of requests are refused.
    pub body_limit_bytes: u64,
    /// Names by which the API may be reached, beside the loopback names. With any, reading needs the token.
    pub allowed_hosts: Vec<String>,
    /// Whether reading needs the token as well, not only changing; `allowed-hosts` makes it so, too. A proxy on this machine may ask
    /// as a program of this machine would, so with one in front this has to hold.
    pub reads_need_token: bool,
}

impl ApiSettings {
    /// Whether reading needs the token. A host that has other names stands behind a proxy, and whether that passes a name on can't be
    /// told from a request.
    pub fn reading_needs_token(&self) -> bool {
        self.reads_need_token || !self.allowed_hosts.is_empty()
    }
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings { body_limit_bytes: 1 << 20, allowed_hosts: Vec::new(), reads_need_token: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogSettings {
    /// What is logged: a level, and levels of parts: `info,quarterdeck_runtime=debug`.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Where a secret is: never in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// Name of an environment variable of the daemon.
    Env(String),
    /// Path of a file; a line end at its end is left out.
    File(PathBuf),
}
