//! Killed at any instruction, the store goes on where it was.
//!
//! A test binary of its own: a process that is being started has, for a moment, what the tests beside it have open, locks too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

mod series;
#[path = "../storage/support.rs"]
mod support;

use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{event, open, replay};

const FOLDER: &str = "QUARTERDECK_STORAGE_TEST_FOLDER";
const WRITERS: u64 = 16;
const ROUNDS: u64 = 50;

/// Not a test of its own: the process that is killed. Prints what was acknowledged.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&folder));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let name = format!("w{writer}");
                let mut n = store.get("a", &name).unwrap().map_or(0, |d| d.value["n"].as_u64().unwrap());
                loop {
                    n += 1;
                    // Now and then one that takes many values.
                    let text = "x".repeat(if n % 17 == 0 { 30_000 } else { 100 });
                    let value = json!({"n": n, "text": text});
                    let transition = Transition::new()
                        .put("a", &name, Expected::Any, value.clone())
                        .event(event("crash.n", &name, n))
                        .put("b", &name, Expected::Any, value)
                        .ack(&name, Offset(n));
                    store.commit(transition).await.unwrap();
                    println!("acknowledged {name} {n}");
                }
            });
        }
        tasks.join_all().await;
    });
}

#[test]
fn a_kill_loses_nothing_acknowledged_and_leaves_nothing_half_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = 0;
        let mut note = |line: String| {
            let mut words = line.split("acknowledged ").nth(1)?.split(' ');
            let (name, n) = (words.next()?.to_owned(), words.next()?.parse::<u64>().ok()?);
            let last = acknowledged.entry(name).or_default();
            *last = n.max(*last);
            seen += 1;
            Some(())
        };
        let deadline = Instant::now() + Duration::from_millis(20 + (round * 37) % 400);
        for line in lines.by_ref() {
            if note(line).is_some() && Instant::now() > deadline {
                break;
            }
        }
        child.kill().unwrap();
        lines.for_each(|line| {
            note(line);
        });
        child.wait().unwrap();
        assert!(seen > 0, "round {round} did something");

        let store = open(folder.path());
        let events = replay(&store, Offset(0), &EventFilter::default());
        let offsets: Vec<u64> = events.iter().map(|stored| stored.offset.0).collect();
        assert_eq!(offsets, (1..=store.head().0).collect::<Vec<_>>());
        for (name, n) in &acknowledged {
            let [a, b] = ["a", "b"].map(|collection| store.get(collection, name).unwrap().unwrap());
            let stored = a.value["n"].as_u64().unwrap();
            assert!(stored >= *n, "round {round}: {name} was acknowledged {n} and has {stored}");
            assert_eq!(a, b);
            assert_eq!(a.revision, stored);
            assert_eq!(store.cursor(name).unwrap(), Offset(stored));
            let numbers: Vec<u64> = events
                .iter()
                .filter(|stored| stored.event.subject == *name)
                .map(|stored| stored.event.data["n"].as_u64().unwrap())
                .collect();
            assert_eq!(numbers, (1..=stored).collect::<Vec<_>>(), "round {round}: {name}");
        }
    }
}
