//! What a parser says, without what a file holds.

/// Characters that are left of what is quoted.
const SHOWN: usize = 24;

/// The message with everything that it quotes cut short. A file that was named by mistake may hold anything, a key too, and messages end
/// up on screens and in logs.
///
/// ```
/// let said = quarterdeck_model::brief("invalid type: string \"-----BEGIN PRIVATE KEY----- MIIEvQ\", expected a list");
/// assert_eq!(said, "invalid type: string \"-----BEGIN PRIVATE KEY--...\", expected a list");
/// ```
pub fn brief(message: &str) -> String {
    let mut short = String::with_capacity(message.len().min(256));
    let mut rest = message.chars();
    while let Some(open) = rest.next() {
        short.push(open);
        if !matches!(open, '"' | '`') {
            continue;
        }
        let (mut length, mut is_escaped) = (0, false);
        for inner in rest.by_ref() {
            let is_end = inner == open && !is_escaped;
            is_escaped = open == '"' && inner == '\\' && !is_escaped;
            if is_end {
                if length > SHOWN {
                    short.push_str("...");
                }
                short.push(open);
                break;
            }
            length += 1;
            if length <= SHOWN {
                short.push(inner);
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn what_is_quoted_is_cut_short_and_the_rest_stays() {
        let long = "x".repeat(5_000);
        for (message, expected) in [
            ("missing field `tests`".to_owned(), "missing field `tests`".to_owned()),
            (
                format!("unknown field `{long}`, expected `a` or `b`"),
                format!("unknown field `{}...`, expected `a` or `b`", "x".repeat(24)),
            ),
            (
                format!("invalid type: string {:?}, expected a map", format!("a\"b\\{long}")),
                format!("invalid type: string \"a\\\"b\\\\{}...\", expected a map", "x".repeat(18)),
            ),
            (format!("it ends in \"{long}"), format!("it ends in \"{}", "x".repeat(24))),
        ] {
            assert_eq!(brief(&message), expected);
        }
    }
}
