//! One matcher, ready to be asked. Regular expressions that are none in truth - alternatives of plain texts, a plain beginning,
//! anything - are not run as such.

use quarterdeck_model::series::query::{Comparison, Matcher};
use quarterdeck_model::store::StoreError;
use regex::Regex;

/// What a compiled expression may take in memory.
const EXPRESSION_BYTES: usize = 4 << 20;
const SPECIAL: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$', '|'];

#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) label: String,
    test: Test,
    negated: bool,
}

#[derive(Debug)]
enum Test {
    /// Sorted.
    OneOf(Vec<String>),
    Begins(String),
    Anything,
    Something,
    Expression(Regex),
}

impl Pattern {
    /// # Errors
    /// [`StoreError::Invalid`] for an expression that is none.
    pub(crate) fn new(matcher: &Matcher) -> Result<Self, StoreError> {
        let value = &matcher.value;
        let (test, negated) = match matcher.comparison {
            Comparison::Equal => (Test::OneOf(vec![value.clone()]), false),
            Comparison::NotEqual => (Test::OneOf(vec![value.clone()]), true),
            Comparison::Matches => (test(value)?, false),
            Comparison::MatchesNot => (test(value)?, true),
        };
        Ok(Pattern { label: matcher.label.clone(), test, negated })
    }

    pub(crate) fn takes(&self, value: &str) -> bool {
        let takes = match &self.test {
            Test::OneOf(texts) => texts.binary_search_by(|text| text.as_str().cmp(value)).is_ok(),
            Test::Begins(text) => value.starts_with(text.as_str()),
            Test::Anything => true,
            Test::Something => !value.is_empty(),
            Test::Expression(expression) => expression.is_match(value),
        };
        takes != self.negated
    }

    /// The only values that it takes, where they can be counted up.
    pub(crate) fn values(&self) -> Option<&[String]> {
        match &self.test {
            Test::OneOf(texts) if !self.negated => Some(texts),
            _ => None,
        }
    }
}

fn test(text: &str) -> Result<Test, StoreError> {
    let plain = |text: &str| !text.contains(SPECIAL);
    match text {
        ".*" => return Ok(Test::Anything),
        ".+" => return Ok(Test::Something),
        _ => {}
    }
    let whole =
        text.strip_prefix("(?:").or(text.strip_prefix('(')).and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    if whole.split('|').all(plain) {
        let mut texts: Vec<String> = whole.split('|').map(str::to_owned).collect();
        texts.sort_unstable();
        texts.dedup();
        return Ok(Test::OneOf(texts));
    }
    if let Some(begin) = text.strip_suffix(".*").filter(|begin| plain(begin)) {
        return Ok(Test::Begins(begin.to_owned()));
    }
    let anchored = regex::RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(EXPRESSION_BYTES).build();
    // The message of the crate repeats the whole expression with what was put around it: its last line says what is wrong.
    let invalid = |error: regex::Error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        StoreError::Invalid(format!("`{text}` is not a regular expression: {why}; hint: the syntax is RE2's"))
    };
    Ok(Test::Expression(anchored.map_err(invalid)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(comparison: Comparison, value: &str) -> Pattern {
        let matcher = Matcher { label: "l".to_owned(), comparison, value: value.to_owned() };
        Pattern::new(&matcher).unwrap()
    }

    #[track_caller]
    fn check(comparison: Comparison, value: &str, takes: &[&str], leaves: &[&str]) {
        let pattern = pattern(comparison, value);
        takes.iter().for_each(|text| assert!(pattern.takes(text), "{pattern:?} takes {text:?}"));
        leaves.iter().for_each(|text| assert!(!pattern.takes(text), "{pattern:?} leaves {text:?}"));
    }

    #[test]
    fn all_four_comparisons_are_of_the_whole_value() {
        check(Comparison::Equal, "a.c", &["a.c"], &["abc", "", "a.cd"]);
        check(Comparison::NotEqual, "a", &["b", "", "aa"], &["a"]);
        check(Comparison::Matches, "a.c", &["abc", "a\nc"], &["abcd", "xabc", ""]);
        check(Comparison::MatchesNot, "a.c", &["abcd", ""], &["abc"]);
        check(Comparison::Matches, "a|b|", &["a", "b", ""], &["ab", "c"]);
        check(Comparison::Matches, "(b|a)", &["a", "b"], &["(a", ""]);
        check(Comparison::Matches, "a|b.", &["a", "bx"], &["ax", "b"]);
        check(Comparison::Matches, "node.*", &["node", "node_x\ny"], &["xnode"]);
        check(Comparison::Matches, ".*", &["", "x"], &[]);
        check(Comparison::Matches, ".+", &["x"], &[""]);
        check(Comparison::MatchesNot, ".+", &[""], &["x"]);
        check(Comparison::Matches, "(a)(b)", &["ab"], &["a)(b"]);
        check(Comparison::Matches, "(?i)ab", &["AB", "aB"], &["abc"]);
        check(Comparison::Matches, "grüß|日本", &["grüß", "日本"], &["日"]);
    }

    #[test]
    fn an_expression_that_is_none_or_too_large_is_refused_with_a_hint() {
        for text in ["(", "a{2", "[z-a]", "(?:x{1000}){1000}"] {
            let matcher = Matcher { label: "l".into(), comparison: Comparison::Matches, value: text.into() };
            let error = Pattern::new(&matcher).map(|_| ()).unwrap_err();
            assert!(matches!(error, StoreError::Invalid(_)) && error.to_string().contains("hint: "), "{text}: {error}");
        }
    }
}
