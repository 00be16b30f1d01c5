//! Prometheus's functions, and those of Go that need no more than values.

mod builtin;
mod humanize;
mod text;

use super::{Scene, Value};
use quarterdeck_promql::parse_duration;

const NAMES: [&str; 46] = [
    "and",
    "args",
    "eq",
    "externalURL",
    "first",
    "ge",
    "graphLink",
    "gt",
    "html",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "index",
    "js",
    "label",
    "le",
    "len",
    "lt",
    "match",
    "ne",
    "not",
    "or",
    "parseDuration",
    "pathPrefix",
    "print",
    "printf",
    "println",
    "query",
    "reReplaceAll",
    "safeHtml",
    "slice",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "urlquery",
    "value",
];

pub(super) fn is_one(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(super) fn call(name: &str, arguments: &[Value], scene: &Scene<'_>) -> Result<Value, String> {
    match (name, arguments) {
        ("query", [query]) => {
            let found = (scene.query)(query.to_text()?)?;
            let sample = |(labels, value): super::Found| Value::Sample { labels: (*labels).clone(), value };
            Ok(Value::List(found.into_iter().map(sample).collect()))
        }
        ("first", [Value::List(items)]) => {
            items.first().cloned().ok_or_else(|| "first() called on vector with no elements".to_owned())
        }
        ("value", [Value::Sample { value, .. }]) => Ok(Value::Number(*value)),
        ("label", [name, Value::Sample { labels, .. }]) => {
            Ok(Value::Text(labels.get(name.to_text()?).unwrap_or_default().to_owned()))
        }
        ("strvalue", [Value::Sample { labels, .. }]) => {
            Ok(Value::Text(labels.get("__value__").unwrap_or_default().to_owned()))
        }
        ("sortByLabel", [name, Value::List(items)]) => {
            let name = name.to_text()?;
            let of = |value: &Value| match value {
                Value::Sample { labels, .. } => labels.get(name).unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            let mut items = items.clone();
            items.sort_by_key(of);
            Ok(Value::List(items))
        }
        ("args", items) => Ok(Value::Map(
            items.iter().enumerate().map(|(index, item)| (format!("arg{index}"), item.clone())).collect(),
        )),
        ("externalURL", []) => Ok(Value::Text(scene.external_url.to_owned())),
        ("pathPrefix", []) => {
            let path =
                scene.external_url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest.get(at..)));
            Ok(Value::Text(path.flatten().unwrap_or_default().to_owned()))
        }
        ("parseDuration", [text]) => {
            let text = text.to_text()?;
            let millis = parse_duration(text).ok_or_else(|| format!("not a valid duration string: {text:?}"))?;
            #[expect(clippy::cast_precision_loss, reason = "a duration in seconds")]
            Ok(Value::Number(millis as f64 / 1000.0))
        }
        (name, arguments) => {
            let found = humanize::call(name, arguments)
                .or_else(|| text::call(name, arguments))
                .or_else(|| builtin::call(name, arguments));
            found.unwrap_or_else(|| Err(format!("wrong number or type of arguments: {}", arguments.len())))
        }
    }
}
