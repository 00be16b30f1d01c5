//! What is wrong with this subject?

use quarterdeck_sdk::scanner_rule::{Finding, Interest, ScannerRule, Subject, SubjectKind};
use quarterdeck_sdk::{Failure, Plugin, Severity};

quarterdeck_sdk::config! {
    /// What an instance is configured with.
    pub struct Config {
        /// The word that must not stand in a file. Unless given, FIXME.
        #[serde(default = "fixme")]
        pub word: String,
    }
}

fn fixme() -> String {
    "FIXME".to_owned()
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Words that must not stand in a file";
}

impl ScannerRule for {{type}} {
    fn interests(_config: &Config) -> Result<Interest, Failure> {
        Ok(Interest { kinds: vec![SubjectKind::File], max_bytes: 1 << 20, ..Interest::default() })
    }

    fn scan(config: &Config, subjects: &[Subject]) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            let Subject::File(file) = subject else { continue };
            let text = String::from_utf8_lossy(&file.content);
            for (number, line) in (1_u32..).zip(text.lines()).filter(|(_, line)| line.contains(&config.word)) {
                findings.push(Finding {
                    subject: index,
                    rule: "{{name}}/word".to_owned(),
                    title: "A word that must not stand there".to_owned(),
                    severity: Severity::Low,
                    message: format!("line {number} holds `{}`", config.word),
                    remediation: "do what it asks for, and take it out".to_owned(),
                    line: number,
                    column: 0,
                    cwe: None,
                    fingerprint: line.trim().to_owned(),
                });
            }
        }
        Ok(findings)
    }
}

quarterdeck_sdk::export!({{type}}: scanner_rule);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::scanner_rule::File;

    #[test]
    fn a_line_with_the_word_is_found() {
        let file = Subject::File(File { path: "a.txt".to_owned(), content: b"fine\nFIXME later\n".to_vec() });
        let findings = {{type}}::scan(&Config { word: fixme() }, &[file]).unwrap();
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }
}
