//! `metric{label="value"} 1 2+3x4 _ stale`: a series with a shorthand for its samples.

use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::STALE;
use quarterdeck_promql::parse_selector;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Omitted,
    Value(f64),
    /// A native histogram.
    Histogram,
}

pub(crate) fn parse_series(line: &str) -> Result<(Arc<Labels>, Vec<Item>), String> {
    let end = end_of_labels(line);
    let (labels, values) = line.split_at(end);
    Ok((Arc::new(parse_labels(labels.trim())?), parse_values(values.trim())?))
}

/// Where the values begin: behind the brace that closes the labels, or behind the name.
fn end_of_labels(line: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut open = false;
    for (index, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                '{' => open = true,
                '}' => return index + 1,
                ' ' | '\t' if !open => {
                    let rest = line[index..].trim_start();
                    if rest.starts_with('{') && !rest.starts_with("{{") {
                        continue;
                    }
                    return index;
                }
                _ => {}
            },
        }
    }
    line.len()
}

fn parse_labels(text: &str) -> Result<Labels, String> {
    let blank = text.replace([' ', '\t'], "");
    if blank == "{}" {
        return Ok(Labels::new());
    }
    let matchers = parse_selector(text).map_err(|e| format!("{text}: {e}"))?;
    Ok(matchers.into_iter().filter(|m| !m.value.is_empty()).map(|m| (m.label, m.value)).collect())
}

fn parse_values(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = end_of_item(rest);
        let (item, behind) = rest.split_at(end);
        items.extend(parse_item(item).ok_or_else(|| format!("`{item}` is no sample"))?);
        rest = behind.trim_start();
    }
    Ok(items)
}

/// Blanks inside of a histogram's braces don't end it.
fn end_of_item(text: &str) -> usize {
    let mut open = 0_i32;
    for (index, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            ' ' | '\t' if open == 0 => return index,
            _ => {}
        }
    }
    text.len()
}

fn parse_item(item: &str) -> Option<Vec<Item>> {
    if item.starts_with("{{") {
        let times = item.rsplit_once("}}")?.1.strip_prefix('x').map_or(Some(0), |n| n.parse().ok())?;
        return Some(vec![Item::Histogram; times + 1]);
    }
    let (base, times) = match item.rsplit_once('x') {
        Some((base, times)) => (base, times.parse().ok()?),
        None => (item, 0),
    };
    match base {
        "_" => return Some(vec![Item::Omitted; times.max(1)]),
        "stale" => return Some(vec![Item::Value(f64::from_bits(STALE)); times + 1]),
        _ => {}
    }
    // The sign of an exponent is not the one of a step.
    let sign =
        base.char_indices().skip(1).find(|(index, c)| matches!(c, '+' | '-') && !base[..*index].ends_with(['e', 'E']));
    let (first, step) = match sign {
        Some((index, _)) => (parse_number(&base[..index])?, parse_number(&base[index..])?),
        None => (parse_number(base)?, 0.0),
    };
    let mut value = first;
    let mut items = Vec::new();
    for _ in 0..=times {
        items.push(Item::Value(value));
        value += step;
    }
    Some(items)
}

pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if let Some(digits) = unsigned.strip_prefix("0x") {
        let value = i64::from_str_radix(digits, 16).ok()? as f64;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let octal = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.chars().all(|c| c.is_digit(8));
    if octal {
        let value = i64::from_str_radix(unsigned, 8).ok()? as f64;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    text.parse().ok()
}

#[test]
fn shorthand_for_samples_is_written_out() {
    let values = |text: &str| parse_series(&format!("m{{a=\"b c}} \"}} {text}")).unwrap().1;
    assert_eq!(
        values("1 _ 2+3x2 -1-1x1"),
        [1.0, f64::INFINITY, 2.0, 5.0, 8.0, -1.0, -2.0]
            .map(|value| { if value.is_infinite() { Item::Omitted } else { Item::Value(value) } })
    );
    assert_eq!(values("_x3 1e-2+1e-2x1").len(), 5);
    assert_eq!(values("{{schema:1 sum:2 buckets:[1 2]}}x2 {{}}"), vec![Item::Histogram; 4]);
}
