//! Rules in Prometheus's format: in the daemon, and on the command line.

use crate::harness::{Setup, eventually};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

const RULES: &str = r#"
groups:
  - name: probes
    interval: 1s
    rules:
      - record: probes:success:max
        expr: max(probe_success)
      - alert: ProbeAnswers
        expr: probes:success:max >= 0
        labels: {severity: info}
        annotations: {summary: "answers with {{ $value }}"}
"#;

#[tokio::test]
async fn a_rule_file_of_prometheus_records_and_alerts_as_it_stands() {
    let setup = Setup::new();
    std::fs::create_dir_all(setup.config_dir().join("rules")).unwrap();
    std::fs::write(setup.config_dir().join("rules/probes.yml"), RULES).unwrap();
    let daemon = setup.start().await;
    eventually("the recorded series", SOON, async || daemon.latest("metric=probes:success:max").await).await;
    let alert = eventually("the alert", SOON, async || {
        let alerts = daemon.items("/api/v1/alerts").await;
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "ProbeAnswers" && alert["state"] == "firing")
    })
    .await;
    assert_eq!(alert["severity"], "info", "{alert:#}");
    assert!(alert["annotations"]["summary"].as_str().unwrap().starts_with("answers with "), "{alert:#}");
}

#[test]
fn promtools_checks_and_unit_tests_run_from_the_command_line_and_tell_by_their_end() {
    let setup = Setup::new();
    let file = |name: &str| format!("{}/../engines/tests/rules/{name}", env!("CARGO_MANIFEST_DIR"));
    for (arguments, passes) in [
        (["rules", "check", &file("alerts.yml")], true),
        (["rules", "test", &file("alerts_test.yml")], true),
        (["rules", "test", &file("wrong_test.yml")], false),
        (["rules", "check", &file("wrong_test.yml")], false),
    ] {
        let ended = setup.run(&arguments);
        let said = [&ended.stdout[..], &ended.stderr[..]].concat();
        assert_eq!(ended.status.success(), passes, "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
