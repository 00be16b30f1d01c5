//! Objects, set and unset over the API.

use super::Session;
use crate::client::escape;
use crate::output::Column;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::path::Path;

const OBJECTS: [Column; 5] =
    [("SECTION", "/section"), ("NAME", "/name"), ("FROM", "/origin"), ("API", "/api"), ("PROBLEM", "/problem")];

pub(super) fn path(section: &str, name: &str) -> String {
    format!("/api/v1/configuration/objects/{}/{}", escape(section), escape(name))
}

pub(super) async fn list(session: &Session, section: Option<&str>, api: bool) -> Result<()> {
    let mut query = Vec::new();
    query.extend(section.map(|section| ("section", section.to_owned())));
    query.extend(api.then(|| ("api", "true".to_owned())));
    let objects = session.client.list("/api/v1/configuration/objects", &query, usize::MAX).await?;
    session.output.list(&OBJECTS, &objects, "no objects");
    Ok(())
}

/// From the command line, standard input or a file.
pub(super) fn read(value: Option<&str>, file: Option<&Path>) -> Result<Value> {
    let (path, text) = match (file, value) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
            (path.to_owned(), text)
        }
        (None, Some("-")) => ("standard input".into(), std::io::read_to_string(std::io::stdin())?),
        (None, value) => ("the value".into(), value.unwrap_or_default().to_owned()),
    };
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    // JSON is YAML.
    let is_yaml =
        matches!(extension, "json" | "yaml" | "yml") || (extension.is_empty() && text.trim_start().starts_with('{'));
    let read_as = if is_yaml { format!("{}.yaml", path.display()) } else { path.display().to_string() };
    let named = |problems: quarterdeck_config::Problems| {
        anyhow!("{}", problems.to_string().replace(&read_as, &path.display().to_string()))
    };
    quarterdeck_config::parse(Path::new(&read_as), &text).map_err(named)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_read_from_toml_and_from_json() {
        let expected = json!({"plugin": "log", "grants": {"kv": true}});
        assert_eq!(read(Some("plugin = \"log\"\ngrants.kv = true"), None).unwrap(), expected);
        assert_eq!(read(Some("{\"plugin\": \"log\", \"grants\": {\"kv\": true}}"), None).unwrap(), expected);
        let message = read(Some("plugin = log"), None).unwrap_err().to_string();
        assert!(message.starts_with("the value:1:10: "), "{message}");
    }
}
