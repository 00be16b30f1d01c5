//! Values of arguments: how they are read, and what is said of those that can't be.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use quarterdeck_model::plugin::Kind;

pub(super) fn section() -> String {
    format!("Section of the object: {}", quarterdeck_config::sections().collect::<Vec<_>>().join(", "))
}

/// Nothing that is asked for is as old, and longer spans lead out of the calendar.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(50 * 365 * 86_400);

pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let expected = "expected a duration such as `90s`, `15m` or `1h 30m`";
    let duration = humantime::parse_duration(text).map_err(|_| expected.to_owned())?;
    if duration > LONGEST { Err(format!("{expected}, of 50 years at most")) } else { Ok(duration) }
}

/// How many of something: to see none of it nobody has to ask.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number of 1 or more".to_owned())
}

/// As the API takes it. What is too large for a number is not infinite for that.
pub(super) fn number(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| "expected a number such as `4.5`, or one of `NaN`, `+Inf`, `-Inf`".to_owned()),
    }
}

/// A kind of plugin, by its name.
pub(super) fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
        .try_map(|name| Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or("it is no kind of plugin"))
}
