//! The API's words about objects, and the configuration as files again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use quarterdeck_config::{Base, Loaded, SecretSource, Source, Word, export, load};
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

fn from(dir: &Path) -> Source {
    Source { dir: Some(dir.to_owned()), ..Source::default() }
}

fn word(section: &str, name: &str, value: Option<Value>) -> Word {
    Word { section: section.to_owned(), name: name.to_owned(), value }
}

fn good(base: &Base, words: &[Word]) -> Loaded {
    base.with(words).unwrap_or_else(|problems| unreachable!("{problems}"))
}

#[test]
fn a_word_replaces_the_whole_object_between_files_and_variables() {
    let dir = folder(&[(
        "quarterdeck.toml",
        "[instances.\"http-probe/shop\"]\nplugin = 'http-probe'\nevery = '30s'\nconfig = { url = 'http://a', retries = 3 }\n",
    )]);
    let mut source = from(dir.path());
    source.variables = vec![("QUARTERDECK_INSTANCES__HTTP_PROBE_SHOP__ENABLED".to_owned(), "false".to_owned())];
    let base = Base::read(source);
    let loaded = good(
        &base,
        &[
            word("instances", "http-probe/shop", Some(json!({"plugin": "http-probe", "config": {"url": "http://b"}}))),
            word("rules", "cpu-high", None),
            word("secrets", "key", Some(json!({"file": "key"}))),
        ],
    );
    let shop = &loaded.settings.instances[&InstanceName::from("http-probe/shop")];
    assert_eq!((shop.every, shop.config.len(), shop.enabled), (None, 1, false));
    assert_eq!(loaded.place("/instances/http-probe~1shop/config/url"), "the API");
    assert_eq!(loaded.place("/instances/http-probe~1shop/enabled"), "QUARTERDECK_INSTANCES__HTTP_PROBE_SHOP__ENABLED");
    assert!(!loaded.settings.rules.contains_key("cpu-high") && loaded.settings.rules.contains_key("memory-high"));
    assert_eq!(loaded.settings.secrets["key"], SecretSource::File(dir.path().join("key")), "relative to the folder");
    let without = good(&base, &[]);
    let shop = &without.settings.instances[&InstanceName::from("http-probe/shop")];
    assert_eq!((shop.every, shop.config.len()), (Some(Span::from_secs(30)), 2));
}

#[test]
fn what_is_wrong_with_a_word_is_said_as_of_a_file() {
    let base = Base::read(Source::default());
    let words = [
        word("instances", "http-probe/x", Some(json!({"plugin": "http-probe", "evry": "5s"}))),
        word("slos", "x", Some(json!({"calculator": "none/none", "select": {"metric": 5}}))),
        word("instances", "threshold/default", None),
    ];
    let problems = base.with(&words).unwrap_err().to_string();
    let expected = [
        "the API: instances.\"http-probe/x\".evry: unknown key; hint: did you mean `every`?",
        "the API: slos.x.calculator: there is no instance `none/none`",
        "the API: slos.x.select.metric: expected text, found 5",
        "there is no instance `threshold/default`",
    ];
    assert!(expected.iter().all(|line| problems.contains(line)), "{problems}");
}

#[test]
fn files_are_read_once_and_words_are_laid_over_what_was_read() {
    let dir = folder(&[("quarterdeck.toml", "[log]\nfilter = 'warn'\n")]);
    let base = Base::read(from(dir.path()));
    std::fs::write(dir.path().join("quarterdeck.toml"), "broken").unwrap();
    let loaded = good(&base, &[word("rules", "cpu-high", None)]);
    assert_eq!(loaded.settings.log.filter, "warn");
    assert_eq!(base.main_file(), Some(dir.path().join("quarterdeck.toml").as_path()));
}

#[test]
fn an_export_read_in_an_empty_folder_gives_the_same_settings() {
    let dir = folder(&[(
        "quarterdeck.toml",
        "[secrets]\nkey = { env = 'KEY' }\n[storage]\nkeep-events = '2days'\n[rules.x]\ndetector = 'threshold/default'\nselect = { metric = 'm' }\nconfig = { raise = 1.5, clear = 1.0 }\nsummary = \"a \\\"quoted\\\" one\"\n",
    )]);
    let base = Base::read(from(dir.path()));
    let runbook =
        json!({"title": "Restart", "inputs": {"service": null}, "steps": [{"name": "Ask", "action": "http/health"}]});
    let added = [word("runbooks", "restart", Some(runbook))];
    let taken = [word("scans", "default", None), word("instances", "log/default", Some(json!({"plugin": "log"})))];
    for (words, built_ins) in [(&[][..], true), (&added[..], true), (&taken[..], false)] {
        let loaded = good(&base, words);
        let files = export(&loaded).unwrap();
        let pairs: Vec<(&str, &str)> = files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        let copy = folder(&pairs);
        let again = load(from(copy.path())).unwrap_or_else(|problems| unreachable!("{problems}"));
        let mut expected = loaded.settings.clone();
        expected.built_ins = built_ins;
        assert_eq!(again.settings, expected, "{}", files[0].text);
        assert_eq!(files.len() > 1, words.len() == 1, "what TOML can't say stands in a file of its own");
    }
}

#[test]
fn service_links_of_a_container_are_passed_over_with_a_warning_and_other_unknown_variables_are_not() {
    let links = [
        ("QUARTERDECK_SERVICE_HOST", "10.0.0.1"),
        ("QUARTERDECK_SERVICE_PORT", "7700"),
        ("QUARTERDECK_SERVICE_PORT_HTTP", "7700"),
        ("QUARTERDECK_PORT", "tcp://10.0.0.1:7700"),
        ("QUARTERDECK_PORT_7700_TCP", "tcp://10.0.0.1:7700"),
        ("QUARTERDECK_PORT_7700_TCP_PROTO", "tcp"),
        ("QUARTERDECK_PORT_7700_TCP_PORT", "7700"),
        ("QUARTERDECK_PORT_7700_TCP_ADDR", "10.0.0.1"),
        ("QUARTERDECK_BACKUP_PORT_53_UDP_ADDR", "10.0.0.1"),
    ];
    let with = |pairs: &[(&str, &str)]| {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Source { variables, ..Source::default() })
    };
    let loaded = with(&links).unwrap();
    assert_eq!(loaded.warnings.len(), links.len());
    assert!(loaded.warnings.iter().all(|warning| warning.to_string().contains("hint:")), "{:?}", loaded.warnings);
    for (name, value) in [
        ("QUARTERDECK_PORT", "7700"),
        ("QUARTERDECK_SERVICE_PORT", "many"),
        ("QUARTERDECK_PORT_X_TCP", "tcp://a:1"),
        ("QUARTERDECK_HOST", "10.0.0.1"),
        ("QUARTERDECK_EVENTS__PORT_1_TCP_ADDR", "x"),
    ] {
        let message = with(&[(name, value)]).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("unknown key; hint:"), "{message}");
    }
}
