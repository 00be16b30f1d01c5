//! What is left without the parts that are wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quarterdeck_config::{Base, Loaded, Source};

const THREE_DAYS: u64 = 3 * 86_400;

/// What is left of a folder with that main file and that file of rules.
fn rest(main: &str, rules: &str) -> (Vec<String>, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("quarterdeck.toml"), main).unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/own.yml"), rules).unwrap();
    let base = Base::read(Source { dir: Some(folder.path().to_owned()), ..Source::default() });
    let wrong = base.with(&[]).err().map(|problems| problems.0).unwrap_or_default();
    (wrong.into_iter().map(|problem| problem.pointer).collect(), base.rest(&[]).unwrap())
}

const RULES: &str = "groups:
- name: own
  rules:
  - {record: 'a:b', expr: 'sum('}
  - {record: 'a:c', alert: X, expr: up}
  - {alert: Down, expr: up == 0, nonsense: 1}
";

#[test]
fn what_is_wrong_goes_with_what_names_it_and_the_rest_stays_where_it_was() {
    let main = "
kep-events = 5
[storage]
keep-events = 7
keep-samples = '3d'
[instances.\"http-probe/good\"]
plugin = \"http-probe\"
[instances.\"http-probe/bad\"]
plugin = 7
[instances.\"threshold/bad\"]
plugin = \"threshold\"
every = \"often\"
[rules.watched]
detector = \"threshold/bad\"
select = { metric = \"up\" }
[alerting.route]
receiver = \"ops\"
[alerting.receivers.other]
notify = []
";
    let (wrong, rest) = rest(main, RULES);
    for pointer in
        ["/kep-events", "/storage/keep-events", "/instances/http-probe~1bad/plugin", "/alerting/route/receiver"]
    {
        assert!(wrong.iter().any(|found| found == pointer), "{pointer}: {wrong:?}");
    }
    let settings = &rest.settings;
    assert!(settings.instances.contains_key(&"http-probe/good".into()));
    assert!(!settings.instances.contains_key(&"http-probe/bad".into()));
    // Nobody is told that a detector is missing that is only wrong.
    assert!(!settings.rules.contains_key("watched") && !wrong.iter().any(|found| found.starts_with("/rules/watched")));
    assert_eq!(settings.storage.keep_samples.as_duration().as_secs(), THREE_DAYS);
    assert!(settings.alerting.route.is_none() && settings.alerting.receivers.contains_key("other"));
    // The rule that only somebody who reads queries can refuse is there, at its place.
    let (name, group) = settings.rule_groups.iter().find(|(_, group)| group.rules.len() == 3).unwrap();
    assert_eq!(group.rules.first().unwrap().expr, "sum(");
    assert_eq!(group.rules.last().unwrap().expr, "0");
    let at = format!("/rule-groups/{}/rules/0/expr", name.replace('/', "~1"));
    assert!(rest.place(&at).contains("own.yml:4:"), "{}", rest.place(&at));
}

#[test]
fn of_a_configuration_in_which_nothing_is_wrong_all_is_left() {
    let (wrong, rest) = rest("[storage]\nkeep-samples = '3d'\n", "groups: []\n");
    assert_eq!((wrong, rest.settings.storage.keep_samples.as_duration().as_secs()), (Vec::new(), THREE_DAYS));
}
