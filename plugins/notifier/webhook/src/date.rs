//! `Retry-After`: seconds, or a date as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`).

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Milliseconds from now; zero for what is past.
pub(crate) fn retry_after_ms(text: &str, now_ms: i64) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at_ms = seconds(text)?.checked_mul(1000)?;
    Some(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0))
}

fn seconds(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(", ")?;
    let mut words = date.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    (in_range && words.next() == Some("GMT")).then_some(())?;
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar. The year is counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
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
}
