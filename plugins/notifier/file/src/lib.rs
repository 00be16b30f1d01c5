//! Appends each message to a file, as one line: JSON, or what a template makes of it.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

use quarterdeck_plugin_support::group::Group;
use quarterdeck_plugin_support::template::{self, Renderer};
use quarterdeck_plugin_support::{time, words};
use quarterdeck_sdk::host::append::{self, LINE_BYTES};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{self, Map, Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};

quarterdeck_sdk::config! {
    /// Configuration of `file`.
    pub struct Config {
        /// The file, as an absolute path. It is made where it is not there; its folder is not.
        pub path: String,
        /// A template of the line. Unless given, or where it fails, it is JSON.
        #[serde(default)]
        pub template: Option<String>,
    }
}

/// What is left of a title, and of a body, where the message is too long for a line.
const CUT_BYTES: usize = 16 << 10;

/// The plugin.
pub struct File;

impl Plugin for File {
    type Config = Config;
    const NAME: &'static str = "file";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Appends each message to a file, as a line";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("append", "adds each message to the configured file")]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !config.path.starts_with('/') || config.path.ends_with('/') {
            let given = &config.path;
            problems.push(Problem::at(
                "/path",
                format!("`{given}` is no file\nhint: an absolute path, /var/log/alerts.jsonl"),
            ));
        }
        problems.extend(template::check_option("/template", config.template.as_ref()));
        problems
    }
}

impl Notifier for File {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let own = config.template.as_ref().and_then(|source| renderer.try_text("template", source));
        let line = own.map_or_else(|| as_json(message, key), |text| one_line(&text));
        append::line(&config.path, line.as_bytes())?;
        Ok(renderer.receipt(Outcome::done().with("path", &*config.path).with("bytes", line.len() + 1)))
    }
}

/// One line, whatever the text holds: a second one could pass for a message of its own.
fn one_line(text: &str) -> String {
    let plain: String = text.trim().chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    words::cut(&plain, LINE_BYTES)
}

/// JSON has no line ends of its own.
fn as_json(message: &Message, key: &str) -> String {
    let whole = value(message, key).to_string();
    if whole.len() <= LINE_BYTES {
        return whole;
    }
    let mut cut = value(message, key);
    if let Some(members) = cut.as_object_mut() {
        members.remove("data");
        members.insert("truncated".to_owned(), true.into());
        for name in ["title", "subject", "body", "url"] {
            let short = members.get(name).and_then(Value::as_str).map(|text| words::cut(text, CUT_BYTES));
            members.extend(short.map(|short| (name.to_owned(), short.into())));
        }
        let labels = members.get("labels").map_or(0, |labels| labels.to_string().len());
        if labels > CUT_BYTES {
            members.remove("labels");
        }
    }
    cut.to_string()
}

fn value(message: &Message, key: &str) -> Value {
    let labels: Map<String, Value> =
        message.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    // What is no JSON stands there as a text.
    let data = serde_json::from_str(&message.data).unwrap_or_else(|_| Value::from(message.data.as_str()));
    json!({
        "at": time::rfc3339(message.at_ms),
        "severity": message.severity.as_str(),
        "event_type": message.event_type,
        "subject": message.subject,
        "title": message.title,
        "body": message.body,
        "url": message.url,
        "labels": labels,
        "data": data,
        "key": key,
    })
}

quarterdeck_sdk::export!(File: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{firing, group};
    use quarterdeck_sdk::testing::FakeHost;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    /// The outcome, and the line.
    fn notify(json: &str, message: &Message) -> (Outcome, String) {
        let (outcome, host) = FakeHost::default().run(|| File::notify(&config(json), message, "eff_1"));
        let [(path, line)] = host.lines.as_slice() else { panic!("{:?}", host.lines) };
        assert_eq!(path, "/log/a");
        (outcome.unwrap(), String::from_utf8(line.clone()).unwrap())
    }

    #[test]
    fn a_message_is_one_line_of_json() {
        let mut message = firing();
        message.body = "one\ntwo".into();
        let (outcome, line) = notify(r#"{"path":"/log/a"}"#, &message);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["severity"], &value["event_type"]), (&json!("critical"), &json!("alert.firing")));
        assert_eq!((&value["body"], &value["data"]["value"]), (&json!("one\ntwo"), &json!(97)));
        assert_eq!((&value["key"], &value["labels"]["alertname"]), (&json!("eff_1"), &json!("cpu-high")));
        assert!(value["at"].as_str().unwrap().starts_with("2026-01-02T03:04:05"), "{line}");
        assert_eq!(outcome, Outcome::done().with("path", "/log/a").with("bytes", line.len() + 1));
    }

    #[test]
    fn a_template_makes_one_line_and_one_that_fails_leaves_the_json() {
        let json = r#"{"path":"/log/a","template":"{{ status }}\n{{ summary }} {{ firing|length }}"}"#;
        assert_eq!(notify(json, &group("alerts.firing")).1, "firing [FIRING:1] DiskFull (high) 1");
        let (outcome, line) = notify(r#"{"path":"/log/a","template":"{{ title|duration }}"}"#, &firing());
        assert!(serde_json::from_str::<Value>(&line).is_ok());
        let Outcome::Done(receipt) = outcome else { panic!("not done") };
        assert!(receipt["template_error"].as_str().unwrap().contains("`template`"));
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_and_says_so() {
        let mut message = firing();
        message.data = json!({"text": "x".repeat(LINE_BYTES)}).to_string();
        message.body = "\n".repeat(LINE_BYTES);
        let (_, line) = notify(r#"{"path":"/log/a"}"#, &message);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(line.len() <= LINE_BYTES && value["truncated"] == true && value.get("data").is_none());
        assert_eq!(value["title"], message.title);
    }

    #[test]
    fn a_path_that_is_none_is_named_before_the_first_message() {
        let pointers = |json: &str| File::validate(&config(json)).into_iter().map(|p| p.pointer).collect::<Vec<_>>();
        assert!(pointers(r#"{"path":"/log/a","template":"{{ title }}"}"#).is_empty());
        assert_eq!(pointers(r#"{"path":"log","template":"{{ no }}"}"#), ["/path", "/template"]);
        assert_eq!(pointers(r#"{"path":"/log/"}"#), ["/path"]);
    }

    #[test]
    fn what_the_host_refuses_is_no_delivery() {
        assert!(File::notify(&config(r#"{"path":"/log/a"}"#), &firing(), "k").is_err());
    }
}
