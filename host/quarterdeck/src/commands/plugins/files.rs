//! A plugin's life: installed, removed, gone back to.

use super::super::{Session, text};
use crate::arguments::{Install, Remove, Rollback};
use crate::client::{Refused, escape};
use crate::fetch::{Component, fetch};
use crate::output::{print_line, remark};
use anyhow::{Error, Result, bail};
use quarterdeck_model::plugin::Digest;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

pub(super) async fn install(session: &Session, install: &Install) -> Result<ExitCode> {
    if install.locked {
        return super::locked::install(session, install.source.as_deref(), install.yes).await;
    }
    let source = install.source.as_deref().unwrap_or_default();
    let component = fetch(source, install.digest.as_deref()).await?;
    let file = match &install.name {
        Some(name) if name.ends_with(".wasm") => name.clone(),
        Some(name) => format!("{name}.wasm"),
        None if component.file.ends_with(".wasm") => component.file.clone(),
        None if !component.bytes.starts_with(b"\0asm") => {
            bail!("{source} is no component\nhint: a component is a `.wasm` file; `quarterdeck plugin build` makes one")
        }
        None => bail!("{source} does not say what the file is to be called\nhint: --name"),
    };
    let answer = put(session, &file, install.digest.as_deref(), component, install.replace).await?;
    if session.output.json {
        session.output.one(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let plugin = |pointer: &str| {
        let of = answer.pointer(pointer)?;
        Some(format!("{} {}", text(of, "/name"), text(of, "/version")))
    };
    print_line(&format!(
        "{} is in use as `{}`: {}",
        plugin("/plugin").unwrap_or_default(),
        file,
        text(&answer, "/digest")
    ));
    if let Some(replaced) = answer.get("replaced").filter(|replaced| replaced.is_object()) {
        print_line(&format!("  in place of {} {}", text(replaced, "/name"), text(replaced, "/version")));
    }
    if let Some(publisher) = answer.get("publisher").filter(|publisher| publisher.is_object()) {
        let trusted = if publisher.get("trusted") == Some(&Value::Bool(true)) { "trusted" } else { "not trusted" };
        print_line(&format!("  signed by {}, {trusted} here", text(publisher, "/key")));
    }
    list(&answer, "asks_for")
        .for_each(|asked| print_line(&format!("  asks for {}", asked.as_str().unwrap_or_default())));
    say_awaiting(&answer);
    if answer.get("serves") == Some(&Value::Bool(false)) {
        remark(
            "warning: another file of that name is newer, and serves; hint: `quarterdeck plugin remove` takes that away",
        );
    }
    if list(&answer, "instances").next().is_none() {
        let name = text(&answer, "/plugin/name");
        print_line(&format!("next: quarterdeck config set instances {name}/first '{{\"plugin\": \"{name}\"}}'"));
    }
    Ok(ExitCode::SUCCESS)
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn say_awaiting(answer: &Value) {
    for waiting in list(answer, "awaiting") {
        let meanwhile = match waiting.get("meanwhile").filter(|meanwhile| meanwhile.is_object()) {
            Some(meanwhile) => format!("goes on with version {}", text(meanwhile, "/version")),
            None => "does nothing meanwhile".to_owned(),
        };
        let instance = text(waiting, "/instance");
        let missing = waiting.get("awaiting").map(super::missing).unwrap_or_default();
        print_line(&format!(
            "  {instance} waits for a grant, and {meanwhile}; next: {}",
            super::grant_command(instance, &missing)
        ));
    }
}

/// Hands the host a component. `replace`: also where the file holds another plugin.
pub(super) async fn put(
    session: &Session,
    file: &str,
    digest: Option<&str>,
    component: Component,
    replace: bool,
) -> Result<Value> {
    let digest = digest.map_or_else(|| component.digest.0.clone(), str::to_owned);
    let query = [("digest", digest), ("origin", component.origin), ("replace", replace.to_string())];
    session.client.upload(&path(file), &query, component.bytes).await
}

pub(super) fn path(file: &str) -> String {
    format!("/api/v1/plugin-files/{}", escape(file))
}

pub(super) async fn remove(session: &Session, remove: &Remove) -> Result<ExitCode> {
    let files = session.client.list("/api/v1/plugin-files", &[], usize::MAX).await?;
    let meant: Vec<&Value> = match files.iter().find(|file| text(file, "/file") == remove.name) {
        Some(file) => vec![file],
        None => files.iter().filter(|file| text(file, "/plugin/name") == remove.name).collect(),
    };
    let file = match meant.as_slice() {
        [file] => *file,
        [] => return forget(session, remove, &files).await,
        several => {
            let names: Vec<&str> = several.iter().map(|file| text(file, "/file")).collect();
            bail!("several files hold `{}`; hint: name one of {}", remove.name, names.join(", "))
        }
    };
    let name = text(file, "/file");
    let without = file.get("without").filter(|without| without.is_object());
    let instances: Vec<&str> = list(file, "instances").filter_map(Value::as_str).collect();
    let serves = file.get("serves") == Some(&Value::Bool(true));
    let follows = match without {
        _ if !serves || instances.is_empty() => "no instance runs on it".to_owned(),
        Some(without) => format!(
            "{} then run on version {} ({})",
            instances.join(", "),
            text(without, "/version"),
            text(without, "/digest")
        ),
        None => format!("{} lose their plugin", instances.join(", ")),
    };
    if !remove.yes && !sure(&format!("remove `{name}`: {follows}. Go on?"))? {
        bail!("nothing was removed: {follows}; hint: --yes");
    }
    let tag = Digest(text(file, "/digest").to_owned()).tag();
    let answer = session.client.delete_if(&path(name), &tag).await?;
    session.output.say(&format!("removed `{name}`: {follows}"), &answer);
    Ok(ExitCode::SUCCESS)
}

/// What was taken away by hand may still stand in the lock.
async fn forget(session: &Session, remove: &Remove, files: &[Value]) -> Result<ExitCode> {
    let none = format!("no file of the plugins folder is called or holds `{}`", remove.name);
    let file = if remove.name.ends_with(".wasm") { remove.name.clone() } else { format!("{}.wasm", remove.name) };
    // One that is there holds something else, and is not meant.
    let is_gone = files.iter().all(|there| text(there, "/file") != file);
    if is_gone && (remove.yes || sure(&format!("{none}. Take `{file}` out of the lock, should that name it?"))?) {
        match session.client.delete(&path(&file)).await {
            Ok(answer) => {
                session.output.say(&format!("`{file}` was gone; the lock does not name it any more"), &answer);
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) if !is_unknown(&error) => return Err(error),
            Err(_) => {}
        }
    }
    bail!(
        "{none}; hint: `quarterdeck plugin list` says where each comes from; --yes takes what is gone out of the lock"
    )
}

fn is_unknown(error: &Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.problem.get("status") == Some(&json!(404)))
}

/// Asks whoever sits there; where nobody does, the answer is no.
fn sure(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    write!(std::io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) async fn rollback(session: &Session, rollback: &Rollback) -> Result<ExitCode> {
    let path = format!("/api/v1/plugins/{}/rollback", escape(&rollback.name));
    let answer = session.client.post(&path, &json!({"to": rollback.to})).await?;
    let sentence = format!(
        "{} is back on version {}: {}",
        rollback.name,
        text(&answer, "/to/version"),
        text(&answer, "/to/digest")
    );
    session.output.say(&sentence, &answer);
    if !session.output.json {
        say_awaiting(&answer);
    }
    Ok(ExitCode::SUCCESS)
}
