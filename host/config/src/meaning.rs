//! What a schema cannot say: names that must exist, be unique, be well-formed. Looks at the tree, so that it can say where, and
//! passes over what has the wrong shape, which was reported already.

use crate::place::push;
use crate::problem::{Problem, nearest};
use crate::tree::{Kind, Node};
use quarterdeck_model::domain::dashboard::{DashboardSpec, Panel};
use quarterdeck_model::domain::runbook::is_required;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::plugin::variables::never_set;
use quarterdeck_model::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Sections whose keys are names of objects that stand in URLs.
pub(crate) const NAMED: [&str; 7] = ["rules", "routes", "scans", "runbooks", "services", "slos", "dashboards"];

/// Series that a rule may expect.
const EXPECTED: usize = 1_000;

/// The scheduler's shortest interval.
const SHORTEST: Span = Span::from_millis(10);

pub(crate) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let mut check = Check { root, problems };
    check.names();
    check.groups();
    check.scrapes();
    check.references();
    check.alerting();
    check.runbooks();
    check.intervals();
    check.expectations();
    check.grants();
    check.exclusions();
    check.dashboards();
    check.minimums();
    check.log_filter();
}

/// Rule groups alone.
pub(crate) fn check_groups(root: &Node, problems: &mut Vec<Problem>) {
    Check { root, problems }.groups();
}

struct Check<'a> {
    root: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    /// Every object of a section, with its pointer.
    fn objects(&self, section: &str) -> Vec<(String, &'a str, &'a Node)> {
        let base = push("", section);
        let objects = self.root.get(section).into_iter().flat_map(Node::entries);
        objects.map(|(name, node)| (push(&base, name), name, node)).collect()
    }

    fn names(&mut self) {
        for (pointer, name, node) in self.objects("instances") {
            if !InstanceName::from(name).is_valid() {
                let message = format!("`{name}` is not a name for an instance");
                let hint = "write `<plugin>/<name>` in lower-case letters, digits and dashes, such as `http-probe/api`";
                self.problems.push(Problem::at(&node.key, &pointer, message).hint(hint));
            }
        }
        for section in NAMED {
            for (pointer, name, node) in self.objects(section) {
                let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                if name.is_empty() || name.len() > 100 || !name.chars().all(fits) {
                    let message = format!("`{name}` is not a name");
                    let hint = "write lower-case letters, digits and dashes, at most 100";
                    self.problems.push(Problem::at(&node.key, &pointer, message).hint(hint));
                }
            }
        }
    }

    /// Names of groups are Prometheus's: nearly anything.
    fn groups(&mut self) {
        for (pointer, name, node) in self.objects(crate::rule_file::SECTION) {
            if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
                let problem = Problem::at(&node.key, &pointer, format!("`{name}` is not a name"));
                self.problems.push(problem.hint("write one line of 200 bytes at most"));
            }
            for (index, rule) in node.get("rules").into_iter().flat_map(Node::items).enumerate() {
                let at = format!("{pointer}/rules/{index}");
                let said = |key: &str| rule.get(key).is_some_and(|name| name.text() != Some(""));
                let message = match (said("record"), said("alert")) {
                    (true, true) => "expected `record` or `alert`, found both",
                    (false, false) if matches!(rule.kind, Kind::Table(_)) => "expected `record` or `alert`",
                    _ => continue,
                };
                self.problems.push(Problem::at(&rule.place, &at, message));
            }
        }
    }

    /// Names of jobs are Prometheus's, too.
    fn scrapes(&mut self) {
        for (pointer, name, node) in self.objects(crate::scrape_file::SECTION) {
            if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
                let problem = Problem::at(&node.key, &pointer, format!("`{name}` is not a name"));
                self.problems.push(problem.hint("write one line of 200 bytes at most"));
            }
        }
    }

    fn references(&mut self) {
        for (section, key) in
            [("rules", "detector"), ("services", "target"), ("services", "strategy"), ("slos", "calculator")]
        {
            for (pointer, _, node) in self.objects(section) {
                self.refers(node.get(key), &push(&pointer, key), "instances", "instance");
            }
        }
        for (section, key) in [("routes", "notify"), ("scans", "rules")] {
            for (pointer, _, node) in self.objects(section) {
                self.each_refers(node.get(key), &push(&pointer, key), "instances", "instance");
            }
        }
        self.refers(self.root.at("/correlation/correlator"), "/correlation/correlator", "instances", "instance");
        for (pointer, _, node) in self.objects("rules") {
            self.refers(node.get("runbook"), &push(&pointer, "runbook"), "runbooks", "runbook");
        }
        for (pointer, _, node) in self.objects("instances") {
            let fallback = format!("{pointer}/delivery/fallback");
            self.refers(node.at("/delivery/fallback"), &fallback, "instances", "instance");
            self.each_refers(node.at("/grants/secret"), &format!("{pointer}/grants/secret"), "secrets", "secret");
            self.each_refers(node.at("/grants/reveal"), &format!("{pointer}/grants/reveal"), "secrets", "secret");
        }
    }

    /// Who is named in the tree of routes, and which times. An instance that is not there is a doubt: `doubts`.
    fn alerting(&mut self) {
        if let Some(root) = self.root.at("/alerting/route") {
            self.alert_route(root, "/alerting/route");
        }
        let maintenance = self.root.at("/alerting/maintenance").into_iter().flat_map(Node::entries);
        for (name, window) in maintenance {
            let pointer = format!("{}/time-intervals", push("/alerting/maintenance", name));
            self.each_of_alerting(window.get("time-intervals"), &pointer, "time-intervals", "time interval");
        }
    }

    fn alert_route(&mut self, route: &'a Node, pointer: &str) {
        if let Some(receiver) = route.get("receiver") {
            self.of_alerting(receiver, &push(pointer, "receiver"), "receivers", "receiver");
        }
        for key in ["mute-time-intervals", "active-time-intervals"] {
            self.each_of_alerting(route.get(key), &push(pointer, key), "time-intervals", "time interval");
        }
        for (index, below) in route.get("routes").into_iter().flat_map(Node::items).enumerate() {
            self.alert_route(below, &format!("{pointer}/routes/{index}"));
        }
    }

    fn each_of_alerting(&mut self, list: Option<&Node>, pointer: &str, section: &str, noun: &str) {
        for (index, item) in list.into_iter().flat_map(Node::items).enumerate() {
            self.of_alerting(item, &push(pointer, &index.to_string()), section, noun);
        }
    }

    fn of_alerting(&mut self, node: &Node, pointer: &str, section: &str, noun: &str) {
        let Some(name) = node.text() else { return };
        let declared = self.root.get("alerting").and_then(|alerting| alerting.get(section));
        if declared.is_some_and(|declared| declared.get(name).is_some()) {
            return;
        }
        let names = declared.into_iter().flat_map(Node::entries).map(|(name, _)| name);
        let hint = match nearest(name, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let declared = push(&push("/alerting", section), name);
                format!("declare it: `[{}]`", crate::place::key_path(&declared))
            }
        };
        self.problems.push(Problem::at(&node.place, pointer, format!("there is no {noun} `{name}`")).hint(hint));
    }

    fn each_refers(&mut self, list: Option<&Node>, pointer: &str, section: &str, noun: &str) {
        for (index, item) in list.into_iter().flat_map(Node::items).enumerate() {
            self.refers(Some(item), &push(pointer, &index.to_string()), section, noun);
        }
    }

    fn refers(&mut self, node: Option<&Node>, pointer: &str, section: &str, noun: &str) {
        let Some((node, name)) = node.and_then(|node| node.text().map(|name| (node, name))) else { return };
        let declared = self.root.get(section);
        if declared.is_some_and(|declared| declared.get(name).is_some()) {
            return;
        }
        let names = declared.into_iter().flat_map(Node::entries).map(|(name, _)| name);
        let hint = match nearest(name, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declare it: `[{}]`", crate::place::key_path(&push(&push("", section), name))),
        };
        self.problems.push(Problem::at(&node.place, pointer, format!("there is no {noun} `{name}`")).hint(hint));
    }

    fn runbooks(&mut self) {
        for (pointer, _, runbook) in self.objects("runbooks") {
            self.inputs(&pointer, runbook);
            self.triggers(&pointer, runbook);
            let Some(steps) = runbook.get("steps") else { continue };
            let base = push(&pointer, "steps");
            if steps.items().next().is_none() {
                self.problems.push(Problem::at(&steps.place, &base, "a runbook needs at least one step"));
            }
            let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
            for (index, step) in steps.items().enumerate() {
                let at = push(&base, &index.to_string());
                self.refers(step.get("action"), &push(&at, "action"), "instances", "instance");
                let Some((node, name)) = step.get("name").and_then(|node| node.text().map(|name| (node, name))) else {
                    continue;
                };
                if let Some(first) = seen.insert(name, node) {
                    let problem =
                        Problem::at(&node.place, &push(&at, "name"), format!("another step is called `{name}`"));
                    self.problems.push(problem.hint(format!("the first one is at {}", first.place)));
                }
            }
            for (index, step) in steps.items().enumerate() {
                let Some(target) = step.at("/on-failure/goto") else { continue };
                let Some(name) = target.text().filter(|name| !seen.contains_key(name)) else { continue };
                let problem = Problem::at(
                    &target.place,
                    &format!("{base}/{index}/on-failure/goto"),
                    format!("there is no step `{name}`"),
                );
                self.problems.push(match nearest(name, seen.keys().copied()) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
        }
    }

    /// A table with `required` is no default.
    fn inputs(&mut self, pointer: &str, runbook: &Node) {
        for (name, input) in runbook.get("inputs").into_iter().flat_map(Node::entries) {
            if input.get("required").is_some() && !is_required(&input.to_value()) {
                let problem = Problem::at(
                    &input.place,
                    &push(&format!("{pointer}/inputs"), name),
                    "expected a default, or `{ required = true }`",
                );
                self.problems.push(problem.hint("one with a default need not be given"));
            }
        }
    }

    /// What a trigger hands over, the runbook has to take.
    fn triggers(&mut self, pointer: &str, runbook: &Node) {
        let known: Vec<&str> =
            runbook.get("inputs").into_iter().flat_map(Node::entries).map(|(name, _)| name).collect();
        for (index, trigger) in runbook.get("on").into_iter().flat_map(Node::items).enumerate() {
            for (name, input) in trigger.get("inputs").into_iter().flat_map(Node::entries) {
                if known.contains(&name) {
                    continue;
                }
                let at = format!("{pointer}/on/{index}/inputs/{name}");
                let problem = Problem::at(&input.key, &at, format!("the runbook has no input `{name}`"));
                self.problems.push(match nearest(name, known.iter().copied()) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => problem.hint(format!(
                        "declare it: `inputs = {{ {name} = \"a default\" }}`, or `{{ required = true }}`"
                    )),
                });
            }
        }
    }

    fn intervals(&mut self) {
        for section in ["instances", "rules", "scans"] {
            for (pointer, _, node) in self.objects(section) {
                let Some(every) = node.get("every") else { continue };
                if every.text().and_then(Span::parse).is_some_and(|span| span < SHORTEST) {
                    let message = format!("expected {SHORTEST} or more, found {}", every.text().unwrap_or_default());
                    self.problems.push(Problem::at(&every.place, &push(&pointer, "every"), message));
                }
            }
        }
    }

    /// Series that rules expect: told from others by labels, none of them twice, none that the rule could not select.
    fn expectations(&mut self) {
        for (pointer, _, rule) in self.objects("rules") {
            let Some(list) = rule.get("expect") else { continue };
            let pointer = push(&pointer, "expect");
            let mut seen: BTreeMap<BTreeMap<&str, &str>, &Node> = BTreeMap::new();
            for (index, item) in list.items().enumerate() {
                let at = push(&pointer, &index.to_string());
                let problem = |place: &Node, at: &str, text: String| Problem::at(&place.place, at, text);
                if matches!(item.kind, Kind::Table(_)) && item.entries().next().is_none() {
                    let text = "expected labels that tell the series from others".to_owned();
                    self.problems.push(problem(item, &at, text).hint("write them as `{ host = \"a\" }`"));
                    continue;
                }
                for (name, value) in item.entries().filter_map(|(name, node)| Some((name, (node, node.text()?)))) {
                    let (node, text) = value;
                    let selected = rule.at("/select/labels").and_then(|labels| labels.get(name)).and_then(Node::text);
                    if text.is_empty() {
                        let text = "a label without a value tells no series from another".to_owned();
                        self.problems.push(problem(node, &push(&at, name), text));
                    } else if let Some(selected) = selected.filter(|selected| *selected != text) {
                        let text = format!("the rule selects only series with `{name}` = `{selected}`");
                        self.problems.push(problem(node, &push(&at, name), text));
                    }
                }
                let labels = item.entries().filter_map(|(name, node)| Some((name, node.text()?))).collect();
                if let Some(first) = seen.insert(labels, item) {
                    let problem = problem(item, &at, "this series is expected already".to_owned());
                    self.problems.push(problem.hint(format!("the first time at {}", first.place)));
                }
            }
            let count = list.items().count();
            if count > EXPECTED {
                let text = format!("expected {EXPECTED} series at most, found {count}");
                self.problems.push(Problem::at(&list.place, &pointer, text).hint("divide the rule by what it selects"));
            }
        }
    }

    fn grants(&mut self) {
        for (pointer, _, instance) in self.objects("instances") {
            for capability in ["exec", "process"] {
                let programs = instance.at(&format!("/grants/{capability}")).into_iter().flat_map(Node::items);
                for (index, program) in programs.enumerate() {
                    for (at, variable) in program.get("environment").into_iter().flat_map(Node::items).enumerate() {
                        let Some((name, why)) = variable.text().and_then(|name| Some((name, never_set(name)?))) else {
                            continue;
                        };
                        let at = format!("{pointer}/grants/{capability}/{index}/environment/{at}");
                        self.problems.push(Problem::at(&variable.place, &at, format!("{name:?} {why}")));
                    }
                    let Some(path) = program.get("program") else { continue };
                    if path.text().is_some_and(|text| !text.starts_with('/')) {
                        let at = format!("{pointer}/grants/{capability}/{index}/program");
                        let message = format!("expected an absolute path, found {:?}", path.text().unwrap_or_default());
                        self.problems.push(Problem::at(&path.place, &at, message));
                    }
                }
            }
        }
    }

    /// With less of these nothing works any more.
    fn minimums(&mut self) {
        for (pointer, least) in [
            ("/runtime/sandboxes", 2),
            ("/runtime/guest-threads", 1),
            ("/runtime/compile-memory-bytes", 64 << 20),
            ("/runtime/quarantine-after", 1),
            ("/events/stream-buffer", 1),
            ("/storage/max-series", 1),
            ("/api/body-limit-bytes", 1024),
        ] {
            let Some(node) = self.root.at(pointer) else { continue };
            let Kind::Scalar(value) = &node.kind else { continue };
            if value.as_u64().is_some_and(|value| value < least) {
                let message = format!("expected {least} or more, found {value}");
                self.problems.push(Problem::at(&node.place, pointer, message));
            }
        }
    }

    /// The common mistakes: a level that is none, a part without its level. What is between brackets is left to the log itself.
    fn log_filter(&mut self) {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        const POINTER: &str = "/log/filter";
        let Some((node, text)) = self.root.at(POINTER).and_then(|node| Some((node, node.text()?))) else { return };
        if text.contains(['[', '{']) {
            return;
        }
        for directive in text.split(',').map(str::trim) {
            let (part, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level.trim()));
            if known && !part.contains(['=', ' ']) {
                continue;
            }
            let message =
                format!("expected levels such as `info` or `info,quarterdeck_runtime=debug`, found {directive:?}");
            let problem = Problem::at(&node.place, POINTER, message);
            self.problems.push(match nearest(level, LEVELS) {
                Some(meant) if !known => problem.hint(format!("did you mean `{meant}`?")),
                _ => problem.hint(format!("levels are {}", LEVELS.join(", "))),
            });
        }
    }

    /// Whether the expressions can be read is for whoever knows PromQL.
    fn dashboards(&mut self) {
        for (pointer, _, dashboard) in self.objects("dashboards") {
            let Some(panels) = dashboard.get("panels") else { continue };
            self.some(panels, &push(&pointer, "panels"), DashboardSpec::PANELS);
            for (index, panel) in panels.items().enumerate() {
                let Some(queries) = panel.get("queries") else { continue };
                let at = format!("{pointer}/panels/{index}/queries");
                self.some(queries, &at, Panel::QUERIES);
                for (index, query) in queries.items().enumerate() {
                    if query.text().is_some_and(|text| text.trim().is_empty()) {
                        let problem =
                            Problem::at(&query.place, &format!("{at}/{index}"), "expected PromQL, found nothing");
                        self.problems.push(problem.hint("write an expression such as `cpu_usage_percent`"));
                    }
                }
            }
        }
    }

    fn some(&mut self, list: &Node, pointer: &str, most: usize) {
        let count = list.items().count();
        if matches!(list.kind, Kind::List(_)) && !(1..=most).contains(&count) {
            self.problems.push(Problem::at(&list.place, pointer, format!("expected 1 to {most}, found {count}")));
        }
    }

    fn exclusions(&mut self) {
        for (pointer, _, slo) in self.objects("slos") {
            for (index, exclusion) in slo.get("exclusions").into_iter().flat_map(Node::items).enumerate() {
                let time = |key: &str| exclusion.get(key).and_then(Node::text).and_then(Timestamp::parse);
                if let (Some(from), Some(to)) = (time("from"), time("to"))
                    && to <= from
                {
                    let at = format!("{pointer}/exclusions/{index}");
                    self.problems.push(Problem::at(
                        &exclusion.place,
                        &at,
                        format!("it ends at {to}, before it starts"),
                    ));
                }
            }
        }
    }
}

/// Names of one section, for the check of duplicates.
pub(crate) fn object_sections() -> BTreeSet<&'static str> {
    let others = ["instances", "secrets", crate::rule_file::SECTION, crate::scrape_file::SECTION];
    NAMED.into_iter().chain(others).collect()
}
