//! The tree of routes: which of them an alert takes, and why not the others. Pure.
//!
//! - A route matches if all of its matchers do. The root matches everything.
//! - Of the routes below one that matches, the first that matches is taken, and those behind it too if it says `continue`.
//! - Where none below matches, the route itself is taken.
//! - What a route does not say it has from the one above it; time intervals are its own.

use super::key::GroupId;
use quarterdeck_model::Span;
use quarterdeck_model::domain::alerting::{AlertRoute, AlertingSpec, Matcher, all_match};
use quarterdeck_model::label::Labels;
use std::collections::{BTreeSet, HashMap};

/// Groups by all labels.
const ALL: &str = "...";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    All,
    Labels(BTreeSet<String>),
}

/// A route with everything that it has from above.
#[derive(Clone, Debug)]
pub struct Route {
    /// As Alertmanager names it in group keys: the matchers of all routes from the root to this one.
    pub key: String,
    /// Stays the same over restarts and over changes of other routes.
    pub identity: String,
    pub receiver: String,
    pub group_by: GroupBy,
    pub group_wait: Span,
    pub group_interval: Span,
    pub repeat_interval: Span,
    pub matchers: Vec<Matcher>,
    pub goes_on: bool,
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
    below: Vec<usize>,
}

impl Route {
    /// The labels by which an alert is grouped here. One that it does not have is left out.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.iter().filter(|(name, _)| names.contains(*name)).collect(),
        }
    }

    pub fn group(&self, labels: &Labels) -> GroupId {
        GroupId::of(&self.identity, labels)
    }

    /// As Alertmanager writes it.
    pub fn group_key(&self, labels: &Labels) -> String {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}:{{{}}}", self.key, labels.join(", "))
    }
}

/// What became of an alert at a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is told from here.
    Taken,
    /// It matches, and is told from a route below.
    Passed,
    /// This matcher does not match.
    Refused(Matcher),
    /// A route before it was taken, and does not say `continue`.
    NotReached,
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    routes: Vec<Route>,
}

impl Tree {
    /// `None` where there is no root.
    pub fn new(spec: &AlertingSpec) -> Option<Self> {
        let root = spec.route.as_ref()?;
        let mut builder = Builder::default();
        let top = Route {
            key: String::new(),
            identity: String::new(),
            receiver: root.receiver.clone().unwrap_or_default(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Span::from_secs(30),
            group_interval: Span::from_secs(300),
            repeat_interval: Span::from_secs(4 * 3600),
            matchers: Vec::new(),
            goes_on: false,
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            below: Vec::new(),
        };
        builder.add(root, &top, true);
        Some(Tree { routes: builder.routes })
    }

    pub fn route(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// All of them, a route before those below it.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Indices of the routes that an alert takes.
    pub fn matching(&self, labels: &Labels) -> Vec<usize> {
        let mut taken = Vec::new();
        self.walk(0, labels, &mut taken);
        taken
    }

    fn walk(&self, index: usize, labels: &Labels, taken: &mut Vec<usize>) -> bool {
        let Some(route) = self.routes.get(index) else { return false };
        if !all_match(&route.matchers, labels) {
            return false;
        }
        let before = taken.len();
        for below in &route.below {
            let matched = self.walk(*below, labels, taken);
            if matched && self.routes.get(*below).is_some_and(|below| !below.goes_on) {
                break;
            }
        }
        if taken.len() == before {
            taken.push(index);
        }
        true
    }

    /// What became of the alert at each route, in their order.
    pub fn trace(&self, labels: &Labels) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::NotReached; self.routes.len()];
        self.look(0, labels, &mut verdicts);
        verdicts
    }

    fn look(&self, index: usize, labels: &Labels, verdicts: &mut [Verdict]) -> bool {
        let Some(route) = self.routes.get(index) else { return false };
        let refusing = route.matchers.iter().find(|matcher| !matcher.matches(labels)).cloned();
        let matches = refusing.is_none();
        let mut passed = false;
        if matches {
            for below in &route.below {
                let matched = self.look(*below, labels, verdicts);
                passed |= matched;
                if matched && self.routes.get(*below).is_some_and(|below| !below.goes_on) {
                    break;
                }
            }
        }
        if let Some(verdict) = verdicts.get_mut(index) {
            *verdict = match refusing {
                Some(matcher) => Verdict::Refused(matcher),
                None if passed => Verdict::Passed,
                None => Verdict::Taken,
            };
        }
        matches
    }
}

#[derive(Default)]
struct Builder {
    routes: Vec<Route>,
    /// How many routes have the same key and receiver.
    same: HashMap<(String, String), usize>,
}

impl Builder {
    fn add(&mut self, spec: &AlertRoute, above: &Route, is_root: bool) -> usize {
        let mut matchers = spec.matchers.clone();
        matchers.sort_by(|a, b| {
            (a.name(), a.value(), a.comparison().as_str()).cmp(&(b.name(), b.value(), b.comparison().as_str()))
        });
        let own = matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let key = if is_root { format!("{{{own}}}") } else { format!("{}/{{{own}}}", above.key) };
        let receiver = spec.receiver.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| above.receiver.clone());
        let count = self.same.entry((key.clone(), receiver.clone())).or_default();
        let identity = format!("{receiver}\u{0}{key}\u{0}{count}");
        *count += 1;
        let group_by = match &spec.group_by {
            Some(names) if names.iter().any(|name| name == ALL) => GroupBy::All,
            Some(names) => GroupBy::Labels(names.iter().cloned().collect()),
            None => above.group_by.clone(),
        };
        let index = self.routes.len();
        let route = Route {
            key,
            identity,
            receiver,
            group_by,
            group_wait: spec.group_wait.unwrap_or(above.group_wait),
            group_interval: spec.group_interval.unwrap_or(above.group_interval),
            repeat_interval: spec.repeat_interval.unwrap_or(above.repeat_interval),
            matchers,
            goes_on: spec.goes_on,
            mute_time_intervals: spec.mute_time_intervals.clone(),
            active_time_intervals: spec.active_time_intervals.clone(),
            below: Vec::new(),
        };
        self.routes.push(route.clone());
        let below = spec.routes.iter().map(|spec| self.add(spec, &route, false)).collect();
        if let Some(route) = self.routes.get_mut(index) {
            route.below = below;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> Tree {
        let spec = json!({"route": {"receiver": "all", "group-by": ["alertname"], "group-wait": "10s", "routes": [
            {"matchers": ["team=\"db\""], "receiver": "db", "group-by": ["..."], "routes": [
                {"matchers": ["severity=~\"critical|page\""], "receiver": "pager", "group-wait": "0s"}]},
            {"matchers": ["audit=\"yes\""], "receiver": "audit", "continue": true},
            {"matchers": ["team!=\"\""], "repeat-interval": "1h"}]}});
        Tree::new(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn check(labels: &[(&str, &str)], expected: &[&str]) {
        let (tree, labels) = (tree(), labels.iter().copied().collect::<Labels>());
        let taken: Vec<&str> = tree.matching(&labels).iter().map(|index| tree.routes[*index].key.as_str()).collect();
        assert_eq!(taken, expected, "{labels}");
        let traced = tree.trace(&labels);
        let by_trace: Vec<&str> = traced
            .iter()
            .zip(tree.routes())
            .filter(|(verdict, _)| **verdict == Verdict::Taken)
            .map(|(_, route)| route.key.as_str())
            .collect();
        assert_eq!(by_trace.iter().collect::<BTreeSet<_>>(), expected.iter().collect(), "{labels}");
    }

    #[test]
    fn an_alert_takes_the_deepest_first_route_that_matches_and_goes_on_only_where_it_is_told_to() {
        check(&[("alertname", "x")], &["{}"]);
        check(&[("team", "db")], &["{}/{team=\"db\"}"]);
        check(&[("team", "db"), ("severity", "page")], &["{}/{team=\"db\"}/{severity=~\"critical|page\"}"]);
        check(&[("audit", "yes")], &["{}/{audit=\"yes\"}"]);
        check(&[("audit", "yes"), ("team", "web")], &["{}/{audit=\"yes\"}", "{}/{team!=\"\"}"]);
        // `continue` counts for those that it stands at: the first route ends the search.
        check(&[("audit", "yes"), ("team", "db")], &["{}/{team=\"db\"}"]);
    }

    #[test]
    fn a_route_has_from_above_what_it_does_not_say() {
        let tree = tree();
        let [root, db, pager, audit, rest] = tree.routes() else { panic!() };
        assert_eq!((pager.group_wait, &pager.group_by), (Span::ZERO, &GroupBy::All));
        assert_eq!((db.group_wait, db.receiver.as_str()), (Span::from_secs(10), "db"));
        assert_eq!((rest.receiver.as_str(), rest.repeat_interval), ("all", Span::from_secs(3600)));
        assert_eq!(rest.group_by, root.group_by);
        assert_eq!(audit.group_interval, Span::from_secs(300));
    }

    #[test]
    fn a_group_has_the_labels_that_the_alert_has_and_a_key_as_alertmanager_writes_it() {
        let tree = tree();
        let labels: Labels = [("alertname", "x"), ("zone", "a\"b")].into_iter().collect();
        let (root, all) = (&tree.routes()[0], &tree.routes()[1]);
        assert_eq!(root.group_key(&root.group_labels(&labels)), "{}:{alertname=\"x\"}");
        assert_eq!(all.group_labels(&labels), labels);
        assert_eq!(all.group_key(&labels), "{}/{team=\"db\"}:{alertname=\"x\", zone=\"a\\\"b\"}");
        assert_eq!(root.group_labels(&Labels::new()), Labels::new());
    }

    #[test]
    fn a_trace_names_the_matcher_that_did_not_match_and_what_was_not_reached() {
        let labels: Labels = [("team", "db")].into_iter().collect();
        let trace = tree().trace(&labels);
        assert_eq!((&trace[0], &trace[1]), (&Verdict::Passed, &Verdict::Taken));
        assert_eq!(trace[2], Verdict::Refused("severity=~\"critical|page\"".parse().unwrap()));
        assert_eq!((&trace[3], &trace[4]), (&Verdict::NotReached, &Verdict::NotReached));
    }

    #[test]
    fn two_routes_with_the_same_matchers_have_groups_of_their_own() {
        let spec = json!({"route": {"receiver": "a", "routes": [
            {"matchers": ["x=y"], "continue": true}, {"matchers": ["x=y"]}, {"matchers": ["x=y"], "receiver": "b"}]}});
        let tree = Tree::new(&serde_json::from_value(spec).unwrap()).unwrap();
        let ids: BTreeSet<_> = tree.routes().iter().map(|route| route.group(&Labels::new())).collect();
        assert_eq!(ids.len(), 4);
    }
}
