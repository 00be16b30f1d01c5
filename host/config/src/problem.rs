//! What is wrong with a configuration.

use crate::place::{Place, key_path};
use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Absent where no single place is to blame.
    pub place: Option<Place>,
    /// JSON Pointer to the value; empty for a whole file.
    pub pointer: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn at(place: &Place, pointer: &str, message: impl Into<String>) -> Self {
        Problem { place: Some(place.clone()), pointer: pointer.to_owned(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", key_path(&self.pointer))?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, a line each, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(crate) fn sorted(mut problems: Vec<Problem>) -> Self {
        // A stable sort: what stands at one place keeps its order.
        problems.sort_by_key(|problem| match &problem.place {
            Some(Place::File { path, line, column }) => (0, path.display().to_string(), *line, *column),
            Some(Place::Default) | None => (1, String::new(), 0, 0),
            Some(Place::Api) => (1, problem.pointer.clone(), 0, 0),
            Some(Place::Variable(name)) => (2, name.to_string(), 0, 0),
            Some(Place::Flag(name)) => (3, name.to_string(), 0, 0),
        });
        problems.dedup();
        Problems(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |text: &str| text.to_lowercase().replace('_', "-");
    let word = simple(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &simple(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["every", "enabled", "keep-events"];
        assert_eq!(nearest("evrey", known), Some("every"));
        assert_eq!(nearest("keep_events", known), Some("keep-events"));
        assert_eq!(nearest("plugin", known), None);
    }
}
