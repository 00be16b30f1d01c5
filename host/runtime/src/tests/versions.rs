//! Components of the interfaces as they were one version ago.

use crate::testing::guests::Judge;
use crate::testing::{Bench, one, spec};
use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::plugin::{CallResult, GrantedTo, InstanceName, InstanceState, PluginState, Registry};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Labels, Timestamp};
use serde_json::json;

/// Built when `quarterdeck:detector@0.1.0` was the newest.
const FROZEN: &[u8] = include_bytes!("../../../../tests/compat/detector-0.1.0/threshold.wasm");
const NOW: Timestamp = Timestamp::from_millis(5_000);

async fn evaluate(bench: &Bench, instance: &str, value: f64, state: Option<&[u8]>) -> CallResult<Verdict> {
    let labels = Labels::new().with("host", "a");
    let series = vec![SeriesData { name: "load".to_owned(), labels, at: vec![NOW], values: vec![value] }];
    let config = json!({"raise": 90, "clear": 80}).as_object().cloned().unwrap();
    bench.evaluate(&instance.into(), &config, &Window { now: NOW, from: NOW, series }, state).await
}

#[tokio::test]
async fn a_frozen_detector_of_the_version_before_decides_and_remembers_as_it_did() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("threshold.wasm", FROZEN);
    bench.reload().await;
    bench.use_plugin(&["threshold/x"], "threshold").await;
    let raised = evaluate(&bench, "threshold/x", 95.0, None).await.unwrap().value;
    assert_eq!((raised.signals.len(), raised.signals[0].reason.as_str()), (1, "is 95, above 90"));
    assert_eq!(raised.derived, []);
    let held = evaluate(&bench, "threshold/x", 85.0, raised.state.as_deref()).await.unwrap().value;
    assert_eq!(held.signals.len(), 1, "between clear and raise: it was told by its own state");
    let cleared = evaluate(&bench, "threshold/x", 75.0, held.state.as_deref()).await.unwrap().value;
    assert_eq!(cleared.signals, []);
}

#[tokio::test]
async fn the_version_before_passes_the_same_grant_check() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("threshold.wasm", FROZEN);
    bench.reload().await;
    let name = InstanceName::from("threshold/x");
    let mut asking = spec("threshold");
    asking.grants.kv = true;
    bench.configure(one("threshold/x", asking.clone())).await;
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::AwaitingGrant);
    evaluate(&bench, "threshold/x", 95.0, None).await.unwrap_err();
    asking.granted_to = vec![GrantedTo::Digest(crate::cache::digest(FROZEN))];
    bench.configure(one("threshold/x", asking)).await;
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::Active);
    evaluate(&bench, "threshold/x", 95.0, None).await.unwrap();
}

#[tokio::test]
async fn a_component_moves_from_the_version_before_to_the_newest_and_back() {
    let newest = Judge { signals_from: 0, ..Judge::default() };
    let before = Judge { interface: "0.1.0", version: "0.9.0", ..newest };
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("judge.wasm", &before.build());
    bench.reload().await;
    bench.use_plugin(&["judge/x"], "judge").await;
    for (judge, version) in [(newest, "1.0.0"), (before, "0.9.0")] {
        bench.drop_in("judge.wasm", &judge.build());
        bench.reload().await;
        let called = evaluate(&bench, "judge/x", 95.0, None).await.unwrap();
        assert_eq!((called.plugin.version.as_str(), called.value.signals.len()), (version, 1));
    }
}

#[tokio::test]
async fn a_version_that_is_too_old_or_too_new_is_refused_with_what_to_do() {
    for (interface, hint) in [
        ("0.3.0", "update this host, or build the component with the SDK of this host's version"),
        ("1.0.0", "update this host, or build the component with the SDK of this host's version"),
        ("0.0.9", "build it with the SDK of this host's version"),
    ] {
        let bench = Bench::with(Vec::new()).await;
        bench.drop_in("judge.wasm", &Judge { interface, ..Judge::default() }.build());
        bench.reload().await;
        let status = bench.status("judge").unwrap();
        assert_eq!(status.state, PluginState::Refused);
        let expected = format!(
            "it exports `quarterdeck:detector/detector@{interface}`, and this host speaks `quarterdeck:detector/detector@0.2` and \
             `quarterdeck:detector/detector@0.1`; hint: {hint}"
        );
        assert_eq!(status.reason.unwrap(), expected);
    }
}
