//! Operators between vectors against their definition: every element is compared with every other.

use crate::judge::{instant, same};
use crate::store::Store;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use quarterdeck_promql::Value;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

type Vector = BTreeMap<Arc<Labels>, f64>;

/// One operator with its matching.
struct Asked {
    operator: &'static str,
    as_bool: bool,
    on: bool,
    names: Vec<&'static str>,
    /// `group_left` or `group_right`, with a label to take along.
    many: Option<(&'static str, Vec<&'static str>)>,
}

impl Asked {
    fn random(random: &mut StdRng) -> Self {
        let operator = *["+", "-", "*", "==", "!=", ">", "<=", "and", "or", "unless"].choose(random).unwrap();
        let set = ["and", "or", "unless"].contains(&operator);
        let comparison = ["==", "!=", ">", "<="].contains(&operator);
        let names: Vec<_> = ["a", "b", "c"].into_iter().filter(|_| random.random_bool(0.5)).collect();
        let on = random.random_bool(0.5);
        let many = (!set && random.random_bool(0.5)).then(|| {
            let side = *["group_left", "group_right"].choose(random).unwrap();
            // A label can't be matched on and taken along.
            let along = ["a", "c"].into_iter().filter(|name| !(on && names.contains(name)) && random.random_bool(0.3));
            (side, along.collect())
        });
        Asked { operator, as_bool: comparison && random.random_bool(0.3), on, names, many }
    }

    fn query(&self) -> String {
        let as_bool = if self.as_bool { "bool " } else { "" };
        let matching = if self.on { "on" } else { "ignoring" };
        let many = self.many.as_ref().map(|(side, along)| format!("{side} ({}) ", along.join(", ")));
        let (operator, names, many) = (self.operator, self.names.join(", "), many.unwrap_or_default());
        format!("left {operator} {as_bool}{matching} ({names}) {many}right")
    }

    fn matched(&self, name: &str) -> bool {
        self.names.contains(&name) == self.on && name != NAME
    }

    fn group(&self, labels: &Labels) -> Labels {
        labels.iter().filter(|(name, _)| self.matched(name)).collect()
    }

    /// Nothing if it is an error.
    fn by_definition(&self, left: &Vector, right: &Vector) -> Option<Vector> {
        let has = |side: &Vector, labels: &Labels| side.keys().any(|other| self.group(other) == self.group(labels));
        let of = |side: &Vector, keep: &dyn Fn(&Labels) -> bool| -> Vector {
            side.iter().filter(|(labels, _)| keep(labels)).map(|(labels, value)| (labels.clone(), *value)).collect()
        };
        match self.operator {
            "and" => return Some(of(left, &|labels| has(right, labels))),
            "unless" => return Some(of(left, &|labels| !has(right, labels))),
            "or" => {
                let mut all = of(right, &|labels| !has(left, labels));
                all.extend(left.clone());
                return Some(all);
            }
            _ => {}
        }
        let swapped = matches!(self.many, Some(("group_right", _)));
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        if many.is_empty() || one.is_empty() {
            return Some(Vector::new());
        }
        for labels in one.keys() {
            if one.keys().filter(|other| self.group(other) == self.group(labels)).count() > 1 {
                return None;
            }
        }
        let mut seen: Vec<(Labels, Labels)> = Vec::new();
        let mut results = Vector::new();
        for (labels, value) in many {
            let Some((partner, other)) = one.iter().find(|(other, _)| self.group(other) == self.group(labels)) else {
                continue;
            };
            let (l, r) = if swapped { (*other, *value) } else { (*value, *other) };
            let result = self.result_labels(labels, partner);
            let claim = if self.many.is_some() { result.clone() } else { Labels::new() };
            let claim = (self.group(labels), claim);
            if seen.contains(&claim) {
                return None;
            }
            seen.push(claim);
            if let Some(value) = self.apply(l, r)
                && results.insert(Arc::new(result), value).is_some()
            {
                return None;
            }
        }
        self.without_names(results)
    }

    fn result_labels(&self, labels: &Labels, partner: &Labels) -> Labels {
        let arithmetic = ["+", "-", "*"].contains(&self.operator);
        let kept = labels.iter().filter(|(name, _)| {
            let matched = self.many.is_some() || (self.names.contains(name) == self.on);
            matched && !(arithmetic && *name == NAME)
        });
        let mut result: Labels = kept.collect();
        for name in self.many.iter().flat_map(|(_, along)| along) {
            result.0.remove(name);
            if let Some(value) = partner.get(name) {
                result.insert(*name, value);
            }
        }
        result
    }

    fn apply(&self, l: f64, r: f64) -> Option<f64> {
        let holds = match self.operator {
            "+" => return Some(l + r),
            "-" => return Some(l - r),
            "*" => return Some(l * r),
            "==" => l == r,
            "!=" => l != r,
            ">" => l > r,
            _ => l <= r,
        };
        if self.as_bool { Some(f64::from(u8::from(holds))) } else { holds.then_some(l) }
    }

    fn without_names(&self, results: Vector) -> Option<Vector> {
        if !self.as_bool {
            return Some(results);
        }
        let count = results.len();
        let unnamed = results.into_iter().map(|(mut labels, value)| {
            Arc::make_mut(&mut labels).0.remove(NAME);
            (labels, value)
        });
        Some(unnamed.collect::<Vector>()).filter(|unnamed| unnamed.len() == count)
    }
}

fn vector(random: &mut StdRng, name: &str) -> Vector {
    let mut vector = Vector::new();
    for _ in 0..random.random_range(0..5) {
        let mut labels = Labels::new().with(NAME, name);
        for label in ["a", "b", "c"] {
            if let Some(value) = ["", "1", "2"].choose(random).filter(|value| !value.is_empty()) {
                labels.insert(label, *value);
            }
        }
        vector.insert(Arc::new(labels), f64::from(random.random_range(0_u8..4)));
    }
    vector
}

#[test]
fn operators_between_vectors_give_what_their_definition_says() {
    let mut random = StdRng::seed_from_u64(7);
    let (mut elements, mut errors) = (0, 0);
    for _ in 0..20_000 {
        let (left, right) = (vector(&mut random, "left"), vector(&mut random, "right"));
        let mut store = Store::default();
        for (labels, value) in left.iter().chain(&right) {
            store.push(labels, 0, *value);
        }
        let asked = Asked::random(&mut random);
        let query = asked.query();
        let context = format!("{query} of {left:?} and {right:?}");
        let found = instant(&store, &query, 0).map(|answer| answer.value);
        match (asked.by_definition(&left, &right), found) {
            (None, Err(_)) => errors += 1,
            (Some(expected), Ok(Value::Vector(samples))) => {
                assert_eq!(samples.len(), expected.len(), "{context}: {samples:?}");
                for sample in samples {
                    let value = expected.get(&sample.labels).unwrap_or_else(|| panic!("{context}: {sample:?}"));
                    same(sample.point.value, *value).unwrap_or_else(|e| panic!("{context}: {e}"));
                    elements += 1;
                }
            }
            (expected, found) => panic!("{context}: {expected:?}, not {found:?}"),
        }
    }
    assert!(elements > 5_000 && errors > 1_000, "{elements} {errors}");
}
