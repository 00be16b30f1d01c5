//! Who is to blame: the file, the variable or the flag, and what was passed over.

use crate::harness::Setup;
use serde_json::json;
use std::os::unix::fs::symlink;

fn check(setup: &Setup, flags: &[&str]) -> (bool, String) {
    let output = setup.run(&[&["config", "check"][..], flags].concat());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn an_address_that_the_daemon_does_not_listen_on_is_refused_by_a_check_and_a_reload() {
    let public = "listen = \"0.0.0.0:17899\"\n";
    let (good, said) = check(&Setup::new().config(public), &[]);
    assert!(!good && said.contains("quarterdeck.toml:1:10: listen: 0.0.0.0:17899 is not a loopback"), "{said}");
    assert!(said.contains("hint: "), "{said}");
    let (good, said) = check(&Setup::new().variable("QUARTERDECK_LISTEN", "0.0.0.0:1"), &[]);
    assert!(!good && said.starts_with("error: QUARTERDECK_LISTEN: listen: 0.0.0.0:1 is not"), "{said}");
    let (good, said) = check(&Setup::new(), &["--listen", "0.0.0.0:1"]);
    assert!(!good && said.starts_with("error: --listen: listen: 0.0.0.0:1 is not"), "{said}");
    let daemon = Setup::new().start().await;
    // The flag of a daemon under test lies over its files: what they say is never in force, and is no mistake.
    daemon.setup.write("quarterdeck.toml", public);
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
}

#[test]
fn a_mistake_in_a_variable_names_the_variable_and_one_in_a_flag_the_flag() {
    let with = |name: &str, value: &str| check(&Setup::new().variable(name, value), &[]);
    for (name, value, message) in [
        ("QUARTERDECK_LISTEN", "banana", "QUARTERDECK_LISTEN: listen: "),
        ("QUARTERDECK_ENVIRONMENT", "prod", "QUARTERDECK_ENVIRONMENT: there is no environment `prod`"),
        ("QUARTERDECK_ENVIRONMENT", "../x", "QUARTERDECK_ENVIRONMENT: `../x` is no name of an environment"),
        ("QUARTERDECK_CONFIG_DIR", "/nowhere/at/all", "QUARTERDECK_CONFIG_DIR: there is no folder /nowhere/at/all"),
        ("QUARTERDECK_DATA_DIR", "", "the variable QUARTERDECK_DATA_DIR is empty\nhint: "),
        (
            "QUARTERDECK_CONFIG",
            "/etc/q",
            "QUARTERDECK_CONFIG: there is no such setting, and no such variable; hint: did you mean `QUARTERDECK_CONFIG_DIR`?",
        ),
        (
            "QUARTERDECK_TOKEN",
            "x",
            "QUARTERDECK_TOKEN: there is no such setting, and no such variable; hint: did you mean `QUARTERDECK_TOKEN_FILE`?",
        ),
    ] {
        let (good, said) = with(name, value);
        assert!(!good && said.starts_with(&format!("error: {message}")), "{name}={value}: {said}");
    }
    for (flag, value, message) in [
        ("--listen", "banana", "--listen: listen: "),
        ("--environment", "prod", "--environment: there is no environment `prod`"),
        ("--config-dir", "/nowhere/at/all", "--config-dir: there is no folder /nowhere/at/all"),
    ] {
        let (good, said) = check(&Setup::new(), &[flag, value]);
        assert!(!good && said.starts_with(&format!("error: {message}")), "{flag} {value}: {said}");
    }
}

#[test]
fn a_variable_of_very_many_levels_is_refused_in_a_sentence() {
    let name = format!("QUARTERDECK_{}A", "A__".repeat(20_000));
    let (good, said) = check(&Setup::new().variable(&name, "1"), &[]);
    assert!(!good && said.contains("it has 20001 levels, and a setting has 32 at most"), "{said}");
}

#[tokio::test]
async fn files_that_look_meant_are_told_by_a_check_and_by_the_daemon() {
    let setup = Setup::new();
    for file in ["rulez/a.toml", "rules/a.json", "rules/a.TOML", "instances/a/b/c.toml"] {
        setup.write(file, "");
    }
    let (good, said) = check(&setup, &[]);
    assert!(good, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("warning: ")).count(), 4, "{said}");
    assert!(said.contains("rulez:1:1: nothing in this folder is read; hint: did you mean `rules`?"), "{said}");
    let daemon = setup.start().await;
    let warnings = daemon.get("/api/v1/configuration?pointer=/listen").await["warnings"].clone();
    assert!(warnings.to_string().contains("did you mean `rules`?"), "{warnings:#}");
}

#[test]
fn a_main_file_that_is_a_link_to_nowhere_is_a_mistake_wherever_it_stands() {
    let setup = Setup::new();
    symlink("nowhere", setup.config_dir().join("quarterdeck.toml")).unwrap();
    let (good, said) = check(&setup, &[]);
    assert!(!good && said.contains("quarterdeck.toml:1:1: failed to read it"), "{said}");
    let usual = setup.folder.path().join("quarterdeck");
    std::fs::create_dir_all(&usual).unwrap();
    symlink("nowhere", usual.join("quarterdeck.toml")).unwrap();
    let mut command = setup.command(&["config", "check"]);
    let output =
        command.env_remove("QUARTERDECK_CONFIG_DIR").env("XDG_CONFIG_HOME", setup.folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("quarterdeck/quarterdeck.toml:1:1: "), "{said}");
}
