//! Brings a host to what a lock file names: contents, and the grants that they had.

use super::super::{Session, text};
use super::files::{path, put};
use super::instances::change;
use super::segments;
use crate::client::{data_dir, escape};
use crate::daemon::scratch::Folder;
use crate::fetch::{Component, fetch};
use crate::lock::{Granted, LOCK_FILE, Lock, Locked};
use crate::output::remark;
use anyhow::{Context, Result, anyhow, bail};
use quarterdeck_model::plugin::Digest;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a file of the lock comes to be in its place.
enum Way {
    InPlace,
    /// Out of the host's own store.
    Back,
    /// Fetched, and what the lock names. It lies on the disk until it is its turn: together they may be large.
    Fetched {
        at: PathBuf,
        origin: String,
    },
}

pub(super) async fn install(session: &Session, file: Option<&str>, remove_others: bool) -> Result<ExitCode> {
    let own = || Ok::<_, anyhow::Error>(data_dir(&session.global)?.join(LOCK_FILE));
    let lock = Lock::read(&file.map_or_else(own, |file| Ok(Path::new(file).to_owned()))?)?;
    // Nothing is changed before everything is at hand: half of a lock is a host that nobody has tried.
    let present = session.client.list("/api/v1/plugin-files", &[], usize::MAX).await?;
    let folder = Folder::make()?;
    let mut ways = Vec::new();
    for plugin in &lock.plugins {
        let way = way(session, &lock, plugin, &present, folder.path()).await;
        ways.push(way.with_context(|| format!("nothing was changed: failed to have `{}`", plugin.file))?);
    }
    let mut done = Vec::new();
    for (plugin, way) in lock.plugins.iter().zip(ways) {
        let how = bring(session, plugin, way).await.with_context(|| format!("failed to bring `{}`", plugin.file))?;
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

/// Finds out, and fetches what has to be fetched. Changes nothing.
async fn way(session: &Session, lock: &Lock, plugin: &Locked, present: &[Value], folder: &Path) -> Result<Way> {
    let held = present.iter().find(|file| text(file, "/file") == plugin.file);
    if held.is_some_and(|held| text(held, "/digest") == plugin.digest.0) {
        return Ok(Way::InPlace);
    }
    if comes_back_to(lock, plugin, present) && is_kept(session, plugin).await {
        return Ok(Way::Back);
    }
    let component = fetched(plugin).await?;
    let at = folder.join(plugin.digest.0.replace(':', "-"));
    std::fs::write(&at, &component.bytes).with_context(|| format!("failed to write {}", at.display()))?;
    Ok(Way::Fetched { at, origin: component.origin })
}

/// Whether a way back of the plugin would lead into that file: it is the one that serves under the name, or the first one of it.
fn comes_back_to(lock: &Lock, plugin: &Locked, present: &[Value]) -> bool {
    let is_only = lock.plugins.iter().filter(|other| other.name == plugin.name).count() == 1;
    let mut of_name = present.iter().filter(|file| text(file, "/plugin/name") == plugin.name).peekable();
    let is_place = if of_name.peek().is_none() {
        // There is nothing, or what was read there holds no plugin.
        let is_damaged = |file: &Value| text(file, "/plugin/name").is_empty() && !text(file, "/digest").is_empty();
        let there = present.iter().find(|file| text(file, "/file") == plugin.file);
        plugin.file == format!("{}.wasm", plugin.name) && there.is_none_or(is_damaged)
    } else {
        of_name.any(|file| text(file, "/file") == plugin.file && file.get("serves") == Some(&Value::Bool(true)))
    };
    is_only && is_place
}

/// Whether the host's own store holds the content still, and not as a bundled plugin, which has no file.
async fn is_kept(session: &Session, plugin: &Locked) -> bool {
    let path = format!("/api/v1/plugins/{}/versions", escape(&plugin.name));
    // A plugin that was never in use here has none.
    let versions = session.client.list(&path, &[], usize::MAX).await.unwrap_or_default();
    let known = versions.iter().find(|version| text(version, "/digest") == plugin.digest.0);
    known.is_some_and(|known| known.get("kept") == Some(&Value::Bool(true)) && text(known, "/source") != "bundled")
}

async fn fetched(plugin: &Locked) -> Result<Component> {
    let source = plugin.source.as_deref().filter(|source| source.contains("://")).ok_or_else(|| {
        anyhow!(
            "the lock does not say where {} can be fetched from\nhint: quarterdeck plugin install <file> --name {} --digest {}",
            plugin.name,
            plugin.file,
            plugin.digest
        )
    })?;
    fetch(source, Some(&plugin.digest.0)).await
}

async fn bring(session: &Session, plugin: &Locked, way: Way) -> Result<&'static str> {
    let component = match way {
        Way::InPlace => return Ok("is in place"),
        Way::Back => {
            let back = format!("/api/v1/plugins/{}/rollback", escape(&plugin.name));
            let answer = session.client.post(&back, &json!({"to": plugin.digest})).await;
            if answer.is_ok_and(|answer| text(&answer, "/source") == plugin.file) {
                return Ok("is back");
            }
            // What the store held is damaged.
            fetched(plugin).await?
        }
        Way::Fetched { at, origin } => Component {
            bytes: std::fs::read(&at).with_context(|| format!("failed to read {}", at.display()))?,
            digest: plugin.digest.clone(),
            file: plugin.file.clone(),
            origin,
        },
    };
    // The lock says what the file holds, whatever it holds now.
    put(session, &plugin.file, Some(&plugin.digest.0), component, true).await?;
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
        let to = given_to(granted, plugin, text(&status, "/awaiting/grant_to"));
        let give = |spec: &mut Map<String, Value>| {
            let Value::Array(given) = spec.entry("granted-to").or_insert_with(|| json!([])) else {
                bail!("`granted-to` of {instance} is no list")
            };
            given.push(json!(to));
            Ok(())
        };
        change(session, instance, give).await?;
    }
    Ok(waiting)
}

/// What a lock names is a content. Its publisher's key, and with it whatever else is signed with that, is given the grants only where the
/// lock says so, and where this host trusts the key.
fn given_to(granted: &Granted, plugin: &Locked, trusted: &str) -> String {
    match &granted.key {
        Some(key) if key.to_string() == trusted => trusted.to_owned(),
        Some(key) => {
            remark(&format!(
                "warning: {} had its grants as of {key}, which this host does not trust: they are given to its content alone",
                plugin.name
            ));
            plugin.digest.0.clone()
        }
        None => plugin.digest.0.clone(),
    }
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
            remark(&format!("error: `{name}` is not in the lock; hint: --yes removes it"));
            left.push(name.to_owned());
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::plugin::publisher::PublisherKey;
    use quarterdeck_model::plugin::{Grants, InstanceName};

    fn locked(file: &str, name: &str) -> Locked {
        let (file, name, version) = (file.to_owned(), name.to_owned(), "1.0.0".to_owned());
        Locked { file, name, version, digest: Digest("sha256:aa".to_owned()), source: None, granted: Vec::new() }
    }

    #[test]
    fn a_content_has_the_grants_and_its_publisher_only_where_the_lock_says_so_and_the_key_is_trusted() {
        let plugin = locked("wave.wasm", "wave");
        let granted = |key| Granted {
            instance: InstanceName::from("wave/first"),
            key,
            grants: Grants { kv: true, ..Grants::default() },
        };
        let key = PublisherKey([7; 32]);
        assert_eq!(given_to(&granted(None), &plugin, &key.to_string()), "sha256:aa");
        assert_eq!(given_to(&granted(Some(key.clone())), &plugin, &key.to_string()), key.to_string());
        assert_eq!(given_to(&granted(Some(key)), &plugin, "sha256:aa"), "sha256:aa");
    }

    #[test]
    fn a_way_back_is_taken_only_where_it_leads_into_the_file_of_the_lock() {
        let wave = locked("wave.wasm", "wave");
        let lock = Lock::of(vec![wave.clone(), locked("tide.wasm", "tide")]);
        let file =
            |file: &str, name: &str, serves: bool| json!({"file": file, "plugin": {"name": name}, "serves": serves});
        for (present, expected) in [
            (vec![], true),
            (vec![file("wave.wasm", "wave", true)], true),
            (vec![file("other.wasm", "wave", true)], false),
            (vec![file("other.wasm", "wave", true), file("wave.wasm", "wave", false)], false),
            (vec![file("wave.wasm", "tide", true)], false),
            (vec![json!({"file": "wave.wasm", "digest": "sha256:bb", "plugin": null, "serves": false})], true),
            (vec![json!({"file": "wave.wasm", "digest": "", "plugin": null, "serves": false})], false),
        ] {
            assert_eq!(comes_back_to(&lock, &wave, &present), expected, "{present:?}");
        }
        let twice = Lock::of(vec![wave.clone(), locked("second.wasm", "wave")]);
        assert!(!comes_back_to(&twice, &wave, &[]), "two contents go by the name");
    }
}
