//! Files that can't be used: each is refused with a reason that helps.

use crate::testing::guests::{Collector, Does, collector, demanding, importing};
use crate::testing::{Bench, eventually, one, spec};
use quarterdeck_model::plugin::{InstanceName, InstanceState, PluginState, Registry};

async fn check(bytes: &[u8], expected: &str) {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("bad.wasm", bytes);
    bench.reload().await;
    let status = bench.status("bad").expect("it is listed");
    assert_eq!((status.state, status.source.as_str()), (PluginState::Refused, "bad.wasm"));
    let reason = status.reason.unwrap();
    assert!(reason.contains(expected), "{reason}");
    let event = bench.event("plugin.refused").await.event;
    assert_eq!((event.subject.as_str(), event.data["reason"].as_str()), ("bad", Some(reason.as_str())));
}

#[tokio::test]
async fn what_is_no_webassembly() {
    check(b"#!/bin/sh\nexit 0\n", "it is not a WebAssembly component").await;
}

#[tokio::test]
async fn a_core_module() {
    check(&wat::parse_str("(module)").unwrap(), "hint: build it for `wasm32-wasip2`").await;
}

#[tokio::test]
async fn a_component_of_another_world() {
    check(&wat::parse_str("(component)").unwrap(), "does not export `quarterdeck:plugin/plugin@0.1`").await;
    let no_plugin = Collector { exports_plugin: false, ..Collector::default() }.build();
    check(&no_plugin, "does not export `quarterdeck:plugin/plugin@0.1`").await;
}

#[tokio::test]
async fn an_interface_of_another_version() {
    let newer = Collector { interface: "0.2.0", ..Collector::default() }.build();
    check(&newer, "exports `quarterdeck:collector/collector@0.2.0`, and this host speaks").await;
}

#[tokio::test]
async fn an_import_that_nobody_provides() {
    check(&demanding(), "it imports `acme:rockets/launch@1.0.0`, which this host does not provide").await;
}

#[tokio::test]
async fn an_import_of_ours_that_is_newer_than_this_host() {
    let newer =
        "it imports `quarterdeck:host/kv@0.2.0`, and this host has `quarterdeck:host/kv@0.1`; hint: update this host";
    check(&importing("quarterdeck:host/kv@0.2.0"), newer).await;
    let unknown = importing("quarterdeck:rockets/launch@0.1.0");
    check(&unknown, "it imports of `quarterdeck:rockets/launch@0.1.0` what this host does not have").await;
    check(&unknown, "hint: update this host, or build the component with the SDK of this host's version").await;
}

#[tokio::test]
async fn a_describe_that_traps_or_loops() {
    let guest = |describe| Collector { describe, ..Collector::default() }.build();
    check(&guest("unreachable"), "`describe` failed: the plugin trapped").await;
    check(&guest("(loop $again (br $again))"), "`describe` failed: the call took longer than its budget of 1s").await;
}

#[tokio::test]
async fn a_name_or_a_schema_that_makes_no_sense() {
    check(&collector("Not_Kebab", "1.0.0", Does::Well), "it names itself `Not_Kebab`").await;
    let no_json = Collector { schema: "{", ..Collector::default() }.build();
    check(&no_json, "is not JSON").await;
    let no_schema = Collector { schema: r#"{"type": 7}"#, ..Collector::default() }.build();
    check(&no_schema, "is not a JSON Schema").await;
}

#[tokio::test]
async fn garbage_inside_a_component() {
    let mut bytes = collector("guest", "1.0.0", Does::Well);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0xff);
    check(&bytes, "it can't be compiled").await;
}

#[tokio::test]
async fn a_refused_file_leaves_the_old_version_running() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let before = bench.status("guest").unwrap();
    bench.drop_in("guest.wasm", b"oops");
    bench.reload().await;
    let after = bench.status("guest").unwrap();
    assert_eq!((after.state, &after.digest), (PluginState::Active, &before.digest));
    assert!(after.reason.unwrap().contains("it is not a WebAssembly component"));
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::Active);
    bench.drop_in("other.wasm", b"oops");
    bench.reload().await;
    assert_eq!(bench.status("other").unwrap().state, PluginState::Refused);
    bench.check_states();
}

#[tokio::test]
async fn a_refused_file_that_is_named_like_a_bundled_plugin_does_not_hide_it() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
    bench.drop_in("guest.wasm", b"oops");
    bench.reload().await;
    let statuses = Registry::plugins(&*bench.runtime);
    assert_eq!(statuses.len(), 1);
    assert_eq!((statuses[0].state, statuses[0].source.as_str()), (PluginState::Active, "bundled"));
    assert!(statuses[0].reason.as_ref().unwrap().contains("`guest.wasm` was refused"));
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_names_the_place() {
    let strict = r#"{"type": "object", "properties": {"port": {"type": "integer"}}, "additionalProperties": false}"#;
    let bench = Bench::with(vec![Collector { schema: strict, ..Collector::default() }.build()]).await;
    let mut wrong = spec("guest");
    wrong.config.insert("port".to_owned(), "https".into());
    let specs = one("guest/one", wrong);
    let problems = bench.check(&specs).await;
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].0.as_str(), problems[0].1.as_str()), ("guest/one", "/config/port"));
    bench.configure(specs).await;
    let status = bench.instance(&InstanceName::from("guest/one")).unwrap();
    assert_eq!(status.state, InstanceState::Misconfigured);
    assert!(status.reason.unwrap().starts_with("/config/port: "));
}

#[tokio::test]
async fn what_is_asked_for_has_to_be_granted() {
    let bench = Bench::with(vec![Collector { needs: Some("system"), ..Collector::default() }.build()]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let status = bench.instance(&name).unwrap();
    assert_eq!(status.state, InstanceState::AwaitingGrant);
    assert!(status.reason.unwrap().contains("asks for `system`"));

    let mut granted = spec("guest");
    granted.grants.system = true;
    bench.configure(one(name.as_str(), granted)).await;
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::Active);

    // A newer version that asks for more does not take over.
    bench.drop_in("guest.wasm", &Collector { version: "2.0.0", needs: Some("exec"), ..Collector::default() }.build());
    bench.reload().await;
    let status = bench.instance(&name).unwrap();
    assert_eq!((status.state, status.plugin.unwrap().version.as_str()), (InstanceState::Active, "1.0.0"));
    let reason = status.reason.unwrap();
    assert!(reason.contains("stays on version 1.0.0") && reason.contains("`exec`"), "{reason}");
    eventually("the new version in use", || bench.status("guest").filter(|status| status.version == "2.0.0")).await;
}

/// Each takes one of the pool's places for memories: many in one component would take those of the others.
#[tokio::test]
async fn a_component_with_more_memories_than_one() {
    let many = "(core module $memory (memory 1)) (core instance (instantiate $memory))";
    let text = format!("(component {many} {})", many.replace("$memory", "$other"));
    check(&wat::parse_str(text).unwrap(), "memories").await;
}
