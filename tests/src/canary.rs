//! A canary under real load through a real HAProxy: a good revision is promoted, bad ones are rolled back.

use crate::harness::web::{self, Services, deploy, free_port, free_slots, start_haproxy};
use crate::harness::{Setup, counterpart, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::Duration;

/// wrk's own counts: `(responses, failed)`.
fn wrk_counts(output: &str) -> (u64, u64) {
    let number = |marker: &str| {
        output
            .lines()
            .find(|line| line.contains(marker))
            .and_then(|line| line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<u64>().ok()))
            .unwrap_or(0)
    };
    let socket_errors: u64 = output
        .lines()
        .find(|line| line.contains("Socket errors"))
        .map(|line| line.split_whitespace().filter_map(|word| word.trim_end_matches(',').parse::<u64>().ok()).sum())
        .unwrap_or(0);
    let failed = output
        .lines()
        .find(|line| line.contains("Non-2xx"))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0);
    (number("requests in"), failed + socket_errors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_under_load_promotes_a_good_revision_and_rolls_back_those_that_fail_or_drop_a_fifth() {
    let test = "a_canary_under_load_promotes_a_good_revision_and_rolls_back_those_that_fail_or_drop_a_fifth";
    let (Some(haproxy), Some(wrk), Some(python)) =
        (counterpart::find("haproxy", test), counterpart::find("wrk", test), counterpart::find("python3", test))
    else {
        return;
    };
    let python = web::real(&python);
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, first) = (free_port(), free_slots());
    let service = web::write_service(&folder);
    let _services = Services(service.clone());
    let service_config = "steps = [{ weight = 20, hold-seconds = 2 }, { weight = 50, hold-seconds = 2 }]\n\
         analysis = { max-failure-ratio = 0.05, min-responses = 20 }\n";
    let setup = setup.config(&web::config(&folder, &python, &service, first, "canary", 2, service_config));
    let _haproxy = start_haproxy(&haproxy, &folder, port);
    let daemon = setup.start().await;
    let initial = deploy(&daemon, "good-1").await;
    assert_eq!(initial["state"], "succeeded", "{initial:#}\n{}", daemon.log());

    let url = format!("http://127.0.0.1:{port}/");
    let load = |seconds: u32| {
        let mut command = Command::new(&wrk);
        command.args(["-t", "1", "-c", "4", "-d", &format!("{seconds}s"), &url]).stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || String::from_utf8(command.output().unwrap().stdout).unwrap())
    };
    let running = load(20);
    let good = deploy(&daemon, "good-2").await;
    assert_eq!(good["state"], "succeeded", "{good:#}\n{}", daemon.log());
    let (responses, failed) = wrk_counts(&running.await.unwrap());
    counterpart::say(&format!("good revision: {responses} responses, {failed} failed"));
    assert!(responses > 500, "that was no load: {responses}");
    assert_eq!(failed, 0, "a good deployment fails no request");

    for revision in ["bad-3", "drop-4"] {
        let running = load(20);
        let bad = deploy(&daemon, revision).await;
        assert_eq!(bad["state"], "rolled-back", "{bad:#}\n{}", daemon.log());
        assert!(bad["error"].as_str().unwrap().contains("responses failed"), "the figures are the reason: {bad:#}");
        // It was found out at its first share of the traffic: the second one was never given.
        let moves = bad["moves"].as_array().unwrap();
        let weights: Vec<_> = moves.iter().filter(|made| made["decided"]["move"] == "weight").collect();
        assert_eq!(weights.len(), 1, "{moves:#?}");
        assert_eq!(weights[0]["decided"]["percent"], 20);
        let (responses, failed) = wrk_counts(&running.await.unwrap());
        counterpart::say(&format!(
            "{revision}: {responses} responses to clients, {failed} of them failed ({:.2} %)",
            100.0 * failed as f64 / responses as f64
        ));
        assert!(failed > 0, "the bad revision had traffic");
        // Left alone, a fifth of a fifth would have failed, 4 %.
        assert!((failed as f64) < 0.02 * responses as f64, "{failed} of {responses} failed: it was found out too late");
    }
    let service = daemon
        .items("/api/v1/services")
        .await
        .into_iter()
        .find(|service| service["service"] == "web" || service["name"] == "web");
    assert!(service.unwrap().to_string().contains("good-2"), "the good one is still the stable revision");
    // What went wrong is an incident, and the replicas that are left are watched.
    let incident = eventually("the incident", Duration::from_secs(30), async || {
        let of = |incident: &Value| incident["members"][0]["labels"]["service"] == "web";
        daemon.items("/api/v1/incidents").await.into_iter().find(of)
    })
    .await;
    assert_eq!((&incident["state"], &incident["severity"]), (&json!("open"), &json!("medium")), "{incident:#}");
    let up = eventually("the replicas' series", Duration::from_secs(60), async || {
        let samples = daemon.items("/api/v1/metrics/latest?metric=service_replica_up&label=revision=good-2").await;
        (samples.len() == 2).then_some(samples)
    })
    .await;
    assert!(up.iter().all(|sample| sample["value"] == 1.0 && sample["labels"]["service"] == "web"), "{up:#?}");
    assert!(daemon.latest("metric=service_replica_responses_total&label=revision=good-2").await.unwrap() > 0.0);
    // Answers come from the stable revision again.
    let body = daemon.http().get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(body, "good-2");

    // What runs for an instance is shown, and ends with it.
    let running = async || {
        let processes = daemon.items("/api/v1/processes?instance=haproxy%2Fweb").await;
        processes.into_iter().filter(|process| process["state"] != "exited").collect::<Vec<_>>()
    };
    let processes = running().await;
    assert_eq!(processes.len(), 2, "{processes:#?}");
    assert!(
        processes.iter().all(|process| process["health"] == "healthy" && process["restarts"] == 0),
        "{processes:#?}"
    );
    let table = daemon.command_line(&["process", "list"]);
    assert!(
        String::from_utf8_lossy(&table.stdout).contains("haproxy/web"),
        "{}",
        String::from_utf8_lossy(&table.stdout)
    );
    // But not as long as the service stays: whoever renames its target, or takes back a grant, would cut its clients off.
    let file = folder.join("config/quarterdeck.toml");
    let whole = std::fs::read_to_string(&file).unwrap();
    let grant = format!("process = [{{ program = \"{python}\"");
    for (from, to) in [("haproxy/web", "haproxy/other"), (grant.as_str(), "process = [{ program = \"/bin/false\"")] {
        assert!(whole.contains(from));
        std::fs::write(&file, whole.replace(from, to)).unwrap();
        let (status, refused) = daemon.call(Method::POST, "/api/v1/configuration/reload", Some(&json!({}))).await;
        assert_eq!(status, 422, "{refused:#}");
        let detail = refused["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("service `web` runs 2 processes (haproxy/web/"), "{refused:#}");
        assert!(detail.contains("hint: keep `haproxy/web`"), "{refused:#}");
    }
    let set_aside = daemon.call(Method::DELETE, "/api/v1/configuration/objects/instances/haproxy%2Fweb", None).await;
    assert_eq!(set_aside.0, 422, "{:#}", set_aside.1);
    assert_eq!(running().await, processes);
    std::fs::write(&file, "").unwrap();
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    eventually("the end of its processes", Duration::from_secs(60), async || running().await.is_empty().then_some(()))
        .await;
    for process in processes {
        let stat = format!("/proc/{}/cmdline", process["pid"]);
        let command = std::fs::read_to_string(stat).unwrap_or_default();
        assert!(!command.contains("service.py"), "{process:#} still runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_nobody_asks_anything_pauses_and_whoever_deployed_it_is_told_how_to_go_on() {
    let test = "a_canary_that_nobody_asks_anything_pauses";
    let (Some(haproxy), Some(python)) = (counterpart::find("haproxy", test), counterpart::find("python3", test)) else {
        return;
    };
    let python = web::real(&python);
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, first) = (free_port(), free_slots());
    let service = web::write_service(&folder);
    let _services = Services(service.clone());
    let service_config = "steps = [{ weight = 20, hold-seconds = 1 }]\nanalysis = { inconclusive-limit = 1 }\n";
    let setup = setup.config(&web::config(&folder, &python, &service, first, "canary", 1, service_config));
    let _haproxy = start_haproxy(&haproxy, &folder, port);
    let daemon = setup.start().await;
    let cli = |arguments: &[&str]| {
        let output = daemon.command_line(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, printed, errors) = cli(&["deploy", "web", "good-1"]);
    assert_eq!(code, Some(0), "{printed}{errors}\n{}", daemon.log());
    assert!(printed.contains("  start     ") && printed.ends_with("web good-1: succeeded\n"), "{printed}");

    let (code, printed, errors) = cli(&["deploy", "web", "good-2"]);
    assert_eq!(code, Some(3), "{printed}{errors}\n{}", daemon.log());
    let id = printed.split_whitespace().next().unwrap();
    let ways = format!("go on with `quarterdeck deployment promote {id}`, or `quarterdeck deployment abort {id}`");
    let told = format!("paused: 0 responses, 20 are needed to tell; {ways}\n");
    assert!(printed.ends_with(&told), "{printed}");
    let shown = cli(&["deployment", "show", id]).1;
    assert!(shown.ends_with(&told) && !shown.contains("strategy_state"), "{shown}");
    let listed = cli(&["deployment", "list"]).1;
    assert!(listed.contains("REASON") && listed.contains("20 are needed to tell"), "{listed}");
    let (code, _, errors) = cli(&["deploy", "web", "good-3"]);
    assert!(code == Some(1) && errors.contains(&format!("quarterdeck deployment promote {id}")), "{errors}");
    eventually("word of the pause", Duration::from_secs(30), async || {
        daemon.log().contains("[DEPLOYMENT PAUSED] web good-2").then_some(())
    })
    .await;

    assert_eq!(cli(&["deployment", "abort", id, "--reason", "nobody asks"]).0, Some(0));
    let (code, printed, _) = eventually("the end of it", Duration::from_secs(60), async || {
        let again = cli(&["deploy", "web", "broken-4"]);
        (!again.2.contains("is under way")).then_some(again)
    })
    .await;
    assert_eq!(code, Some(1), "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(last.starts_with("web broken-4: rolled-back: "), "the reason, with no terminal: {printed}");
    let (code, _, errors) = cli(&["deploy", "web", "good-1"]);
    assert!(code == Some(1) && errors.contains("all of its replicas are healthy (1)"), "{errors}");
}
