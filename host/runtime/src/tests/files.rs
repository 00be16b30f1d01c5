//! What an operator does with the plugins folder through the host.

use super::lifecycle::started_again;
use crate::cache::digest;
use crate::testing::Bench;
use crate::testing::guests::{Collector, Does, collector};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Collector as _;
use quarterdeck_model::plugin::files::{FileError, Install, Installed, PluginFiles, Seen};
use quarterdeck_model::plugin::{InstanceName, InstanceSpec, InstanceState, Registry};
use std::fs;

const NOW: Timestamp = Timestamp::from_millis(5_000);
const NAME: &str = "guest/one";

fn of(file: &str, bytes: &[u8]) -> Install {
    Install {
        file: file.to_owned(),
        bytes: bytes.to_vec(),
        digest: None,
        origin: None,
        seen: Seen::default(),
        serving: Seen::default(),
        replace: false,
        principal: "ann".to_owned(),
    }
}

async fn install(bench: &Bench, file: &str, bytes: &[u8]) -> Installed {
    bench.install(of(file, bytes)).await.unwrap()
}

fn version(bench: &Bench) -> Option<String> {
    bench.status("guest").map(|status| status.version)
}

fn held(bench: &Bench, file: &str) -> Option<Vec<u8>> {
    fs::read(bench.plugins_dir().join(file)).ok()
}

#[tokio::test]
async fn what_is_installed_is_in_use_when_it_is_answered_and_says_what_it_asks_for() {
    let bench = Bench::with(Vec::new()).await;
    bench.use_plugin(&[NAME], "guest").await;
    let first = Collector { needs: Some("system"), ..Collector::default() }.build();
    let installed = install(&bench, "guest.wasm", &first).await;
    assert_eq!(installed.file.digest, digest(&first));
    assert!(installed.file.serves && installed.replaced.is_none());
    assert!(installed.asks_for[0].starts_with("system: must be able to read facts"), "{:?}", installed.asks_for);
    assert_eq!(installed.awaiting[0].instance.as_str(), NAME);
    assert_eq!(installed.awaiting[0].awaiting.capabilities[0].name, "system");

    let second = collector("guest", "2.0.0", Does::Well);
    let installed = install(&bench, "guest.wasm", &second).await;
    assert_eq!(installed.replaced.unwrap().digest, digest(&first));
    assert!(installed.awaiting.is_empty());
    assert_eq!(held(&bench, "guest.wasm").unwrap(), second);
    bench.collect(&NAME.into(), NOW).await.unwrap();
    let bench = started_again(bench).await;
    assert_eq!(version(&bench).unwrap(), "2.0.0");
}

#[tokio::test]
async fn what_can_not_be_used_replaces_nothing() {
    let bench = Bench::with(Vec::new()).await;
    let good = collector("guest", "1.0.0", Does::Well);
    install(&bench, "guest.wasm", &good).await;
    let refused = bench.install(of("guest.wasm", b"not wasm")).await.unwrap_err();
    assert!(
        matches!(&refused, FileError::Refused(reason) if reason.contains("not a WebAssembly component")),
        "{refused}"
    );
    let other =
        Install { digest: Some(digest(b"other")), ..of("guest.wasm", &collector("guest", "2.0.0", Does::Well)) };
    assert!(matches!(bench.install(other).await, Err(FileError::Invalid(_))));
    for name in ["../guest.wasm", "guest", "a/b.wasm", ".wasm"] {
        assert!(matches!(bench.install(of(name, &good)).await, Err(FileError::Invalid(_))), "{name}");
    }
    assert_eq!(held(&bench, "guest.wasm").unwrap(), good);
    assert_eq!(version(&bench).unwrap(), "1.0.0");
    assert_eq!(fs::read_dir(bench.plugins_dir()).unwrap().count(), 1);
}

#[tokio::test]
async fn another_plugin_is_replaced_only_if_that_is_asked_for_and_whoever_asks_is_named() {
    let bench = Bench::with(Vec::new()).await;
    let (guest, other) = (collector("guest", "1.0.0", Does::Well), collector("other", "3.0.0", Does::Well));
    install(&bench, "guest.wasm", &guest).await;
    let refused = bench.install(of("guest.wasm", &other)).await.unwrap_err();
    let says = |words: &str| matches!(&refused, FileError::Conflict(reason) if reason.contains(words));
    assert!(says("holds another plugin, guest 1.0.0, and not other") && says("hint: "), "{refused}");
    assert_eq!(held(&bench, "guest.wasm").unwrap(), guest);
    assert!(bench.status("other").is_none());
    // One that was dropped in a moment ago, and that nobody has looked at yet, is another one all the same.
    bench.drop_in("guest.wasm", &collector("third", "1.0.0", Does::Well));
    let refused = bench.install(of("guest.wasm", &other)).await.unwrap_err();
    assert!(matches!(&refused, FileError::Conflict(reason) if reason.contains("third 1.0.0")), "{refused}");
    let installed = bench.install(Install { replace: true, ..of("guest.wasm", &other) }).await.unwrap();
    assert_eq!(installed.replaced.unwrap().name, "third");
    assert_eq!(held(&bench, "guest.wasm").unwrap(), other);
    // What can't be used is no plugin that somebody loses.
    fs::write(bench.plugins_dir().join("broken.wasm"), b"not wasm").unwrap();
    install(&bench, "broken.wasm", &guest).await;
    let event = bench.event("plugin.installed").await.event;
    assert_eq!(event.principal, "ann");
    bench.remove("guest.wasm", &Seen::default(), "ben").await.unwrap();
    assert_eq!(bench.event("plugin.removed").await.event.principal, "ben");
}

#[tokio::test]
async fn the_same_again_is_no_change_and_brings_a_file_in_front_of_others_of_its_name() {
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    install(&bench, "guest.wasm", &first).await;
    let stamp = || fs::metadata(bench.plugins_dir().join("guest.wasm")).unwrap().modified().unwrap();
    let before = stamp();
    let again = install(&bench, "guest.wasm", &first).await;
    assert!(again.file.serves && again.replaced.is_none() && stamp() == before);
    assert!(install(&bench, "other.wasm", &second).await.file.serves);
    assert_eq!(version(&bench).unwrap(), "2.0.0");
    assert!(install(&bench, "guest.wasm", &first).await.file.serves);
    assert_eq!(version(&bench).unwrap(), "1.0.0");
}

#[tokio::test]
async fn a_change_rests_on_the_content_that_was_seen() {
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    let seen = |bytes: &[u8]| Seen::Tags(vec![digest(bytes).tag()]);
    let early = Install { seen: seen(&first), ..of("guest.wasm", &first) };
    assert!(matches!(bench.install(early).await, Err(FileError::Changed)), "there is no file yet");
    install(&bench, "guest.wasm", &first).await;
    let stale = Install { seen: seen(&second), ..of("guest.wasm", &second) };
    assert!(matches!(bench.install(stale).await, Err(FileError::Changed)));
    assert!(matches!(bench.remove("guest.wasm", &seen(&second), "ann").await, Err(FileError::Changed)));
    bench.install(Install { seen: seen(&first), ..of("guest.wasm", &second) }).await.unwrap();
    bench.remove("guest.wasm", &seen(&second), "ann").await.unwrap();
}

#[tokio::test]
async fn whoever_wants_a_new_file_replaces_none() {
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    let new = |bytes: &[u8]| Install { seen: Seen::Nothing, ..of("guest.wasm", bytes) };
    bench.install(new(&first)).await.unwrap();
    assert!(matches!(bench.install(new(&second)).await, Err(FileError::Exists)));
    assert_eq!(held(&bench, "guest.wasm").unwrap(), first);
}

#[tokio::test]
async fn below_the_floor_of_free_space_nothing_is_put_into_the_folder() {
    use quarterdeck_model::store::StoreError;
    use std::sync::atomic::Ordering;
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    install(&bench, "guest.wasm", &second).await;
    install(&bench, "guest.wasm", &first).await;
    bench.store.is_full.store(true, Ordering::SeqCst);
    let refused = bench.install(of("guest.wasm", &second)).await;
    assert!(matches!(refused, Err(FileError::Store(StoreError::DiskFull { .. }))), "{refused:?}");
    let refused = bench.roll_back("guest", Some("2.0.0"), &Seen::default(), "ann").await;
    assert!(matches!(refused, Err(FileError::Store(StoreError::DiskFull { .. }))), "{refused:?}");
    assert_eq!(held(&bench, "guest.wasm").unwrap(), first);
    install(&bench, "guest.wasm", &first).await;
    bench.store.is_full.store(false, Ordering::SeqCst);
    install(&bench, "guest.wasm", &second).await;
}

#[tokio::test]
async fn a_full_disk_of_the_folder_is_told_as_that() {
    let full = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let refused = crate::runtime::blocking(full).await;
    assert!(matches!(&refused, Err(FileError::Full(reason)) if reason.contains("; hint: ")), "{refused:?}");
}

#[tokio::test]
async fn a_removal_says_what_serves_now_and_who_has_no_plugin_any_more() {
    let bundled = collector("guest", "0.9.0", Does::Well);
    let bench = Bench::with(vec![bundled]).await;
    bench.use_plugin(&[NAME, "other/one"], "guest").await;
    install(&bench, "guest.wasm", &collector("guest", "1.0.0", Does::Well)).await;
    install(&bench, "only.wasm", &collector("only", "1.0.0", Does::Well)).await;
    let mut specs: std::collections::BTreeMap<_, _> =
        bench.instances().into_iter().map(|instance| (instance.name, InstanceSpec::clone(&instance.spec))).collect();
    specs.insert(InstanceName::from("only/one"), crate::testing::spec("only"));
    bench.configure(specs).await;
    let files = PluginFiles::files(&**bench);
    let before: Vec<_> = files
        .iter()
        .map(|file| (file.file.as_str(), file.without.as_ref().map(|other| other.version.as_str())))
        .collect();
    assert_eq!(before, [("guest.wasm", Some("0.9.0")), ("only.wasm", None)]);

    let removed = bench.remove("guest.wasm", &Seen::default(), "ann").await.unwrap();
    assert_eq!((removed.serving.unwrap().version.as_str(), removed.bereft.len()), ("0.9.0", 0));
    bench.collect(&NAME.into(), NOW).await.unwrap();
    let removed = bench.remove("only.wasm", &Seen::default(), "ann").await.unwrap();
    assert_eq!((removed.serving, removed.bereft), (None, vec![InstanceName::from("only/one")]));
    assert_eq!(bench.instance(&"only/one".into()).unwrap().state, InstanceState::MissingPlugin);
    for name in ["only.wasm", "../cache/key", "", "a/b.wasm"] {
        assert!(matches!(bench.remove(name, &Seen::default(), "ann").await, Err(FileError::NotFound(_))), "{name}");
    }
}

#[tokio::test]
async fn the_version_before_comes_back_and_stays_over_a_restart() {
    let bench = Bench::with(Vec::new()).await;
    bench.use_plugin(&[NAME], "guest").await;
    let contents = ["1.0.0", "2.0.0", "3.0.0"].map(|version| collector("guest", version, Does::Well));
    for content in &contents {
        install(&bench, "guest.wasm", content).await;
    }
    let back = bench.roll_back("guest", None, &Seen::default(), "ann").await.unwrap();
    assert_eq!((back.from.unwrap().version, back.to.version), ("3.0.0".to_owned(), "2.0.0".to_owned()));
    assert_eq!(held(&bench, "guest.wasm").unwrap(), contents[1]);
    assert_eq!(bench.collect(&NAME.into(), NOW).await.unwrap().plugin.version, "2.0.0");
    let back = bench.roll_back("guest", Some("1.0.0"), &Seen::default(), "ann").await.unwrap();
    assert_eq!((back.to.version.as_str(), back.source.as_str()), ("1.0.0", "guest.wasm"));
    let event = bench.event("plugin.rolled-back").await.event;
    assert_eq!((&event.data["to"]["version"], event.principal.as_str()), (&"2.0.0".into(), "ann"));
    let bench = started_again(bench).await;
    assert_eq!(version(&bench).unwrap(), "1.0.0");
}

#[tokio::test]
async fn of_two_who_go_back_from_the_version_that_both_saw_one_does() {
    let bench = Bench::with(Vec::new()).await;
    let contents = ["1.0.0", "2.0.0", "3.0.0"].map(|version| collector("guest", version, Does::Well));
    for content in &contents {
        install(&bench, "guest.wasm", content).await;
    }
    let seen = Seen::Tags(vec![digest(&contents[2]).0]);
    let (one, other) =
        tokio::join!(bench.roll_back("guest", None, &seen, "ann"), bench.roll_back("guest", None, &seen, "bob"));
    assert_eq!(one.unwrap().to.version, "2.0.0");
    assert!(matches!(other, Err(FileError::Changed)));
    assert_eq!(version(&bench).unwrap(), "2.0.0", "and not 3.0.0 again, or 1.0.0");
    let nothing = bench.roll_back("guest", None, &Seen::Nothing, "ann").await;
    assert!(matches!(nothing, Err(FileError::Changed)));
}

#[tokio::test]
async fn what_a_component_would_replace_is_told_and_it_replaces_that_or_nothing() {
    let bench = Bench::with(vec![collector("guest", "0.9.0", Does::Well)]).await;
    let [first, second, other] = [("guest", "1.0.0"), ("guest", "2.0.0"), ("other", "1.0.0")]
        .map(|(name, version)| collector(name, version, Does::Well));
    let told = bench.look_at("first.wasm", first.clone()).await.unwrap();
    assert_eq!(
        (told.plugin.version.as_str(), told.serving.unwrap().version.as_str(), told.content, told.held),
        ("1.0.0", "0.9.0", None, None)
    );
    assert_eq!((held(&bench, "first.wasm"), version(&bench).unwrap().as_str()), (None, "0.9.0"), "nothing is changed");
    install(&bench, "first.wasm", &first).await;

    // Another file of the same plugin replaces it as well.
    let told = bench.look_at("second.wasm", second.clone()).await.unwrap();
    assert_eq!(told.serving.as_ref().unwrap().digest, digest(&first));
    let told_of_another = bench.look_at("first.wasm", other).await.unwrap();
    assert_eq!((told_of_another.serving, told_of_another.held.unwrap().version), (None, "1.0.0".to_owned()));
    assert_eq!(told_of_another.content, Some(digest(&first)));

    let over = |serving: Seen| Install { serving, ..of("second.wasm", &second) };
    for serving in [Seen::Nothing, Seen::Tags(vec![digest(&second).0])] {
        assert!(matches!(bench.install(over(serving)).await, Err(FileError::Changed)));
        assert_eq!((held(&bench, "second.wasm"), version(&bench).unwrap().as_str()), (None, "1.0.0"));
    }
    bench.install(over(Seen::Tags(vec![told.serving.unwrap().digest.0]))).await.unwrap();
    assert_eq!(version(&bench).unwrap(), "2.0.0");
    assert!(matches!(bench.look_at("third.wasm", b"no component".to_vec()).await, Err(FileError::Refused(_))));
}

#[tokio::test]
async fn versions_are_listed_in_the_order_of_their_use_with_where_they_came_from() {
    let bench = Bench::with(vec![collector("guest", "0.9.0", Does::Well)]).await;
    let first = Install {
        origin: Some("https://example.com/guest.wasm".to_owned()),
        ..of("guest.wasm", &collector("guest", "1.0.0", Does::Well))
    };
    bench.install(first).await.unwrap();
    install(&bench, "guest.wasm", &collector("guest", "2.0.0", Does::Well)).await;
    bench.roll_back("guest", Some("1.0.0"), &Seen::default(), "ann").await.unwrap();
    let versions = bench.versions("guest").unwrap();
    let listed: Vec<_> =
        versions.iter().map(|known| (known.plugin.version.as_str(), known.serves, known.origin.is_some())).collect();
    assert_eq!(listed, [("1.0.0", true, true), ("2.0.0", false, false), ("0.9.0", false, false)]);
    // To the one that came with the host: no file is left.
    let back = bench.roll_back("guest", Some("0.9.0"), &Seen::default(), "ann").await.unwrap();
    assert_eq!((back.to.version.as_str(), back.source.as_str()), ("0.9.0", "bundled"));
    assert_eq!(held(&bench, "guest.wasm"), None);
    // And forward again, by digest.
    let digest = digest(&collector("guest", "2.0.0", Does::Well)).0;
    assert_eq!(
        bench.roll_back("guest", Some(&digest[..20]), &Seen::default(), "ann").await.unwrap().to.version,
        "2.0.0"
    );
    assert!(held(&bench, "guest.wasm").is_some());
}

#[tokio::test]
async fn a_rollback_takes_no_other_plugins_file() {
    let bench = Bench::with(vec![collector("guest", "0.9.0", Does::Well)]).await;
    install(&bench, "first.wasm", &collector("guest", "1.0.0", Does::Well)).await;
    bench.remove("first.wasm", &Seen::default(), "ann").await.unwrap();
    install(&bench, "guest.wasm", &collector("other", "1.0.0", Does::Well)).await;
    let back = bench.roll_back("guest", None, &Seen::default(), "ann").await.unwrap();
    assert_eq!((back.to.version.as_str(), back.source.as_str()), ("1.0.0", "guest-rolled-back.wasm"));
    assert!(bench.status("other").is_some());
}

#[tokio::test]
async fn a_way_back_that_there_is_not_is_refused() {
    let bench = Bench::with(Vec::new()).await;
    assert!(matches!(bench.roll_back("guest", None, &Seen::default(), "ann").await, Err(FileError::NotFound(_))));
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    install(&bench, "guest.wasm", &first).await;
    assert!(
        matches!(bench.roll_back("guest", None, &Seen::default(), "ann").await, Err(FileError::Conflict(_))),
        "there was none before"
    );
    assert!(
        matches!(bench.roll_back("guest", Some("1.0.0"), &Seen::default(), "ann").await, Err(FileError::Conflict(_))),
        "it is in use"
    );
    assert!(matches!(
        bench.roll_back("guest", Some("7.0.0"), &Seen::default(), "ann").await,
        Err(FileError::NotFound(_))
    ));
    install(&bench, "guest.wasm", &second).await;
    let kept = bench.folder.path().join("cache/components").join(digest(&first).0.replace("sha256:", "") + ".wasm");
    fs::remove_file(kept).unwrap();
    let gone = bench.roll_back("guest", Some("1.0.0"), &Seen::default(), "ann").await.unwrap_err();
    assert!(matches!(&gone, FileError::Conflict(reason) if reason.contains("not kept any more")), "{gone}");
    assert!(matches!(bench.roll_back("guest", None, &Seen::default(), "ann").await, Err(FileError::Conflict(_))));
    assert_eq!(version(&bench).unwrap(), "2.0.0");
}

#[tokio::test]
async fn a_version_that_failed_its_probation_is_gone_back_to_by_name_only() {
    let bench = Bench::with(Vec::new()).await;
    bench.use_plugin(&[NAME], "guest").await;
    install(&bench, "guest.wasm", &collector("guest", "1.0.0", Does::Well)).await;
    install(&bench, "guest.wasm", &collector("guest", "2.0.0", Does::Trap)).await;
    for _ in 0..3 {
        bench.collect(&NAME.into(), NOW).await.unwrap_err();
    }
    crate::testing::eventually("the good version", || version(&bench).filter(|version| version == "1.0.0")).await;
    assert!(matches!(bench.roll_back("guest", None, &Seen::default(), "ann").await, Err(FileError::Conflict(_))));
    assert_eq!(bench.roll_back("guest", Some("2.0.0"), &Seen::default(), "ann").await.unwrap().to.version, "2.0.0");
}
