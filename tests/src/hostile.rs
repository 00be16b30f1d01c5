//! Plugins that misbehave cost themselves the call and nobody else anything.

use crate::harness::guest::{build, bundled, install};
use crate::harness::receiver::Receiver;
use crate::harness::{Setup, eventually};
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

/// What each does, the code of its failure, and what its state's reason says.
const MISBEHAVIOURS: [(&str, &str, &str); 7] = [
    ("trap", "trapped", "the plugin trapped"),
    ("loop", "deadline", "longer than its budget of 300ms"),
    ("allocate", "out-of-memory", "more than its 33554432 bytes of memory"),
    ("recurse", "trapped", "the plugin trapped: wasm trap"),
    ("giant-result", "limited", "result-bytes"),
    ("log-flood", "trapped", "more than 10000 host calls in one call"),
    ("event-flood", "deadline", "longer than its budget of 300ms"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaviour_gives_a_clear_state_and_reason_while_the_host_serves() {
    let mut text = String::new();
    for behaviour in MISBEHAVIOURS.map(|(behaviour, ..)| behaviour).into_iter().chain(["trap-in-validation", "ok"]) {
        // Where time is not what ends it, a slow machine must not either.
        let deadline = if ["loop", "event-flood"].contains(&behaviour) { "300ms" } else { "20s" };
        text.push_str(&format!(
            "[instances.\"hostile/{behaviour}\"]\nplugin = \"hostile\"\nevery = \"200ms\"\nconfig = {{ behaviour = \"{behaviour}\" }}\n\
             limits = {{ deadline = \"{deadline}\", memory-bytes = 33554432 }}\ngrants = {{ events = [\"custom.\"] }}\ngranted-to = [\"file:hostile.wasm\"]\n"
        ));
    }
    let setup = Setup::new().config(&text);
    install(&setup.plugins_dir(), "hostile.wasm", &build("hostile"));
    let daemon = setup.start().await;
    for (behaviour, code, reason) in MISBEHAVIOURS {
        let instance = eventually(behaviour, SOON, async || {
            let instance = daemon.get(&format!("/api/v1/instances/hostile/{behaviour}")).await;
            (instance["state"] == "quarantined").then_some(instance)
        })
        .await;
        let told = instance["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{behaviour}: {told}");
        // In quarantine there is nothing to call, which is counted too.
        let failures = instance["usage"]["failures"].as_object().unwrap();
        let codes: Vec<&String> = failures.keys().filter(|code| *code != "unavailable").collect();
        assert_eq!(codes, [code], "{behaviour}: {instance:#}");
        assert!(instance["usage"]["last_error"].as_str().unwrap().contains(reason), "{instance:#}");
    }
    let unfit = daemon.get("/api/v1/instances/hostile/trap-in-validation").await;
    assert_eq!(unfit["state"], "misconfigured", "{unfit:#}");
    assert!(unfit["reason"].as_str().unwrap().contains("could not check it: the plugin trapped"), "{unfit:#}");
    assert_eq!(unfit["usage"]["calls"], 0, "it is not called: {unfit:#}");

    let good = daemon.get("/api/v1/instances/hostile/ok").await;
    assert_eq!(good["state"], "active", "{good:#}");
    assert!(good["usage"]["calls"].as_u64().unwrap() >= 5, "{good:#}");
    assert_eq!(good["usage"]["failures"].as_object().unwrap().len(), 0, "{good:#}");
    // What a call that failed has published is dropped with it; of what it logged, a hundred lines were taken.
    assert_eq!(daemon.items("/api/v1/events?type=custom").await, [] as [Value; 0]);
    let calls = daemon.get("/api/v1/instances/hostile/log-flood").await["usage"]["calls"].as_u64().unwrap();
    let lines = daemon.log().lines().filter(|line| line.contains("again and again")).count() as u64;
    assert!(lines > 0 && lines <= 100 * calls, "{lines} lines in {calls} calls");
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begin = Instant::now();
        daemon.get("/healthz").await;
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "the host serves meanwhile: {slowest:?}");
}

/// The same component with another text, of the same length, wherever the first one stands.
fn replaced(component: &[u8], text: &str, by: &str) -> Vec<u8> {
    assert_eq!(text.len(), by.len());
    let mut bytes = component.to_vec();
    let mut places = 0;
    for at in 0..bytes.len() - text.len() {
        if bytes[at..].starts_with(text.as_bytes()) {
            bytes[at..at + by.len()].copy_from_slice(by.as_bytes());
            places += 1;
        }
    }
    assert!(places > 0, "the component does not hold `{text}`");
    bytes
}

/// A component of one core module with one memory, instantiated so often.
fn with_memories(count: u8) -> Vec<u8> {
    let module = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01";
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([1, module.len() as u8]);
    bytes.extend(module);
    // Core instances: of module 0, without arguments.
    let instances: Vec<u8> = std::iter::once(count).chain((0..count).flat_map(|_| [0, 0, 0])).collect();
    // The section's length, as LEB128.
    bytes.extend([2, instances.len() as u8 & 0x7f | 0x80, (instances.len() >> 7) as u8]);
    bytes.extend(instances);
    bytes
}

/// A component that exports an empty component under so many names.
fn with_exports(count: usize) -> Vec<u8> {
    let exports: String = (0..count).map(|n| format!("(export \"export-{n}\" (component 0))")).collect();
    wat::parse_str(format!("(component (component) {exports})")).unwrap()
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let setup = Setup::new();
    let folder = setup.plugins_dir();
    let good = bundled("system");
    let collector = "quarterdeck:collector/collector@0.1.0";
    let files: [(&str, Vec<u8>, &str); 11] = [
        ("text", b"hello".to_vec(), "it is not a WebAssembly component"),
        ("empty", Vec::new(), "it is not a whole component"),
        ("core-module", b"\0asm\x01\0\0\0".to_vec(), "it is a core module, not a component"),
        ("empty-component", b"\0asm\x0d\0\x01\0".to_vec(), "does not export `quarterdeck:plugin/plugin@0.1`"),
        ("cut", good[..30_000].to_vec(), "it ends in the middle of a section"),
        (
            "other-version",
            replaced(&good, collector, "quarterdeck:collector/collector@0.7.0"),
            "it exports `quarterdeck:collector/collector@0.7.0`, and this host speaks",
        ),
        (
            "other-world",
            replaced(&good, "quarterdeck:plugin/plugin@", "quarterdork:plugin/plugin@"),
            "does not export `quarterdeck:plugin/plugin@0.1`",
        ),
        ("memories", with_memories(64), "memories"),
        ("exports", with_exports(10_000), "exceeds limit of 1000"),
        (
            "lying-schema",
            replaced(&build("outside"), "\"additionalProperties\":false", "\"additionalProperties\":12345"),
            "is not a JSON Schema",
        ),
        ("endless", build("endless"), "`describe` failed: the call took longer than its budget of 1s"),
    ];
    for (name, bytes, _) in &files {
        install(&folder, &format!("{name}.wasm"), bytes);
    }
    let daemon = setup.start().await;
    for (name, _, reason) in &files {
        let plugin = eventually(name, SOON, async || {
            let mut plugins = daemon.items("/api/v1/plugins").await.into_iter();
            plugins.find(|plugin| plugin["name"] == *name && plugin["state"] != "loading")
        })
        .await;
        assert_eq!(plugin["state"], "refused", "{plugin}");
        assert!(plugin["reason"].as_str().unwrap().contains(reason), "{name}: {plugin}");
        assert_eq!(plugin["source"], format!("{name}.wasm"));
    }
    // None of them kept the good ones from coming up.
    let system = daemon.get("/api/v1/plugins/system").await;
    assert_eq!((&system["state"], &system["source"]), (&"active".into(), &"bundled".into()), "{system}");
}

/// Addresses that no grant for everywhere opens: loopback, the cloud's metadata, private ranges, and names of them.
const INSIDE: [&str; 8] =
    ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "192.168.0.1", "[fd00::1]", "0.0.0.0"];

#[tokio::test]
async fn a_plugin_that_may_reach_everywhere_reaches_nothing_inside() {
    let inside = Receiver::start().await;
    let port = inside.address.port();
    let urls: Vec<String> = INSIDE.iter().map(|host| format!("http://{host}:{port}/")).collect();
    let addresses: Vec<String> = INSIDE.iter().map(|host| format!("{host}:{port}")).collect();
    let setup = Setup::new();
    let text = format!(
        "[secrets]\nown = {{ env = \"OWN_SECRET\" }}\n\
         [instances.\"intruder/one\"]\nplugin = \"intruder\"\nevery = \"1s\"\ngranted-to = [\"file:intruder.wasm\"]\n\
         grants = {{ http = [\"*\"], tcp = [\"*:*\"], secret = [\"own\"] }}\nlimits = {{ log-lines = 10 }}\n\
         config = {{ urls = {urls:?}, addresses = {addresses:?}, secret = \"own\", \
         files = [\"/etc/passwd\", \"../../../../etc/passwd\", \"/proc/self/environ\", {:?}] }}\n",
        setup.data_dir().join("token")
    );
    let setup = setup.config(&text).variable("OWN_SECRET", "correct-horse-battery");
    install(&setup.plugins_dir(), "intruder.wasm", &build("intruder"));
    let daemon = setup.start().await;
    let reached = eventually("its report", SOON, async || {
        let series = daemon.items("/api/v1/metrics/latest?metric=intruder_reached").await;
        (!series.is_empty()).then_some(series)
    })
    .await;
    assert_eq!(reached.len(), 3 * INSIDE.len() + 4 + 1, "{reached:#?}");
    for series in &reached {
        assert_eq!(series["value"], 0.0, "{series:#}");
    }
    assert!(inside.received().is_empty(), "nothing arrived");
    // The log has the plugin's lines, and the host's records of what it tried, without the secret.
    eventually("its lines", SOON, async || daemon.log().contains("its MAC has 32 bytes").then_some(())).await;
    assert!(!daemon.log().contains("correct-horse-battery"));
    eventually("the record of what was refused", SOON, async || {
        let records = daemon.items("/api/v1/events?type=audit.http&limit=100").await;
        records.iter().any(|record| record.to_string().contains("169.254.169.254")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn floods_of_calls_of_the_host_and_slow_answers_end_the_call_and_nothing_else() {
    let server = Receiver::start().await;
    server.hold("/slow");
    let mut text = String::new();
    // Instance, what it floods, path, grants. A request is refused when a hundred were sent, and the plugin goes on asking.
    let floods = [
        ("kv", "kv", "", "kv = true".to_owned()),
        ("http", "http", "/fast", format!("http = [\"{}\"]", server.url())),
        ("slow", "http", "/slow", format!("http = [\"{}\"]", server.url())),
    ];
    for (instance, flood, path, grants) in &floods {
        text.push_str(&format!(
            "[instances.\"intruder/{instance}\"]\nplugin = \"intruder\"\nevery = \"200ms\"\ngranted-to = [\"file:intruder.wasm\"]\n\
             grants = {{ {grants} }}\nlimits = {{ deadline = \"500ms\", host-calls = 100 }}\n\
             config = {{ flood = \"{flood}\", urls = [\"{}{path}\"] }}\n",
            server.url()
        ));
    }
    let setup = Setup::new().config(&text);
    install(&setup.plugins_dir(), "intruder.wasm", &build("intruder"));
    let daemon = setup.start().await;
    for (name, flood, path, _) in &floods {
        let instance = eventually(name, SOON, async || {
            let instance = daemon.get(&format!("/api/v1/instances/intruder/{name}")).await;
            (instance["state"] == "quarantined").then_some(instance)
        })
        .await;
        assert!(instance["reason"].as_str().unwrap().contains("longer than its budget of 500ms"), "{instance:#}");
        let usage = &instance["usage"];
        let (calls, asked) = (usage["calls"].as_u64().unwrap(), usage["host_calls"][flood].as_u64().unwrap());
        assert!(asked > 0, "{instance:#}");
        if *flood == "kv" {
            assert!(asked <= 100 * calls, "{asked} host calls in {calls} calls");
            continue;
        }
        let arrived = server.received().iter().filter(|received| received.path == *path).count();
        assert!(arrived > 0, "{name}");
        assert!(u64::try_from(arrived).unwrap() <= 100 * calls, "{arrived} requests in {calls} calls");
    }
    assert_eq!(daemon.get("/api/v1/instances/http-probe/self").await["state"], "active");
    server.release();
}
