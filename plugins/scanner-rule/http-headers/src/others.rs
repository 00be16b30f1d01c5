//! Transport security, sniffing, referrer, CORS, and what the server says about itself.

use crate::Issue;
use crate::response::Response;
use quarterdeck_sdk::Severity;

/// The origin that the host asks pages as, to see whether they take anybody's: it is nobody's.
const STRANGER: &str = "https://stranger.quarterdeck.invalid";
/// Half a year, as the Observatory counts it.
const SHORTEST_HSTS_SECONDS: u64 = 15_768_000;

pub(crate) fn judge(response: &Response, issues: &mut Vec<Issue>) {
    transport(response, issues);
    sniffing(response, issues);
    referrer(response, issues);
    cors(response, issues);
    versions(response, issues);
}

/// Browsers heed it over https only.
fn transport(response: &Response, issues: &mut Vec<Issue>) {
    if !response.is_https() {
        return;
    }
    let mut report = |rule, title, severity, message: String| {
        issues.push(Issue {
            rule,
            title,
            severity,
            cwe: 319,
            message,
            remediation: "Send `Strict-Transport-Security: max-age=31536000; includeSubDomains` with every answer over https.",
            part: String::new(),
        });
    };
    let Some(value) = response.header("strict-transport-security") else {
        let message = "No Strict-Transport-Security: the next visit may begin in the clear, where it can be hijacked.";
        return report("hsts-missing", "No Strict-Transport-Security", Severity::Medium, message.to_owned());
    };
    let age = value.split(';').map(str::trim).find_map(|part| {
        let (name, age) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| age.trim().trim_matches('"').parse::<u64>().ok())?
    });
    match age {
        None => {
            let message = format!("Strict-Transport-Security is `{value}`, without a max-age: browsers ignore it.");
            report("hsts-invalid", "Strict-Transport-Security is ignored", Severity::Medium, message);
        }
        Some(age) if age < SHORTEST_HSTS_SECONDS => {
            let message = format!("Strict-Transport-Security holds for {age} s, less than half a year.");
            report("hsts-short", "Strict-Transport-Security holds for a short time", Severity::Low, message);
        }
        Some(_) => {}
    }
}

fn sniffing(response: &Response, issues: &mut Vec<Issue>) {
    let value = response.header("x-content-type-options");
    if response.is_redirect() || value.is_some_and(|value| value.eq_ignore_ascii_case("nosniff")) {
        return;
    }
    let message = match value {
        None => "No X-Content-Type-Options: browsers may take the answer for another type than it says.".to_owned(),
        Some(value) => format!("X-Content-Type-Options is `{value}`, which browsers ignore."),
    };
    issues.push(Issue {
        rule: "no-sniff",
        title: "Browsers may guess the type",
        severity: Severity::Low,
        cwe: 430,
        message,
        remediation: "Send `X-Content-Type-Options: nosniff`.",
        part: String::new(),
    });
}

fn referrer(response: &Response, issues: &mut Vec<Issue>) {
    if !response.is_page() || response.is_redirect() {
        return;
    }
    let mut report = |rule, title, severity, message: String| {
        issues.push(Issue {
            rule,
            title,
            severity,
            cwe: 200,
            message,
            remediation: "Send `Referrer-Policy: strict-origin-when-cross-origin`, or stricter.",
            part: String::new(),
        });
    };
    let known = [
        "no-referrer",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "unsafe-url",
    ];
    let sent: Vec<String> = response
        .all("referrer-policy")
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().to_ascii_lowercase())
        .collect();
    // Of several the last one that a browser knows counts.
    match sent.iter().rev().find(|value| known.contains(&value.as_str())).map(String::as_str) {
        Some("no-referrer" | "same-origin" | "strict-origin" | "strict-origin-when-cross-origin") => {}
        Some(unsafe_value) => {
            let message = format!(
                "Referrer-Policy is `{unsafe_value}`: other sites, or who listens, learn where visitors come from."
            );
            report("referrer-policy", "Other sites learn where visitors come from", Severity::Low, message);
        }
        None => {
            let message = "No Referrer-Policy: what other sites learn is left to the browser.".to_owned();
            report("referrer-policy-missing", "No Referrer-Policy", Severity::Info, message);
        }
    }
}

fn cors(response: &Response, issues: &mut Vec<Issue>) {
    let Some(origin) = response.header("access-control-allow-origin") else { return };
    let credentials =
        response.header("access-control-allow-credentials").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let (rule, title, severity, message) = match origin {
        "*" if credentials => (
            "cors-credentials",
            "Every site is to read answers to logged-in visitors",
            Severity::High,
            "Access-Control-Allow-Origin is `*` with Allow-Credentials: browsers refuse the pair, and a server that wants \
             it will echo any origin next.",
        ),
        "*" => (
            "cors-public",
            "Every site may read the answer",
            Severity::Info,
            "Access-Control-Allow-Origin is `*`: every site may read the answer.",
        ),
        "null" => (
            "cors-null",
            "Sandboxed pages of any site may read the answer",
            if credentials { Severity::High } else { Severity::Medium },
            "Access-Control-Allow-Origin is `null`, which any site's sandboxed frame is.",
        ),
        STRANGER => (
            "cors-reflected",
            "Whoever asks may read the answer",
            if credentials { Severity::High } else { Severity::Low },
            if credentials {
                "Access-Control-Allow-Origin names whatever origin asks, with Allow-Credentials: every site may read what \
                 logged-in visitors are shown."
            } else {
                "Access-Control-Allow-Origin names whatever origin asks: every site may read the answer, and it is `*` by another name."
            },
        ),
        _ => return,
    };
    issues.push(Issue {
        rule,
        title,
        severity,
        cwe: 942,
        message: message.to_owned(),
        remediation: "Name the origins that may read the answer; leave `*` to what is public anyway.",
        part: String::new(),
    });
}

fn versions(response: &Response, issues: &mut Vec<Issue>) {
    for name in ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator"] {
        // A product's name says little, its version which holes it has.
        let telling = response.header(name).filter(|value| value.bytes().any(|byte| byte.is_ascii_digit()));
        if let Some(value) = telling {
            let value: String = value.chars().take(80).collect();
            issues.push(Issue {
                rule: "server-version",
                title: "The server tells its version",
                severity: Severity::Low,
                cwe: 497,
                message: format!("`{name}: {value}` tells which known holes to try."),
                remediation: "Leave the version out (`server_tokens off` in nginx, `ServerTokens Prod` in Apache), or the header.",
                part: name.to_owned(),
            });
        }
    }
}
