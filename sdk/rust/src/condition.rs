//! Conditions on a figure, as people write them: `>= 1`, `< 0.5`, `!= 0`.

use std::fmt;
use std::str::FromStr;

/// A comparison with a number.
///
/// ```
/// use quarterdeck_sdk::condition::Condition;
///
/// let condition: Condition = "<= 90".parse().unwrap();
/// assert!(condition.holds(90.0) && !condition.holds(90.5) && !condition.holds(f64::NAN));
/// assert!("about 90".parse::<Condition>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub number: f64,
}

/// See [`Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`, also written `=`
    Equal,
    /// `!=`
    NotEqual,
}

const OPERATORS: [(&str, Comparison); 7] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl Condition {
    /// Whether a figure fulfils it. What is not a number fulfils nothing.
    pub fn holds(&self, value: f64) -> bool {
        !value.is_nan()
            && match self.comparison {
                Comparison::Less => value < self.number,
                Comparison::LessOrEqual => value <= self.number,
                Comparison::Greater => value > self.number,
                Comparison::GreaterOrEqual => value >= self.number,
                Comparison::Equal => value == self.number,
                Comparison::NotEqual => value != self.number,
            }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a condition; write it like `>= 1` or `< 0.5`");
        let trimmed = text.trim();
        // The first operator that fits, once: `>>` is none.
        let read = |(operator, comparison): &(&str, Comparison)| Some((trimmed.strip_prefix(operator)?, *comparison));
        let (number, comparison) = OPERATORS.iter().find_map(read).ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if number.is_nan() {
            return Err(wrong());
        }
        Ok(Condition { comparison, number })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = OPERATORS.iter().find(|(_, own)| *own == self.comparison).map_or("", |(operator, _)| operator);
        write!(f, "{operator} {}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_written_as_it_was() {
        for (text, comparison, number, written) in [
            ("<= 90", Comparison::LessOrEqual, 90.0, "<= 90"),
            ("  >=.5 ", Comparison::GreaterOrEqual, 0.5, ">= 0.5"),
            ("=1.", Comparison::Equal, 1.0, "== 1"),
            ("== -1e3", Comparison::Equal, -1000.0, "== -1000"),
            ("!=0", Comparison::NotEqual, 0.0, "!= 0"),
            ("< -inf", Comparison::Less, f64::NEG_INFINITY, "< -inf"),
            ("> Infinity", Comparison::Greater, f64::INFINITY, "> inf"),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition, Condition { comparison, number }, "{text}");
            assert_eq!(condition.to_string(), written);
            assert_eq!(written.parse(), Ok(condition));
        }
    }

    #[test]
    fn what_is_no_condition_is_told_with_what_would_be() {
        for text in ["about 90", "90", ">", "> nan", "> 1_000", "> 0x10", ">> 5", "> 1 2", "=> 1", ""] {
            let said = text.parse::<Condition>().unwrap_err();
            assert!(said.contains("write it like `>= 1`"), "{said}");
        }
    }
}
