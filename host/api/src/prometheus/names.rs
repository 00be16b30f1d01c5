//! Names of labels in a path: what Prometheus's clients can't write there is escaped as `U__` and hexadecimal codes.

/// The name that `U__http_2e_status` stands for, `http.status`: `__` is one underscore, `_<hexadecimal>_` a character. Anything that is
/// not escaped so is a name as it stands.
pub(super) fn unescape(text: &str) -> String {
    text.strip_prefix("U__").and_then(resolve).unwrap_or_else(|| text.to_owned())
}

fn resolve(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut pieces = escaped.split('_');
    name.push_str(pieces.next()?);
    while let Some(code) = pieces.next() {
        // What stands between two underscores is a code, what follows the second one stands for itself.
        let behind = pieces.next()?;
        name.push(character(code)?);
        name.push_str(behind);
    }
    Some(name)
}

fn character(code: &str) -> Option<char> {
    match code {
        "" => Some('_'),
        // `from_str_radix` takes a sign.
        code if code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            char::from_u32(u32::from_str_radix(code, 16).ok()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn names_are_read_from_their_escaped_form_and_others_are_taken_as_they_are() {
        for (text, name) in [
            ("job", "job"),
            ("U__http_2e_status_3a_sum", "http.status:sum"),
            ("U__label_20_with_20___f1__", "label with _f1_"),
            ("U______name____", "__name__"),
            ("U___1f600_", "\u{1f600}"),
            ("U__no_rest", "U__no_rest"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__sign_+2e_", "U__sign_+2e_"),
            ("U__surrogate_d900_", "U__surrogate_d900_"),
            ("U__long_1234567_", "U__long_1234567_"),
            ("U__", ""),
            ("U_", "U_"),
        ] {
            assert_eq!(unescape(text), name, "{text}");
        }
    }
}
