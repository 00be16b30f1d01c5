//! What stands before a value, and the lines that describe a metric.

use super::{Format, shortened};
use crate::{Error, Metadata};
use std::borrow::Cow;

/// Where the series at the start of a line ends: behind its name, or behind its labels if they follow at once.
pub(super) fn end(line: &str) -> Result<usize, String> {
    let first = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    let bytes = line.as_bytes();
    if !bytes.first().is_some_and(first) {
        let hint = if line.starts_with('{') { "; hint: names in quotes are not supported" } else { "" };
        return Err(format!("`{}` does not begin with a metric's name{hint}", shortened(line)));
    }
    let name = bytes.iter().take_while(|byte| first(byte) || byte.is_ascii_digit()).count();
    match bytes.get(name) {
        Some(b'{') => Ok(name + end_of_labels(line.get(name..).unwrap_or_default())?),
        Some(b' ' | b'\t') | None => Ok(name),
        Some(_) => Err(format!("`{}` does not begin with a metric's name", shortened(line))),
    }
}

/// Where labels end that begin with a brace.
pub(super) fn end_of_labels(text: &str) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let unclosed = || "the labels are not closed by `}`".to_owned();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = memchr::memchr2(b'"', b'}', rest).ok_or_else(unclosed)?;
        at += found + 1;
        if rest.get(found) == Some(&b'}') {
            return Ok(at);
        }
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or_else(unclosed)?;
            if rest.get(found) == Some(&b'"') {
                at += found + 1;
                break;
            }
            // Whatever is escaped can't end the text.
            at += found + 2;
        }
    }
}

/// A label, borrowed where nothing in it is escaped.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Labels of a series, at most: each is compared with those before it.
const LABELS: usize = 1_000;

/// The labels of a series as a page writes it, the metric's name first, as `__name__`. In the page's order.
///
/// # Errors
/// What is wrong with them.
pub fn labels(series: &str) -> Result<Vec<Pair<'_>>, Error> {
    let wrong = |why: String| Error::Malformed(format!("`{}`: {why}", shortened(series)));
    let (name, rest) = match series.split_once('{') {
        Some((name, rest)) => (name.trim_end_matches([' ', '\t']), rest),
        None => (series, "}"),
    };
    let mut labels = vec![(Cow::Borrowed("__name__"), Cow::Borrowed(name))];
    let mut rest = rest.trim_start_matches([' ', '\t']);
    loop {
        if rest == "}" {
            return Ok(labels);
        }
        let (name, after) = rest.split_once('=').ok_or_else(|| wrong("a label has no value".to_owned()))?;
        let name = name.trim_matches([' ', '\t']);
        if !crate::is_label_name(name) {
            return Err(wrong(format!("`{}` is not a label's name", shortened(name))));
        }
        if labels.len() > LABELS {
            return Err(wrong(format!("it has more than {LABELS} labels")));
        }
        if name == "__name__" || labels.iter().any(|(known, _)| known == name) {
            return Err(wrong(format!("the label `{name}` is there twice")));
        }
        let text = after.trim_start_matches([' ', '\t']).strip_prefix('"');
        let text = text.ok_or_else(|| wrong(format!("the value of `{name}` is not in quotes")))?;
        let (value, after) = value(text).map_err(wrong)?;
        labels.push((Cow::Borrowed(name), value));
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start_matches([' ', '\t']),
            None if after == "}" => after,
            None => return Err(wrong(format!("there is no comma behind the label `{name}`"))),
        };
    }
}

/// A value up to its quote, and what follows that.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let unclosed = || "a value is not closed by a quote".to_owned();
    let first = memchr::memchr2(b'"', b'\\', text.as_bytes()).ok_or_else(unclosed)?;
    let (plain, rest) = text.split_at_checked(first).ok_or_else(unclosed)?;
    if let Some(after) = rest.strip_prefix('"') {
        return Ok((Cow::Borrowed(plain), after));
    }
    let mut value = plain.to_owned();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Cow::Owned(value), rest.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next().ok_or_else(unclosed)?.1 {
                'n' => value.push('\n'),
                '\\' => value.push('\\'),
                '"' => value.push('"'),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    Err(unclosed())
}

/// What a comment says of which metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Help(&'a str),
    Kind(&'static str),
    Unit(&'a str),
}

/// `None`: a comment that says nothing of a metric. In the text format that is whatever does not begin with `#`, a blank, `HELP` or
/// `TYPE`, and a blank: words may stand there, and lines.
pub(super) fn described(line: &str, format: Format) -> Result<Option<(&str, Said<'_>)>, String> {
    let strict = format == Format::OpenMetrics;
    let Some((keyword, rest)) = keyword(line, strict) else {
        return if strict { Err(format!("`{}` is no comment that there may be", shortened(line))) } else { Ok(None) };
    };
    let (name, rest) = rest.split_once(BLANKS).unwrap_or((rest, ""));
    if !crate::is_metric_name(name) {
        return Err(format!("`{}` is not a metric's name", shortened(name)));
    }
    let said = match keyword {
        "HELP" => Said::Help(rest),
        "UNIT" => Said::Unit(rest.trim()),
        _ => Said::Kind(kind(rest.trim(), strict).ok_or_else(|| format!("`{}` is not a type", shortened(rest)))?),
    };
    Ok(Some((name, said)))
}

const BLANKS: [char; 2] = [' ', '\t'];

/// What kind of a description it is, and what follows. Prometheus takes several blanks in the text format, and one in OpenMetrics.
fn keyword(line: &str, strict: bool) -> Option<(&str, &str)> {
    let text = line.strip_prefix('#')?;
    let (keyword, rest) = if strict {
        text.strip_prefix(' ')?.split_once(' ')?
    } else {
        let (keyword, rest) = text.strip_prefix(BLANKS)?.trim_start_matches(BLANKS).split_once(BLANKS)?;
        (keyword, rest.trim_start_matches(BLANKS))
    };
    (matches!(keyword, "HELP" | "TYPE") || (strict && keyword == "UNIT")).then_some((keyword, rest))
}

/// A help text without its escapes. In OpenMetrics a quote may be escaped, too.
fn unescaped(text: &str, format: Format) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('\\') | None => out.push('\\'),
            Some('"') if format == Format::OpenMetrics => out.push('"'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}

fn kind(text: &str, strict: bool) -> Option<&'static str> {
    match text {
        "counter" => Some("counter"),
        "gauge" => Some("gauge"),
        "histogram" => Some("histogram"),
        "summary" => Some("summary"),
        "unknown" => Some("unknown"),
        "untyped" if !strict => Some("unknown"),
        "gaugehistogram" if strict => Some("gaugehistogram"),
        "info" if strict => Some("info"),
        "stateset" if strict => Some("stateset"),
        _ => None,
    }
}

/// What the comments of a page say, by metric, in their order.
pub fn metadata<'a>(comments: impl IntoIterator<Item = &'a str>, format: Format) -> Vec<Metadata> {
    let mut metrics: Vec<Metadata> = Vec::new();
    for line in comments {
        let Ok(Some((name, said))) = described(line, format) else { continue };
        if metrics.last().is_none_or(|last| last.name != name) {
            metrics.push(Metadata { name: name.to_owned(), kind: "unknown", ..Metadata::default() });
        }
        let Some(metric) = metrics.last_mut() else { continue };
        match said {
            Said::Help(help) => metric.help = unescaped(help, format),
            Said::Kind(kind) => metric.kind = kind,
            Said::Unit(unit) => unit.clone_into(&mut metric.unit),
        }
    }
    metrics
}
