//! Plugins in other languages than Rust, as their authors make them. The tools stand for themselves: where `componentize-py` or
//! `componentize-js` is not on the path, the tests that need it say so by name and are left out.

mod types;

use crate::harness::counterpart::{find, say};
use crate::harness::web::free_port;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Compiling an interpreter takes seconds, and other tests compile beside it.
const COMPILED: Duration = Duration::from_secs(120);

/// A second is what it should take on a machine that has nothing else to do; here other tests compile beside it.
const FROM_THE_CACHE: Duration = Duration::from_secs(10);

const KINDS: [&str; 9] = [
    "collector",
    "correlator",
    "deployment-strategy",
    "deployment-target",
    "detector",
    "notifier",
    "runbook-action",
    "scanner-rule",
    "sla-calculator",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// The virtual environment that holds componentize-py.
fn python(test: &str) -> Option<PathBuf> {
    let tool = find("componentize-py", test)?;
    Some(tool.parent().unwrap().parent().unwrap().to_owned())
}

/// The folder above the `node_modules` that holds componentize-js.
fn javascript(test: &str) -> Option<PathBuf> {
    let tool = find("componentize-js", test)?;
    find("node", test)?;
    Some(tool.parent().unwrap().parent().unwrap().parent().unwrap().to_owned())
}

/// A folder with those tools in its `node_modules`, and this repository's SDK beside them.
fn desk(setup: &Setup, tools: &Path) -> PathBuf {
    let desk = setup.folder.path().join("desk");
    let modules = desk.join("node_modules");
    std::fs::create_dir_all(&modules).unwrap();
    for entry in std::fs::read_dir(tools.join("node_modules")).unwrap().map(Result::unwrap) {
        if entry.file_name() != "quarterdeck-sdk" {
            std::os::unix::fs::symlink(entry.path(), modules.join(entry.file_name())).unwrap();
        }
    }
    std::os::unix::fs::symlink(root().join("sdk/javascript"), modules.join("quarterdeck-sdk")).unwrap();
    desk
}

/// An author's folders; `quarterdeck` is what was built here.
fn author() -> Setup {
    Setup::new().variable("VIRTUAL_ENV", "")
}

/// Runs the commands between two marks of a guide, as they stand there, in a folder.
pub(crate) fn follow(setup: &Setup, guide: &str, mark: &str, folder: &Path, places: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(root().join(guide)).unwrap();
    let block = text.split(&format!("<!-- {mark} -->")).nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    let mut commands: String =
        block.unwrap().lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n");
    for (place, path) in places {
        commands = commands.replace(place, path);
    }
    let bin = setup.folder.path().join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(crate::harness::daemon::BINARY, bin.join("quarterdeck")).unwrap();
    }
    let path = std::env::join_paths(
        [bin].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("sh");
    for (name, value) in setup.command(&[]).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell
        .args(["-e", "-c", &commands])
        .env("PATH", path.unwrap())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{commands}\n{}", said(&output));
    said(&output)
}

async fn is_loaded(daemon: &Daemon, name: &str) {
    eventually(name, COMPILED, async || {
        let plugins = daemon.items("/api/v1/plugins").await;
        plugins.into_iter().find(|plugin| plugin["name"] == name && plugin["state"] != "loading")
    })
    .await;
}

/// The guide from its first line to a figure in the running daemon; then what a restart costs.
async fn first_plugin(guide: &str, mark_file: &str) {
    let setup = author();
    let folder = setup.folder.path().join("desk");
    std::fs::create_dir(&folder).unwrap();
    let begin = Instant::now();
    let told = follow(&setup, guide, "first plugin", &folder, &[]);
    assert!(told.contains("collector calls") && told.contains("wave_height"), "{told}");
    // One of the plugin as it stands, and one of its component.
    assert!(told.contains("Ran 2 tests") || told.contains("pass 2"), "{told}");
    assert!(folder.join("wave").join(mark_file).is_file());
    // Not before: a connection that is idle for as long as a build takes is closed by the daemon.
    let daemon = setup.start().await;
    let told = follow(&daemon.setup, guide, "put to use", &folder, &[]);
    assert!(told.contains("wave 0.1.0 is in use"), "{told}");
    eventually("its figure", COMPILED, async || daemon.latest("metric=wave_height").await).await;
    say(&format!(
        "MEASURED: {guide}: from nothing to a first figure in {:.1?} (bound: 90 s on two free cores)",
        begin.elapsed()
    ));
    let often = json!({"plugin": "wave", "every": "1s", "config": {"amplitude": 2}}).to_string();
    let set = daemon.command_line(&["config", "set", "instances", "wave/first", &often]);
    assert!(set.status.success(), "{}", said(&set));

    let (setup, _, _) = daemon.stop();
    let begin = Instant::now();
    let daemon = setup.start().await;
    let ready = begin.elapsed();
    let calls =
        async || daemon.get("/api/v1/instances/wave/first").await["usage"]["calls"].as_u64().filter(|calls| *calls > 0);
    eventually("a call after the restart", COMPILED, calls).await;
    assert!(begin.elapsed() < FROM_THE_CACHE, "{:?}", begin.elapsed());
    say(&format!(
        "MEASURED: {guide}: after a restart ready after {ready:.1?}, first call done after {:.1?} (bound: 1 s from the cache, every second one call)",
        begin.elapsed()
    ));
}

#[tokio::test]
async fn the_guide_for_python_leads_to_a_figure_in_the_running_host() {
    let test = "the_guide_for_python_leads_to_a_figure_in_the_running_host";
    if find("python3", test).is_none() || python(test).is_none() {
        return;
    }
    first_plugin("sdk/python/README.md", ".venv/bin/componentize-py").await;
}

#[tokio::test]
async fn the_guide_for_javascript_leads_to_a_figure_in_the_running_host() {
    let test = "the_guide_for_javascript_leads_to_a_figure_in_the_running_host";
    if find("npm", test).is_none() || javascript(test).is_none() {
        return;
    }
    first_plugin("sdk/javascript/README.md", "node_modules/.bin/componentize-js").await;
}

fn new(setup: &Setup, name: &str, kind: &str, language: &str) -> PathBuf {
    new_below(setup, setup.folder.path(), name, kind, language)
}

fn new_below(setup: &Setup, above: &Path, name: &str, kind: &str, language: &str) -> PathBuf {
    let folder = above.join(name);
    let at = folder.to_str().unwrap();
    let made = setup.run(&["plugin", "new", name, "--kind", kind, "--language", language, "--folder", at]);
    assert!(made.status.success(), "{}", said(&made));
    folder
}

/// Each template's tests; then one component of all of them, since every component brings its interpreter along, with the test that each
/// has of its component.
#[tokio::test]
async fn every_kind_has_a_python_template_whose_tests_pass_and_which_passes_the_check() {
    let Some(environment) = python("every_kind_has_a_python_template_whose_tests_pass_and_which_passes_the_check")
    else {
        return;
    };
    let setup = author().variable("VIRTUAL_ENV", environment.to_str().unwrap());
    // Of the kind whose configuration has no default.
    let all = new(&setup, "all", "notifier", "python");
    std::fs::remove_file(all.join("tests/test_plugin.py")).unwrap();
    let (mut imports, mut classes, mut configs) = (String::new(), Vec::new(), Vec::new());
    for kind in KINDS {
        let folder = new(&setup, &format!("my-{kind}"), kind, "python");
        let tested = Command::new(environment.join("bin/python"))
            .args(["-B", "-m", "unittest", "discover", "-s", "tests", "-t", "tests", "-p", "test_plugin.py"])
            .env("PYTHONPATH", "src:quarterdeck/sdk/python")
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(tested.status.success() && said(&tested).contains("Ran 1 test"), "{kind}: {}", said(&tested));
        assert!(folder.join("tests/test_component.py").is_file());
        let module = format!("my_{}", kind.replace('-', "_"));
        std::fs::copy(folder.join("src/plugin.py"), all.join(format!("src/{module}.py"))).unwrap();
        let class: String = kind.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        imports += &format!("import {module}\n");
        classes.push(format!("{module}.My{class}"));
        configs.push(format!("{module}.Config"));
    }
    // What has no default comes first among the fields, and so last among the classes.
    configs.sort_by_key(|config| config.contains("notifier"));
    let source = format!(
        "from dataclasses import dataclass\nfrom quarterdeck_sdk import Capability\n{imports}\n\n@dataclass\nclass Config({}):\n    \
         \"\"\"All of them.\"\"\"\n\n\nclass All({}):\n    name = \"all\"\n    version = \"0.1.0\"\n    summary = \"Every kind\"\n    \
         config_type = Config\n    capabilities = [Capability.required(\"http\", \"tells\"), Capability.required(\"kv\", \"remembers\")]\n",
        configs.join(", "),
        classes.join(", ")
    );
    std::fs::write(all.join("src/plugin.py"), source).unwrap();
    let config = json!({"url": "https://quarterdeck.invalid/"}).to_string();
    let tested = setup.run(&["plugin", "test", all.to_str().unwrap(), "--json", "--config", &config]);
    assert!(said(&tested).contains("Ran 1 test"), "{}", said(&tested));
    bears_all(&tested);
}

/// Each template's tests; then one component of all of them, with the test that each has of its component.
#[tokio::test]
async fn every_kind_has_a_javascript_template_whose_tests_pass_and_which_passes_the_check() {
    let test = "every_kind_has_a_javascript_template_whose_tests_pass_and_which_passes_the_check";
    let Some(tools) = javascript(test) else { return };
    let setup = author();
    let desk = desk(&setup, &tools);
    // Of the kind whose configuration has no default.
    let all = new_below(&setup, &desk, "all", "notifier", "javascript");
    std::fs::remove_file(all.join("tests/plugin.test.js")).unwrap();
    let mut imports = String::from("import { definePlugin, object, string } from \"quarterdeck-sdk\";\n");
    let mut parts = Vec::new();
    for kind in KINDS {
        let folder = new_below(&setup, &desk, &format!("my-{kind}"), kind, "javascript");
        let tested = Command::new("node").args(["--test", "tests/plugin.test.js"]).current_dir(&folder).output();
        let tested = tested.unwrap();
        assert!(tested.status.success() && said(&tested).contains("pass 1"), "{kind}: {}", said(&tested));
        assert!(folder.join("tests/component.test.js").is_file());
        let mut words = kind.split('-');
        let first = words.next().unwrap().to_owned();
        let key = words.fold(first, |key, word| key + &word[..1].to_uppercase() + &word[1..]);
        std::fs::copy(folder.join("src/plugin.js"), all.join(format!("src/{key}.js"))).unwrap();
        imports += &format!("import {key} from \"./{key}.js\";\n");
        // Each with its own configuration, out of the one that all of them share.
        parts.push(key);
    }
    let wrapped: Vec<String> = parts.iter().map(|key| format!("  {key}: withOwn({key}, {key}.{key}),\n")).collect();
    let source = format!(
        "{imports}\nfunction withOwn(plugin, kind) {{\n  const config = (given) => plugin.config.read(plugin === notifier ? given : {{}});\n  \
         const wrap = ([name, own]) => [name, typeof own === \"function\" ? (given, ...more) => own(config(given), ...more) : own];\n  \
         return Object.fromEntries(Object.entries(kind).map(wrap));\n}}\n\nexport default definePlugin({{\n  name: \"all\",\n  version: \"0.1.0\",\n  \
         summary: \"Every kind\",\n  config: object({{ url: string(\"Where to.\") }}),\n  \
         capabilities: [...notifier.capabilities, ...deploymentTarget.capabilities],\n{}}});\n",
        wrapped.concat()
    );
    std::fs::write(all.join("src/plugin.js"), source).unwrap();
    let config = json!({"url": "https://quarterdeck.invalid/"}).to_string();
    let tested = setup.run(&["plugin", "test", all.to_str().unwrap(), "--json", "--config", &config]);
    assert!(said(&tested).contains("pass 1"), "{}", said(&tested));
    bears_all(&tested);
}

#[tokio::test]
async fn a_plugin_in_typescript_is_built_and_one_that_cannot_be_says_why() {
    let Some(tools) = javascript("a_plugin_in_typescript_is_built_and_one_that_cannot_be_says_why") else { return };
    let setup = author();
    let desk = desk(&setup, &tools);
    let folder = new_below(&setup, &desk, "wave", "collector", "javascript");
    let source = std::fs::read_to_string(folder.join("src/plugin.js")).unwrap();
    for (from, to, expected) in [
        ("name: \"wave\",", "", "the plugin has no `name`; hint: name: \"...\""),
        ("collector: {", "colector: {", "the plugin has a key `colector`"),
        ("export default definePlugin", "export const wave = definePlugin", "exports no plugin"),
        (
            "export default",
            "export * from \"quarterdeck-sdk/testing\";\nexport default",
            "quarterdeck-sdk/testing is for tests: it needs Node.js",
        ),
    ] {
        assert!(source.contains(from));
        std::fs::write(folder.join("src/plugin.js"), source.replace(from, to)).unwrap();
        let built = setup.run(&["plugin", "build", folder.to_str().unwrap()]);
        assert!(!built.status.success() && said(&built).contains(expected), "{expected}: {}", said(&built));
    }
    std::fs::remove_file(folder.join("src/plugin.js")).unwrap();
    let typed = source.replace("collect(config, nowMs)", "collect(config: { amplitude: number }, nowMs: number)");
    assert_ne!(typed, source);
    std::fs::write(folder.join("src/plugin.ts"), typed).unwrap();
    let manifest = std::fs::read_to_string(folder.join("package.json")).unwrap();
    std::fs::write(folder.join("package.json"), manifest.replace("src/plugin.js", "src/plugin.ts")).unwrap();
    let built = setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]);
    assert!(built.status.success(), "{}", said(&built));
    assert!(Path::new(json_of(&built)["component"].as_str().unwrap()).is_file());
}

#[test]
fn the_javascript_sdk_passes_its_own_tests() {
    if find("node", "the_javascript_sdk_passes_its_own_tests").is_none() {
        return;
    }
    let tested =
        Command::new("node").args(["--test", "tests/"]).current_dir(root().join("sdk/javascript")).output().unwrap();
    assert!(tested.status.success() && said(&tested).contains("fail 0"), "{}", said(&tested));
}

#[tokio::test]
async fn the_javascript_example_passes_its_tests_and_finds_what_stands_in_a_file() {
    let test = "the_javascript_example_passes_its_tests_and_finds_what_stands_in_a_file";
    let Some(tools) = javascript(test) else { return };
    let setup = author();
    let desk = desk(&setup, &tools);
    let example = desk.join("dockerfile");
    let copied =
        Command::new("cp").arg("-r").arg(root().join("sdk/javascript/examples/dockerfile")).arg(&example).status();
    assert!(copied.unwrap().success());
    let along = example.join("quarterdeck/sdk");
    std::fs::create_dir_all(&along).unwrap();
    std::os::unix::fs::symlink(root().join("sdk/javascript"), along.join("javascript")).unwrap();
    let tested = setup.run(&["plugin", "test", example.to_str().unwrap()]);
    assert!(tested.status.success() && said(&tested).contains("scanner-rule calls"), "{}", said(&tested));
    let images = setup.folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    std::fs::write(images.join("Dockerfile"), "FROM debian\nENV DB_PASSWORD=hunter2\nUSER app\n").unwrap();
    std::fs::copy(example.join("build/dockerfile.wasm"), setup.plugins_dir().join("dockerfile.wasm")).unwrap();
    let config = format!(
        "[instances.\"dockerfile/all\"]\nplugin = \"dockerfile\"\n\n[scans.images]\npaths = [{:?}]\nrules = [\"dockerfile/all\"]\n",
        images.to_str().unwrap()
    );
    let daemon = setup.config(&config).start().await;
    is_loaded(&daemon, "dockerfile").await;
    let scanned = daemon.command_line(&["scan", "images", "--json"]);
    let text = said(&scanned);
    assert!(text.contains("dockerfile/secret-in-env") && text.contains("dockerfile/unpinned-image"), "{text}");
    assert!(!text.contains("hunter2"), "the secret is masked: {text}");
}

/// A web server of this test, and how often it was asked.
async fn counted(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = axum::Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        async move { answer }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

const FETCHES: &str = r#"
import { capability, definePlugin, gauge, health, object, string } from "quarterdeck-sdk";

async function answers(url) {
  try {
    return (await (await fetch(url)).text()) === "here" ? 1 : 0;
  } catch {
    return -1;
  }
}

export default definePlugin({
  name: "fetches",
  version: "0.1.0",
  summary: "Asks two pages",
  capabilities: [capability.required("http", "asks the pages")],
  config: object({ granted: string("Page that it may ask."), other: string("Page that it may not ask.") }),
  collector: {
    async collect(config) {
      const other = await answers(config.other);
      const granted = await answers(config.granted);
      return {
        health: health.ok("it asked"),
        families: [gauge("fetch_granted", "What came").value(granted), gauge("fetch_other", "What came").value(other)],
      };
    },
  },
});
"#;

/// `fetch` goes through the same door as the SDK's own client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_in_a_javascript_plugin_reaches_the_origin_that_is_granted_and_no_other() {
    let test = "fetch_in_a_javascript_plugin_reaches_the_origin_that_is_granted_and_no_other";
    let Some(tools) = javascript(test) else { return };
    let (granted, asked) = counted("here").await;
    let (other, never) = counted("here").await;
    let setup = author();
    let desk = desk(&setup, &tools);
    let folder = new_below(&setup, &desk, "fetches", "collector", "javascript");
    std::fs::write(folder.join("src/plugin.js"), FETCHES).unwrap();
    let built = setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]);
    assert!(built.status.success(), "{}", said(&built));
    let component = json_of(&built)["component"].as_str().unwrap().to_owned();
    std::fs::copy(component, setup.plugins_dir().join("fetches.wasm")).unwrap();
    let config = format!(
        "[instances.\"fetches/both\"]\nplugin = \"fetches\"\nevery = \"1s\"\nconfig = {{ granted = \"{granted}/\", other = \"{other}/\" }}\n\
         grants.http = [\"{granted}\"]\ngranted-to = [\"file:fetches.wasm\"]\n"
    );
    let daemon = setup.config(&config).start().await;
    is_loaded(&daemon, "fetches").await;
    let came = eventually("what came", COMPILED, async || daemon.latest("metric=fetch_granted").await).await;
    assert_eq!(came, 1.0, "{:#}", daemon.get("/api/v1/instances/fetches/both").await);
    assert_eq!(daemon.latest("metric=fetch_other").await, Some(-1.0));
    assert!(asked.load(Ordering::SeqCst) > 0);
    assert_eq!(never.load(Ordering::SeqCst), 0, "what is not granted is not even connected to");
}

/// What the two plugins of `languages/` see of the host in files and secrets, as samples.
async fn reads_files_and_a_secret(setup: Setup, component: &str) {
    let place = |name: &str| setup.folder.path().join(name).to_str().unwrap().to_owned();
    let (path, other) = (place("granted.log"), place("other.log"));
    for path in [&path, &other] {
        std::fs::write(path, "one\ntwo\n").unwrap();
    }
    std::fs::copy(component, setup.plugins_dir().join("reads.wasm")).unwrap();
    let config = format!(
        "[secrets]\nword = {{ env = \"SPOKEN_WORD\" }}\n\
         [instances.\"reads/both\"]\nplugin = \"reads\"\nevery = \"1s\"\nconfig = {{ path = {path:?}, other = {other:?} }}\n\
         grants = {{ files = [{path:?}, {0:?}], reveal = [\"word\"] }}\ngranted-to = [\"file:reads.wasm\"]\n",
        format!("{path}.gone")
    );
    let daemon = setup.variable("SPOKEN_WORD", "open sesame").config(&config).start().await;
    is_loaded(&daemon, "reads").await;
    eventually("what was read", COMPILED, async || daemon.latest("metric=secret_ok").await).await;
    let instance = daemon.get("/api/v1/instances/reads/both").await;
    for name in ["read_ok", "read_gone", "read_denied", "secret_ok"] {
        assert_eq!(daemon.latest(&format!("metric={name}")).await, Some(1.0), "{name}: {instance:#}");
    }
}

#[tokio::test]
async fn a_python_plugin_reads_the_files_and_secrets_that_are_granted_and_no_others() {
    let test = "a_python_plugin_reads_the_files_and_secrets_that_are_granted_and_no_others";
    let Some(environment) = python(test) else { return };
    let setup = author().variable("VIRTUAL_ENV", environment.to_str().unwrap());
    let folder = new(&setup, "reads", "collector", "python");
    std::fs::write(folder.join("src/plugin.py"), include_str!("languages/reads.py")).unwrap();
    let built = setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]);
    assert!(built.status.success(), "{}", said(&built));
    reads_files_and_a_secret(setup, json_of(&built)["component"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_javascript_plugin_reads_the_files_and_secrets_that_are_granted_and_no_others() {
    let test = "a_javascript_plugin_reads_the_files_and_secrets_that_are_granted_and_no_others";
    let Some(tools) = javascript(test) else { return };
    let setup = author();
    let desk = desk(&setup, &tools);
    let folder = new_below(&setup, &desk, "reads", "collector", "javascript");
    std::fs::write(folder.join("src/plugin.js"), include_str!("languages/reads.js")).unwrap();
    let built = setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]);
    assert!(built.status.success(), "{}", said(&built));
    reads_files_and_a_secret(setup, json_of(&built)["component"].as_str().unwrap()).await;
}

/// Statistics, words and memory are the same to the digit and to the byte, also where an interpreter in a sandbox does them.
#[tokio::test]
async fn a_detector_says_and_remembers_the_same_in_python_and_in_javascript() {
    let test = "a_detector_says_and_remembers_the_same_in_python_and_in_javascript";
    let (Some(environment), Some(tools)) = (python(test), javascript(test)) else { return };
    let setup = author().variable("VIRTUAL_ENV", environment.to_str().unwrap());
    let desk = desk(&setup, &tools);
    let mut told = Vec::new();
    for (above, language, source, text) in [
        (setup.folder.path(), "python", "src/plugin.py", include_str!("languages/learns.py")),
        (desk.as_path(), "javascript", "src/plugin.js", include_str!("languages/learns.js")),
    ] {
        let folder = new_below(&setup, above, "learns", "detector", language);
        std::fs::write(folder.join(source), text).unwrap();
        let built = setup.run(&["plugin", "build", folder.to_str().unwrap(), "--json"]);
        assert!(built.status.success(), "{}", said(&built));
        let component = json_of(&built)["component"].as_str().unwrap().to_owned();
        let call = |state: &Value| {
            let input = json!({
                "now": "2026-01-01T00:00:00Z",
                "state": state,
                "series": [
                    {"labels": {"host": "a", "zone": "é"}, "values": [1, 5, 30, 70, 71, 90, 120, 130, 151, 200, 190, 230]},
                    {"labels": {"host": "b"}, "values": [9, 8, 7, 6, 5]},
                    {"labels": {"host": "c"}, "values": []},
                ],
            });
            let called = setup.run(&["plugin", "run", &component, "evaluate", "--input", &input.to_string()]);
            assert!(called.status.success(), "{language}: {}", said(&called));
            json_of(&called)["output"].clone()
        };
        let first = call(&Value::Null);
        let second = call(&first["state"]);
        assert_eq!(first["signals"].as_array().unwrap().len(), 1, "{language}: {first:#}");
        assert_eq!(second["signals"][0]["reason"], "rises by 1.361, strays by 89.7, seen 1 times", "{language}");
        told.push([first, second]);
    }
    assert_eq!(told[0], told[1]);
}

/// The check has nothing to say against it but that an interpreter is large.
fn bears_all(checked: &Output) {
    assert!(checked.status.success(), "{}", said(checked));
    let report = json_of(checked);
    let findings = report["findings"].as_array().unwrap();
    let poor: Vec<&Value> =
        findings.iter().filter(|finding| finding["verdict"] != "passed" && finding["check"] != "size").collect();
    assert!(poor.is_empty(), "{poor:#?}");
    for kind in KINDS {
        assert!(findings.iter().any(|finding| finding["check"] == format!("{kind} calls")), "{kind}: {findings:#?}");
    }
}

#[test]
fn the_python_sdk_passes_its_own_tests() {
    if find("python3", "the_python_sdk_passes_its_own_tests").is_none() {
        return;
    }
    let tested = Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s", "tests"])
        .env("PYTHONPATH", ".")
        .current_dir(root().join("sdk/python"))
        .output()
        .unwrap();
    assert!(tested.status.success() && said(&tested).contains("OK"), "{}", said(&tested));
}

/// What a plugin's author gets to see of a mistake.
#[tokio::test]
async fn a_python_plugin_that_cannot_be_built_says_why() {
    let Some(environment) = python("a_python_plugin_that_cannot_be_built_says_why") else { return };
    let setup = author().variable("VIRTUAL_ENV", environment.to_str().unwrap());
    let folder = new(&setup, "wave", "collector", "python");
    let source = std::fs::read_to_string(folder.join("src/plugin.py")).unwrap();
    for (from, to, expected) in [
        ("name = \"wave\"", "", "Wave has no `name`; hint: name = \"...\""),
        ("(Collector[Config])", "", "is no plugin; hint: a class that derives from a kind"),
        ("amplitude: Annotated[float", "amplitude: Annotated[bytes", "can't be read from JSON"),
    ] {
        assert!(source.contains(from));
        std::fs::write(folder.join("src/plugin.py"), source.replace(from, to)).unwrap();
        let built = setup.run(&["plugin", "build", folder.to_str().unwrap()]);
        assert!(!built.status.success() && said(&built).contains(expected), "{expected}: {}", said(&built));
    }
}

#[test]
fn a_missing_tool_is_named_with_what_installs_it() {
    let setup = author();
    let nowhere = setup.folder.path().join("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    let folder = new(&setup, "wave", "collector", "python");
    let output = setup.command(&["plugin", "build", folder.to_str().unwrap()]).env("PATH", &nowhere).output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("failed to run python3"), "{text}");
    assert!(text.contains("hint: install Python 3.11"), "{text}");
    let output = setup.run(&["plugin", "build", nowhere.to_str().unwrap()]);
    assert!(said(&output).contains("there is no plugin in"), "{}", said(&output));
}

/// Serves a folder until it is dropped.
struct Site(Child, String);

impl Site {
    async fn start(folder: &Path) -> Self {
        let port = free_port();
        let child = Command::new("python3")
            .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let site = Site(child, format!("http://127.0.0.1:{port}"));
        eventually("the site", Duration::from_secs(20), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        site
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_python_example_passes_its_tests_and_works_beside_the_rust_plugins() {
    let Some(environment) = python("the_python_example_passes_its_tests_and_works_beside_the_rust_plugins") else {
        return;
    };
    let setup = author().variable("VIRTUAL_ENV", environment.to_str().unwrap());
    let example = root().join("sdk/python/examples/status-page");
    let tested = setup.run(&["plugin", "test", example.to_str().unwrap()]);
    assert!(tested.status.success() && said(&tested).contains("collector calls"), "{}", said(&tested));
    let pages = setup.folder.path().join("site/api/v2");
    std::fs::create_dir_all(&pages).unwrap();
    let page = json!({
        "components": [{"name": "Git", "status": "operational"}, {"name": "Hooks", "status": "major_outage"}],
        "incidents": [{"name": "Hooks are late"}],
    });
    std::fs::write(pages.join("summary.json"), page.to_string()).unwrap();
    let site = Site::start(&setup.folder.path().join("site")).await;
    std::fs::copy(example.join("build/status-page.wasm"), setup.plugins_dir().join("status-page.wasm")).unwrap();
    let config = format!(
        "[instances.\"status-page/them\"]\nplugin = \"status-page\"\nevery = \"1s\"\nconfig = {{ url = \"{0}\" }}\n\
         grants.http = [\"{0}\"]\ngranted-to = [\"file:status-page.wasm\"]\n",
        site.1
    );
    let daemon = setup.config(&config).start().await;
    let hooks = async || daemon.latest("metric=status_page_component_ratio&label=component=Hooks").await;
    assert_eq!(eventually("what the page says", COMPILED, hooks).await, 0.0);
    assert_eq!(daemon.latest("metric=status_page_open_incidents").await, Some(1.0));
    eventually("the figures of a Rust plugin", COMPILED, async || daemon.latest("metric=cpu_usage_percent").await)
        .await;
    let instance = daemon.get("/api/v1/instances/status-page/them").await;
    assert_eq!(instance["state"], "active", "{instance:#}");
}
