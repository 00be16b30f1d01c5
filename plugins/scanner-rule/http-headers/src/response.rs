//! A response, as the rules ask for it.

use quarterdeck_sdk::scanner_rule::HttpResponse;
use std::borrow::Cow;

pub(crate) struct Response<'a> {
    response: &'a HttpResponse,
}

impl<'a> Response<'a> {
    pub(crate) fn new(response: &'a HttpResponse) -> Self {
        Response { response }
    }

    /// Every value of a header, in their order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let headers = self.response.headers.iter();
        headers.filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.response.url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
    }

    /// Something that a browser shows, and runs scripts of. Without a type it guesses, and may guess so.
    pub(crate) fn is_page(&self) -> bool {
        self.header("content-type").is_none_or(|value| {
            let value = value.to_ascii_lowercase();
            value.starts_with("text/html") || value.starts_with("application/xhtml")
        })
    }

    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.response.status, 301 | 302 | 303 | 307 | 308)
    }

    pub(crate) fn body(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(&self.response.body)
    }
}
