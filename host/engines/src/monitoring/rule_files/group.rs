//! A group as it is configured, made ready to be evaluated.

use super::template::Template;
use quarterdeck_model::domain::rule_group::{GroupRule, RuleGroup};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::METRIC_BYTES;
use quarterdeck_model::series::query::{Comparison, Matcher, NAME};
use quarterdeck_model::{Severity, Span};
use quarterdeck_promql::{Expression, parse_duration};
use std::collections::{BTreeMap, BTreeSet};

pub const ALERT_NAME: &str = "alertname";
const DEFAULT_INTERVAL: Span = Span::from_secs(15);

/// What is wrong with a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// JSON Pointer below the group.
    pub pointer: String,
    pub message: String,
}

/// A group that can be evaluated.
#[derive(Clone, Debug)]
pub struct Group {
    /// `node/alerts`: name of its file, and its own.
    pub key: String,
    pub name: String,
    pub interval: Span,
    pub query_offset: Span,
    /// 0: none.
    pub limit: u32,
    pub rules: Vec<Rule>,
    pub spec: RuleGroup,
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// What tells it apart in its group, and is the same after a change of its query: kind, name, labels, and how many before it have
    /// the same.
    pub id: String,
    /// Of the alert, or of the recorded metric.
    pub name: String,
    pub expression: Expression,
    /// Those of the group under its own.
    pub labels: Labels,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Recording,
    Alerting(Alerting),
}

/// What an alerting rule has more.
#[derive(Clone, Debug)]
pub struct Alerting {
    pub hold: Span,
    pub keep_firing_for: Span,
    pub labels: Vec<(String, Template)>,
    pub annotations: Vec<(String, Template)>,
    /// The query reads metrics of several names: that of what it found says which.
    pub reads_several: bool,
}

impl Group {
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn read(key: &str, spec: &RuleGroup) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::default();
        let name = spec.name.clone().unwrap_or_else(|| key.to_owned());
        let interval = reader.duration("/interval", spec.interval.as_deref(), DEFAULT_INTERVAL);
        if interval < Span::from_millis(10) {
            reader.mistake("/interval", format!("expected an interval of 10ms or more, found {interval}"));
        }
        let query_offset = reader.duration("/query_offset", spec.query_offset.as_deref(), Span::ZERO);
        reader.label_names("/labels", &spec.labels, &[NAME, ALERT_NAME]);
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut rules = Vec::new();
        for (index, rule) in spec.rules.iter().enumerate() {
            let before = seen.entry(identity(rule, &spec.labels)).or_default();
            reader.duplicate(index, rule, before.iter().filter_map(|other| Some((*other, spec.rules.get(*other)?))));
            let occurrence = before.len();
            before.push(index);
            rules.extend(reader.rule(index, rule, &spec.labels, occurrence));
        }
        if !reader.mistakes.is_empty() {
            return Err(reader.mistakes);
        }
        Ok(Group { key: key.to_owned(), name, interval, query_offset, limit: spec.limit, rules, spec: spec.clone() })
    }
}

impl Rule {
    pub fn is_alerting(&self) -> bool {
        matches!(self.kind, Kind::Alerting(_))
    }

    /// As one of its alerts says it: people write it in many ways.
    pub fn severity(labels: &Labels) -> Severity {
        match labels.get("severity").unwrap_or_default().to_lowercase().as_str() {
            "critical" | "crit" | "page" | "emergency" | "disaster" | "fatal" => Severity::Critical,
            "high" | "error" | "major" => Severity::High,
            "low" | "minor" | "ticket" => Severity::Low,
            "info" | "informational" | "information" | "notice" | "none" => Severity::Info,
            _ => Severity::Medium,
        }
    }
}

fn identity(rule: &GroupRule, under: &Labels) -> String {
    let (kind, name) = match (&rule.alert, &rule.record) {
        (Some(name), _) => ("alert", name.as_str()),
        (None, Some(name)) => ("record", name.as_str()),
        (None, None) => ("", ""),
    };
    format!("{kind} {name} {}", laid_over(under, &rule.labels))
}

/// A label that is empty is none.
fn laid_over(under: &Labels, over: &Labels) -> Labels {
    let mut labels = under.clone();
    for (name, value) in over.iter() {
        labels.insert(name, value);
    }
    labels.0.retain(|_, value| !value.is_empty());
    labels
}

#[derive(Default)]
struct Reader {
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn mistake(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.mistakes.push(Mistake { pointer: pointer.into(), message: message.into() });
    }

    fn duration(&mut self, pointer: &str, text: Option<&str>, unless: Span) -> Span {
        let Some(text) = text else { return unless };
        match parse_duration(text).and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => Span::from_millis(millis),
            None => {
                let message = format!("expected a duration such as `30s` or `1h30m`, found {text:?}");
                self.mistake(pointer, message);
                unless
            }
        }
    }

    fn label_names(&mut self, pointer: &str, labels: &Labels, taken: &[&str]) {
        for (name, _) in labels.iter() {
            let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            if !is_label(name) {
                self.mistake(
                    at,
                    format!("`{name}` is not a label's name; hint: letters, digits and `_`, no digit first"),
                );
            } else if taken.contains(&name) {
                self.mistake(at, format!("`{name}` is set by the rule itself"));
            }
        }
    }

    /// Two rules that record the same series overwrite one another; two alerts that are the same in all are one.
    fn duplicate<'a>(
        &mut self,
        index: usize,
        rule: &GroupRule,
        mut same: impl Iterator<Item = (usize, &'a GroupRule)>,
    ) {
        let first = same.find(|(_, other)| rule.record.is_some() || other.expr == rule.expr);
        if let Some((first, _)) = first {
            let what = if rule.record.is_some() { "records the same series" } else { "is the same alert" };
            self.mistake(format!("/rules/{index}"), format!("{what} as rule {} of the group", first + 1));
        }
    }

    fn rule(&mut self, index: usize, rule: &GroupRule, under: &Labels, occurrence: usize) -> Option<Rule> {
        let at = format!("/rules/{index}");
        let expression = match Expression::parse(&rule.expr) {
            Ok(expression) if matches!(expression.type_name(), "scalar" | "vector") => Some(expression),
            Ok(expression) => {
                let found = expression.type_name();
                self.mistake(format!("{at}/expr"), format!("expected a vector or a scalar, found a {found}"));
                None
            }
            Err(error) => {
                self.mistake(format!("{at}/expr"), error.to_string());
                None
            }
        };
        let id = format!("{} {occurrence}", identity(rule, under));
        let labels = laid_over(under, &rule.labels);
        let (name, kind) = match (&rule.alert, &rule.record) {
            (Some(name), None) => {
                let alerting = self.alerting(&at, name, rule, &labels);
                let reads_several = expression.as_ref().is_some_and(reads_several);
                (name, Kind::Alerting(Alerting { reads_several, ..alerting }))
            }
            (None, Some(name)) => {
                self.recording(&at, name, rule);
                (name, Kind::Recording)
            }
            (Some(_), Some(_)) => {
                self.mistake(at, "expected `record` or `alert`, found both");
                return None;
            }
            (None, None) => {
                self.mistake(at, "expected `record` or `alert`");
                return None;
            }
        };
        Some(Rule { id, name: name.clone(), expression: expression?, labels, kind })
    }

    fn recording(&mut self, at: &str, name: &str, rule: &GroupRule) {
        if !is_metric(name) {
            let hint = "letters, digits, `_` and `:`, no digit first";
            self.mistake(format!("{at}/record"), format!("`{name}` is not a metric's name; hint: {hint}"));
        }
        let alone = [
            ("for", rule.hold.is_some()),
            ("keep_firing_for", rule.keep_firing_for.is_some()),
            ("annotations", !rule.annotations.is_empty()),
        ];
        for (key, _) in alone.into_iter().filter(|(_, there)| *there) {
            self.mistake(format!("{at}/{key}"), format!("a recording rule has no `{key}`"));
        }
        self.label_names(&format!("{at}/labels"), &rule.labels, &[NAME]);
    }

    fn alerting(&mut self, at: &str, name: &str, rule: &GroupRule, labels: &Labels) -> Alerting {
        if name.is_empty() || name.chars().any(char::is_control) {
            self.mistake(format!("{at}/alert"), format!("{name:?} is not a name for an alert"));
        }
        self.label_names(&format!("{at}/labels"), &rule.labels, &[NAME, ALERT_NAME]);
        self.label_names(&format!("{at}/annotations"), &rule.annotations, &[]);
        Alerting {
            hold: self.duration(&format!("{at}/for"), rule.hold.as_deref(), Span::ZERO),
            keep_firing_for: self.duration(
                &format!("{at}/keep_firing_for"),
                rule.keep_firing_for.as_deref(),
                Span::ZERO,
            ),
            labels: self.templates(&format!("{at}/labels"), labels),
            annotations: self.templates(&format!("{at}/annotations"), &rule.annotations),
            reads_several: false,
        }
    }

    fn templates(&mut self, at: &str, texts: &Labels) -> Vec<(String, Template)> {
        let mut templates = Vec::new();
        for (name, text) in texts.iter() {
            match Template::read(text) {
                Ok(template) => templates.push((name.to_owned(), template)),
                Err(message) => self.mistake(format!("{at}/{name}"), format!("not a template: {message}")),
            }
        }
        templates
    }
}

/// Whether not all selectors read one metric.
fn reads_several(expression: &Expression) -> bool {
    let name = |matchers: &[Matcher]| {
        let mut named = matchers.iter().filter(|matcher| matcher.label == NAME);
        named.find(|matcher| matcher.comparison == Comparison::Equal).map(|matcher| matcher.value.clone())
    };
    let names: BTreeSet<Option<String>> = expression.selectors().into_iter().map(name).collect();
    names.len() > 1 || names.contains(&None)
}

fn is_name(text: &str, more: char) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || char::from(byte) == more;
    text.bytes().next().is_some_and(first) && text.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    is_name(text, '_')
}

fn is_metric(text: &str) -> bool {
    is_name(text, ':') && text.len() <= METRIC_BYTES
}
