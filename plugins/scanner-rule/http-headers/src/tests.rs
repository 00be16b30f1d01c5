use super::*;
use quarterdeck_sdk::scanner_rule::HttpResponse;

const GOOD: [(&str, &str); 6] = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'self'; object-src 'none'; frame-ancestors 'none'"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Set-Cookie", "__Host-session=1; Path=/; Secure; HttpOnly; SameSite=Lax"),
];

fn scan(url: &str, headers: &[(&str, &str)], body: &str) -> Vec<Finding> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let response = HttpResponse { url: url.into(), status: 200, headers, body: body.as_bytes().to_vec() };
    HttpHeaders::scan(&Config { disable: Vec::new() }, &[Subject::HttpResponse(response)]).unwrap()
}

/// Rules that a good answer breaks when some headers are replaced (by nothing, if the value is empty).
fn rules(change: &[(&str, &str)]) -> Vec<String> {
    let replaced = |name: &str| change.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut headers: Vec<_> = GOOD.into_iter().filter(|(name, _)| !replaced(name)).collect();
    headers.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    named(scan("https://a.test/", &headers, ""))
}

fn named(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.rule.trim_start_matches("http-headers/").to_owned()).collect()
}

#[test]
fn a_good_answer_has_no_findings() {
    assert_eq!(rules(&[]), [""; 0]);
}

#[test]
fn a_bare_answer_lacks_everything() {
    let expected = ["framing", "csp-missing", "hsts-missing", "no-sniff", "referrer-policy-missing"];
    assert_eq!(named(scan("https://a.test/", &[], "")), expected);
    // Nobody heeds Strict-Transport-Security in the clear.
    assert!(!named(scan("http://a.test/", &[], "")).contains(&"hsts-missing".to_owned()));
}

#[test]
fn a_policy_is_judged_by_what_it_lets_run() {
    let check = |policy: &str, expected: &[&str]| {
        let policy = format!("{policy}; frame-ancestors 'self'");
        assert_eq!(rules(&[("Content-Security-Policy", &policy)]), expected, "{policy}");
    };
    check("script-src 'self'", &[]);
    check("default-src 'none'", &[]);
    check("img-src 'self'", &["csp-unsafe-inline"]);
    check("script-src 'self' 'unsafe-inline'", &["csp-unsafe-inline"]);
    check("script-src 'unsafe-inline' 'nonce-abc'", &[]);
    check("script-src 'unsafe-inline' 'sha256-abc'", &[]);
    check("default-src 'self' 'UNSAFE-EVAL'", &["csp-unsafe-eval"]);
    check("script-src https:", &["csp-wildcard"]);
    check("script-src https: 'unsafe-inline' 'strict-dynamic' 'nonce-abc'", &[]);
    // The first of two counts, and a script has to pass both policies.
    check("script-src 'self'; script-src *", &[]);
    check("script-src *, script-src 'self'", &[]);
}

#[test]
fn a_policy_that_only_reports_or_stands_in_the_page_is_told_apart() {
    let only = [("Content-Security-Policy", ""), ("Content-Security-Policy-Report-Only", "default-src 'self'")];
    assert_eq!(rules(&only), ["framing", "csp-report-only"]);
    let body =
        r#"<html><META http-equiv="Content-Security-Policy" content="default-src 'self'; frame-ancestors 'none'">"#;
    let headers: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != "Content-Security-Policy").collect();
    // In the page frame-ancestors has no effect.
    assert_eq!(named(scan("https://a.test/", &headers, body)), ["framing"]);
}

#[test]
fn framing_is_bounded_by_either_header() {
    let policy = ("Content-Security-Policy", "default-src 'self'");
    assert_eq!(rules(&[policy]), ["framing"]);
    assert_eq!(rules(&[policy, ("X-Frame-Options", "SAMEORIGIN")]), [""; 0]);
    assert_eq!(rules(&[policy, ("X-Frame-Options", "ALLOW-FROM https://b.test")]), ["framing"]);
    assert_eq!(rules(&[("Content-Security-Policy", "default-src 'self'; frame-ancestors *")]), ["framing"]);
}

#[test]
fn transport_security_needs_half_a_year() {
    let check = |value: &str, expected: &[&str]| {
        assert_eq!(rules(&[("Strict-Transport-Security", value)]), expected, "{value}");
    };
    check("max-age=15768000", &[]);
    check("includeSubDomains; MAX-AGE=\"31536000\"", &[]);
    check("max-age=600", &["hsts-short"]);
    check("includeSubDomains", &["hsts-invalid"]);
    check("max-age=soon", &["hsts-invalid"]);
}

#[test]
fn cookies_are_judged_by_what_they_are_for() {
    let check = |cookie: &str, expected: &[&str]| assert_eq!(rules(&[("Set-Cookie", cookie)]), expected, "{cookie}");
    check("theme=dark; Secure", &[]);
    check("theme=dark", &["cookie-secure"]);
    check("sessionid=1", &["cookie-secure", "cookie-http-only", "cookie-same-site"]);
    check("sessionid=1; secure; httponly; samesite=strict", &[]);
    check("csrftoken=1; Secure; SameSite=Lax", &[]);
    check("a=1; SameSite=None", &["cookie-secure", "cookie-same-site"]);
    check("a=1; Secure; SameSite=Sometimes", &["cookie-same-site"]);
    check("__Host-a=1; Secure; Domain=a.test; Path=/", &["cookie-prefix"]);
    check("__Secure-a=1", &["cookie-secure", "cookie-prefix"]);
    check("sessionid=; Max-Age=0", &[]);
    let severity = |cookie: &str| {
        scan(
            "https://a.test/",
            &[
                ("Content-Type", "a/b"),
                ("X-Content-Type-Options", "nosniff"),
                ("Strict-Transport-Security", "max-age=31536000"),
                ("Set-Cookie", cookie),
            ],
            "",
        )[0]
        .severity
    };
    assert_eq!(severity("sid=1; HttpOnly; SameSite=Lax"), Severity::High);
    assert_eq!(severity("theme=1"), Severity::Low);
}

#[test]
fn cors_that_is_open_to_everybody_is_named() {
    let check = |headers: &[(&str, &str)], expected: &[&str]| assert_eq!(rules(headers), expected);
    let origin = |value| ("Access-Control-Allow-Origin", value);
    let credentials = ("Access-Control-Allow-Credentials", "true");
    check(&[origin("https://b.test"), credentials], &[]);
    check(&[origin("*")], &["cors-public"]);
    check(&[origin("*"), credentials], &["cors-credentials"]);
    check(&[origin("null")], &["cors-null"]);
    check(&[origin("https://stranger.quarterdeck.invalid")], &["cors-reflected"]);
    let severity = |headers: &[(&str, &str)]| scan("http://a.test/", headers, "").last().unwrap().severity;
    let stranger = origin("https://stranger.quarterdeck.invalid");
    assert_eq!(severity(&[stranger]), Severity::Low);
    assert_eq!(severity(&[stranger, credentials]), Severity::High);
}

#[test]
fn referrers_versions_and_sniffing() {
    assert_eq!(rules(&[("Referrer-Policy", "unsafe-url")]), ["referrer-policy"]);
    assert_eq!(rules(&[("Referrer-Policy", "unsafe-url, strict-origin, new-thing")]), [""; 0]);
    assert_eq!(rules(&[("Server", "nginx")]), [""; 0]);
    assert_eq!(rules(&[("Server", "nginx/1.18.0"), ("X-Powered-By", "PHP/8.1")]), ["server-version"; 2]);
    assert_eq!(rules(&[("X-Content-Type-Options", "sniff")]), ["no-sniff"]);
}

#[test]
fn what_is_no_page_needs_no_policy() {
    let headers = [("content-type", "application/json"), ("x-content-type-options", "nosniff")];
    assert_eq!(named(scan("http://a.test/api", &headers, "{}")), [""; 0]);
}

#[test]
fn a_fingerprint_is_the_same_for_every_query_and_differs_between_cookies() {
    let cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=1")];
    let of = |url: &str| scan(url, &cookies, "").into_iter().map(|f| f.fingerprint).collect::<Vec<_>>();
    let prints = of("https://a.test/x?y=1");
    assert_eq!(prints, of("https://a.test/x?y=2"));
    let distinct: std::collections::BTreeSet<_> = prints.iter().collect();
    assert_eq!(distinct.len(), prints.len());
}

#[test]
fn rules_can_be_left_out_and_an_unknown_one_is_named() {
    let response = HttpResponse { url: "http://a".into(), status: 200, headers: Vec::new(), body: Vec::new() };
    let config = Config { disable: vec!["csp-missing".into(), "framing".into()] };
    let findings = HttpHeaders::scan(&config, &[Subject::HttpResponse(response)]).unwrap();
    assert_eq!(named(findings), ["no-sniff", "referrer-policy-missing"]);
    let problems = HttpHeaders::validate(&Config { disable: vec!["csp".into()] });
    assert_eq!(problems[0].message, "there is no rule `csp`");
}
