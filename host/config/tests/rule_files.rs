//! Rule files in Prometheus's format, in the folder `rules`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use quarterdeck_config::{Source, export, load, rule_file};
use std::path::Path;

const NODE: &str = r#"
groups:
  - name: node alerts
    interval: 1m
    query_offset: 10s
    limit: 5
    labels: { team: infra }
    rules:
      - record: node:load
        expr: 1
        labels: {weight: 1.50, on: true, empty: ~}
      - alert: Down
        expr: up == 0
        for: 0
        keep_firing_for: 5m
        annotations:
          summary: "{{ $labels.instance }} is down"
  - name: empty
    rules:
"#;

#[test]
fn groups_of_a_rule_file_are_taken_as_they_are_beside_our_own_rules() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("rules/node.yml"), NODE).unwrap();
    let own = "detector: threshold/default\nselect: { metric: up }\n";
    std::fs::write(dir.path().join("rules/own.yaml"), own).unwrap();
    let source = || Source { dir: Some(dir.path().to_owned()), ..Source::default() };
    let loaded = load(source()).unwrap();
    assert!(loaded.settings.rules.contains_key("own"));
    let groups = &loaded.settings.catalog().rule_groups;
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["node/empty", "node/node alerts"]);
    let group = &groups["node/node alerts"];
    assert_eq!((group.interval.as_deref(), group.query_offset.as_deref(), group.limit), (Some("1m"), Some("10s"), 5));
    assert_eq!(group.labels.get("team"), Some("infra"));
    assert_eq!(group.rules[0].expr, "1", "a number is a query, too");
    let labels: Vec<_> = group.rules[0].labels.iter().collect();
    assert_eq!(labels, [("on", "true"), ("weight", "1.50")], "labels are the text that was written");
    assert_eq!(group.rules[1].hold.as_deref(), Some("0"));
    assert!(loaded.place("/rule-groups/node~1node alerts/rules/1/expr").ends_with("rules/node.yml:13:15"));
    // What is exported gives the same settings again.
    let again = tempfile::tempdir().unwrap();
    for file in export(&loaded).unwrap() {
        std::fs::write(again.path().join(file.path), file.text).unwrap();
    }
    let again = load(Source { dir: Some(again.path().to_owned()), ..Source::default() }).unwrap();
    assert_eq!(again.settings.rule_groups, loaded.settings.rule_groups);
}

#[test]
fn a_rule_file_alone_keeps_its_order_and_gives_places_to_later_mistakes() {
    let file = rule_file(Path::new("node.yml"), NODE).unwrap();
    let names: Vec<&str> = file.groups.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["node/node alerts", "node/empty"]);
    let problem = file.problem("node/node alerts", "/rules/1/for", "too short");
    assert_eq!(problem.to_string(), "node.yml:14:14: rule-groups.\"node/node alerts\".rules[1].for: too short");
    let problems = rule_file(Path::new("node.yml"), "rules: []").unwrap_err();
    assert!(problems.to_string().starts_with("node.yml:1:1: expected `groups`"), "{problems}");
}
