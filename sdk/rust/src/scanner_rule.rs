//! What is wrong with this subject?

use crate::{Failure, Plugin, Severity};

/// Judges files and HTTP responses. Pure: the same input gives the same output.
pub trait ScannerRule: Plugin {
    /// What the rule wants to see; asked once per scan.
    fn interests(config: &Self::Config) -> Result<Interest, Failure>;

    /// Called with as many subjects as fit in 1 MiB.
    fn scan(config: &Self::Config, subjects: &[Subject]) -> Result<Vec<Finding>, Failure>;
}

/// What a rule wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Files, responses, or both.
    pub kinds: Vec<SubjectKind>,
    /// Globs over a file's path below the scanned root; empty: all.
    pub include: Vec<String>,
    /// Globs, stronger than `include`.
    pub exclude: Vec<String>,
    /// Larger files are left out and counted.
    pub max_bytes: u64,
}

/// See [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A file below the scanned root.
    File,
    /// The answer of a page that was fetched.
    HttpResponse,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A file below the scanned root.
    File(File),
    /// The answer of a page that was fetched.
    HttpResponse(HttpResponse),
}

/// A file below the scanned root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the root, with `/` between its parts.
    pub path: String,
    /// All of it.
    pub content: Vec<u8>,
}

/// The answer of a page that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// As it was asked for.
    pub url: String,
    /// `200`.
    pub status: u16,
    /// In the order of the response; a name may stand more than once, in any case.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB.
    pub body: Vec<u8>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index into the subjects of the call.
    pub subject: usize,
    /// Stable, kebab-case: `secrets/aws-access-key`.
    pub rule: String,
    /// One line, the same for every finding of the rule.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, with secrets masked.
    pub message: String,
    /// What to do instead.
    pub remediation: String,
    /// From 1, 0 where there is none.
    pub line: u32,
    /// From 1, 0 where there is none.
    pub column: u32,
    /// CWE number, where there is one.
    pub cwe: Option<u32>,
    /// The same as long as the finding is the same, also when lines above it move.
    pub fingerprint: String,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{File, Finding, HttpResponse, Interest, ScannerRule, Subject, SubjectKind};
    use crate::bindings::scanner_rule::exports::quarterdeck::scanner_rule::scanner_rule as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        enum SubjectKind => wit::SubjectKind { File, HttpResponse }
    }
    mirror! {
        struct Interest => wit::Interest { kinds, include, exclude, max_bytes }
        struct wit::File => File { path, content }
        struct wit::HttpResponse => HttpResponse { url, status, headers, body }
    }

    impl Mirror<Subject> for wit::Subject {
        fn mirror(self) -> Subject {
            match self {
                wit::Subject::File(file) => Subject::File(file.mirror()),
                wit::Subject::HttpResponse(response) => Subject::HttpResponse(response.mirror()),
            }
        }
    }

    impl Mirror<wit::Finding> for Finding {
        fn mirror(self) -> wit::Finding {
            wit::Finding {
                subject: u32::try_from(self.subject).unwrap_or(u32::MAX),
                rule: self.rule,
                title: self.title,
                severity: self.severity.mirror(),
                message: self.message,
                remediation: self.remediation,
                line: self.line,
                column: self.column,
                cwe: self.cwe,
                fingerprint: self.fingerprint,
            }
        }
    }

    impl<P: ScannerRule> wit::Guest for Component<P> {
        fn interests(text: String) -> Result<wit::Interest, wit::Failure> {
            P::interests(&config::<P>(&text)?).map(Mirror::mirror).map_err(Mirror::mirror)
        }

        fn scan(text: String, subjects: Vec<wit::Subject>) -> Result<Vec<wit::Finding>, wit::Failure> {
            let subjects: Vec<Subject> = subjects.mirror();
            P::scan(&config::<P>(&text)?, &subjects).map(Mirror::mirror).map_err(Mirror::mirror)
        }
    }
}
