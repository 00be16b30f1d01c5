//! What a text has to be before the parser's crate sees it: small enough for recursion over its tree, and without durations that the
//! crate would read wrongly (it takes what does not fit for nothing) or panic on.

use super::duration::parse_duration;
use super::tokens::{Class, Token};
use crate::error::Error;
use crate::notes::place;

/// Bytes of a query. Dashboards write matchers of many kilobytes.
const BYTES: usize = 1 << 20;
/// Levels of the tree, at most: brackets inside one another, and operators that stand beside one another. Threads that evaluate have
/// 2 MiB of stack as a rule.
pub(crate) const LEVELS: usize = 500;

pub(super) fn check_length(text: &str) -> Result<(), Error> {
    if text.len() > BYTES {
        return Err(Error::Parse(format!("it has {} bytes; hint: {BYTES} are the limit", text.len())));
    }
    Ok(())
}

pub(super) fn check(text: &str, tokens: &[Token<'_>]) -> Result<(), Error> {
    if tokens.is_empty() {
        return Err(Error::Parse("no expression found in input".to_owned()));
    }
    let mut open: Vec<&Token<'_>> = Vec::new();
    let mut deepest = 0;
    let mut operators = 0;
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        let in_range = open.last().is_some_and(|bracket| bracket.text == "[");
        let behind_offset = before.is_some_and(|before| before.is("offset"));
        if (in_range && !fits_in_range(token)) || (behind_offset && begins_arithmetic(token)) {
            return Err(Error::Parse(format!(
                "`duration expressions` are experimental in Prometheus, and not supported: {}",
                place(text, token.position)
            )));
        }
        check_number(text, token, in_range || behind_offset)?;
        match token.text {
            "(" | "[" | "{" if token.class == Class::Symbol => open.push(token),
            ")" | "]" | "}" if token.class == Class::Symbol => close(text, token, open.pop())?,
            _ if is_operator(token) => operators += 1,
            _ => {}
        }
        deepest = deepest.max(open.len());
        // `offset -5m`: the sign stands between.
        let sign = matches!(token.text, "+" | "-") && behind_offset;
        before = if sign { before } else { Some(token) };
    }
    if let Some(bracket) = open.last() {
        return Err(Error::Parse(format!("`{}` at {} is not closed", bracket.text, place(text, bracket.position))));
    }
    if deepest + operators > LEVELS {
        return Err(Error::Parse(format!(
            "it has {} brackets and operators inside or beside one another; hint: {LEVELS} are the limit",
            deepest + operators
        )));
    }
    Ok(())
}

fn close(text: &str, token: &Token<'_>, opened: Option<&Token<'_>>) -> Result<(), Error> {
    let fits = opened.is_some_and(|open| matches!((open.text, token.text), ("(", ")") | ("[", "]") | ("{", "}")));
    if fits {
        return Ok(());
    }
    Err(Error::Parse(format!("unexpected `{}` at {}", token.text, place(text, token.position))))
}

fn is_operator(token: &Token<'_>) -> bool {
    match token.class {
        Class::Symbol => {
            matches!(token.text, "+" | "-" | "*" | "/" | "%" | "^" | "==" | "!=" | "<=" | ">=" | "<" | ">")
        }
        Class::Word => ["and", "or", "unless", "atan2"].iter().any(|word| token.is(word)),
        Class::Number | Class::Text => false,
    }
}

/// All but arithmetic, `[5m * 2]`.
fn fits_in_range(token: &Token<'_>) -> bool {
    token.class == Class::Number || matches!(token.text, ":" | "]" | ")" | "}") || is_number_word(token)
}

/// `offset (5m)`, `offset step()`.
fn begins_arithmetic(token: &Token<'_>) -> bool {
    token.text == "(" || ["step", "range", "min_of", "max_of"].iter().any(|word| token.is(word))
}

fn is_number_word(token: &Token<'_>) -> bool {
    token.is("inf") || token.is("nan")
}

fn check_number(text: &str, token: &Token<'_>, as_duration: bool) -> Result<(), Error> {
    let refused = |what: &str| Err(Error::Parse(format!("{what} `{}` at {}", token.text, place(text, token.position))));
    if as_duration && is_number_word(token) {
        return refused("a duration can't be");
    }
    if token.class != Class::Number {
        return Ok(());
    }
    let has_unit = !token.text.starts_with("0x") && token.text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
    if has_unit && parse_duration(token.text).is_none() {
        return refused("not a duration, or one that is too long:");
    }
    if token.text.parse::<f64>().is_ok_and(f64::is_infinite) {
        return refused("a number can't be as large as");
    }
    // In seconds, and far from the 292 years that fit into 64 bits of nanoseconds.
    let seconds = token.text.parse::<f64>().unwrap_or(0.0);
    if as_duration && seconds > 9e9 {
        return refused("the duration is too long:");
    }
    Ok(())
}
