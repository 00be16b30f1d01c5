//! From OpenTelemetry's names to Prometheus's, as Prometheus's OTLP endpoint has them unless told otherwise.

use super::model::Attribute;
use std::collections::BTreeMap;

/// The metric's name, with its unit and what its kind adds. `kind`: in Prometheus's words.
pub(super) fn metric(name: &str, unit: &str, kind: &str) -> String {
    let mut words: Vec<&str> = name.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).collect();
    words.retain(|word| !word.is_empty());
    let (main, per) = unit.split_once('/').map_or((unit, None), |(main, per)| (main, Some(per)));
    let unit_words = [of_unit(main, MAIN), per.and_then(|per| of_unit(per, PER))];
    let [main, per] = &unit_words;
    if let Some(main) = main.as_deref().filter(|main| !words.contains(main)) {
        words.push(main);
    }
    if let Some(per) = per.as_deref().filter(|per| !words.contains(per)) {
        words.extend(["per", per]);
    }
    let last = match kind {
        "counter" => Some("total"),
        "gauge" if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let name = words.join("_");
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

const MAIN: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER: &[(&str, &str)] =
    &[("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// A unit in words. Annotations, in braces, are none.
fn of_unit(unit: &str, known: &[(&str, &str)]) -> Option<String> {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return None;
    }
    let word = known.iter().find(|(short, _)| *short == unit).map_or(unit, |(_, word)| word);
    let words: Vec<&str> = word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    Some(words.join("_")).filter(|word| !word.is_empty())
}

/// Attributes as labels. Where two become one label, their values stand beside each other.
pub(super) fn labels(attributes: &[Attribute]) -> BTreeMap<String, String> {
    let mut sorted: Vec<&Attribute> = attributes.iter().filter(|attribute| !attribute.key.is_empty()).collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for Attribute { key, value } in sorted {
        labels
            .entry(label(key))
            .and_modify(|known| {
                known.push(';');
                known.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    labels
}

fn label(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let fitting: String = name.chars().map(fits).collect();
    if fitting.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{fitting}") } else { fitting }
}

const NAMESPACE: &str = "service.namespace";
const NAME: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// `job` and `instance`, as far as the resource says them.
pub(super) fn target(resource: &[Attribute]) -> BTreeMap<String, String> {
    let said =
        |key: &str| resource.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.value.as_str());
    let job = match (said(NAMESPACE), said(NAME)) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (None, Some(name)) => Some(name.to_owned()),
        _ => None,
    };
    let instance = said(INSTANCE).map(str::to_owned);
    let pairs = [("job", job), ("instance", instance)].into_iter();
    pairs.filter_map(|(label, value)| Some((label.to_owned(), value.filter(|value| !value.is_empty())?))).collect()
}

/// The labels of `target_info`, beside those of the target.
pub(super) fn info(resource: &[Attribute]) -> BTreeMap<String, String> {
    let mut labels = labels(resource);
    for known in [NAMESPACE, NAME, INSTANCE] {
        labels.remove(&label(known));
    }
    labels.remove("job");
    labels.remove("instance");
    labels
}

/// A bound or a quantile, as Prometheus writes it.
pub(super) fn number(value: f64) -> String {
    match value {
        infinite if infinite == f64::INFINITY => "+Inf".to_owned(),
        infinite if infinite == f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, unit: &str, kind: &str, expected: &str) {
        assert_eq!(metric(name, unit, kind), expected);
    }

    #[test]
    fn names_are_those_that_prometheus_makes() {
        check("system.cpu.time", "s", "counter", "system_cpu_time_seconds_total");
        check("http.server.duration", "ms", "histogram", "http_server_duration_milliseconds");
        check("system.filesystem.usage", "By", "gauge", "system_filesystem_usage_bytes");
        check("system.network.io", "By/s", "gauge", "system_network_io_bytes_per_second");
        check("system.cpu.utilization", "1", "gauge", "system_cpu_utilization_ratio");
        check("requests_total", "{request}", "counter", "requests_total");
        check("total.requests", "1", "counter", "requests_total");
        check("disk_bytes", "By", "gauge", "disk_bytes");
        check("2xx", "", "counter", "_2xx_total");
        check("a:b", "%", "gauge", "a:b_percent");
        check("broken", "m3/h", "gauge", "broken_m3_per_hour");
    }

    #[test]
    fn attributes_that_become_one_label_share_it() {
        let attribute = |key: &str, value: &str| Attribute { key: key.to_owned(), value: value.to_owned() };
        let found = labels(&[attribute("a.b", "1"), attribute("a_b", "2"), attribute("1st", "x"), attribute("", "y")]);
        let expected = [("a_b", "1;2"), ("key_1st", "x")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn bounds_are_written_without_exponents() {
        assert_eq!(number(0.005), "0.005");
        assert_eq!(number(10.0), "10");
        assert_eq!(number(1e9), "1000000000");
    }
}
