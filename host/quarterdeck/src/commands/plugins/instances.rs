//! What an operator changes about an instance: whether it runs, and what it is configured with. Both are objects of the configuration, so
//! the host checks a change as a whole, plugin included, before it counts.

use super::super::{Session, configuration, text};
use super::segments;
use crate::arguments::Configure;
use crate::client::escape;
use crate::output::Column;
use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Where an instance is meant, a plugin's name is not enough: it may have several.
pub(super) async fn check_name(session: &Session, name: &str) -> Result<()> {
    if name.contains('/') {
        return Ok(());
    }
    let instances = session.client.list("/api/v1/instances", &[], usize::MAX).await?;
    let those = instances.iter().filter(|instance| text(instance, "/spec/plugin") == name);
    let names: Vec<&str> = those.map(|instance| text(instance, "/name")).collect();
    if names.is_empty() {
        bail!("there is no instance `{name}`; hint: names are `plugin/name`, such as `http-probe/self`");
    }
    bail!("`{name}` is a plugin, and an instance of it is meant; hint: {}", names.join(", "))
}

/// Changes what is configured for an instance, if nobody else does meanwhile. From then on the API has the word about it: `config reset`
/// gives it back to the files.
pub(super) async fn change<T>(
    session: &Session,
    instance: &str,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<T>,
) -> Result<(T, Value)> {
    check_name(session, instance).await?;
    let path = format!("/api/v1/configuration/objects/instances/{}", escape(instance));
    let (object, tag) = session.client.get_tagged(&path).await?;
    let Some(Value::Object(mut spec)) = object.get("value").cloned() else { bail!("{instance} is not configured") };
    let changed = change(&mut spec)?;
    let answer = session.client.put_if(&path, &Value::Object(spec), tag.as_deref()).await?;
    Ok((changed, answer))
}

pub(super) async fn enable(session: &Session, instance: &str, enabled: bool) -> Result<ExitCode> {
    let set = |spec: &mut Map<String, Value>| Ok(spec.insert("enabled".to_owned(), json!(enabled)));
    let (_, answer) = change(session, instance, set).await?;
    let status = session.client.get(&format!("/api/v1/instances/{}", segments(instance)), &[]).await?;
    let reason = match text(&status, "/reason") {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    session.output.say(&format!("{instance} is {}{reason}", text(&status, "/state")), &answer);
    session.output.warn(&answer);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn configure(session: &Session, configure: &Configure) -> Result<ExitCode> {
    let instance = &configure.instance;
    if let Some(file) = &configure.file {
        let Value::Object(config) = configuration::read_object(file)? else {
            bail!("{} holds no table of keys and values", file.display())
        };
        let set = |spec: &mut Map<String, Value>| Ok(spec.insert("config".to_owned(), Value::Object(config)));
        session.output.warn(&change(session, instance, set).await?.1);
    } else if !(configure.set.is_empty() && configure.unset.is_empty()) {
        let pairs = configure.set.iter().map(|text| pair(text)).collect::<Result<Vec<_>>>()?;
        let set = |spec: &mut Map<String, Value>| {
            let config = spec.entry("config").or_insert_with(|| json!({}));
            pairs.into_iter().try_for_each(|(key, value)| put(config, &key, value))?;
            configure.unset.iter().try_for_each(|key| take(config, key))
        };
        session.output.warn(&change(session, instance, set).await?.1);
    }
    show(session, instance).await?;
    Ok(ExitCode::SUCCESS)
}

/// `key=value`, where the value is JSON, or else the text itself.
fn pair(text: &str) -> Result<(String, Value)> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = parts.ok_or_else(|| anyhow!("`{text}` is no pair; hint: write it like `timeout=5s`"))?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))))
}

/// A key with points leads into tables.
fn put(config: &mut Value, key: &str, value: Value) -> Result<()> {
    let mut at = config;
    for part in key.split('.') {
        let Value::Object(table) = at else { bail!("`{key}` can't be set: something in front of it is no table") };
        at = table.entry(part).or_insert_with(|| json!({}));
    }
    *at = value;
    Ok(())
}

fn take(config: &mut Value, key: &str) -> Result<()> {
    let (tables, last) = key.rsplit_once('.').map_or((None, key), |(tables, last)| (Some(tables), last));
    let pointer = tables.map_or(String::new(), |tables| format!("/{}", tables.replace('.', "/")));
    let table = config.pointer_mut(&pointer).and_then(Value::as_object_mut);
    if table.and_then(|table| table.remove(last)).is_none() {
        bail!("`{key}` is not set");
    }
    Ok(())
}

const COLUMNS: [Column; 3] = [("KEY", "/key"), ("VALUE", "/value"), ("FROM", "/from")];

/// What the plugin works with: what is set, and the defaults that it names for the rest.
async fn show(session: &Session, instance: &str) -> Result<()> {
    check_name(session, instance).await?;
    let path = format!("/api/v1/configuration/objects/instances/{}", escape(instance));
    let object = session.client.get(&path, &[]).await?;
    let Some(spec) = object.get("value").filter(|value| value.is_object()) else {
        bail!("{instance} is not configured")
    };
    let set = spec.get("config").cloned().unwrap_or_default();
    let plugin = format!("/api/v1/plugins/{}", escape(text(spec, "/plugin")));
    // Without the plugin nothing is known of its defaults.
    let schema = session.client.get(&plugin, &[]).await.ok().and_then(|plugin| plugin.get("config_schema").cloned());
    let rows = effective(&set, &schema.unwrap_or_default(), text(&object, "/origin"));
    if session.output.json {
        session
            .output
            .one(&json!({"instance": instance, "config": set, "origin": object.get("origin"), "effective": rows}));
    } else {
        session.output.list(&COLUMNS, &rows, "nothing is set, and the plugin names no defaults");
    }
    Ok(())
}

fn effective(set: &Value, schema: &Value, origin: &str) -> Vec<Value> {
    let row = |key: &String, value: &Value, from: &str| json!({"key": key, "value": value, "from": from});
    let set = set.as_object();
    let mut rows: Vec<Value> = set.into_iter().flatten().map(|(key, value)| row(key, value, origin)).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let others = properties.filter(|(key, _)| set.is_none_or(|set| !set.contains_key(*key)));
    let defaults = others.filter_map(|(key, property)| Some((key, property.get("default").filter(|d| !d.is_null())?)));
    rows.extend(defaults.map(|(key, default)| row(key, default, "the plugin's default")));
    rows
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_json_or_else_text_and_points_lead_into_tables() {
        let mut config = json!({"url": "http://a", "headers": {"accept": "*/*"}});
        for text in ["timeout=5s", "retries=3", "headers.host=b=c", "deep.er=[1, 2]", "on=true"] {
            let (key, value) = pair(text).unwrap();
            put(&mut config, &key, value).unwrap();
        }
        let expected = json!({"url": "http://a", "headers": {"accept": "*/*", "host": "b=c"}, "timeout": "5s",
            "retries": 3, "deep": {"er": [1, 2]}, "on": true});
        assert_eq!(config, expected);
        for bad in ["timeout", "=5"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
        assert!(put(&mut config, "url.path", json!(1)).is_err());
        take(&mut config, "headers.host").unwrap();
        take(&mut config, "deep").unwrap();
        assert!(take(&mut config, "headers.host").is_err() && take(&mut config, "url.path").is_err());
        assert_eq!(config["headers"], json!({"accept": "*/*"}));
    }

    #[test]
    fn what_is_not_set_has_the_default_that_the_plugin_names() {
        let schema =
            json!({"properties": {"url": {"type": "string"}, "timeout": {"default": "5s"}, "retries": {"default": 2}}});
        let rows = effective(&json!({"retries": 9}), &schema, "quarterdeck.toml:3");
        let expected = json!([{"key": "retries", "value": 9, "from": "quarterdeck.toml:3"},
            {"key": "timeout", "value": "5s", "from": "the plugin's default"}]);
        assert_eq!(json!(rows), expected);
    }
}
