//! Plugins on their way into use and out of it.

use crate::plugins::{Listed, plugin};
use crate::support::{Deck, deck_with};
use async_trait::async_trait;
use http::StatusCode;
use quarterdeck_model::Shared;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::plugin::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of two versions of one plugin the older one serves; another file is on its way, since the start or not.
struct Changing {
    of_start: bool,
}

#[async_trait]
impl Registry for Changing {
    fn plugins(&self) -> Vec<PluginStatus> {
        let serving = plugin();
        let state = PluginState::Draining;
        let loaded_at = Timestamp::from_millis(2_000);
        let draining = PluginStatus { version: "2.0.0".to_owned(), state, loaded_at, ..serving.clone() };
        let name = "slow".to_owned();
        let loading = PluginStatus { name, state: PluginState::Loading, kinds: Vec::new(), ..serving.clone() };
        vec![serving, loading, draining]
    }

    fn awaited(&self) -> Vec<String> {
        if self.of_start { vec!["slow.wasm".to_owned()] } else { Vec::new() }
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        Listed.instances()
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus> {
        Listed.instance(name)
    }

    async fn configure(&self, _: BTreeMap<InstanceName, Shared<InstanceSpec>>) {}

    async fn check(&self, _: &BTreeMap<InstanceName, Shared<InstanceSpec>>) -> Vec<(InstanceName, String, String)> {
        Vec::new()
    }

    async fn reload(&self) -> Vec<PluginStatus> {
        self.plugins()
    }
}

async fn changing(of_start: bool) -> Deck {
    deck_with(Catalog::default(), |options| options.registry = Arc::new(Changing { of_start })).await
}

#[tokio::test]
async fn what_was_there_at_the_start_is_waited_for_and_what_came_later_is_not() {
    let answer = changing(true).await.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = answer.json()["checks"][1]["reason"].clone();
    assert_eq!(reason, "being loaded: slow.wasm");
    assert_eq!(changing(false).await.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn of_several_versions_the_one_that_serves_is_shown_though_it_is_the_older_one() {
    let deck = changing(false).await;
    let plugins = deck.get("/api/v1/plugins").await.json();
    let shown: Vec<_> = plugins["items"].as_array().unwrap().iter().map(|p| (&p["name"], &p["state"])).collect();
    assert_eq!(shown, [(&"http-probe".into(), &"active".into()), (&"slow".into(), &"loading".into())]);
    assert_eq!(deck.get("/api/v1/plugins/http-probe").await.json()["version"], "1.0.0");
}
