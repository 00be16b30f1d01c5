//! What the rules of one scan say about its subjects. Reads files and pages, calls plugins, writes nothing.
//!
//! Files are read once, in groups of at most 1 MiB (a single larger file is a group of its own), and each group is shown to
//! every rule that wants some of it. So the memory that a scan takes does not grow with what it looks at.

use super::findings::{Seen, Sight};
use super::walk::{self, Content, Entry, Limits};
use crate::Context;
use globset::{Glob, GlobSet, GlobSetBuilder};
use quarterdeck_model::domain::scan::{FailedRule, ScanSpec};
use quarterdeck_model::kind::scanner_rule::{Interest, Reported, Subject, SubjectKind};
use quarterdeck_model::plugin::{CallError, CallFailed, InstanceName, InstanceState, PluginRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const GROUP_BYTES: u64 = 1 << 20;
const GROUP_FILES: usize = 1000;
/// Whatever a rule would take.
const FILE_BYTES: u64 = 8 << 20;
const PAGE_BYTES: usize = 64 << 10;
const LIMITS: Limits = Limits { files: 100_000, bytes: 4 << 30 };
/// The origin that pages are asked as, a second time, to see whom they let read their answers. Nobody's: `.invalid` is reserved for
/// that (RFC 2606). Rules know it: a server that names it names whoever asks.
const STRANGER: &str = "https://stranger.quarterdeck.invalid";
/// Findings of one rule in one scan.
const FINDINGS: usize = 10_000;
/// Why a file was not shown.
const TOO_LARGE: &str = "it is too large";
const NO_TEXT: &str = "it is not a text";
const NO_FILE: &str = "it is no plain file";
const NOT_ASKED_FOR: &str = "no rule asks for it";
const UNREADABLE: &str = "it can't be read";
/// A rule that fails on so many groups is not asked about the rest.
const FAILURES: usize = 3;
/// One that misbehaves on so many single subjects, neither.
const BAD: usize = 20;
const ERRORS: usize = 50;
/// A plugin that is being compiled, as after the very first start, is waited for.
const PLUGIN_WITHIN: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) sight: Sight,
    pub(super) files: u64,
    pub(super) urls: u64,
    /// Files that were not shown to any rule, by the reason.
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) plugins: Vec<PluginRef>,
    pub(super) errors: Vec<String>,
    pub(super) failed: Vec<FailedRule>,
    /// Pages that were fetched.
    pub(super) pages: Vec<String>,
    /// Not one rule could be asked, or not one subject could be had.
    pub(super) nothing: bool,
}

impl Examined {
    fn skip(&mut self, why: &str) {
        *self.skipped.entry(why.to_owned()).or_default() += 1;
    }
}

struct Rule {
    instance: InstanceName,
    plugin: PluginRef,
    interest: Interest,
    include: GlobSet,
    exclude: GlobSet,
    looked: BTreeSet<String>,
    /// Subjects of known findings that it would have looked at, and why it could not.
    missed: BTreeMap<String, &'static str>,
    seen: Vec<Seen>,
    failures: usize,
    /// Subjects that made it misbehave, or are not offered to it.
    bad: usize,
    errors: Vec<String>,
    /// The version that the first failed call ran on.
    failed: Option<PluginRef>,
}

/// Something to look at, with the name that people know it by.
struct Shown {
    subject: Subject,
    name: String,
    root: Option<String>,
}

/// `known`: subjects of findings that are open.
pub(super) async fn examine(context: &Context, spec: &ScanSpec, known: BTreeSet<String>) -> Examined {
    let mut examined = Examined::default();
    let known = Arc::new(known);
    let mut rules = Vec::new();
    for instance in &spec.rules {
        ready(context, instance).await;
        match Rule::ask(context, instance).await {
            Ok(rule) => rules.push(rule),
            Err(failed) => {
                examined.errors.push(failed.error.clone());
                examined.failed.push(failed);
            }
        }
    }
    if !rules.is_empty() {
        let before = examined.errors.len();
        files(context, spec, &known, &mut rules, &mut examined).await;
        examined.sight.thorough = examined.errors.len() == before;
        pages(context, spec, &mut rules, &mut examined).await;
        let roots = spec.paths.clone();
        let missing = tokio::task::spawn_blocking(move || walk::gone(&roots, known.iter().cloned().collect()));
        match missing.await {
            Ok(missing) => examined.sight.gone = missing.into_iter().collect(),
            Err(failure) => examined.errors.push(format!("the scan's files can't be compared: {failure}")),
        }
    }
    let looked = rules.iter().any(|rule| !rule.looked.is_empty());
    let had = examined.files + examined.urls > 0;
    examined.nothing = rules.is_empty() || (!examined.errors.is_empty() && !had) || (had && !looked);
    for rule in rules {
        if let Some(error) = rule.errors.first().cloned() {
            let plugin = Some(rule.failed.unwrap_or_else(|| rule.plugin.clone()));
            examined.failed.push(FailedRule { instance: rule.instance.clone(), plugin, error });
        }
        examined.plugins.push(rule.plugin);
        if rule.errors.is_empty() {
            examined.sight.not_looked_at.insert(rule.instance.clone(), rule.missed);
            examined.sight.looked.insert(rule.instance, rule.looked);
        }
        examined.sight.seen.extend(rule.seen);
        examined.errors.extend(rule.errors);
    }
    examined.plugins.dedup();
    let more = examined.errors.len().saturating_sub(ERRORS);
    if more > 0 {
        examined.errors.truncate(ERRORS);
        examined.errors.push(format!("and {more} more"));
    }
    examined
}

/// Waits for a plugin that is configured and not there yet.
async fn ready(context: &Context, instance: &InstanceName) {
    let deadline = Instant::now() + PLUGIN_WITHIN;
    let missing = || context.registry.instance(instance).is_some_and(|i| i.state == InstanceState::MissingPlugin);
    while missing() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Rule {
    async fn ask(context: &Context, instance: &InstanceName) -> Result<Self, FailedRule> {
        let failed =
            |plugin: Option<PluginRef>, error: String| FailedRule { instance: instance.clone(), plugin, error };
        let called = context.plugins.scanner_rule.interests(instance, context.now()).await;
        let called = called.map_err(|error| failed(error.plugin.clone(), format!("rule `{instance}`: {error}")))?;
        let unusable = |error: String| failed(Some(called.plugin.clone()), error);
        let globs = |patterns: &[String]| -> Result<GlobSet, String> {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                let glob = Glob::new(pattern);
                set.add(glob.map_err(|error| format!("rule `{instance}` asks for a pattern that is none: {error}"))?);
            }
            set.build().map_err(|error| format!("rule `{instance}` asks for patterns that are too large: {error}"))
        };
        let include = globs(&called.value.include).map_err(unusable)?;
        let exclude = globs(&called.value.exclude).map_err(unusable)?;
        Ok(Rule {
            instance: instance.clone(),
            plugin: called.plugin,
            include,
            exclude,
            interest: called.value,
            looked: BTreeSet::new(),
            missed: BTreeMap::new(),
            seen: Vec::new(),
            failures: 0,
            bad: 0,
            errors: Vec::new(),
            failed: None,
        })
    }

    fn takes(&self, kind: SubjectKind) -> bool {
        self.interest.kinds.contains(&kind) && self.failures < FAILURES
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.covers(entry) && entry.bytes <= self.interest.max_bytes
    }

    /// Whether it would look at the file, were it not too large.
    fn covers(&self, entry: &Entry) -> bool {
        self.takes(SubjectKind::File)
            && (self.interest.include.is_empty() || self.include.is_match(&entry.relative))
            && !self.exclude.is_match(&entry.relative)
    }

    /// The file is there, and is not shown to the rule.
    fn miss(&mut self, known: &BTreeSet<String>, entry: &Entry, why: &'static str) {
        if known.contains(&entry.subject) && self.covers(entry) {
            self.missed.insert(entry.subject.clone(), why);
        }
    }

    /// Shows the rule what is given, in calls of at most 1 MiB.
    async fn scan(&mut self, context: &Context, shown: Vec<Shown>) {
        let mut call = Vec::new();
        let mut bytes = 0;
        for one in shown {
            let size = size(&one.subject);
            if bytes + size > GROUP_BYTES && !call.is_empty() {
                self.call(context, std::mem::take(&mut call)).await;
                bytes = 0;
            }
            bytes += size;
            call.push(one);
        }
        if !call.is_empty() {
            self.call(context, call).await;
        }
    }

    /// Where a call makes the plugin misbehave, or part of it is not offered, its halves are asked about by themselves: one bad subject
    /// does not hide the others.
    async fn call(&mut self, context: &Context, shown: Vec<Shown>) {
        let mut waiting = vec![shown];
        while let Some(shown) = waiting.pop().filter(|_| self.failures < FAILURES && self.bad < BAD) {
            if let Some(mut shown) = self.ask_about(context, shown).await {
                let second = shown.split_off(shown.len() / 2);
                waiting.extend([second, shown]);
            }
        }
    }

    /// Gives back several subjects of which one may be to blame.
    async fn ask_about(&mut self, context: &Context, shown: Vec<Shown>) -> Option<Vec<Shown>> {
        let (count, name) = (shown.len(), shown.first().map(|one| one.name.clone()).unwrap_or_default());
        let subjects: Vec<_> = shown.iter().map(|one| one.subject.clone()).collect();
        // Rules are pure: a call writes and publishes nothing.
        match context.plugins.scanner_rule.scan(&self.instance, &subjects, context.now()).await {
            Ok(called) => {
                let names: Vec<_> = shown.into_iter().map(|one| (one.name, one.root)).collect();
                self.plugin = called.plugin;
                for reported in called.value {
                    self.report(reported, &names);
                }
                self.looked.extend(names.into_iter().map(|(name, _)| name));
            }
            Err(CallFailed { error, plugin }) => {
                let is_of_input = error.is_misbehaviour() || matches!(error, CallError::Unavailable { .. });
                if is_of_input && count > 1 {
                    return Some(shown);
                }
                if self.errors.is_empty() {
                    self.failed = plugin;
                }
                if is_of_input {
                    self.bad += 1;
                    self.errors.push(format!("rule `{}` about `{name}`: {error}", self.instance));
                } else {
                    self.failures += 1;
                    self.errors.push(format!("rule `{}`: {error}", self.instance));
                }
            }
        }
        None
    }

    fn report(&mut self, reported: Reported, names: &[(String, Option<String>)]) {
        let Some((subject, root)) = names.get(reported.subject) else {
            self.failures += 1;
            self.errors.push(format!("rule `{}` reported something about a subject that there is not", self.instance));
            return;
        };
        if self.seen.len() >= FINDINGS {
            if self.errors.is_empty() {
                self.errors.push(format!("rule `{}` reported more than {FINDINGS} findings", self.instance));
            }
            return;
        }
        self.seen.push(Seen {
            instance: self.instance.clone(),
            plugin: self.plugin.clone(),
            subject: subject.clone(),
            root: root.clone(),
            reported,
        });
    }
}

fn size(subject: &Subject) -> u64 {
    let bytes = match subject {
        Subject::File { path, content } => path.len() + content.len(),
        Subject::HttpResponse { url, headers, body, .. } => {
            url.len() + body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

async fn files(
    context: &Context,
    spec: &ScanSpec,
    known: &Arc<BTreeSet<String>>,
    rules: &mut [Rule],
    examined: &mut Examined,
) {
    if spec.paths.is_empty() || !rules.iter().any(|rule| rule.takes(SubjectKind::File)) {
        return;
    }
    let (roots, of) = (spec.paths.clone(), known.clone());
    let walked = match tokio::task::spawn_blocking(move || walk::walk(&roots, &of, LIMITS)).await {
        Ok(walked) => walked,
        Err(failure) => return examined.errors.push(format!("the scan's files can't be listed: {failure}")),
    };
    if walked.skipped > 0 {
        examined.skipped.insert(NO_FILE.to_owned(), walked.skipped);
    }
    examined.errors.extend(walked.errors);
    for entry in &walked.others {
        rules.iter_mut().for_each(|rule| rule.miss(known, entry, NO_FILE));
    }
    let mut group = Vec::new();
    let mut bytes = 0;
    for entry in walked.entries {
        for rule in rules.iter_mut().filter(|rule| entry.bytes > rule.interest.max_bytes.min(FILE_BYTES)) {
            rule.miss(known, &entry, TOO_LARGE);
        }
        if entry.bytes > FILE_BYTES || !rules.iter().any(|rule| rule.wants(&entry)) {
            examined.skip(if entry.bytes > FILE_BYTES { TOO_LARGE } else { NOT_ASKED_FOR });
            continue;
        }
        if (bytes + entry.bytes > GROUP_BYTES || group.len() >= GROUP_FILES) && !group.is_empty() {
            show(context, spec, std::mem::take(&mut group), known, rules, examined).await;
            bytes = 0;
        }
        bytes += entry.bytes;
        group.push(entry);
    }
    if !group.is_empty() {
        show(context, spec, group, known, rules, examined).await;
    }
}

async fn show(
    context: &Context,
    spec: &ScanSpec,
    group: Vec<Entry>,
    known: &BTreeSet<String>,
    rules: &mut [Rule],
    examined: &mut Examined,
) {
    let read = tokio::task::spawn_blocking(move || {
        group.into_iter().map(|entry| (walk::read(&entry, FILE_BYTES), entry)).collect::<Vec<_>>()
    });
    let read = match read.await {
        Ok(read) => read,
        Err(failure) => return examined.errors.push(format!("the scan's files can't be read: {failure}")),
    };
    let mut texts = Vec::new();
    for (content, entry) in read {
        match content {
            Ok(Content::Text(content)) => texts.push((entry, content)),
            Ok(other) => {
                let why = match other {
                    Content::TooLarge => TOO_LARGE,
                    Content::Binary => NO_TEXT,
                    _ => NO_FILE,
                };
                examined.skip(why);
                rules.iter_mut().for_each(|rule| rule.miss(known, &entry, why));
            }
            Err(error) => {
                examined.skip(UNREADABLE);
                examined.errors.push(error);
            }
        }
    }
    examined.files += u64::try_from(texts.len()).unwrap_or(0);
    let asked = rules.iter_mut().map(|rule| {
        let wanted = texts.iter().filter(|(entry, _)| rule.wants(entry)).map(|(entry, content)| Shown {
            subject: Subject::File { path: entry.relative.clone(), content: content.clone() },
            name: entry.subject.clone(),
            root: spec.paths.get(entry.root).cloned(),
        });
        let wanted: Vec<_> = wanted.collect();
        rule.scan(context, wanted)
    });
    futures::future::join_all(asked).await;
}

async fn pages(context: &Context, spec: &ScanSpec, rules: &mut [Rule], examined: &mut Examined) {
    if !rules.iter().any(|rule| rule.takes(SubjectKind::HttpResponse)) {
        return;
    }
    for url in &spec.urls {
        let Some(origin) = origin(url) else {
            examined.errors.push(format!("`{url}` is not the address of a page; hint: `https://example.com/path`"));
            continue;
        };
        let page = match context.fetch.get(url, std::slice::from_ref(&origin), PAGE_BYTES, None).await {
            Ok(mut page) => {
                // What another site's script would be told, by an answer to one.
                if let Ok(other) = context.fetch.get(url, &[origin], 0, Some(STRANGER)).await {
                    page.headers.retain(|(name, _)| !is_cors(name));
                    page.headers.extend(other.headers.into_iter().filter(|(name, _)| is_cors(name)));
                }
                page
            }
            Err(error) => {
                examined.errors.push(format!("`{url}` can't be fetched: {error}"));
                continue;
            }
        };
        examined.urls += 1;
        examined.pages.push(url.clone());
        let asked = rules.iter_mut().filter(|rule| rule.takes(SubjectKind::HttpResponse)).map(|rule| {
            let subject = Subject::HttpResponse {
                url: url.clone(),
                status: page.status,
                headers: page.headers.clone(),
                body: page.body.iter().take(PAGE_BYTES).copied().collect(),
            };
            rule.scan(context, vec![Shown { subject, name: url.clone(), root: None }])
        });
        futures::future::join_all(asked).await;
    }
}

fn is_cors(name: &str) -> bool {
    name.starts_with("access-control-allow-")
}

/// Scheme, host and port of an address; `None` for one with a user's name in it, too.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let usual = matches!(scheme, "http" | "https") && !authority.is_empty() && !authority.contains('@');
    usual.then(|| format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_origin() {
        assert_eq!(origin("http://127.0.0.1:7700/x?y#z").as_deref(), Some("http://127.0.0.1:7700"));
        assert_eq!(origin("https://example.com?q").as_deref(), Some("https://example.com"));
        for bad in ["example.com", "ftp://example.com", "http://", "http://me@example.com/"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
