//! Carry out this move; what do you see?

use super::{convert, export};
use crate::bindings::deployment_target::exports::quarterdeck::deployment_target::deployment_target as wit;
use crate::call::words;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::kind::deployment_target::{DeploymentTarget, Observation, Replica, ReplicaPhase, Step};
use quarterdeck_model::plugin::{ActResult, CallError, CallResult, InstanceName, Kind, Outcome};

#[async_trait]
impl DeploymentTarget for Runtime {
    async fn observe(&self, instance: &InstanceName, service: &str) -> CallResult<Observation> {
        let service = service.to_owned();
        self.call(Request::new(Kind::DeploymentTarget, instance), move |guest, version, config| {
            Box::pin(async move {
                let export = export(&version, |version| &version.exports.deployment_target, Kind::DeploymentTarget);
                let target = match export {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::deployment_target::DeploymentTarget::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let target = target.quarterdeck_deployment_target_deployment_target();
                let result = target.call_observe(&mut guest.store, &config, &service).await?;
                Ok(result.map_err(CallError::from).map(|observation| Observation {
                    replicas: observation.replicas.into_iter().map(Replica::from).collect(),
                }))
            })
        })
        .await
    }

    async fn apply(&self, instance: &InstanceName, service: &str, step: &Step, key: &str) -> ActResult<Outcome> {
        let (service, step, key) = (service.to_owned(), wit::Step::from(step), key.to_owned());
        self.act(Request::new(Kind::DeploymentTarget, instance), move |guest, version, config| {
            Box::pin(async move {
                let export = export(&version, |version| &version.exports.deployment_target, Kind::DeploymentTarget);
                let target = match export {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::deployment_target::DeploymentTarget::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let target = target.quarterdeck_deployment_target_deployment_target();
                let result = target.call_apply(&mut guest.store, &config, &service, &step, &key).await?;
                Ok(result.map_err(CallError::from).and_then(convert::outcome))
            })
        })
        .await
    }
}

impl From<wit::Replica> for Replica {
    fn from(replica: wit::Replica) -> Self {
        Replica {
            name: replica.name,
            revision: replica.revision,
            phase: match replica.phase {
                wit::Phase::Starting => ReplicaPhase::Starting,
                wit::Phase::Healthy => ReplicaPhase::Healthy,
                wit::Phase::Unhealthy => ReplicaPhase::Unhealthy,
                wit::Phase::Draining => ReplicaPhase::Draining,
                wit::Phase::Stopped => ReplicaPhase::Stopped,
            },
            weight: replica.weight,
            responses: replica.responses,
            failures: replica.failures,
            message: words(replica.message),
        }
    }
}

impl From<&Step> for wit::Step {
    fn from(step: &Step) -> Self {
        match step {
            Step::Start { replica, revision } => wit::Step::Start((replica.clone(), revision.clone())),
            Step::Weight { replica, weight } => wit::Step::Weight((replica.clone(), *weight)),
            Step::Drain { replica } => wit::Step::Drain(replica.clone()),
            Step::Stop { replica } => wit::Step::Stop(replica.clone()),
        }
    }
}
