//! Numbers, quickly: most of them are short, and exact in a few steps.

/// Powers of ten that are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Digits that are exact in a float, whatever they are.
const DIGITS: usize = 15;

/// A decimal number at the start, and how many bytes it takes. Only what comes out exactly as it would by the long way: few enough
/// digits, and a power of ten that is exact, of which one product or quotient is rounded correctly.
#[inline]
pub(super) fn simple(bytes: &[u8]) -> Option<(f64, usize)> {
    let mut at = 0;
    let negative = bytes.first() == Some(&b'-');
    if negative {
        at = 1;
    }
    let (mut mantissa, mut digits, mut exponent, mut point) = (0_u64, 0, 0_i32, false);
    let mut byte = *bytes.get(at)?;
    loop {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                digits += 1;
                exponent -= i32::from(point);
            }
            b'.' if !point => point = true,
            _ => break,
        }
        at += 1;
        byte = *bytes.get(at)?;
    }
    if digits == 0 || digits > DIGITS {
        // Seventeen digits with zeros before them, and the like, go the long way.
        return None;
    }
    if byte == b'e' {
        let (written, length) = whole(bytes.get(at + 1..)?)?;
        exponent = exponent.checked_add(i32::try_from(written).ok()?)?;
        at += 1 + length;
    }
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact")]
    let mantissa = mantissa as f64;
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    let value = if exponent < 0 { mantissa / power } else { mantissa * power };
    Some((if negative { -value } else { value }, at))
}

/// A whole number at the start, with or without a sign, and how many bytes it takes.
#[inline]
pub(super) fn whole(bytes: &[u8]) -> Option<(i64, usize)> {
    let signed = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = bytes.get(signed..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 18 {
        return None;
    }
    let read = |value: i64, byte: &u8| value * 10 + i64::from(*byte - b'0');
    let value = bytes.get(signed..signed + digits)?.iter().fold(0, read);
    Some((if bytes.first() == Some(&b'-') { -value } else { value }, signed + digits))
}

/// Any number, as Prometheus takes it. Each one that is none is the same one.
pub(super) fn any(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    Some(crate::canonical(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut quick = 0;
        for round in 0..200_000 {
            let text = match round % 4 {
                0 => random.random_range(-1_000_000_i64..1_000_000_000_000).to_string(),
                1 => format!("{}", random.random::<f64>() * 1000.0),
                2 => format!("{:.3}", random.random::<f64>() * 1e6),
                _ => format!("{:e}", (random.random::<f64>() * 1e4).round() * 1e3).replace('e', "e+"),
            };
            if let Some((value, length)) = simple(format!("{text}\n").as_bytes()) {
                assert_eq!((value.to_bits(), length), (text.parse::<f64>().unwrap().to_bits(), text.len()), "{text}");
                quick += 1;
            }
        }
        assert!(quick > 100_000, "{quick}");
    }

    #[test]
    fn what_is_no_simple_number_is_left_to_the_long_way() {
        for text in ["NaN\n", "+Inf\n", "1", "-\n", ".\n", "1e\n", "1e400\n", "123456789012345678\n", "\n", "{\n"] {
            assert_eq!(simple(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(simple(b"-0\n").map(|(value, _)| value.to_bits()), Some((-0.0_f64).to_bits()));
    }

    #[test]
    fn numbers_that_are_none_are_all_the_same() {
        for text in ["NaN", "nan", "-NaN"] {
            assert_eq!(any(text).unwrap().to_bits(), crate::NAN, "{text}");
        }
        assert_eq!(any("+Inf"), Some(f64::INFINITY));
        assert_eq!(any("1_000"), None);
        assert_eq!(any("0x10"), None);
    }
}
