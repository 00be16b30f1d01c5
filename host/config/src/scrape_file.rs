//! Scrape configurations in Prometheus's format: what its `scrape_config_files` name, files of `scrape_configs`.
//!
//! Prometheus takes any single value for text where it wants one: `port: 9100` is fine as a label. So these files are read with every
//! value as the text that it is written as, and only what is a number or a switch is made one. What Prometheus has and this has not is
//! refused by name: a key that is silently passed over would be a target that nobody misses.

use crate::place::push;
use crate::problem::Problem;
use crate::tree::{Kind, Node};
use serde_json::Value;
use std::path::Path;

/// The section of the jobs, and their folder.
pub(crate) const SECTION: &str = "scrape";
const LIST: &str = "scrape_configs";

const NUMBERS: [&str; 6] =
    ["sample_limit", "label_limit", "label_name_length_limit", "label_value_length_limit", "modulus", "port"];
const SWITCHES: [&str; 5] = ["honor_labels", "honor_timestamps", "follow_redirects", "insecure_skip_verify", "enabled"];
const PATHS: [&str; 5] = ["password_file", "credentials_file", "ca_file", "cert_file", "key_file"];

/// Keys of Prometheus, and what to do instead.
const UNSUPPORTED: [(&str, &str); 28] = [
    ("oauth2", "put a proxy in front that has the token"),
    ("bearer_token", "write the token to a file and name it as `authorization.credentials_file`"),
    ("bearer_token_file", "name the file as `authorization.credentials_file`"),
    ("password", "write it to a file and name it as `password_file`: a configuration holds no secrets"),
    ("username_file", "write it here as `username`"),
    ("credentials", "write them to a file and name it as `credentials_file`: a configuration holds no secrets"),
    ("ca", "write it to a file and name it as `ca_file`"),
    ("cert", "write it to a file and name it as `cert_file`"),
    ("key", "write it to a file and name it as `key_file`"),
    ("server_name", "ask the target by the name that its certificate has"),
    ("min_version", "leave it out; TLS 1.2 and 1.3 are spoken"),
    ("max_version", "leave it out; TLS 1.2 and 1.3 are spoken"),
    ("proxy_url", "targets are asked directly"),
    ("no_proxy", "targets are asked directly"),
    ("proxy_from_environment", "targets are asked directly"),
    ("proxy_connect_header", "targets are asked directly"),
    ("http_headers", "leave it out"),
    ("enable_http2", "leave it out; HTTP/1.1 is spoken"),
    ("enable_compression", "leave it out; pages are asked for with gzip"),
    ("scrape_protocols", "leave it out; the text format and OpenMetrics are read"),
    ("fallback_scrape_protocol", "leave it out; what does not say its format is read as the text format"),
    ("scrape_classic_histograms", "leave it out; classic histograms are always scraped"),
    ("always_scrape_classic_histograms", "leave it out; classic histograms are always scraped"),
    ("convert_classic_histograms_to_nhcb", "leave it out; there are no native histograms"),
    ("native_histogram_bucket_limit", "leave it out; there are no native histograms"),
    ("target_limit", "limit what the discovery finds"),
    ("keep_dropped_targets", "leave it out; dropped targets are shown"),
    ("track_timestamps_staleness", "leave it out; series with times of their own are not marked as ended"),
];

/// Whether a file of the folder holds Prometheus's form.
pub(crate) fn is_one(root: &Node) -> bool {
    root.get(LIST).is_some()
}

/// Whether it is a file of targets, which is for the discovery.
pub(crate) fn is_of_targets(root: &Node) -> bool {
    matches!(root.kind, Kind::List(_))
}

/// The jobs of a file that was read as texts, by name. Paths in it are relative to its folder.
pub(crate) fn jobs(folder: &Path, root: Node, problems: &mut Vec<Problem>) -> Vec<(String, Node)> {
    let Kind::Table(mut entries) = root.kind else { return Vec::new() };
    let list = entries.remove(LIST);
    for (other, node) in entries {
        let problem = Problem::at(&node.key, &push("", &other), "unknown key");
        problems.push(problem.hint(format!("a file of scrape configurations holds `{LIST}` only")));
    }
    let list = match list.map(|list| (list.place, list.kind)) {
        Some((_, Kind::List(list))) => list,
        Some((_, Kind::Scalar(Value::Null))) | None => Vec::new(),
        Some((place, _)) => {
            problems.push(Problem::at(&place, &push("", LIST), "expected a list of scrape configurations"));
            Vec::new()
        }
    };
    let mut jobs: Vec<(String, Node)> = Vec::new();
    for (index, mut node) in list.into_iter().enumerate() {
        let pointer = format!("/{LIST}/{index}");
        let named = node.get("job_name").and_then(|name| Some((name.text()?.to_owned(), name.place.clone())));
        let Some((name, place)) = named.filter(|(name, _)| !name.is_empty()) else {
            problems.push(Problem::at(&node.place, &push(&pointer, "job_name"), "missing; expected the job's name"));
            continue;
        };
        if let Some((_, first)) = jobs.iter().find(|(other, _)| *other == name) {
            let problem = Problem::at(&place, &push(&pointer, "job_name"), format!("another job is called `{name}`"));
            problems.push(problem.hint(format!("the first one is at {}", first.key)));
            continue;
        }
        adapt(&mut node, folder);
        node.key = place;
        jobs.push((name, node));
    }
    jobs
}

/// What to do instead of a key that Prometheus has, and this has not. `pointer`: of the table that it stands in.
pub(crate) fn unsupported(pointer: &str, key: &str) -> Option<&'static str> {
    if !pointer.starts_with(&push("", SECTION)) {
        return None;
    }
    if key.ends_with("_sd_configs") {
        return Some("let something write the targets to a file that `file_sd_configs` names");
    }
    UNSUPPORTED.iter().find(|(known, _)| *known == key).map(|(_, hint)| *hint)
}

/// Numbers, switches, words in any case, and paths that say where they lead; what is empty is left out.
fn adapt(node: &mut Node, folder: &Path) {
    match &mut node.kind {
        Kind::Table(entries) => {
            entries.retain(|_, inner| inner.kind != Kind::Scalar(Value::Null));
            for (key, inner) in entries.iter_mut() {
                let text = inner.text().map(str::to_owned);
                match (key.as_str(), text) {
                    ("labels" | "params", _) => {}
                    ("files", _) => {
                        if let Kind::List(files) = &mut inner.kind {
                            files.iter_mut().for_each(|file| anchor(file, folder));
                        }
                    }
                    (key, Some(text)) if NUMBERS.contains(&key) => {
                        if let Ok(number) = text.parse::<u64>() {
                            inner.kind = Kind::Scalar(Value::from(number));
                        }
                    }
                    (key, Some(text)) if SWITCHES.contains(&key) => {
                        if let Ok(switch) = text.parse::<bool>() {
                            inner.kind = Kind::Scalar(Value::from(switch));
                        }
                    }
                    // Prometheus reads `Drop` as `drop`.
                    ("action", Some(text)) => inner.kind = Kind::Scalar(Value::String(text.to_lowercase())),
                    (key, Some(_)) if PATHS.contains(&key) => anchor(inner, folder),
                    _ => adapt(inner, folder),
                }
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| adapt(item, folder)),
        Kind::Scalar(_) => {}
    }
}

/// The folder may be named relative to the working directory, whatever that is when the path is used.
fn anchor(node: &mut Node, folder: &Path) {
    let Some(text) = node.text().filter(|text| !text.is_empty() && Path::new(text).is_relative()) else { return };
    let path = folder.join(text);
    let path = std::path::absolute(&path).unwrap_or(path);
    node.kind = Kind::Scalar(Value::String(path.display().to_string()));
}
