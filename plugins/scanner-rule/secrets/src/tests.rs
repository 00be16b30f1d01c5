use super::*;
use quarterdeck_sdk::scanner_rule::File;
use quarterdeck_sdk::{Severity, serde_json};

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

fn scan_with(json: &str, content: &str) -> Vec<Finding> {
    let file = File { path: "app/settings.py".into(), content: content.as_bytes().to_vec() };
    Secrets::scan(&config(json), &[Subject::File(file)]).unwrap()
}

fn scan(content: &str) -> Vec<Finding> {
    scan_with("{}", content)
}

/// Rule and line of what was found.
fn found(content: &str) -> Vec<(String, u32)> {
    scan(content).into_iter().map(|f| (f.rule.trim_start_matches("secrets/").to_owned(), f.line)).collect()
}

/// Random enough, and the same in every run.
fn random(length: usize, alphabet: &str) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    (0..length).map(|_| alphabet[next() as usize % alphabet.len()]).collect()
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Put together here, so that no scanner finds them in this file.
fn samples() -> Vec<(&'static str, String)> {
    let of = |length| random(length, ALNUM);
    vec![
        ("aws-access-key", format!("AKIA{}", random(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))),
        ("aws-secret-key", format!("aws_secret_access_key = {}", of(40))),
        ("github-token", ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].concat()),
        ("github-fine-grained-token", format!("github_pat_{}_{}", of(22), of(59))),
        ("gitlab-token", format!("glpat-{}", of(20))),
        ("slack-token", format!("xoxb-{}-{}-{}", random(12, "0123456789"), random(12, "0123456789"), of(24))),
        ("slack-webhook", format!("https://hooks.slack.com/services/T{}/B{}/{}", of(8), of(8), of(24))),
        ("stripe-key", format!("sk_live_{}", of(24))),
        ("google-api-key", format!("AIza{}", of(35))),
        ("jwt", format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.{}", of(43))),
        ("npm-token", format!("npm_{}", of(36))),
        ("pypi-token", format!("pypi-AgEIcHlwaS5vcmc{}", of(80))),
        ("sendgrid-key", format!("SG.{}.{}", of(22), of(43))),
        ("twilio-key", format!("twilio SK{}", random(32, "0123456789abcdef"))),
        ("openai-key", format!("sk-{}T3BlbkFJ{}", of(20), of(20))),
        ("anthropic-key", format!("sk-ant-api03-{}", of(95))),
        ("url-credentials", format!("postgres://app:{}@db.internal/app", of(12))),
        ("api-key", format!("api_key = \"{}\"", random(32, "0123456789abcdef"))),
        ("api-key", format!("export SERVICE_TOKEN={}", of(32))),
        ("password", format!("password: \"{}\"", of(14))),
        ("password", format!("DB_PASSWORD={}", of(14))),
        ("private-key", format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", of(64))),
        ("private-key", format!("\"key\": \"-----BEGIN PRIVATE KEY-----\\n{}\\n\"", of(64))),
    ]
}

#[test]
fn every_rule_finds_its_secret_once_where_it_stands_and_masks_it() {
    for (rule, sample) in samples() {
        let findings = scan(&format!("# settings\n\n  {sample}\n"));
        let rules: Vec<_> = findings.iter().map(|finding| finding.rule.as_str()).collect();
        assert_eq!(rules, [format!("secrets/{rule}")], "{sample}");
        assert_eq!(findings[0].line, 3, "{sample}");
        assert!(findings[0].column > 0 && findings[0].cwe.is_some());
        for word in sample.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 12) {
            assert!(!findings[0].message.contains(word), "{}", findings[0].message);
        }
    }
    let rules: std::collections::BTreeSet<_> = samples().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules.len(), RULES.len(), "each rule has a sample");
}

#[test]
fn what_is_no_secret_is_left_alone() {
    let text = r#"
password = os.environ["DB_PASSWORD"]
password: ${DB_PASSWORD}
password = "changeme"
let password = config.database.password;
passwordField = document.getElementById("password")
password: str
api_key = "YOUR_API_KEY_GOES_HERE_1"
token = "{{ vault.token_1234567890 }}"
secret_name = "projects/prod/secrets/web"
key = "AKIAIOSFODNN7EXAMPLE"
secret: { "secretKeyRef": "name" }
url = "https://user:password@example.com/"
url = "https://example.com:8080/@scope/package"
-----BEGIN PRIVATE KEY-----
is how a key begins
commit = "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a"
token_count = 12345678901234567890
"#;
    assert_eq!(found(text), []);
}

#[test]
fn a_marked_line_and_an_allowed_text_are_left_out() {
    let line = &samples()[2].1;
    assert_eq!(found(&format!("{line} # quarterdeck:allow\n{line} // gitleaks:allow")), []);
    assert_eq!(scan_with(r#"{"allow": ["zQWBuTSO"]}"#, line), []);
    assert_eq!(scan_with(r#"{"allow": ["app/"]}"#, line), []);
    assert_eq!(scan_with(r#"{"disable": ["github-token"]}"#, line), []);
}

#[test]
fn a_fingerprint_does_not_change_when_lines_above_it_do() {
    for (_, sample) in samples() {
        let (here, moved) = (scan(&sample), scan(&format!("a\nb\n{sample}")));
        assert_eq!(here[0].fingerprint, moved[0].fingerprint, "{sample}");
        assert_eq!(here[0].fingerprint.len(), 32);
    }
}

#[test]
fn one_secret_in_two_places_is_one_finding_and_two_are_two() {
    let token = &samples()[2].1;
    assert_eq!(found(&format!("{token}\n{token}")), [("github-token".to_owned(), 1)]);
    let two = scan("password = \"Tr0ub4dor&3\"\npassword = \"c0rrectH0rse\"\n");
    assert_eq!(two.len(), 2);
    assert_ne!(two[0].fingerprint, two[1].fingerprint);
}

#[test]
fn the_fingerprint_of_a_password_tells_nothing_about_it() {
    let one = scan("password = \"Tr0ub4dor&3\"");
    let other = scan("password = \"c0rrectH0rse\"");
    assert_eq!(one[0].fingerprint, other[0].fingerprint);
}

#[test]
fn binary_files_and_text_that_is_not_utf_8_do_no_harm() {
    let file = |content: &[u8]| Subject::File(File { path: "x".into(), content: content.to_vec() });
    let token = samples()[2].1.clone();
    let binary = [b"\0\0", token.as_bytes()].concat();
    let latin = [b"caf\xe9 ", token.as_bytes(), b"\n\xff\xfe"].concat();
    let findings = Secrets::scan(&config("{}"), &[file(&binary), file(&latin)]).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].subject, 1);
}

#[test]
fn every_pattern_compiles_and_a_long_line_is_no_trouble() {
    for rule in &RULES {
        assert!(regex_lite::Regex::new(rule.pattern).is_ok(), "{}", rule.id);
        assert!(rule.keywords.iter().all(|keyword| keyword.to_lowercase() == *keyword), "{}", rule.id);
    }
    let long = "token password key aws secret :// eyJ ".repeat(5_000);
    assert!(scan(&long).len() <= 100);
}

#[test]
fn the_worst_are_critical_and_unknown_rules_are_named() {
    let severity = |content: &str| scan(content)[0].severity;
    assert_eq!(severity(&samples()[2].1), Severity::Critical);
    let problems = Secrets::validate(&config(r#"{"disable": ["jwt", "jwts"], "allow": [""]}"#));
    assert_eq!(problems.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), ["/disable/1", "/allow/0"]);
}

#[test]
fn files_of_others_are_not_asked_for() {
    let interest = Secrets::interests(&config(r#"{"exclude": ["**/fixtures/**"]}"#)).unwrap();
    assert_eq!(interest.kinds, [SubjectKind::File]);
    assert!(interest.exclude.iter().any(|glob| glob == "**/node_modules/**"));
    assert!(interest.exclude.iter().any(|glob| glob == "**/fixtures/**"));
}
