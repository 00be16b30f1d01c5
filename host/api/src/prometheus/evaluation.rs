//! Whatever reads series runs beside the threads that serve, within bounds: so many at once, so many samples, so long. It ends as soon
//! as nobody waits for it.

use super::answer::{Failure, Kind};
use super::parameters::Parameters;
use crate::Api;
use quarterdeck_model::Span;
use quarterdeck_model::series::query::{Budget, Querier};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What queries may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples that one query may read and hold.
    pub samples: usize,
    /// How long one may take, with the time that it waits for its turn. A client may ask for less.
    pub time: Span,
    /// Queries that are evaluated at once; others wait.
    pub at_once: usize,
}

impl Default for Limits {
    /// Prometheus's, but for how many at once: each may hold all of its samples.
    fn default() -> Self {
        Limits { samples: 50_000_000, time: Span::from_secs(120), at_once: 4 }
    }
}

/// Ends the query when its request is gone, whatever the reason.
struct Waiting(Arc<Budget>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Does the work in its turn.
pub(super) async fn run<R: Send + 'static>(
    api: &Api,
    parameters: &Parameters,
    work: impl FnOnce(&dyn Querier, &Budget) -> Result<R, Failure> + Send + 'static,
) -> Result<R, Failure> {
    let asked = parameters.duration("timeout")?.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    within(api, asked, work).await
}

/// Does the work in its turn, and in the time that is asked for, as far as the host allows it.
pub(crate) async fn within<R: Send + 'static>(
    api: &Api,
    asked: Option<Duration>,
    work: impl FnOnce(&dyn Querier, &Budget) -> Result<R, Failure> + Send + 'static,
) -> Result<R, Failure> {
    let limits = &api.options.queries;
    let most = limits.time.as_duration();
    let deadline = Instant::now() + asked.map_or(most, |asked| asked.min(most));
    let late = |stage| Failure::new(Kind::Timeout, format!("query timed out in {stage}"));
    // Never closed.
    let turn = timeout_at(deadline, Arc::clone(&api.queries).acquire_owned()).await.ok().and_then(Result::ok);
    let turn = turn.ok_or_else(|| late("query queue; hint: there are others that take long, ask again later"))?;
    let budget = Arc::new(Budget::of_samples(limits.samples));
    let waiting = Waiting(Arc::clone(&budget));
    let querier = Arc::clone(&api.options.querier);
    let evaluated = tokio::task::spawn_blocking(move || {
        // Given back by who reads, not by who waits: that one may be gone while reading still goes on.
        let _turn = turn;
        work(&*querier, &budget)
    });
    let result = tokio::select! {
        biased;
        result = evaluated => result,
        () = sleep_until(deadline) => {
            return Err(late("expression evaluation; hint: ask for a shorter range, a longer step or fewer series"));
        }
        () = api.options.shutdown.cancelled() => {
            return Err(Failure::new(Kind::Canceled, "query was canceled: the host is ending"));
        }
    };
    drop(waiting);
    result.unwrap_or_else(|error| Err(Failure::new(Kind::Internal, format!("the query ended early: {error}"))))
}
