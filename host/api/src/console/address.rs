//! Addresses of pages.

use std::fmt::Write;

/// `base` and one segment behind it, whatever is in it.
pub(crate) fn below(base: &str, segment: &str) -> String {
    let mut address = format!("{base}/");
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && segment.len() > 2) {
            address.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(address, "%{byte:02X}");
        }
    }
    address
}

/// `path` with these parameters; those that are `None` or empty are left out.
pub(crate) fn with<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let given =
        parameters.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// What a form may lead back to: a page of the console, and nothing else. A browser takes `..` for the folder above, also where the points are
/// encoded.
pub(crate) fn own(address: &str) -> Option<&str> {
    let rest = address.strip_prefix(super::PREFIX)?;
    let fits = rest.is_empty() || rest.starts_with(['/', '?']);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let fits = fits && path.split('/').all(|segment| !is_points(segment));
    (fits && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).then_some(address)
}

/// `.` or `..`, however it is written.
fn is_points(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Where the object of an id is shown, as far as the id tells.
pub(crate) fn of_id(id: &str) -> Option<String> {
    let base = match id.split_once('_')?.0 {
        "inc" => "/console/incidents",
        "dep" => "/console/deployments",
        "run" => "/console/runs",
        "scan" => "/console/scans",
        _ => return None,
    };
    super::pages::PAGES.iter().any(|page| page.at() == base).then(|| below(base, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_name_is_one_segment() {
        assert_eq!(below("/console/plugins", "http-probe"), "/console/plugins/http-probe");
        assert_eq!(below("/a", "b/c?d#<é"), "/a/b%2Fc%3Fd%23%3C%C3%A9");
        assert_eq!((below("/a", "..").as_str(), below("/a", "1.0.0").as_str()), ("/a/%2E%2E", "/a/1.0.0"));
    }

    #[test]
    fn a_form_leads_back_to_pages_of_the_console_only() {
        for good in [
            "/console",
            "/console/incidents?state=open",
            "/console?x=1",
            "/console/search?q=../..",
            "/console/plugins/a..b",
        ] {
            assert_eq!(own(good), Some(good));
        }
        for bad in [
            "//evil.example",
            "/consoles",
            "https://evil.example",
            "/console\r\nX: y",
            "/api/v1",
            "/console/\\evil",
            "/console/..",
            "/console/../api/v1/status",
            "/console/a/%2e%2E/../b",
            "/console/.%2e/api",
            "/console/%2E%2e?q=1",
            "/console/..#x",
            "/console/./a",
        ] {
            assert_eq!(own(bad), None, "{bad}");
        }
    }
}
