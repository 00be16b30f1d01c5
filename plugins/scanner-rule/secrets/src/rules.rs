//! The rules. Forms of tokens are those that their issuers document.

use crate::judge;
use quarterdeck_sdk::Severity;

/// How a kind of secret is recognised.
pub(crate) struct Rule {
    /// Behind `secrets/` in a finding.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) severity: Severity,
    /// One of them, in lower case, must be in the line.
    pub(crate) keywords: &'static [&'static str],
    /// It must be in the file, in lower case, where the form alone says too little.
    pub(crate) context: &'static str,
    /// The first group that takes part is the secret.
    pub(crate) pattern: &'static str,
    /// Bits per character that it must have at least.
    pub(crate) entropy: f64,
    /// What else must be true of it.
    pub(crate) check: fn(&str) -> bool,
    /// Found by what stands around it, not by its form.
    pub(crate) generic: bool,
}

const ANY: fn(&str) -> bool = |_| true;

const fn token(
    id: &'static str,
    title: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    entropy: f64,
) -> Rule {
    Rule { id, title, severity: Severity::High, keywords, context: "", pattern, entropy, check: ANY, generic: false }
}

pub(crate) const RULES: [Rule; 20] = [
    Rule {
        severity: Severity::Critical,
        ..token(
            "private-key",
            "A private key",
            &["private key"],
            r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----",
            0.0,
        )
    },
    Rule {
        severity: Severity::Critical,
        ..token(
            "aws-access-key",
            "An access key of AWS",
            &["akia", "asia", "abia", "acca"],
            r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b",
            3.0,
        )
    },
    Rule {
        severity: Severity::Critical,
        ..token(
            "aws-secret-key",
            "A secret access key of AWS",
            &["aws", "secret_access_key", "secretaccesskey"],
            r#"(?i)(?:aws|secret)[a-z0-9_.-]{0,40}["']?\s*(?:=|:|=>|,)\s*["']?([a-z0-9/+]{40})(?:[^a-z0-9/+=]|$)"#,
            4.0,
        )
    },
    Rule {
        severity: Severity::Critical,
        check: judge::github_checksum,
        ..token(
            "github-token",
            "A token of GitHub",
            &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
            r"\b(gh[pousr]_[A-Za-z0-9]{36})\b",
            3.0,
        )
    },
    Rule {
        severity: Severity::Critical,
        ..token(
            "github-fine-grained-token",
            "A fine-grained token of GitHub",
            &["github_pat_"],
            r"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
            3.0,
        )
    },
    Rule {
        severity: Severity::Critical,
        ..token(
            "gitlab-token",
            "A token of GitLab",
            &["glpat-"],
            r"\b(glpat-[A-Za-z0-9_-]{20,50})(?:[^A-Za-z0-9_-]|$)",
            3.0,
        )
    },
    token(
        "slack-token",
        "A token of Slack",
        &["xoxa-", "xoxb-", "xoxp-", "xoxo-", "xoxs-", "xoxr-", "xoxe-"],
        r"\b(xox[abposre]-(?:[0-9]+-){1,3}[A-Za-z0-9-]{18,})",
        2.5,
    ),
    token(
        "slack-webhook",
        "A webhook of Slack",
        &["hooks.slack.com"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+]{20,})",
        3.0,
    ),
    Rule {
        severity: Severity::Critical,
        ..token(
            "stripe-key",
            "A secret key of Stripe",
            &["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
            r"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,120})\b",
            3.0,
        )
    },
    token("google-api-key", "An API key of Google", &["aiza"], r"\b(AIza[A-Za-z0-9_-]{35})(?:[^A-Za-z0-9_-]|$)", 3.5),
    Rule {
        severity: Severity::Medium,
        check: judge::is_jwt,
        ..token(
            "jwt",
            "A JSON Web Token",
            &["eyj"],
            r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,})",
            3.0,
        )
    },
    token("npm-token", "A token of npm", &["npm_"], r"\b(npm_[A-Za-z0-9]{36})\b", 3.0),
    token(
        "pypi-token",
        "A token of PyPI",
        &["pypi-ageichlwas5vcmc"],
        r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})",
        3.0,
    ),
    token(
        "sendgrid-key",
        "An API key of SendGrid",
        &["sg."],
        r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)",
        3.5,
    ),
    Rule { context: "twilio", ..token("twilio-key", "An API key of Twilio", &["sk"], r"\b(SK[0-9a-f]{32})\b", 3.0) },
    token(
        "openai-key",
        "An API key of OpenAI",
        &["t3blbkfj"],
        r"\b(sk-(?:[A-Za-z0-9]+-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})",
        3.0,
    ),
    token("anthropic-key", "An API key of Anthropic", &["sk-ant-"], r"\b(sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,})", 3.0),
    Rule {
        check: judge::is_url_password,
        generic: true,
        ..token(
            "url-credentials",
            "A password in a URL",
            &["://"],
            r#"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@"'`<>]*:([^\s/@"'`<>]{3,100})@[A-Za-z0-9\[]"#,
            0.0,
        )
    },
    Rule {
        check: judge::is_key_like,
        generic: true,
        ..token(
            "api-key",
            "A key or token that is assigned",
            &["key", "token", "secret", "credential"],
            r#"(?i)(?:api[_.-]?key|access[_.-]?key|auth[_.-]?key|encryption[_.-]?key|signing[_.-]?key|secret|token|credentials?)[a-z0-9_.-]{0,20}["'`]?\s*(?:=>|:=|=|:)\s*(?:"([^"\s]{12,200})"|'([^'\s]{12,200})'|`([^`\s]{12,200})`|([a-z0-9_+/.=~-]{16,200})(?:[\s,;]|$))"#,
            3.5,
        )
    },
    Rule {
        check: judge::is_password_like,
        generic: true,
        ..token(
            "password",
            "A password that is assigned",
            &["passw", "pwd", "passphrase"],
            r#"(?i)(?:password|passwd|passphrase|pwd)[a-z0-9_.-]{0,10}["'`]?\s*(?:=>|:=|=|:)\s*(?:"([^"\s]{6,100})"|'([^'\s]{6,100})'|`([^`\s]{6,100})`|([^\s"'`,;#(){}\[\]<>]{8,100})(?:[\s,;#]|$))"#,
            2.3,
        )
    },
];
