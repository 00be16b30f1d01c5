//! The lock file: what there is, and another host brought to the same.

use super::sources::{command_line, serve};
use super::*;

#[tokio::test]
async fn a_lock_file_says_what_there_is_and_brings_another_host_to_the_same() {
    let config = "[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n";
    let outside = crate::harness::guest::build("outside");
    let threshold = renumbered(&bundled("threshold"), "0.7.0");
    let url = serve(vec![("/outside.wasm", Ok(outside.clone())), ("/threshold.wasm", Ok(threshold.clone()))]).await;
    let daemon = Setup::new().config(config).start().await;
    for name in ["outside", "threshold"] {
        done(&command_line(&daemon, &["plugin", "install", &format!("{url}/{name}.wasm")]).await);
    }
    done(&command_line(&daemon, &["plugin", "grant", "outside/all"]).await);
    let lock = std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
    for words in [
        &sha256(&outside),
        &sha256(&threshold),
        &format!("{url}/outside.wasm"),
        "version = \"0.7.0\"",
        "outside/all",
        "kv = true",
    ] {
        assert!(lock.contains(words), "{words}: {lock}");
    }

    let other = Setup::new().config(config);
    let file = other.file("plugins.lock", lock.as_bytes());
    let stray = variant(&bundled("availability"), 41);
    crate::harness::guest::install(&other.plugins_dir(), "stray.wasm", &stray);
    let other = other.start().await;
    let locked = command_line(&other, &["plugin", "install", "--locked", file.to_str().unwrap()]).await;
    assert!(said(&locked).contains("`stray.wasm` is not in the lock"), "{}", said(&locked));
    assert_eq!(locked.status.code(), Some(1), "it is not all that there is");
    let instance = other.get("/api/v1/instances/outside/all").await;
    assert_eq!((&instance["state"], &instance["plugin"]["digest"]), (&json!("active"), &json!(sha256(&outside))));
    assert_eq!(plugin(&other, "threshold").await["digest"], sha256(&threshold));
    done(&command_line(&other, &["plugin", "install", "--locked", file.to_str().unwrap(), "--yes"]).await);
    assert!(!other.setup.plugins_dir().join("stray.wasm").exists());

    // Its own lock follows a removal and a rollback, and brings a file that somebody has changed back out of the host's own store.
    done(&command_line(&other, &["plugin", "remove", "threshold", "--yes"]).await);
    let own = other.setup.data_dir().join("plugins.lock");
    assert!(!std::fs::read_to_string(&own).unwrap().contains("threshold"));
    let changed = variant(&outside, 42);
    crate::harness::guest::install(&other.setup.plugins_dir(), "outside.wasm", &changed);
    other.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&other, "outside").await["digest"], sha256(&changed));
    let back = done(&command_line(&other, &["plugin", "install", "--locked"]).await);
    assert!(back.contains("outside 0.1.0 is back"), "{back}");
    assert_eq!(plugin(&other, "outside").await["digest"], sha256(&outside));
}

/// A lock that names these: a file, the plugin in it, its digest, where it comes from.
fn lock_of(plugins: &[(&str, &str, &str, &str)]) -> String {
    let entry = |(file, name, digest, source): &(&str, &str, &str, &str)| {
        format!(
            "[[plugin]]\nfile = \"{file}\"\nname = \"{name}\"\nversion = \"0.1.0\"\ndigest = \"{digest}\"\nsource = \"{source}\"\n\n"
        )
    };
    format!("version = 1\n\n{}", plugins.iter().map(entry).collect::<String>())
}

#[tokio::test]
async fn a_lock_is_brought_as_a_whole_or_nothing_of_it() {
    let (first, second) = (variant(&bundled("threshold"), 81), variant(&bundled("threshold"), 82));
    let outside = crate::harness::guest::build("outside");
    let url = serve(vec![("/threshold.wasm", Ok(second.clone())), ("/outside.wasm", Ok(variant(&outside, 83)))]).await;
    let daemon = Setup::new().start().await;
    let file = daemon.setup.file("threshold.wasm", &first);
    done(&command_line(&daemon, &["plugin", "install", file.to_str().unwrap()]).await);
    let (from, other) = (format!("{url}/threshold.wasm"), format!("{url}/outside.wasm"));
    let [of_first, of_second, of_outside] = [&first, &second, &outside].map(|bytes| sha256(bytes));
    let good = ("threshold.wasm", "threshold", of_second.as_str(), from.as_str());
    let wrong = ("outside.wasm", "outside", of_outside.as_str(), other.as_str());
    let nowhere = ("outside.wasm", "outside", of_outside.as_str(), "file:outside.wasm");
    for (bad, words) in [(wrong, "nothing was installed"), (nowhere, "does not say where outside")] {
        let lock = daemon.setup.file("bad.lock", lock_of(&[good, bad]).as_bytes());
        let refused = command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await;
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains("nothing was changed") && text.contains(words), "{words}: {text}");
        assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first), "the good one waits for the others");
        assert_eq!(daemon.items("/api/v1/plugin-files").await.len(), 1);
    }
    // Also what would come out of the host's own store.
    done(&command_line(&daemon, &["plugin", "install", &from]).await);
    let back = ("threshold.wasm", "threshold", of_first.as_str(), "file:threshold.wasm");
    let lock = daemon.setup.file("bad.lock", lock_of(&[back, wrong]).as_bytes());
    let refused = command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await;
    assert!(!refused.status.success(), "{}", said(&refused));
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&second));
    let lock = daemon.setup.file("good.lock", lock_of(&[back]).as_bytes());
    let brought = done(&command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await);
    assert!(brought.contains("is back"), "{brought}");
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first));
}

#[tokio::test]
async fn a_lock_gives_a_content_its_grants_and_its_publisher_only_where_it_names_the_key() {
    let author = Setup::new();
    let key_file = author.folder.path().join("publisher.pem");
    let key = json_of(&author.run(&["plugin", "key", "new", key_file.to_str().unwrap(), "--json"]))["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = author.file("outside.wasm", &crate::harness::guest::build("outside"));
    done(&author.run(&["plugin", "sign", file.to_str().unwrap(), "--key", key_file.to_str().unwrap()]));
    let signed = std::fs::read(&file).unwrap();
    let digest = sha256(&signed);
    let from = format!("{}/outside.wasm", serve(vec![("/outside.wasm", Ok(signed))]).await);
    let config = format!(
        "[plugins]\ntrusted = [\"{key}\"]\n[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = {{ kv = true }}\n"
    );
    let first = Setup::new().config(&config).start().await;
    done(&command_line(&first, &["plugin", "install", &from]).await);
    let by_digest = ["--digest", digest.as_str()];
    for (more, to) in [(&by_digest[..], &digest), (&[][..], &key)] {
        done(&command_line(&first, &[&["plugin", "grant", "outside/all"], more].concat()).await);
        let lock = std::fs::read(first.setup.data_dir().join("plugins.lock")).unwrap();
        let second = Setup::new().config(&config);
        let lock = second.file("plugins.lock", &lock);
        let second = second.start().await;
        done(&command_line(&second, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await);
        let instance = second.get("/api/v1/instances/outside/all").await;
        assert_eq!((&instance["state"], &instance["spec"]["granted-to"]), (&json!("active"), &json!([to])));
        done(&command_line(&first, &["plugin", "revoke", "outside/all"]).await);
    }
}

#[tokio::test]
async fn the_lock_names_what_was_installed_until_it_is_removed_whatever_becomes_of_its_file() {
    let [first, second] = [111, 112].map(|number| variant(&bundled("threshold"), number));
    let setup = Setup::new().own_cache();
    let file = setup.file("first.wasm", &first);
    let daemon = setup.start().await;
    let lock = |setup: &Setup| std::fs::read_to_string(setup.data_dir().join("plugins.lock")).unwrap();
    let names_the_first = |setup: &Setup| {
        let lock = lock(setup);
        assert!(lock.contains(&sha256(&first)) && !lock.contains(&sha256(&second)), "{lock}");
    };
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--name", "threshold"]));
    names_the_first(&daemon.setup);

    // Another content in its place, and something that concerns neither.
    crate::harness::guest::install(&daemon.setup.plugins_dir(), "threshold.wasm", &second);
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&second));
    done(&daemon.command_line(&["config", "set", "instances", "log/another", r#"{"plugin": "log"}"#]));
    names_the_first(&daemon.setup);
    // Another plugin that is installed decides nothing about this one.
    let other = daemon.setup.file("other.wasm", &variant(&bundled("availability"), 113));
    done(&daemon.command_line(&["plugin", "install", other.to_str().unwrap(), "--name", "availability"]));
    names_the_first(&daemon.setup);
    let daemon = daemon.kill().start().await;
    names_the_first(&daemon.setup);

    // What is damaged while no host runs comes back out of the host's own store.
    let setup = daemon.stop().0;
    let place = setup.plugins_dir().join("threshold.wasm");
    std::fs::write(&place, &first[..first.len() / 2]).unwrap();
    let daemon = setup.start().await;
    names_the_first(&daemon.setup);
    done(&daemon.command_line(&["config", "reset", "instances", "log/another"]));
    names_the_first(&daemon.setup);
    let back = done(&daemon.command_line(&["plugin", "install", "--locked"]));
    assert!(back.contains("threshold 0.1.0 is back"), "{back}");
    assert_eq!(std::fs::read(&place).unwrap(), first);
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first));

    done(&daemon.command_line(&["plugin", "remove", "threshold", "--yes"]));
    let now = lock(&daemon.setup);
    assert!(!now.contains("threshold") && now.contains("availability"), "{now}");
    // What was taken away by hand is brought back, unless somebody says that it is to go.
    std::fs::remove_file(daemon.setup.plugins_dir().join("availability.wasm")).unwrap();
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&daemon, "availability").await["source"], "bundled");
    assert!(lock(&daemon.setup).contains("availability"));
    let asked = daemon.command_line(&["plugin", "remove", "availability"]);
    assert!(!asked.status.success() && said(&asked).contains("--yes"), "{}", said(&asked));
    let removed = done(&daemon.command_line(&["plugin", "remove", "availability", "--yes"]));
    assert!(removed.contains("the lock does not name it any more"), "{removed}");
    assert!(!lock(&daemon.setup).contains("availability"));
    let again = daemon.command_line(&["plugin", "remove", "availability", "--yes"]);
    assert!(!again.status.success() && said(&again).contains("no file of the plugins folder"), "{}", said(&again));
}

#[tokio::test]
async fn what_a_content_was_granted_is_in_the_lock_while_another_one_lies_in_its_place_and_taken_back_it_is_not() {
    let setup = Setup::new()
        .config("[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n");
    let outside = crate::harness::guest::build("outside");
    let file = setup.file("outside.wasm", &outside);
    let daemon = setup.start().await;
    let lock = || std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap()]));
    assert!(!lock().contains("outside/all"), "{}", lock());
    done(&daemon.command_line(&["plugin", "grant", "outside/all"]));
    assert!(lock().contains("outside/all"), "{}", lock());
    crate::harness::guest::install(&daemon.setup.plugins_dir(), "outside.wasm", &variant(&outside, 114));
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    done(&daemon.command_line(&["config", "set", "instances", "log/another", r#"{"plugin": "log"}"#]));
    assert!(lock().contains(&sha256(&outside)) && lock().contains("outside/all"), "{}", lock());
    done(&daemon.command_line(&["plugin", "revoke", "outside/all"]));
    assert!(lock().contains(&sha256(&outside)) && !lock().contains("outside/all"), "{}", lock());
}
