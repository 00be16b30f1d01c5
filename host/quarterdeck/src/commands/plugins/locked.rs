//! Brings a host to what a lock file names: contents, and the grants that they had.

use super::super::{Session, text};
use super::files::{path, put};
use super::instances::change;
use super::segments;
use crate::client::{data_dir, escape};
use crate::fetch::fetch;
use crate::lock::{LOCK_FILE, Lock, Locked};
use crate::output::remark;
use anyhow::{Context, Result, anyhow, bail};
use quarterdeck_model::plugin::Digest;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn install(session: &Session, file: Option<&str>, remove_others: bool) -> Result<ExitCode> {
    let own = || Ok::<_, anyhow::Error>(data_dir(&session.global)?.join(LOCK_FILE));
    let lock = Lock::read(&file.map_or_else(own, |file| Ok(Path::new(file).to_owned()))?)?;
    let mut done = Vec::new();
    for plugin in &lock.plugins {
        let present = session.client.list("/api/v1/plugin-files", &[], usize::MAX).await?;
        let held = present.iter().find(|file| text(file, "/file") == plugin.file);
        let how = if held.is_some_and(|held| text(held, "/digest") == plugin.digest.0) {
            "is in place"
        } else {
            brought(session, plugin).await.with_context(|| format!("failed to bring `{}`", plugin.file))?
        };
        if !session.output.json {
            session.output.say(&format!("{} {} {how}: {}", plugin.name, plugin.version, plugin.digest), &Value::Null);
        }
        let waiting = granted(session, plugin).await?;
        done.push(json!({"file": plugin.file, "digest": plugin.digest, "how": how, "not_granted": waiting}));
    }
    let left = others(session, &lock, remove_others).await?;
    if session.output.json {
        session.output.one(&json!({"plugins": done, "others": left}));
    }
    Ok(super::super::exit_code(left.is_empty()))
}

/// Out of the host's own store, if it holds the content still, else from where it was installed.
async fn brought(session: &Session, plugin: &Locked) -> Result<&'static str> {
    let back = format!("/api/v1/plugins/{}/rollback", escape(&plugin.name));
    if let Ok(answer) = session.client.post(&back, &json!({"to": plugin.digest})).await
        && text(&answer, "/source") == plugin.file
    {
        return Ok("is back");
    }
    let fetched = |source: &str| source.contains("://");
    let source = plugin.source.as_deref().filter(|source| fetched(source)).ok_or_else(|| {
        anyhow!(
            "the lock does not say where {} can be fetched from\nhint: quarterdeck plugin install <file> --name {} --digest {}",
            plugin.name,
            plugin.file,
            plugin.digest
        )
    })?;
    let component = fetch(source, Some(&plugin.digest.0)).await?;
    put(session, &plugin.file, Some(&plugin.digest.0), component).await?;
    Ok("is installed")
}

/// Gives the content the grants that it had, to instances whose grants are still those. Returns the others.
async fn granted(session: &Session, plugin: &Locked) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    for granted in &plugin.granted {
        let instance = granted.instance.as_str();
        let object = format!("/api/v1/configuration/objects/instances/{}", escape(instance));
        let Ok(present) = session.client.get(&object, &[]).await else {
            remark(&format!("warning: there is no instance {instance}, which had grants of {}", plugin.name));
            waiting.push(instance.to_owned());
            continue;
        };
        let grants = present.pointer("/value/grants").cloned().unwrap_or_else(|| json!({}));
        let same = serde_json::from_value(grants)
            .is_ok_and(|grants: quarterdeck_model::plugin::Grants| grants == granted.grants);
        if !same {
            remark(&format!(
                "warning: {instance} has other grants than the lock names; hint: quarterdeck plugin grant {instance}"
            ));
            waiting.push(instance.to_owned());
            continue;
        }
        let status = session.client.get(&format!("/api/v1/instances/{}", segments(instance)), &[]).await?;
        let waits = text(&status, "/awaiting/plugin/digest") == plugin.digest.0;
        if !waits {
            continue;
        }
        let to = status.pointer("/awaiting/grant_to").cloned().unwrap_or_else(|| json!(plugin.digest));
        let give = |spec: &mut Map<String, Value>| {
            let Value::Array(given) = spec.entry("granted-to").or_insert_with(|| json!([])) else {
                bail!("`granted-to` of {instance} is no list")
            };
            given.push(to);
            Ok(())
        };
        change(session, instance, give).await?;
    }
    Ok(waiting)
}

/// Files that the lock does not name. They go only if somebody says so.
async fn others(session: &Session, lock: &Lock, remove: bool) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for file in session.client.list("/api/v1/plugin-files", &[], usize::MAX).await? {
        let name = text(&file, "/file");
        if lock.plugins.iter().any(|plugin| plugin.file == name) {
            continue;
        }
        if remove {
            let tag = Digest(text(&file, "/digest").to_owned()).tag();
            session.client.delete_if(&path(name), &tag).await?;
        } else {
            remark(&format!("`{name}` is not in the lock; hint: --yes removes it"));
            left.push(name.to_owned());
        }
    }
    Ok(left)
}
