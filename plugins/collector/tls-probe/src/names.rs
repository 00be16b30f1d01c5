//! Whether a certificate's name stands for another: RFC 6125, as browsers read it.

use std::net::IpAddr;

/// Addresses as they are; names without regard to case; a `*` is one whole first label, and not that of a domain of the top level.
pub(crate) fn fits(own: &str, wanted: &str) -> bool {
    let bare = wanted.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if let Ok(wanted) = bare.parse::<IpAddr>() {
        return own.parse::<IpAddr>().is_ok_and(|own| own == wanted);
    }
    let own = own.trim_end_matches('.');
    match own.strip_prefix("*.") {
        None => own.eq_ignore_ascii_case(bare),
        Some(parent) => {
            let rest = bare.split_once('.').filter(|(first, _)| !first.is_empty()).map(|(_, rest)| rest);
            parent.contains('.') && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_one_label() {
        for (own, wanted, expected) in [
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "a.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.com", "example.com", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("*.0.2.1", "192.0.2.1", false),
            ("2001:db8::1", "[2001:db8:0::1]", true),
        ] {
            assert_eq!(fits(own, wanted), expected, "{own} {wanted}");
        }
    }
}
