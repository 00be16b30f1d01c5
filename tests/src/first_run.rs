//! What a new user sees soon after the start, with no set-up and nothing compiled. How soon is told, not judged.

mod figures;

use crate::harness::counterpart::say;
use crate::harness::{Daemon, Setup, eventually};
use figures::FIGURES;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The sensors that the kernel has: what the daemon is to find too.
fn sensors() -> usize {
    let hwmon = std::fs::read_dir("/sys/class/hwmon").into_iter().flatten().flatten();
    let inputs = hwmon.flat_map(|chip| std::fs::read_dir(chip.path()).into_iter().flatten().flatten());
    let readable = |file: &std::path::Path| {
        std::fs::read_to_string(file).is_ok_and(|text| text.trim().parse::<i64>().is_ok_and(|degrees| degrees > 0))
    };
    let named = inputs.filter(|input| {
        let name = input.file_name().into_string().unwrap();
        name.starts_with("temp") && name.ends_with("_input") && readable(&input.path())
    });
    named.count()
}

/// What `df` says of the root: how full it is, in percent, rounded up.
fn df() -> f64 {
    let output = std::process::Command::new("df").args(["--output=pcent", "/"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().trim().trim_end_matches('%').parse().unwrap()
}

/// The machine on which this runs may be busy with anything: the time is told, and judged by who reads it.
#[tokio::test]
async fn after_a_start_with_an_empty_cache_real_figures_are_there_with_no_set_up() {
    let setup = Setup::new();
    let cache = setup.folder.path().join("empty-cache");
    let begin = Instant::now();
    let daemon = setup.variable("QUARTERDECK_CACHE_DIR", cache.to_str().unwrap()).start().await;
    let ready = begin.elapsed();
    let within = Duration::from_secs(60);
    for metric in FIGURES {
        eventually(metric, within, async || daemon.latest(&format!("metric={metric}")).await).await;
    }
    let figures = begin.elapsed();
    for slo in ["self-availability", "self-latency-p95"] {
        let found = eventually(slo, within, async || {
            daemon.items("/api/v1/slos").await.into_iter().find(|found| found["name"] == slo && found["state"] == "met")
        })
        .await;
        assert!(found["attainment"]["adjusted"]["total"].as_f64().unwrap() >= 1.0);
    }
    let objectives = begin.elapsed();
    let scan = first_scan(&daemon).await;
    assert_eq!(scan["state"], "succeeded", "{scan:#}");
    assert_eq!(scan["urls"], 1, "the page of the host itself: {scan:#}");
    say(&format!(
        "MEASURED: after a start with an empty cache ready after {ready:.1?}, all figures after {figures:.1?}, \
         both objectives after {objectives:.1?}, the default scan after {:.1?} (bound: 10 s on two free cores)",
        begin.elapsed()
    ));
    let latest = async |query: &str| daemon.latest(query).await.unwrap();
    let series = async |metric: &str| daemon.items(&format!("/api/v1/metrics/latest?metric={metric}")).await;
    assert_eq!(series("cpu_core_usage_percent").await.len(), std::thread::available_parallelism().unwrap().get());
    let memory = latest("metric=memory_total_bytes").await;
    let kernel: f64 = std::fs::read_to_string("/proc/meminfo")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap()
        * 1024.0;
    assert!((memory / kernel - 1.0).abs() < 0.01, "{memory} bytes, but the kernel says {kernel}");
    let swap = latest("metric=swap_total_bytes").await;
    assert!(swap >= 0.0);
    for metric in ["disk_used_percent", "cpu_usage_percent", "memory_used_percent"] {
        for sample in series(metric).await {
            assert!((0.0..=100.0).contains(&sample["value"].as_f64().unwrap()), "{sample}");
        }
    }
    let disks = series("disk_used_percent").await;
    assert!(disks.iter().all(|sample| sample["labels"]["mount"].is_string()));
    let root = disks.iter().find(|sample| sample["labels"]["mount"] == "/").unwrap()["value"].as_f64().unwrap();
    // Something may be written in between.
    assert!((root.ceil() - df()).abs() <= 2.0, "the root is {root} % full, but {} % by `df`", df());
    assert!(
        series("network_received_bytes_total").await.iter().all(|sample| sample["labels"]["interface"].is_string())
    );
    assert!(series("process_cpu_percent").await.iter().all(|sample| !sample["labels"]["process"].is_null()));
    if sensors() > 0 {
        eventually("temperatures", within, async || daemon.latest("metric=temperature_celsius").await).await;
    } else {
        say("LEFT OUT: temperatures, of which this machine has none");
    }
    assert!(latest("metric=quarterdeck_memory_bytes").await > 1e6, "the host's own health");
    assert_eq!(latest("metric=probe_http_status_code").await, 200.0);
    assert_eq!(latest("metric=probe_body_matches").await, 1.0);
    assert!(latest("metric=probe_duration_seconds").await > 0.0);
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

// The target answers on a thread of its own while the command line waits for the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
    assert!(error.contains("probe_success{"), "names what was measured: {error}");
    assert!(error.contains("} is 0, expected >= 1"), "and the value: {error}");
    assert_eq!(step(&run, "Memory")["state"], "succeeded", "the other steps were still made: {run:#}");
}

#[tokio::test]
async fn the_health_check_names_a_target_that_was_killed_a_moment_ago() {
    let target = crate::harness::receiver::Receiver::start().await;
    let setup = Setup::new().config(&format!(
        "[instances.\"http-probe/self\"]\nevery = \"3s\"\nconfig = {{ url = \"{0}/healthz\" }}\ngrants = {{ http = [\"{0}\"] }}\n",
        target.url()
    ));
    let daemon = setup.start().await;
    eventually("the probe succeeds", Duration::from_secs(30), async || {
        daemon.latest("metric=probe_success").await.filter(|value| *value == 1.0)
    })
    .await;
    drop(target);
    let output = daemon.command_line(&["runbook", "run", "system-health-check", "--json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = step(&run, "Probed target");
    assert_eq!(failed["state"], "failed", "{run:#}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("http-probe/self") && error.contains("} is 0, expected >= 1"), "{error}");
    let quick = daemon.latest("metric=probe_success_duration_seconds").await;
    assert_eq!(quick, None, "a refusal is no answer that was quick");
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
    // Meanwhile the command line says what it does, and so does the log.
    loop {
        let said = String::from_utf8(setup.run(&["status"]).stderr).unwrap();
        if said.contains("the daemon is starting") && read().contains("compiling ") {
            break;
        }
        assert!(Instant::now() < end, "{said}{}", read());
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
