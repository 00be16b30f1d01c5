//! What a scan makes of the findings that are known, pure: `(known, seen, looked at, now) -> updates`.
//!
//! - Seen for the first time, or again after it was fixed: opened.
//! - Seen again: `last_seen` moves, and what the rule says about it is renewed.
//! - Not seen, although a rule that did not fail looked at its subject, or the subject is gone: fixed.
//! - A rule that failed, even on one batch, fixes nothing: it may just not have seen.
//! - Not seen because its file, which is there, could not be shown (it has grown too large, is not a text any more, or a link): it
//!   stays open and says so.
//! - What nobody will look at any more ends with the reason: the scan has the rule no longer (`rule removed`), or the rule went
//!   through everything and the subject was not among it (`no longer scanned`).
//!
//! The same content below two paths is two findings: with several paths, a finding's name ends in a hash of its own. One that got its
//! name otherwise (as the scan had a single path, or from an older version) keeps it, whatever the order of the paths.

use super::walk::is_below;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::scan::{Finding, FindingState, ScanSpec};
use quarterdeck_model::id::ScanId;
use quarterdeck_model::kind::scanner_rule::Reported;
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use quarterdeck_model::severity::Severity;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of each text that a rule reports.
const TEXT_BYTES: usize = 2 << 10;
const NAME_BYTES: usize = 256;

const RULE_REMOVED: &str = "rule removed";
const NO_LONGER_SCANNED: &str = "no longer scanned";

/// Something that a rule has reported, with the name of its subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) instance: InstanceName,
    pub(super) plugin: PluginRef,
    pub(super) subject: String,
    /// Which of the scan's paths it lies below; absent: a page.
    pub(super) root: Option<String>,
    pub(super) reported: Reported,
}

/// What the scan has seen, and where it has looked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sight {
    pub(super) seen: Vec<Seen>,
    /// Subjects by rule, of rules that did not fail.
    pub(super) looked: BTreeMap<InstanceName, BTreeSet<String>>,
    /// Subjects of known findings that are not there any more.
    pub(super) gone: BTreeSet<String>,
    /// Subjects of known findings that are there and could not be shown, by the rule that would have wanted to see them, and why.
    pub(super) not_looked_at: BTreeMap<InstanceName, BTreeMap<String, &'static str>>,
    /// All files below the paths were met, and all that rules wanted to see were read.
    pub(super) thorough: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Opened,
    Fixed,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    pub(super) finding: Finding,
    pub(super) news: Option<News>,
}

pub(super) fn merge(
    name: &str,
    scan: &ScanId,
    spec: &ScanSpec,
    known: Vec<Finding>,
    sight: Sight,
    now: Timestamp,
) -> Vec<Update> {
    let mut known: BTreeMap<String, Finding> = known.into_iter().map(|finding| (finding.id.clone(), finding)).collect();
    let mut updates: BTreeMap<String, Update> = BTreeMap::new();
    let mut met = BTreeSet::new();
    for seen in sight.seen {
        let names = Names::of(name, spec, &seen);
        if !met.insert((names.bare.clone(), seen.root.clone())) {
            // The first one of a fingerprint counts.
            continue;
        }
        let before = names.known(spec, seen.root.as_deref(), &mut known);
        let finding = finding(name, scan, seen, names.given, now);
        let update = match before {
            Some(before) => Update {
                news: (before.state == FindingState::Fixed).then_some(News::Opened),
                finding: Finding {
                    id: before.id,
                    fingerprint: before.fingerprint,
                    first_seen: before.first_seen,
                    ..finding
                },
            },
            None => Update { finding, news: Some(News::Opened) },
        };
        updates.insert(update.finding.id.clone(), update);
    }
    for (id, finding) in known.into_iter().filter(|(_, finding)| finding.state == FindingState::Open) {
        if let Some(reason) = abandoned(&finding, Some(spec)) {
            updates.insert(id, ended(finding, scan, Some(reason), now));
            continue;
        }
        let Some(subjects) = sight.looked.get(&finding.instance) else { continue };
        if subjects.contains(&finding.subject) || sight.gone.contains(&finding.subject) {
            updates.insert(id, ended(finding, scan, None, now));
        } else if let Some(reason) = sight.not_looked_at.get(&finding.instance).and_then(|of| of.get(&finding.subject))
        {
            let finding = Finding { not_looked_at: Some((*reason).to_owned()), ..finding };
            updates.insert(id, Update { finding, news: None });
        } else if sight.thorough && !spec.urls.contains(&finding.subject) {
            updates.insert(id, ended(finding, scan, Some(NO_LONGER_SCANNED), now));
        }
    }
    updates.into_values().collect()
}

/// What ends because the configuration does not speak of it any more; `spec`: of the scan that the findings are of, if there is one.
pub(super) fn retire(known: Vec<Finding>, spec: Option<&ScanSpec>, now: Timestamp) -> Vec<Update> {
    let open = known.into_iter().filter(|finding| finding.state == FindingState::Open);
    let abandoned = open.filter_map(|finding| abandoned(&finding, spec).map(|reason| (finding, reason)));
    abandoned
        .map(|(finding, reason)| {
            let scan = finding.scan.clone();
            ended(finding, &scan, Some(reason), now)
        })
        .collect()
}

fn abandoned(finding: &Finding, spec: Option<&ScanSpec>) -> Option<&'static str> {
    let Some(spec) = spec else { return Some(NO_LONGER_SCANNED) };
    if !spec.rules.contains(&finding.instance) {
        return Some(RULE_REMOVED);
    }
    let covered = spec.urls.contains(&finding.subject) || is_below(&spec.paths, &finding.subject);
    (!covered).then_some(NO_LONGER_SCANNED)
}

fn ended(finding: Finding, scan: &ScanId, reason: Option<&str>, now: Timestamp) -> Update {
    let resolution = reason.map(str::to_owned);
    let finding = Finding {
        state: FindingState::Fixed,
        scan: scan.clone(),
        resolution,
        resolved_at: Some(now),
        not_looked_at: None,
        ..finding
    };
    Update { finding, news: Some(News::Fixed) }
}

/// How many of each severity are open among the updates: what the scan has seen.
pub(super) fn count(updates: &[Update]) -> BTreeMap<Severity, u64> {
    let mut counts = BTreeMap::new();
    let seen = |update: &&Update| update.finding.state == FindingState::Open && update.finding.not_looked_at.is_none();
    for update in updates.iter().filter(seen) {
        *counts.entry(update.finding.severity).or_insert(0) += 1;
    }
    counts
}

/// How many are open that could not be looked at.
pub(super) fn not_looked_at(updates: &[Update]) -> u64 {
    let count = updates.iter().filter(|update| update.finding.not_looked_at.is_some()).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The ids that a finding may have.
struct Names {
    bare: String,
    /// Of its path.
    scoped: String,
    /// What it is called if it is not known yet.
    given: String,
}

impl Names {
    fn of(name: &str, spec: &ScanSpec, seen: &Seen) -> Self {
        let bare = format!("{name}/{}/{}", seen.instance, short(&seen.reported.fingerprint, NAME_BYTES));
        let scoped = seen.root.as_ref().map_or_else(|| bare.clone(), |root| format!("{bare}{}", scope(root)));
        let given = if spec.paths.len() > 1 { scoped.clone() } else { bare.clone() };
        Names { bare, scoped, given }
    }

    /// Takes the finding out of those that are known. With several paths, one without a hash in its name is the one that was found
    /// below the same path.
    fn known(&self, spec: &ScanSpec, root: Option<&str>, known: &mut BTreeMap<String, Finding>) -> Option<Finding> {
        if let Some(found) = known.remove(&self.scoped) {
            return Some(found);
        }
        let finding = known.get(&self.bare)?;
        let same = spec.paths.len() < 2 || root.is_some_and(|root| is_below(&[root.to_owned()], &finding.subject));
        if same { known.remove(&self.bare) } else { None }
    }
}

fn scope(root: &str) -> String {
    let hash: String = Sha256::digest(root.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("-{hash}")
}

fn finding(name: &str, scan: &ScanId, seen: Seen, id: String, now: Timestamp) -> Finding {
    let Seen { instance, plugin, subject, root: _, reported } = seen;
    let fingerprint = id.strip_prefix(&format!("{name}/{instance}/")).unwrap_or(&id).to_owned();
    Finding {
        id,
        scan: scan.clone(),
        scan_name: name.to_owned(),
        instance,
        rule: short(&reported.rule, NAME_BYTES),
        title: short(&reported.title, NAME_BYTES),
        severity: reported.severity,
        message: short(&reported.message, TEXT_BYTES),
        remediation: short(&reported.remediation, TEXT_BYTES),
        subject,
        line: reported.line,
        column: reported.column,
        cwe: reported.cwe,
        fingerprint,
        state: FindingState::Open,
        resolution: None,
        resolved_at: None,
        not_looked_at: None,
        first_seen: now,
        last_seen: now,
        plugin,
    }
}

fn short(text: &str, bytes: usize) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= bytes).then_some(c)
        })
        .collect()
}

#[cfg(test)]
mod tests;
