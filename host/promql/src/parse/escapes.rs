//! Bytes in texts, `"\xc3\xa9"` and `"\303\251"`: the parser's crate takes each for a character, Prometheus for a byte of UTF-8.

use super::tokens::{Class, Token};
use crate::error::Error;
use crate::notes::place;
use std::borrow::Cow;

/// The same query with such bytes written as the characters that they are.
pub(super) fn resolve<'a>(text: &'a str, tokens: &[Token<'_>]) -> Result<Cow<'a, str>, Error> {
    let concerned = |(_, token): &(usize, &Token<'_>)| {
        token.class == Class::Text && !token.text.starts_with('`') && bytes(token.text).any(|(_, byte)| byte.is_some())
    };
    let mut resolved = String::new();
    let mut copied = 0;
    for (index, token) in tokens.iter().enumerate().filter(concerned) {
        let inner = resolve_text(token.text).ok_or_else(|| {
            let mut before = tokens.iter().take(index).rev().skip_while(|token| token.text == "(");
            Error::Parse(if before.next().is_some_and(|token| token.is("count_values")) {
                // Prometheus's words.
                format!("invalid label name {}", token.text)
            } else {
                format!("the text at {} is not UTF-8: {}", place(text, token.position), token.text)
            })
        })?;
        resolved.push_str(text.get(copied..token.position).unwrap_or_default());
        resolved.push_str(&inner);
        copied = token.position + token.text.len();
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    resolved.push_str(text.get(copied..).unwrap_or_default());
    Ok(Cow::Owned(resolved))
}

fn resolve_text(text: &str) -> Option<String> {
    let mut resolved = String::with_capacity(text.len());
    let mut pending = Vec::new();
    for (piece, byte) in bytes(text) {
        match byte {
            Some(byte) => pending.push(byte),
            None => {
                resolved.push_str(&String::from_utf8(std::mem::take(&mut pending)).ok()?);
                resolved.push_str(piece);
            }
        }
    }
    pending.is_empty().then_some(resolved)
}

/// The pieces of a text: escaped bytes beyond ASCII with their value, all others as they are.
fn bytes(text: &str) -> impl Iterator<Item = (&str, Option<u8>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = match rest.strip_prefix('\\') {
            None => rest.chars().next()?.len_utf8(),
            Some(escaped) if escaped.starts_with('x') => 4,
            Some(escaped) if escaped.starts_with(|c: char| c.is_digit(8)) => 4,
            Some(escaped) => 1 + escaped.chars().next().map_or(0, char::len_utf8),
        };
        let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = behind;
        let byte = match (piece.strip_prefix("\\x"), piece.strip_prefix('\\')) {
            (Some(digits), _) => u8::from_str_radix(digits, 16).ok(),
            (None, Some(digits)) if digits.len() == 3 => u8::from_str_radix(digits, 8).ok(),
            _ => None,
        };
        Some((piece, byte.filter(|byte| !byte.is_ascii())))
    })
}
