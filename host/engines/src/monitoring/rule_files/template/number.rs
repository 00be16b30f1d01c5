//! Numbers as Go writes them.

/// `%v` of a floating-point number: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn shortest(value: f64) -> String {
    if let Some(word) = word(value) {
        return word.to_owned();
    }
    let digits = format!("{value:e}");
    let (mantissa, exponent) = split(&digits);
    if (-4..6).contains(&exponent) { format!("{value}") } else { with_exponent(mantissa, exponent) }
}

/// `%.4g` and its like: so many digits that count, no zeros at the end.
pub(super) fn general(value: f64, precision: usize) -> String {
    if let Some(word) = word(value) {
        return word.to_owned();
    }
    let precision = precision.max(1);
    let digits = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = split(&digits);
    let precision = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= precision {
        return with_exponent(without_zeros(mantissa), exponent);
    }
    let decimals = usize::try_from(precision - 1 - exponent).unwrap_or(0);
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// `%e`.
pub(super) fn scientific(value: f64, precision: usize) -> String {
    if let Some(word) = word(value) {
        return word.to_owned();
    }
    let digits = format!("{value:.precision$e}");
    let (mantissa, exponent) = split(&digits);
    with_exponent(mantissa, exponent)
}

/// `%f`.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    word(value).map_or_else(|| format!("{value:.precision$}"), str::to_owned)
}

fn word(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

fn split(digits: &str) -> (&str, i32) {
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
