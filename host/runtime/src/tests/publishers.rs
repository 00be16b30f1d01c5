//! Grants that follow a publisher, and the policy about those who are none.

use super::lifecycle::started_again;
use crate::signature::SigningKey;
use crate::testing::guests::{Collector, Does, collector};
use crate::testing::{Bench, one, spec};
use quarterdeck_model::plugin::files::{FileError, Install, PluginFiles, Seen};
use quarterdeck_model::plugin::publisher::{Trust, Unsigned};
use quarterdeck_model::plugin::{GrantedTo, InstanceName, InstanceSpec, InstanceState, PluginState, Registry};
use std::time::Duration;

const NAME: &str = "guest/one";

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
}

fn to(key: &SigningKey) -> InstanceSpec {
    let mut spec = spec("guest");
    spec.grants.kv = true;
    spec.granted_to = vec![GrantedTo::Key(key.public())];
    spec
}

fn trust(keys: &[&SigningKey]) -> Trust {
    Trust { trusted: keys.iter().map(|key| key.public()).collect(), unsigned: Unsigned::Allow }
}

/// A host that trusts the publisher.
async fn trusting(publisher: &SigningKey) -> Bench {
    let trust = trust(&[publisher]);
    Bench::start(tempfile::tempdir().unwrap(), Vec::new(), |options| options.trust = trust).await
}

async fn install(bench: &Bench, bytes: Vec<u8>) {
    let install = Install {
        file: "guest.wasm".to_owned(),
        bytes,
        digest: None,
        origin: None,
        seen: Seen::default(),
        serving: Seen::default(),
        replace: false,
        principal: "ann".to_owned(),
    };
    bench.install(install).await.unwrap();
}

/// Its state, the version that it runs on, and the one that waits.
fn state(bench: &Bench) -> (InstanceState, Option<String>, Option<String>) {
    let status = bench.instance(&InstanceName::from(NAME)).unwrap();
    let version = status.plugin.map(|plugin| plugin.version);
    (status.state, version, status.awaiting.map(|awaiting| awaiting.plugin.version))
}

fn some(version: &str) -> Option<String> {
    Some(version.to_owned())
}

#[tokio::test]
async fn a_grant_to_a_publisher_follows_what_it_signs_and_nobody_else() {
    let (publisher, stranger) = (key(), key());
    let bench = trusting(&publisher).await;
    install(&bench, publisher.sign(&collector("guest", "1.0.0", Does::Well))).await;
    bench.configure(one(NAME, to(&publisher))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
    install(&bench, publisher.sign(&collector("guest", "1.1.0", Does::Well))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.1.0"), None));
    for (version, bytes) in [
        ("6.6.6", stranger.sign(&collector("guest", "6.6.6", Does::Well))),
        ("6.6.7", collector("guest", "6.6.7", Does::Well)),
    ] {
        install(&bench, bytes).await;
        assert_eq!(state(&bench), (InstanceState::Active, some("1.1.0"), some(version)));
    }
}

#[tokio::test]
async fn a_version_of_the_publisher_that_asks_for_more_waits_while_the_one_before_runs_on() {
    let publisher = key();
    let bench = trusting(&publisher).await;
    install(&bench, publisher.sign(&collector("guest", "1.0.0", Does::Well))).await;
    bench.configure(one(NAME, to(&publisher))).await;
    let more = Collector { version: "2.0.0", needs: Some("system"), ..Collector::default() };
    install(&bench, publisher.sign(&more.build())).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("2.0.0")));
    // Bound anew, it is the history that tells which one that was.
    let mut changed = to(&publisher);
    changed.limits.log_lines = 7;
    bench.configure(one(NAME, changed)).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("2.0.0")));
    let mut granted = to(&publisher);
    granted.grants.system = true;
    bench.configure(one(NAME, granted)).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("2.0.0"), None));
}

#[tokio::test]
async fn a_grant_is_given_to_the_key_of_a_trusted_publisher_and_else_to_the_content() {
    let (trusted, other) = (key(), key());
    let bench = trusting(&trusted).await;
    let mut none = to(&trusted);
    none.granted_to.clear();
    bench.configure(one(NAME, none)).await;
    let grant_to = || bench.instance(&NAME.into()).unwrap().awaiting.unwrap().grant_to;
    install(&bench, trusted.sign(&collector("guest", "1.0.0", Does::Well))).await;
    assert_eq!(grant_to(), GrantedTo::Key(trusted.public()));
    assert!(bench.status("guest").unwrap().publisher.unwrap().trusted);
    install(&bench, other.sign(&collector("guest", "2.0.0", Does::Well))).await;
    assert!(matches!(grant_to(), GrantedTo::Digest(_)));
    assert!(!bench.status("guest").unwrap().publisher.unwrap().trusted);
}

#[tokio::test]
async fn a_key_that_is_trusted_no_more_has_no_grants() {
    let (publisher, other) = (key(), key());
    let bench = trusting(&publisher).await;
    install(&bench, publisher.sign(&collector("guest", "1.0.0", Does::Well))).await;
    bench.configure(one(NAME, to(&publisher))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
    bench.shutdown(Duration::from_secs(5)).await;
    for (trusted, expected) in [(&other, InstanceState::AwaitingGrant), (&publisher, InstanceState::Active)] {
        let folder = tempfile::tempdir().unwrap();
        for name in ["cache", "plugins"] {
            std::fs::rename(bench.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        let trust = trust(&[trusted]);
        let again = Bench::start(folder, Vec::new(), |options| options.trust = trust).await;
        again.configure(one(NAME, to(&publisher))).await;
        let (state, _, awaiting) = state(&again);
        assert_eq!((state, awaiting.is_some()), (expected, expected == InstanceState::AwaitingGrant));
        again.shutdown(Duration::from_secs(5)).await;
        for name in ["cache", "plugins"] {
            std::fs::rename(again.folder.path().join(name), bench.folder.path().join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn where_unsigned_plugins_are_refused_neither_an_upload_nor_a_file_gets_in() {
    let (trusted, other) = (key(), key());
    let trust = Trust { trusted: vec![trusted.public()], unsigned: Unsigned::Refuse };
    let bundled = collector("guest", "0.9.0", Does::Well);
    let bench = Bench::start(tempfile::tempdir().unwrap(), vec![bundled], |options| options.trust = trust).await;
    assert_eq!(bench.status("guest").unwrap().version, "0.9.0", "what came with the host is the host's");
    let plain = collector("guest", "1.0.0", Does::Well);
    let mut broken = trusted.sign(&plain);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    for (bytes, why) in [(plain.clone(), "not signed"), (other.sign(&plain), "not trusted"), (broken, "does not fit")] {
        bench.drop_in("guest.wasm", &bytes);
        bench.reload().await;
        let status = bench.status("guest").unwrap();
        assert!(status.version == "0.9.0" && status.reason.as_ref().unwrap().contains(why), "{status:?}");
        let install = Install {
            file: "other.wasm".to_owned(),
            bytes,
            digest: None,
            origin: None,
            seen: Seen::default(),
            serving: Seen::default(),
            replace: false,
            principal: "ann".to_owned(),
        };
        let refused = bench.install(install).await.unwrap_err();
        assert!(matches!(&refused, FileError::Refused(reason) if reason.contains(why)), "{refused}");
    }
    install(&bench, trusted.sign(&plain)).await;
    assert_eq!(bench.status("guest").unwrap().version, "1.0.0");
}

#[tokio::test]
async fn what_ran_before_the_policy_changed_is_refused_at_the_next_start() {
    let bench = Bench::with(Vec::new()).await;
    install(&bench, collector("guest", "1.0.0", Does::Well)).await;
    let bench = started_again(bench).await;
    assert_eq!(bench.status("guest").unwrap().state, PluginState::Active);
    let folder = tempfile::tempdir().unwrap();
    for name in ["cache", "plugins"] {
        std::fs::rename(bench.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    let trust = Trust { trusted: Vec::new(), unsigned: Unsigned::Refuse };
    let bench = Bench::start(folder, Vec::new(), |options| options.trust = trust).await;
    let status = bench.status("guest").unwrap();
    assert_eq!(status.state, PluginState::Refused, "{status:?}");
}
