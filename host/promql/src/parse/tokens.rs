//! The words of a query, only as far as we need them: to bound what the parser is given, and to find out where nodes stand.

use crate::error::Error;
use crate::notes::place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A name, a keyword or a function.
    Word,
    /// A number or a duration.
    Number,
    Text,
    /// Brackets, operators, commas.
    Symbol,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) class: Class,
    pub(super) text: &'a str,
    pub(super) position: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        self.class != Class::Text && self.text.eq_ignore_ascii_case(text)
    }
}

/// Comments and blanks left out. An odd character is a symbol of its own: the parser says what is wrong with it.
pub(super) fn split(text: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut tokens = Vec::new();
    let mut rest = text;
    // In a range the colon stands before the step; elsewhere it is part of a name.
    let mut in_range = false;
    while let Some(first) = rest.chars().next() {
        let position = text.len() - rest.len();
        let length = match first {
            _ if first.is_whitespace() => {
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
                continue;
            }
            '#' => {
                rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or_default();
                continue;
            }
            '"' | '\'' | '`' => quoted(rest, first)
                .ok_or_else(|| Error::Parse(format!("the text that begins at {} has no end", place(text, position))))?,
            _ if first.is_ascii_digit() || (first == '.' && digit_follows(rest)) => number(rest),
            ':' if in_range => 1,
            _ if is_word(first) => rest.find(|c: char| !is_word(c) || (in_range && c == ':')).unwrap_or(rest.len()),
            _ if ["==", "!=", "<=", ">=", "=~", "!~"].iter().any(|pair| rest.starts_with(pair)) => 2,
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let class = match first {
            '"' | '\'' | '`' => Class::Text,
            _ if first.is_ascii_digit() || (first == '.' && length > 1) => Class::Number,
            ':' if in_range => Class::Symbol,
            _ if is_word(first) => Class::Word,
            _ => Class::Symbol,
        };
        in_range = (in_range || first == '[') && first != ']';
        tokens.push(Token { class, text: token, position });
        rest = behind;
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn digit_follows(text: &str) -> bool {
    text.chars().nth(1).is_some_and(|c| c.is_ascii_digit())
}

/// Length of a text with its quotes. Backquotes know no escapes.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return Some(index + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// Length of a number or a duration; a sign belongs to it behind the `e` of an exponent.
fn number(text: &str) -> usize {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        let exponent_sign = !hexadecimal && matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
        if !(c.is_ascii_alphanumeric() || c == '.' || exponent_sign) {
            return index;
        }
        before = c;
    }
    text.len()
}
