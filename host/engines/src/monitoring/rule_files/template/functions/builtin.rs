//! Functions of Go's templates: comparisons, `index`, `len`, `printf` and their like.

use super::Value;
use crate::monitoring::rule_files::template::number::{fixed, general, scientific, shortest};
use std::cmp::Ordering;

pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    Some(match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => any_equal(first, rest).map(Value::Bool),
        ("ne", [one, other]) => any_equal(one, std::slice::from_ref(other)).map(|equal| Value::Bool(!equal)),
        ("lt", [one, other]) => compare(one, other).map(|order| Value::Bool(order == Some(Ordering::Less))),
        ("gt", [one, other]) => compare(one, other).map(|order| Value::Bool(order == Some(Ordering::Greater))),
        ("le", [one, other]) => {
            compare(one, other).map(|order| Value::Bool(matches!(order, Some(Ordering::Less | Ordering::Equal))))
        }
        ("ge", [one, other]) => {
            compare(one, other).map(|order| Value::Bool(matches!(order, Some(Ordering::Greater | Ordering::Equal))))
        }
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [Value::Text(text), range @ ..]) => slice(text, range).map(Value::Text),
        ("print", values) => Ok(Value::Text(print(values))),
        ("println", values) => Ok(Value::Text(values.iter().map(Value::print).collect::<Vec<_>>().join(" ") + "\n")),
        ("printf", [format, values @ ..]) => format.to_text().map(|format| Value::Text(printf(format, values))),
        ("html", values) => Ok(Value::Text(html(&print(values)))),
        ("js", values) => {
            let text = print(values);
            Ok(Value::Text(
                text.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"").replace('\n', "\\u000A"),
            ))
        }
        _ => return None,
    })
}

/// As Go's `fmt.Sprint`: a blank stands between two values of which neither is a text.
pub(super) fn print(values: &[Value]) -> String {
    let mut printed = String::new();
    let mut behind_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !behind_text {
            printed.push(' ');
        }
        printed.push_str(&value.print());
        behind_text = is_text;
    }
    printed
}

fn any_equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    for other in others {
        let equal = match (first, other) {
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Text(one), Value::Text(other)) => one == other,
            (Value::Whole(one), Value::Whole(other)) => one == other,
            #[expect(clippy::float_cmp, reason = "whoever writes `eq` means it")]
            (Value::Number(one), Value::Number(other)) => one == other,
            (Value::Missing, Value::Missing) => true,
            (Value::Missing, _) | (_, Value::Missing) => false,
            _ => return Err("incompatible types for comparison".to_owned()),
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compare(one: &Value, other: &Value) -> Result<Option<Ordering>, String> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => Ok(Some(one.cmp(other))),
        (Value::Whole(one), Value::Whole(other)) => Ok(Some(one.cmp(other))),
        (Value::Number(one), Value::Number(other)) => Ok(one.partial_cmp(other)),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Labels(labels) => labels.iter().count(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Whole(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Labels(labels), Value::Text(name)) => Ok(Value::Text(labels.get(name).unwrap_or_default().to_owned())),
        (Value::Map(map), Value::Text(name)) => Ok(map.get(name).cloned().unwrap_or(Value::Missing)),
        (Value::List(items), Value::Whole(at)) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (value, key) => Err(format!("can't index {} with {}", value.kind(), key.kind())),
    }
}

fn slice(text: &str, range: &[Value]) -> Result<String, String> {
    let at = |index: usize, unless: usize| match range.get(index) {
        None => Ok(unless),
        Some(Value::Whole(at)) => usize::try_from(*at).map_err(|_| format!("index out of range: {at}")),
        Some(other) => Err(format!("can't slice with {}", other.kind())),
    };
    let (from, to) = (at(0, 0)?, at(1, text.len())?);
    text.get(from..to).map(str::to_owned).ok_or_else(|| format!("index out of range: {to}"))
}

fn html(text: &str) -> String {
    let replaced = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    replaced.replace('"', "&#34;").replace('\'', "&#39;")
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Shape {
    left: bool,
    plus: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

fn printf(format: &str, values: &[Value]) -> String {
    let mut text = String::new();
    let mut values = values.iter();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let mut shape = Shape::default();
        while let Some(flag) = characters.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            shape.left |= flag == '-';
            shape.plus |= flag == '+';
            shape.zeros |= flag == '0';
        }
        let mut number = || {
            let mut value = None;
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                let digit = usize::try_from(digit.to_digit(10).unwrap_or(0)).unwrap_or(0);
                value = Some((value.unwrap_or(0_usize) * 10 + digit).min(1_000));
            }
            value
        };
        shape.width = number().unwrap_or(0);
        if characters.next_if_eq(&'.').is_some() {
            let mut precision = 0_usize;
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                let digit = usize::try_from(digit.to_digit(10).unwrap_or(0)).unwrap_or(0);
                precision = (precision * 10 + digit).min(100);
            }
            shape.precision = Some(precision);
        }
        match characters.next() {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(verb) => match values.next() {
                None => text.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => text.push_str(&padded(&verbatim(verb, value, &shape), value, &shape)),
            },
        }
    }
    let extra: Vec<String> = values.map(|value| format!("{}={}", value.kind(), value.print())).collect();
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

fn verbatim(verb: char, value: &Value, shape: &Shape) -> String {
    let precision = shape.precision;
    let cut = |text: String| match precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    };
    let text = match (verb, value) {
        ('v', Value::Number(number)) if precision.is_some() => general(*number, precision.unwrap_or(6)),
        ('v', value) => value.print(),
        ('s', Value::Text(text)) => cut(text.clone()),
        ('s', Value::Labels(_) | Value::Map(_) | Value::List(_)) => value.print(),
        ('q', Value::Text(text)) => format!("{text:?}"),
        ('t', Value::Bool(value)) => value.to_string(),
        ('d', Value::Whole(value)) => value.to_string(),
        ('x', Value::Whole(value)) => format!("{value:x}"),
        ('X', Value::Whole(value)) => format!("{value:X}"),
        ('o', Value::Whole(value)) => format!("{value:o}"),
        ('b', Value::Whole(value)) => format!("{value:b}"),
        ('c', Value::Whole(value)) => {
            u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('f' | 'F', Value::Number(number)) => fixed(*number, precision.unwrap_or(6)),
        ('e' | 'E', Value::Number(number)) => scientific(*number, precision.unwrap_or(6)),
        ('g' | 'G', Value::Number(number)) => {
            precision.map_or_else(|| shortest(*number), |digits| general(*number, digits))
        }
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        (verb, value) => return format!("%!{verb}({}={})", value.kind(), value.print()),
    };
    let positive = matches!(value, Value::Whole(0..)) || matches!(value, Value::Number(number) if *number >= 0.0);
    if shape.plus && positive && !text.starts_with('+') { format!("+{text}") } else { text }
}

fn padded(text: &str, value: &Value, shape: &Shape) -> String {
    let length = text.chars().count();
    if length >= shape.width {
        return text.to_owned();
    }
    let padding = shape.width - length;
    if shape.left {
        return format!("{text}{}", " ".repeat(padding));
    }
    if shape.zeros && matches!(value, Value::Whole(_) | Value::Number(_)) {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
        return format!("{sign}{}{digits}", "0".repeat(padding));
    }
    format!("{}{text}", " ".repeat(padding))
}
