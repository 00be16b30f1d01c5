//! A rolling deployment over processes of the host behind a real HAProxy: batch by batch, without a failed answer, and to its end
//! however often the host is killed meanwhile.

use crate::harness::at_rest::AtRest;
use crate::harness::web::{self, Services, deploy, free_port, free_slots, start_haproxy};
use crate::harness::{Daemon, Setup, counterpart, eventually};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deployment_replaces_every_replica_without_a_failed_answer_and_one_that_does_not_start_is_taken_back()
{
    let test = "a_rolling_deployment_replaces_every_replica_without_a_failed_answer";
    let (Some(haproxy), Some(python)) = (counterpart::find("haproxy", test), counterpart::find("python3", test)) else {
        return;
    };
    let python = web::real(&python);
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, first) = (free_port(), free_slots());
    let service = web::write_service(&folder);
    let _services = Services(service.clone());
    let setup = setup.config(&web::config(&folder, &python, &service, first, "rolling", 3, "hold-seconds = 1\n"));
    let _haproxy = start_haproxy(&haproxy, &folder, port);
    let daemon = setup.start().await;
    let initial = deploy(&daemon, "good-1").await;
    assert_eq!(initial["state"], "succeeded", "{initial:#}\n{}", daemon.log());

    let url = format!("http://127.0.0.1:{port}/");
    let over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (http, url, over) = (daemon.http().clone(), url.clone(), over.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let answer = http.get(&url).send().await.unwrap();
                answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answers
        })
    };
    let good = deploy(&daemon, "good-2").await;
    let broken = deploy(&daemon, "broken-3").await;
    over.store(true, Ordering::SeqCst);
    let answers = asking.await.unwrap();
    assert_eq!(good["state"], "succeeded", "{good:#}\n{}", daemon.log());
    let started = good["moves"].as_array().unwrap().iter().filter(|step| step["decided"]["move"] == "start").count();
    assert!(started >= 3, "one replica at a time: {:#}", good["moves"]);
    assert_eq!(broken["state"], "rolled-back", "{broken:#}\n{}", daemon.log());
    let failed: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
    assert!(failed.is_empty(), "{} of {} answers failed: {failed:?}", failed.len(), answers.len());
    for revision in ["good-1", "good-2"] {
        assert!(answers.iter().any(|(_, body)| body == revision), "{revision} answered nothing");
    }
    assert_eq!(daemon.http().get(&url).send().await.unwrap().text().await.unwrap(), "good-2");
}

const KILLS: usize = 24;
const DEPLOYMENTS: usize = 3;
const REPLICAS: u32 = 3;
/// Each of them is told to the one recipient.
const TOLD: [&str; 1] = ["deployment.finished"];

/// What a scan finds and misses by turns while services are deployed, and who is told of deployments.
fn beside(notes: &Path) -> String {
    format!(
        "[instances.\"log/default\"]\nplugin = \"log\"\n\
         [instances.\"by-labels/default\"]\nplugin = \"by-labels\"\nconfig = {{ group-by = [\"alertname\"] }}\n\
         [instances.\"secrets/default\"]\nplugin = \"secrets\"\n\
         [scans.notes]\nrules = [\"secrets/default\"]\npaths = [{notes:?}]\nevery = \"200ms\"\n\
         [routes.test]\nevents = {TOLD:?}\nnotify = [\"log/default\"]\n"
    )
}

/// Starts the next deployment, unless one is under way.
async fn keep_deploying(daemon: &Daemon, begun: &mut Vec<String>) {
    if let Some(last) = begun.last() {
        let deployment = daemon.get(&format!("/api/v1/deployments/{last}")).await;
        if deployment["finished_at"].is_null() {
            return;
        }
    }
    let revision = format!("good-{}", begun.len() + 1);
    let started = daemon.post("/api/v1/deployments", &json!({"service": "web", "revision": revision})).await;
    begun.push(started["id"].as_str().unwrap().to_owned());
}

/// Processes of the service, whoever knows of them: by its script in their command line. One that has ended has none.
fn of_service(service: &Path) -> BTreeSet<u64> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        // It may have gone meanwhile.
        let command = std::fs::read(process.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(service.to_str()?).then_some(pid)
    });
    pids.collect()
}

/// Killed at another moment each time, and started again at once. `QUARTERDECK_TESTS_SEED` gives the moments of an earlier run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_deployments_succeed_over_two_dozen_kills_and_leave_the_replicas_wished_and_no_other_process() {
    let test = "rolling_deployments_succeed_over_two_dozen_kills";
    let (Some(haproxy), Some(python)) = (counterpart::find("haproxy", test), counterpart::find("python3", test)) else {
        return;
    };
    let seed = std::env::var("QUARTERDECK_TESTS_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let seed = seed.unwrap_or_else(rand::random);
    counterpart::say(&format!("SEED: {seed} of {test}"));
    let mut random = StdRng::seed_from_u64(seed);
    let python = web::real(&python);
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, first) = (free_port(), free_slots());
    let service = web::write_service(&folder);
    let notes = folder.join("notes");
    std::fs::create_dir(&notes).unwrap();
    let _services = Services(service.clone());
    let config = web::config(&folder, &python, &service, first, "rolling", REPLICAS, "hold-seconds = 0\n");
    // A replica comes up while its host is being killed and other tests run.
    let config = config.replace("start-timeout = \"20s\"", "start-timeout = \"60s\"");
    let setup = setup.config(&format!("built-ins = false\n{config}{}", beside(&notes)));
    let _haproxy = start_haproxy(&haproxy, &folder, port);

    let (mut daemon, mut begun, mut kills) = (setup.start().await, Vec::new(), 0_usize);
    while kills < KILLS || begun.len() < DEPLOYMENTS {
        assert!(kills < 5 * KILLS, "{} deployments in {kills} kills:\n{}", begun.len(), daemon.log());
        keep_deploying(&daemon, &mut begun).await;
        let secret = notes.join("app.env");
        if kills.is_multiple_of(2) {
            // In two parts, so that nobody's scanner finds it here.
            std::fs::write(secret, format!("AWS_ACCESS_KEY_ID={}{}\n", "AKIA", "Q3EGRIK7XN2LWZ5T")).unwrap();
        } else {
            std::fs::remove_file(secret).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(20..1_500))).await;
        let setup = daemon.kill();
        kills += 1;
        // Not each time: the next start is to come at once.
        if kills.is_multiple_of(4) {
            AtRest::of(&setup).check(&TOLD);
        }
        daemon = setup.start().await;
    }
    for id in &begun {
        let deployment = eventually("the end of every deployment", Duration::from_secs(120), async || {
            let deployment = daemon.get(&format!("/api/v1/deployments/{id}")).await;
            deployment["finished_at"].is_string().then_some(deployment)
        })
        .await;
        assert_eq!(deployment["state"], "succeeded", "seed {seed}: {deployment:#}\n{}", daemon.log());
    }
    counterpart::say(&format!("MEASURED: {kills} kills in {} deployments, and all of these succeeded", begun.len()));
    assert_eq!(daemon.all("/api/v1/deployments").await.len(), begun.len(), "seed {seed}");

    let is_up = |process: &Value| process["state"] == "healthy" && process["health"] == "healthy";
    let replicas = eventually("as many healthy replicas as wished", Duration::from_secs(30), async || {
        let processes = daemon.items("/api/v1/processes").await;
        let left: Vec<Value> = processes.into_iter().filter(|process| process["state"] != "exited").collect();
        (left.len() == REPLICAS as usize && left.iter().all(is_up)).then_some(left)
    })
    .await;
    let known: BTreeSet<u64> = replicas.iter().map(|process| process["pid"].as_u64().unwrap()).collect();
    assert_eq!(of_service(&service), known, "seed {seed}: {replicas:#?}\n{}", daemon.log());
    let (http, url, revision) = (daemon.http().clone(), format!("http://127.0.0.1:{port}/"), begun.len());
    for _ in 0..100 {
        let answer = http.get(&url).send().await.unwrap();
        let answered = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(answered, (200, format!("good-{revision}")), "seed {seed}:\n{}", daemon.log());
    }

    let at_rest = AtRest::of(&daemon.kill());
    at_rest.check(&TOLD);
    let count = |event_type: &str| at_rest.of_types(&[event_type]).count();
    assert_eq!(count("deployment.finished"), begun.len(), "seed {seed}");
    assert!(count("finding.opened") >= 2 && count("finding.fixed") >= 2, "seed {seed}: nothing was found and fixed");
}
