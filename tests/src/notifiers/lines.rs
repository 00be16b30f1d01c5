//! Messages in a file.

use super::{SOON, ended, tell};
use crate::harness::{Setup, eventually};
use serde_json::{Value, json};

/// Every `custom.told` goes to a file that is granted, and to one that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_a_line_of_a_granted_file_also_after_it_was_moved_away_and_no_other_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().canonicalize().unwrap().join(name);
    let (told, other) = (place("told.jsonl"), place("other.jsonl"));
    let setup = Setup::new().config(&format!(
        "built-ins = false\n\
         [instances.\"file/told\"]\nplugin = \"file\"\nconfig = {{ path = {told:?} }}\ngrants = {{ append = [{told:?}] }}\n\
         [instances.\"file/other\"]\nplugin = \"file\"\nconfig = {{ path = {other:?} }}\ngrants = {{ append = [{told:?}] }}\n\
         [routes.test]\nevents = [\"custom.told\"]\nnotify = [\"file/told\", \"file/other\"]\n"
    ));
    let daemon = setup.start().await;
    let lines = |file: &std::path::Path| -> Vec<Value> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    tell(&daemon, "one").await;
    eventually("a line", SOON, async || (lines(&told).len() == 1).then_some(())).await;
    let line = lines(&told).remove(0);
    assert_eq!((&line["event_type"], &line["subject"]), (&json!("custom.told"), &json!("one")), "{line:#}");
    assert_eq!(ended(&daemon, "file/told").await["state"], "delivered");

    std::fs::rename(&told, place("told.jsonl.1")).unwrap();
    tell(&daemon, "two").await;
    eventually("a line of a new file", SOON, async || (lines(&told).len() == 1).then_some(())).await;
    assert_eq!(lines(&told)[0]["subject"], "two");

    let refused = ended(&daemon, "file/other").await;
    assert_ne!(refused["state"], "delivered", "{refused:#}");
    assert!(refused.to_string().contains("grants.append"), "{refused:#}");
    assert!(!other.exists());
    let audit = eventually("the record", SOON, async || {
        let audit = daemon.items("/api/v1/events?type=audit.append&limit=1000").await;
        let of = |outcome: &str| audit.iter().any(|event| event["data"]["outcome"] == outcome);
        (of("done") && of("denied")).then_some(())
    });
    audit.await;
}
