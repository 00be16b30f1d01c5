//! The channels over HTTP: each gets what its service takes, with the secret where it belongs.

use super::{SOON, tell};
use crate::harness::receiver::{Received, Receiver};
use crate::harness::{Setup, eventually};
use serde_json::json;

const INSTANCES: &str = r##"
built-ins = false

[secrets]
token = { env = "CHANNEL_TOKEN" }
slack = { env = "CHANNEL_SLACK" }

[instances."alertmanager-webhook/a"]
plugin = "alertmanager-webhook"
config = { url = "URL/alertmanager", secret-headers = { authorization = "token" } }
grants = { http = ["URL"], secret = ["token"] }

[instances."slack/a"]
plugin = "slack"
config = { url = "URL/services/{secret}", url-secret = "slack", text = "*{{ severity|upper }}* {{ summary }}" }
grants = { http = ["URL"], secret = ["slack"] }

[instances."teams/a"]
plugin = "teams"
config = { url = "URL/teams?sp=x&sig={secret}", url-secret = "token" }
grants = { http = ["URL"], secret = ["token"] }

[instances."pagerduty/a"]
plugin = "pagerduty"
config = { url = "URL/enqueue", routing-key-secret = "token" }
grants = { http = ["URL"], secret = ["token"] }

[instances."ntfy/a"]
plugin = "ntfy"
config = { url = "URL", topic = "ops", token-secret = "token" }
grants = { http = ["URL"], secret = ["token"] }

[instances."http-template/a"]
plugin = "http-template"
config = { url = "URL/any/{{ subject }}", method = "PUT", body = '{"text": {{ summary|json }}}' }
grants.http = ["URL"]

[routes.all]
events = ["custom.told"]
notify = ["alertmanager-webhook/a", "slack/a", "teams/a", "pagerduty/a", "ntfy/a", "http-template/a"]
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_gets_what_it_takes_with_its_secret_filled_in() {
    let service = Receiver::start().await;
    let setup = Setup::new().config(&INSTANCES.replace("URL", &service.url()));
    let setup = setup.variable("CHANNEL_TOKEN", "s3cret").variable("CHANNEL_SLACK", "T0/B0/xyz");
    let daemon = setup.start().await;
    tell(&daemon, "disk-7").await;
    let received = eventually("six messages", SOON, async || {
        let received = service.received();
        (received.len() == 6).then_some(received)
    })
    .await;
    eventually("six deliveries", SOON, async || {
        let all = daemon.items("/api/v1/notifications").await;
        (all.iter().filter(|told| told["state"] == "delivered").count() == 6).then_some(())
    })
    .await;
    let at = |path: &str| -> &Received {
        let found = received.iter().find(|received| received.path == path);
        found.unwrap_or_else(|| panic!("{path} among {:?}", received.iter().map(|r| &r.path).collect::<Vec<_>>()))
    };

    let alertmanager = at("/alertmanager");
    assert_eq!(alertmanager.header("authorization"), "s3cret");
    let group = alertmanager.json();
    assert_eq!((&group["version"], &group["status"]), (&json!("4"), &json!("firing")), "{group:#}");
    assert_eq!(group["alerts"][0]["labels"]["alertname"], "custom.told");

    let slack = at("/services/T0/B0/xyz").json();
    assert_eq!(slack["attachments"][0]["text"], "*INFO* [custom.told] disk-7", "{slack:#}");

    let teams = at("/teams");
    assert_eq!(teams.query, "sp=x&sig=s3cret");
    assert_eq!(teams.json()["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");

    let pagerduty = at("/enqueue");
    let event = pagerduty.json();
    assert_eq!(event["routing_key"], "s3cret");
    assert_eq!((&event["event_action"], &event["dedup_key"]), (&json!("trigger"), &json!("disk-7")), "{event:#}");

    let ntfy = at("/");
    assert_eq!(ntfy.header("authorization"), "Bearer s3cret");
    assert_eq!((&ntfy.json()["topic"], &ntfy.json()["title"]), (&json!("ops"), &json!("[custom.told] disk-7")));

    assert_eq!(at("/any/disk-7").json(), json!({"text": "[custom.told] disk-7"}));
    // What is filled in on the way out is in no record of the host.
    let audit = eventually("a record of each request", SOON, async || {
        let audit = daemon.items("/api/v1/events?type=audit.http&limit=1000").await;
        (audit.len() >= 6).then_some(audit)
    })
    .await;
    assert!(!json!(audit).to_string().contains("s3cret"), "{audit:#?}");
    assert!(!daemon.log().contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_does_not_compile_is_told_with_its_line() {
    let broken = "built-ins = false\n\
        [instances.\"slack/a\"]\nplugin = \"slack\"\ngrants.http = [\"https://hooks.example.com\"]\n\
        config = { url = \"https://hooks.example.com/x\", text = \"fine\\n{% if %}\" }\n";
    let daemon = Setup::new().config(broken).start().await;
    let told = eventually("a verdict on the configuration", SOON, async || {
        let problems = daemon.get("/api/v1/configuration").await["problems"].clone();
        let instance = daemon.get("/api/v1/instances/slack/a").await;
        let told = json!([problems, instance["reason"]]).to_string();
        told.contains("template").then_some(told)
    })
    .await;
    assert!(told.contains("the template does not compile: line 2"), "{told}");
}
