//! From matchers to series, over any inverted index: that of memory, and that of a block.

use super::pattern::Pattern;

/// As many series are asked one by one, rather than going through all values of a label.
const FEW: usize = 2_000;

/// An inverted index. `None` of its answers: it can't be read.
pub(crate) trait Postings {
    /// Ids with that value of the label, sorted.
    fn of(&mut self, label: &str, value: &str) -> Option<Vec<u32>>;
    /// Ids with any of the values that are wanted, sorted. Those without the label are never among them.
    fn union(&mut self, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<Vec<u32>>;
    /// Keeps those whose value is wanted; a missing one is empty.
    fn retain(&mut self, ids: &mut Vec<u32>, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<()>;
    /// Every id, sorted.
    fn all(&mut self) -> Option<Vec<u32>>;
    /// How many values the label has.
    fn values(&mut self, label: &str) -> Option<usize>;
}

/// Ids of the series that every pattern takes, sorted.
pub(crate) fn matching(index: &mut impl Postings, patterns: &[Pattern]) -> Option<Vec<u32>> {
    let (mut rest, mut found) = (Vec::new(), None::<Vec<u32>>);
    for pattern in patterns {
        let Some(values) = pattern.values().filter(|_| !pattern.takes("")) else {
            rest.push(pattern);
            continue;
        };
        let mut ids = Vec::new();
        for value in values {
            ids.extend(index.of(&pattern.label, value)?);
        }
        if values.len() > 1 {
            ids.sort_unstable();
        }
        found = Some(narrowed(found, ids));
    }
    // Those that a missing label can't fulfil say which series there are; the others only which are not.
    rest.sort_by_key(|pattern| pattern.takes(""));
    for pattern in rest {
        if found.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
        if let Some(ids) = &mut found
            && (ids.len() <= FEW || ids.len() <= index.values(&pattern.label)?)
        {
            index.retain(ids, &pattern.label, &|value| pattern.takes(value))?;
        } else if pattern.takes("") {
            let not = index.union(&pattern.label, &|value| !pattern.takes(value))?;
            let mut ids = match found.take() {
                Some(ids) => ids,
                None => index.all()?,
            };
            ids.retain(|id| not.binary_search(id).is_err());
            found = Some(ids);
        } else {
            let ids = index.union(&pattern.label, &|value| pattern.takes(value))?;
            found = Some(narrowed(found.take(), ids));
        }
    }
    match found {
        Some(found) => Some(found),
        None => index.all(),
    }
}

/// Those that are in both.
fn narrowed(before: Option<Vec<u32>>, ids: Vec<u32>) -> Vec<u32> {
    let Some(mut before) = before else { return ids };
    let mut rest = ids.as_slice();
    before.retain(|id| {
        // Mostly the next ones: the search starts where the last one ended.
        let step = rest.iter().take(8).take_while(|other| *other < id).count();
        let start = if step < 8 { step } else { rest.partition_point(|other| other < id) };
        rest = rest.get(start..).unwrap_or_default();
        rest.first() == Some(id)
    });
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::Random;
    use quarterdeck_model::series::query::{Comparison, Matcher};
    use std::collections::BTreeMap;

    /// Series as maps, without an index.
    struct Plain(Vec<BTreeMap<String, String>>);

    impl Plain {
        fn those(&self, wanted: impl Fn(&BTreeMap<String, String>) -> bool) -> Vec<u32> {
            (0..self.0.len()).filter(|id| wanted(&self.0[*id])).map(|id| id as u32).collect()
        }
    }

    impl Postings for Plain {
        fn of(&mut self, label: &str, value: &str) -> Option<Vec<u32>> {
            Some(self.those(|series| series.get(label).is_some_and(|found| found == value)))
        }

        fn union(&mut self, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
            Some(self.those(|series| series.get(label).is_some_and(|value| wanted(value))))
        }

        fn retain(&mut self, ids: &mut Vec<u32>, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<()> {
            ids.retain(|id| wanted(self.0[*id as usize].get(label).map_or("", String::as_str)));
            Some(())
        }

        fn all(&mut self) -> Option<Vec<u32>> {
            Some(self.those(|_| true))
        }

        fn values(&mut self, label: &str) -> Option<usize> {
            Some(self.0.iter().filter(|series| series.contains_key(label)).count() / 4)
        }
    }

    #[test]
    fn whatever_way_is_taken_the_series_are_those_that_every_matcher_takes() {
        let mut random = Random::new(4);
        let series = (0..5_000).map(|n: u64| {
            let mut labels: BTreeMap<String, String> = [("all".to_owned(), "x".to_owned())].into();
            for (label, values) in [("a", 3), ("b", 40), ("c", 4_000)] {
                if random.below(5) > 0 {
                    labels.insert(label.to_owned(), format!("v{}", (n * 7 + random.below(2)) % values));
                }
            }
            labels
        });
        let mut index = Plain(series.collect());
        let values = ["", "v1", "v2", "x", "v.*", ".*", ".+", "v1|v2|v33", "v[0-9]", "v.*7", "|v1", "nothing"];
        for _ in 0..400 {
            let count = random.below(4);
            let matchers: Vec<Matcher> = (0..count)
                .map(|_| Matcher {
                    label: ["all", "a", "b", "c", "missing"][random.below(5) as usize].to_owned(),
                    comparison: [Comparison::Equal, Comparison::NotEqual, Comparison::Matches, Comparison::MatchesNot]
                        [random.below(4) as usize],
                    value: values[random.below(values.len() as u64) as usize].to_owned(),
                })
                .collect();
            let patterns: Vec<Pattern> = matchers.iter().map(|matcher| Pattern::new(matcher).unwrap()).collect();
            let takes = |labels: &BTreeMap<String, String>| {
                patterns.iter().all(|pattern| pattern.takes(labels.get(&pattern.label).map_or("", String::as_str)))
            };
            let expected = index.those(takes);
            assert_eq!(matching(&mut index, &patterns), Some(expected), "{matchers:?}");
        }
    }
}
