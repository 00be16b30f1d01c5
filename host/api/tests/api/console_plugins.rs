//! The console's pages about plugins and instances.

use crate::console::{HOSTILE, check, page, page_as, post, send, sign_in};
use crate::plugins::{Listed, instance, plugin};
use crate::support::{Answer, Deck, deck, deck_with, request};
use async_trait::async_trait;
use axum::body::Body;
use http::Method;
use http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use quarterdeck_model::Shared;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::plugin::log::{LogLevel, LogLine};
use quarterdeck_model::plugin::*;
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A host with these plugins and instances.
struct Of {
    plugins: Vec<PluginStatus>,
    instances: Vec<InstanceStatus>,
}

#[async_trait]
impl Registry for Of {
    fn plugins(&self) -> Vec<PluginStatus> {
        self.plugins.clone()
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.instances.clone()
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus> {
        self.instances.iter().find(|instance| instance.name == *name).cloned()
    }

    fn log(&self, _: &InstanceName) -> Vec<LogLine> {
        let at = Timestamp::from_millis(5_000);
        vec![LogLine { number: 1, at, level: LogLevel::Info, digest: plugin().digest, message: HOSTILE.to_owned() }]
    }

    async fn configure(&self, _: BTreeMap<InstanceName, Shared<InstanceSpec>>) {}

    async fn check(&self, _: &BTreeMap<InstanceName, Shared<InstanceSpec>>) -> Vec<(InstanceName, String, String)> {
        Vec::new()
    }

    async fn reload(&self) -> Vec<PluginStatus> {
        self.plugins()
    }
}

async fn deck_of(of: Of) -> Deck {
    deck_with(Catalog::default(), |options| options.registry = Arc::new(of)).await
}

fn named(name: &str) -> InstanceStatus {
    InstanceStatus { name: InstanceName::from(name), ..instance() }
}

/// One that waits until the second version of its plugin is given what it asks for.
fn waiting() -> Of {
    let digest = Digest(format!("sha256:{}", "1".repeat(64)));
    let asks = |name: &str| Capability { name: name.to_owned(), reason: "to remember".to_owned(), optional: false };
    let second = PluginStatus {
        version: "2.0.0".to_owned(),
        digest: digest.clone(),
        capabilities: vec![asks("kv"), asks("tcp")],
        source: "http-probe.wasm".to_owned(),
        ..plugin()
    };
    let first = PluginStatus { state: PluginState::Draining, ..plugin() };
    let awaiting = Awaiting {
        plugin: PluginRef { name: second.name.clone(), version: second.version.clone(), digest: digest.clone() },
        source: second.source.clone(),
        capabilities: second.capabilities.clone(),
        granted_to_others: true,
        grant_to: GrantedTo::Digest(digest),
    };
    let mut waits = InstanceStatus { awaiting: Some(awaiting), ..instance() };
    waits.spec.to_mut().granted_to = vec!["file:old.wasm".parse().unwrap()];
    Of { plugins: vec![second, first], instances: vec![waits] }
}

async fn upload(deck: &Deck, path: &str, cookie: &str, csrf: &str, bytes: &[u8]) -> Answer {
    let asked = request(Method::POST, path)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(ORIGIN, "http://127.0.0.1:7700")
        .header(COOKIE, cookie)
        .header("x-csrf", csrf);
    send(deck, asked.body(Body::from(bytes.to_vec())).unwrap()).await
}

/// The instance's object of the configuration, as a file would hold it.
async fn configured(deck: &Deck, spec: &Value) {
    let path = "/api/v1/configuration/objects/instances/http-probe%2Fapi";
    assert_eq!(deck.ask(Method::PUT, path, Some(spec), &[]).await.status, 201);
}

async fn spec(deck: &Deck) -> Value {
    deck.get("/api/v1/configuration/objects/instances/http-probe%2Fapi").await.json()["value"].clone()
}

#[tokio::test]
async fn no_change_is_made_without_the_session_and_its_secret() {
    let deck = deck().await;
    configured(&deck, &json!({"plugin": "http-probe"})).await;
    let (cookie, csrf) = sign_in(&deck).await;
    for path in [
        "plugins/http-probe/roll-back",
        "plugins/judge/promote",
        "plugins/judge/end-shadow",
        "plugin-files/http-probe.wasm/remove",
        "plugin-files/reload",
        "instances/http-probe/api/enable",
        "instances/http-probe/api/disable",
        "instances/http-probe/api/grant",
        "instances/http-probe/api/revoke",
    ] {
        let path = format!("/console/{path}");
        assert_eq!(post(&deck, &path, "", &[("csrf", &csrf)]).await.status, 401, "{path}");
        assert_eq!(post(&deck, &path, &cookie, &[]).await.status, 403, "{path}");
    }
    for path in ["/console/upload/plugin-files/new.wasm", "/console/upload/shadows/judge"] {
        assert_eq!(upload(&deck, path, "", &csrf, b"\0asm").await.status, 401, "{path}");
        assert_eq!(upload(&deck, path, &cookie, "", b"\0asm").await.status, 403, "{path}");
        assert_eq!(upload(&deck, path, &cookie, "00", b"\0asm").await.status, 403, "{path}");
    }
    assert_eq!(spec(&deck).await, json!({"plugin": "http-probe"}));
}

#[tokio::test]
async fn plugins_are_listed_by_kind_and_told_with_their_versions_and_files() {
    let deck = deck().await;
    let (cookie, _) = sign_in(&deck).await;
    let (status, shown) = page(&deck, "/console/plugins").await;
    assert_eq!(status, 200);
    for expected in
        ["href=\"/console/plugins/http-probe\"", "1.0.0", "Asks a page", "bundled", "kind=collector", "000000000000"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("data-upload"), "it is offered to those who are signed in");
    assert!(page(&deck, "/console/plugins?kind=detector").await.1.contains("class=\"empty\""));
    assert_eq!(page(&deck, "/console/plugins?kind=toaster").await.0, 400);
    assert!(
        page_as(&deck, "/console/plugins", &cookie).await.1.contains("data-upload=\"/console/upload/plugin-files/\"")
    );
    let (_, shown) = page_as(&deck, "/console/plugins/http-probe", &cookie).await;
    for expected in [
        "must be able to send HTTP requests",
        "Versions that were in use",
        "http-probe.wasm",
        "lose their plugin",
        "/console/upload/plugin-files/http-probe.wasm\"",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("/console/upload/shadows/"), "a collector can't be asked beside another");
    let (_, shown) = page_as(&deck, "/console/plugin-files", &cookie).await;
    assert!(
        shown.contains("https://example.com/http-probe.wasm")
            && shown.contains("/console/plugin-files/http-probe.wasm/remove"),
        "{shown}"
    );
    assert_eq!(page(&deck, "/console/plugins/none").await.0, 404);
}

#[tokio::test]
async fn a_candidate_is_shown_with_its_differences_promoted_and_ended() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let (status, shown) = page_as(&deck, "/console/plugins/judge", &cookie).await;
    assert_eq!(status, 200, "{shown}");
    for expected in [
        "2 differ",
        "judge goes from 1.0.0 to 2.0.0",
        "Of 10 decisions 2 differed",
        "left alone",
        "misbehaved 5 times in a row",
        "it panicked",
        "evaluate",
        "judge/a",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let stale =
        post(&deck, "/console/plugins/judge/promote", &cookie, &[("csrf", &csrf), ("seen", "sha256:other")]).await;
    assert_eq!(stale.status, 412);
    let promoted =
        post(&deck, "/console/plugins/judge/promote", &cookie, &[("csrf", &csrf), ("seen", "sha256:00")]).await;
    assert_eq!((promoted.status.as_u16(), promoted.header("location")), (303, "/console/plugins/judge"));
    assert!(
        page_as(&deck, "/console/plugins/judge", &cookie).await.1.contains("judge 2.0.0 is in use in place of 1.0.0.")
    );
    for (seen, status) in [(None, 422), (Some("sha256:other"), 412), (Some("sha256:00"), 303)] {
        let fields: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(seen.map(|seen| ("seen", seen))).collect();
        let ended = post(&deck, "/console/plugins/judge/end-shadow", &cookie, &fields).await;
        assert_eq!(ended.status, status, "{seen:?}: another candidate is not ended unseen");
    }
}

#[tokio::test]
async fn a_plugin_goes_back_and_its_file_away_as_they_were_seen() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let now = plugin().digest.0;
    let stale = [("csrf", csrf.as_str()), ("to", "1.0.0"), ("seen", "sha256:other")];
    let stale = post(&deck, "/console/plugins/http-probe/roll-back", &cookie, &stale).await;
    assert_eq!(stale.status, 412, "it goes back from the version that was looked at");
    let back = post(
        &deck,
        "/console/plugins/http-probe/roll-back",
        &cookie,
        &[("csrf", &csrf), ("to", "1.0.0"), ("seen", &now)],
    )
    .await;
    assert_eq!((back.status.as_u16(), back.header("location")), (303, "/console/plugins/http-probe"));
    assert!(
        page_as(&deck, "/console/plugins/http-probe", &cookie)
            .await
            .1
            .contains("http-probe went back from none to 1.0.0.")
    );
    assert_eq!(
        post(&deck, "/console/plugins/none/roll-back", &cookie, &[("csrf", &csrf), ("seen", "none")]).await.status,
        409
    );
    let over_the_api = "/api/v1/plugins/http-probe/rollback";
    for (tag, status) in [("\"1\"", 412), ("\"0\"", 200), ("*", 200)] {
        let answer = deck.ask(Method::POST, over_the_api, Some(&json!({})), &[("if-match", tag)]).await;
        assert_eq!(answer.status.as_u16(), status, "{tag}");
    }
    let path = "/console/plugin-files/http-probe.wasm/remove";
    assert_eq!(post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", "1")]).await.status, 412);
    let tag = plugin().digest.tag();
    let removed = post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", &tag)]).await;
    assert_eq!((removed.status.as_u16(), removed.header("location")), (303, "/console/plugin-files"));
    assert_eq!(post(&deck, "/console/plugin-files/reload", &cookie, &[("csrf", &csrf)]).await.status, 303);
}

#[tokio::test]
async fn a_component_is_uploaded_with_a_clear_end() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let put =
        async |path: &str, bytes: &[u8]| upload(&deck, &format!("/console/upload/{path}"), &cookie, &csrf, bytes).await;
    let now = plugin().digest.0;
    let confirmed = |file: &str, seen: &str| format!("plugin-files/{file}?digest=sha256:1&seen={seen}&serving={now}");
    let new = confirmed("new.wasm", "none");
    let taken = put(&format!("{new}&name=new.wasm"), b"\0asm").await;
    assert_eq!((taken.status.as_u16(), taken.json()), (200, json!({"to": "/console/plugins/http-probe"})));
    assert!(page_as(&deck, "/console/plugins/http-probe", &cookie).await.1.contains("http-probe 1.0.0 is in use."));
    for (path, bytes, status, says) in [
        ("plugin-files/new.wasm", b"oops".as_slice(), 422, "not a WebAssembly component"),
        (new.as_str(), b"oops", 422, "not a WebAssembly component"),
        (confirmed("full.wasm", "none").as_str(), b"\0asm", 507, "disk is full"),
        ("plugin-files/new.wasm", b"", 400, "no body"),
        ("shadows/judge", b"oops", 422, "not a WebAssembly component"),
        ("shadows/none", b"\0asm", 404, "no decision"),
    ] {
        let refused = put(path, bytes).await;
        let shown = String::from_utf8(refused.body.clone()).unwrap();
        assert_eq!(refused.status.as_u16(), status, "{path}: {shown}");
        assert!(shown.contains("class=\"failure\"") && shown.contains(says), "{path}: {shown}");
        check(path, &refused, &shown);
    }
    assert_eq!(put("shadows/judge", b"\0asm").await.json(), json!({"to": "/console/plugins/judge"}));
}

#[tokio::test]
async fn what_a_component_would_replace_is_said_before_and_that_alone_is_replaced() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let put =
        async |path: &str, bytes: &[u8]| upload(&deck, &format!("/console/upload/{path}"), &cookie, &csrf, bytes).await;
    let now = plugin().digest.0;
    let new = format!("sha256:{}", "1".repeat(64));

    // Under another name than that of the file that serves: it replaces that all the same.
    let looked = put("plugin-files/other.wasm?name=other.wasm", b"\0asm").await;
    let looked = looked.json();
    let says = looked["says"].as_str().unwrap();
    for expected in ["http-probe 2.0.0 (sha256:111111111111)", "in place of http-probe 1.0.0 (sha256:000000000000)"] {
        assert!(says.contains(expected), "{says}");
    }
    assert_eq!((&looked["digest"], &looked["seen"], &looked["serving"]), (&json!(new), &json!("none"), &json!(now)));
    assert!(looked.get("to").is_none(), "nothing is done yet");

    let says = put("plugin-files/http-probe.wasm", b"\0asm another").await.json();
    assert_eq!(says["seen"], json!(now));
    let says = says["says"].as_str().unwrap();
    for expected in
        ["another 2.0.0", "Nothing serves under its name", "holds another plugin, http-probe 1.0.0", "no file then"]
    {
        assert!(says.contains(expected), "{says}");
    }

    let other = format!("sha256:{}", "2".repeat(64));
    for (seen, serving, status) in [
        (Some("none"), Some(now.as_str()), 200),
        (Some("none"), Some(other.as_str()), 412),
        (Some("none"), Some("none"), 412),
        (Some(other.as_str()), Some(now.as_str()), 412),
        (None, Some(now.as_str()), 422),
        (Some("none"), None, 422),
    ] {
        let given = [("seen", seen), ("serving", serving)]
            .map(|(name, value)| value.map_or(String::new(), |value| format!("&{name}={value}")));
        let answer = put(&format!("plugin-files/other.wasm?digest={new}{}", given.concat()), b"\0asm").await;
        assert_eq!(answer.status.as_u16(), status, "{seen:?} {serving:?}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn ten_thousand_instances_are_listed_in_parts_and_chosen_by_filters() {
    let mut instances: Vec<_> = (0..10_000).map(|index| named(&format!("http-probe/i{index:05}"))).collect();
    instances[4_321].state = InstanceState::Quarantined;
    instances[4_321].reason = Some("it failed again and again".to_owned());
    let deck = deck_of(Of { plugins: vec![plugin()], instances }).await;
    let (_, shown) = page(&deck, "/console/instances").await;
    assert!(
        shown.contains("http-probe/i00099") && !shown.contains("http-probe/i00100") && shown.contains("rel=\"next\""),
        "{shown}"
    );
    assert!(shown.contains("quarantined (1)") && shown.contains("10000 in all"), "{shown}");
    let next = shown.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(page(&deck, &next).await.1.contains("http-probe/i00100"));
    let (_, one) = page(&deck, "/console/instances?state=quarantined&plugin=http-probe&kind=collector").await;
    assert!(
        one.contains("http-probe/i04321") && one.contains("it failed again and again") && !one.contains("i00001"),
        "{one}"
    );
    assert!(page(&deck, "/console/instances?name=i0999").await.1.contains("http-probe/i09999"));
    assert!(page(&deck, "/console/instances?kind=notifier").await.1.contains("class=\"empty\""));
    assert_eq!(page(&deck, "/console/instances?state=fine").await.0, 400);
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        page(&deck, "/console/instances").await;
        fastest = fastest.min(begun.elapsed());
    }
    // Most of it is that this registry copies everything; and this is not optimised.
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
}

#[tokio::test]
async fn an_instance_is_shown_with_what_it_may_what_it_uses_and_what_it_says() {
    let mut status = instance();
    status.state = InstanceState::Quarantined;
    status.reason = Some(HOSTILE.to_owned());
    status.usage.last_error = Some(HOSTILE.to_owned());
    status.usage.latency = vec![Bucket { up_to_micros: 1_000, calls: 2 }, Bucket { up_to_micros: 500_000, calls: 3 }];
    status.usage.window.guest_micros = 9_000_000;
    status.spec.to_mut().limits.budget = Some(Budget { cpu: Some(Span::from_secs(5)), ..Budget::default() });
    let deck = deck_of(Of { plugins: vec![plugin()], instances: vec![status] }).await;
    let (cookie, _) = sign_in(&deck).await;
    let (status, shown) = page_as(&deck, "/console/instances/http-probe/api", &cookie).await;
    assert_eq!(status, 200, "{shown}");
    for expected in [
        "quarantined",
        "&lt;script&gt;alert(1)",
        "send HTTP requests to http://127.0.0.1:7700",
        "run `/bin/true` without arguments",
        "must be able to send HTTP requests",
        "it took longer than a call may",
        "500 ms or less",
        "used up",
        "5s of running time",
        "Calls at once",
        "/console/instances/http-probe/api/disable",
        "/console/instances/http-probe/api/logs",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("<script>alert") && !shown.contains("<img"));
    let (_, log) = page_as(&deck, "/console/instances/http-probe/api/logs", &cookie).await;
    assert!(
        log.contains("&lt;script&gt;alert(1)") && !log.contains("<script>alert") && log.contains("data-every=\"2\""),
        "{log}"
    );
    assert!(
        page_as(&deck, "/console/instances/http-probe/api/logs?level=error", &cookie)
            .await
            .1
            .contains("class=\"empty\"")
    );
    let (_, nobody) = page(&deck, "/console/instances/http-probe/api/logs").await;
    assert!(
        !nobody.contains("alert(1)") && nobody.contains("quarterdeck console"),
        "what plugins print is not for everybody"
    );
    assert_eq!(page(&deck, "/console/instances/http-probe/none").await.0, 404);
}

#[tokio::test]
async fn an_instance_is_disabled_and_enabled_by_its_object() {
    let deck = deck().await;
    configured(&deck, &json!({"plugin": "http-probe", "every": "15s"})).await;
    let (cookie, csrf) = sign_in(&deck).await;
    for (action, enabled) in [("disable", false), ("enable", true)] {
        let path = format!("/console/instances/http-probe/api/{action}");
        let done = post(&deck, &path, &cookie, &[("csrf", &csrf)]).await;
        assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/instances/http-probe/api"));
        assert_eq!(spec(&deck).await, json!({"plugin": "http-probe", "every": "15s", "enabled": enabled}));
    }
    assert_eq!(
        post(&deck, "/console/instances/http-probe/none/disable", &cookie, &[("csrf", &csrf)]).await.status,
        404
    );
}

#[tokio::test]
async fn what_waits_is_shown_against_the_version_in_use_and_given_its_grants() {
    let deck = deck_of(waiting()).await;
    configured(&deck, &json!({"plugin": "http-probe", "grants": {"http": ["*"]}, "granted-to": ["file:old.wasm"]}))
        .await;
    let (cookie, csrf) = sign_in(&deck).await;
    let (_, shown) = page_as(&deck, "/console/instances/http-probe/api", &cookie).await;
    for expected in [
        "A version waits for a grant",
        "Meanwhile it goes on with 1.0.0.",
        "asks now",
        "kv: must be able to keep keys and values",
        "asks no more",
        "name=\"tcp\"",
        "whatever the file old.wasm holds",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let path = "/console/instances/http-probe/api/grant";
    let digest = format!("sha256:{}", "1".repeat(64));
    let fields = [
        ("csrf", csrf.as_str()),
        ("seen", digest.as_str()),
        ("kv", "true"),
        ("tcp", "db.example:5432\r\ncache.example:*"),
    ];
    let stale = post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", "sha256:2")]).await;
    assert_eq!(stale.status, 412, "what was looked at is granted, and nothing else");
    let others = post(&deck, path, &cookie, &[fields.as_slice(), &[("to", "file:other.wasm")]].concat()).await;
    assert_eq!(others.status, 422);
    let done = post(&deck, path, &cookie, &fields).await;
    assert_eq!(done.status, 303, "{}", String::from_utf8_lossy(&done.body));
    let spec_now = spec(&deck).await;
    assert_eq!(spec_now["grants"], json!({"http": ["*"], "kv": true, "tcp": ["db.example:5432", "cache.example:*"]}));
    assert_eq!(spec_now["granted-to"], json!(["file:old.wasm", digest]));
    let revoke = "/console/instances/http-probe/api/revoke";
    let done = post(&deck, revoke, &cookie, &[("csrf", &csrf), ("from", "file:old.wasm")]).await;
    assert_eq!(done.status, 303);
    assert_eq!(spec(&deck).await["granted-to"], json!([digest]));
    assert_eq!(post(&deck, revoke, &cookie, &[("csrf", &csrf), ("from", "file:old.wasm")]).await.status, 409);
}

#[tokio::test]
async fn what_a_plugin_says_of_itself_is_text() {
    let hostile = PluginStatus {
        name: HOSTILE.to_owned(),
        version: HOSTILE.to_owned(),
        summary: format!("{HOSTILE}{}", "x".repeat(10_000)),
        state: PluginState::Refused,
        reason: Some(HOSTILE.to_owned()),
        capabilities: vec![Capability { name: HOSTILE.to_owned(), reason: HOSTILE.to_owned(), optional: true }],
        config_schema: json!({"properties": {HOSTILE: {"default": HOSTILE, "description": HOSTILE}}}),
        ..plugin()
    };
    let deck = deck_of(Of { plugins: vec![hostile], instances: Vec::new() }).await;
    let (_, list) = page(&deck, "/console/plugins").await;
    let link = list.split("href=\"/console/plugins/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let (status, one) = page(&deck, &format!("/console/plugins/{link}")).await;
    assert_eq!(status, 200, "{one}");
    for shown in [&list, &one] {
        assert!(shown.contains("&lt;script&gt;alert(1)"), "{shown}");
        for unwanted in ["<script>alert", "<img", "onerror=alert(1)>"] {
            assert!(!shown.contains(unwanted), "{unwanted}: {shown}");
        }
    }
    assert!(!list.contains(&"x".repeat(1_000)) && one.contains(&"x".repeat(10_000)));
}

#[tokio::test]
async fn processes_are_listed_and_what_they_print_is_for_those_who_are_signed_in() {
    let deck = deck_with(Catalog::default(), |options| options.processes = Arc::new(Listed)).await;
    let (cookie, _) = sign_in(&deck).await;
    let (_, shown) = page(&deck, "/console/processes").await;
    for expected in ["href=\"/console/processes/haproxy/web/s1\"", "4711", "healthy", "exited"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let (_, shown) = page(&deck, "/console/processes?state=exited").await;
    assert!(!shown.contains("web/s1\"") && shown.contains("web/s2\""), "{shown}");
    let (_, shown) = page_as(&deck, "/console/processes/haproxy/web/s1", &cookie).await;
    assert!(shown.contains("a line") && shown.contains("/usr/bin/shop"), "{shown}");
    let (status, shown) = page(&deck, "/console/processes/haproxy/web/s1").await;
    assert!(status == 200 && !shown.contains("a line"), "{shown}");
    assert_eq!(page_as(&deck, "/console/processes/haproxy/web/none", &cookie).await.0, 404);
}
