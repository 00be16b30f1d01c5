//! Carry out this move; what do you see?

use quarterdeck_sdk::deployment_target::{DeploymentTarget, Phase, Replica, Step};
use quarterdeck_sdk::host::kv;
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, serde_json};

quarterdeck_sdk::config! {
    /// What an instance is configured with: nothing yet.
    pub struct Config {}
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Remembers replicas without running any";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("kv", "remembers the replicas")]
    }
}

/// Name, revision and weight.
type Known = (String, String, u32);

fn known() -> Result<Vec<Known>, Failure> {
    let bytes = kv::get("replicas")?.unwrap_or_else(|| b"[]".to_vec());
    serde_json::from_slice(&bytes).map_err(|error| Failure::other(error.to_string()))
}

impl DeploymentTarget for {{type}} {
    fn observe(_config: &Config, _service: &str) -> Result<Vec<Replica>, Failure> {
        let seen = known()?.into_iter().map(|(name, revision, weight)| Replica {
            name,
            revision,
            phase: Phase::Healthy,
            weight,
            responses: 0,
            failures: 0,
            message: String::new(),
        });
        Ok(seen.collect())
    }

    // Every step may come twice: what is so already is done.
    fn apply(_config: &Config, _service: &str, step: &Step, _key: &str) -> Result<Outcome, Failure> {
        let mut replicas = known()?;
        match step {
            Step::Start { replica, revision } if !replicas.iter().any(|(name, ..)| name == replica) => {
                replicas.push((replica.clone(), revision.clone(), 0));
            }
            Step::Start { .. } | Step::Drain { .. } => {}
            Step::Weight { replica, weight } => {
                replicas.iter_mut().filter(|(name, ..)| name == replica).for_each(|known| known.2 = *weight);
            }
            Step::Stop { replica } => replicas.retain(|(name, ..)| name != replica),
        }
        let bytes = serde_json::to_vec(&replicas).map_err(|error| Failure::other(error.to_string()))?;
        kv::set("replicas", &bytes)?;
        Ok(Outcome::done())
    }
}

quarterdeck_sdk::export!({{type}}: deployment_target);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::testing::FakeHost;

    #[test]
    fn a_replica_that_is_started_twice_is_there_once() {
        let start = Step::Start { replica: "web-1".to_owned(), revision: "r1".to_owned() };
        let (seen, _) = FakeHost::default().run(|| {
            {{type}}::apply(&Config {}, "web", &start, "key-1").unwrap();
            {{type}}::apply(&Config {}, "web", &start, "key-1").unwrap();
            {{type}}::observe(&Config {}, "web").unwrap()
        });
        assert_eq!(seen.len(), 1);
    }
}
