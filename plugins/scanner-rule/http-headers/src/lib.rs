//! Finds what is wrong with the headers of an HTTP response, with the semantics of MDN's HTTP Observatory: what it takes points
//! for is a finding here, and how many points decides how severe it is.
//!
//! | File | Holds |
//! |---|---|
//! | `response` | headers by name, whatever their case; what kind of page it is |
//! | `csp` | Content-Security-Policy, and framing |
//! | `cookies` | Set-Cookie |
//! | `others` | transport security, sniffing, referrer, CORS, what the server says about itself |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod cookies;
mod csp;
mod others;
mod response;

use quarterdeck_sdk::scanner_rule::{Finding, Interest, ScannerRule, Subject, SubjectKind};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};
use response::Response;

quarterdeck_sdk::config! {
    /// Configuration of `http-headers`.
    pub struct Config {
        /// Rules that are left out: `csp-missing`, `server-version`.
        #[serde(default)]
        pub disable: Vec<String>,
    }
}

/// Every rule: behind `http-headers/` in a finding.
const RULES: [&str; 21] = [
    "cookie-http-only",
    "cookie-prefix",
    "cookie-same-site",
    "cookie-secure",
    "cors-credentials",
    "cors-null",
    "cors-public",
    "cors-reflected",
    "csp-missing",
    "csp-report-only",
    "csp-unsafe-eval",
    "csp-unsafe-inline",
    "csp-wildcard",
    "framing",
    "hsts-invalid",
    "hsts-missing",
    "hsts-short",
    "no-sniff",
    "referrer-policy",
    "referrer-policy-missing",
    "server-version",
];

/// The plugin.
pub struct HttpHeaders;

impl Plugin for HttpHeaders {
    type Config = Config;
    const NAME: &'static str = "http-headers";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Security headers and cookies of HTTP responses";

    fn validate(config: &Config) -> Vec<Problem> {
        let unknown = |(index, id): (usize, &String)| {
            let known = RULES.contains(&id.as_str());
            (!known).then(|| Problem::at(format!("/disable/{index}"), format!("there is no rule `{id}`")))
        };
        config.disable.iter().enumerate().filter_map(unknown).collect()
    }
}

impl ScannerRule for HttpHeaders {
    fn interests(_config: &Config) -> Result<Interest, Failure> {
        Ok(Interest { kinds: vec![SubjectKind::HttpResponse], max_bytes: 64 * 1024, ..Interest::default() })
    }

    fn scan(config: &Config, subjects: &[Subject]) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            let Subject::HttpResponse(response) = subject else { continue };
            let reported = judge(&Response::new(response));
            let enabled = reported.into_iter().filter(|issue| !config.disable.iter().any(|id| id == issue.rule));
            findings.extend(enabled.map(|issue| issue.into_finding(index, &response.url)));
        }
        Ok(findings)
    }
}

fn judge(response: &Response) -> Vec<Issue> {
    let mut issues = Vec::new();
    csp::judge(response, &mut issues);
    cookies::judge(response, &mut issues);
    others::judge(response, &mut issues);
    issues
}

/// What is wrong with one response.
struct Issue {
    rule: &'static str,
    title: &'static str,
    severity: Severity,
    cwe: u32,
    message: String,
    remediation: &'static str,
    /// What tells two of one rule and response apart: a cookie's name.
    part: String,
}

impl Issue {
    fn into_finding(self, subject: usize, url: &str) -> Finding {
        // The query may change with every visit.
        let page = url.split(['?', '#']).next().unwrap_or(url);
        Finding {
            subject,
            fingerprint: fingerprint(&[self.rule, page, &self.part]),
            rule: ["http-headers/", self.rule].concat(),
            title: self.title.to_owned(),
            severity: self.severity,
            message: self.message,
            remediation: self.remediation.to_owned(),
            line: 0,
            column: 0,
            cwe: Some(self.cwe),
        }
    }
}

/// 64 bits (FNV-1a).
fn fingerprint(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

quarterdeck_sdk::export!(HttpHeaders: scanner_rule);

#[cfg(test)]
mod tests;
