//! A question of any kind that decides, put to any version: what a replay and a shadow ask.

use super::{correlator, deployment_strategy, detector, scanner_rule, sla_calculator};
use crate::call::{Guest, Reply};
use crate::decisions::{Decided, Outcome, Question};
use crate::plugin::Version;
use std::sync::Arc;

pub(crate) async fn ask(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    question: &Question<'_>,
) -> Reply<Decided> {
    match question {
        Question::Evaluate { window, state } => {
            let window = (&**window).into();
            decided(detector::evaluate(guest, version, config, &window, state.as_deref()).await)
        }
        Question::Interests => decided(scanner_rule::interests(guest, version, config).await),
        Question::Scan { subjects } => {
            let subjects: Vec<_> = subjects.iter().map(Into::into).collect();
            decided(scanner_rule::scan(guest, version, config, &subjects).await)
        }
        Question::Correlate { alert, open } => {
            let (alert, open) = ((&**alert).into(), open.iter().map(Into::into).collect::<Vec<_>>());
            let now = guest.store.data().now;
            decided(correlator::correlate(guest, version, config, &alert, &open, now).await)
        }
        Question::Decide { plan, replicas, analysis, promoted, state } => {
            let asked = deployment_strategy::Asked {
                deployment: (&**plan).into(),
                replicas: replicas.iter().map(Into::into).collect(),
                analysis: (&**analysis).into(),
                promoted: *promoted,
                state: state.as_deref().map(<[u8]>::to_vec),
                now: guest.store.data().now,
            };
            decided(deployment_strategy::decide(guest, version, config, &asked).await)
        }
        Question::Fold { window, partial } => {
            let window = (&**window).into();
            decided(sla_calculator::fold(guest, version, config, &window, partial.as_deref()).await)
        }
        Question::Merge { a, b } => decided(sla_calculator::merge(guest, version, config, a, b).await),
        Question::Finish { partial } => decided(sla_calculator::finish(guest, version, config, partial).await),
    }
}

fn decided<T: Outcome>(reply: Reply<T>) -> Reply<Decided> {
    reply.map(|result| result.map(|value| value.decided()))
}
