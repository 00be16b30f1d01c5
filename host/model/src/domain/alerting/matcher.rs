//! Matchers of labels, as Alertmanager writes and reads them: `team="db"`, `severity=~"critical|page"`.

use crate::label::Labels;
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl Comparison {
    pub const fn as_str(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Regex => "=~",
            Comparison::NotRegex => "!~",
        }
    }

    /// As the API says it.
    pub const fn of(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => Comparison::Equal,
            (false, false) => Comparison::NotEqual,
            (true, true) => Comparison::Regex,
            (true, false) => Comparison::NotRegex,
        }
    }

    pub const fn is_regex(self) -> bool {
        matches!(self, Comparison::Regex | Comparison::NotRegex)
    }

    pub const fn is_equal(self) -> bool {
        matches!(self, Comparison::Equal | Comparison::Regex)
    }
}

/// What is wrong with a text that should be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAMatcher(String);

/// One condition on one label; a missing label has an empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    comparison: Comparison,
    value: String,
    regex: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.comparison, &self.value) == (&other.name, other.comparison, &other.value)
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// # Errors
    /// The name is no label's, or the value no regular expression where it has to be one.
    pub fn new(name: &str, comparison: Comparison, value: &str) -> Result<Self, NotAMatcher> {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(NotAMatcher(format!("invalid label name {name:?}")));
        }
        let regex = if comparison.is_regex() {
            // A regular expression matches the whole value.
            let compiled = Regex::new(&format!("^(?:{value})$"));
            Some(compiled.map_err(|error| NotAMatcher(format!("invalid regular expression {value:?}: {error}")))?)
        } else {
            None
        };
        Ok(Matcher { name: name.to_owned(), comparison, value: value.to_owned(), regex })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn comparison(&self) -> Comparison {
        self.comparison
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get(&self.name).unwrap_or_default())
    }

    pub fn matches_value(&self, value: &str) -> bool {
        let same = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        same == self.comparison.is_equal()
    }

    /// `{a="b",c=~"d"}`, with or without the braces.
    ///
    /// # Errors
    /// The first part that is no matcher.
    pub fn list(text: &str) -> Result<Vec<Matcher>, NotAMatcher> {
        let text = text.trim();
        let inner = text.strip_prefix('{').map_or(text, |rest| rest.strip_suffix('}').unwrap_or(rest));
        let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
        for (index, c) in inner.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    parts.push(inner.get(start..index).unwrap_or_default());
                    start = index + 1;
                }
                _ => {}
            }
        }
        parts.push(inner.get(start..).unwrap_or_default());
        parts.into_iter().filter(|part| !part.trim().is_empty()).map(str::parse).collect()
    }
}

/// Whether all of them match.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl FromStr for Matcher {
    type Err = NotAMatcher;

    fn from_str(text: &str) -> Result<Self, NotAMatcher> {
        let bad = || NotAMatcher(format!("bad matcher format: {text}"));
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or_else(bad)?;
        if end == 0 {
            return Err(bad());
        }
        let (name, rest) = trimmed.split_at(end);
        let rest = rest.trim_start();
        let comparison = [Comparison::Regex, Comparison::NotRegex, Comparison::NotEqual, Comparison::Equal]
            .into_iter()
            .find(|comparison| rest.starts_with(comparison.as_str()))
            .ok_or_else(bad)?;
        let value = rest.strip_prefix(comparison.as_str()).unwrap_or_default().trim();
        let quoted = value.strip_prefix('"');
        let body = match quoted {
            Some(inner) => inner.strip_suffix('"').ok_or_else(bad)?,
            None => value,
        };
        let mut plain = String::with_capacity(body.len());
        let mut rest = body.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some('n') => plain.push('\n'),
                    Some(escaped @ ('"' | '\\')) => plain.push(escaped),
                    // A backslash of a regular expression stands for itself.
                    Some(other) => plain.extend(['\\', other]),
                    None if quoted.is_some() => return Err(bad()),
                    None => plain.push('\\'),
                },
                '"' => return Err(NotAMatcher(format!("matcher value contains unescaped double quote: {value}"))),
                other => plain.push(other),
            }
        }
        Matcher::new(name, comparison, &plain)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{value}\"", self.name, self.comparison.as_str())
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Matcher {
    fn schema_name() -> Cow<'static, str> {
        "Matcher".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A condition on a label, as Alertmanager writes it: `team=\"db\"`, `severity!=\"info\"`, `zone=~\"eu-.*\"`, `zone!~\"us-.*\"`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, labels: &[(&str, &str)], expected: bool) {
        let labels: Labels = labels.iter().copied().collect();
        assert_eq!(text.parse::<Matcher>().unwrap().matches(&labels), expected, "{text} {labels}");
    }

    #[test]
    fn a_matcher_compares_the_whole_value_and_takes_a_missing_label_for_an_empty_one() {
        check("a=b", &[("a", "b")], true);
        check("a=\"b\"", &[("a", "bb")], false);
        check("a!=b", &[], true);
        check("a=\"\"", &[], true);
        check("a=~\"b|c\"", &[("a", "c")], true);
        check("a=~\"b|c\"", &[("a", "cc")], false);
        check("a!~\"b.*\"", &[("a", "bb")], false);
        check("a!~\"b.*\"", &[], true);
        check(" a =~ \"\\\\d+\" ", &[("a", "42")], true);
        check("a=~\"\\d+\"", &[("a", "42")], true);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["a=\"b\"", "a!=\"b\\\"c\"", "a=~\"x\\\\.y\"", "a!~\"line\\nend\""] {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for text in ["", "a", "=b", "a=\"b", "a=b\"c", "a=~\"(\"", "1a=b", "a:b=c"] {
            assert!(text.parse::<Matcher>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_is_cut_at_commas_outside_of_quotes() {
        let list = Matcher::list("{a=\"b,c\", d=~\"e\\\"f\",}").unwrap();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a=\"b,c\"", "d=~\"e\\\"f\""]);
        assert_eq!(Matcher::list("{}").unwrap(), []);
        assert_eq!(Matcher::list("a=b").unwrap().len(), 1);
    }
}
