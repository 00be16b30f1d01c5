//! Scrape configurations in Prometheus's format, in the folder `scrape`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use quarterdeck_config::{Loaded, Problems, Source, export, load};
use quarterdeck_model::Span;
use quarterdeck_model::domain::scrape::{Record, RelabelAction, Scheme};
use std::path::Path;

const NODE: &str = r#"
scrape_configs:
  - job_name: node exporter
    scrape_interval: 30s
    scrape_timeout: 5s
    scheme: https
    honor_labels: true
    params: { module: [http_2xx], n: [1] }
    static_configs:
      - targets: ["a:9100", "b:9100"]
        labels: { rack: 7, on: true }
    file_sd_configs:
      - files: ["targets/*.json", /etc/targets.yml]
    dns_sd_configs:
      - names: [_metrics._tcp.example.com]
      - { names: [example.com], type: A, port: 9100 }
    relabel_configs:
      - { source_labels: [__address__], regex: "(.*):.*", target_label: host }
      - { source_labels: [host], modulus: 4, target_label: shard, action: hashmod }
    metric_relabel_configs:
    sample_limit: 1000
    body_size_limit: 10MB
    basic_auth: { username: me, password_file: secrets/node }
    tls_config: { ca_file: ca.pem, insecure_skip_verify: true }
  - job_name: plain
"#;

fn loaded(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Loaded, Problems>) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let loaded = load(Source { dir: Some(dir.path().to_owned()), ..Source::default() });
    (dir, loaded)
}

#[test]
fn the_jobs_of_a_file_are_taken_as_they_are_and_lists_of_targets_are_left_to_the_discovery() {
    let targets = "- targets: [c:9100]\n";
    let (dir, loaded) = loaded(&[("scrape/node.yml", NODE), ("scrape/targets/c.yml", targets)]);
    let loaded = loaded.unwrap();
    let jobs = &loaded.settings.catalog().scrape;
    assert_eq!(jobs.keys().collect::<Vec<_>>(), ["node exporter", "plain"]);
    let job = &jobs["node exporter"];
    assert_eq!(job.scrape_interval, Some(Span::from_secs(30)));
    assert_eq!(
        (job.scheme, job.honor_labels, job.honor_timestamps, job.sample_limit),
        (Scheme::Https, true, true, 1000)
    );
    assert_eq!(job.params["n"], ["1"], "a number is text here");
    let labels: Vec<_> = job.static_configs[0].labels.iter().collect();
    assert_eq!(labels, [("on", "true"), ("rack", "7")]);
    let here = |path: &str| dir.path().join("scrape").join(path).display().to_string();
    assert_eq!(job.file_sd_configs[0].files, [here("targets/*.json"), "/etc/targets.yml".to_owned()]);
    assert_eq!((job.dns_sd_configs[0].record, job.dns_sd_configs[1].port), (Record::Srv, Some(9100)));
    assert_eq!((job.relabel_configs[1].action, job.relabel_configs[1].modulus), (RelabelAction::HashMod, Some(4)));
    assert_eq!(job.basic_auth.as_ref().unwrap().password_file, Path::new(&here("secrets/node")));
    assert_eq!(job.tls_config.ca_file.as_deref(), Some(Path::new(&here("ca.pem"))));
    assert!(job.tls_config.insecure_skip_verify);
    assert!(loaded.place("/scrape/node exporter/relabel_configs/1/modulus").ends_with("scrape/node.yml:19:43"));
    // What is exported gives the same settings again.
    let again = tempfile::tempdir().unwrap();
    for file in export(&loaded).unwrap() {
        std::fs::write(again.path().join(file.path), file.text).unwrap();
    }
    let again = load(Source { dir: Some(again.path().to_owned()), ..Source::default() }).unwrap();
    assert_eq!(again.settings.scrape, loaded.settings.scrape);
}

#[test]
fn paths_of_a_folder_that_is_named_relatively_are_absolute() {
    let here = std::env::current_dir().unwrap();
    let dir = tempfile::tempdir_in(&here).unwrap();
    std::fs::create_dir(dir.path().join("scrape")).unwrap();
    let text = "scrape_configs:\n  - { job_name: a, file_sd_configs: [{ files: [targets/*.json] }] }\n";
    std::fs::write(dir.path().join("scrape/a.yml"), text).unwrap();
    let named = dir.path().strip_prefix(&here).unwrap().to_owned();
    let loaded = load(Source { dir: Some(named), ..Source::default() }).unwrap();
    let expected = dir.path().join("scrape/targets/*.json").display().to_string();
    assert_eq!(loaded.settings.scrape["a"].file_sd_configs[0].files, [expected]);
}

#[test]
fn the_action_of_a_step_is_read_in_any_case() {
    let text = "scrape_configs:\n  - job_name: a\n    relabel_configs: [{ action: Drop, source_labels: [x] }, { action: LabelKeep, regex: y }]\n";
    let (_dir, loaded) = loaded(&[("scrape/a.yml", text)]);
    let actions: Vec<_> = loaded.unwrap().settings.scrape["a"].relabel_configs.iter().map(|step| step.action).collect();
    assert_eq!(actions, [RelabelAction::Drop, RelabelAction::LabelKeep]);
}

#[test]
fn every_mistake_is_said_at_once_with_its_place_and_what_is_not_supported_by_name() {
    let text = r#"
scrape_configs:
  - job_name: a
    scrape_intervall: 15s
    kubernetes_sd_configs: []
    http_sd_configs: []
    basic_auth: { username: me, password: secret }
    sample_limit: many
    honor_labels: 7
  - job_name: b
    scrape_interval: soon
    relabel_configs: [{ action: explode }]
    oauth2: {}
"#;
    let (_dir, loaded) = loaded(&[("scrape/all.yml", text)]);
    let problems = loaded.unwrap_err().to_string();
    for part in [
        "scrape.a.scrape_intervall: unknown key; hint: did you mean `scrape_interval`?",
        "all.yml:5:5: scrape.a.kubernetes_sd_configs: it is not supported here; hint: let something write",
        "scrape.a.http_sd_configs: it is not supported here",
        "scrape.a.basic_auth.password: it is not supported here; hint: write it to a file",
        "scrape.a.basic_auth.password_file: missing",
        "scrape.a.sample_limit: expected a whole number",
        "scrape.a.honor_labels: expected `true` or `false`",
        "scrape.b.scrape_interval: expected a duration",
        "scrape.b.relabel_configs[0].action: expected one of `replace`",
        "scrape.b.oauth2: it is not supported here",
    ] {
        assert!(problems.contains(part), "{part:?} is not in\n{problems}");
    }
    assert!(!problems.contains("secret;"), "{problems}");
}

#[test]
fn what_is_no_list_of_jobs_with_names_of_their_own_is_refused() {
    let text = "global: {}\nscrape_configs:\n- job_name: a\n- job_name: a\n- scrape_interval: 15s\n";
    let (_dir, loaded) = loaded(&[("scrape/all.yml", text)]);
    let problems = loaded.unwrap_err().to_string();
    for part in [
        "all.yml:1:1: global: unknown key; hint: a file of scrape configurations holds `scrape_configs` only",
        "scrape_configs[1].job_name: another job is called `a`; hint: the first one is at",
        "scrape_configs[2].job_name: missing",
    ] {
        assert!(problems.contains(part), "{part:?} is not in\n{problems}");
    }
}

#[test]
fn limits_of_sources_are_settings() {
    let text = "[ingest]\nsamples-per-second = 1000\n[ingest.sources.shop]\nseries = 5\n";
    let (_dir, loaded) = loaded(&[("quarterdeck.toml", text)]);
    let ingest = loaded.unwrap().settings.catalog().ingest;
    assert_eq!((ingest.rate("shop"), ingest.series_of("shop"), ingest.series_of("other")), (1000, 5, 500_000));
}
