//! Content-Security-Policy, and who may frame the page.

use crate::Issue;
use crate::response::Response;
use quarterdeck_sdk::Severity;
use std::collections::BTreeMap;

/// Directives and their sources, all in lower case, of one policy.
type Policy = BTreeMap<String, Vec<String>>;

const REMEDIATION: &str = "Send a Content-Security-Policy that names where scripts may come from, such as \
                           `default-src 'self'; object-src 'none'; base-uri 'none'`, and give inline scripts a nonce or a hash.";

pub(crate) fn judge(response: &Response, issues: &mut Vec<Issue>) {
    // A redirect shows nothing, and other types run nothing.
    if !response.is_page() || response.is_redirect() {
        return;
    }
    let sent: Vec<Policy> = response.all("content-security-policy").flat_map(policies).collect();
    // What a policy in the page says counts, but not about framing.
    let body = response.body();
    let written: Vec<Policy> = in_page(&body).flat_map(|content| policies(&content).collect::<Vec<_>>()).collect();
    framing(response, &sent, issues);

    let issue = |rule, title, severity, message: String| Issue {
        rule,
        title,
        severity,
        cwe: 79,
        message,
        remediation: REMEDIATION,
        part: String::new(),
    };
    let all: Vec<&Policy> = sent.iter().chain(&written).collect();
    if all.is_empty() {
        issues.push(if response.header("content-security-policy-report-only").is_some() {
            let message = "The Content-Security-Policy only reports; it prevents nothing.".to_owned();
            issue("csp-report-only", "The Content-Security-Policy prevents nothing", Severity::Low, message)
        } else {
            let message = "No Content-Security-Policy: a script that gets into the page runs.".to_owned();
            issue("csp-missing", "No Content-Security-Policy", Severity::Medium, message)
        });
        return;
    }
    // A script has to pass every policy: one that is strict is enough.
    let allowed = |test: fn(&[String]) -> bool| all.iter().all(|policy| test(script_sources(policy)));
    if allowed(allows_inline) {
        let message =
            "The Content-Security-Policy lets inline scripts run, so one that gets into the page does.".to_owned();
        issues.push(issue("csp-unsafe-inline", "Inline scripts are allowed", Severity::Medium, message));
    }
    if allowed(allows_anything) {
        let message = "The Content-Security-Policy takes scripts from anywhere.".to_owned();
        issues.push(issue("csp-wildcard", "Scripts from anywhere are allowed", Severity::Medium, message));
    }
    if allowed(|sources| has(sources, "'unsafe-eval'")) {
        let message = "The Content-Security-Policy lets scripts make code of text ('unsafe-eval').".to_owned();
        issues.push(issue("csp-unsafe-eval", "Scripts may make code of text", Severity::Low, message));
    }
}

/// Policies of one header are parted by commas.
fn policies(header: &str) -> impl Iterator<Item = Policy> {
    header.split(',').map(policy).filter(|policy| !policy.is_empty())
}

fn policy(text: &str) -> Policy {
    let mut policy = Policy::new();
    for directive in text.split(';') {
        let lower = directive.to_ascii_lowercase();
        let mut words = lower.split_ascii_whitespace().map(str::to_owned);
        if let Some(name) = words.next() {
            // The first of two of one name counts.
            policy.entry(name).or_insert_with(|| words.collect());
        }
    }
    policy
}

/// Where scripts may come from. A policy that does not say so allows everything.
fn script_sources(policy: &Policy) -> &[String] {
    policy.get("script-src").or_else(|| policy.get("default-src")).map_or(&[], Vec::as_slice)
}

fn has(sources: &[String], source: &str) -> bool {
    sources.iter().any(|own| own == source)
}

/// An empty list comes from a policy without a word on scripts; one that allows nothing says 'none' (or names no source, which
/// browsers read as 'none', and which is rare enough to be asked about).
fn allows_inline(sources: &[String]) -> bool {
    let by_name = sources.iter().any(|source| source.starts_with("'nonce-") || source.starts_with("'sha"));
    let strict = has(sources, "'strict-dynamic'");
    sources.is_empty() || (has(sources, "'unsafe-inline'") && !by_name && !strict)
}

fn allows_anything(sources: &[String]) -> bool {
    let anywhere = ["*", "http:", "https:", "data:", "http://*", "https://*"];
    !has(sources, "'strict-dynamic'") && sources.iter().any(|source| anywhere.contains(&source.as_str()))
}

/// Contents of `<meta http-equiv="Content-Security-Policy" content="...">`.
fn in_page(body: &str) -> impl Iterator<Item = String> {
    let lower = body.to_ascii_lowercase();
    let tags: Vec<String> = lower
        .match_indices("<meta")
        .filter_map(|(at, _)| {
            let tag = body.get(at..)?.split('>').next()?;
            let lower = tag.to_ascii_lowercase();
            (attribute(&lower, "http-equiv")? == "content-security-policy").then_some(())?;
            attribute(&lower, "content").map(str::to_owned)
        })
        .collect();
    tags.into_iter()
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let behind = tag.split_once(&[" ", name, "="].concat())?.1.trim_start();
    match behind.chars().next()? {
        quote @ ('"' | '\'') => behind.get(1..)?.split(quote).next(),
        _ => behind.split_ascii_whitespace().next(),
    }
}

fn framing(response: &Response, sent: &[Policy], issues: &mut Vec<Issue>) {
    let by_policy = sent.iter().filter_map(|policy| policy.get("frame-ancestors")).any(|sources| !has(sources, "*"));
    let options: Vec<String> = response.all("x-frame-options").map(str::to_ascii_lowercase).collect();
    let by_header = !options.is_empty() && options.iter().all(|value| value == "deny" || value == "sameorigin");
    if by_policy || by_header {
        return;
    }
    let message = match options.first() {
        None => "Any site may frame the page, and have its visitors click on it unawares.".to_owned(),
        Some(value) => format!("X-Frame-Options is `{value}`, which browsers ignore: any site may frame the page."),
    };
    issues.push(Issue {
        rule: "framing",
        title: "Any site may frame the page",
        severity: Severity::Medium,
        cwe: 1021,
        message,
        remediation: "Send `Content-Security-Policy: frame-ancestors 'none'` (or 'self'), and for old browsers \
                      `X-Frame-Options: DENY` (or SAMEORIGIN).",
        part: String::new(),
    });
}
