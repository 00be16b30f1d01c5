//! Series as Prometheus's tests write them: `metric{label="value"} 1 2+3x4 _ stale`.

use crate::parse::parse_selector;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::STALE;
use std::sync::Arc;

/// Samples that one line may stand for.
const MOST: usize = 10_000_000;

/// One place of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// No sample: `_`.
    Omitted,
    Value(f64),
    /// A native histogram, whatever is in it.
    Histogram,
}

/// Reads a series with its samples.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn parse_series(line: &str) -> Result<(Arc<Labels>, Vec<Item>), String> {
    let (labels, values) = line.split_at(end_of_labels(line));
    Ok((Arc::new(parse_labels(labels)?), parse_values(values.trim())?))
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
                    let rest = line.get(index..).unwrap_or_default().trim_start();
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

/// Reads `metric{label="value"}`, with the name as a label.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn parse_labels(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    let blank = text.replace([' ', '\t'], "");
    if blank == "{}" {
        return Ok(Labels::new());
    }
    let matchers = parse_selector(text).map_err(|error| format!("{text}: {error}"))?;
    Ok(matchers.into_iter().filter(|m| !m.value.is_empty()).map(|m| (m.label, m.value)).collect())
}

/// Reads samples alone.
///
/// # Errors
/// What is no sample.
pub fn parse_values(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (item, behind) = rest.split_at(end_of_item(rest));
        items.extend(parse_item(item).ok_or_else(|| format!("`{item}` is no sample"))?);
        if items.len() > MOST {
            return Err(format!("more than {MOST} samples"));
        }
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
            ' ' | '\t' | '\n' | '\r' if open == 0 => return index,
            _ => {}
        }
    }
    text.len()
}

fn parse_item(item: &str) -> Option<Vec<Item>> {
    if item.starts_with("{{") {
        let times = item.rsplit_once("}}")?.1.strip_prefix('x').map_or(Some(0), |n| n.parse().ok())?;
        return repeated(Item::Histogram, times, 1);
    }
    // Before numbers are read: `0x10` is a zero and ten more.
    let (base, times) = match item.rsplit_once('x') {
        Some((base, times)) => (base, times.parse::<usize>().ok()?),
        None => (item, 0),
    };
    match base {
        "_" => return repeated(Item::Omitted, times.max(1), 0),
        "stale" => return repeated(Item::Value(f64::from_bits(STALE)), times, 1),
        _ => {}
    }
    // The sign of an exponent is not the one of a step.
    let before = |index: usize| base.get(..index).unwrap_or_default();
    let sign =
        base.char_indices().skip(1).find(|(index, c)| matches!(c, '+' | '-') && !before(*index).ends_with(['e', 'E']));
    let (first, step) = match sign {
        Some((index, _)) => (parse_number(before(index))?, parse_number(base.get(index..)?)?),
        None => (parse_number(base)?, 0.0),
    };
    if times > MOST {
        return None;
    }
    let mut value = first;
    let mut items = Vec::with_capacity(times + 1);
    for _ in 0..=times {
        items.push(Item::Value(value));
        value += step;
    }
    Some(items)
}

fn repeated(item: Item, times: usize, more: usize) -> Option<Vec<Item>> {
    (times <= MOST).then(|| vec![item; times + more])
}

/// Reads a number as PromQL does: decimal, hexadecimal, octal, infinite, or none.
pub fn parse_number(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let signed = |value: i64| {
        #[expect(clippy::cast_precision_loss, reason = "as a query would read it")]
        let value = value as f64;
        Some(if text.starts_with('-') { -value } else { value })
    };
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return signed(i64::from_str_radix(digits, 16).ok()?);
    }
    let octal = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.chars().all(|c| c.is_digit(8));
    if octal {
        return signed(i64::from_str_radix(unsigned, 8).ok()?);
    }
    text.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn shorthand_for_samples_is_written_out() {
        let values = |text: &str| parse_series(&format!("m{{a=\"b c}} \"}} {text}")).unwrap().1;
        let none = f64::INFINITY;
        let wanted = [1.0, none, 2.0, 5.0, 8.0, -1.0, -2.0];
        let wanted = wanted.map(|value| if value == none { Item::Omitted } else { Item::Value(value) });
        assert_eq!(values("1 _ 2+3x2 -1-1x1"), wanted);
        assert_eq!(values("_x3 1e-2+1e-2x1").len(), 5);
        assert_eq!(values("{{schema:1 sum:2 buckets:[1 2]}}x2 {{}}"), vec![Item::Histogram; 4]);
        assert_eq!(values("0x10"), vec![Item::Value(0.0); 11]);
    }

    #[test]
    fn what_stands_for_too_many_samples_or_for_none_is_refused() {
        for text in ["1x99999999999", "_x99999999999", "1+y", "x", "1x9000000 1x9000000"] {
            assert!(parse_values(text).is_err(), "{text}");
        }
    }
}
