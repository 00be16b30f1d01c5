//! The built component in the real runtime: `quarterdeck plugin build`, `check` and `run`, from a test.

use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A component, and what its calls are given.
///
/// Calls run in the host that is named by the variable `QUARTERDECK`, else the `quarterdeck` on the path: in a sandbox with
/// limits and grants, as an instance would. A call takes a few hundredths of a second, the first one the time to compile.
///
/// ```no_run
/// use quarterdeck_sdk::serde_json::json;
/// use quarterdeck_sdk::testing::Component;
///
/// let component = Component::build(env!("CARGO_MANIFEST_DIR")).unwrap().with_config(json!({"amplitude": 2}));
/// component.check().unwrap();
/// let answer = component.call("collect", &json!({"now": "2026-01-01T00:00:30Z"})).unwrap();
/// assert_eq!(answer["output"]["families"][0]["values"], json!([1.0]));
/// ```
#[derive(Clone, Debug)]
pub struct Component {
    host: PathBuf,
    file: PathBuf,
    config: Value,
    grants: Value,
}

/// Why the host did not do it, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Component {
    /// Builds the component of the plugin in `folder`, as a rule `env!("CARGO_MANIFEST_DIR")`.
    ///
    /// # Errors
    ///
    /// There is no host, or the plugin does not build.
    pub fn build(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let host = host();
        let mut command = Command::new(&host);
        command.args(["plugin", "build", "--json"]).arg(folder.as_ref());
        let built = parsed(&said(&host, &mut command)?.stdout)?;
        let file = built.get("component").and_then(Value::as_str);
        let file = file.ok_or_else(|| Error("`quarterdeck plugin build` names no component".to_owned()))?;
        Ok(Component::open(file))
    }

    /// A component that is there already.
    pub fn open(file: impl Into<PathBuf>) -> Self {
        Component { host: host(), file: file.into(), config: Value::Null, grants: Value::Null }
    }

    /// The configuration of the instance that is called. Without it, an empty one.
    #[must_use]
    pub fn with_config(self, config: Value) -> Self {
        Component { config, ..self }
    }

    /// What the instance may touch, as under `grants` in the host's configuration. Without it, nothing.
    #[must_use]
    pub fn with_grants(self, grants: Value) -> Self {
        Component { grants, ..self }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Calls a function of the component's kind by its name in the interface. The input and the answer are those of
    /// `quarterdeck plugin run`: `output` is what the function gave back, and beside it stands what it did.
    ///
    /// # Errors
    ///
    /// The host refused the configuration, or the call failed.
    pub fn call(&self, function: &str, input: &Value) -> Result<Value, Error> {
        let mut command = self.command("run");
        command.arg(function).arg("--input").arg(input.to_string());
        parsed(&said(&self.host, &mut command)?.stdout)
    }

    /// Judges the component as `quarterdeck plugin check` does.
    ///
    /// # Errors
    ///
    /// What it failed in, a line for each.
    pub fn check(&self) -> Result<(), Error> {
        let mut command = self.command("check");
        let judged = run(&self.host, command.arg("--json"))?;
        if judged.status.success() {
            return Ok(());
        }
        let Ok(report) = parsed(&judged.stdout) else { return Err(failed(&judged)) };
        let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        let text =
            |finding: &Value, name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let poor = findings.iter().filter(|finding| text(finding, "verdict") != "passed");
        let lines: Vec<String> =
            poor.map(|finding| format!("{}: {}", text(finding, "check"), text(finding, "detail"))).collect();
        Err(Error(lines.join("\n")))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.host);
        command.args(["plugin", verb]).arg(&self.file);
        for (flag, value) in [("--config", &self.config), ("--grants", &self.grants)] {
            if !value.is_null() {
                command.arg(flag).arg(value.to_string());
            }
        }
        command
    }
}

fn host() -> PathBuf {
    std::env::var_os("QUARTERDECK").map_or_else(|| PathBuf::from("quarterdeck"), PathBuf::from)
}

fn run(host: &Path, command: &mut Command) -> Result<Output, Error> {
    command.output().map_err(|error| {
        let host = host.display();
        Error(format!("failed to run `{host}`: {error}; hint: put it on the path, or name it in QUARTERDECK"))
    })
}

fn said(host: &Path, command: &mut Command) -> Result<Output, Error> {
    let output = run(host, command)?;
    if output.status.success() { Ok(output) } else { Err(failed(&output)) }
}

fn failed(output: &Output) -> Error {
    Error(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn parsed(text: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(text).map_err(|error| Error(format!("the host did not answer in JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_not_there_is_named_with_what_to_do() {
        let component = Component { host: PathBuf::from("/nowhere/quarterdeck"), ..Component::open("a.wasm") };
        let said = component.check().unwrap_err().to_string();
        assert!(said.contains("/nowhere/quarterdeck") && said.contains("hint"), "{said}");
    }
}
