//! A service that answers with what it was asked - where a page has moved to, what it could not find - answers with the secret that
//! stood in the request. Whoever asked gets back what it wrote: the placeholder.

use super::{in_form, in_json};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use reqwest::Url;

/// A shorter one stands in texts by chance.
const SHORTEST: usize = 4;

/// Secrets that may stand in an answer, and a body on its way.
pub(in crate::imports) struct Echo {
    /// Each as it may be written, and what stands for it. The longest first: one may begin as another does.
    marks: Vec<(Vec<u8>, String)>,
    /// Bytes that begin one: the next piece of the body says whether they are one.
    held: Vec<u8>,
}

impl Echo {
    /// Of secrets and their placeholders. `None`: there is nothing to look for.
    pub(super) fn of(known: Vec<(String, String)>) -> Option<Self> {
        let mut marks: Vec<(Vec<u8>, String)> = Vec::new();
        for (secret, placeholder) in known.into_iter().filter(|(secret, _)| secret.len() >= SHORTEST) {
            for written in written(&secret) {
                if marks.iter().all(|(known, _)| *known != written.as_bytes()) {
                    marks.push((written.into_bytes(), placeholder.clone()));
                }
            }
        }
        marks.sort_by_key(|(mark, _)| std::cmp::Reverse(mark.len()));
        (!marks.is_empty()).then_some(Echo { marks, held: Vec::new() })
    }

    /// Headers without secrets, and without the length of a body that may get another one.
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
        headers.remove(::http::header::CONTENT_LENGTH);
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

    /// What is still held when the body has ended: it began as a secret does, and is none.
    pub(in crate::imports) fn end(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }

    /// How many bytes were read: unless they are `all`, one does not read over what may be the beginning of a secret.
    fn replace(&self, bytes: &[u8], all: bool, clean: &mut Vec<u8>) -> usize {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
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

/// The ways in which a service may write it: as it is, in JSON, in a form, in the path and the query of a URL.
fn written(secret: &str) -> Vec<String> {
    let mut ways = vec![secret.to_owned(), in_json(secret), in_form(secret)];
    if let Ok(mut url) = Url::parse("http://localhost/") {
        url.set_path(secret);
        url.set_query(Some(secret));
        ways.extend(url.path().strip_prefix('/').map(str::to_owned));
        ways.extend(url.query().map(str::to_owned));
    }
    ways.retain(|way| way.len() >= SHORTEST);
    ways
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
    }

    #[test]
    fn what_can_be_no_secret_is_not_held_back() {
        let mut echo = echo(&[("tokentoken", "<two>")]);
        assert_eq!(echo.piece(b"an event\n\n"), "an event\n\n");
        assert_eq!(echo.piece(b"to"), "");
        assert_eq!(echo.piece(b"day\n"), "today\n");
    }

    #[test]
    fn headers_show_placeholders_and_no_length() {
        let mut headers = HeaderMap::new();
        headers.insert("location", "https://h/hooks/T0/B0/xyz?a=1".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("content-length", "3".parse().unwrap());
        echo(&[("T0/B0/xyz", "<one>")]).headers(&mut headers);
        assert_eq!(headers.get("location").unwrap(), "https://h/hooks/<one>?a=1");
        assert_eq!(headers.get("retry-after").unwrap(), "7");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn short_secrets_are_not_looked_for() {
        assert!(Echo::of(vec![("a/b".to_owned(), "<one>".to_owned())]).is_none());
    }
}
