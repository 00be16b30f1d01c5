//! The command line, as people and scripts use it.

use crate::harness::Setup;
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn every_noun_can_be_listed_as_a_table_and_as_json() {
    let daemon = Setup::new().start().await;
    let lists: [&[&str]; 12] = [
        &["plugin", "list"],
        &["instance", "list"],
        &["job", "list"],
        &["metric", "list"],
        &["events", "list"],
        &["alert", "list"],
        &["incident", "list"],
        &["findings"],
        &["deployment", "list"],
        &["runbook", "list"],
        &["runbook", "runs"],
        &["slo", "list"],
    ];
    for arguments in lists {
        let table = daemon.command_line(arguments);
        assert!(table.status.success(), "{arguments:?}: {}", text(&table.stderr));
        assert!(!table.stdout.is_empty(), "{arguments:?}");
        let json = daemon.command_line(&[arguments, &["--json"]].concat());
        let value: Value =
            serde_json::from_slice(&json.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(value.is_array(), "{arguments:?}: {value}");
    }
    let status = daemon.command_line(&["status", "--json"]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    assert!(serde_json::from_slice::<Value>(&status.stdout).unwrap().is_object());
}

#[test]
fn without_a_daemon_the_error_says_how_to_start_one() {
    let setup = Setup::new();
    let output = setup.run(&["status", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("hint: start it with `quarterdeck run`"), "{}", text(&output.stderr));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let setup = Setup::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = setup.run(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("quarterdeck"), "{shell}");
    }
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_is_not_written_over() {
    let setup = Setup::new();
    let folder = setup.folder.path().join("fresh");
    let folder = folder.to_str().unwrap();
    assert!(setup.run(&["init", folder]).status.success());
    let check = setup.run(&["config", "check", "--config-dir", folder]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let again = setup.run(&["init", folder]);
    assert!(!again.status.success() && text(&again.stderr).contains("is there already"));
}

#[tokio::test]
async fn a_change_without_the_token_is_refused_with_a_hint() {
    let daemon = Setup::new().start().await;
    let empty = daemon.setup.folder.path().join("no-token");
    std::fs::write(&empty, "wrong").unwrap();
    let output = daemon.command_line(&["plugin", "reload", "--token-file", empty.to_str().unwrap()]);
    assert!(!output.status.success() && text(&output.stderr).contains("hint:"), "{}", text(&output.stderr));
}
