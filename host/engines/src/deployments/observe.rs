//! Services under observation: a job for each asks its target what it sees, and makes series of the answer. So rules can watch what
//! was deployed, also when no deployment is under way.

use crate::{Context, Error, belongings};
use async_trait::async_trait;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::deployment::{Deployment, ServiceRecord};
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::kind::deployment_target::{Replica, ReplicaPhase};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

const EVERY: Span = Span::from_secs(15);

/// Responses and failures of each replica, as last seen.
type Counters = BTreeMap<String, (u64, u64)>;

pub(super) struct Observers {
    context: Context,
    /// By service, those whose jobs are set.
    seen: Mutex<BTreeMap<String, Counters>>,
}

pub(super) async fn run(context: Context) {
    let observers = Arc::new(Observers { context: context.clone(), seen: Mutex::default() });
    let mut catalog = context.catalog.clone();
    loop {
        let current = catalog.borrow_and_update().clone();
        observers.sync(&current);
        let gone = tokio::select! {
            () = context.shutdown.cancelled() => true,
            changed = catalog.changed() => changed.is_err(),
        };
        if gone {
            // The jobs hold what holds the scheduler: nobody would ever let go.
            observers.sync(&Catalog::default());
            return context.shutdown.cancelled().await;
        }
    }
}

impl Observers {
    /// Sets the jobs of the services that there are now.
    fn sync(self: &Arc<Self>, catalog: &Catalog) {
        let known: Vec<String> = self.with(|seen| seen.keys().cloned().collect());
        for gone in known.iter().filter(|service| !catalog.services.contains_key(*service)) {
            self.context.scheduler.remove(&job_name(gone));
            self.with(|seen| seen.remove(gone));
        }
        for service in catalog.services.keys().filter(|service| !known.contains(service)) {
            let job = Observe { observers: self.clone(), service: service.clone() };
            let spec = JobSpec { jitter: Span::from_secs(1), ..JobSpec::every(job_name(service), EVERY) };
            match self.context.scheduler.set(spec, Arc::new(job)) {
                Ok(()) => {
                    self.with(|seen| seen.insert(service.clone(), Counters::new()));
                }
                Err(error) => warn!(service, %error, "a service can't be observed"),
            }
        }
    }

    async fn observe(&self, service: &str) -> Result<(), Error> {
        let context = &self.context;
        let catalog = context.catalog();
        let Some(spec) = catalog.services.get(service) else { return Ok(()) };
        // What was never deployed has nothing to be seen.
        let Some(record) = context.read::<ServiceRecord>(ServiceRecord::COLLECTION, service)? else { return Ok(()) };
        let now = context.now();
        let replicas = match self.under_way(&record)? {
            // Its deployment looks more often, and nobody else gets in its way.
            Some(deployment) => Ok(deployment.replicas),
            None => match context.plugins.deployment_target.observe(&spec.target, service).await {
                Ok(mut called) => {
                    context.commit(belongings(&mut called)).await?;
                    Ok(called.value.replicas)
                }
                Err(error) => Err(error),
            },
        };
        let observed = Labels::new().with("service", service);
        let value = if replicas.is_ok() { 1.0 } else { 0.0 };
        let mut samples = vec![Sample { name: "service_observed".to_owned(), labels: observed, at: now, value }];
        if let Ok(replicas) = &replicas {
            let before = self.with(|seen| seen.insert(service.to_owned(), counters(replicas))).unwrap_or_default();
            samples.extend(figures(service, replicas, &before, now));
        }
        context.series.append(samples).await?;
        replicas.map(|_| ()).map_err(Error::from)
    }

    fn under_way(&self, record: &ServiceRecord) -> Result<Option<Deployment>, Error> {
        let Some(id) = &record.deployment else { return Ok(None) };
        let deployment = self.context.read::<Deployment>(Deployment::COLLECTION, id.as_str())?;
        Ok(deployment.filter(|deployment| !deployment.state.is_final()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Counters>) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn job_name(service: &str) -> String {
    format!("observe/{service}")
}

struct Observe {
    observers: Arc<Observers>,
    service: String,
}

#[async_trait]
impl Job for Observe {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.observers.observe(&self.service).await.map_err(|error| error.to_string())
    }
}

fn counters(replicas: &[Replica]) -> Counters {
    replicas.iter().map(|replica| (replica.name.clone(), (replica.responses, replica.failures))).collect()
}

/// What is seen, as samples: of each replica, and of the service how many of the responses since `before` were failures. Without
/// responses there is no such figure.
fn figures(service: &str, replicas: &[Replica], before: &Counters, now: Timestamp) -> Vec<Sample> {
    let of_service = Labels::new().with("service", service);
    let mut samples = Vec::new();
    let (mut responses, mut failures) = (0_u64, 0_u64);
    for replica in replicas {
        let labels = of_service.clone().with("revision", &replica.revision).with("replica", &replica.name);
        // One that drains still answers what it was asked.
        let up = matches!(replica.phase, ReplicaPhase::Healthy | ReplicaPhase::Draining);
        for (name, value) in [
            ("service_replica_up", if up { 1.0 } else { 0.0 }),
            ("service_replica_weight", f64::from(replica.weight)),
            ("service_replica_responses_total", float(replica.responses)),
            ("service_replica_failures_total", float(replica.failures)),
        ] {
            samples.push(Sample { name: name.to_owned(), labels: labels.clone(), at: now, value });
        }
        // Counters that went back began anew; those of a replica that was not there before say nothing of the time between.
        if let Some((responses_before, failures_before)) = before.get(&replica.name) {
            let since = |now: u64, before: u64| if now < before { now } else { now - before };
            responses = responses.saturating_add(since(replica.responses, *responses_before));
            failures = failures.saturating_add(since(replica.failures, *failures_before));
        }
    }
    if responses > 0 {
        let value = float(failures) / float(responses);
        samples.push(Sample { name: "service_failure_ratio".to_owned(), labels: of_service, at: now, value });
    }
    samples
}

/// Exact below 2^53.
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, phase: ReplicaPhase, responses: u64, failures: u64) -> Replica {
        let (name, revision) = (name.to_owned(), "v1".to_owned());
        Replica { name, revision, phase, weight: 128, responses, failures, message: String::new() }
    }

    #[test]
    fn replicas_become_series_and_what_failed_since_the_last_look_a_ratio() {
        let before =
            counters(&[replica("a", ReplicaPhase::Healthy, 100, 0), replica("b", ReplicaPhase::Healthy, 50, 9)]);
        let replicas = [
            replica("a", ReplicaPhase::Healthy, 190, 9),
            // Started anew meanwhile.
            replica("b", ReplicaPhase::Unhealthy, 10, 1),
            replica("c", ReplicaPhase::Starting, 1000, 1000),
            replica("d", ReplicaPhase::Draining, 0, 0),
            replica("e", ReplicaPhase::Stopped, 0, 0),
        ];
        let samples = figures("web", &replicas, &before, Timestamp::MIN);
        let value = |name: &str, replica: Option<&str>| {
            let found = samples.iter().find(|sample| sample.name == name && sample.labels.get("replica") == replica);
            found.map(|sample| sample.value)
        };
        let up: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| value("service_replica_up", Some(name))).to_vec();
        assert_eq!(up, [1.0, 0.0, 0.0, 1.0, 0.0].map(Some));
        assert_eq!(value("service_replica_weight", Some("a")), Some(128.0));
        assert_eq!(value("service_replica_responses_total", Some("a")), Some(190.0));
        assert_eq!(value("service_replica_failures_total", Some("a")), Some(9.0));
        assert_eq!(value("service_failure_ratio", None), Some(0.1));
        let idle = figures("web", &replicas, &counters(&replicas), Timestamp::MIN);
        assert!(idle.iter().all(|sample| sample.name != "service_failure_ratio"), "no traffic is no figure");
    }
}
