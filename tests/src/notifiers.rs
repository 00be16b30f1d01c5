//! What recipients get: again when they say so, signed by the host, and given up on where they refuse.

mod channels;
mod lines;
mod mail;
mod policy;

use crate::harness::guest::sha256;
use crate::harness::receiver::{Received, Receiver};
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "a secret that the host keeps";

/// Every `custom.told` goes to a webhook with a secret, and to the log.
async fn start(hook: &Receiver) -> Daemon {
    let setup = Setup::new().config(&format!(
        "built-ins = false\n\
         [secrets]\nhook = {{ env = \"HOOK_SECRET\" }}\n\
         [instances.\"log/out\"]\nplugin = \"log\"\nconfig = {{ prefix = \"told:\" }}\n\
         [instances.\"webhook/test\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{0}/hook\", secret = \"hook\" }}\n\
         grants = {{ http = [\"{0}\"], secret = [\"hook\"] }}\n\
         [instances.\"http-headers/default\"]\nplugin = \"http-headers\"\n\
         [scans.page]\nrules = [\"http-headers/default\"]\nurls = [\"{0}/page\"]\n\
         [routes.test]\nevents = [\"custom.told\"]\nnotify = [\"webhook/test\", \"log/out\"]\n",
        hook.url()
    ));
    setup.variable("HOOK_SECRET", SECRET).start().await
}

async fn tell(daemon: &Daemon, subject: &str) {
    daemon.post("/api/v1/events", &json!({"type": "custom.told", "subject": subject, "data": {}})).await;
}

/// The notification to that instance, when it is no longer pending.
async fn ended(daemon: &Daemon, instance: &str) -> Value {
    eventually("the end of the delivery", SOON, async || {
        let all = daemon.items("/api/v1/notifications").await;
        all.into_iter().find(|told| told["instance"] == instance && told["state"] != "pending")
    })
    .await
}

fn raw_sha256(bytes: &[u8]) -> Vec<u8> {
    let hex = sha256(bytes);
    let hex = hex.strip_prefix("sha256:").unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// As RFC 2104 has it, for a key that is no longer than a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = raw_sha256(&[pad(0x36).as_slice(), message].concat());
    raw_sha256(&[pad(0x5c), inner].concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time that a request was signed at; its signature is checked as a recipient would.
fn signed_at(received: &Received) -> i64 {
    let (time, signature) = received.header("quarterdeck-signature").split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let message = [time.as_bytes(), b".", &received.body].concat();
    assert_eq!(signature, hmac_sha256(SECRET.as_bytes(), &message));
    time.parse().unwrap()
}

#[test]
fn the_hmac_of_these_tests_is_that_of_rfc_4231() {
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hmac_sha256(b"Jefe", b"what do ya want for nothing?"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_comes_again_when_the_recipient_says_under_the_same_key_and_signed_anew() {
    let hook = Receiver::start().await;
    let daemon = start(&hook).await;
    hook.answer_once(503, Some(2));
    tell(&daemon, "a").await;
    let notification = ended(&daemon, "webhook/test").await;
    assert_eq!(
        (&notification["state"], &notification["attempts"]),
        (&json!("delivered"), &json!(2)),
        "{notification:#}"
    );
    let received = hook.received();
    assert_eq!(received.len(), 2);
    for received in &received {
        assert_eq!(received.header("idempotency-key"), notification["id"].as_str().unwrap());
    }
    let gap = received[1].at.duration_since(received[0].at);
    assert!(gap >= Duration::from_secs(2), "it came again after {gap:?}");
    let times: Vec<i64> = received.iter().map(signed_at).collect();
    assert!(times[1] >= times[0] + 2_000, "signed once for both: {times:?}");

    // The other recipient of the same event.
    let logged = ended(&daemon, "log/out").await;
    assert_eq!((&logged["state"], &logged["attempts"]), (&json!("delivered"), &json!(1)), "{logged:#}");
    let log = daemon.log();
    assert!(log.lines().any(|line| line.contains("told:") && line.contains("custom.told")), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_refused_for_good_is_a_dead_letter_with_the_reason() {
    let hook = Receiver::start().await;
    let daemon = start(&hook).await;
    hook.answer_once(422, None);
    tell(&daemon, "a").await;
    let notification = ended(&daemon, "webhook/test").await;
    assert_eq!((&notification["state"], &notification["attempts"]), (&json!("failed"), &json!(1)), "{notification:#}");
    assert_eq!(hook.received().len(), 1, "never again");
    let letters = daemon.items("/api/v1/dead-letters").await;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    let letter = &letters[0]["letter"];
    assert_eq!((&letter["effect"]["id"], &letter["effect"]["instance"]), (&notification["id"], &json!("webhook/test")));
    assert!(letter["reason"].as_str().unwrap().contains("the recipient answered 422"), "{letter:#}");
    // What is told afterwards is not held up by it.
    tell(&daemon, "b").await;
    eventually("the next one", SOON, async || (hook.received().len() == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_protective_headers_is_found_by_http_headers() {
    let hook = Receiver::start().await;
    let daemon = start(&hook).await;
    let scan = daemon.post("/api/v1/scans", &json!({"name": "page"})).await;
    let path = format!("/api/v1/scans/{}", scan["id"].as_str().unwrap());
    let scan = eventually("the end of the scan", SOON, async || {
        let scan = daemon.get(&path).await;
        scan["finished_at"].is_string().then_some(scan)
    })
    .await;
    assert_eq!((&scan["state"], &scan["urls"]), (&json!("succeeded"), &json!(1)), "{scan:#}");
    let findings = daemon.items("/api/v1/findings").await;
    let found = findings.iter().find(|finding| finding["rule"] == "http-headers/no-sniff");
    let found = found.unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!((&found["plugin"]["name"], &found["state"]), (&json!("http-headers"), &json!("open")), "{found:#}");
    assert!(found["subject"].as_str().unwrap().ends_with("/page"), "{found:#}");
}
