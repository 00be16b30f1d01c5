//! From what was found to what is asked: labels before and after relabelling, and the URL.

use super::job::Job;
use super::relabel::{self, Set};
use quarterdeck_model::{Labels, Span};

/// What was found: an address, and what is known of it.
pub(super) type Discovered = Set;

pub(super) const ADDRESS: &str = "__address__";

/// A target as it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What its samples have.
    pub(super) labels: Labels,
    /// What was known before relabelling.
    pub(super) discovered: Labels,
    pub(super) url: String,
    pub(super) interval: Span,
    pub(super) timeout: Span,
}

impl Target {
    /// The label `instance`, for names.
    pub(super) fn instance(&self) -> &str {
        self.labels.get("instance").unwrap_or_default()
    }
}

/// What becomes of something that was found; the labels that it had, where it is dropped.
///
/// # Errors
/// Why it can't be asked.
pub(super) fn make(job: &Job, found: &Discovered) -> Result<Result<Target, Labels>, String> {
    let mut labels = found.clone();
    let mut default = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    };
    default("job", &job.name);
    default("__scrape_interval__", &written(job.interval));
    default("__scrape_timeout__", &written(job.timeout));
    default("__metrics_path__", &job.path);
    default("__scheme__", job.spec.scheme.as_str());
    for (name, values) in &job.spec.params {
        default(&format!("__param_{name}"), values.first().map_or("", String::as_str));
    }
    labels.retain(|_, value| !value.is_empty());
    let discovered: Labels = labels.clone().into_iter().collect();
    if !relabel::apply(&job.of_targets, &mut labels) {
        return Ok(Err(discovered));
    }
    let said = |name: &str| labels.get(name).map_or("", String::as_str);
    let address = said(ADDRESS);
    if address.is_empty() {
        return Err("it has no address after relabelling".to_owned());
    }
    if address.contains(['/', '@', '?', '#']) || address.contains(char::is_whitespace) {
        return Err(format!("`{address}` is not an address; hint: `<host>:<port>`"));
    }
    let scheme = said("__scheme__");
    if !matches!(scheme, "http" | "https") {
        return Err(format!("`{scheme}` is not a scheme; hint: `http` or `https`"));
    }
    let span = |name: &str| {
        let text = said(name);
        Span::parse(text)
            .filter(|span| *span > Span::ZERO)
            .ok_or_else(|| format!("`{text}` is not a duration, in `{name}`"))
    };
    let (interval, timeout) = (span("__scrape_interval__")?, span("__scrape_timeout__")?);
    if timeout > interval {
        return Err(format!("its timeout, {timeout}, is longer than its interval, {interval}"));
    }
    let url = url(job, scheme, address, &labels);
    let address = address.to_owned();
    labels.entry("instance".to_owned()).or_insert(address);
    labels.retain(|name, _| !name.starts_with("__"));
    Ok(Ok(Target { labels: labels.into_iter().collect(), discovered, url, interval, timeout }))
}

/// As Prometheus writes durations: `1m30s`.
fn written(span: Span) -> String {
    span.to_string().replace(' ', "")
}

fn url(job: &Job, scheme: &str, address: &str, labels: &Set) -> String {
    let path = labels.get("__metrics_path__").map_or("", String::as_str);
    let (path, own_query) = path.split_once('?').map_or((path, ""), |(path, query)| (path, query));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut params = job.spec.params.clone();
    for (label, value) in labels {
        if let Some(name) = label.strip_prefix("__param_") {
            let values = params.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => first.clone_from(value),
                None => values.push(value.clone()),
            }
        }
    }
    for (name, values) in &params {
        for value in values {
            query.append_pair(name, value);
        }
    }
    let query = [own_query.to_owned(), query.finish()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{slash}{path}{mark}{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(spec: Value, found: &[(&str, &str)]) -> Result<Result<Target, Labels>, String> {
        let job = Job::read("node", &serde_json::from_value(spec).unwrap()).unwrap();
        make(&job, &found.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_target_has_its_defaults() {
        let target =
            made(json!({}), &[(ADDRESS, "a:9100"), ("zone", "x"), ("__meta_z", "1"), ("empty", "")]).unwrap().unwrap();
        assert_eq!(target.url, "http://a:9100/metrics");
        assert_eq!(target.labels.to_string(), r#"{instance="a:9100",job="node",zone="x"}"#);
        assert_eq!(
            target.discovered.to_string(),
            r#"{__address__="a:9100",__meta_z="1",__metrics_path__="/metrics",__scheme__="http",__scrape_interval__="15s",__scrape_timeout__="10s",job="node",zone="x"}"#
        );
    }

    #[test]
    fn relabelling_says_where_and_how_it_is_asked() {
        let spec = json!({
            "params": {"module": ["http_2xx", "second"], "more": ["a b"]}, "metrics_path": "/probe",
            "relabel_configs": [
                {"source_labels": [ADDRESS], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": ADDRESS, "replacement": "exporter:9115"},
                {"target_label": "__scheme__", "replacement": "https"},
                {"target_label": "__scrape_interval__", "replacement": "1m30s"},
                {"source_labels": ["__meta_skip"], "regex": "yes", "action": "drop"},
            ],
        });
        let target = made(spec.clone(), &[(ADDRESS, "shop.example/x")]).unwrap().unwrap();
        let expected = "https://exporter:9115/probe?module=http_2xx&module=second&more=a+b&target=shop.example%2Fx";
        assert_eq!((target.url.as_str(), target.interval), (expected, Span::from_secs(90)));
        assert_eq!(target.instance(), "shop.example/x");
        let dropped = made(spec, &[(ADDRESS, "a:1"), ("__meta_skip", "yes")]).unwrap().unwrap_err();
        assert_eq!((dropped.get("__meta_skip"), dropped.get("__metrics_path__")), (Some("yes"), Some("/probe")));
    }

    #[test]
    fn what_can_not_be_asked_is_said() {
        let to = |label: &str, value: &str| json!({"relabel_configs": [{"target_label": label, "replacement": value}]});
        for (spec, why) in [
            (to(ADDRESS, ""), "no address"),
            (to(ADDRESS, "a/b"), "not an address"),
            (to("__scheme__", "gopher"), "not a scheme"),
            (to("__scrape_interval__", "soon"), "not a duration"),
            (to("__scrape_interval__", "1s"), "longer than its interval"),
        ] {
            let refused = made(spec, &[(ADDRESS, "a:1")]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
