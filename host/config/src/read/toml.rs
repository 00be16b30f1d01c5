//! TOML.

use crate::place::{Place, push};
use crate::problem::Problem;
use crate::tree::{Kind, Node};
use serde_json::{Number, Value};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Turns byte offsets into lines and columns. The lines are found once: a file may hold very many values.
struct Lines<'a> {
    path: &'a Arc<Path>,
    text: &'a str,
    /// Where each line but the first starts.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Arc<Path>, text: &'a str) -> Self {
        Lines { path, text, starts: text.match_indices('\n').map(|(end, _)| end + 1).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.starts.partition_point(|start| *start <= offset);
        let start = before.checked_sub(1).and_then(|last| self.starts.get(last)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        Place::File { path: self.path.clone(), line: before + 1, column }
    }
}

pub(super) fn read(path: &Arc<Path>, text: &str, problems: &mut Vec<Problem>) -> Node {
    let lines = Lines::new(path, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut root = Node::table(Place::File { path: path.clone(), line: 1, column: 1 });
    let mut values = Vec::new();
    root.kind = entries(&lines, table.get_ref(), "", &mut values);
    let mut twice_until = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let place = lines.place(span.start);
        if error.message() != "duplicate key" {
            let bare_text = error.message().starts_with("invalid float") || error.message().contains("quoted");
            problems.push(if bare_text && is_null(text, span.start) {
                let problem = Problem::at(&place, "", "not TOML: there is no `null`");
                problem.hint("leave the key out; a runbook's input that must be given is `{ required = true }`")
            } else {
                let problem = Problem::at(&place, "", format!("not TOML: {}", error.message()));
                if bare_text { problem.hint("text stands in quotes") } else { problem }
            });
            // What was made of the rest of the file may be nonsense.
            values.clear();
        } else if span.start >= twice_until {
            let (key, first) = first_of(table.get_ref(), text, &span);
            let problem = Problem::at(&place, "", format!("`{key}` is there twice"));
            problems.push(match first {
                Some(first) => problem.hint(format!("the first one is at {}", lines.place(first))),
                None => problem,
            });
            // Every key of a table that is there twice would be there twice.
            if header(line_around(text, span.start)).is_some() {
                let next = headers(text).find(|(offset, _)| *offset > span.start);
                twice_until = next.map_or(text.len(), |(offset, _)| offset);
            }
        }
    }
    problems.append(&mut values);
    root
}

fn is_null(text: &str, offset: usize) -> bool {
    let rest = text.get(offset..).and_then(|rest| rest.strip_prefix("null"));
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
}

/// A value of TOML on its own, as a variable or a flag holds it.
pub(crate) fn value(text: &str) -> Option<Value> {
    let path: Arc<Path> = Path::new("").into();
    let parsed = DeValue::parse(text).ok()?;
    let mut problems = Vec::new();
    let node = node(&Lines::new(&path, text), &parsed, "", &mut problems);
    problems.is_empty().then(|| node.to_value())
}

fn entries(lines: &Lines<'_>, table: &DeTable<'_>, pointer: &str, problems: &mut Vec<Problem>) -> Kind {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let mut node = node(lines, value, &push(pointer, name), problems);
        node.key = lines.place(key.span().start);
        (name.to_string(), node)
    };
    Kind::Table(table.iter().map(entry).collect())
}

fn node(lines: &Lines<'_>, value: &Spanned<DeValue<'_>>, pointer: &str, problems: &mut Vec<Problem>) -> Node {
    let place = lines.place(value.span().start);
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Scalar(Value::String(text.to_string())),
        DeValue::Boolean(value) => Kind::Scalar(Value::Bool(*value)),
        DeValue::Datetime(moment) => Kind::Scalar(Value::String(moment.to_string())),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Kind::Scalar(Value::from(number)),
            Err(_) => {
                problems.push(Problem::at(
                    &place,
                    pointer,
                    format!("expected a number of at most 64 bits, found {number}"),
                ));
                Kind::Scalar(Value::from(0))
            }
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(super::number) {
            Some(number) => Kind::Scalar(Value::Number(number)),
            None => {
                problems.push(Problem::at(&place, pointer, format!("expected a finite number, found {number}")));
                Kind::Scalar(Value::Number(Number::from(0)))
            }
        },
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            Kind::List(items.map(|(i, item)| node(lines, item, &push(pointer, &i.to_string()), problems)).collect())
        }
        DeValue::Table(table) => entries(lines, table, pointer, problems),
    };
    Node { key: place.clone(), place, kind }
}

/// What a duplicate repeats, and where that is: the same header, or the nearest key of that name before it.
fn first_of(table: &DeTable<'_>, text: &str, span: &Range<usize>) -> (String, Option<usize>) {
    let name = text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']).to_owned();
    if let Some(path) = header(line_around(text, span.start)) {
        let line_start = line_start(text, span.start);
        let first = headers(text).find(|(offset, earlier)| *offset < line_start && *earlier == path);
        return (path.join("."), first.map(|(offset, _)| offset));
    }
    let mut nearest = None;
    visit(table, &mut |key, start| {
        if key == name && start < span.start {
            nearest = nearest.max(Some(start));
        }
    });
    (name, nearest)
}

/// The lines that open a table, where they start, and its path.
fn headers(text: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let mut next = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = next;
        next += line.len();
        header(line).map(|path| (start, path))
    })
}

fn header(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if !line.starts_with('[') {
        return None;
    }
    let parsed = DeTable::parse(line).ok()?;
    let (mut path, mut table) = (Vec::new(), parsed.get_ref());
    while let Some((key, inner)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        match inner.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    Some(path)
}

fn line_around(text: &str, offset: usize) -> &str {
    text.get(line_start(text, offset)..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn visit(table: &DeTable<'_>, seen: &mut impl FnMut(&str, usize)) {
    for (key, value) in table {
        seen(key.get_ref(), key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => visit(inner, seen),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        visit(inner, seen);
                    }
                }
            }
            _ => {}
        }
    }
}
