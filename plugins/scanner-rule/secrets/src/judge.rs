//! Whether what a pattern captured is a secret.

/// Bits per character (Shannon).
pub(crate) fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    for character in text.chars() {
        *counts.entry(character).or_insert(0u32) += 1;
    }
    let total = f64::from(counts.values().sum::<u32>());
    counts.values().map(|count| f64::from(*count) / total).map(|share| -share * share.log2()).sum()
}

/// What stands where a secret would.
const PLACEHOLDERS: [&str; 22] = [
    "${",
    "{{",
    "$(",
    "#{",
    "%(",
    "<",
    "...",
    "***",
    "xxxx",
    "example",
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "dummy",
    "redacted",
    "replace",
    "insert",
    "your-",
    "your_",
    "yourp",
    "notreal",
];

/// Values that say what they are, or nothing.
const WORDS: [&str; 21] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "default",
    "required",
    "optional",
    "undefined",
    "disabled",
    "enabled",
    "testing",
    "test1234",
    "string",
    "boolean",
    "integer",
    "postgres",
    "username",
    "prompt",
    "unknown",
    "letmein",
];

pub(crate) fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let distinct: std::collections::BTreeSet<char> = lower.chars().collect();
    let runs = |step: i16| {
        lower.as_bytes().windows(2).all(|pair| matches!(pair, [a, b] if i16::from(*b) - i16::from(*a) == step))
    };
    lower.starts_with(['$', '%', '@'])
        || PLACEHOLDERS.iter().any(|part| lower.contains(part))
        || WORDS.contains(&lower.as_str())
        || distinct.len() <= 3
        || runs(1)
        || runs(-1)
}

/// The last six of a GitHub token's characters are the CRC-32 of those behind the prefix, in base 62: what has another sum was
/// never a token.
pub(crate) fn github_checksum(token: &str) -> bool {
    let Some((_, rest)) = token.split_once('_') else { return false };
    let Some((random, sum)) = rest.len().checked_sub(6).and_then(|at| rest.split_at_checked(at)) else { return false };
    base62(crc32(random.as_bytes())) == sum
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Six digits: 0-9, A-Z, a-z.
fn base62(mut number: u32) -> String {
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digit = u8::try_from(number % 62).unwrap_or(0);
        digits.push(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        });
        number /= 62;
    }
    digits.into_iter().rev().map(char::from).collect()
}

/// Its first part is JSON that names an algorithm.
pub(crate) fn is_jwt(token: &str) -> bool {
    let header = token.split('.').next().and_then(base64url).and_then(|bytes| String::from_utf8(bytes).ok());
    header.is_some_and(|header| header.starts_with('{') && header.contains("\"alg\""))
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(digit)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// What is assigned to a key is one if it has digits and letters, and is no path, name or expression.
pub(crate) fn is_key_like(value: &str) -> bool {
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    has_digit && has_letter && !is_reference(value)
}

/// Anything goes for a password, but for what is no value at all.
pub(crate) fn is_password_like(value: &str) -> bool {
    let not_only_letters =
        value.bytes().any(|byte| !byte.is_ascii_lowercase() && byte != b'_' && byte != b'-' && byte != b'.');
    not_only_letters && !is_reference(value)
}

/// In a URL there are no expressions, but there are ports of addresses without a user (`host:80@` is none).
pub(crate) fn is_url_password(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "pass" | "pwd" | "user" | "pw")
}

/// A path, a URL, or a chain of names: `config.database.password1`, `std::env::var`, `/run/secrets/key1`.
fn is_reference(value: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let parts = |separator: &str| value.contains(separator) && value.split(separator).all(is_name) && value.len() < 60;
    value.starts_with(['/', '~', '&', '*', '!'])
        || value.starts_with("./")
        || value.starts_with("../")
        || value.contains("://")
        || value.contains("::")
        || value.contains("->")
        || value.contains('(')
        || parts(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_in_bits_per_character() {
        assert_eq!(entropy(""), 0.0);
        assert_eq!(entropy("aaaa"), 0.0);
        assert_eq!(entropy("abab"), 1.0);
        assert_eq!(entropy("0123456789abcdef"), 4.0);
    }

    #[test]
    fn a_github_token_with_another_sum_is_none() {
        // One that its issuer published as an example and revoked; put together here so that no scanner finds it.
        let token = ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].concat();
        assert!(github_checksum(&token));
        assert!(!github_checksum(&token.replace("0mLq17", "0mLq18")));
        assert!(!github_checksum("ghp_") && !github_checksum("é_ééé"));
    }

    #[test]
    fn a_jwt_names_its_algorithm() {
        assert!(is_jwt("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.x.y"));
        assert!(!is_jwt("eyJ0eXAiOiJKV1QifQ.x.y") && !is_jwt("%.x.y"));
    }

    #[test]
    fn placeholders_and_references_are_no_secrets() {
        for text in [
            "${DB_PASSWORD}",
            "{{ vault.key }}",
            "changeme123",
            "AKIAIOSFODNN7EXAMPLE",
            "xxxxxxxxxxxx",
            "aaaaaaaa",
            "12345678",
            "password",
            "$SECRET",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["config.database.key1", "/run/secrets/key1", "std::env::var", "https://a/b1", "getenv(1)"] {
            assert!(!is_key_like(text), "{text}");
        }
        assert!(is_key_like("9f8a7b6c5d4e3f2a1b0c") && !is_placeholder("9f8a7b6c5d4e3f2a1b0c"));
        assert!(is_password_like("Tr0ub4dor&3") && !is_password_like("database_password"));
    }
}
