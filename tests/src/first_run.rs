//! What a new user sees soon after the start, with no set-up and nothing compiled. How soon is the benchmark's to measure.

use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn after_a_start_with_an_empty_cache_real_figures_are_there_with_no_set_up() {
    let setup = Setup::new();
    let cache = setup.folder.path().join("empty-cache");
    let daemon = setup.variable("QUARTERDECK_CACHE_DIR", cache.to_str().unwrap()).start().await;
    let within = Duration::from_secs(60);
    for metric in [
        "cpu_usage_percent",
        "cpu_core_usage_percent",
        "memory_used_percent",
        "swap_total_bytes",
        "load1",
        "disk_used_percent",
        "network_received_bytes_total",
        "process_count",
        "process_cpu_percent",
        "probe_success",
        "probe_duration_seconds",
        "probe_http_status_code",
    ] {
        eventually(metric, within, async || daemon.latest(&format!("metric={metric}")).await).await;
    }
    let cores = daemon.items("/api/v1/metrics/latest?metric=cpu_core_usage_percent").await;
    assert_eq!(cores.len(), std::thread::available_parallelism().unwrap().get());
    let memory = daemon.latest("metric=memory_total_bytes").await.unwrap();
    let kernel: f64 = std::fs::read_to_string("/proc/meminfo")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap()
        * 1024.0;
    assert!((memory / kernel - 1.0).abs() < 0.01, "{memory} bytes, but the kernel says {kernel}");
    for slo in ["self-availability", "self-latency-p95"] {
        let found = eventually(slo, within, async || {
            daemon.items("/api/v1/slos").await.into_iter().find(|found| found["name"] == slo && found["state"] == "met")
        })
        .await;
        assert!(found["attainment"]["adjusted"]["total"].as_f64().unwrap() >= 1.0);
    }
    let scan = eventually("the default scan", within, async || {
        daemon
            .items("/api/v1/scans")
            .await
            .into_iter()
            .find(|scan| scan["name"] == "default" && scan["state"] != "running")
    })
    .await;
    assert_eq!(scan["state"], "succeeded", "{scan:#}");
}

/// The scan that begins by itself.
async fn first_scan(daemon: &Daemon) -> Value {
    eventually("the default scan", Duration::from_secs(60), async || {
        daemon
            .items("/api/v1/scans")
            .await
            .into_iter()
            .find(|scan| scan["name"] == "default" && scan["state"] != "running")
    })
    .await
}

#[tokio::test]
async fn a_secret_in_the_configuration_folder_is_found_and_then_seen_as_fixed() {
    let daemon = Setup::new().start().await;
    first_scan(&daemon).await;
    // Not a real key: the documentation's example with other digits.
    daemon.setup.write("notes.env", &format!("AWS_ACCESS_KEY_ID={}{}\n", "AKIA", "Z7Q4N2M6K5T3R4WJ"));
    let output = daemon.command_line(&["scan", "default", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found =
        value["findings"].as_array().unwrap().iter().find(|f| f["subject"].as_str().unwrap().ends_with("notes.env"));
    let found = found.unwrap_or_else(|| panic!("{value:#}"));
    assert!(!found["message"].as_str().unwrap().contains("Z7Q4N2M6K5T3R4WJ"), "the secret is masked: {found}");
    std::fs::remove_file(daemon.setup.config_dir().join("notes.env")).unwrap();
    let output = daemon.command_line(&["scan", "default", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["scan"]["fixed_findings"], 1, "{value:#}");
}

fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["name"] == name)
        .unwrap_or_else(|| panic!("no step {name}: {run:#}"))
}

#[tokio::test]
async fn the_health_check_passes_and_fails_at_the_named_step_when_the_probed_target_stops() {
    let target = crate::harness::receiver::Receiver::start().await;
    let setup = Setup::new().config(&format!(
        "[instances.\"http-probe/self\"]\nevery = \"200ms\"\nconfig = {{ url = \"{0}/healthz\" }}\ngrants = {{ http = [\"{0}\"] }}\n\
         [instances.\"system/local\"]\nevery = \"500ms\"\n",
        target.url()
    ));
    let daemon = setup.start().await;
    eventually("the probe succeeds", Duration::from_secs(30), async || {
        daemon.latest("metric=probe_success").await.filter(|value| *value == 1.0)
    })
    .await;
    eventually("the machine's figures", Duration::from_secs(30), async || {
        daemon.latest("metric=disk_used_percent").await
    })
    .await;
    let output = daemon.command_line(&["runbook", "run", "system-health-check", "--json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(step(&run, "Probed target")["state"], "succeeded", "{run:#}");
    drop(target);
    eventually("the probe fails", Duration::from_secs(30), async || {
        daemon.latest("metric=probe_success").await.filter(|value| *value == 0.0)
    })
    .await;
    let output = daemon.command_line(&["runbook", "run", "system-health-check", "--json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    let failed = step(&run, "Probed target");
    assert_eq!(failed["state"], "failed", "{run:#}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("probe_success") && error.contains('0'), "names the measured value: {error}");
    assert_eq!(step(&run, "Memory")["state"], "succeeded", "the other steps were still made: {run:#}");
}

#[tokio::test]
async fn a_failed_probe_becomes_an_alert_an_incident_and_a_webhook_and_ends_by_itself() {
    let target = crate::harness::receiver::Receiver::start().await;
    let hook = crate::harness::receiver::Receiver::start().await;
    let setup = Setup::new().config(&format!(
        "[secrets]\nhook = {{ env = \"HOOK_SECRET\" }}\n\
         [instances.\"http-probe/self\"]\nevery = \"100ms\"\nconfig = {{ url = \"{0}/\" }}\ngrants = {{ http = [\"{0}\"] }}\n\
         [instances.\"webhook/test\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{1}/hook\", secret = \"hook\" }}\n\
         grants = {{ http = [\"{1}\"], secret = [\"hook\"] }}\n\
         [rules.probe-failed]\nevery = \"100ms\"\nfor = \"0s\"\n\
         [routes.test]\nevents = [\"alert.\", \"incident.\"]\nnotify = [\"webhook/test\"]\n",
        target.url(),
        hook.url()
    ));
    let daemon = setup.variable("HOOK_SECRET", "s3cret").start().await;
    eventually("the probe succeeds", Duration::from_secs(30), async || {
        daemon.latest("metric=probe_success").await.filter(|value| *value == 1.0)
    })
    .await;
    target.answer(503);
    let events = |wanted: &'static str| {
        let hook = &hook;
        eventually(wanted, Duration::from_secs(30), async move || {
            hook.received().into_iter().find(|received| received.header("quarterdeck-event") == wanted)
        })
    };
    let firing = events("alert.firing").await;
    assert!(!firing.header("idempotency-key").is_empty());
    assert!(firing.header("quarterdeck-signature").contains("v1="), "signed by the host");
    let _: Value = serde_json::from_slice(&firing.body).unwrap();
    events("incident.opened").await;
    let incident = daemon.items("/api/v1/incidents").await.remove(0);
    assert_eq!(incident["state"], "open");
    let id = incident["id"].as_str().unwrap().to_owned();
    daemon.post(&format!("/api/v1/incidents/{id}/acknowledge"), &json!({})).await;
    target.answer(200);
    events("alert.resolved").await;
    events("incident.resolved").await;
    assert_eq!(daemon.get(&format!("/api/v1/incidents/{id}")).await["state"], "resolved");
}

#[test]
fn a_stop_that_comes_while_plugins_are_still_being_compiled_is_a_stop_in_order() {
    let setup = Setup::new();
    let cache = setup.folder.path().join("empty-cache");
    let setup = setup.variable("QUARTERDECK_CACHE_DIR", cache.to_str().unwrap());
    let log = setup.folder.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = setup.command(&["run", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // Before the first plugin.
    while !read().contains("opened the store") {
        assert!(Instant::now() < end, "{}", read());
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("it goes on:\n{}", read());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}:\n{}", read());
}
