//! Times and durations: RFC 3339, HTTP's dates, and what people write. UTC; a few lines, since a calendar library is larger than a
//! whole plugin.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// Now, in milliseconds since 1970: for what is between two machines, never for a decision.
pub fn now_ms() -> i64 {
    quarterdeck_sdk::host::clock::now_ms()
}

/// `Retry-After`: seconds, or a date as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`). Milliseconds from now; zero for what is
/// past.
pub fn retry_after_ms(text: &str, now_ms: i64) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at_ms = http_date(text)?.checked_mul(1000)?;
    Some(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0))
}

fn http_date(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(", ")?;
    let mut words = date.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let seconds = instant(year, month, day, words.next()?)?;
    (words.next() == Some("GMT")).then_some(seconds)
}

/// `2026-01-02T03:04:05.678Z`, the milliseconds left out where there are none.
pub fn rfc3339(at_ms: i64) -> String {
    let (date, clock) = parts(at_ms);
    match at_ms.rem_euclid(1000) {
        0 => format!("{date}T{clock}Z"),
        ms => format!("{date}T{clock}.{ms:03}Z"),
    }
}

/// `2026-01-02 03:04:05 UTC`.
pub fn readable(at_ms: i64) -> String {
    let (date, clock) = parts(at_ms);
    format!("{date} {clock} UTC")
}

fn parts(at_ms: i64) -> (String, String) {
    let seconds = at_ms.div_euclid(1000);
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    (format!("{year:04}-{month:02}-{day:02}"), clock)
}

/// Milliseconds since 1970 of a time in RFC 3339. `None` for what is none, and for the year 1, which stands for "not yet".
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut numbers = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let fraction_ms = fraction.bytes().chain([b'0'; 3]).take(3).try_fold(0, |sum: i64, byte| {
        let digit = byte.is_ascii_digit().then_some(i64::from(byte.wrapping_sub(b'0')))?;
        Some(sum * 10 + digit)
    })?;
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60)
        }
    };
    Some((instant(year, month, day, clock)? - offset) * 1000 + fraction_ms)
}

/// Seconds since 1970 of a day and `hh:mm:ss`.
fn instant(year: i64, month: i64, day: i64, clock: &str) -> Option<i64> {
    let mut clock = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    in_range.then(|| days(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar. The year is counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The other way round.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march = days + 719_468;
    let era = from_march.div_euclid(146_097);
    let day_of_era = from_march.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2d 3h`, `5m 20s`, `300ms`: the two largest units.
pub fn duration(ms: i64) -> String {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut left = ms.unsigned_abs();
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
        // Beside the first, only the unit next to it: `2d 5s` says nothing that `2d` does not.
        if parts.len() == 2 || (parts.len() == 1 && count == 0) || (unit == "s" && !parts.is_empty()) {
            break;
        }
    }
    if parts.is_empty() {
        return "0s".to_owned();
    }
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(retry_after_ms("120", 0), Some(120_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_776_000), Some(1_000));
        assert_eq!(retry_after_ms("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800_000 - 5), Some(5));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", 2_000_000_000_000), Some(0));
    }

    #[test]
    fn what_is_neither_is_left_out() {
        for text in ["", "soon", "-5", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT", "a, b c d e"] {
            assert_eq!(retry_after_ms(text, 0), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_and_read_back() {
        for at_ms in [0, 1, 951_782_400_000, 1_709_164_799_999, 1_767_323_045_678, 253_402_300_799_000] {
            assert_eq!(parse_rfc3339(&rfc3339(at_ms)), Some(at_ms), "{}", rfc3339(at_ms));
        }
        assert_eq!(rfc3339(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(readable(1_767_323_045_678), "2026-01-02 03:04:05 UTC");
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        assert_eq!(parse_rfc3339("2026-01-02T04:34:05.5+01:30"), Some(1_767_323_045_500));
        assert_eq!(parse_rfc3339("2026-01-02T03:04:05.123456789Z"), Some(1_767_323_045_123));
        for text in ["", "2026-01-02", "0001-01-01T00:00:00Z", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05", "x"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let cases = [
            (0, "0s"),
            (300, "300ms"),
            (1_500, "1s"),
            (320_000, "5m 20s"),
            (3_600_000, "1h"),
            (183_600_000, "2d 3h"),
            (172_805_000, "2d"),
            (-60_000, "-1m"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }
}
