//! The effective configuration as files again: read in an empty folder, they give the same settings.
//!
//! Everything that TOML can say stands in `quarterdeck.toml`. TOML has no `null` (a runbook's input that must be given, say): objects
//! with one stand in a file of their own, in JSON, which YAML readers read. Secrets are named by where they are; what they are is
//! not known here.

use crate::layers::{Base, Loaded};
use crate::meaning::object_sections;
use crate::place::Place;
use crate::tree::Node;
use serde_json::{Map, Value};

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the configuration folder: `quarterdeck.toml`, `runbooks/restart.yaml`.
    pub path: String,
    pub text: String,
}

/// The files of a configuration.
///
/// # Errors
/// What TOML can't say, which is a defect here.
pub fn export(loaded: &Loaded) -> Result<Vec<File>, String> {
    let Value::Object(mut root) = loaded.value() else { return Err("the settings are no object".to_owned()) };
    // Built-in objects are merged with those of the same name, and would bring back keys and objects that were taken away.
    if !comes_back(loaded) {
        root.insert("built-ins".to_owned(), Value::Bool(false));
    }
    let mut files = Vec::new();
    for section in object_sections() {
        let Some(Value::Object(objects)) = root.get_mut(section) else { continue };
        let (plain, other): (Map<_, _>, Map<_, _>) =
            std::mem::take(objects).into_iter().partition(|(_, object)| !needs_json(object));
        *objects = plain;
        for (name, object) in other {
            let text = serde_json::to_string_pretty(&object).map_err(|error| error.to_string())?;
            files.push(File { path: format!("{section}/{name}.yaml"), text: text + "\n" });
        }
    }
    // A setting that is absent has its default.
    prune(&mut root);
    let table = toml::Table::try_from(&root).map_err(|error| error.to_string())?;
    let body = toml::to_string_pretty(&table).map_err(|error| error.to_string())?;
    let text = format!("# The effective configuration {}, exported.\n\n{body}", loaded.digest);
    files.insert(0, File { path: "quarterdeck.toml".to_owned(), text });
    Ok(files)
}

/// One object as TOML, as a file would hold it. `None`: TOML can't say it.
pub fn object_text(value: &Value) -> Option<String> {
    if needs_json(value) {
        return None;
    }
    toml::to_string_pretty(&toml::Table::try_from(value).ok()?).ok()
}

/// Whether the values, read as a file, give the same settings again with the built-in objects below them.
fn comes_back(loaded: &Loaded) -> bool {
    let mut root = loaded.value();
    if let Some(root) = root.as_object_mut() {
        root.retain(|_, value| !value.is_null());
    }
    let again = Base::of(Node::from_value(&Place::Default, root)).with(&[]);
    again.is_ok_and(|again| again.digest == loaded.digest)
}

fn needs_json(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.is_u64() && number.as_i64().is_none(),
        Value::Array(items) => items.iter().any(needs_json),
        Value::Object(map) => map.values().any(needs_json),
        _ => false,
    }
}

fn prune(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().filter_map(Value::as_object_mut).for_each(prune);
}
