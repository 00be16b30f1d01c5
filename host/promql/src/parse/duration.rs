//! Durations as Prometheus writes them.

/// Reads `1h30m`, `250ms`, `0`: units from large to small, each at most once. In milliseconds; nothing for what is none, and for more
/// than 292 years.
pub fn parse_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut units = [
        ("y", 365 * 24 * 3_600_000),
        ("w", 7 * 24 * 3_600_000),
        ("d", 24 * 3_600_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ]
    .into_iter();
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let (unit, behind) =
            behind.split_at_checked(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()))?;
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(millis)?)?;
        rest = behind;
    }
    // What Go's nanoseconds hold.
    (!text.is_empty() && total <= i64::MAX / 1_000_000).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_from_large_to_small() {
        for (text, millis) in [
            ("0", Some(0)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1d12h", Some(129_600_000)),
            ("250ms", Some(250)),
            ("1s500ms", Some(1_500)),
            ("30m1h", None),
            ("1m1m", None),
            ("5", None),
            ("m", None),
            ("", None),
            ("-5m", None),
            ("1.5h", None),
            ("293y", None),
            ("99999999999y1s", None),
        ] {
            assert_eq!(parse_duration(text), millis, "{text}");
        }
    }
}
