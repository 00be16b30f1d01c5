//! Queries in PromQL, over the API that Prometheus's clients use.

use super::{Session, text};
use crate::arguments::Query;
use crate::output::remark;
use anyhow::{Context, Result, bail};
use quarterdeck_model::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Values that a range has where nobody has said how far they are apart.
const VALUES: u32 = 60;

pub(super) async fn query(session: &Session, asked: &Query) -> Result<ExitCode> {
    let at = match &asked.at {
        Some(at) => time(at)?,
        None => super::metrics::now()?.as_millis() as f64 / 1000.0,
    };
    let mut parameters = vec![("query", asked.query.clone())];
    let path = match asked.since {
        None => {
            parameters.push(("time", at.to_string()));
            "/prometheus/api/v1/query"
        }
        Some(since) => {
            let step = asked.step.unwrap_or_else(|| (since / VALUES).max(Duration::from_secs(1)));
            parameters.push(("start", (at - since.as_secs_f64()).to_string()));
            parameters.push(("end", at.to_string()));
            parameters.push(("step", step.as_secs_f64().to_string()));
            "/prometheus/api/v1/query_range"
        }
    };
    let answer = session.client.get(path, &parameters).await?;
    for kind in ["warnings", "infos"] {
        let said = answer.get(kind).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        said.for_each(|said| remark(&format!("{}: {said}", kind.trim_end_matches('s'))));
    }
    let Some(data) = answer.get("data") else { bail!("the daemon's answer to {path} has no data") };
    if session.output.json {
        session.output.one(data);
        return Ok(ExitCode::SUCCESS);
    }
    let result = data.get("result").cloned().unwrap_or_default();
    let (columns, rows): (&[_], Vec<Value>) = match text(data, "/resultType") {
        "vector" => (&[("SERIES", "/series"), ("VALUE", "/value")], of_all(&result, |one| vec![one["value"].clone()])),
        "matrix" => (
            &[("SERIES", "/series"), ("AT", "/at"), ("VALUE", "/value")],
            of_all(&result, |one| one["values"].as_array().cloned().unwrap_or_default()),
        ),
        _ => (&[("VALUE", "/value")], vec![row("", &result)]),
    };
    session.output.list(columns, &rows, "nothing is found");
    Ok(ExitCode::SUCCESS)
}

/// Seconds since 1970.
fn time(text: &str) -> Result<f64> {
    let seconds = text.parse().ok().or_else(|| Some(Timestamp::parse(text)?.as_millis() as f64 / 1000.0));
    seconds.filter(|seconds: &f64| seconds.is_finite()).with_context(|| {
        format!("`{text}` is not a time; hint: seconds since 1970, or RFC 3339 as in 2026-09-21T12:00:00Z")
    })
}

/// A row for each point of each series.
fn of_all(result: &Value, points: impl Fn(&Value) -> Vec<Value>) -> Vec<Value> {
    let all = result.as_array().into_iter().flatten();
    all.flat_map(|one| {
        let series = series(&one["metric"]);
        points(one).iter().map(|point| row(&series, point)).collect::<Vec<_>>()
    })
    .collect()
}

/// Of `[seconds, "value"]`.
fn row(series: &str, point: &Value) -> Value {
    let at = point[0].as_f64().map(|seconds| Timestamp::from_millis((seconds * 1000.0).round() as i64));
    json!({"series": series, "at": at.map(|at| at.to_string()), "value": number(&point[1])})
}

/// Values come as texts: as a number, one is shown with the digits that people need.
fn number(value: &Value) -> Value {
    let number = value.as_str().and_then(|text| text.parse::<f64>().ok()).and_then(serde_json::Number::from_f64);
    number.map_or_else(|| value.clone(), Value::Number)
}

/// As PromQL writes it: `up{job="api"}`.
fn series(metric: &Value) -> String {
    let labels = metric.as_object().into_iter().flatten();
    let labels = labels.filter(|(name, _)| *name != "__name__").map(|(name, value)| format!("{name}={value}"));
    let labels = labels.collect::<Vec<_>>().join(",");
    let name = text(metric, "/__name__");
    if labels.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_written_as_promql_writes_them() {
        for (metric, written) in [
            (json!({"__name__": "up"}), "up"),
            (json!({"__name__": "up", "job": "a\"b", "zone": "x"}), "up{job=\"a\\\"b\",zone=\"x\"}"),
            (json!({"job": "api"}), "{job=\"api\"}"),
            (json!({}), "{}"),
        ] {
            assert_eq!(series(&metric), written);
        }
    }

    #[test]
    fn a_value_is_shown_with_the_digits_that_people_need() {
        let shown = |text: &str| crate::output::cell(&row("", &json!([0, text]))["value"]);
        for (text, expected) in [("99.90029907226563", "99.90"), ("9", "9"), ("NaN", "NaN"), ("+Inf", "+Inf")] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn a_time_is_seconds_or_rfc_3339() {
        assert_eq!(time("1790000000.5").unwrap(), 1_790_000_000.5);
        assert_eq!(time("2015-07-01T20:10:51Z").unwrap(), 1_435_781_451.0);
        for wrong in ["yesterday", "NaN", ""] {
            assert!(time(wrong).unwrap_err().to_string().contains("is not a time"), "{wrong}");
        }
    }
}
