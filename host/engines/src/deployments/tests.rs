//! The shell over the real store, bus and outbox; target and strategy are plain functions.

use super::*;
use crate::outbox;
use crate::testing::{Bench, DEADLINE, Fake, START, called, until};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::deployment::DeploymentState;
use quarterdeck_model::event::Offset;
use quarterdeck_model::kind::deployment_strategy::{Decision, DeploymentStrategy, Move};
use quarterdeck_model::kind::deployment_target::{DeploymentTarget, Observation, Replica, ReplicaPhase, Step};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{ActResult, CallResult, InstanceName, Kind, Outcome};
use quarterdeck_model::series::Selector;
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;

/// A target whose replicas are healthy at once, and whose steps take nothing.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<Vec<Replica>>>);

#[async_trait]
impl DeploymentTarget for Target {
    async fn observe(&self, _: &InstanceName, _: &str) -> CallResult<Observation> {
        Ok(called(Observation { replicas: self.0.lock().unwrap().clone() }))
    }

    async fn apply(&self, _: &InstanceName, _: &str, step: &Step, _: &str) -> ActResult<Outcome> {
        let mut replicas = self.0.lock().unwrap();
        steps::apply(&mut replicas, step);
        for replica in replicas.iter_mut().filter(|replica| replica.phase == ReplicaPhase::Starting) {
            replica.phase = ReplicaPhase::Healthy;
        }
        Ok(called(Outcome::Done(json!({}))))
    }
}

/// Starts, pauses for a person if it is told to, shifts, retires, completes.
struct Shift {
    pauses: bool,
}

#[async_trait]
impl DeploymentStrategy for Shift {
    async fn decide(&self, _: &InstanceName, question: Question<'_>) -> CallResult<Decision> {
        let stage = question.state.map_or(0, |state| state[0]);
        let old = || question.replicas.iter().filter(|r| r.revision != question.plan.candidate).map(|r| r.name.clone());
        let (stage, next) = match stage {
            0 => (1, Move::Start { count: question.plan.replicas }),
            1 if self.pauses && !question.promoted => (1, Move::Pause { reason: "look at it".to_owned() }),
            1 => (2, Move::Weight { percent: 100 }),
            2 => (3, Move::Retire { replicas: old().collect() }),
            _ => (4, Move::Complete),
        };
        Ok(called(Decision { next, reason: "next".to_owned(), state: Some(vec![stage]) }))
    }
}

struct Host {
    bench: Bench,
    handle: Handle,
    _tasks: Tasks,
}

async fn host(data: &Path, target: &Target, pauses: bool) -> Host {
    let fake = Fake::default();
    fake.add_instance("haproxy/web", Kind::DeploymentTarget);
    let spec = json!({"services": {"web": {"target": "haproxy/web", "strategy": "shift/default"}}});
    let catalog: Catalog = serde_json::from_value(spec).unwrap();
    let mut bench = Bench::open(data, &fake, catalog, START);
    bench.context.plugins.deployment_target = Arc::new(target.clone());
    bench.context.plugins.deployment_strategy = Arc::new(Shift { pauses });
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    Host { bench, handle, _tasks: tasks }
}

impl Host {
    async fn start(&self, revision: &str) -> Result<Deployment, Error> {
        let request = StartDeployment { revision: revision.to_owned(), principal: "ann".to_owned() };
        self.handle.start("web", request).await
    }

    fn read(&self, id: &DeploymentId) -> Deployment {
        self.bench.context.read(Deployment::COLLECTION, id.as_str()).unwrap().unwrap()
    }

    /// Lets time go on until it has ended.
    async fn finished(&self, id: &DeploymentId) -> Deployment {
        let finished = async {
            while !self.read(id).state.is_final() {
                self.bench.advance(Span::from_millis(500));
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, finished).await.unwrap_or_else(|_| panic!("{:#?}", self.read(id)));
        self.read(id)
    }

    fn service(&self) -> ServiceRecord {
        self.bench.context.read(ServiceRecord::COLLECTION, "web").unwrap().unwrap()
    }

    async fn kill(self) {
        let Host { bench, handle, _tasks } = self;
        drop((_tasks, handle));
        bench.kill().await;
    }
}

fn revisions(target: &Target) -> Vec<(String, u32)> {
    target.0.lock().unwrap().iter().map(|replica| (replica.revision.clone(), replica.weight)).collect()
}

#[tokio::test]
async fn revisions_follow_one_another() {
    let (data, target) = (tempfile::tempdir().unwrap(), Target::default());
    let host = host(data.path(), &target, false).await;
    let first = host.start("v1").await.unwrap();
    let busy = host.start("v2").await.unwrap_err().to_string();
    assert_eq!(
        busy,
        format!(
            "deployment `{0}` of service `web` is under way; hint: wait for it, promote it if it waits for a person \
             (`quarterdeck deployment promote {0}`), or take it back (`quarterdeck deployment abort {0}`)",
            first.id
        )
    );
    let first = host.finished(&first.id).await;
    assert_eq!(first.state, DeploymentState::Succeeded, "{:?}", first.error);
    assert_eq!(revisions(&target), [("v1".to_owned(), 128), ("v1".to_owned(), 128)]);
    assert_eq!((host.service().stable.as_str(), host.service().deployment), ("v1", None));
    assert!(matches!(host.start("v1").await, Err(Error::Conflict { .. })));
    let second = host.start("v2").await.unwrap();
    let second = host.finished(&second.id).await;
    assert_eq!((second.state, second.stable.as_str()), (DeploymentState::Succeeded, "v1"), "{:?}", second.error);
    assert_eq!(revisions(&target), [("v2".to_owned(), 128), ("v2".to_owned(), 128)]);
    let told = host.bench.event(Deployment::FINISHED, Some(second.id.as_str()), Offset(0)).await;
    assert_eq!(told.event.data["state"], json!("succeeded"));
    let unknown = StartDeployment { revision: "v1".to_owned(), principal: "ann".to_owned() };
    assert!(matches!(host.handle.start("other", unknown).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_revision_that_does_not_run_any_more_is_deployed_again_and_stays_the_stable_one() {
    let (data, target) = (tempfile::tempdir().unwrap(), Target::default());
    let host = host(data.path(), &target, false).await;
    let first = host.start("v1").await.unwrap();
    host.finished(&first.id).await;
    let lose: [fn(&mut Vec<Replica>); 2] =
        [Vec::clear, |replicas| replicas.iter_mut().for_each(|replica| replica.phase = ReplicaPhase::Unhealthy)];
    for lose in lose {
        assert!(matches!(host.start("v1").await, Err(Error::Conflict { .. })), "it runs");
        lose(&mut target.0.lock().unwrap());
        let again = host.start("v1").await.unwrap();
        assert_eq!(host.service().stable, "v1", "also meanwhile");
        let again = host.finished(&again.id).await;
        assert_eq!(again.state, DeploymentState::Succeeded, "{:?}", again.error);
        assert_eq!(revisions(&target), [("v1".to_owned(), 128), ("v1".to_owned(), 128)]);
        assert_eq!((host.service().stable.as_str(), host.service().deployment), ("v1", None));
    }
}

#[tokio::test]
async fn a_person_promotes_or_takes_it_back_and_a_kill_in_between_changes_nothing() {
    let (data, target) = (tempfile::tempdir().unwrap(), Target::default());
    let first = host(data.path(), &target, true).await;
    let paused = |host: &Host, id: &DeploymentId| host.read(id).state == DeploymentState::Paused;
    let deployment = first.start("v1").await.unwrap();
    until("the pause", || paused(&first, &deployment.id)).await;
    first.kill().await;
    let second = host(data.path(), &target, true).await;
    second.handle.promote(deployment.id.as_str(), "ben", false).await.unwrap();
    assert_eq!(second.finished(&deployment.id).await.state, DeploymentState::Succeeded);

    let deployment = second.start("v2").await.unwrap();
    until("the second pause", || paused(&second, &deployment.id)).await;
    second.handle.abort(deployment.id.as_str(), "ben", "not today").await.unwrap();
    second.kill().await;
    let third = host(data.path(), &target, true).await;
    let deployment = third.finished(&deployment.id).await;
    assert_eq!(deployment.state, DeploymentState::RolledBack);
    assert_eq!(deployment.error.as_deref(), Some("aborted by ben: not today"));
    assert_eq!(revisions(&target), [("v1".to_owned(), 128), ("v1".to_owned(), 128)]);
    assert_eq!((third.service().stable.as_str(), third.service().deployment), ("v1", None));
    assert!(matches!(third.handle.promote(deployment.id.as_str(), "ben", false).await, Err(Error::Conflict { .. })));
    assert!(matches!(third.handle.promote("dep_0", "ben", false).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_service_is_observed_between_its_deployments() {
    let (data, target) = (tempfile::tempdir().unwrap(), Target::default());
    let host = host(data.path(), &target, false).await;
    let up = || {
        let selector =
            Selector { metric: "service_replica_up".to_owned(), labels: Labels::new().with("service", "web") };
        let mut samples = host.bench.context.series.latest(&selector, host.bench.now(), Span::from_secs(300));
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        samples.into_iter().map(|sample| sample.value).collect::<Vec<_>>()
    };
    until("its job", || host.bench.context.scheduler.list().iter().any(|job| job.spec.name == "observe/web")).await;
    let first = host.start("v1").await.unwrap();
    host.finished(&first.id).await;
    let observed = async |wanted: &[f64]| {
        // The scheduler keeps real time: the run that would come after fifteen seconds is asked for.
        host.bench.advance(Span::from_secs(15));
        until("the end of the run before", || host.bench.context.scheduler.run_now("observe/web").is_ok()).await;
        until(&format!("{wanted:?}"), || up() == wanted).await;
    };
    observed(&[1.0, 1.0]).await;
    target.0.lock().unwrap()[0].phase = ReplicaPhase::Unhealthy;
    observed(&[0.0, 1.0]).await;
    target.0.lock().unwrap()[0].phase = ReplicaPhase::Healthy;
    observed(&[1.0, 1.0]).await;
}
