//! What is laid over what, and where each value came from.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use quarterdeck_config::{Flag, Loaded, SecretSource, Settings, Source, default_text, json_schema, load, sections};
use quarterdeck_model::Span;
use quarterdeck_model::plugin::InstanceName;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn from(dir: &TempDir) -> Source {
    Source { dir: Some(dir.path().to_owned()), ..Source::default() }
}

fn good(source: Source) -> Loaded {
    load(source).unwrap_or_else(|problems| unreachable!("{problems}"))
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flag(path: &str, value: &str, name: &str) -> Flag {
    Flag { path: path.to_owned(), value: value.to_owned(), name: name.to_owned() }
}

#[test]
fn without_a_folder_the_built_in_configuration_holds() {
    let loaded = good(Source::default());
    let settings = &loaded.settings;
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7700");
    assert_eq!(settings.instances[&InstanceName::from("http-probe/self")].every, Some(Span::from_secs(5)));
    assert_eq!(settings.runbooks["system-health-check"].steps.len(), 5);
    assert_eq!(settings.scans["default"].rules.len(), 2);
    assert_eq!((settings.slos.len(), settings.rules.len()), (2, 11));
    assert!(
        settings.instances.values().all(|instance| instance.grants.exec.is_empty()),
        "nothing built in may run programs"
    );
    assert_eq!(loaded.place("/instances/system~1local/every"), "built in");
    assert_eq!(loaded.place("/storage/keep-events"), "");
    assert!(loaded.files.is_empty());
}

#[test]
fn each_layer_is_laid_over_the_one_before() {
    let dir = folder(&[
        (
            "quarterdeck.toml",
            "[storage]\nkeep-events = '2days'\nkeep-samples = '2days'\n[log]\nfilter = 'warn'\n[api]\nallowed-hosts = ['a']\n",
        ),
        (
            "environments/production.toml",
            "[storage]\nkeep-events = '3days'\n[log]\nformat = 'json'\nfilter = 'error'\n[api]\nallowed-hosts = ['b', 'c']\n",
        ),
    ]);
    let mut source = from(&dir);
    assert_eq!(good(source.clone()).settings.storage.keep_events, Span::from_secs(2 * 86_400));
    source.environment = Some("production".to_owned());
    source.variables = variables(&[
        ("QUARTERDECK_LOG__FILTER", "debug"),
        ("QUARTERDECK_LISTEN", "127.0.0.1:1"),
        ("QUARTERDECK_RUNTIME__GUEST_THREADS", "3"),
        ("QUARTERDECK_BUILT_INS", "true"),
        ("QUARTERDECK_TOKEN_FILE", "/not/a/setting"),
        ("HOME", "/not/ours"),
    ]);
    source.flags = vec![flag("listen", "127.0.0.1:2", "--listen")];
    let loaded = good(source);
    let settings = &loaded.settings;
    assert_eq!(settings.storage.keep_events, Span::from_secs(3 * 86_400));
    assert_eq!(settings.storage.keep_samples, Span::from_secs(2 * 86_400), "tables merge");
    assert_eq!(settings.api.allowed_hosts, ["b", "c"], "lists replace");
    assert_eq!(settings.log.filter, "debug");
    assert_eq!(settings.runtime.guest_threads, Some(3));
    assert_eq!(settings.listen.port(), 2);
    let place = |pointer: &str| loaded.place(pointer).replace(&format!("{}/", dir.path().display()), "");
    assert_eq!(place("/storage/keep-events"), "environments/production.toml:2:15");
    assert_eq!(place("/storage/keep-samples"), "quarterdeck.toml:3:16");
    assert_eq!(place("/log/filter"), "QUARTERDECK_LOG__FILTER");
    assert_eq!(place("/listen"), "--listen");
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn a_variable_reaches_lists_and_keys_of_any_spelling() {
    let source = Source {
        variables: variables(&[
            ("QUARTERDECK_API__ALLOWED_HOSTS", "a.example, b.example"),
            ("QUARTERDECK_INSTANCES__HTTP_PROBE_SELF__CONFIG__BODY_CONTAINS", "fine"),
            ("QUARTERDECK_INSTANCES__HTTP_PROBE_SELF__ENABLED", "false"),
            ("QUARTERDECK_SLOS__SELF_AVAILABILITY__CONFIG__TARGET", "0.99"),
            ("QUARTERDECK_RULES__CPU_HIGH__FOR", "90s"),
        ]),
        ..Source::default()
    };
    let settings = good(source).settings;
    assert_eq!(settings.api.allowed_hosts, ["a.example", "b.example"]);
    let probe = &settings.instances[&InstanceName::from("http-probe/self")];
    assert_eq!((&probe.config["body-contains"], probe.enabled), (&json!("fine"), false));
    assert_eq!(settings.slos["self-availability"].config["target"], json!(0.99));
    assert_eq!(settings.rules["cpu-high"].hold, Span::from_secs(90));
}

#[test]
fn objects_stand_in_files_of_one_or_of_many_in_toml_or_yaml() {
    let dir = folder(&[
        ("quarterdeck.toml", "[rules.one]\ndetector = 'threshold/default'\nselect.metric = 'a'\n"),
        ("rules/two.toml", "detector = 'threshold/default'\nselect = { metric = 'b' }\n"),
        (
            "rules/more.yaml",
            "rules:\n  three: &rule\n    detector: threshold/default\n    select: {metric: c}\n  four: *rule\n",
        ),
        ("scans/code.toml", "rules = ['secrets/default']\npaths = ['/srv']\n"),
        (
            "instances/http-probe/shop.yml",
            "plugin: http-probe\nevery: 30s\nconfig:\n  url: https://shop.example.com\n  code: \"200\"\n  retries: 3\n",
        ),
        (
            "runbooks/restart.yaml",
            "title: Restart\ninputs: {service: null}\nsteps:\n  - name: Ask\n    action: http/health\n    on-failure: {goto: Ask}\n",
        ),
        ("runbooks/README.md", "not an object"),
        ("runbooks/.hidden.yaml", "not: an object"),
        ("runbooks/restart.yaml~", "not: an object"),
        ("slos/empty.toml", "# nothing yet\n"),
    ]);
    let loaded = good(from(&dir));
    let settings = &loaded.settings;
    assert!(["one", "two", "three", "four"].iter().all(|name| settings.rules.contains_key(*name)));
    assert_eq!(settings.rules["four"].select.metric, "c");
    assert_eq!(settings.scans["code"].paths, ["/srv"]);
    let shop = &settings.instances[&InstanceName::from("http-probe/shop")];
    assert_eq!((&shop.config["code"], &shop.config["retries"]), (&json!("200"), &json!(3)));
    assert_eq!(settings.runbooks["restart"].inputs["service"], Value::Null);
    assert_eq!(loaded.files.len(), 7);
}

#[test]
fn a_built_in_object_is_changed_by_its_name_or_left_out_with_all_of_them() {
    let dir = folder(&[("quarterdeck.toml", "[instances.\"system/local\"]\nevery = '1m'\n")]);
    let settings = good(from(&dir)).settings;
    let system = &settings.instances[&InstanceName::from("system/local")];
    assert_eq!((system.every, system.grants.system), (Some(Span::from_secs(60)), true));
    let bare = folder(&[("quarterdeck.toml", "built-ins = false\n")]);
    let settings = good(from(&bare)).settings;
    assert!(settings.instances.is_empty() && settings.rules.is_empty() && settings.runbooks.is_empty());
}

#[test]
fn relative_paths_are_relative_to_the_folder_of_their_file() {
    let dir = folder(&[(
        "quarterdeck.toml",
        "data-dir = 'data'\nplugins-dir = '/plugins'\n[secrets]\nkey = { file = 'key' }\nother = { env = 'KEY' }\n",
    )]);
    let settings = good(from(&dir)).settings;
    assert_eq!(settings.data_dir, dir.path().join("data"));
    assert_eq!(settings.plugins_dir.as_deref(), Some(Path::new("/plugins")));
    assert_eq!(settings.secrets["key"], SecretSource::File(dir.path().join("key")));
    assert_eq!(settings.secrets["other"], SecretSource::Env("KEY".to_owned()));
}

#[test]
fn texts_of_the_host_are_filled_in_and_others_are_left() {
    let settings =
        good(Source::default()).settings.resolve("http://127.0.0.1:7701", Path::new("/etc/q"), Path::new("/var/q"));
    let probe = &settings.instances[&InstanceName::from("http-probe/self")];
    assert_eq!(probe.config["url"], "http://127.0.0.1:7701/healthz");
    assert_eq!(probe.grants.http, ["http://127.0.0.1:7701"]);
    assert_eq!(settings.scans["default"].paths, ["/etc/q"]);
    assert_eq!(settings.scans["default"].urls, ["http://127.0.0.1:7701/"]);
    assert_eq!(settings.runbooks["system-health-check"].steps[4].with["url"], "http://127.0.0.1:7701/readyz");
    assert_eq!(settings.rules["disk-almost-full"].summary, "{{label.mount}} is {{value}} % full");
}

#[test]
fn the_digest_is_that_of_the_values_and_not_of_how_they_are_written() {
    let digest = |text: &str| good(from(&folder(&[("quarterdeck.toml", text)]))).digest;
    let plain = digest("");
    assert!(plain.starts_with("sha256:") && plain.len() == 71);
    assert_eq!(digest("# the default\n[log]\nfilter = 'info'\n"), plain);
    assert_ne!(digest("[log]\nfilter = 'debug'\n"), plain);
}

#[test]
fn what_was_loaded_loads_again_from_its_json() {
    let loaded = good(Source::default());
    let again: Settings = serde_json::from_value(loaded.value()).unwrap();
    assert_eq!(again, loaded.settings);
}

#[test]
fn the_schema_names_every_setting() {
    let schema = json_schema();
    for key in ["listen", "data-dir", "storage", "instances", "runbooks"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], json!(false));
}

/// `(pointer, value)` of every setting below `value` that is not a section of objects.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                leaves(inner, &format!("{pointer}/{key}"), found);
            }
        }
        leaf => found.push((pointer.to_owned(), leaf.clone())),
    }
}

#[test]
fn every_commented_line_of_the_annotated_file_is_the_default_and_no_setting_is_left_out() {
    let setting = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
    };
    let uncommented: String =
        default_text().lines().map(|line| format!("{}\n", if setting(line) { &line[1..] } else { line })).collect();
    let shown: Value = serde_json::to_value(toml::from_str::<toml::Value>(&uncommented).unwrap()).unwrap();
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    // Computed where the daemon runs.
    let computed = ["/data-dir", "/plugins-dir", "/runtime/guest-threads"];
    let mut found = Vec::new();
    leaves(&shown, "", &mut found);
    for (pointer, value) in &found {
        if !computed.contains(&pointer.as_str()) {
            assert_eq!(defaults.pointer(pointer), Some(value), "{pointer}");
        }
    }
    let mut wanted = Vec::new();
    leaves(&defaults, "", &mut wanted);
    for (pointer, _) in wanted {
        assert!(found.iter().any(|(shown, _)| *shown == pointer), "{pointer} is not in the annotated file");
    }
    let dir = folder(&[("quarterdeck.toml", default_text())]);
    assert_eq!(good(from(&dir)).settings, good(Source::default()).settings, "as it is written, it changes nothing");
    let dir = folder(&[("quarterdeck.toml", &uncommented)]);
    assert!(load(from(&dir)).is_ok());
}

/// The objects of the annotated file's examples, uncommented.
#[test]
fn the_examples_of_the_annotated_file_are_valid_and_no_section_is_without_one() {
    let example = |line: &str| {
        line.strip_prefix("#   ").filter(|rest| rest.starts_with('[') || rest.contains(" = ")).map(str::to_owned)
    };
    let (_, examples) = default_text().split_once("# Examples of objects").unwrap();
    let text: String = examples.lines().filter_map(example).map(|line| line + "\n").collect();
    let loaded = good(from(&folder(&[("quarterdeck.toml", &text)])));
    assert!(loaded.settings.routes.contains_key("team") && loaded.settings.secrets.contains_key("token"));
    for section in sections() {
        assert!(text.contains(&format!("[{section}.")) || text.contains(&format!("[{section}]")), "{section} has none");
    }
}

#[test]
fn the_example_environments_are_valid() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for name in ["development", "production"] {
        let source = Source { dir: Some(dir.clone()), environment: Some(name.to_owned()), ..Source::default() };
        assert_eq!(good(source).files.len(), 2);
    }
}

#[test]
fn a_file_that_refers_to_itself_or_grows_without_end_is_refused() {
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e]\n";
    let deep = format!("a: {}1{}\n", "[".repeat(200), "]".repeat(200));
    let itself = "a: &a [*a]\n".to_owned();
    for (text, expected) in [(bomb.to_owned(), "more than 100000 values"), (deep, "nested deeper"), (itself, "alias")] {
        let message = load(from(&folder(&[("runbooks/x.yaml", &text)]))).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_mistake_that_a_plugin_finds_has_its_place_too() {
    let dir = folder(&[(
        "quarterdeck.toml",
        "[instances.\"http-probe/shop\"]\nplugin = 'http-probe'\nconfig = { url = 'x' }\n",
    )]);
    let loaded = good(from(&dir));
    let shown = |pointer: &str| {
        let problem = loaded.problem(pointer, "not a URL").to_string();
        problem.replace(&format!("{}/", dir.path().display()), "")
    };
    let config = "/instances/http-probe~1shop/config";
    let expected = "quarterdeck.toml:3:18: instances.\"http-probe/shop\".config.url: not a URL";
    assert_eq!(shown(&format!("{config}/url")), expected);
    assert!(shown(&format!("{config}/method")).starts_with("quarterdeck.toml:3:10: "));
}

#[test]
fn a_main_file_that_was_named_must_exist() {
    let source = Source { file: Some("/nowhere/quarterdeck.toml".into()), ..Source::default() };
    let message = load(source).unwrap_err().to_string();
    assert!(message.starts_with("/nowhere/quarterdeck.toml:1:1: failed to read it: "), "{message}");
}

#[test]
fn what_is_switched_off_is_shown_and_not_worked_with() {
    let dir = folder(&[(
        "quarterdeck.toml",
        "[rules.cpu-high]\nenabled = false\n[scans.default]\nenabled = false\n[slos.self-availability]\nenabled = false\n\
         [runbooks.system-health-check]\nenabled = false\n\
         [routes.team]\nevents = ['incident']\nnotify = ['log/default']\nenabled = false\n",
    )]);
    let loaded = good(from(&dir));
    let catalog = loaded.settings.catalog();
    assert!(!catalog.rules.contains_key("cpu-high") && catalog.rules.len() == 10, "{:?}", catalog.rules.keys());
    assert!(catalog.scans.is_empty() && catalog.runbooks.is_empty() && !catalog.routes.contains_key("team"));
    assert_eq!(catalog.slos.keys().collect::<Vec<_>>(), ["self-latency-p95"]);
    for object in
        ["rules/cpu-high", "scans/default", "slos/self-availability", "runbooks/system-health-check", "routes/team"]
    {
        assert_eq!(loaded.value().pointer(&format!("/{object}/enabled")), Some(&json!(false)), "{object}");
    }
    assert_eq!(loaded.value().pointer("/rules/memory-high/enabled"), None, "versions of before stay the same");
}

#[test]
fn an_input_that_must_be_given_is_written_alike_in_toml_and_yaml() {
    let step = "[[steps]]\nname = 'Log'\naction = 'metric-check/default'\n";
    let toml = format!("title = 'Look'\ninputs.dir = {{ required = true }}\ninputs.count = 3\n{step}");
    let yaml = |input: &str| {
        format!(
            "title: Look\ninputs:\n  dir: {input}\n  count: 3\nsteps:\n  - name: Log\n    action: metric-check/default\n"
        )
    };
    let dir = folder(&[
        ("runbooks/one.toml", &toml),
        ("runbooks/two.yaml", &yaml("{ required: true }")),
        ("runbooks/three.yaml", &yaml("null")),
    ]);
    let runbooks = good(from(&dir)).settings.runbooks;
    for name in ["one", "two", "three"] {
        assert_eq!(
            (&runbooks[name].inputs["dir"], &runbooks[name].inputs["count"]),
            (&Value::Null, &json!(3)),
            "{name}"
        );
    }
}

#[test]
fn a_link_that_leads_nowhere_is_a_mistake_with_its_place_and_not_the_same_as_no_file() {
    let link = |dir: &TempDir, name: &str, to: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    };
    for (name, to) in [
        ("quarterdeck.toml", "nowhere.toml"),
        ("quarterdeck.toml", "quarterdeck.toml"),
        ("rules/a.toml", "nowhere.toml"),
        ("rules/a.yaml", "a.yaml"),
        ("rules/deep", "nowhere"),
        ("rules", "nowhere"),
        ("environments/e.toml", "nowhere.toml"),
    ] {
        let dir = folder(&[]);
        link(&dir, name, to);
        let problems = load(Source { environment: Some("e".to_owned()), ..from(&dir) }).unwrap_err().to_string();
        let place = format!("{}:1:1: ", dir.path().join(name).display());
        assert!(problems.contains(&place), "{name}: {problems}");
    }
    // What it leads to is read.
    let dir = folder(&[("..data/q.toml", "listen = '127.0.0.1:9'\n")]);
    link(&dir, "quarterdeck.toml", "..data/q.toml");
    assert_eq!(good(from(&dir)).settings.listen.port(), 9);
}

#[test]
fn what_names_an_environment_that_is_not_there_is_said() {
    let dir = folder(&[]);
    let place = quarterdeck_config::Place::Variable("QUARTERDECK_ENVIRONMENT".into());
    let source = Source { environment: Some("prod".to_owned()), environment_from: Some(place), ..from(&dir) };
    let said = load(source).unwrap_err().to_string();
    assert!(said.starts_with("QUARTERDECK_ENVIRONMENT: there is no environment `prod`; hint: write "), "{said}");
}

#[test]
fn files_that_look_meant_and_are_not_read_are_warnings() {
    let dir = folder(&[("rulez/a.toml", ""), ("rules/a.json", "{}")]);
    let warnings = good(from(&dir)).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn however_deep_a_value_is_nested_it_is_read_or_refused() {
    let deep = 20_000;
    for text in [
        format!("x = {}{}\n", "[".repeat(deep), "]".repeat(deep)),
        format!("{}a = 1\n", "a.".repeat(deep)),
        format!("[{}a]\n", "a.".repeat(deep)),
        format!("x = {}1{}\n", "{a = ".repeat(deep), "}".repeat(deep)),
    ] {
        let dir = folder(&[("quarterdeck.toml", &text)]);
        assert!(load(from(&dir)).is_err(), "{}", &text[..20]);
        let value = text.strip_prefix("x = ").unwrap_or("").trim();
        let source = Source { variables: variables(&[("QUARTERDECK_STORAGE", value)]), ..Source::default() };
        assert!(load(source).is_err());
    }
}
