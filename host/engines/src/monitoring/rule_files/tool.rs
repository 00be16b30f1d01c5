//! What the command line does with rule files and their tests, without a daemon. Blocks on the disk.

use super::group::Group;
use super::unit;
use quarterdeck_config::{RuleFile, rule_file_in_part};
use quarterdeck_model::domain::rule_group::{RuleGroup, RulePolicies};
use std::collections::BTreeMap;
use std::path::Path;

/// Nobody writes more by hand, and programs split it.
const LARGEST: u64 = 64 << 20;

/// What a file came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rules, or tests, that the file holds.
    pub count: usize,
    /// With file, line and column where they have one; none: all is well.
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
}

/// Reads a rule file, with its queries and templates.
pub fn check(path: &Path) -> Report {
    match read(path) {
        Err(problems) => Report { problems, ..Report::default() },
        Ok(file) => {
            let count = file.groups.iter().map(|(_, group)| group.rules.len()).sum();
            let warnings = file.groups.iter().flat_map(|(key, group)| doubts(&file, key, group)).collect();
            Report { count, problems: Vec::new(), warnings }
        }
    }
}

/// A rule file whose groups can all be evaluated.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn read(path: &Path) -> Result<RuleFile, Vec<String>> {
    let text = text(path)?;
    let (file, problems) = rule_file_in_part(path, &text);
    let mut wrong: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    let Some(file) = file else { return Err(wrong) };
    for (key, group) in &file.groups {
        let mistakes = Group::read(key, group).err().unwrap_or_default();
        wrong.extend(
            mistakes.into_iter().map(|mistake| file.problem(key, &mistake.pointer, mistake.message).to_string()),
        );
    }
    if wrong.is_empty() { Ok(file) } else { Err(wrong) }
}

/// Runs a file of unit tests in promtool's format.
pub fn test(path: &Path, policies: &RulePolicies) -> Report {
    let failed = |problems| Report { problems, ..Report::default() };
    let file = match text(path).and_then(|text| unit::read(path, &text).map_err(|error| vec![error])) {
        Ok(file) => file,
        Err(problems) => return failed(problems),
    };
    let mut problems = Vec::new();
    let mut groups = Vec::new();
    let folder = path.parent().unwrap_or(Path::new(""));
    for pattern in &file.rule_files {
        match unit::matching(folder, pattern) {
            Ok(paths) => {
                for path in paths {
                    match read(&path) {
                        Ok(file) => groups.extend(file.groups),
                        Err(wrong) => problems.extend(wrong),
                    }
                }
            }
            Err(error) => problems.push(format!("{}: {pattern}: {error}", path.display())),
        }
    }
    if !problems.is_empty() {
        return failed(problems);
    }
    let count = file.count();
    match unit::run(&file, &groups, policies) {
        Ok(problems) => Report { count, problems, warnings: Vec::new() },
        Err(mistakes) => failed(
            mistakes
                .into_iter()
                .map(|(key, mistake)| format!("{key}{}: {}", mistake.pointer, mistake.message))
                .collect(),
        ),
    }
}

fn text(path: &Path) -> Result<String, Vec<String>> {
    let failed = |error: std::io::Error| vec![format!("{}: failed to read it: {error}", path.display())];
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LARGEST {
        return Err(vec![format!("{}: it has {size} bytes, more than the {LARGEST} that are read", path.display())]);
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Alerts of one group with the same name and labels: those who tell them can't tell them apart.
fn doubts(file: &RuleFile, key: &str, group: &RuleGroup) -> Vec<String> {
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut doubts = Vec::new();
    for (index, rule) in group.rules.iter().enumerate() {
        let Some(alert) = &rule.alert else { continue };
        let first = *seen.entry((alert, rule.labels.to_string())).or_insert(index);
        if first != index {
            let message = format!("`{alert}` has the labels of rule {}, too", first + 1);
            doubts.push(file.problem(key, &format!("/rules/{index}"), message).to_string());
        }
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_checked_with_its_queries_and_every_mistake_has_its_place() {
        let text =
            "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(\n  - alert: A\n    expr: up\n    for: x\n";
        let (folder, path) = written("bad.yml", text);
        let said = check(&path).problems.join("\n").replace(&format!("{}/", folder.path().display()), "");
        assert!(said.starts_with("bad.yml:5:11: rule-groups.\"bad/g\".rules[0].expr: invalid query: "), "{said}");
        assert!(said.contains("bad.yml:8:10: rule-groups.\"bad/g\".rules[1].for: expected a duration"), "{said}");
        let misspelt = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: sum(, sumary: x}\n";
        let (_folder, path) = written("both.yml", misspelt);
        let problems = check(&path).problems;
        assert!(problems.len() == 2, "a wrong key hides no wrong query: {problems:?}");
        let said = problems.join("\n");
        assert!(said.contains("invalid query") && said.contains("unknown key"), "{said}");
        let twice = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up}\n  - {alert: A, expr: down}\n";
        let (_folder, path) = written("twice.yml", twice);
        let report = check(&path);
        assert_eq!((report.count, report.problems.len(), report.warnings.len()), (2, 0, 1));
        assert!(report.warnings[0].contains("has the labels of rule 1, too"), "{report:?}");
        assert!(check(Path::new("/nowhere.yml")).problems[0].contains("failed to read it"));
    }

    #[test]
    fn a_file_that_was_named_by_mistake_is_not_printed() {
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "MIIEvQsecret".repeat(40));
        let within = format!("tests:\n- interval: 1m\n  input_series: \"{}\"\n", "MIIEvQsecret".repeat(40));
        for text in [key.as_str(), "hunter2\n", &within] {
            let (_folder, path) = written("key.pem", text);
            let said = [test(&path, &RulePolicies::default()).problems, check(&path).problems].concat().join("\n");
            assert!(!said.is_empty() && said.len() < 600, "{said}");
            assert!(!said.contains("MIIEvQsecretMIIEvQsecretMIIEvQsecret"), "{said}");
        }
        let (_folder, path) = written("password", "hunter2\n");
        let said = test(&path, &RulePolicies::default()).problems.join("\n");
        assert!(said.ends_with("it holds no unit tests; hint: there are `rule_files` and `tests` in one"), "{said}");
    }

    #[test]
    fn a_test_of_the_policies_finds_what_they_keep() {
        let test_file = "rule_files: [rules.yml]\ntests:\n- interval: 1m\n  input_series: [{series: x, values: 1 stale}]\n  \
            alert_rule_test:\n  - {eval_time: 0m, alertname: A, exp_alerts: [{}]}\n  - {eval_time: 1m, alertname: A}\n";
        let (folder, path) = written("test.yml", test_file);
        std::fs::write(folder.path().join("rules.yml"), "groups: [{name: g, rules: [{alert: A, expr: x > 0}]}]")
            .unwrap();
        let report = test(&path, &RulePolicies::prometheus());
        assert_eq!((report.count, report.problems), (2, vec![]));
        let kept = test(&path, &RulePolicies::default()).problems;
        assert!(kept.len() == 1 && kept[0].contains("time: 1m"), "{kept:?}");
        let (_folder, path) = written("broken.yml", "tests:\n- intervall: 1m\n");
        assert!(test(&path, &RulePolicies::default()).problems[0].contains("unknown field `intervall`"));
    }
}
