//! Alerts that are sent here. Who has many sends them in one body, which is large, so a body is read twice: once to see that all of it
//! makes sense, and once more to take its alerts in, a part at a time. No more of them are in memory than such a part.

use super::answer::Failure;
use crate::extract::read;
use crate::intake::Room;
use crate::problem::Problem;
use crate::resources::Routes;
use crate::schema::taken;
use crate::{Api, extract};
use axum::body::to_bytes;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::StatusCode;
use quarterdeck_engines::alerting::posted::{Incoming, check};
use quarterdeck_model::Timestamp;
use quarterdeck_model::label::Labels;
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use utoipa_axum::routes;

/// Bytes of a body. Alertmanager has no limit of its own.
const BODY: usize = 16 << 20;
/// Bytes of bodies that arrive or are taken in.
const ALL_BODIES: usize = 4 * BODY;
/// A body of more bytes is large.
const LARGE: usize = 1 << 20;
/// How long a body waits for others.
const PATIENCE: Duration = Duration::from_secs(10);
/// Alerts of one body.
const ALERTS: usize = 100_000;
/// Alerts that are taken in at a time: few enough to be held, and more than go into a record.
const AT_ONCE: usize = 1_000;
/// Alerts that are refused with their reasons; the others are counted.
const TOLD: usize = 100;
const ROUTE: &str = "/alertmanager/api/v2/alerts";

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(alertmanager_post_alerts))
}

/// Whether many alerts are sent there.
pub(crate) fn takes_many(route: &str) -> bool {
    route == ROUTE
}

/// Bytes that a body of alerts may have.
pub(crate) fn largest(api: &Api) -> usize {
    BODY.max(api.options.body_limit)
}

/// What bodies of alerts share.
pub(crate) struct Posts {
    room: Arc<Semaphore>,
    /// One large body is taken in after the other. Small ones don't wait for them, nor for each other.
    turn: Semaphore,
}

impl Default for Posts {
    fn default() -> Self {
        Posts { room: Arc::new(Semaphore::new(ALL_BODIES)), turn: Semaphore::new(1) }
    }
}

impl Posts {
    pub(crate) fn room(&self) -> Room {
        Room::new(&self.room, PATIENCE)
    }
}

/// An alert as a client sends it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: Labels,
    #[serde(default)]
    annotations: Option<Labels>,
    /// The year 1 says nothing, as if it were absent.
    #[serde(default)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

impl From<PostableAlert> for Incoming {
    fn from(sent: PostableAlert) -> Self {
        let said = |time: Option<Timestamp>| time.filter(|time| time.as_millis() > 0);
        Incoming {
            labels: sent.labels,
            annotations: sent.annotations.unwrap_or_default(),
            starts_at: said(sent.starts_at),
            ends_at: said(sent.ends_at),
            generator_url: sent.generator_url.unwrap_or_default(),
        }
    }
}

/// A list of alerts that makes sense, without them.
#[derive(Debug, JsonSchema)]
struct PostableAlerts(#[schemars(with = "Vec<PostableAlert>")] ());

impl<'de> Deserialize<'de> for PostableAlerts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Each(|_: PostableAlert| true).deserialize(from).map(PostableAlerts)
    }
}

/// Gives each alert of a list away as soon as it is read, for as long as somebody takes them.
struct Each<F>(F);

impl<'de, F: FnMut(PostableAlert) -> bool> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(PostableAlert) -> bool> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut read = 0;
        while let Some(alert) = list.next_element()? {
            read += 1;
            if read > ALERTS {
                return Err(A::Error::custom(format!(
                    "there are more than {ALERTS} alerts; hint: send them in several requests"
                )));
            }
            if !(self.0)(alert) {
                return Err(A::Error::custom("nobody takes them any more"));
            }
        }
        Ok(())
    }
}

/// Gives the alerts of a body away, a part at a time. Says why some were refused.
///
/// # Errors
/// The body makes no sense; then none was given away.
fn read_all(bytes: &[u8], mut give: impl FnMut(Vec<Incoming>) -> bool) -> Result<Refused, Problem> {
    let PostableAlerts(()) = read(bytes)?;
    let (mut part, mut refused) = (Vec::new(), Refused::default());
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let each = Each(|alert: PostableAlert| {
        match check(alert.into()) {
            Ok(alert) => part.push(alert),
            Err(refusal) => refused.add(refusal.to_string()),
        }
        part.len() < AT_ONCE || give(std::mem::take(&mut part))
    });
    // It was read before, so it ends early only where nobody takes any more: whoever it was knows why.
    if each.deserialize(&mut json).is_ok() && !part.is_empty() {
        give(part);
    }
    Ok(refused)
}

#[derive(Default)]
struct Refused {
    reasons: Vec<String>,
    others: usize,
}

impl Refused {
    fn add(&mut self, reason: String) {
        if self.reasons.len() < TOLD { self.reasons.push(reason) } else { self.others += 1 }
    }

    /// In Alertmanager's form: one behind the other.
    fn said(mut self) -> Option<String> {
        if self.others > 0 {
            self.reasons.push(format!("{} others are refused, too", self.others));
        }
        (!self.reasons.is_empty()).then(|| self.reasons.join("; "))
    }
}

/// Takes alerts in, those of a body of 16 MiB at most. They are durable when it is answered.
#[utoipa::path(post, path = "/alerts", tag = "alertmanager",
    request_body(content = ref(taken::<PostableAlerts>()), content_type = "application/json"),
    responses((status = 200, description = "They are taken in.")))]
async fn alertmanager_post_alerts(State(api): State<Arc<Api>>, request: Request) -> Result<StatusCode, Failure> {
    let bytes = to_bytes(request.into_body(), largest(&api)).await;
    let bytes = bytes.map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
    if bytes.is_empty() {
        return Err(Problem::malformed(extract::NO_BODY).into());
    }
    // Never closed; without a turn it would only cost memory.
    let _turn = if bytes.len() > LARGE { api.alerts.turn.acquire().await.ok() } else { None };
    match post(&api, bytes).await?.said() {
        None => Ok(StatusCode::OK),
        Some(reasons) => Err(Failure::bad(reasons)),
    }
}

/// Those that are valid are taken, whatever the others are.
async fn post(api: &Api, bytes: Bytes) -> Result<Refused, Failure> {
    let (parts, mut waiting) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || read_all(&bytes, |part| parts.blocking_send(part).is_ok()));
    while let Some(part) = waiting.recv().await {
        api.options.engines.alerting.post(part).await?;
    }
    let read = reading.await.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(read?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn alerts(count: usize) -> Vec<Value> {
        (0..count).map(|number| json!({"labels": {"alertname": "A", "number": number.to_string()}})).collect()
    }

    /// How large the parts are, and what is said of those that are refused.
    fn taken_in(body: &Value) -> Result<(Vec<usize>, Option<String>), String> {
        let mut parts = Vec::new();
        let refused = read_all(body.to_string().as_bytes(), |part| {
            parts.push(part.len());
            true
        });
        refused.map(|refused| (parts, refused.said())).map_err(|problem| problem.detail)
    }

    #[test]
    fn many_alerts_are_given_away_in_parts() {
        for (count, parts) in [(0, vec![]), (1, vec![1]), (1_000, vec![1_000]), (2_500, vec![1_000, 1_000, 500])] {
            assert_eq!(taken_in(&json!(alerts(count))), Ok((parts, None)), "{count}");
        }
    }

    #[test]
    fn a_body_that_makes_no_sense_gives_nothing_away() {
        let mut sent = alerts(2_000);
        sent.push(json!({"labels": {"a": 5}}));
        let mut given = 0;
        let read = read_all(json!(sent).to_string().as_bytes(), |part| {
            given += part.len();
            true
        });
        assert!(read.err().unwrap().detail.contains("`[2000].labels.a`"));
        assert_eq!(given, 0);
        assert!(taken_in(&json!({})).unwrap_err().contains("a list of alerts"));
        assert!(taken_in(&json!([[]])).is_err());
    }

    #[test]
    fn reading_ends_where_nobody_takes_any_more() {
        let mut given = 0;
        let read = read_all(json!(alerts(5_000)).to_string().as_bytes(), |_| {
            given += 1;
            given < 2
        });
        assert!(read.is_ok());
        assert_eq!(given, 2);
    }

    #[test]
    fn small_alerts_and_reasons_without_end_are_not_held() {
        let many = format!("[{}]", vec!["{\"labels\":{}}"; ALERTS + 1].join(","));
        let refused = read_all(many.as_bytes(), |_| true).err().unwrap().detail;
        assert!(refused.contains("more than 100000 alerts"), "{refused}");
        let (parts, said) = taken_in(&json!(vec![json!({"labels": {}}); 250])).unwrap();
        assert_eq!(parts, Vec::<usize>::new());
        let said = said.unwrap();
        assert!(said.ends_with("; 150 others are refused, too") && said.matches("at least one label").count() == TOLD);
    }
}
