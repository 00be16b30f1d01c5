//! Figures and times in the words of a signal's reason.

/// A figure with as many digits as a person reads: `97.12`, `0.00123`, `1200000`.
pub fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if !(1e-6..1e15).contains(&magnitude) {
        return format!("{value:e}").replace("0e0", "0");
    }
    // Four significant digits, and all of those before the point.
    let decimals = (3.0 - magnitude.log10().floor()).clamp(0.0, 10.0);
    let text = format!("{value:.*}", decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A length of time: `42 s`, `12 min`, `5 h`, `3.5 days`.
pub fn span(seconds: f64) -> String {
    let units = [(86_400.0, "days"), (3600.0, "h"), (60.0, "min")];
    // Two of a unit, before it is used: `90 min` says more than `1.5 h`.
    let (length, name) = units.into_iter().find(|(length, _)| seconds.abs() >= 2.0 * length).unwrap_or((1.0, "s"));
    format!("{} {name}", figure((seconds / length * 10.0).round() / 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits_and_no_needless_zeros() {
        for (value, text) in [
            (97.123_456, "97.12"),
            (0.001_234_5, "0.001234"),
            (1_200_000.4, "1200000"),
            (-0.5, "-0.5"),
            (0.0, "0"),
            (10.0, "10"),
            (1e300, "1e300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(figure(value), text, "{value}");
        }
    }

    #[test]
    fn spans_are_in_the_unit_that_says_most() {
        for (seconds, text) in
            [(42.0, "42 s"), (90.0, "90 s"), (720.0, "12 min"), (5.0 * 3600.0, "5 h"), (302_400.0, "3.5 days")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
