//! What is the next move?

use super::{convert, export};
use crate::bindings::deployment_strategy::exports::quarterdeck::deployment_strategy::deployment_strategy as wit;
use crate::bindings::deployment_strategy::quarterdeck::types::replicas as target;
use crate::call::{Guest, Misfit, Reply, words};
use crate::decisions;
use crate::plugin::Version;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::kind::deployment_strategy::{Analysis, Decision, DeploymentStrategy, Move, Plan, Question};
use quarterdeck_model::kind::deployment_target::{Replica, ReplicaPhase};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};
use quarterdeck_model::{Span, Timestamp};
use std::borrow::Cow;
use std::sync::Arc;

#[async_trait]
impl DeploymentStrategy for Runtime {
    async fn decide(&self, instance: &InstanceName, question: Question<'_>) -> CallResult<Decision> {
        let request = Request::new(Kind::DeploymentStrategy, instance).at(question.now).over(question.config);
        let asked = Asked {
            deployment: wit::Deployment::from(question.plan),
            replicas: question.replicas.iter().map(target::Replica::from).collect(),
            analysis: wit::Analysis::from(question.analysis),
            promoted: question.promoted,
            state: question.state.map(<[u8]>::to_vec),
            now: question.now,
        };
        let question = decisions::Question::Decide {
            plan: Cow::Borrowed(question.plan),
            replicas: Cow::Borrowed(question.replicas),
            analysis: Cow::Borrowed(question.analysis),
            promoted: question.promoted,
            state: question.state.map(Cow::Borrowed),
        };
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::decide(guest, &version, &config, &asked).await })
        })
        .await
    }
}

/// A question as the component gets it.
pub(super) struct Asked {
    pub(super) deployment: wit::Deployment,
    pub(super) replicas: Vec<target::Replica>,
    pub(super) analysis: wit::Analysis,
    pub(super) promoted: bool,
    pub(super) state: Option<Vec<u8>>,
    pub(super) now: Timestamp,
}

pub(super) async fn decide(guest: &mut Guest, version: &Arc<Version>, config: &str, asked: &Asked) -> Reply<Decision> {
    let strategy = match export(version, |version| &version.exports.deployment_strategy, Kind::DeploymentStrategy) {
        Ok(pre) => pre.instantiate_async(&mut guest.store).await?,
        Err(error) => return Ok(Err(error)),
    };
    let strategy = strategy.quarterdeck_deployment_strategy_deployment_strategy();
    let Asked { deployment, replicas, analysis, promoted, state, now } = asked;
    let (state, now) = (state.as_deref(), now.as_millis());
    let result =
        strategy.call_decide(&mut guest.store, config, deployment, replicas, *analysis, *promoted, state, now).await?;
    Ok(result.map_err(CallError::from).and_then(decided))
}

fn decided(decision: wit::Decision) -> Result<Decision, CallError> {
    let next = match decision.move_ {
        wit::Move::Start(count) => Move::Start { count },
        wit::Move::Weight(percent) if percent > 100 => {
            return Err(Misfit::error(format!("it gives {percent} % of the traffic")));
        }
        wit::Move::Weight(percent) => Move::Weight { percent },
        wit::Move::Retire(replicas) => Move::Retire { replicas },
        wit::Move::Hold(millis) => Move::Hold { span: Span::from_millis(millis) },
        wit::Move::Pause(reason) => Move::Pause { reason: words(reason) },
        wit::Move::Complete => Move::Complete,
        wit::Move::RollBack(reason) => Move::RollBack { reason: words(reason) },
    };
    Ok(Decision { next, reason: words(decision.reason), state: convert::state(decision.state)? })
}

impl From<&Plan> for wit::Deployment {
    fn from(plan: &Plan) -> Self {
        wit::Deployment {
            service: plan.service.clone(),
            stable: plan.stable.clone(),
            candidate: plan.candidate.clone(),
            replicas: plan.replicas,
            started_at_ms: plan.started_at.as_millis(),
        }
    }
}

impl From<&Analysis> for wit::Analysis {
    fn from(analysis: &Analysis) -> Self {
        wit::Analysis {
            since_ms: analysis.since.as_millis(),
            responses: analysis.responses,
            failures: analysis.failures,
            stable_responses: analysis.stable_responses,
            stable_failures: analysis.stable_failures,
        }
    }
}

impl From<&Replica> for target::Replica {
    fn from(replica: &Replica) -> Self {
        target::Replica {
            name: replica.name.clone(),
            revision: replica.revision.clone(),
            phase: match replica.phase {
                ReplicaPhase::Starting => target::Phase::Starting,
                ReplicaPhase::Healthy => target::Phase::Healthy,
                ReplicaPhase::Unhealthy => target::Phase::Unhealthy,
                ReplicaPhase::Draining => target::Phase::Draining,
                ReplicaPhase::Stopped => target::Phase::Stopped,
            },
            weight: replica.weight,
            responses: replica.responses,
            failures: replica.failures,
            message: replica.message.clone(),
        }
    }
}
