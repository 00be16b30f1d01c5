//! Texts.

use super::Value;
use super::builtin::print;
use regex::Regex;
use std::fmt::Write;
use std::net::IpAddr;

pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    Some(match (name, arguments) {
        ("title", [text]) => with(text, title),
        ("toUpper", [text]) => with(text, |text| text.to_uppercase()),
        ("toLower", [text]) => with(text, |text| text.to_lowercase()),
        ("safeHtml", [text]) => with(text, str::to_owned),
        ("stripPort", [text]) => with(text, |text| host_and_port(text).map_or(text, |(host, _)| host).to_owned()),
        ("stripDomain", [text]) => with(text, strip_domain),
        ("graphLink", [text]) => with(text, |text| format!("/graph?g0.expr={}&g0.tab=0", escape(text))),
        ("tableLink", [text]) => with(text, |text| format!("/graph?g0.expr={}&g0.tab=1", escape(text))),
        ("match", [pattern, text]) => matches(pattern, text).map(Value::Bool),
        ("reReplaceAll", [pattern, with, text]) => replace(pattern, with, text).map(Value::Text),
        ("urlquery" | "urlQueryEscape", values) => Ok(Value::Text(escape(&print(values)))),
        _ => return None,
    })
}

fn with(value: &Value, act: impl Fn(&str) -> String) -> Result<Value, String> {
    value.to_text().map(|text| Value::Text(act(text)))
}

fn regex(pattern: &Value) -> Result<Regex, String> {
    let pattern = pattern.to_text()?;
    Regex::new(pattern).map_err(|_| format!("error parsing regexp: `{pattern}`"))
}

fn matches(pattern: &Value, text: &Value) -> Result<bool, String> {
    Ok(regex(pattern)?.is_match(text.to_text()?))
}

fn replace(pattern: &Value, with: &Value, text: &Value) -> Result<String, String> {
    Ok(regex(pattern)?.replace_all(text.to_text()?, with.to_text()?).into_owned())
}

/// Every word with a capital letter.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut titled = String::with_capacity(text.len());
    for character in text.chars() {
        if inside {
            titled.push(character);
        } else {
            titled.extend(character.to_uppercase());
        }
        inside = character.is_alphanumeric() || character == '_' || character == '\'';
    }
    titled
}

/// The two parts of `host:port` and `[::1]:port`.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return Some((host, port));
    }
    text.split_once(':').filter(|(_, port)| !port.contains(':'))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = host_and_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

/// As a value in a URL's query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => {
                // Writing into a text can't fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}
