//! Where a value was written, and how the path to it is shown.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Lines and columns count from 1; columns count characters.
    File { path: Arc<Path>, line: usize, column: usize },
    /// An object that was set over the API.
    Api,
    /// An environment variable.
    Variable(Arc<str>),
    /// A flag of the command line.
    Flag(Arc<str>),
    /// Built in.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Place::Variable(name) | Place::Flag(name) => f.write_str(name),
            Place::Api => f.write_str("the API"),
            Place::Default => f.write_str("built in"),
        }
    }
}

/// One step of a path, as JSON Pointer (RFC 6901) writes it.
pub fn push(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The steps of a JSON Pointer.
pub(crate) fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

/// A JSON Pointer as people write it in TOML: `instances."http-probe/api".every`, `runbooks.check.steps[2]`.
pub fn key_path(pointer: &str) -> String {
    let mut path = String::new();
    for step in steps(pointer) {
        if step.parse::<usize>().is_ok() && !path.is_empty() {
            path.push_str(&format!("[{step}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        let bare = !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if bare { path.push_str(&step) } else { path.push_str(&format!("{step:?}")) }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_shown_as_toml_writes_it() {
        let pointer = push(&push("/instances", "http-probe/api"), "every");
        assert_eq!(pointer, "/instances/http-probe~1api/every");
        assert_eq!(key_path(&pointer), "instances.\"http-probe/api\".every");
        assert_eq!(key_path("/runbooks/check/steps/2"), "runbooks.check.steps[2]");
    }
}
