//! Grants belong to a content, not to a name.

use super::lifecycle::started_again;
use crate::testing::guests::{Collector, Does, collector};
use crate::testing::{Bench, eventually, one, spec};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Collector as _;
use quarterdeck_model::plugin::{GrantedTo, InstanceName, InstanceSpec, InstanceState, Registry};

const NOW: Timestamp = Timestamp::from_millis(5_000);
const NAME: &str = "guest/one";

fn trusted(to: &[GrantedTo]) -> InstanceSpec {
    let mut spec = spec("guest");
    spec.grants.kv = true;
    spec.granted_to = to.to_vec();
    spec
}

fn digest(bytes: &[u8]) -> GrantedTo {
    GrantedTo::Digest(crate::cache::digest(bytes))
}

fn state(bench: &Bench) -> (InstanceState, Option<String>, Option<String>) {
    let status = bench.instance(&InstanceName::from(NAME)).unwrap();
    let version = status.plugin.map(|plugin| plugin.version);
    (status.state, version, status.awaiting.map(|awaiting| awaiting.plugin.version))
}

fn some(version: &str) -> Option<String> {
    Some(version.to_owned())
}

#[tokio::test]
async fn a_file_gets_no_grants_by_its_name_alone() {
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    bench.drop_in("guest.wasm", &first);
    bench.reload().await;
    bench.configure(one(NAME, trusted(&[]))).await;
    assert_eq!(state(&bench), (InstanceState::AwaitingGrant, some("1.0.0"), some("1.0.0")));
    let reason = bench.instance(&NAME.into()).unwrap().reason.unwrap();
    assert!(reason.contains("`guest.wasm`") && reason.contains("plugin grant guest/one"), "{reason}");
    bench.collect(&NAME.into(), NOW).await.unwrap_err();

    bench.configure(one(NAME, trusted(&[digest(&first)]))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
    bench.collect(&NAME.into(), NOW).await.unwrap();

    // Another content of that name does not take over; it may when it is granted, and then the older one may still.
    bench.drop_in("guest.wasm", &second);
    bench.reload().await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("2.0.0")));
    bench.configure(one(NAME, trusted(&[digest(&first), digest(&second)]))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("2.0.0"), None));
}

#[tokio::test]
async fn an_instance_without_grants_has_none_to_keep() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    bench.use_plugin(&[NAME], "guest").await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
}

#[tokio::test]
async fn a_file_that_calls_itself_like_a_bundled_plugin_inherits_nothing() {
    let bundled = collector("guest", "1.0.0", Does::Well);
    let bench = Bench::with(vec![bundled.clone()]).await;
    bench.configure(one(NAME, trusted(&[]))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
    bench.drop_in("evil.wasm", &collector("guest", "6.6.6", Does::Well));
    bench.reload().await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("6.6.6")));
    // Nor does it at the next configuration, which binds anew.
    let mut changed = trusted(&[]);
    changed.limits.log_lines = 7;
    bench.configure(one(NAME, changed)).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("6.6.6")));
    bench.collect(&NAME.into(), NOW).await.unwrap();
    // The bundled content is itself wherever it lies.
    bench.drop_in("evil.wasm", &bundled);
    bench.reload().await;
    eventually("the bundled content", || (state(&bench).2.is_none()).then_some(())).await;
}

#[tokio::test]
async fn after_a_restart_the_granted_version_runs_on_beside_one_that_waits() {
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &first);
    bench.reload().await;
    bench.configure(one(NAME, trusted(&[digest(&first)]))).await;
    bench.drop_in("guest.wasm", &second);
    let bench = started_again(bench).await;
    bench.configure(one(NAME, trusted(&[digest(&first)]))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), some("2.0.0")));
    bench.collect(&NAME.into(), NOW).await.unwrap();
}

#[tokio::test]
async fn while_it_is_being_developed_a_file_may_have_the_grants_whatever_it_holds() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    bench.configure(one(NAME, trusted(&["file:guest.wasm".parse().unwrap()]))).await;
    assert_eq!(state(&bench), (InstanceState::Active, some("1.0.0"), None));
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Well));
    bench.reload().await;
    assert_eq!(state(&bench), (InstanceState::Active, some("2.0.0"), None));
    // Another file of that name may not.
    bench.drop_in("other.wasm", &collector("guest", "3.0.0", Does::Well));
    bench.reload().await;
    assert_eq!(state(&bench), (InstanceState::Active, some("2.0.0"), some("3.0.0")));
}

#[tokio::test]
async fn what_waits_says_what_it_asks_for() {
    let bench = Bench::with(vec![Collector { needs: Some("system"), ..Collector::default() }.build()]).await;
    bench.configure(one(NAME, trusted(&[]))).await;
    let awaiting = bench.instance(&NAME.into()).unwrap().awaiting.unwrap();
    let asked: Vec<&str> = awaiting.capabilities.iter().map(|capability| capability.name.as_str()).collect();
    assert_eq!((asked, awaiting.granted_to_others), (vec!["system"], false));
    bench.check_states();
}
