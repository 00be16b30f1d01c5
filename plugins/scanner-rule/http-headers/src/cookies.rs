//! Cookies that are set.

use crate::Issue;
use crate::response::Response;
use quarterdeck_sdk::Severity;

struct Cookie<'a> {
    name: &'a str,
    /// Names in lower case, values as they are.
    attributes: Vec<(String, &'a str)>,
}

impl<'a> Cookie<'a> {
    fn read(header: &'a str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let (name, _) = parts.next()?.split_once('=')?;
        let attributes = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
            .collect();
        Some(Cookie { name: name.trim(), attributes })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// By its name it stands for somebody who is logged in.
    fn is_session(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let marks = ["sess", "sid", "auth", "token", "jwt", "login", "remember"];
        marks.iter().any(|mark| name.contains(mark)) && !self.is_for_scripts()
    }

    /// Scripts have to read it, to send it back as a proof.
    fn is_for_scripts(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.contains("csrf") || name.contains("xsrf")
    }
}

pub(crate) fn judge(response: &Response, issues: &mut Vec<Issue>) {
    for cookie in response.all("set-cookie").filter_map(Cookie::read) {
        // Taking a cookie back sets it too.
        if cookie.get("max-age").is_some_and(|age| age.starts_with(['-', '0'])) {
            continue;
        }
        let what = if cookie.is_session() { "Session cookie" } else { "Cookie" };
        let mut report = |rule, title, severity, cwe, why: &str, remediation| {
            let message = format!("{what} `{}` {why}", cookie.name);
            issues.push(Issue { rule, title, severity, cwe, message, remediation, part: cookie.name.to_owned() });
        };
        if response.is_https() && !cookie.has("secure") {
            let severity = if cookie.is_session() { Severity::High } else { Severity::Low };
            let why = "is not Secure: it is also sent in the clear.";
            report("cookie-secure", "A cookie that is also sent in the clear", severity, 614, why, "Add `Secure`.");
        }
        if cookie.is_session() && !cookie.has("httponly") {
            let why = "is not HttpOnly: a script that gets into the page can read it.";
            let title = "A session cookie that scripts can read";
            report("cookie-http-only", title, Severity::Medium, 1004, why, "Add `HttpOnly`.");
        }
        same_site(&cookie, &mut report);
        prefix(&cookie, response, &mut report);
    }
}

type Report<'a> = dyn FnMut(&'static str, &'static str, Severity, u32, &str, &'static str) + 'a;

fn same_site(cookie: &Cookie, report: &mut Report<'_>) {
    let title = "A cookie that other sites' requests carry";
    let remediation =
        "Add `SameSite=Lax` (or Strict); `SameSite=None` only with `Secure`, and only if other sites embed it.";
    match cookie.get("samesite").map(str::to_ascii_lowercase).as_deref() {
        Some("lax" | "strict") => {}
        Some("none") if cookie.has("secure") => {}
        Some("none") => {
            let why = "has SameSite=None and is not Secure: browsers drop it.";
            report("cookie-same-site", title, Severity::Medium, 1275, why, remediation);
        }
        Some(other) => {
            let why = format!("has SameSite=`{other}`, which browsers ignore.");
            report("cookie-same-site", title, Severity::Low, 1275, &why, remediation);
        }
        None if cookie.is_session() => {
            let why = "has no SameSite: that other sites' requests don't carry it is left to the browser.";
            report("cookie-same-site", title, Severity::Low, 1275, why, remediation);
        }
        None => {}
    }
}

fn prefix(cookie: &Cookie, response: &Response, report: &mut Report<'_>) {
    let name = cookie.name.to_ascii_lowercase();
    let secure = cookie.has("secure") && response.is_https();
    let host = secure && !cookie.has("domain") && cookie.get("path") == Some("/");
    let why = if name.starts_with("__host-") && !host {
        "has the prefix __Host-, which asks for https, Secure, Path=/ and no Domain: browsers drop it."
    } else if name.starts_with("__secure-") && !secure {
        "has the prefix __Secure-, which asks for https and Secure: browsers drop it."
    } else {
        return;
    };
    let title = "A cookie that browsers drop";
    report("cookie-prefix", title, Severity::Medium, 614, why, "Set what the prefix asks for.");
}
