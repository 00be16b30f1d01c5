//! What is wrong with this subject?

use super::export;
use crate::bindings::scanner_rule::exports::quarterdeck::scanner_rule::scanner_rule as wit;
use crate::call::{Guest, Misfit, Reply, words};
use crate::decisions::Question;
use crate::plugin::Version;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::scanner_rule::{Interest, Reported, ScannerRule, Subject, SubjectKind};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName, Kind};
use std::borrow::Cow;
use std::sync::Arc;

#[async_trait]
impl ScannerRule for Runtime {
    async fn interests(&self, instance: &InstanceName, now: Timestamp) -> CallResult<Interest> {
        let request = Request::new(Kind::ScannerRule, instance).at(now);
        self.decide(request, Question::Interests, move |guest, version, config| {
            Box::pin(async move { self::interests(guest, &version, &config).await })
        })
        .await
    }

    async fn scan(&self, instance: &InstanceName, subjects: &[Subject], now: Timestamp) -> CallResult<Vec<Reported>> {
        let question = Question::Scan { subjects: Cow::Borrowed(subjects) };
        let subjects: Vec<wit::Subject> = subjects.iter().map(wit::Subject::from).collect();
        let request = Request::new(Kind::ScannerRule, instance).at(now).bytes(subjects.iter().map(size).sum());
        self.decide(request, question, move |guest, version, config| {
            Box::pin(async move { self::scan(guest, &version, &config, &subjects).await })
        })
        .await
    }
}

pub(super) async fn interests(guest: &mut Guest, version: &Arc<Version>, config: &str) -> Reply<Interest> {
    let rule = match export(version, |version| &version.exports.scanner_rule, Kind::ScannerRule) {
        Ok(pre) => pre.instantiate_async(&mut guest.store).await?,
        Err(error) => return Ok(Err(error)),
    };
    let rule = rule.quarterdeck_scanner_rule_scanner_rule();
    let result = rule.call_interests(&mut guest.store, config).await?;
    Ok(result.map_err(CallError::from).map(Interest::from))
}

pub(super) async fn scan(
    guest: &mut Guest,
    version: &Arc<Version>,
    config: &str,
    subjects: &[wit::Subject],
) -> Reply<Vec<Reported>> {
    let rule = match export(version, |version| &version.exports.scanner_rule, Kind::ScannerRule) {
        Ok(pre) => pre.instantiate_async(&mut guest.store).await?,
        Err(error) => return Ok(Err(error)),
    };
    let rule = rule.quarterdeck_scanner_rule_scanner_rule();
    let result = rule.call_scan(&mut guest.store, config, subjects).await?;
    let all = |findings: Vec<wit::Finding>| {
        findings.into_iter().map(|finding| reported(finding, subjects.len())).collect::<Result<_, _>>()
    };
    Ok(result.map_err(CallError::from).and_then(all))
}

fn size(subject: &wit::Subject) -> usize {
    match subject {
        wit::Subject::File(file) => file.content.len(),
        wit::Subject::HttpResponse(response) => {
            let headers: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            response.body.len() + headers
        }
    }
}

fn reported(finding: wit::Finding, subjects: usize) -> Result<Reported, CallError> {
    let subject = usize::try_from(finding.subject).ok().filter(|subject| *subject < subjects);
    Ok(Reported {
        subject: subject
            .ok_or_else(|| Misfit::error(format!("it reports on subject {} of {subjects}", finding.subject)))?,
        rule: finding.rule,
        title: words(finding.title),
        severity: finding.severity.into(),
        message: words(finding.message),
        remediation: words(finding.remediation),
        line: finding.line,
        column: finding.column,
        cwe: finding.cwe,
        fingerprint: finding.fingerprint,
    })
}

impl From<wit::Interest> for Interest {
    fn from(interest: wit::Interest) -> Self {
        let kinds = interest.kinds.into_iter().map(|kind| match kind {
            wit::SubjectKind::File => SubjectKind::File,
            wit::SubjectKind::HttpResponse => SubjectKind::HttpResponse,
        });
        Interest {
            kinds: kinds.collect(),
            include: interest.include,
            exclude: interest.exclude,
            max_bytes: interest.max_bytes,
        }
    }
}

impl From<&Subject> for wit::Subject {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::File { path, content } => {
                wit::Subject::File(wit::File { path: path.clone(), content: content.clone() })
            }
            Subject::HttpResponse { url, status, headers, body } => wit::Subject::HttpResponse(wit::HttpResponse {
                url: url.clone(),
                status: *status,
                headers: headers.clone(),
                body: body.clone(),
            }),
        }
    }
}
