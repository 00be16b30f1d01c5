//! Who may ask: names and origins against rebinding, the token, and the headers on every response.

use crate::problem::Problem;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Uri};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Nothing may be loaded, framed or submitted.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A page that another site's script makes a browser ask for (DNS rebinding) carries that site's name.
pub(crate) fn check_host(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<Authority, Problem> {
    let named = match (one(headers, header::HOST)?, uri.authority()) {
        (_, Some(authority)) => Some(authority.clone()),
        (Some(host), None) => host.parse::<Authority>().ok(),
        (None, None) => None,
    };
    let Some(authority) = named.filter(|authority| !authority.as_str().contains('@')) else {
        return Err(Problem::forbidden(
            "the request does not say by which name it reached this host; hint: send `Host`, and let a proxy hand it on",
        ));
    };
    let listed =
        |name: &String| name.eq_ignore_ascii_case(authority.host()) || name.eq_ignore_ascii_case(authority.as_str());
    if is_loopback(authority.host()) || allowed.iter().any(listed) {
        return Ok(authority);
    }
    Err(Problem::forbidden(format!(
        "this host does not answer to the name `{}`; hint: use 127.0.0.1 or localhost, or add the name to the allowed hosts",
        authority.host()
    )))
}

/// A browser says which page it asks for; only pages of this host may.
pub(crate) fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    let Some(origin) = one(headers, header::ORIGIN)? else { return Ok(()) };
    let same = origin.parse::<Uri>().ok().is_some_and(|uri| {
        let default = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return false,
        };
        uri.authority().is_some_and(|authority| {
            authority.host().eq_ignore_ascii_case(host.host())
                && authority.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default)
        })
    });
    if same {
        Ok(())
    } else {
        Err(Problem::forbidden(format!(
            "pages of `{origin}` may not use this host; hint: open the page under the name and port that `Host` says, which a proxy has to hand on as it came"
        )))
    }
}

/// What a proxy adds to a request that came to it from elsewhere.
const FORWARDED: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// What changes anything needs the token. Reading is free to those who sit at this machine; under any other name, or through a
/// proxy that says so, it needs the token as well. Not every proxy says so: with one, `reads` has to be set, and nothing but the two
/// pages that tell how the host is are free. `/healthz` says no more than that there is one.
pub(crate) fn needs_token(method: &Method, uri: &Uri, headers: &HeaderMap, host: &Authority, reads: bool) -> bool {
    let here = is_loopback(host.host()) && !FORWARDED.iter().any(|name| headers.contains_key(*name));
    let free = match uri.path() {
        "/healthz" => true,
        "/readyz" => here,
        _ => here && !reads,
    };
    !(method.is_safe() && free)
}

pub(crate) fn check_token(headers: &HeaderMap, token: Option<&str>) -> Result<(), Problem> {
    let Some(token) = token else { return Ok(()) };
    let given = one(headers, header::AUTHORIZATION)?.and_then(|value| value.split_once(' '));
    match given {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && same(given.trim(), token) => Ok(()),
        Some(_) => Err(Problem::unauthorized(
            "the token is not this host's; hint: read it anew from the file that the daemon named at its start",
        )),
        None => Err(Problem::unauthorized(
            "what changes anything needs the token, and so does reading what programs printed, reading from elsewhere, or anywhere once `api.allowed-hosts` or \
             `api.reads-need-token` is set; hint: send `Authorization: Bearer <token>`, \
             the daemon names its file at its start",
        )),
    }
}

/// Takes the same time wherever the difference is. The length of the token is no secret.
pub(crate) fn same(given: &str, token: &str) -> bool {
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// The header's value; a problem if there are several, or if it is not text.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (values.next(), value.to_str()) {
        (None, Ok(value)) => Ok(Some(value)),
        _ => Err(Problem::forbidden(format!("the header `{name}` can't be used: it must be given once, as text"))),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
}

/// Headers of every response, unless a handler set its own.
pub(crate) fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn host(name: &str) -> Result<Authority, Problem> {
        check_host(&headers(&[(header::HOST, name)]), &Uri::from_static("/"), &["deck.example".to_owned()])
    }

    #[test]
    fn only_loopback_names_and_listed_ones_are_answered() {
        for good in ["localhost", "LocalHost:7700", "127.0.0.1:7700", "127.8.8.8", "[::1]:7700", "deck.example:443"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "a@localhost", "", "[::2]"]
        {
            assert_eq!(host(bad).err().map(|problem| problem.status), Some(403), "{bad}");
        }
        assert!(check_host(&HeaderMap::new(), &Uri::from_static("/"), &[]).is_err());
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let check = |origin: &str, name: &str| {
            check_origin(&headers(&[(header::ORIGIN, origin)]), &host(name).unwrap()).is_ok()
        };
        assert!(check("http://127.0.0.1:7700", "127.0.0.1:7700"));
        assert!(check("https://deck.example", "deck.example"));
        assert!(!check("http://127.0.0.1:8080", "127.0.0.1:7700"));
        assert!(!check("http://localhost:7700", "127.0.0.1:7700"));
        assert!(!check("null", "127.0.0.1:7700"));
        assert!(!check("file://127.0.0.1:7700", "127.0.0.1:7700"));
    }

    #[test]
    fn only_the_right_token_is_accepted() {
        let check = |given: &str| check_token(&headers(&[(header::AUTHORIZATION, given)]), Some("secret")).is_ok();
        for (given, accepted) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer secres", false),
            ("Bearer secret2", false),
            ("Basic secret", false),
            ("secret", false),
        ] {
            assert_eq!(check(given), accepted, "{given}");
        }
        assert_eq!(check_token(&HeaderMap::new(), Some("x")).unwrap_err().status, 401);
    }

    #[test]
    fn reading_is_free_at_this_machine_only() {
        let needs = |method: Method, path: &'static str, name: &str, more: &[(HeaderName, &str)]| {
            needs_token(&method, &Uri::from_static(path), &headers(more), &host(name).unwrap(), false)
        };
        for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
            assert!(needs(method, "/healthz", "localhost", &[]));
        }
        for name in ["localhost:7700", "127.0.0.1", "[::1]:7700"] {
            assert!(!needs(Method::GET, "/api/v1/status", name, &[]), "{name}");
        }
        assert!(needs(Method::GET, "/api/v1/status", "deck.example", &[]));
        assert!(needs(Method::HEAD, "/metrics", "deck.example:443", &[]));
        assert!(!needs(Method::GET, "/healthz", "deck.example", &[]));
        for name in FORWARDED.map(HeaderName::from_static) {
            assert!(needs(Method::GET, "/readyz", "127.0.0.1:7700", &[(name.clone(), "10.0.0.9")]), "{name}");
        }
    }

    #[test]
    fn reading_needs_the_token_at_this_machine_too_where_it_is_set() {
        let needs = |path: &'static str| {
            needs_token(
                &Method::GET,
                &Uri::from_static(path),
                &HeaderMap::new(),
                &host("127.0.0.1:7700").unwrap(),
                true,
            )
        };
        for path in ["/", "/metrics", "/api/v1/status", "/api/v1/openapi.json"] {
            assert!(needs(path), "{path}");
        }
        assert!(!needs("/healthz") && !needs("/readyz"));
    }
}
