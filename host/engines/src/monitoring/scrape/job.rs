//! A scrape configuration made ready.

use super::relabel::Step;
use crate::monitoring::rule_files::Mistake;
use quarterdeck_model::Span;
use quarterdeck_model::domain::scrape::{Record, Relabel, ScrapeConfig};

pub(super) const INTERVAL: Span = Span::from_secs(15);
const TIMEOUT: Span = Span::from_secs(10);
/// Bytes of a page, unless the configuration says otherwise.
const BODY: usize = 64 << 20;
/// Whatever it says.
const LARGEST_BODY: usize = 1 << 30;

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) spec: ScrapeConfig,
    pub(super) interval: Span,
    pub(super) timeout: Span,
    pub(super) path: String,
    pub(super) body_limit: usize,
    pub(super) of_targets: Vec<Step>,
    pub(super) of_series: Vec<Step>,
}

/// What is wrong with a configuration, with JSON Pointers below it.
pub fn check(name: &str, spec: &ScrapeConfig) -> Vec<Mistake> {
    Job::read(name, spec).err().unwrap_or_default()
}

impl Job {
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(name: &str, spec: &ScrapeConfig) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut wrong = |pointer: &str, message: String| {
            mistakes.push(Mistake { pointer: pointer.to_owned(), message });
        };
        let interval = spec.scrape_interval.unwrap_or(INTERVAL);
        if interval < Span::from_millis(10) {
            wrong("/scrape_interval", format!("expected 10ms or more, found {interval}"));
        }
        let timeout = spec.scrape_timeout.unwrap_or(TIMEOUT.min(interval));
        if timeout > interval || timeout == Span::ZERO {
            wrong("/scrape_timeout", format!("expected more than nothing, and no more than the interval, {interval}"));
        }
        let path = spec.metrics_path.clone().unwrap_or_else(|| "/metrics".to_owned());
        let body_limit = match spec.body_size_limit.as_deref().map(size) {
            None | Some(Some(0)) => BODY,
            Some(Some(limit)) => limit.min(LARGEST_BODY),
            Some(None) => {
                wrong("/body_size_limit", "expected a size such as `10MB`".to_owned());
                BODY
            }
        };
        if spec.basic_auth.is_some() && spec.authorization.is_some() {
            wrong("/authorization", "expected `basic_auth` or `authorization`, found both".to_owned());
        }
        if let Some(scheme) = spec.authorization.as_ref().and_then(|authorization| authorization.scheme.as_deref())
            && (scheme.is_empty()
                || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                || scheme.eq_ignore_ascii_case("basic"))
        {
            wrong(
                "/authorization/type",
                "expected a word such as `Bearer`; hint: for `Basic` there is `basic_auth`".to_owned(),
            );
        }
        if spec.tls_config.cert_file.is_some() != spec.tls_config.key_file.is_some() {
            wrong("/tls_config", "expected `cert_file` and `key_file`, or none of them".to_owned());
        }
        for (index, group) in spec.static_configs.iter().enumerate() {
            let at = format!("/static_configs/{index}");
            if let Some((target, _)) = group.targets.iter().enumerate().find(|(_, target)| target.contains('/')) {
                wrong(
                    &format!("{at}/targets/{target}"),
                    "expected `<host>:<port>`; the path is `metrics_path`".to_owned(),
                );
            }
            if let Some((name, _)) = group.labels.iter().find(|(name, _)| !quarterdeck_formats::is_label_name(name)) {
                wrong(&format!("{at}/labels"), format!("`{name}` is not a label's name"));
            }
        }
        for (index, files) in spec.file_sd_configs.iter().enumerate() {
            for (place, file) in files.files.iter().enumerate() {
                let at = format!("/file_sd_configs/{index}/files/{place}");
                if !file.starts_with('/') {
                    wrong(&at, "expected an absolute path".to_owned());
                } else if ![".json", ".yml", ".yaml"].iter().any(|end| file.ends_with(end)) {
                    wrong(&at, "expected a name that ends in `.json`, `.yml` or `.yaml`".to_owned());
                } else if file.rsplit_once('/').is_some_and(|(folder, _)| folder.contains('*')) {
                    wrong(&at, "expected `*` in the last part only".to_owned());
                }
            }
        }
        for (index, names) in spec.dns_sd_configs.iter().enumerate() {
            if names.record != Record::Srv && names.port.is_none() {
                wrong(
                    &format!("/dns_sd_configs/{index}/port"),
                    "missing; records of this type have no port".to_owned(),
                );
            }
        }
        let mut steps = |key: &str, specs: &[Relabel]| -> Vec<Step> {
            let mut steps = Vec::new();
            for (index, spec) in specs.iter().enumerate() {
                match Step::read(spec) {
                    Ok(step) => steps.push(step),
                    Err(mistake) => wrong(&format!("/{key}/{index}{}", mistake.pointer), mistake.message),
                }
            }
            steps
        };
        let of_targets = steps("relabel_configs", &spec.relabel_configs);
        let of_series = steps("metric_relabel_configs", &spec.metric_relabel_configs);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let name = spec.job_name.clone().unwrap_or_else(|| name.to_owned());
        Ok(Job { name, spec: spec.clone(), interval, timeout, path, body_limit, of_targets, of_series })
    }
}

/// `10MB` in bytes: powers of 1024, with or without an `i`, as Prometheus reads them.
fn size(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let power = match unit {
        "" | "B" => 0,
        "KB" | "KiB" => 1,
        "MB" | "MiB" => 2,
        "GB" | "GiB" => 3,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1024_usize.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pointers(spec: Value) -> Vec<String> {
        check("job", &serde_json::from_value(spec).unwrap()).into_iter().map(|mistake| mistake.pointer).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_its_key() {
        assert_eq!(pointers(json!({})), Vec::<String>::new());
        let wrong = json!({
            "scrape_interval": "5s", "scrape_timeout": "10s", "body_size_limit": "10 parsecs",
            "basic_auth": {"username": "a", "password_file": "/p"}, "authorization": {"credentials_file": "/c", "type": "Basic"},
            "tls_config": {"cert_file": "/c"},
            "static_configs": [{"targets": ["a:1", "http://b:1/"], "labels": {"a-b": "c"}}],
            "file_sd_configs": [{"files": ["/a.json", "b.yml", "/c.txt", "/*/d.yml"]}],
            "dns_sd_configs": [{"names": ["a"]}, {"names": ["a"], "type": "A"}],
            "relabel_configs": [{"action": "hashmod", "target_label": "a"}],
            "metric_relabel_configs": [{"action": "drop"}, {"regex": "["}],
        });
        let expected = [
            "/scrape_timeout",
            "/body_size_limit",
            "/authorization",
            "/authorization/type",
            "/tls_config",
            "/static_configs/0/targets/1",
            "/static_configs/0/labels",
            "/file_sd_configs/0/files/1",
            "/file_sd_configs/0/files/2",
            "/file_sd_configs/0/files/3",
            "/dns_sd_configs/1/port",
            "/relabel_configs/0/modulus",
            "/metric_relabel_configs/1/regex",
        ];
        assert_eq!(pointers(wrong), expected);
    }

    #[test]
    fn sizes_are_read_as_prometheus_reads_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("10MB", Some(10 << 20)),
            ("1KiB", Some(1024)),
            ("5B", Some(5)),
            ("MB", None),
            ("1 MB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
