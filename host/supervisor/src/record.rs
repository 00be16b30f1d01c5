//! What the store keeps about a process.

use crate::process::Identity;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::ProcessSpec;
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// The collection of [`Record`]s. A record lives from the order to start until the stop has ended.
pub const COLLECTION: &str = "processes";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub owner: InstanceName,
    pub spec: ProcessSpec,
    /// Unguessable; in the environment of the process, so that one that was started a moment before the host died, and
    /// whose pid was never written down, is found again.
    pub marker: String,
    /// False once the order to stop was given.
    pub wanted: bool,
    /// How long a stop that was under way waits before it kills.
    pub grace: Span,
    /// `None` between the order and the spawn, and between an exit and the next start.
    pub identity: Option<Identity>,
    pub started_at: Timestamp,
    pub restarts: u32,
    pub exit_code: Option<i32>,
    /// What it printed last before it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
}

impl Record {
    pub(crate) fn id(&self) -> String {
        id(&self.owner, &self.spec.name)
    }
}

pub(crate) fn id(owner: &InstanceName, name: &str) -> String {
    format!("{owner}/{name}")
}

/// What is wrong with a specification, if anything.
pub(crate) fn check(owner: &InstanceName, spec: &ProcessSpec) -> Result<(), String> {
    if !owner.is_valid() {
        return Err(format!("`{owner}` is not the name of an instance"));
    }
    if !is_name(&spec.name) {
        return Err(format!(
            "`{}` is not a name for a process; hint: up to 100 letters, digits, `.`, `_` and `-`, the first a letter or digit",
            spec.name.escape_debug()
        ));
    }
    if !spec.program.starts_with('/') {
        return Err(format!("`{}` is not an absolute path", spec.program.escape_debug()));
    }
    let texts = [&spec.program].into_iter().chain(&spec.arguments);
    if texts.clone().any(|text| text.contains('\0')) {
        return Err("a program or an argument holds a NUL character".to_owned());
    }
    for (name, value) in &spec.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("`{}` can't be a variable of an environment", name.escape_debug()));
        }
    }
    if let Some(url) = &spec.health_url {
        crate::health::Target::parse(url)?;
    }
    Ok(())
}

pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
