//! What the author of a plugin does, as a newcomer would: with the command line alone, in a folder outside of this repository.

use crate::harness::guest::{bundled, install, sha256, variant};
use crate::harness::{Setup, eventually};
use crate::languages::follow;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

const KINDS: [&str; 9] = [
    "collector",
    "detector",
    "scanner-rule",
    "correlator",
    "notifier",
    "deployment-strategy",
    "deployment-target",
    "runbook-action",
    "sla-calculator",
];

/// Whoever has cargo at work in the folder that the authors share: while it runs tests of documentation it does not lock it itself.
pub(crate) static AT_WORK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What cargo makes is kept beside what is built for the other tests, so that the SDK is compiled once.
pub(crate) fn author() -> Setup {
    let target = Path::new(env!("CARGO_BIN_EXE_quarterdeck")).parent().unwrap().join("authored");
    let mut setup = Setup::new();
    setup.variables.push(("CARGO_TARGET_DIR".to_owned(), target.to_str().unwrap().to_owned()));
    setup
}

/// A plugin of that kind, with the versions of dependencies that this repository was tested with.
fn new(setup: &Setup, name: &str, kind: &str) -> PathBuf {
    let folder = setup.folder.path().join(name);
    let made = setup.run(&["plugin", "new", name, "--kind", kind, "--folder", folder.to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    std::fs::copy(lock, folder.join("Cargo.lock")).unwrap();
    folder
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// The steps of the guide, as they stand there.
#[tokio::test]
async fn a_newcomers_plugin_is_tested_checked_called_and_put_to_use() {
    let _turn = AT_WORK.lock().await;
    let guide = "sdk/rust/README.md";
    let setup = author();
    let desk = setup.folder.path().join("desk");
    std::fs::create_dir(&desk).unwrap();
    let target = setup.variables.iter().find(|(name, _)| name == "CARGO_TARGET_DIR").unwrap().1.clone() + "/";
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock").canonicalize().unwrap();
    // With the versions of dependencies that this repository was tested with, and what cargo makes where the other tests have it.
    let test = "quarterdeck plugin test wave ";
    let with_lock = format!("cp {} wave/Cargo.lock\n{test}", lock.display());
    let places = [("wave/target/", target.as_str()), (test, with_lock.as_str())];
    let told = follow(&setup, guide, "first plugin", &desk, &places);
    assert!(told.matches("1 passed").count() == 2 && told.contains("collector calls"), "{told}");
    assert!(told.contains("collect") && told.contains("wave_height"), "{told}");

    let component = format!("{target}wasm32-wasip2/release/wave.wasm");
    let called = ["plugin", "run", &component, "--config", r#"{"amplitude": 2}"#, "--input"];
    let called = json_of(&setup.run(&[&called[..], &[r#"{"now": "2026-01-01T00:00:15Z"}"#]].concat()));
    assert_eq!(called["function"], "collect");
    assert_eq!(called["output"]["families"][0]["name"], "wave_height", "{called:#}");
    let refused = setup.run(&["plugin", "run", &component, "--config", r#"{"amplitud": 2}"#]);
    assert!(!refused.status.success() && said(&refused).contains("amplitud"), "{}", said(&refused));

    let daemon = setup.start().await;
    let told = follow(&daemon.setup, guide, "put to use", &desk, &places);
    assert!(told.contains("wave 0.1.0 is in use"), "{told}");
    eventually("its figure", SOON, async || daemon.latest("metric=wave_height").await).await;
    let instance = daemon.get("/api/v1/instances/wave/first").await;
    assert_eq!((&instance["state"], &instance["spec"]["config"]), (&json!("active"), &json!({"amplitude": 2})));
}

#[tokio::test]
async fn every_kind_has_a_template_whose_tests_pass_and_whose_component_passes_the_check() {
    let _turn = AT_WORK.lock().await;
    let setup = author();
    for kind in KINDS {
        let name = format!("my-{kind}");
        let folder = new(&setup, &name, kind);
        let given: &[&str] = match kind {
            "notifier" => &["--config", r#"{"url": "https://quarterdeck.invalid/"}"#],
            _ => &[],
        };
        let tested = setup.run(&[&["plugin", "test", folder.to_str().unwrap(), "--json"], given].concat());
        assert!(tested.status.success(), "{kind}: {}", said(&tested));
        let report = json_of(&tested);
        assert_eq!(report["plugin"]["kinds"], json!([kind]));
        let findings = report["findings"].as_array().unwrap();
        let poor: Vec<&Value> = findings.iter().filter(|finding| finding["verdict"] != "passed").collect();
        assert!(poor.is_empty(), "{kind}: {poor:#?}");
        if kind == "collector" {
            let built = json_of(&setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]));
            let bytes = std::fs::metadata(built["component"].as_str().unwrap()).unwrap().len();
            assert!(bytes < 80_000, "the smallest collector has {bytes} bytes");
        }
        assert!(findings.iter().any(|finding| finding["check"] == format!("{kind} calls")), "{kind}: {findings:#?}");
        // Each limit was run into, by a probe under the limits of these calls.
        let hold = findings.iter().find(|finding| finding["check"] == "limits hold").unwrap();
        let how = hold["detail"].as_str().unwrap();
        for stopped in [
            "a loop after",
            "an allocation at 67108864 bytes",
            "a recursion by its stack",
            "a text of more than 4194304 bytes",
            "after 10000 host calls",
            "its lines after 100 of them",
            "its values at 1048576 bytes of them",
            "the last of 9 calls by the 8 before it",
        ] {
            assert!(how.contains(stopped), "{kind}: {how}");
        }
    }
}

#[tokio::test]
async fn the_check_says_what_is_wrong_with_a_component() {
    let setup = author();
    let file = setup.folder.path().join("hostile.wasm");
    std::fs::write(&file, crate::harness::guest::build("hostile")).unwrap();
    let loops = json!({"behaviour": "loop"}).to_string();
    for (bytes, config, expected) in
        [(b"not wasm".to_vec(), "{}", "loads"), (std::fs::read(&file).unwrap(), loops.as_str(), "collector calls")]
    {
        std::fs::write(&file, bytes).unwrap();
        let checked = setup.run(&["plugin", "check", file.to_str().unwrap(), "--config", config, "--json"]);
        assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
        let report = json_of(&checked);
        let failed: Vec<&Value> =
            report["findings"].as_array().unwrap().iter().filter(|f| f["verdict"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{report:#}");
        assert_eq!(failed[0]["check"], expected, "{report:#}");
    }
}

/// What the daemon knows of its plugins, and the components that it keeps.
fn known(setup: &Setup) -> (Vec<std::ffi::OsString>, Value) {
    let components = setup.cache_dir().join("components");
    let mut names: Vec<_> = std::fs::read_dir(&components).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    (names, serde_json::from_slice(&std::fs::read(components.join("good.json")).unwrap()).unwrap())
}

#[tokio::test]
async fn a_check_beside_a_daemon_changes_nothing_of_what_that_knows_and_spares_no_version_its_probation() {
    let [first, second] = [92, 93].map(|number| variant(&bundled("threshold"), number));
    // The daemon's rules prove nothing meanwhile, so that whatever is proven was proven by the check.
    let daemon = Setup::new().own_cache().config("[runtime]\nprobation-calls = 1000000\n").start().await;
    install(&daemon.setup.plugins_dir(), "threshold.wasm", &first);
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(daemon.get("/api/v1/plugins/threshold").await["digest"], sha256(&first));
    let before = known(&daemon.setup);
    assert_eq!(before.1["files"]["threshold.wasm"]["digest"], sha256(&first), "{before:?}");

    let file = daemon.setup.folder.path().join("second.wasm");
    std::fs::write(&file, &second).unwrap();
    let (file, desk) = (file.to_str().unwrap(), daemon.setup.folder.path().join("desk"));
    std::fs::create_dir(&desk).unwrap();
    let input = r#"{"now": "2026-01-01T00:00:00Z", "series": [], "config": {"raise": 90}}"#;
    for arguments in
        [["plugin", "check", file, "--config", r#"{"raise": 90}"#], ["plugin", "run", file, "--input", input]]
    {
        let done = daemon.setup.command(&arguments).env("QUARTERDECK_CONFIG_DIR", &desk).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    }
    assert_eq!(known(&daemon.setup), before);

    install(&daemon.setup.plugins_dir(), "threshold.wasm", &second);
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    let plugin = daemon.get("/api/v1/plugins/threshold").await;
    assert_eq!((&plugin["digest"], &plugin["state"]), (&json!(sha256(&second)), &json!("probation")), "{plugin:#}");
}

/// Folders that are left in the place for temporary ones.
fn left(temporary: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn an_interrupted_check_leaves_nothing_behind_and_one_that_could_not_be_made_is_no_verdict() {
    let setup = author();
    let file = setup.folder.path().join("hostile.wasm");
    std::fs::write(&file, crate::harness::guest::build("hostile")).unwrap();
    let temporary = setup.folder.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let arguments = ["plugin", "check", file.to_str().unwrap(), "--config", r#"{"behaviour": "loop"}"#];
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        // A loop is ended after seconds, for each of the inputs.
        let mut command = setup.command(&arguments);
        let mut child = command.env("TMPDIR", &temporary).stdout(std::process::Stdio::null()).spawn().unwrap();
        let host = eventually("a host at work", SOON, async || {
            let folder = left(&temporary).pop()?;
            let kept = std::fs::read_dir(folder.join("cache/components")).ok()?;
            let is_loaded = kept.flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "wasm"));
            is_loaded.then_some(folder)
        })
        .await;
        assert!(host.file_name().unwrap().to_str().unwrap().starts_with("quarterdeck-scratch-"), "{host:?}");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(left(&temporary), Vec::<PathBuf>::new());
    }
    let nowhere = temporary.join("nowhere");
    let checked = setup.command(&arguments).env("TMPDIR", &nowhere).output().unwrap();
    assert_eq!(checked.status.code(), Some(2), "{}", said(&checked));
    assert!(said(&checked).contains("was not checked") && !said(&checked).contains("trusted"), "{}", said(&checked));
    let absent = setup.run(&["plugin", "check", nowhere.to_str().unwrap(), "--json"]);
    assert_eq!(absent.status.code(), Some(2), "{}", said(&absent));
}

/// A rule brings what `threshold` can't do without, so that its defaults alone refuse every input.
#[test]
fn a_check_whose_every_input_is_refused_says_that_it_has_shown_little() {
    let setup = author();
    let file = setup.folder.path().join("threshold.wasm");
    std::fs::write(&file, crate::harness::guest::bundled("threshold")).unwrap();
    let finding = |more: &[&str]| {
        let checked = setup.run(&[&["plugin", "check", file.to_str().unwrap(), "--json"], more].concat());
        assert!(checked.status.success(), "a warning is no failure: {}", said(&checked));
        let report = json_of(&checked);
        let findings = report["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["check"] == "detector calls").unwrap()
    };
    let alone = finding(&[]);
    assert_eq!(alone["verdict"], "warning", "{alone:#}");
    let detail = alone["detail"].as_str().unwrap();
    assert!(detail.contains("every one of them refused") && detail.contains("--config"), "{detail}");
    let configured = finding(&["--config", r#"{"raise": 90}"#]);
    assert_eq!(configured["verdict"], "passed", "{configured:#}");
}

/// Grants of an unsigned file are pinned to its digest.
#[tokio::test]
async fn a_newer_content_waits_for_its_grant_while_the_granted_one_runs_on() {
    let setup = Setup::new()
        .config("[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"200ms\"\ngrants = { kv = true }\n");
    let first = crate::harness::guest::build("outside");
    let second = crate::harness::guest::variant(&first, 2);
    let (first_digest, second_digest) = (sha256(&first), sha256(&second));
    install(&setup.plugins_dir(), "outside.wasm", &first);
    let daemon = setup.start().await;
    let instance = async || daemon.get("/api/v1/instances/outside/all").await;
    let waiting = async |digest: &str| {
        eventually("a version that waits", SOON, async || {
            let instance = instance().await;
            (instance["awaiting"]["plugin"]["digest"] == digest).then_some(instance)
        })
        .await
    };
    assert_eq!(waiting(&first_digest).await["state"], "awaiting-grant");
    let wrong = daemon.command_line(&["plugin", "grant", "outside/all", "--digest", &second_digest]);
    assert!(!wrong.status.success() && said(&wrong).contains(&first_digest), "{}", said(&wrong));
    let granted = daemon.command_line(&["plugin", "grant", "outside/all"]);
    assert!(
        granted.status.success() && said(&granted).contains("asks for kv: must be able to keep"),
        "{}",
        said(&granted)
    );
    let state = instance().await;
    assert_eq!((&state["state"], &state["plugin"]["digest"]), (&json!("active"), &json!(first_digest)), "{state:#}");

    install(&daemon.setup.plugins_dir(), "outside.wasm", &second);
    let state = waiting(&second_digest).await;
    assert_eq!((&state["state"], &state["plugin"]["digest"]), (&json!("active"), &json!(first_digest)), "{state:#}");
    // Over a restart, too.
    let daemon = daemon.kill().start().await;
    let state = daemon.get("/api/v1/instances/outside/all").await;
    assert_eq!((&state["state"], &state["plugin"]["digest"]), (&json!("active"), &json!(first_digest)), "{state:#}");
    let granted = daemon.command_line(&["plugin", "grant", "outside/all", "--digest", &second_digest]);
    assert!(granted.status.success(), "{}", said(&granted));
    let state = daemon.get("/api/v1/instances/outside/all").await;
    assert_eq!((&state["awaiting"], &state["plugin"]["digest"]), (&Value::Null, &json!(second_digest)), "{state:#}");

    let revoked = daemon.command_line(&["plugin", "revoke", "outside/all"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    assert_eq!(daemon.get("/api/v1/instances/outside/all").await["state"], "awaiting-grant");
}
