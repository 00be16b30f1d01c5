//! What is wrong with a configuration.

use crate::place::{Place, key_path};
pub(crate) use quarterdeck_model::nearest;
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
    /// In the order of the files, each once.
    pub fn sorted(mut problems: Vec<Problem>) -> Self {
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
