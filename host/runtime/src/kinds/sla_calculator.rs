//! What was attained?

use super::export;
use crate::bindings::sla_calculator::exports::quarterdeck::sla_calculator::sla_calculator as wit;
use crate::call::{Guest, Misfit, Reply};
use crate::decisions::Question;
use crate::plugin::Version;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::sla_calculator::{Attainment, Figure, SlaCalculator, SlaWindow};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

const MAX_PARTIAL_BYTES: usize = 256 << 10;

#[async_trait]
impl SlaCalculator for Runtime {
    async fn fold(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        window: &SlaWindow,
        partial: Option<&[u8]>,
    ) -> CallResult<Vec<u8>> {
        let bytes = window.values.len().saturating_mul(16);
        let request = Request::new(Kind::SlaCalculator, instance).at(window.to).over(config).bytes(bytes);
        let question = Question::Fold { window: Cow::Borrowed(window), partial: partial.map(Cow::Borrowed) };
        let window = wit::Window::from(window);
        let partial = partial.map(<[u8]>::to_vec);
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::fold(guest, &version, &config, &window, partial.as_deref()).await })
        })
        .await
    }

    async fn merge(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        a: &[u8],
        b: &[u8],
        now: Timestamp,
    ) -> CallResult<Vec<u8>> {
        let bytes = a.len().saturating_add(b.len());
        let request = Request::new(Kind::SlaCalculator, instance).at(now).over(config).bytes(bytes);
        let question = Question::Merge { a: Cow::Borrowed(a), b: Cow::Borrowed(b) };
        let (a, b) = (a.to_vec(), b.to_vec());
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::merge(guest, &version, &config, &a, &b).await })
        })
        .await
    }

    async fn finish(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        partial: &[u8],
        now: Timestamp,
    ) -> CallResult<Attainment> {
        let request = Request::new(Kind::SlaCalculator, instance).at(now).over(config).bytes(partial.len());
        let question = Question::Finish { partial: Cow::Borrowed(partial) };
        let partial = partial.to_vec();
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::finish(guest, &version, &config, &partial).await })
        })
        .await
    }
}

/// The calculator of a version, in a guest.
macro_rules! calculator {
    ($guest:ident, $version:ident, $call:ident($($argument:expr),*)) => {{
        let sla = match export($version, |version| &version.exports.sla_calculator, Kind::SlaCalculator) {
            Ok(pre) => pre.instantiate_async(&mut $guest.store).await?,
            Err(error) => return Ok(Err(error)),
        };
        let sla = sla.quarterdeck_sla_calculator_sla_calculator();
        sla.$call(&mut $guest.store, $($argument),*).await?.map_err(CallError::from)
    }};
}

pub(super) async fn fold(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    window: &wit::Window,
    partial: Option<&[u8]>,
) -> Reply<Vec<u8>> {
    Ok(calculator!(guest, version, call_fold(config, window, partial)).and_then(partial_result))
}

pub(super) async fn merge(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    a: &[u8],
    b: &[u8],
) -> Reply<Vec<u8>> {
    Ok(calculator!(guest, version, call_merge(config, a, b)).and_then(partial_result))
}

pub(super) async fn finish(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    partial: &[u8],
) -> Reply<Attainment> {
    Ok(calculator!(guest, version, call_finish(config, partial)).map(Attainment::from))
}

fn partial_result(partial: Vec<u8>) -> Result<Vec<u8>, CallError> {
    if partial.len() > MAX_PARTIAL_BYTES {
        return Err(Misfit::too_large("its partial result", partial.len(), MAX_PARTIAL_BYTES));
    }
    Ok(partial)
}

impl From<&SlaWindow> for wit::Window {
    fn from(window: &SlaWindow) -> Self {
        wit::Window {
            from_ms: window.from.as_millis(),
            to_ms: window.to.as_millis(),
            at_ms: window.at.iter().map(|at| at.as_millis()).collect(),
            value: window.values.clone(),
            exclusions: window.exclusions.iter().map(|(from, to)| (from.as_millis(), to.as_millis())).collect(),
        }
    }
}

impl From<wit::Attainment> for Attainment {
    fn from(attainment: wit::Attainment) -> Self {
        let figure = |figure: wit::Figure| Figure { good: figure.good, total: figure.total, attained: figure.attained };
        Attainment {
            adjusted: figure(attainment.adjusted),
            raw: figure(attainment.raw),
            met: attainment.met,
            budget_left: attainment.budget_left,
        }
    }
}
