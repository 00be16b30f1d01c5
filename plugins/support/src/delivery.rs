//! Deliveries over HTTP: what an answer means, and where secrets stand. The host fills secrets in on the way out, and puts the texts that
//! stand for them into what is answered; a plugin has nothing but those.

use crate::time;
use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::{self, Request, Response};
use quarterdeck_sdk::{Failure, Outcome, Problem};
use std::collections::BTreeMap;

/// Where the secret stands in a URL.
const MARK: &str = "{secret}";

/// How much of an answer is read: it is looked at for a reason, and not kept.
pub const ANSWER_BYTES: usize = 4096;

/// What is wrong with a URL in the configuration, and with the secret in it.
pub fn check_url(pointer: &str, url: &str, secret: Option<&str>) -> Vec<Problem> {
    let problem = |message: String| vec![Problem::at(pointer, message)];
    let Some((_, authority, _)) = http::split_url(url).filter(|_| http::host_and_port(url).is_some()) else {
        return problem(format!("`{url}` is not an http or https URL"));
    };
    if authority.contains(MARK) {
        return problem(format!("`{MARK}` can't stand in the host of a URL; hint: put it in the path or the query"));
    }
    match (url.contains(MARK), secret) {
        (true, None) => problem(format!("`{MARK}` stands in the URL, and no `url-secret` is named")),
        (false, Some(name)) => {
            problem(format!("nothing says where the secret `{name}` stands in the URL; hint: write `{MARK}` there"))
        }
        _ => Vec::new(),
    }
}

/// The URL with what stands for its secret.
///
/// # Errors
/// The secret is not granted.
pub fn url(url: &str, secret: Option<&str>) -> Result<String, Failure> {
    match secret {
        Some(name) => Ok(url.replace(MARK, &secret::header_value(name)?)),
        None => Ok(url.to_owned()),
    }
}

/// Adds headers of the configuration, and those that carry a secret: header to the secret's name.
///
/// # Errors
/// A secret is not granted.
pub fn with_headers(
    mut request: Request,
    headers: &BTreeMap<String, String>,
    secret_headers: &BTreeMap<String, String>,
) -> Result<Request, Failure> {
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, secret) in secret_headers {
        request = request.header(name, secret::header_value(secret)?);
    }
    Ok(request)
}

/// Sends it, and says whether it arrived.
///
/// # Errors
/// See [`judge`]; and what kept it from being sent.
pub fn send(request: &Request) -> Result<Outcome, Failure> {
    let response = request.send()?;
    judge(&response, time::now_ms())
}

/// Whether it arrived, and if not, whether to try again.
///
/// # Errors
/// 408, 425, 429 and 5xx may work later, not before `Retry-After`; any other status but 2xx is final.
pub fn judge(response: &Response, now_ms: i64) -> Result<Outcome, Failure> {
    let status = response.status;
    match status {
        200..=299 => Ok(Outcome::done().with("status", status)),
        408 | 425 | 429 | 500..=599 => Err(Failure::Retry {
            message: format!("the recipient answered {status}{}", reason(response)),
            after_ms: response.header("retry-after").and_then(|text| time::retry_after_ms(text, now_ms)),
        }),
        300..=399 => Err(Failure::Rejected(format!(
            "the recipient answered {status}: redirects are not followed\nhint: post to {} instead",
            response.header("location").map_or_else(|| "the final address".to_owned(), elsewhere)
        ))),
        _ => Err(Failure::Rejected(format!("the recipient answered {status}{}", reason(response)))),
    }
}

/// Where a page has moved to, without the query: what is secret there may have been written in another way than it was sent, so that
/// the host does not find it.
fn elsewhere(location: &str) -> String {
    let shown: String = location.chars().take_while(|c| !matches!(c, '?' | '#')).filter(|c| !c.is_control()).collect();
    let shown = match shown.split_once("://") {
        // As little as a query belongs the user's name and password of a URL into a message.
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => shown,
    };
    format!("`{shown}`")
}

/// What the answer says, after a colon.
fn reason(response: &Response) -> String {
    let text: String = response.text().chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// A line break in a header would end it.
pub fn header_text(text: &str) -> String {
    text.chars().filter(|character| character.is_ascii_graphic()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status, headers, body: body.as_bytes().to_vec(), truncated: false }
    }

    #[test]
    fn what_may_work_later_is_tried_again_after_the_time_that_the_recipient_gives() {
        for status in [408, 425, 429, 500, 503] {
            let failure = judge(&response(status, &[("Retry-After", "7")], "busy"), 0).unwrap_err();
            let message = format!("the recipient answered {status}: busy");
            assert_eq!(failure, Failure::Retry { message, after_ms: Some(7000) });
        }
    }

    #[test]
    fn what_stays_wrong_is_rejected_with_the_answer() {
        let failure = judge(&response(404, &[], "no\nsuch hook"), 0).unwrap_err();
        assert_eq!(failure, Failure::rejected("the recipient answered 404: nosuch hook"));
        let moved = judge(&response(301, &[("location", "https://r/")], ""), 0).unwrap_err();
        assert!(moved.message().contains("post to `https://r/` instead"), "{moved}");
    }

    #[test]
    fn where_a_page_has_moved_to_is_said_without_what_may_be_secret_there() {
        for (location, shown) in [
            ("https://r/hook?sig=s3cret", "`https://r/hook`"),
            ("https://user:s3cret@r/hook#s3cret", "`https://r/hook`"),
            ("https://s3cret@r", "`https://r`"),
            ("/hook?sig=s3cret", "`/hook`"),
            ("/a@b", "`/a@b`"),
        ] {
            let moved = judge(&response(308, &[("location", location)], ""), 0).unwrap_err();
            assert!(moved.message().ends_with(&format!("post to {shown} instead")), "{moved}");
        }
        let moved = judge(&response(308, &[], ""), 0).unwrap_err();
        assert!(moved.message().ends_with("post to the final address instead"), "{moved}");
    }

    #[test]
    fn a_url_and_its_secret_belong_together() {
        assert!(check_url("/url", "https://h/a/{secret}", Some("s")).is_empty());
        assert!(check_url("/url", "https://h/a", None).is_empty());
        for (url, secret, expected) in [
            ("ftp://h", None, "not an http or https URL"),
            ("https://{secret}/", Some("s"), "can't stand in the host"),
            ("https://h/{secret}", None, "no `url-secret`"),
            ("https://h/", Some("s"), "write `{secret}`"),
        ] {
            let problems = check_url("/url", url, secret);
            assert!(problems.len() == 1 && problems[0].message.contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn a_secret_in_a_url_is_filled_in_by_the_host() {
        let (url, _) = quarterdeck_sdk::testing::FakeHost::default().run(|| url("https://h/{secret}?x", Some("hook")));
        assert_eq!(url.unwrap(), "https://h/secret:hook?x");
    }
}
