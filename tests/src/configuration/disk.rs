//! How files reach the disk: links that are turned to something else, folders that are replaced, what is refused.

use crate::configuration::SOON;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;

fn text(days: u32) -> String {
    format!("built-ins = false\n[storage]\nkeep-events = \"{days}days\"\n")
}

async fn in_force(daemon: &Daemon, days: u32) {
    eventually(&format!("{days} days are in force"), SOON, async || {
        let found = daemon.get("/api/v1/configuration?pointer=/storage/keep-events").await["value"].clone();
        (found == json!(format!("{days}days"))).then_some(())
    })
    .await;
}

/// A folder in which files appear as Kubernetes mounts a map: links to links to a folder that is replaced as a whole.
fn mount(folder: &Path, name: &str, days: u32) {
    std::fs::create_dir_all(folder.join(name)).unwrap();
    std::fs::write(folder.join(name).join("quarterdeck.toml"), text(days)).unwrap();
    symlink(name, folder.join("..new")).unwrap();
    std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_map_that_kubernetes_mounts_anew_is_read_again() {
    let setup = Setup::new();
    let folder = setup.config_dir();
    mount(&folder, "..2024_01", 2);
    symlink("..data/quarterdeck.toml", folder.join("quarterdeck.toml")).unwrap();
    let daemon = setup.start().await;
    in_force(&daemon, 2).await;
    mount(&folder, "..2024_02", 3);
    in_force(&daemon, 3).await;
}

#[tokio::test]
async fn a_file_that_a_link_leads_to_is_read_again_when_it_changes() {
    let setup = Setup::new();
    let elsewhere = setup.folder.path().join("q.toml");
    std::fs::write(&elsewhere, text(2)).unwrap();
    symlink(&elsewhere, setup.config_dir().join("quarterdeck.toml")).unwrap();
    let daemon = setup.start().await;
    std::fs::write(&elsewhere, text(3)).unwrap();
    in_force(&daemon, 3).await;
}

#[tokio::test]
async fn a_folder_that_takes_the_place_of_the_one_that_was_read_is_read_and_watched() {
    let daemon = Setup::new().config(&text(2)).start().await;
    let folder = daemon.setup.config_dir();
    let other = daemon.setup.folder.path().join("config2");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("quarterdeck.toml"), text(3)).unwrap();
    std::fs::rename(&folder, daemon.setup.folder.path().join("config.old")).unwrap();
    std::fs::rename(&other, &folder).unwrap();
    in_force(&daemon, 3).await;
    daemon.setup.write("quarterdeck.toml", &text(4));
    in_force(&daemon, 4).await;
    std::fs::remove_dir_all(&folder).unwrap();
    eventually("what is gone is said", SOON, async || {
        let refused = daemon.get("/api/v1/configuration?pointer=/listen").await["refused"].clone();
        refused.to_string().contains("is gone; what its files said stays in force").then_some(())
    })
    .await;
    in_force(&daemon, 4).await;
    std::fs::create_dir(&folder).unwrap();
    daemon.setup.write("quarterdeck.toml", &text(5));
    in_force(&daemon, 5).await;
    daemon.setup.write("quarterdeck.toml", &text(6));
    in_force(&daemon, 6).await;
}

#[tokio::test]
async fn a_hangup_reads_the_files_again() {
    let daemon = Setup::new().config(&text(2)).start().await;
    daemon.setup.write("quarterdeck.toml", "[events]\nproducer-rate = \"x\"\n");
    daemon.hang_up();
    eventually("the mistake is in the log", SOON, async || {
        daemon.log().contains("quarterdeck.toml:2:17").then_some(())
    })
    .await;
    let by = async || {
        let told = daemon.items("/api/v1/events?type=configuration&after=0&limit=50").await;
        told.iter().map(|event| event["principal"].clone()).collect::<Vec<Value>>()
    };
    eventually("the operator is told to have asked", SOON, async || {
        daemon.setup.write("quarterdeck.toml", &text(3));
        daemon.hang_up();
        in_force(&daemon, 3).await;
        daemon.setup.write("quarterdeck.toml", &text(2));
        daemon.hang_up();
        in_force(&daemon, 2).await;
        by().await.contains(&json!("operator")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_configuration_is_shown_until_it_is_mended() {
    let daemon = Setup::new().config(&text(2)).start().await;
    let refused = async || daemon.get("/api/v1/configuration?pointer=/listen").await["refused"].clone();
    let status = || String::from_utf8(daemon.command_line(&["status"]).stdout).unwrap();
    assert_eq!(refused().await, json!([]));
    assert!(status().starts_with("OK"), "{}", status());
    daemon.setup.write("quarterdeck.toml", "[events]\nproducer-rate = \"x\"\n");
    let found = eventually("the refusal is shown", SOON, async || {
        Some(refused().await).filter(|refused| refused.as_array().is_some_and(|refused| !refused.is_empty()))
    })
    .await;
    assert_eq!(found[0]["path"], "/events/producer-rate");
    assert!(found[0]["detail"].as_str().unwrap().contains("quarterdeck.toml:2:17"), "{found}");
    let said = status();
    assert!(said.contains("the configuration on the disk is refused, the one before it is in force: "), "{said}");
    assert!(said.contains("quarterdeck.toml:2:17"), "{said}");
    // The same refusal is one event, however often it is found.
    let (code, _) = daemon.call(reqwest::Method::POST, "/api/v1/configuration/reload", Some(&json!({}))).await;
    assert_eq!(code, 422);
    let told = daemon.items("/api/v1/events?type=configuration.refused&after=0&limit=50").await;
    assert_eq!((told.len(), &told[0]["data"]["count"]), (1, &json!(1)), "{told:#?}");
    daemon.setup.write("quarterdeck.toml", &text(3));
    in_force(&daemon, 3).await;
    assert_eq!(refused().await, json!([]));
    assert!(status().starts_with("OK"), "{}", status());
}
