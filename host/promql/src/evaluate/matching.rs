//! Arithmetic and comparisons between vectors: each element of one side finds its partner on the other by labels.

use super::binary::{apply, settle};
use super::grid::Grid;
use super::key::{display, group_labels, kept, key};
use super::row::{self, ABSENT, Row, describes_metric, is_present};
use crate::error::Error;
use crate::expression::{Binary, Cardinality, Grouping};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, NAME};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

pub(super) fn combine(
    binary: &Binary,
    left: Vec<Row>,
    right: Vec<Row>,
    grid: &Grid,
    budget: &Budget,
) -> Result<Vec<Row>, Error> {
    let swapped = matches!(binary.cardinality, Cardinality::ManyRight(_));
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    if many.is_empty() || one.is_empty() {
        return Ok(Vec::new());
    }
    let partners = Partners::of(binary, one, &many, grid)?;
    let mut claims = Claims::of(binary, &many);
    let mut results = Vec::with_capacity(many.len());
    for row in &many {
        let group = key(&row.labels, &binary.matching);
        for partner in partners.of_group(&group) {
            budget.check()?;
            let labels = result_labels(binary, row, partner);
            claims.claim(binary, &group, &labels, row, partner)?;
            let values = row.values.iter().zip(&partner.values).map(|(value, other)| {
                if !is_present(*value) || !is_present(*other) {
                    return ABSENT;
                }
                let (left, right) = if swapped { (*other, *value) } else { (*value, *other) };
                // A comparison keeps what stands on the left.
                settle(apply(binary.operator, left, right), binary.as_bool, left)
            });
            let drop_name = binary.as_bool || row.drop_name;
            let result = Row { labels, drop_name, values: values.collect() };
            if !result.is_empty() {
                budget.take(grid.steps())?;
                results.push(result);
            }
        }
    }
    row::merge(results)
}

/// The side of which each match may have one element only.
struct Partners {
    groups: HashMap<String, Vec<Row>>,
}

impl Partners {
    fn of(binary: &Binary, one: Vec<Row>, many: &[Row], grid: &Grid) -> Result<Self, Error> {
        let mut groups: HashMap<String, Vec<Row>> = HashMap::with_capacity(one.len());
        for row in one {
            groups.entry(key(&row.labels, &binary.matching)).or_default().push(row);
        }
        if groups.values().any(|rows| rows.len() > 1) {
            // Where the other side has nothing, nothing is matched.
            let matched = row::presence(many, grid);
            for rows in groups.values_mut().filter(|rows| rows.len() > 1) {
                check_unique(binary, rows, &matched)?;
                join(binary, rows);
            }
        }
        Ok(Partners { groups })
    }

    fn of_group(&self, group: &str) -> &[Row] {
        self.groups.get(group).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Makes one row of those that only time tells apart: series that came after one another.
fn join(binary: &Binary, rows: &mut Vec<Row>) {
    let mut joined: HashMap<Vec<String>, Row> = HashMap::with_capacity(1);
    for row in rows.drain(..) {
        let included = binary.cardinality.included().iter();
        let told_apart = included.map(|name| row.labels.get(name).unwrap_or_default().to_owned()).collect();
        match joined.entry(told_apart) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut place) => {
                let values = place.get_mut().values.iter_mut().zip(&row.values);
                values.filter(|(_, value)| is_present(**value)).for_each(|(kept, value)| *kept = *value);
            }
        }
    }
    rows.extend(joined.into_values());
}

fn check_unique(binary: &Binary, rows: &[Row], matched: &[bool]) -> Result<(), Error> {
    let mut seen: Vec<Option<&Row>> = vec![None; matched.len()];
    for row in rows {
        for ((seen, matched), value) in seen.iter_mut().zip(matched).zip(&row.values) {
            if !matched || !is_present(*value) {
                continue;
            }
            if let Some(other) = seen {
                return Err(duplicates(binary, other, row));
            }
            *seen = Some(row);
        }
    }
    Ok(())
}

fn duplicates(binary: &Binary, one: &Row, other: &Row) -> Error {
    let group = match &binary.matching {
        Grouping::By(_) => group_labels(&one.labels, &binary.matching),
        // A match that ignores labels shows the others, the name among them where nothing says that it is ignored.
        Grouping::Without(names) => {
            kept(&one.labels, |name| name != NAME && !names.iter().any(|ignored| ignored == name))
        }
    };
    let side = if matches!(binary.cardinality, Cardinality::ManyRight(_)) { "left" } else { "right" };
    let mut series = [display(&one.labels), display(&other.labels)];
    series.sort();
    let [first, second] = series;
    Error::evaluation(format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{first}, {second}];\
         many-to-many matching not allowed: matching labels must be unique on one side",
        display(&group)
    ))
}

/// Which elements have found a partner already: each match takes one, each match of many one of a kind.
struct Claims {
    /// Of the side of many, by match.
    rows: HashMap<String, usize>,
    taken: HashMap<(String, Option<Arc<Labels>>), Vec<bool>>,
}

impl Claims {
    fn of(binary: &Binary, many: &[Row]) -> Self {
        let mut rows: HashMap<String, usize> = HashMap::with_capacity(many.len());
        for row in many {
            *rows.entry(key(&row.labels, &binary.matching)).or_default() += 1;
        }
        Claims { rows, taken: HashMap::new() }
    }

    fn claim(
        &mut self,
        binary: &Binary,
        group: &str,
        labels: &Arc<Labels>,
        row: &Row,
        partner: &Row,
    ) -> Result<(), Error> {
        if self.rows.get(group) == Some(&1) {
            return Ok(());
        }
        let one_to_one = binary.cardinality == Cardinality::OneToOne;
        let kind = if one_to_one { None } else { Some(Arc::clone(labels)) };
        let taken = self.taken.entry((group.to_owned(), kind)).or_insert_with(|| vec![false; row.values.len()]);
        for ((taken, value), other) in taken.iter_mut().zip(&row.values).zip(&partner.values) {
            if !is_present(*value) || !is_present(*other) {
                continue;
            }
            if *taken {
                return Err(Error::evaluation(if one_to_one {
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                } else {
                    "multiple matches for labels: grouping labels must ensure unique matches"
                }));
            }
            *taken = true;
        }
        Ok(())
    }
}

fn result_labels(binary: &Binary, row: &Row, partner: &Row) -> Arc<Labels> {
    let drops_name = !binary.operator.is_comparison();
    let keep = |name: &str| {
        let kept = match (&binary.cardinality, &binary.matching) {
            (Cardinality::OneToOne, Grouping::By(names)) => names.iter().any(|listed| listed == name),
            (Cardinality::OneToOne, Grouping::Without(names)) => !names.iter().any(|listed| listed == name),
            _ => true,
        };
        kept && !(drops_name && describes_metric(name))
    };
    let included = binary.cardinality.included();
    if included.is_empty() && row.labels.iter().all(|(name, _)| keep(name)) {
        return Arc::clone(&row.labels);
    }
    let mut labels = kept(&row.labels, keep);
    for name in included {
        let labels = Arc::make_mut(&mut labels);
        match partner.labels.get(name) {
            Some(value) if !value.is_empty() => labels.insert(name, value),
            _ => {
                labels.0.remove(name);
            }
        }
    }
    labels
}
