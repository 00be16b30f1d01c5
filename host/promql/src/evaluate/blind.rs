//! Whether there is nothing to judge: of what an expression needs, no series has a sample.
//!
//! A query that finds nothing may say that all is well, or that nobody measures any more. `up == 0` needs `up`; `a / b` needs both;
//! `a or b` needs one of them, `a unless b` the first, and `absent(a)` none.
//!
//! The same can be asked of one element that a query has found before: of each selector it needs a series with the labels that the
//! element has from there. What an aggregation or a match leaves out is not looked for, what `label_replace` or `group_left` puts in
//! its place neither.
//!
//! Series that rules make end when the rule's query finds nothing, which may say that all is well, too: of those the query of that rule
//! is asked ([`Recordings`]). `ALERTS` is never missed: that it is not there says that nothing is active.

use super::grid::{Grid, Shifted};
use super::row::is_present;
use super::{Evaluator, Options, Times};
use crate::error::Error;
use crate::expression::{
    Aggregate, Aggregation, Binary, Cardinality, Expression, Grouping, Kind, Node, Operator, Selector, Shape,
};
use crate::notes::Notes;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, NAME, Querier};
use quarterdeck_model::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Rules that read what others record, one in another, at most.
const DEEPEST: usize = 8;
/// Levels of their queries together that are gone down before the next rule is asked: a thread has a stack.
const LEVELS: usize = 500;
/// What the host makes of its alerts.
const OF_ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];
/// Functions that make nothing of a single sample.
const OF_TWO: [&str; 7] = ["delta", "deriv", "idelta", "increase", "irate", "predict_linear", "rate"];

/// Looks for the series that an instant query at this time would need, and at no more.
///
/// # Errors
/// [`Error::Store`].
pub fn is_blind(
    expression: &Expression,
    at: Timestamp,
    querier: &dyn Querier,
    budget: &Budget,
    options: &Options,
) -> Result<bool, Error> {
    let recordings = Recordings::new();
    Presence::of(expression, at, (querier, budget), &recordings, options)?.is_blind(&Labels::new())
}

/// What recording rules make, by the name of the metric.
pub type Recordings = HashMap<String, Vec<Recording>>;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    pub expression: Expression,
    /// What is laid over the labels of what it finds.
    pub labels: Labels,
}

/// What of the series that an expression needs is there at a time. Each selector is asked once, however many elements are asked about.
pub struct Presence<'a> {
    evaluator: Evaluator<'a>,
    root: &'a Node,
    grid: Grid,
    recordings: &'a Recordings,
    /// What is recorded by the rules that are being asked, one for the other.
    under_way: Vec<&'a str>,
    level: usize,
    /// By the address of the selector, which stays where it is.
    seen: HashMap<usize, Seen>,
}

/// The series of one selector that are there.
#[derive(Default)]
struct Seen {
    series: Vec<Arc<Labels>>,
    /// What they have of labels that were asked about, by the names of these.
    values: HashMap<Vec<String>, HashSet<Vec<String>>>,
}

impl<'a> Presence<'a> {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// None at an instant.
    pub fn of(
        expression: &'a Expression,
        at: Timestamp,
        (querier, budget): (&'a dyn Querier, &'a Budget),
        recordings: &'a Recordings,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let grid = Grid::of(Times::at(at), options.points)?;
        let (start, end) = (at.as_millis(), at.as_millis());
        let evaluator = Evaluator { querier, budget, options, start, end, notes: Notes::of(expression.text()) };
        Ok(Presence {
            evaluator,
            root: &expression.root,
            grid,
            recordings,
            under_way: Vec::new(),
            level: 0,
            seen: HashMap::new(),
        })
    }

    /// Whether nothing is there of what the element with these labels (its name among them, if it has one) was made of. Without labels:
    /// of what the expression needs at all.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn is_blind(&mut self, element: &Labels) -> Result<bool, Error> {
        self.blind(self.root, element, 0)
    }

    /// `wanted`: what a series has to have. `reach`: how much further back the subqueries around it look, in milliseconds.
    fn blind(&mut self, node: &Node, wanted: &Labels, reach: i64) -> Result<bool, Error> {
        self.evaluator.check()?;
        self.level += 1;
        let blind = self.blind_at(node, wanted, reach);
        self.level -= 1;
        blind
    }

    fn blind_at(&mut self, node: &Node, wanted: &Labels, reach: i64) -> Result<bool, Error> {
        if !wanted.is_empty() && node.shape() == Shape::Scalar {
            // A number has no labels, whatever it was made of.
            return self.blind(node, &Labels::new(), reach);
        }
        match &node.kind {
            Kind::Number(_) | Kind::Text(_) => Ok(false),
            Kind::Vector(selector) if reach == 0 => self.none((node, selector), wanted, reach, |evaluator, grid| {
                let rows = evaluator.select_latest(selector, grid)?;
                Ok(rows.into_iter().map(|row| row.labels).collect())
            }),
            Kind::Vector(selector) => {
                let lookback = i64::try_from(self.evaluator.options.lookback.as_millis()).unwrap_or(i64::MAX);
                let range = reach.saturating_add(lookback);
                self.none((node, selector), wanted, reach, |evaluator, grid| {
                    evaluator.there_within(selector, range, 1, grid)
                })
            }
            Kind::Matrix(selector, range) => self.none_within((node, selector, *range), wanted, reach, 1),
            Kind::Subquery(subquery) => {
                let further = subquery.range.saturating_add(subquery.shift.offset.max(0));
                self.blind(&subquery.inner, wanted, reach.saturating_add(further))
            }
            Kind::Call { function: "absent" | "absent_over_time", .. } => Ok(false),
            Kind::Call { function, arguments } => self.call(function, arguments, wanted, reach),
            Kind::Aggregate(aggregate) => self.blind(&aggregate.inner, &of_aggregate(aggregate, wanted), reach),
            Kind::Minus(inner) => self.blind(inner, wanted, reach),
            Kind::Binary(binary) => self.binary(binary, wanted, reach),
        }
    }

    fn call(&mut self, function: &str, arguments: &[Node], wanted: &Labels, reach: i64) -> Result<bool, Error> {
        let made = match (function, arguments.get(1).map(|node| &node.kind)) {
            ("label_replace" | "label_join", Some(Kind::Text(name))) => Some(without(wanted, |label| label == name)),
            _ => None,
        };
        let wanted = made.as_ref().unwrap_or(wanted);
        let least = if OF_TWO.contains(&function) { 2 } else { 1 };
        for argument in arguments {
            let blind = match &argument.kind {
                Kind::Matrix(selector, range) => {
                    self.none_within((argument, selector, *range), wanted, reach, least)?
                }
                _ => self.blind(argument, wanted, reach)?,
            };
            if blind {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn binary(&mut self, binary: &Binary, wanted: &Labels, reach: i64) -> Result<bool, Error> {
        let (left, right) = (&binary.left, &binary.right);
        match binary.operator {
            Operator::Unless => return self.blind(left, wanted, reach),
            Operator::Or => return Ok(self.blind(left, wanted, reach)? && self.blind(right, wanted, reach)?),
            _ => {}
        }
        // Those of the side of one come into the result by name, or because they are those of the other side.
        let included = binary.cardinality.included();
        let is_included = |name: &str| included.iter().any(|included| included == name);
        let many = without(wanted, is_included);
        let mut one = of_match(&binary.matching, &many);
        one.0.extend(without(wanted, |name| !is_included(name)).0);
        let swapped = matches!(binary.cardinality, Cardinality::ManyRight(_));
        let scalar = left.shape() == Shape::Scalar || right.shape() == Shape::Scalar;
        let (of_left, of_right) = match (scalar, swapped) {
            (true, _) => (wanted, wanted),
            (false, true) => (&one, &many),
            (false, false) => (&many, &one),
        };
        Ok(self.blind(left, of_left, reach)? || self.blind(right, of_right, reach)?)
    }

    fn none_within(
        &mut self,
        (node, selector, range): (&Node, &Selector, i64),
        wanted: &Labels,
        reach: i64,
        least: usize,
    ) -> Result<bool, Error> {
        let further = range.saturating_add(reach);
        self.none((node, selector), wanted, further, |evaluator, grid| {
            evaluator.there_within(selector, further, least, grid)
        })
    }

    /// Whether no series of a selector has what is wanted.
    fn none(
        &mut self,
        (node, selector): (&Node, &Selector),
        wanted: &Labels,
        reach: i64,
        read: impl FnOnce(&mut Evaluator<'a>, &Grid) -> Result<Vec<Arc<Labels>>, Error>,
    ) -> Result<bool, Error> {
        let equal = |matcher: &&Matcher| matcher.comparison == Comparison::Equal;
        let name = selector.matchers.iter().filter(equal).find(|matcher| matcher.label == NAME);
        let name = name.map(|matcher| matcher.value.as_str()).unwrap_or_default();
        if OF_ALERTS.contains(&name) {
            return Ok(false);
        }
        let place = std::ptr::from_ref(node).addr();
        if !self.seen.contains_key(&place) {
            let series = read(&mut self.evaluator, &self.grid)?;
            self.seen.insert(place, Seen { series, ..Seen::default() });
        }
        if self.seen.get_mut(&place).is_some_and(|seen| seen.has(wanted)) {
            return Ok(false);
        }
        let recordings = self.recordings;
        let Some((name, rules)) = recordings.get_key_value(name) else { return Ok(true) };
        let is_under_way = self.under_way.iter().any(|of| of == name);
        if is_under_way || self.under_way.len() >= DEEPEST || self.level >= LEVELS {
            return Ok(true);
        }
        let mut wanted = wanted.clone();
        for matcher in selector.matchers.iter().filter(equal).filter(|matcher| !matcher.value.is_empty()) {
            if matcher.label != NAME && wanted.get(&matcher.label).is_some_and(|value| value != matcher.value) {
                // It is not from here.
                return Ok(true);
            }
            wanted.insert(&matcher.label, &matcher.value);
        }
        wanted.0.remove(NAME);
        self.under_way.push(name);
        let blind = self.none_recorded(rules, &wanted, reach);
        self.under_way.pop();
        blind
    }

    /// Whether none of the rules that could make a series with these labels sees what it would make it of.
    fn none_recorded(&mut self, rules: &'a [Recording], wanted: &Labels, reach: i64) -> Result<bool, Error> {
        for Recording { expression, labels } in rules {
            let fits = labels.iter().all(|(name, value)| wanted.get(name).is_none_or(|wanted| wanted == value));
            let of_source = without(wanted, |name| labels.get(name).is_some());
            if fits && !self.blind(&expression.root, &of_source, reach)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Seen {
    fn has(&mut self, wanted: &Labels) -> bool {
        if wanted.is_empty() {
            return !self.series.is_empty();
        }
        let (names, values): (Vec<String>, Vec<String>) =
            wanted.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).unzip();
        if let Some(known) = self.values.get(&names) {
            return known.contains(&values);
        }
        let of = |labels: &Arc<Labels>| -> Vec<String> {
            names.iter().map(|name| labels.get(name).unwrap_or_default().to_owned()).collect()
        };
        let all: HashSet<Vec<String>> = self.series.iter().map(of).collect();
        let has = all.contains(&values);
        self.values.insert(names, all);
        has
    }
}

impl Evaluator<'_> {
    /// Series that have `least` samples within a range before the step, and have not ended since.
    fn there_within(
        &mut self,
        selector: &Selector,
        range: i64,
        least: usize,
        grid: &Grid,
    ) -> Result<Vec<Arc<Labels>>, Error> {
        let shifted = Shifted::of(&selector.shift, self.start, self.end);
        let columns = self.select(selector, grid, shifted, range)?;
        let there = columns.into_iter().filter(|columns| {
            let goes_on = columns.values.last().is_some_and(|value| is_present(*value));
            goes_on && columns.values.iter().filter(|value| is_present(**value)).count() >= least
        });
        Ok(there.map(|columns| columns.labels).collect())
    }
}

fn without(labels: &Labels, out: impl Fn(&str) -> bool) -> Labels {
    Labels(labels.0.iter().filter(|(name, _)| !out(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// What an element of a match has in common with its partner.
fn of_match(matching: &Grouping, labels: &Labels) -> Labels {
    match matching {
        Grouping::By(names) => without(labels, |name| !names.iter().any(|listed| listed == name)),
        Grouping::Without(names) => without(labels, |name| name == NAME || names.iter().any(|listed| listed == name)),
    }
}

/// What the series of a group have in common with it. Some aggregations pick series out as they are.
fn of_aggregate(aggregate: &Aggregate, wanted: &Labels) -> Labels {
    if matches!(aggregate.operator, Aggregation::Top | Aggregation::Bottom) {
        return wanted.clone();
    }
    let made = match aggregate.parameter.as_ref().map(|node| &node.kind) {
        Some(Kind::Text(name)) if aggregate.operator == Aggregation::CountValues => Some(name.as_str()),
        _ => None,
    };
    without(&of_match(&aggregate.grouping, wanted), |name| Some(name) == made)
}
