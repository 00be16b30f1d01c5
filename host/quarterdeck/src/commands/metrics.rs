//! Series.

use super::Session;
use crate::arguments::Metric;
use crate::output::cell;
use anyhow::{Context, Result};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

pub(super) async fn metric(session: &Session, command: &Metric) -> Result<ExitCode> {
    match command {
        Metric::List => {
            let names: Vec<Value> = session
                .client
                .list("/api/v1/metrics", &[], usize::MAX)
                .await?
                .into_iter()
                .map(|name| if name.is_string() { json!({"name": name}) } else { name })
                .collect();
            session.output.list(&[("METRIC", "/name")], &names, "no metrics yet");
        }
        Metric::Latest { metric, labels } => {
            let items = session.client.list("/api/v1/metrics/latest", &query(metric, labels), 10_000).await?;
            let columns = [("LABELS", "/labels"), ("VALUE", "/value"), ("AT", "/at")];
            session.output.list(&columns, &items, &format!("no samples of {metric} in the last five minutes"));
        }
        Metric::Range { metric, labels, since } => {
            let to = now()?;
            let span = Span::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            let mut query = query(metric, labels);
            query.push(("from", to.minus(span).to_string()));
            query.push(("to", to.to_string()));
            let series = session.client.list("/api/v1/metrics/range", &query, 10_000).await?;
            if session.output.json {
                session.output.list(&[], &series, "");
                return Ok(ExitCode::SUCCESS);
            }
            let rows: Vec<Value> = series.iter().flat_map(rows).collect();
            let columns = [("LABELS", "/labels"), ("AT", "/at"), ("VALUE", "/value")];
            session.output.list(&columns, &rows, &format!("no samples of {metric} in that time"));
        }
        Metric::Push { metric, value, labels } => {
            let labels = labels
                .iter()
                .map(|label| label.split_once('=').with_context(|| format!("`{label}` is not NAME=VALUE")))
                .collect::<Result<BTreeMap<_, _>>>()?;
            let value = as_json(*value);
            let answer = session
                .client
                .post("/api/v1/metrics", &json!([{"name": metric, "labels": labels, "value": value}]))
                .await?;
            session.output.say(&format!("{metric} = {} is kept", cell(&value)), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A number; a text for what has none in JSON.
fn as_json(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("+Inf"),
        f64::NEG_INFINITY => json!("-Inf"),
        value => json!(value),
    }
}

fn query(metric: &str, labels: &[String]) -> Vec<(&'static str, String)> {
    let mut query = vec![("metric", metric.to_owned())];
    query.extend(labels.iter().map(|label| ("label", label.clone())));
    query
}

/// A row per sample of a series that comes in two columns.
fn rows(series: &Value) -> Vec<Value> {
    let column = |name: &str| series.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let labels = series.get("labels").cloned().unwrap_or_default();
    column("at")
        .into_iter()
        .zip(column("values"))
        .map(|(at, value)| json!({"labels": labels, "at": at, "value": value}))
        .collect()
}

pub(super) fn now() -> Result<Timestamp> {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}
