use super::*;
use quarterdeck_model::plugin::Digest;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn seen(subject: &str, fingerprint: &str) -> Seen {
    Seen {
        instance: "secrets/default".into(),
        plugin: PluginRef { name: "secrets".into(), version: "1".into(), digest: Digest("d".into()) },
        subject: subject.to_owned(),
        root: subject.split('/').next().map(str::to_owned),
        reported: Reported {
            subject: 0,
            rule: "secrets/key".to_owned(),
            title: "a key".to_owned(),
            severity: Severity::High,
            message: "seen".to_owned(),
            remediation: "remove it".to_owned(),
            line: 3,
            column: 1,
            cwe: Some(798),
            fingerprint: fingerprint.to_owned(),
        },
    }
}

fn sight(seen: Vec<Seen>, looked: &[&str]) -> Sight {
    let subjects = looked.iter().map(|subject| (*subject).to_owned()).collect();
    Sight { seen, looked: [("secrets/default".into(), subjects)].into(), ..Sight::default() }
}

fn spec(rules: &[&str], paths: &[&str]) -> ScanSpec {
    serde_json::from_value(serde_json::json!({"rules": rules, "paths": paths, "urls": ["https://a.test/"]})).unwrap()
}

fn first() -> Vec<Finding> {
    let updates = merge(
        "repo",
        &ScanId::from("scan_1"),
        &spec(&["secrets/default"], &["a", "b"]),
        vec![],
        sight(vec![seen("a", "f1"), seen("b", "f2")], &["a", "b"]),
        at(1),
    );
    updates.into_iter().map(|update| update.finding).collect()
}

fn again(known: Vec<Finding>, sight: Sight) -> Vec<(String, FindingState, Option<News>)> {
    merge("repo", &ScanId::from("scan_2"), &spec(&["secrets/default"], &["a", "b"]), known, sight, at(2))
        .into_iter()
        .map(|update| (reported(&update.finding).to_owned(), update.finding.state, update.news))
        .collect()
}

/// The fingerprint as the rule gave it.
fn reported(finding: &Finding) -> &str {
    finding.fingerprint.split('-').next().unwrap()
}

use FindingState::{Fixed, Open};

#[test]
fn what_is_seen_for_the_first_time_is_opened() {
    let updates = merge(
        "repo",
        &ScanId::from("scan_1"),
        &spec(&["secrets/default"], &["a", "b"]),
        vec![],
        sight(vec![seen("a", "f1"), seen("a", "f1")], &["a"]),
        at(1),
    );
    let [update] = updates.as_slice() else { panic!("one of a fingerprint") };
    assert_eq!(update.news, Some(News::Opened));
    assert_eq!(update.finding.id, format!("repo/secrets/default/f1{}", scope("a")));
    assert_eq!((update.finding.first_seen, update.finding.last_seen), (at(1), at(1)));
    assert_eq!(count(&updates), [(Severity::High, 1)].into());
}

#[test]
fn what_is_seen_again_is_no_news_and_keeps_its_age() {
    let known = first();
    assert_eq!(again(known.clone(), sight(vec![seen("a", "f1")], &["a"])), [("f1".to_owned(), Open, None)]);
    let updates = merge(
        "repo",
        &ScanId::from("scan_2"),
        &spec(&["secrets/default"], &["a", "b"]),
        known,
        sight(vec![seen("a", "f1")], &["a"]),
        at(2),
    );
    assert_eq!((updates[0].finding.first_seen, updates[0].finding.last_seen), (at(1), at(2)));
}

#[test]
fn what_is_not_seen_any_more_is_fixed_only_where_somebody_looked() {
    assert_eq!(again(first(), sight(vec![], &["a"])), [("f1".to_owned(), Fixed, Some(News::Fixed))]);
    assert_eq!(again(first(), sight(vec![], &[])), [], "nobody looked");
    assert_eq!(again(first(), Sight::default()), [], "a rule that failed fixes nothing");
}

#[test]
fn what_was_in_a_file_that_is_gone_is_fixed() {
    let gone = Sight { gone: ["b".to_owned()].into(), ..sight(vec![], &[]) };
    assert_eq!(again(first(), gone.clone()), [("f2".to_owned(), Fixed, Some(News::Fixed))]);
    assert_eq!(again(first(), Sight { looked: BTreeMap::new(), ..gone }), [], "a rule that failed fixes nothing");
}

#[test]
fn what_comes_back_is_opened_again() {
    let updates = merge(
        "repo",
        &ScanId::from("scan_2"),
        &spec(&["secrets/default"], &["a", "b"]),
        first(),
        sight(vec![], &["a", "b"]),
        at(2),
    );
    let fixed: Vec<_> = updates.into_iter().map(|update| update.finding).collect();
    assert_eq!(again(fixed.clone(), sight(vec![], &["a", "b"])), [], "fixed once");
    assert_eq!(again(fixed, sight(vec![seen("a", "f1")], &["a"])), [("f1".to_owned(), Open, Some(News::Opened))]);
}

#[test]
fn a_rule_that_tells_stories_is_cut_short() {
    let mut long = seen("a", "f1");
    long.reported.message = "ä".repeat(100_000);
    let updates = merge(
        "repo",
        &ScanId::from("scan_1"),
        &spec(&["secrets/default"], &["a", "b"]),
        vec![],
        sight(vec![long], &["a"]),
        at(1),
    );
    assert_eq!(updates[0].finding.message.len(), 2048);
}

/// Fingerprints of what ends, with the reasons.
fn resolved(updates: Vec<Update>) -> Vec<(String, Option<String>)> {
    assert!(updates.iter().all(|update| update.news == Some(News::Fixed) && update.finding.state == Fixed));
    updates.into_iter().map(|update| (reported(&update.finding).to_owned(), update.finding.resolution)).collect()
}

#[test]
fn what_nobody_looks_at_any_more_ends_and_says_why() {
    let reason = |fingerprint: &str, reason: &str| (fingerprint.to_owned(), Some(reason.to_owned()));
    let end = |spec: &ScanSpec, sight: Sight| resolved(merge("repo", &ScanId::from("s"), spec, first(), sight, at(2)));
    let other = spec(&["other/default"], &["a", "b"]);
    assert_eq!(end(&other, Sight::default()), [reason("f1", "rule removed"), reason("f2", "rule removed")]);
    let narrower = spec(&["secrets/default"], &["a", "bb"]);
    assert_eq!(end(&narrower, Sight::default()), [reason("f2", "no longer scanned")]);
    // The rule took everything but `b`, and everything was met; or it may not have been.
    let both = spec(&["secrets/default"], &["a", "b"]);
    let kept = || sight(vec![seen("a", "f1")], &["a"]);
    let updates = merge("repo", &ScanId::from("s"), &both, first(), Sight { thorough: true, ..kept() }, at(2));
    let ended: Vec<_> = updates.into_iter().filter(|update| update.news.is_some()).collect();
    assert_eq!(resolved(ended), [reason("f2", "no longer scanned")]);
    assert!(
        merge("repo", &ScanId::from("s"), &both, first(), kept(), at(2)).iter().all(|update| update.news.is_none())
    );
    // Without a scan, and beside one.
    assert_eq!(resolved(retire(first(), Some(&narrower), at(2))), [reason("f2", "no longer scanned")]);
    assert_eq!(retire(first(), None, at(2)).len(), 2);
    assert_eq!(retire(first(), Some(&both), at(2)), []);
}

#[test]
fn a_page_that_could_not_be_fetched_keeps_its_findings() {
    let page = Finding { subject: "https://a.test/".to_owned(), ..first().remove(0) };
    let sight = Sight { thorough: true, ..sight(vec![], &[]) };
    assert_eq!(merge("repo", &ScanId::from("s"), &spec(&["secrets/default"], &[]), vec![page], sight, at(2)), []);
}

#[test]
fn what_could_not_be_shown_stays_open_and_says_so_until_somebody_looks_again() {
    let missed = [("b".to_owned(), "it is too large")].into();
    let sight_of = |seen, looked: &[&str]| Sight { thorough: true, ..sight(seen, looked) };
    let sight =
        Sight { not_looked_at: [("secrets/default".into(), missed)].into(), ..sight_of(vec![seen("a", "f1")], &["a"]) };
    let both = spec(&["secrets/default"], &["a", "b"]);
    let updates = merge("repo", &ScanId::from("s"), &both, first(), sight, at(2));
    assert!(updates.iter().all(|update| update.news.is_none() && update.finding.state == Open));
    assert_eq!((not_looked_at(&updates), count(&updates)), (1, [(Severity::High, 1)].into()));
    let known: Vec<_> = updates.into_iter().map(|update| update.finding).collect();
    let missed = known.iter().find(|finding| finding.subject == "b").unwrap();
    assert_eq!((missed.not_looked_at.as_deref(), missed.last_seen), (Some("it is too large"), at(1)));
    let seen_again = sight_of(vec![seen("a", "f1"), seen("b", "f2")], &["a", "b"]);
    let updates = merge("repo", &ScanId::from("s"), &both, known.clone(), seen_again, at(3));
    assert!(updates.iter().all(|update| update.news.is_none() && update.finding.not_looked_at.is_none()));
    assert_eq!(again(known, sight_of(vec![seen("a", "f1")], &["a", "b"])).last().unwrap().1, Fixed);
}

#[test]
fn the_order_of_the_paths_does_not_matter_and_old_names_are_kept() {
    // The same content below both.
    let both = || sight(vec![seen("a/x", "f"), seen("b/x", "f")], &["a/x", "b/x"]);
    let scan = |paths: &[&str], known: Vec<Finding>, sight: Sight| {
        let spec = spec(&["secrets/default"], paths);
        let updates = merge("repo", &ScanId::from("s"), &spec, known, sight, at(2));
        let news = updates.iter().filter(|update| update.news.is_some()).count();
        (updates.into_iter().map(|update| update.finding).collect::<Vec<_>>(), news)
    };
    let names = |findings: &[Finding]| {
        let named = findings.iter().map(|finding| (finding.subject.clone(), finding.fingerprint.clone()));
        named.collect::<BTreeMap<_, _>>()
    };
    let (alone, news) = scan(&["a"], vec![], sight(vec![seen("a/x", "f")], &["a/x"]));
    assert_eq!((alone[0].id.as_str(), news), ("repo/secrets/default/f", 1));
    // Another path is added, before it.
    let (added, news) = scan(&["b", "a"], alone, both());
    assert_eq!(news, 1);
    let expected = [("a/x".to_owned(), "f".to_owned()), ("b/x".to_owned(), format!("f{}", scope("b")))].into();
    assert_eq!(names(&added), expected);
    for paths in [["a", "b"], ["b", "a"]] {
        let mut turned = both();
        turned.seen.reverse();
        for sight in [both(), turned] {
            let (after, news) = scan(&paths, added.clone(), sight);
            assert_eq!((names(&after), news), (expected.clone(), 0), "{paths:?}");
        }
    }
    // One is taken out again.
    let (after, news) = scan(&["b"], added, sight(vec![seen("b/x", "f")], &["b/x"]));
    assert_eq!(news, 1, "the end of the other");
    assert_eq!(names(&after), expected);
}
