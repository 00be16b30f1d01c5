//! A rolling deployment over processes of the host behind a real HAProxy: batch by batch, without a failed answer.

use crate::harness::web::{self, Services, deploy, free_port, free_slots, start_haproxy};
use crate::harness::{Setup, counterpart};
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
