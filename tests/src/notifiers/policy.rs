//! Messages that are held back, gathered and sent another way, in the daemon.

use super::{SOON, tell};
use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};

async fn start(hook: &Receiver, delivery: &str) -> Daemon {
    let instance = |name: &str| {
        format!(
            "[instances.\"webhook/{name}\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{0}/{name}\" }}\ngrants.http = [\"{0}\"]\n",
            hook.url()
        )
    };
    let text = format!(
        "built-ins = false\n{}{delivery}\n{}[routes.test]\nevents = [\"custom.told\"]\nnotify = [\"webhook/a\"]\n",
        instance("a"),
        instance("b"),
    );
    Setup::new().config(&text).start().await
}

/// The notifications, when there are so many in that state.
async fn in_state(daemon: &Daemon, state: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} that are {state}"), SOON, async || {
        let found = daemon.items(&format!("/api/v1/notifications?state={state}")).await;
        (found.len() == count).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_above_the_rate_limit_waits_and_goes_as_one_message() {
    let hook = Receiver::start().await;
    let daemon = start(&hook, "delivery.rate-limit = { messages = 1, per = \"10s\" }").await;
    for subject in ["a", "b", "c"] {
        tell(&daemon, subject).await;
    }
    let digested = in_state(&daemon, "digested", 2).await;
    let told = in_state(&daemon, "delivered", 2).await;
    let digest = told.iter().find(|told| told["event_type"] == "notification.digest").unwrap();
    for message in &digested {
        assert_eq!(
            (&message["digest"], &message["reason"]),
            (&digest["id"], &json!("above the rate limit")),
            "{message:#}"
        );
    }
    let received = hook.received();
    assert_eq!(received.len(), 2);
    let listed = received[1].json()["data"]["messages"].clone();
    let subjects: Vec<&Value> = listed.as_array().unwrap().iter().map(|message| &message["subject"]).collect();
    assert_eq!(subjects, ["b", "c"], "{listed:#}");
    assert_eq!(daemon.items("/api/v1/events?type=notification.held").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_outlives_a_kill_and_is_told_when_its_settings_let_it() {
    let hook = Receiver::start().await;
    let daemon = start(&hook, "delivery.digest = \"1h\"").await;
    tell(&daemon, "a").await;
    let held = in_state(&daemon, "held", 1).await.remove(0);
    assert!(held["held_until"].is_string(), "{held:#}");
    let setup = daemon.kill();
    let path = setup.config_dir().join("quarterdeck.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("1h", "1s");
    std::fs::write(&path, text).unwrap();
    let daemon = setup.start().await;
    let told = in_state(&daemon, "delivered", 1).await.remove(0);
    assert_eq!(told["id"], held["id"]);
    assert_eq!(hook.received()[0].header("idempotency-key"), held["id"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_recipient_refuses_the_next_is_told() {
    let hook = Receiver::start().await;
    let daemon = start(&hook, "delivery.fallback = \"webhook/b\"").await;
    hook.answer_once(410, None);
    tell(&daemon, "a").await;
    let fallen = in_state(&daemon, "fallen-back", 1).await.remove(0);
    let told = in_state(&daemon, "delivered", 1).await.remove(0);
    assert_eq!((&fallen["fallback"], &told["tried"]), (&told["id"], &json!(["webhook/a"])), "{fallen:#}");
    let paths: Vec<String> = hook.received().into_iter().map(|received| received.path).collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_that_there_is_not_is_a_mistake_of_the_configuration() {
    let text = "[instances.\"log/out\"]\nplugin = \"log\"\ndelivery.fallback = \"log/default-\"\n";
    let output = Setup::new().config(text).run(&["config", "check"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("there is no instance `log/default-`"), "{told}");
}
