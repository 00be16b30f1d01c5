//! What is changed about an instance. Each is a change of its object in the configuration, made to the one that was looked at.

use super::{at, found};
use crate::configuration::{IfMatch, Order};
use crate::console::form::Form;
use crate::console::pages::configuration::undo;
use crate::console::session::Undo;
use crate::extract::At;
use crate::problem::Problem;
use axum::response::Response;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::plugin::files::Seen;
use serde_json::{Map, Value, json};

type Named = At<(String, String)>;

/// Changes what is configured for the instance, if nobody else does meanwhile.
async fn change(
    form: &Form,
    instance: &InstanceName,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Problem>,
) -> Result<Option<Undo>, Problem> {
    let configuration = &form.view.api.options.configuration;
    let object = configuration.object("instances", instance.as_str());
    let before = object.ok_or_else(|| Problem::no_document("instances", instance.as_str()))?;
    let Some(Value::Object(mut spec)) = before.value.clone() else {
        return Err(Problem::conflict(format!("`{instance}` is not configured")));
    };
    change(&mut spec)?;
    let seen = IfMatch(Seen::Tags(vec![before.tag()]));
    configuration.change("instances", instance.as_str(), Order::Set(spec), seen).await?;
    let now = configuration.object("instances", instance.as_str());
    let undo = undo::of("instances", instance.as_str(), Some(&before), now.as_ref());
    Ok(undo.map(|undo| undo::back_to(undo, &at(instance))))
}

/// What has become of it, for a person.
fn state(form: &Form, instance: &InstanceName) -> String {
    let Some(status) = form.view.api.options.registry.instance(instance) else { return format!("{instance} is gone.") };
    let state = crate::resources::status::word(status.state).replace('-', " ");
    match status.reason {
        Some(reason) => format!("{instance} is {state}: {reason}"),
        None => format!("{instance} is {state}."),
    }
}

async fn set_enabled(At((plugin, name)): Named, form: Form, enabled: bool) -> Result<Response, Problem> {
    let instance = InstanceName(format!("{plugin}/{name}"));
    let undo = change(&form, &instance, |spec| {
        spec.insert("enabled".to_owned(), json!(enabled));
        Ok(())
    })
    .await?;
    form.done_but(&at(&instance), state(&form, &instance), undo)
}

pub(super) async fn enable(named: Named, form: Form) -> Result<Response, Problem> {
    set_enabled(named, form, true).await
}

pub(super) async fn disable(named: Named, form: Form) -> Result<Response, Problem> {
    set_enabled(named, form, false).await
}

/// Gives what waits the instance's grants, and what was filled in besides.
pub(super) async fn grant(At((plugin, name)): Named, form: Form) -> Result<Response, Problem> {
    let status = found(&form.view.api, &plugin, &name)?;
    let Some(awaiting) = status.awaiting else {
        return Err(Problem::conflict(format!("nothing waits for the grants of {}", status.name)));
    };
    // What is granted is what was looked at, and not what has taken its place since.
    if form.needed("seen")? != awaiting.plugin.digest.0 {
        return Err(Problem::precondition_failed("another version waits by now; hint: look at it, and decide again"));
    }
    let to = form.text("to").unwrap_or(&awaiting.plugin.digest.0).to_owned();
    if to != awaiting.plugin.digest.0 && to != awaiting.grant_to.to_string() {
        return Err(Problem::invalid(format!("`{to}` is not what waits")));
    }
    let mut more = Map::new();
    for capability in &awaiting.capabilities {
        if let Some(text) = form.text(&capability.name) {
            more.insert(capability.name.clone(), scope(&capability.name, text));
        }
    }
    let undo = change(&form, &status.name, |spec| {
        let given = spec.entry("grants").or_insert_with(|| json!({}));
        if let Value::Object(given) = given {
            given.extend(more);
        }
        let holders = spec.entry("granted-to").or_insert_with(|| json!([]));
        if let Value::Array(holders) = holders
            && !holders.iter().any(|holder| *holder == to)
        {
            holders.push(json!(to));
        }
        Ok(())
    })
    .await?;
    form.done_but(&at(&status.name), format!("The grants are given. {}", state(&form, &status.name)), undo)
}

/// What a person wrote about a capability, as the configuration has it.
fn scope(capability: &str, text: &str) -> Value {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match capability {
        "kv" | "metrics" | "system" => json!(text == "true"),
        "exec" | "process" => lines
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let program = words.next()?;
                Some(json!({"program": program, "arguments": words.collect::<Vec<_>>()}))
            })
            .collect(),
        _ => lines.map(|line| json!(line)).collect(),
    }
}

pub(super) async fn revoke(At((plugin, name)): Named, form: Form) -> Result<Response, Problem> {
    let instance = InstanceName(format!("{plugin}/{name}"));
    let from = form.needed("from")?.to_owned();
    let undo = change(&form, &instance, |spec| {
        let holders = spec.get_mut("granted-to").and_then(Value::as_array_mut);
        let before = holders.as_ref().map_or(0, |holders| holders.len());
        let left = holders.map_or(0, |holders| {
            holders.retain(|holder| *holder != from);
            holders.len()
        });
        if left == before {
            return Err(Problem::conflict(format!("{from} has no grants of {instance} (any more)")));
        }
        Ok(())
    })
    .await?;
    form.done_but(&at(&instance), format!("The grants are taken away. {}", state(&form, &instance)), undo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_about_a_capability_is_what_the_configuration_takes() {
        assert_eq!(scope("kv", "true"), json!(true));
        assert_eq!(
            scope("http", " https://a.example \n\nhttps://b.example"),
            json!(["https://a.example", "https://b.example"])
        );
        let programs = scope("exec", "/bin/df -h ...\n/bin/true");
        let expected =
            json!([{"program": "/bin/df", "arguments": ["-h", "..."]}, {"program": "/bin/true", "arguments": []}]);
        assert_eq!(programs, expected);
        for (capability, text) in [("exec", "/bin/df -h"), ("http", "*"), ("metrics", "true"), ("files", "/var/log/")] {
            let grants = json!({capability: scope(capability, text)});
            let read: Result<quarterdeck_model::plugin::Grants, _> = serde_json::from_value(grants);
            assert!(read.is_ok_and(|grants| grants.has(capability)), "{capability}");
        }
    }
}
