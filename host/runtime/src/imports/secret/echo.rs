//! A service that answers with what it was asked - where a page has moved to, what it could not find - answers with the secret that
//! stood in the request, and one that stores it answers so to the next. Whoever asked gets back what it wrote: the placeholder.

use super::{in_form, in_json};
use ::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use reqwest::Url;

/// A shorter one stands in texts by chance.
const SHORTEST: usize = 4;
/// In base64 everything is letters, so that a shorter text stands in it by chance.
const SHORTEST_BASE64: usize = 8;

/// Secrets that may stand in an answer, and a body on its way.
pub(in crate::imports) struct Echo {
    /// Each as it may be written, and what stands for it. The longest first: one may begin as another does.
    marks: Vec<(Vec<u8>, String)>,
    /// Bytes that any of them begins with.
    first: [bool; 256],
    /// Bytes that begin one: the next piece of the body says whether they are one.
    held: Vec<u8>,
}

impl Echo {
    /// Of secrets and their placeholders. `None`: there is nothing to look for.
    pub(super) fn of(known: Vec<(String, String)>) -> Option<Self> {
        let mut echo = Echo::empty();
        for (secret, placeholder) in known.into_iter().filter(|(secret, _)| secret.len() >= SHORTEST) {
            for written in written(&secret) {
                echo.add(written.into_bytes(), &placeholder);
            }
        }
        echo.sort();
        (!echo.marks.is_empty()).then_some(echo)
    }

    pub(in crate::imports) fn empty() -> Self {
        Echo { marks: Vec::new(), first: [false; 256], held: Vec::new() }
    }

    /// Looks for this as well, which the host wrote with a secret in it.
    pub(in crate::imports) fn also(&mut self, written: &[u8], placeholder: &str) {
        self.add(written.to_vec(), placeholder);
        self.sort();
    }

    fn add(&mut self, mark: Vec<u8>, placeholder: &str) {
        let Some(first) = mark.first().and_then(|first| self.first.get_mut(usize::from(*first))) else { return };
        *first = true;
        if self.marks.iter().all(|(known, _)| *known != mark) {
            self.marks.push((mark, placeholder.to_owned()));
        }
    }

    fn sort(&mut self) {
        self.marks.sort_by_key(|(mark, _)| std::cmp::Reverse(mark.len()));
    }

    /// Something is held back that may be the beginning of a secret.
    pub(in crate::imports) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Headers without secrets.
    pub(in crate::imports) fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let mut clean = Vec::new();
            self.replace(value.as_bytes(), true, &mut clean);
            if clean != value.as_bytes()
                && let Ok(clean) = HeaderValue::from_bytes(&clean)
            {
                *value = clean;
            }
        }
    }

    /// The next piece of the body, as far as it is known what stands there.
    pub(in crate::imports) fn piece(&mut self, bytes: &[u8]) -> Bytes {
        let mut before = std::mem::take(&mut self.held);
        before.extend_from_slice(bytes);
        let mut clean = Vec::with_capacity(before.len());
        let read = self.replace(&before, false, &mut clean);
        self.held = before.split_off(read);
        clean.into()
    }

    /// What is still held when the body has ended: it began as a secret does, and is none, or a shorter one.
    pub(in crate::imports) fn end(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let mut clean = Vec::with_capacity(held.len());
        self.replace(&held, true, &mut clean);
        clean.into()
    }

    /// How many bytes were read: unless they are `all`, one does not read over what may be the beginning of a secret.
    fn replace(&self, bytes: &[u8], all: bool, clean: &mut Vec<u8>) -> usize {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            if self.first.get(usize::from(*first)) != Some(&true) {
                clean.push(*first);
                rest = behind;
                continue;
            }
            let mut begun = self.marks.iter().filter(|(mark, _)| mark.first() == Some(first)).peekable();
            if begun.peek().is_some() {
                if !all && begun.clone().any(|(mark, _)| mark.len() > rest.len() && mark.starts_with(rest)) {
                    break;
                }
                let found = begun.find_map(|(mark, placeholder)| Some((rest.strip_prefix(&**mark)?, placeholder)));
                if let Some((behind, placeholder)) = found {
                    clean.extend_from_slice(placeholder.as_bytes());
                    rest = behind;
                    continue;
                }
            }
            clean.push(*first);
            rest = behind;
        }
        bytes.len() - rest.len()
    }
}

/// The ways in which a service may write it: as it is, in JSON, in a form, in the path and the query of a URL, in base64.
fn written(secret: &str) -> Vec<String> {
    let mut ways = vec![secret.to_owned(), in_json(secret), in_form(secret)];
    if let Ok(mut url) = Url::parse("http://localhost/") {
        url.set_path(secret);
        url.set_query(Some(secret));
        ways.extend(url.path().strip_prefix('/').map(str::to_owned));
        ways.extend(url.query().map(str::to_owned));
    }
    ways.retain(|way| way.len() >= SHORTEST);
    ways.extend(in_base64(secret).filter(|way| way.len() >= SHORTEST_BASE64));
    ways
}

/// What of a text in base64 follows from the secret in it alone, wherever it begins there.
fn in_base64(secret: &str) -> impl Iterator<Item = String> {
    let bytes = secret.as_bytes();
    [STANDARD, URL_SAFE].into_iter().flat_map(move |alphabet| {
        (0..3).filter_map(move |before: usize| {
            let mut beside = vec![0; before];
            beside.extend_from_slice(bytes);
            let text = alphabet.encode(beside);
            // A letter has six bits; the first and the last one may share theirs with what stands beside the secret.
            let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
            text.get(from..to).map(str::to_owned)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(known: &[(&str, &str)]) -> Echo {
        let owned = known.iter().map(|(secret, placeholder)| ((*secret).to_owned(), (*placeholder).to_owned()));
        Echo::of(owned.collect()).unwrap()
    }

    /// The body, handed over in pieces of that many bytes.
    fn body(known: &[(&str, &str)], text: &str, pieces: usize) -> String {
        let mut echo = echo(known);
        let mut clean: Vec<u8> = text.as_bytes().chunks(pieces).flat_map(|piece| echo.piece(piece)).collect();
        clean.extend(echo.end());
        String::from_utf8(clean).unwrap()
    }

    #[test]
    fn a_body_shows_placeholders_however_it_is_cut_and_however_secrets_are_written() {
        let known = [("a/b c\"", "<one>"), ("a/b", "<short>"), ("tokentoken", "<two>"), ("token", "<three>")];
        let text = "a/b c\" a/b%20c%22 a%2Fb+c%22 {\"a/b c\\\"\"} tokentoken token tokentoke to";
        let clean = "<one> <one> <one> {\"<one>\"} <two> <three> <three>toke to";
        for pieces in 1..text.len() {
            // Three bytes are too short to be looked for.
            assert_eq!(body(&known, text, pieces), clean, "{pieces}");
        }
        assert_eq!(body(&known, "nothing of it", 4), "nothing of it");
        assert_eq!(body(&known, "at the end, token", 4), "at the end, <three>");
    }

    #[test]
    fn what_can_be_no_secret_is_not_held_back() {
        let mut echo = echo(&[("tokentoken", "<two>")]);
        assert_eq!(echo.piece(b"an event\n\n"), "an event\n\n");
        assert_eq!(echo.piece(b"to"), "");
        assert_eq!(echo.piece(b"day\n"), "today\n");
    }

    #[test]
    fn headers_show_placeholders() {
        let mut headers = HeaderMap::new();
        headers.insert("location", "https://h/hooks/T0/B0/xyz?a=1".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("content-length", "3".parse().unwrap());
        echo(&[("T0/B0/xyz", "<one>")]).headers(&mut headers);
        assert_eq!(headers.get("location").unwrap(), "https://h/hooks/<one>?a=1");
        assert_eq!(headers.get("retry-after").unwrap(), "7");
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn a_body_in_base64_shows_placeholders_wherever_the_secret_begins_in_it() {
        let known = [("p4ss>word?~~", "<one>")];
        for before in ["", "a", "ab", "abc"] {
            for alphabet in [STANDARD, URL_SAFE] {
                let text = alphabet.encode(format!("{before}p4ss>word?~~ and more"));
                let clean = body(&known, &text, 5);
                assert!(clean.contains("<one>"), "{before}: {clean}");
                // At either end at most one letter of it is left.
                let gone = text.len() - (clean.len() - "<one>".len());
                assert!(gone >= 14, "{before}: {clean}");
            }
        }
        // What the host wrote is known as a whole.
        let mut echo = Echo::empty();
        echo.also(b"AGFhAGJi", "<one>");
        assert_eq!(echo.piece(b"AGFhAGJi\n"), "<one>\n");
    }

    #[test]
    fn what_begins_as_a_secret_is_held_back_until_it_is_known() {
        let mut echo = echo(&[("tokentoken", "<two>")]);
        assert_eq!(echo.piece(b"to"), "");
        assert!(echo.holds());
        assert_eq!(echo.end(), "to");
        assert!(!echo.holds());
    }

    #[test]
    fn short_secrets_are_not_looked_for() {
        assert!(Echo::of(vec![("a/b".to_owned(), "<one>".to_owned())]).is_none());
    }
}
