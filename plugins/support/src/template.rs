//! Templates (minijinja) over a message: one set of names and filters for every channel.
//!
//! A template that does not compile, or asks for a name that there is not, is an error of the configuration. One that fails while it is
//! rendered - it makes too much, runs for too long, or asks a number for its letters - must not cost the message: the plain
//! words go out instead, and the receipt says why ([`Renderer::receipt`]).
//!
//! | Name | |
//! |---|---|
//! | `title`, `body`, `severity`, `event_type`, `subject`, `url`, `at` (RFC 3339), `at_ms`, `key` | of the message |
//! | `labels` | a map |
//! | `data` | of the event |
//! | `status`, `receiver`, `group_labels`, `common_labels`, `common_annotations`, `external_url`, `group_key`, `truncated_alerts` | of the group; a single event is a group of one |
//! | `alerts`, `firing`, `resolved` | lists: `status`, `labels`, `annotations`, `starts_at`, `ends_at`, `generator_url`, `fingerprint` |
//! | `summary`, `text` | the words that stand where there is no template |
//!
//! | Filter | |
//! |---|---|
//! | `duration` | seconds as `2d 3h` |
//! | `timestamp` | milliseconds or RFC 3339 as `2026-01-02 03:04:05 UTC`; `timestamp("rfc3339")`, `("date")`, `("time")`, `("unix")` |
//! | `json` | as JSON: `{{ data \| json }}` |
//! | `labels` | a map as `a="1", b="2"` |
//! | `upper`, `lower`, `trim`, `replace`, `join`, `length`, `first`, `last`, `default`, `escape`, `safe` | those of Jinja |
//!
//! The engine comes without its own collection of filters and functions, which is larger than all the rest of a plugin.

use crate::group::{Alert, Group, Labels};
use crate::{time, words};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use quarterdeck_sdk::notifier::Message;
use quarterdeck_sdk::serde_json::Value as Json;
use quarterdeck_sdk::{Outcome, Problem};
use std::collections::BTreeMap;

/// What a template may make.
const OUTPUT_BYTES: usize = 256 << 10;
/// Instructions that it may take.
const FUEL: u64 = 200_000;

/// As in [`names`], for the check of a configuration.
const NAMES: [&str; 24] = [
    "title",
    "body",
    "severity",
    "event_type",
    "subject",
    "url",
    "key",
    "at",
    "at_ms",
    "labels",
    "data",
    "status",
    "receiver",
    "group_labels",
    "common_labels",
    "common_annotations",
    "external_url",
    "group_key",
    "truncated_alerts",
    "alerts",
    "firing",
    "resolved",
    "summary",
    "text",
];

/// What is wrong with a template, at a JSON Pointer of the configuration.
pub fn check(pointer: &str, source: &str) -> Vec<Problem> {
    let environment = environment();
    let template = match environment.template_from_named_str("template", source) {
        Ok(template) => template,
        Err(error) => return vec![Problem::at(pointer, format!("the template does not compile: {}", told(&error)))],
    };
    let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !NAMES.contains(&name.as_str()));
    unknown.sort();
    let problem = |name: String| {
        let line = source.lines().position(|line| line.contains(&name)).map_or(1, |index| index + 1);
        Problem::at(pointer, format!("line {line}: a template knows no `{name}`\nhint: it knows {}", NAMES.join(", ")))
    };
    unknown.into_iter().map(problem).collect()
}

/// What is wrong with a template that may not be there.
pub fn check_option(pointer: &str, source: Option<&String>) -> Vec<Problem> {
    source.map_or_else(Vec::new, |source| check(pointer, source))
}

/// What is wrong with templates of headers or fields.
pub fn check_map(pointer: &str, sources: &BTreeMap<String, String>) -> Vec<Problem> {
    sources.iter().flat_map(|(name, source)| check(&format!("{pointer}/{}", escaped(name)), source)).collect()
}

/// A key as a JSON Pointer writes it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Renders templates over one message, and remembers which of them failed.
pub struct Renderer {
    names: Value,
    failures: Vec<String>,
}

impl Renderer {
    /// Over a message and what [`Group::of`] makes of it.
    pub fn new(message: &Message, group: &Group, key: &str) -> Renderer {
        Renderer { names: names(message, group, key), failures: Vec::new() }
    }

    /// The template's text, or the plain words where there is no template or it fails. `name` is the key of the configuration; one that
    /// ends in `html` escapes what it fills in.
    pub fn text(&mut self, name: &str, source: Option<&String>, plain: impl FnOnce() -> String) -> String {
        let Some(source) = source else { return plain() };
        self.try_text(name, source).unwrap_or_else(plain)
    }

    /// The template's text; `None`, if it fails.
    pub fn try_text(&mut self, name: &str, source: &str) -> Option<String> {
        match render(name, source, &self.names) {
            Ok(text) => Some(text),
            Err(failure) => {
                self.failures.push(format!("`{name}`: {failure}"));
                None
            }
        }
    }

    /// The receipt, with the templates that failed.
    #[must_use]
    pub fn receipt(self, outcome: Outcome) -> Outcome {
        if self.failures.is_empty() {
            return outcome;
        }
        outcome.with("template_error", format!("the plain text was sent: {}", self.failures.join("; ")))
    }
}

/// What templates see, in the order of [`NAMES`].
fn names(message: &Message, group: &Group, key: &str) -> Value {
    // What is no JSON is handed on as the text that it is.
    let data = quarterdeck_sdk::json::from_str::<Json>(&message.data)
        .map_or_else(|_| Value::from(message.data.as_str()), |data| from_json(&data));
    let alerts = |firing: bool, ended: bool| {
        let chosen = group.alerts.iter().filter(|alert| if alert.is_firing() { firing } else { ended });
        chosen.map(alert_names).collect::<Value>()
    };
    let values = [
        Value::from(&*message.title),
        Value::from(&*message.body),
        Value::from(message.severity.as_str()),
        Value::from(&*message.event_type),
        Value::from(&*message.subject),
        Value::from(&*message.url),
        Value::from(key),
        Value::from(time::rfc3339(message.at_ms)),
        Value::from(message.at_ms),
        map(message.labels.iter()),
        data,
        Value::from(&*group.status),
        Value::from(&*group.receiver),
        label_map(&group.group_labels),
        label_map(&group.common_labels),
        label_map(&group.common_annotations),
        Value::from(&*group.external_url),
        Value::from(&*group.group_key),
        Value::from(group.truncated_alerts),
        alerts(true, true),
        alerts(true, false),
        alerts(false, true),
        Value::from(words::title(message, group)),
        Value::from(words::text(message, group)),
    ];
    Value::from_pairs(NAMES.into_iter().zip(values))
}

fn alert_names(alert: &Alert) -> Value {
    let names = [
        ("status", Value::from(&*alert.status)),
        ("labels", label_map(&alert.labels)),
        ("annotations", label_map(&alert.annotations)),
        ("starts_at", Value::from(&*alert.starts_at)),
        ("ends_at", Value::from(&*alert.ends_at)),
        ("generator_url", Value::from(&*alert.generator_url)),
        ("fingerprint", Value::from(&*alert.fingerprint)),
    ];
    Value::from_pairs(names)
}

fn label_map(labels: &Labels) -> Value {
    map(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::from_pairs(pairs)
}

/// By hand, as is the other way: serde's code for it is three times as large.
fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (.., number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(members) => {
            Value::from_pairs(members.iter().map(|(name, value)| (name.as_str(), from_json(value))))
        }
    }
}

fn to_json(value: &Value) -> Result<Json, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64().filter(|_| value.is_integer()) {
            Some(number) => Json::from(number),
            None => Json::from(f64::try_from(value.clone())?),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            Json::Array(value.try_iter()?.map(|item| to_json(&item)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let members = value.try_iter()?.map(|name| Ok((name.to_string(), to_json(&value.get_item(&name)?)?)));
            Json::Object(members.collect::<Result<_, Error>>()?)
        }
        _ => Json::from(value.to_string()),
    })
}

fn render(name: &str, source: &str, names: &Value) -> Result<String, String> {
    let environment = environment();
    // By the end of its name it is known whether to escape.
    let file = if name.ends_with("html") { "template.html" } else { "template.txt" };
    let template = environment.template_from_named_str(file, source).map_err(|error| told(&error))?;
    let mut output = Bounded::default();
    let rendered = template.render_captured_to(names.clone(), &mut output).map(|_| ());
    if output.is_full {
        return Err(format!("it makes more than {OUTPUT_BYTES} bytes"));
    }
    rendered.map_err(|error| told(&error))?;
    String::from_utf8(output.bytes).map_err(|error| error.to_string())
}

#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES {
            self.is_full = true;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.add_filter("duration", duration);
    environment.add_filter("timestamp", timestamp);
    environment.add_filter("json", json);
    environment.add_filter("labels", labels);
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("trim", |text: String| text.trim().to_owned());
    environment.add_filter("replace", |text: String, from: String, to: String| text.replace(&from, &to));
    environment.add_filter("join", join);
    environment.add_filter("length", length);
    environment.add_filter("first", |list: Value| Ok(list.try_iter()?.next().unwrap_or_default()));
    environment.add_filter("last", |list: Value| Ok(list.try_iter()?.last().unwrap_or_default()));
    environment.add_filter("default", default);
    environment
}

/// With the line, and in a line.
fn told(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return "it takes too many steps".to_owned();
    }
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{line}{what}")
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

fn duration(seconds: Value) -> Result<String, Error> {
    let seconds = f64::try_from(seconds).map_err(|_| wrong("`duration` takes a number of seconds"))?;
    let ms = (seconds * 1000.0).round();
    if ms.is_nan() || ms.abs() >= 9e15 {
        return Err(wrong("`duration` takes a number of seconds"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the integers that a float holds, as was just asked")]
    let ms = ms as i64;
    Ok(time::duration(ms))
}

fn timestamp(at: Value, format: Option<String>) -> Result<String, Error> {
    let at_ms = match at.as_str() {
        Some(text) => time::parse_rfc3339(text),
        None => i64::try_from(at).ok(),
    };
    let at_ms = at_ms.ok_or_else(|| wrong("`timestamp` takes milliseconds or a time in RFC 3339"))?;
    let readable = time::readable(at_ms);
    let mut words = readable.split(' ');
    Ok(match format.as_deref() {
        None => readable,
        Some("rfc3339") => time::rfc3339(at_ms),
        Some("unix") => at_ms.div_euclid(1000).to_string(),
        Some("date") => words.next().unwrap_or_default().to_owned(),
        Some("time") => words.nth(1).unwrap_or_default().to_owned(),
        Some(_) => return Err(wrong("`timestamp` knows the formats rfc3339, unix, date and time")),
    })
}

fn json(value: Value) -> Result<String, Error> {
    to_json(&value).map(|json| json.to_string())
}

fn join(list: Value, between: Option<String>) -> Result<String, Error> {
    let items: Vec<String> = list.try_iter()?.map(|item| item.to_string()).collect();
    Ok(items.join(between.as_deref().unwrap_or_default()))
}

fn length(list: Value) -> Result<usize, Error> {
    list.len().ok_or_else(|| wrong("`length` takes a list, a map or a text"))
}

fn default(value: Value, other: Option<Value>) -> Value {
    if value.is_undefined() { other.unwrap_or_else(|| Value::from("")) } else { value }
}

fn labels(map: Value) -> Result<String, Error> {
    let mut labels = Labels::new();
    for name in map.try_iter()? {
        let value = map.get_item(&name)?;
        labels.insert(name.to_string(), value.to_string());
    }
    Ok(words::labels(&labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{firing, group};

    fn render_over(message: &Message, name: &str, source: &str) -> (String, Outcome) {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, "eff_1");
        let text = renderer.text(name, Some(&source.to_owned()), || "PLAIN".to_owned());
        (text, renderer.receipt(Outcome::done()))
    }

    fn check_text(message: &Message, source: &str, expected: &str) {
        assert!(check("/text", source).is_empty(), "{:?}", check("/text", source));
        assert_eq!(render_over(message, "text", source), (expected.to_owned(), Outcome::done()), "{source}");
    }

    #[test]
    fn a_single_event_and_a_group_have_the_same_names() {
        check_text(
            &firing(),
            "{{ severity|upper }} {{ alerts[0].labels.alertname }} {{ labels.instance }} {{ data.value }}",
            "CRITICAL cpu-high a<b>&c 97",
        );
        check_text(
            &group("alerts.firing"),
            "{{ status }} {{ firing|length }}/{{ alerts|length }} {{ receiver }}",
            "firing 1/2 ops",
        );
        check_text(
            &group("alerts.firing"),
            "{% for alert in resolved %}{{ alert.annotations.summary }}{% endfor %}",
            "the disk of b is full",
        );
    }

    #[test]
    fn every_name_of_the_check_is_there_and_no_other() {
        let message = firing();
        let group = Group::of(&message);
        let names = Renderer::new(&message, &group, "k").names;
        let mut there: Vec<String> = names.try_iter().unwrap().map(|name| name.to_string()).collect();
        let mut known = NAMES.map(str::to_owned).to_vec();
        there.sort();
        known.sort();
        assert_eq!(there, known);
    }

    #[test]
    fn filters_write_what_people_read() {
        check_text(&firing(), "{{ 320|duration }}", "5m 20s");
        check_text(&firing(), "{{ at_ms|timestamp }}", "2026-01-02 03:04:05 UTC");
        check_text(&firing(), "{{ alerts[0].starts_at|timestamp('time') }}", "03:00:00");
        check_text(
            &firing(),
            "{{ severity|upper|lower }} {{ 'a-b'|replace('-', '+') }} {{ ' x '|trim }}",
            "critical a+b x",
        );
        check_text(
            &firing(),
            "{{ ['a', 1]|join(', ') }} {{ alerts|length }} {{ [1, 2]|first }}{{ [1, 2]|last }}",
            "a, 1 1 12",
        );
        check_text(&firing(), "{{ labels.team|default('nobody') }}", "nobody");
        check_text(&firing(), "{{ labels|labels }}", "alertname=\"cpu-high\", instance=\"a<b>&c\"");
        check_text(&firing(), "{{ {'a': [1, -1.5, true, none, 'x\"']}|json }}", r#"{"a":[1,-1.5,true,null,"x\""]}"#);
        check_text(
            &firing(),
            "{{ data|json }}",
            r#"{"active_at":"2026-01-02T03:00:00Z","fingerprint":"00f1","rule":"cpu-high","value":97}"#,
        );
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        assert_eq!(render_over(&firing(), "html", "<b>{{ labels.instance }}</b>").0, "<b>a&lt;b&gt;&amp;c</b>");
        assert_eq!(render_over(&firing(), "text", "{{ labels.instance }}").0, "a<b>&c");
    }

    #[test]
    fn a_template_that_does_not_compile_is_told_with_its_line() {
        let problems = check("/text", "fine\n{% if %}");
        assert_eq!((problems.len(), problems[0].pointer.as_str()), (1, "/text"));
        assert!(problems[0].message.starts_with("the template does not compile: line 2: "), "{problems:?}");
        let problems = check("/text", "{{ title|nosuch }}");
        assert!(problems.is_empty() || problems[0].message.contains("nosuch"), "{problems:?}");
    }

    #[test]
    fn a_name_that_there_is_not_is_told_with_its_line() {
        let problems =
            check("/text", "{{ title }}\n{{ mesage }} {% for x in alerts %}{{ x }}{{ loop.index }}{% endfor %}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.starts_with("line 2: a template knows no `mesage`\nhint: it knows title,"));
    }

    #[test]
    fn one_that_fails_falls_back_to_the_plain_text_and_the_receipt_says_so() {
        let nested = |inner: &str, times: usize| {
            format!("{}{inner}{}", "{% for a in title %}".repeat(times), "{% endfor %}".repeat(times))
        };
        let (loops, much) = (nested("", 5), nested(&"x".repeat(500), 2));
        for (source, why) in [
            (loops.as_str(), "it takes too many steps"),
            (much.as_str(), "it makes more than 262144 bytes"),
            ("{{ title|duration }}", "takes a number of seconds"),
            ("a\n{{ labels.nothing.at.all }}", "line 2: "),
        ] {
            let (text, receipt) = render_over(&firing(), "text", source);
            assert_eq!(text, "PLAIN", "{source}");
            let Outcome::Done(receipt) = receipt else { panic!("{receipt:?}") };
            let error = receipt["template_error"].as_str().unwrap();
            assert!(error.starts_with("the plain text was sent: `text`: ") && error.contains(why), "{error}");
        }
    }
}
