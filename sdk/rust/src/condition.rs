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
        let (operator, comparison) =
            OPERATORS.iter().find(|(operator, _)| trimmed.starts_with(operator)).ok_or_else(wrong)?;
        let number: f64 = trimmed.trim_start_matches(operator).trim().parse().map_err(|_| wrong())?;
        if number.is_nan() {
            return Err(wrong());
        }
        Ok(Condition { comparison: *comparison, number })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = OPERATORS.iter().find(|(_, own)| *own == self.comparison).map_or("", |(operator, _)| operator);
        write!(f, "{operator} {}", self.number)
    }
}
