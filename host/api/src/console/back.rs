//! Where somebody wanted to go who was not signed in: to that page signing in leads. What holds it meanwhile is a cookie for the sign-in page
//! alone, since the link that signs in comes from elsewhere and knows nothing of it.

use super::view::View;
use super::{address, session, sign_in};
use http::header::{ACCEPT, HeaderMap, HeaderValue, REFERER};
use http::uri::Authority;
use http::{Method, Uri};

/// Seconds that it is kept: somewhat longer than a link is good.
const AGE: u32 = 900;
/// Characters of an address that is kept.
const LONGEST: usize = 2_000;

/// The address, if signing in may lead there: a page of the console, and not the one for signing in.
pub(super) fn to(address: &str) -> Option<&str> {
    let is_page = |address: &&str| !address.starts_with("/console/sign-") && !address.starts_with("/console/stream");
    address::own(address).filter(|address| address.len() <= LONGEST).filter(is_page)
}

/// The cookie that keeps it for somebody who was sent away. `None`: they asked for no page, or are signed in.
pub(super) fn keep(view: &View, method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if view.session.is_some() || !accepted.any(|value| value.contains("text/html")) {
        return None;
    }
    let host = view.host.as_ref()?;
    if method.is_safe() {
        return set(headers, host, to(view.address())?);
    }
    // A form was sent: its page is where to go, not its address.
    let page: Uri = headers.get(REFERER)?.to_str().ok()?.parse().ok()?;
    let is_here = page.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host.as_str()));
    set(headers, host, to(page.path_and_query()?.as_str()).filter(|_| is_here)?)
}

/// The cookie with this address; with an empty one it goes.
pub(super) fn set(headers: &HeaderMap, host: &Authority, address: &str) -> Option<HeaderValue> {
    let value: String = form_urlencoded::byte_serialize(address.as_bytes()).collect();
    let age = if address.is_empty() { 0 } else { AGE };
    let secure = if session::came_by_tls(headers) { "; Secure" } else { "" };
    let (name, path) = (name(host), sign_in::PATH);
    let cookie = format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&cookie).ok()
}

/// What the cookie says.
pub(super) fn kept(headers: &HeaderMap, host: &Authority) -> Option<String> {
    let value = session::cookie(headers, &name(host))?;
    let (address, _) = form_urlencoded::parse(value.as_bytes()).next()?;
    to(&address).map(str::to_owned)
}

fn name(host: &Authority) -> String {
    format!("quarterdeck-back-{}", host.port_u16().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    #[test]
    fn what_is_kept_is_a_page_of_the_console_however_it_is_written() {
        let host = Authority::from_static("127.0.0.1:7700");
        let address = "/console/metrics?q=rate%28a%5B5m%5D%29&range=1h";
        let cookie = set(&HeaderMap::new(), &host, address).unwrap();
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let with = |pair: &str| HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())]);
        assert_eq!(kept(&with(&pair), &host).as_deref(), Some(address));
        assert_eq!(kept(&with(&pair), &Authority::from_static("127.0.0.1:7701")), None);
        for bad in ["%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2Fconsole%2F..%2Fapi", "%2Fconsole%2Fsign-in"]
        {
            assert_eq!(kept(&with(&format!("quarterdeck-back-7700={bad}")), &host), None, "{bad}");
        }
    }
}
